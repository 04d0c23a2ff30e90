"""Rows for the browser, packed: ten thousand of them, as plain JSON, would be a page of forty megabytes.

A list of equal-shaped values becomes columns, what repeats becomes a list of the distinct and indices into it, at every
depth. `bench/page/static/payload.js` is the other half. A node is a JSON array whose first item names its form:

["c", value]                      the same value every time
["v", [value, …]]                 scalars, one after the other
["d", count, node, [index, …]]    `count` distinct values, packed themselves, and which of them stands where
["o", [[key, …], …], node, [[key, node], …]]   objects: their shapes, which shape stands where, and a column a key: a
                                  value for each object whose shape has that key
["l", node, node]                 lists: their lengths, and all their items in one line
["t", node, [node, …]]            of several classes: which one stands where (0 scalar, 1 object, 2 list), and each
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import date
from functools import cache
from typing import Any

from bench.entries.entry import Entry

DIGITS = 9
"""Significant digits: more than any dollar on the page shows, fewer bytes than a double's seventeen."""
FEWER_DIGITS = 6
MANY_ROWS = 2000
"""From so many rows on, whatever no dollar is computed from has `FEWER_DIGITS`."""

_EXACT = ("priced", "good")
_WORTH, _WORTH_OF_NUMBERS = 0.6, 0.3
"""Share of distinct values up to which indices are shorter; an index takes bytes that a short number does not save."""
_SCALAR, _OBJECT, _LIST = range(3)


def rows(entries: Sequence[Entry]) -> Any:
    """All entries in `as_plain`'s shape, packed. The samples of distributions stay out: charts carry what they draw."""
    few = FEWER_DIGITS if len(entries) > MANY_ROWS else DIGITS
    lean = [_without_samples(one) for one in entries]
    names = _names(Entry)
    columns = [[name, pack([getattr(one, name) for one in lean], DIGITS if name in _EXACT else few)] for name in names]
    return ["o", [list(names)], ["c", 0], columns]


def _without_samples(entry: Entry) -> Entry:
    kept = {name: replace(one, values_s=()) for name, one in entry.distributions.items()}
    return replace(entry, distributions=kept) if kept else entry


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """What JSON can hold, with every float to so many significant digits; whole ones become integers, which are
    shorter, and what is infinite is null.

    >>> rounded({"a": [0.1234567891234, 2.0, float("inf")]})
    {'a': [0.123456789, 2, None]}
    """
    kind = _class_of(value)
    if kind == _OBJECT:
        return {name: rounded(one, digits) for name, one in _items(value)}
    if kind == _LIST:
        return [rounded(one, digits) for one in value]
    return _scalar(value, digits)


def _scalar(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        near = float(f"{value:.{digits}g}")
        return int(near) if near.is_integer() and abs(near) < 1e15 else near
    return value.isoformat() if isinstance(value, date) else value


def pack(values: Sequence[Any], digits: int = DIGITS) -> Any:
    """A node that holds these values, in order: nouns of records, or what JSON can hold."""
    if not values:
        return ["c", None]
    classes = [_class_of(one) for one in values]
    whole = [_scalar(one, digits) for one in values] if not any(classes) else values
    places: dict[Any, int] = {}
    try:
        which = [places.setdefault((one, one.__class__), len(places)) for one in whole]
    except TypeError:  # a mapping is in it: its parts are looked at one by one
        return _apart(whole, classes, digits)
    distinct = [one for one, _ in places]
    if len(distinct) == 1:
        return ["c", rounded(distinct[0], digits)]
    numbers = all(isinstance(one, int | float) for one in distinct)
    if len(distinct) <= len(whole) * (_WORTH_OF_NUMBERS if numbers else _WORTH):
        return ["d", len(distinct), _apart(distinct, [_class_of(one) for one in distinct], digits), which]
    return _apart(whole, classes, digits)


def _apart(values: Sequence[Any], classes: Sequence[int], digits: int) -> Any:
    """Values of which few repeat as a whole; their parts may."""
    kinds = set(classes)
    if kinds == {_SCALAR}:
        return ["v", list(values)]
    if kinds == {_OBJECT}:
        return _objects(values, digits)
    if kinds == {_LIST}:
        return ["l", pack([len(one) for one in values]), pack([item for one in values for item in one], digits)]
    parts = [[one for one, which in zip(values, classes, strict=True) if which == kind] for kind in range(3)]
    return ["t", pack(classes), [pack(part, digits) for part in parts]]


def _objects(values: Sequence[Any], digits: int) -> Any:
    shapes: dict[tuple[str, ...], int] = {}
    columns: dict[str, list[Any]] = {}
    which = []
    for value in values:
        items = _items(value)
        which.append(shapes.setdefault(tuple(name for name, _ in items), len(shapes)))
        for name, one in items:
            columns.setdefault(name, []).append(one)
    packed = [[name, pack(column, digits)] for name, column in columns.items()]
    return ["o", [list(shape) for shape in shapes], pack(which), packed]


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), one) for name, one in value.items()]
    of: type = type(value)
    return [(name, getattr(value, name)) for name in _names(of)]


def _class_of(value: Any) -> int:
    of: type = type(value)
    return _class(of)


@cache
def _names(of: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(of))


@cache
def _class(of: type) -> int:
    if issubclass(of, Mapping) or is_dataclass(of):
        return _OBJECT
    return _LIST if issubclass(of, list | tuple) else _SCALAR


_UNSAFE = re.compile("[<>&\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def safe_json(value: Any) -> str:
    """JSON that can stand in a <script> element: nothing in it ends the element, opens a comment, breaks
    a line or turns the order in which an editor shows it.

    >>> safe_json(["</script><!--", "\\u2028", "\\ud800", "é"])
    '["\\\\u003c/script\\\\u003e\\\\u003c!--","\\\\u2028","\\\\ud800","é"]'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
