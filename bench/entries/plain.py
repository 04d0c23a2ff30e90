"""Entries as plain data: the very names of the dataclasses, SI units, days in ISO form, what is infinite or not known
as null. It is the shape of a row in the browser, too."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from functools import cache
from typing import Any

from bench.entries.entry import Entry

FORMAT = 1
"""Raised when a name here changes its meaning."""


def as_plain(entry: Entry) -> dict[str, Any]:
    """Nested dictionaries and lists that JSON can hold; an `Estimate` is {value, low, high, n}."""
    made = plain(entry)
    assert isinstance(made, dict)
    return made


def plain(value: Any) -> Any:
    """Any value of this room's nouns."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        kind: Any = type(value)
        return {name: plain(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no plain form")


@cache
def _names(of: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(of))
