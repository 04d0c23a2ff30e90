"""How every chart looks, and the parts that Vega-Lite specifications are put together from.

Colours are CSS custom properties (`--chart-…`): the page sets them for light, dark and print, and nothing is drawn
anew. Files get concrete ones (`painted`). Series differ in colour and in shape; palettes keep apart for colour-blind
eyes (after Okabe and Ito) and have a contrast of 3 to 1 or more with their surface.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Names the language; nothing fetches it."""

LIGHT = {
    "1": "#0072b2",
    "2": "#c44e00",
    "3": "#00805c",
    "4": "#b0488a",
    "5": "#8a6a00",
    "6": "#3a8fc9",
    "7": "#444444",
    "8": "#7350a8",
    "ink": "#1c2024",
    "muted": "#5c646c",
    "grid": "#e3e6e9",
    "surface": "#ffffff",
}
DARK = {
    "1": "#56b4f0",
    "2": "#ff8f4a",
    "3": "#35c99b",
    "4": "#ea9bc9",
    "5": "#e6b93f",
    "6": "#a5d8f7",
    "7": "#d8dce0",
    "8": "#bda2e8",
    "ink": "#e8eaed",
    "muted": "#a4abb3",
    "grid": "#353b42",
    "surface": "#16191d",
}
_UNSET = {"ink": "currentColor", "muted": "currentColor", "grid": "#8884", "surface": "Canvas"}
_VARIABLE = re.compile(r"var\(--chart-(\w+), [^)]*\)")


def colour(name: str) -> str:
    """A colour of `LIGHT` or `DARK` by name, as CSS that the page decides."""
    return f"var(--chart-{name}, {_UNSET.get(name, LIGHT.get(name))})"


INK, MUTED, GRID, SURFACE = (colour(name) for name in ("ink", "muted", "grid", "surface"))
PALETTE = [colour(str(place)) for place in range(1, 9)]
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left"]
DASHES = [[1, 0], [8, 3], [3, 3], [10, 3, 3, 3], [6, 2], [2, 5], [12, 4], [5, 5, 1, 5]]
FONT = "system-ui, 'Liberation Sans', Arial, sans-serif"
LEFT = 134
"""Pixels for the names of rows, left of where values are drawn."""
LOG_FROM = 10
"""An axis is logarithmic where the largest value is over so many times the smallest."""


def css() -> str:
    """The custom properties, for a page that has `data-theme` ("light", "dark") or follows the system."""

    def rules(theme: dict[str, str]) -> str:
        return "".join(f"--chart-{name}:{value};" for name, value in theme.items())

    dark = f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{rules(DARK)}}}}}"
    printed = f"@media print{{:root:root:root{{{rules(LIGHT)}}}}}"
    return f":root{{{rules(LIGHT)}}}\n{dark}\n:root[data-theme=dark]{{{rules(DARK)}}}\n{printed}\n"


def painted(value: Any, theme: dict[str, str]) -> Any:
    """The same specification with the concrete colours of a theme."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: theme[found.group(1)], value)
    if isinstance(value, dict):
        return {key: painted(one, theme) for key, one in value.items()}
    return [painted(one, theme) for one in value] if isinstance(value, list) else value


def whole(layers: Sequence[Spec], height: int) -> Spec:
    """A specification as wide as what it stands in."""
    axis = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    axis |= {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED}
    legend = {"labelFontSize": 12, "titleFontSize": 12, "labelColor": INK, "titleColor": INK, "labelLimit": 330}
    below = {"bottom": {"direction": "vertical", "anchor": "start", "center": False, "margin": 4}}
    config = {
        "font": FONT,
        "aria": False,
        "mark": {"aria": False},
        "background": None,
        "view": {"stroke": None},
        "axis": axis,
        "legend": legend | {"titleFontWeight": "normal", "orient": "bottom", "columnPadding": 16, "layout": below},
        "text": {"fontSize": 12, "color": INK},
        "title": {"color": INK, "subtitleColor": INK, "fontSize": 15, "subtitleFontSize": 12, "anchor": "start"},
    }
    return {
        "$schema": SCHEMA,
        "data": {"name": "points"},
        "width": "container",
        "height": height,
        "layer": list(layers),
        "config": config,
    }


def only(test: str) -> list[Spec]:
    """A transform that keeps the points of one kind."""
    return [{"filter": test}]


def is_log(values: Sequence[float]) -> bool:
    """Whether an axis of these values has to be logarithmic."""
    return bool(values) and min(values) > 0 and max(values) > LOG_FROM * min(values)


def scale(log: bool, **more: Any) -> Spec:
    """Of an axis; a linear one begins at zero."""
    if log:
        return {"type": "log", "nice": False, "padding": 10, **more}
    return {"type": "linear", "zero": True, "nice": True, **more}


DOLLARS = "'$' + (datum.value >= 1000 ? format(datum.value, ',.0f') : format(datum.value, '.3~g'))"
NUMBER = "datum.value >= 1000 ? format(datum.value, ',.0f') : format(datum.value, '.3~g')"
_MANTISSA = "round(10 * datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"


def axis(title: str, log: bool, words: str = NUMBER, **more: Any) -> Spec:
    """A value axis with few, short labels: of a logarithmic one at 1, 2 and 5."""
    if log:
        title += " (log)"
        words = f"indexof([10, 20, 50], {_MANTISSA}) >= 0 ? {words} : ''"
    return {"title": title, "labelExpr": words, "tickCount": 5, "labelOverlap": "greedy", "labelSeparation": 6, **more}


def upright(title: str, log: bool, words: str = NUMBER, **more: Any) -> Spec:
    """A vertical axis whose title stands above it, where it can be read without turning the head."""
    above = {"titleAngle": 0, "titleAnchor": "end", "titleAlign": "left", "titleBaseline": "bottom"}
    return axis(title, log, words, **above, titleX=-34, titleY=-8, titlePadding=0, **more)


def value(field: str, of_scale: Spec, of_axis: Spec | None) -> Spec:
    """A quantitative channel."""
    return {"field": field, "type": "quantitative", "scale": of_scale, "axis": of_axis}


def tips(*fields: tuple[str, ...]) -> list[Spec]:
    """What is shown of a mark under the pointer: (field, title) of a text, (field, title, format) of a number."""
    found = []
    for field, title, *form in fields:
        kind: Spec = {"type": "quantitative", "format": form[0]} if form else {"type": "nominal"}
        found.append({"field": field, "title": title, **kind})
    return found


def row_tips(*fields: tuple[str, ...]) -> list[Spec]:
    """The same with the row's name before and its verdict behind."""
    return tips(("label", "row"), ("detail", "at"), *fields, ("verdict", "verdict"))


