"""Charts as files: SVG, PNG and CSV, without a browser."""

import csv
import io
from html import escape
from typing import Any

from bench.page.charts.chart import Chart
from bench.page.charts.look import DARK, LIGHT, painted
from bench.report.render import guarded

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
WIDTH = 660
"""Pixels: a column of a paper, or of a README."""
LETTERS = 112
"""Of a line of the caption at that width."""


def svg(chart: Chart, dark: bool = False) -> str:
    """An SVG document that says what it is to a screen reader."""
    import vl_convert

    drawn = str(vl_convert.vegalite_to_svg(_spec(chart, dark), allowed_base_urls=[]))
    start = drawn.index("<svg")
    end = drawn.index(">", start)
    spoken = f"<title>{escape(chart.title)}</title><desc>{escape(chart.alt)}</desc>"
    return f'{drawn[:end]} role="img">{spoken}{drawn[end + 1 :]}'


def png(chart: Chart, dark: bool = False, scale: float = 2) -> bytes:
    """A picture, `scale` pixels for each of `WIDTH`."""
    import vl_convert

    drawn = vl_convert.vegalite_to_png(_spec(chart, dark), scale=scale, allowed_base_urls=[])
    return bytes(drawn)


def csv_text(chart: Chart) -> str:
    """The chart's data, a line a point; a text that a spreadsheet would run as a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(chart.csv_columns)
    for point in chart.points:
        writer.writerow([_plain(point.get(column)) for column in chart.csv_columns])
    return out.getvalue()


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else guarded(value)


def _spec(chart: Chart, dark: bool) -> dict[str, Any]:
    """With its data, title, caption and concrete colours, at a fixed width."""
    from textwrap import wrap

    theme = DARK if dark else LIGHT
    made: dict[str, Any] = painted(chart.spec, theme)
    config = made["config"] | {"background": theme["surface"], "padding": 12, "font": FONT}
    below = [*wrap(chart.about, LETTERS), *wrap(chart.caption, LETTERS)]
    title = {"text": chart.title, "subtitle": below, "offset": 14, "frame": "bounds"}
    return made | {
        "datasets": {"points": chart.points},
        "width": WIDTH,
        "config": config,
        "title": title,
        "description": chart.alt,
    }
