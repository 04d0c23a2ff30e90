"""Charts with a line for every row: names at the left, groups under headings, the best group first."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.entries.entry import Entry
from bench.page.charts.look import GRID, INK, LEFT, MUTED, Spec, halo, only
from bench.page.charts.naming import Naming, identity, place

STEP = 21
"""Pixels a line takes."""
MOST = 40
"""Lines that are drawn at most, headings not counted."""


@dataclass(frozen=True)
class Line:
    """A row and its place from above; `head` is the group's name over its first row, `head_order` where that stands."""

    entry: Entry
    value: float
    order: int
    head: str | None
    head_order: int | None


def lines(found: Sequence[tuple[Entry, float]], naming: Naming, start: int = 0) -> list[Line]:
    """The `MOST` rows of the smallest values, by group; `start` places above them are kept free."""
    kept = sorted(found, key=lambda one: (one[1], one[0].key))[:MOST]
    groups: dict[tuple[str, ...], list[tuple[Entry, float]]] = {}
    for entry, value in kept:
        groups.setdefault(identity(entry), []).append((entry, value))
    made, order = [], start
    for members in groups.values():
        head: str | None = naming.name(members[0][0])
        for entry, value in sorted(members, key=lambda one: (place(one[0]), one[1], one[0].key)):
            above = order if head else None
            order += 1 if head else 0
            made.append(Line(entry, value, order, head, above))
            order, head = order + 1, None
    return made


def height(made: Sequence[Line]) -> int:
    """Pixels of all lines; `Charts.update` does the same when their number changes."""
    return STEP * (made[-1].order + 1) if made else STEP


def y(field: str = "order", **more: object) -> Spec:
    """The place of a line; places are whole numbers, ascending."""
    return {"field": field, "type": "ordinal", "axis": None, "scale": {"paddingInner": 0, "paddingOuter": 0}, **more}


def names() -> list[Spec]:
    """Headings, and the name of each line at its left."""
    row = only("datum.kind === 'row'")
    left = {"align": "left", "baseline": "middle", "color": INK}
    head = {"y": y("head_order"), "x": {"value": 0}, "text": {"field": "head", "type": "nominal"}}
    detail = {"y": y(), "x": {"value": 10}, "text": {"field": "detail", "type": "nominal"}}
    rule = {"type": "rule", "color": GRID, "x": LEFT, "x2": "width"}
    bold = {"fontWeight": "bold", "limit": {"expr": "width"}, "dy": 1, **left}
    return [
        {"transform": row, "mark": rule, "encoding": {"y": y()}},
        *halo(bold, head, only("isValid(datum.head)")),
        {"transform": row, "mark": {"type": "text", "limit": LEFT - 14, **left}, "encoding": detail},
    ]


def across(**more: object) -> Spec:
    """The scale of the values: right of the names."""
    return {"range": [LEFT, {"expr": "width - 6"}], **more}


def interval(low: str, high: str, scale: Spec, axis: Spec | None) -> Spec:
    """The interval of a line."""
    return {
        "transform": only(f"datum.kind === 'row' && isValid(datum.{low}) && isValid(datum.{high})"),
        "mark": {"type": "rule", "strokeWidth": 2.5, "color": MUTED},
        "encoding": {
            "y": y(),
            "x": {"field": low, "type": "quantitative", "scale": scale, "axis": axis},
            "x2": {"field": high},
        },
    }