DOLLAR_TIPS = (
    ("usd_per_mtok", "$/Mtok", ".3~g"),
    ("usd_per_mtok_low", "$/Mtok, low end", ".3~g"),
    ("usd_per_mtok_high", "$/Mtok, high end", ".3~g"),
)


def series_colour(names: Sequence[str], legend: bool = True, of_lines: bool = False) -> Spec:
    """Colours of series. The legend wraps at the width of the chart; `of_lines`: it shows strokes."""
    return _of_series({"domain": list(names), "range": PALETTE[: len(names)]}, names, legend, of_lines)


def curve_colour(curves: Mapping[str, int], of_lines: bool = True) -> Spec:
    """Colours of curves: each has that of its series, by its place, as in every other chart."""
    of_scale = {"domain": list(curves), "range": [PALETTE[place % len(PALETTE)] for place in curves.values()]}
    return _of_series(of_scale, list(curves), True, of_lines) | {"field": "curve"}


def curve_dash(curves: Mapping[str, int]) -> Spec:
    """Dashes of curves, in the same legend: those of the series, and others where two curves are of one."""
    of_scale = {"domain": list(curves), "range": [DASHES[place] for place in _apart(curves, len(DASHES))]}
    return _of_series(of_scale, list(curves), True, of_lines=True) | {"field": "curve"}


def curve_shape(curves: Mapping[str, int]) -> Spec:
    """Shapes of curves, alike."""
    of_scale = {"domain": list(curves), "range": [SHAPES[place] for place in _apart(curves, len(SHAPES))]}
    return _of_series(of_scale, list(curves), True) | {"field": "curve"}


def _apart(curves: Mapping[str, int], count: int) -> list[int]:
    """Each curve's place, where it is free, else the first that is."""
    taken: list[int] = []
    free = [one for one in range(count) if one not in curves.values()]
    for place in curves.values():
        taken.append(place % count if place % count not in taken or not free else free.pop(0))
    return taken


def series_shape(names: Sequence[str] | None, legend: bool = True) -> Spec:
    """Shapes of series, in the same legend."""
    of_scale: Spec = {"range": SHAPES} if names is None else {"domain": list(names), "range": SHAPES[: len(names)]}
    return _of_series(of_scale, names, legend)


def series_dash(names: Sequence[str] | None) -> Spec:
    """Dashes of series, in the same legend; None: of curves, as the data name them."""
    of_scale: Spec = {"range": DASHES} if names is None else {"domain": list(names), "range": DASHES[: len(names)]}
    made = _of_series(of_scale, names, True, of_lines=True)
    return made if names is not None else made | {"field": "curve"}


def _of_series(of_scale: Spec, names: Sequence[str] | None, legend: bool, of_lines: bool = False) -> Spec:
    columns = {"expr": f"max(1, floor(({_OUTER} - {AXIS}) / {_legend_width(names or ())}))"}
    symbol = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 2} if of_lines else {"symbolSize": 90}
    limit = {"expr": "max(120, width - 34)"}
    shown = {"title": None, "columns": columns, "labelLimit": limit, **symbol} if legend else None
    return {"field": "series", "type": "nominal", "scale": of_scale, "legend": shown, "sort": None}


AXIS = 60
"""Pixels, at most, that an axis at the left takes from what a chart stands in."""
_OUTER = "((containerSize()[0] || width) + 0 * width)"
"""The width that layout does not change: columns that followed the plot's own would come too late for its height."""


def _legend_width(names: Sequence[str]) -> int:
    """Pixels that the widest name of a legend takes, its symbol included."""
    return min(340, 40 + 7 * max((len(name) for name in names), default=40))


def marks(names: Sequence[str], tooltip: list[Spec], encoding: Spec, legend: bool = True) -> Spec:
    """Points of series, hollow where the verdict has doubts."""
    hollow = {"condition": {"test": "datum.doubtful", "value": SURFACE}}
    return {
        "mark": {"type": "point", "filled": True, "size": 75, "strokeWidth": 1.75, "opacity": 1},
        "encoding": {
            "fill": hollow | series_colour(names, legend),
            "stroke": series_colour(names, legend),
            "shape": series_shape(names, legend),
            "tooltip": tooltip,
            **encoding,
        },
    }


def halo(text: Spec, encoding: Spec, transform: list[Spec]) -> list[Spec]:
    """A text that can be read on top of lines: first its outline in the colour of the surface."""
    outline = {**text, "type": "text", "stroke": SURFACE, "strokeWidth": 4, "strokeJoin": "round", "color": SURFACE}
    plain = {**text, "type": "text"}
    return [{"transform": transform, "mark": mark, "encoding": encoding} for mark in (outline, plain)]
