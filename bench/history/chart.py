"""A history drawn: each run with its interval, the levels that were found, and a line where a change begins."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.errors import InputError
from bench.history.judged import Judgement
from bench.history.series import Axis, Series
from bench.history.wording import day, name, result, short, size
from bench.page.charts import look
from bench.page.charts.chart import Chart, Point
from bench.page.charts.draw import WIDTH

MOST = 12
"""Series in one drawing."""

HEIGHT = 150
"""Pixels of each."""

COLUMNS = (
    *("kind", "series", "run", "when", "revision", "value", "value_low", "value_high"),
    *("verdict", "set_aside", "until", "label"),
)


def chart(found: Sequence[Judgement], axis: Axis, note: str) -> Chart:
    """One panel a series, each with its own vertical axis. Raises InputError for more than `MOST` series."""
    if len(found) > MOST:
        raise InputError(f"--format svg: {len(found)} series, of at most {MOST}; choose some with --cell or --metric")
    by_order = axis == "commit" or any(not point.when for one in found for point in one.series.points)
    titles = _titles([one.series for one in found])
    points = [point for one, title in zip(found, titles, strict=True) for point in _points(one, title, by_order)]
    said = "; ".join(f"{name(one.series.name, 60)}, {one.series.metric.name}: {result(one)}" for one in found)
    return Chart(
        "history",
        "History",
        f"{len(found)} series of runs in the order of time. {said}",
        _spec(titles, by_order),
        points,
        COLUMNS,
        caption="Dots are runs, hollow where their verdict has doubts or they are set aside; rules are 95 % intervals; "
        f"bands are levels, dashed lines changes. {note[:1].upper() + note[1:]}.",
    )


def _titles(found: Sequence[Series]) -> list[str]:
    """What each panel is called: no two alike, so the machine, and at last the cell, where the rest is the same."""
    plain = [f"{name(of.name, 70)}: {of.metric.title} ({of.metric.unit})" for of in found]
    if len(set(plain)) < len(plain):
        plain = [f"{title}, {name(of.newest.hardware, 40)}" for title, of in zip(plain, found, strict=True)]
    if len(set(plain)) < len(plain):
        marks = [f"{short(of.newest)} by instrument {of.newest.origin.instrument}" for of in found]
        plain = [f"{title}, {mark}" for title, mark in zip(plain, marks, strict=True)]
    return plain


def _points(one: Judgement, title: str, by_order: bool) -> Iterator[Point]:
    of = one.series
    factor = of.metric.factor

    def place(at: int) -> Any:
        return at + 1 if by_order else of.points[at].when

    for at, point in enumerate(of.points):
        aside = at in of.found.lonely or (of.found.suspect and at == len(of.points) - 1)
        low, high = point.value.low, point.value.high
        yield {
            "kind": "run",
            "series": title,
            "run": name(point.name, 60),
            "at": place(at),
            "when": day(point.when) or None,
            "revision": point.revision and name(point.revision, 14),
            "value": point.value.value * factor,
            "value_low": None if low is None else low * factor,
            "value_high": None if high is None else high * factor,
            "verdict": name(point.verdict, 60),
            "set_aside": aside,
            "hollow": aside or point.verdict != "VALID",
        }
    for level in of.found.segments:
        yield {
            "kind": "level",
            "series": title,
            "at": place(level.start),
            "until": place(level.end - 1),
            "value": of.metric.back(level.level) * factor,
            "value_low": of.metric.back(level.level - level.half) * factor,
            "value_high": of.metric.back(level.level + level.half) * factor,
        }
    for change in of.found.changes:
        yield {"kind": "change", "series": title, "at": place(change.at), "label": size(of, change).partition(" (")[0]}


def _spec(titles: Sequence[str], by_order: bool) -> look.Spec:
    axis = {"title": "run", "tickMinStep": 1} if by_order else {"title": None, "format": "%d %b %Y", "tickCount": 5}
    x = {
        "field": "at",
        "type": "quantitative" if by_order else "temporal",
        "scale": {"zero": False, "nice": False, "padding": 14} if by_order else {"type": "utc", "padding": 14},
        "axis": axis | {"grid": False},
    }
    y = {"field": "value", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": None, "tickCount": 4}}
    low, high = {"field": "value_low", "type": "quantitative"}, {"field": "value_high"}
    hollow = {"condition": {"test": "datum.hollow", "value": look.SURFACE}, "value": look.PALETTE[0]}
    runs, levels, changes = ([{"filter": f"datum.kind === '{kind}'"}] for kind in ("run", "level", "change"))
    layers = [
        {
            "transform": levels,
            "mark": {"type": "rect", "color": look.PALETTE[0], "opacity": 0.15},
            "encoding": {"x": x, "x2": {"field": "until"}, "y": {**y, **low}, "y2": high},
        },
        {
            "transform": levels,
            "mark": {"type": "rule", "color": look.PALETTE[0], "strokeWidth": 1.5, "opacity": 0.7},
            "encoding": {"x": x, "x2": {"field": "until"}, "y": y},
        },
        {
            "transform": changes,
            "mark": {"type": "rule", "color": look.PALETTE[1], "strokeWidth": 1.5, "strokeDash": [5, 4]},
            "encoding": {"x": x},
        },
        {
            "transform": changes,
            "mark": {
                "type": "text",
                "color": look.PALETTE[1],
                "align": "left",
                "dx": 5,
                "baseline": "top",
                "fontSize": 12,
            },
            "encoding": {"x": x, "y": {"value": 2}, "text": {"field": "label"}},
        },
        {
            "transform": [*runs, {"filter": "isValid(datum.value_low) && isValid(datum.value_high)"}],
            "mark": {"type": "rule", "color": look.PALETTE[0], "strokeWidth": 1.25},
            "encoding": {"x": x, "y": {**y, **low}, "y2": high},
        },
        {
            "transform": runs,
            "mark": {"type": "point", "filled": True, "size": 55, "strokeWidth": 1.75, "opacity": 1},
            "encoding": {"x": x, "y": y, "fill": hollow, "stroke": {"value": look.PALETTE[0]}},
        },
    ]
    header = {"title": None, "labelOrient": "top", "labelAnchor": "start", "labelAngle": 0, "labelFontSize": 12}
    header |= {"labelColor": look.INK, "labelLimit": WIDTH, "labelPadding": 6}
    return {
        "$schema": look.SCHEMA,
        "data": {"name": "points"},
        "facet": {"row": {"field": "series", "type": "nominal", "sort": list(titles), "header": header}},
        "spec": {"width": WIDTH, "height": HEIGHT, "layer": layers},
        "resolve": {"scale": {"y": "independent"}},
        "config": look.whole([], HEIGHT)["config"],
    }
