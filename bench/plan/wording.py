"""What a type check found wrong, in plain words: the one place that knows how pydantic puts it."""

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

BY_TYPE = {
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "date_type": "must be a day such as 2026-01-31",
    "date_from_datetime_inexact": "must be a day such as 2026-01-31, without a time",
    "string_too_short": "must not be empty",
}
"""Kinds of mistake whose message speaks of Python and not of the file."""


def plain(problem: Mapping[str, Any]) -> str:
    """One of `ValidationError.errors()` as the end of a line, without what was given.

    >>> plain({"type": "string_too_short", "msg": "String should have at least 1 character", "input": ""})
    'must not be empty'
    >>> said = {"msg": "Input should be greater than or equal to 1e-06", "ctx": {"ge": 1e-6}}
    >>> [plain({"type": "greater_than_equal", **said, "input": given}) for given in (1e-9, 0)]
    ['must be greater than or equal to 0.000001', 'must be greater than 0']
    """
    if problem["type"] in BY_TYPE:
        return BY_TYPE[problem["type"]]
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be")
    if problem["type"] == "greater_than_equal" and 0 < problem["ctx"]["ge"] < 1 and problem["input"] <= 0:
        return "must be greater than 0"  # the bound itself only keeps sums finite
    return re.sub(r"\d+(\.\d+)?e[-+]?\d+", lambda found: f"{Decimal(found[0]):f}", message)


def remedy(problem: Mapping[str, Any]) -> str:
    """What to write where text stands that is a number or a list to a person: YAML takes 3e4 and '2' for text.

    >>> remedy({"type": "float_type", "input": "3e4"}), remedy({"type": "float_type", "input": "cheap"})
    ('; write 30000', '')
    >>> remedy({"type": "tuple_type", "input": "--fast --metrics"})
    '; write [--fast, --metrics]'
    """
    given = problem["input"]
    if problem["type"] == "string_type" and isinstance(given, int | float):
        return "; write it in quotes"
    if problem["type"] == "tuple_type" and isinstance(given, str):
        return f"; write [{', '.join(given.replace(',', ' ').split())}]"
    if problem["type"] not in ("float_type", "int_type", "float_parsing", "int_parsing") or not isinstance(given, str):
        return ""
    try:
        number = float(given.replace(",", ""))
    except ValueError:
        return ""
    if not math.isfinite(number) or not (number == 0 or 1e-9 <= abs(number) < 1e15):
        return ""
    if problem["type"].startswith("int_") and number != int(number):
        return ""
    return f"; write {Decimal(f'{number:.15g}'):f}"


def telling(problems: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without what follows from another: a list whose one entry is wrong is not too short as well."""
    every = list(problems)
    return [
        one
        for one in every
        if one["type"] != "too_short"
        or not any(other["loc"][: len(one["loc"])] == one["loc"] for other in every if other is not one)
    ]
