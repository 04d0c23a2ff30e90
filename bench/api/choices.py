"""Choices of cost as a program says them: a mapping, a file, keywords, or somebody's own prices; checked as the
command line checks its options."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from pydantic import ValidationError

from bench.errors import InputError, nearest
from bench.plan import cost, read, wording
from bench.schema import CostChoices, OneOff, Owned

Choose = Callable[[CostChoices], CostChoices]
OwnPrice = tuple[float, float] | list[float] | Mapping[str, float]
"""USD per million tokens in and out; or by the names `input`, `output`, `cached` and `request` (USD each)."""

Prices = CostChoices | Mapping[str, Any] | str | PathLike[str]
"""What stands in place of a config's `cost:`: its keys, the path of a YAML file with them, or name → `OwnPrice`."""

INSIDE = {"owned": Owned.model_fields, "one_off": OneOff.model_fields}
OWN_KEYS = ("input", "output", "cached", "request")


class Choices(TypedDict, total=False):
    """The keys of a config's `cost:` as keywords; each wins over the same key of what it is given with. None: not said.

    Definitions and bounds are those of `bench.schema.CostChoices` (docs/cost.md).
    """

    usd_per_hour: float | None
    utilisation: float | None
    apis: Sequence[str] | Mapping[str, OwnPrice] | str | None
    as_of: date | str | None
    owned: Owned | Mapping[str, float] | None
    one_off: OneOff | Mapping[str, Any] | None
    provider: str | None
    price_kind: str | None
    spot_overhead: float | None
    spot_availability: float | None
    attribution: str | None
    price_ratio: float | None
    usd_per_kwh: float | None
    api_cached_share: float | None
    billed_as: str | None
    api_price_files: Sequence[str] | None
    hardware_price_files: Sequence[str] | None


@dataclass(frozen=True)
class OwnApi:
    """Prices that somebody states: USD per million tokens, and per request."""

    name: str
    input: float
    cached: float
    output: float
    request: float = 0.0


@dataclass(frozen=True)
class Asked:
    """`choose` makes the choices that count of those in a run's plan; `own` are compared with in place of any API."""

    choose: Choose
    own: tuple[OwnApi, ...] = ()


def asked(prices: Prices | None, said: Mapping[str, Any], before: Asked | None = None) -> Asked:
    """What `prices` and the keywords `said` mean together, over what was asked `before`. Raises InputError naming the
    key."""
    said = {key: value for key, value in said.items() if value is not None}
    own = () if before is None or "apis" in said else before.own
    base: CostChoices | None = None
    if isinstance(prices, Mapping) and _are_own(prices):
        own, prices = _every_own(prices), None
    elif isinstance(prices, Mapping) and isinstance(prices.get("apis"), Mapping):
        own, prices = _every_own(prices["apis"]), {key: one for key, one in prices.items() if key != "apis"}
    if prices is not None:
        base = _base(prices)
        own = () if base.apis is not None else own
    if isinstance(said.get("apis"), Mapping):
        own = _every_own(said.pop("apis"))
    changed = _checked(said)
    keys = changed.model_fields_set
    for loc, message in cost.contradictions(changed):
        raise InputError(_line(loc, message))

    def choose(planned: CostChoices) -> CostChoices:
        start = base or (planned if before is None else before.choose(planned))
        over: dict[str, Any] = {key: getattr(changed, key) for key in keys}
        if {"provider", "price_kind"} & keys and "usd_per_hour" not in keys:
            over["usd_per_hour"] = None  # asking for a list's price sets a stated one aside
        if {"provider", "price_kind", "usd_per_hour"} & keys:
            over["owned"] = None
        if "owned" in keys:
            over |= {"usd_per_hour": None, "owned": changed.owned}
        return _known(start.model_copy(update=over), uses_apis=not own)

    return Asked(choose, own)


def _are_own(prices: Mapping[str, Any]) -> bool:
    """Whether the keys name APIs, and not choices: they look like one, or hold numbers or a mapping of such prices."""
    known = CostChoices.model_fields
    if not prices or any(key in known for key in prices):
        return False
    return all(
        "/" in str(name)
        or (isinstance(value, list | tuple) and not any(isinstance(one, str) for one in value))
        or (isinstance(value, Mapping) and set(value) <= {*OWN_KEYS})
        for name, value in prices.items()
    )


def _every_own(prices: Mapping[str, Any]) -> tuple[OwnApi, ...]:
    if not prices:
        raise InputError("apis: empty; name at least one, or leave it out for the defaults")
    return tuple(_own(str(name), _as_plain(value)) for name, value in prices.items())


def _own(name: str, value: object) -> OwnApi:
    where = f"prices of {name!r}"
    if isinstance(value, Mapping):
        for key in value:
            if key not in OWN_KEYS:
                raise InputError(f"{where}: unknown key {key!r}; {nearest(str(key), OWN_KEYS)}")
        missing = [key for key in ("input", "output") if key not in value]
        if missing:
            raise InputError(f"{where}: {missing[0]}: missing; USD per million tokens")
        found = {key: _usd(f"{where}: {key}", one) for key, one in value.items()}
        return OwnApi(
            name, found["input"], found.get("cached", found["input"]), found["output"], found.get("request", 0.0)
        )
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{where}: must be a pair, USD per million tokens in and out (got {value!r})")
    first, last = _usd(f"{where}: in", value[0]), _usd(f"{where}: out", value[1])
    return OwnApi(name, first, first, last)


def _usd(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{where}: must be a number of dollars from 0 on (got {value!r})")
    return float(value)


def _base(prices: Prices) -> CostChoices:
    if isinstance(prices, CostChoices):
        return prices
    if isinstance(prices, str | PathLike):
        return read.choices(Path(prices))
    if not isinstance(prices, Mapping):
        raise InputError(
            f"prices: must be a mapping of a config's `cost:` keys, of names to (in, out), or a path (got {prices!r})"
        )
    found = _checked(prices)
    for loc, message in cost.contradictions(found):
        raise InputError(_line(loc, message))
    return _known(found)


def _checked(said: Mapping[str, Any]) -> CostChoices:
    """By type and bounds. Raises InputError, one line for each mistake."""
    if said.get("apis") == [] or said.get("apis") == ():
        raise InputError("apis: empty list: name at least one, or leave the key out for the defaults")
    plain = {key: _as_plain(value) for key, value in said.items()}
    try:
        return CostChoices.model_validate(cost.listed(plain), extra="forbid", strict=True)
    except ValidationError as error:
        lines = []
        for problem in wording.telling(error.errors()):
            key = str(problem["loc"][-1])
            if problem["type"] == "extra_forbidden":
                inside = INSIDE.get(str(problem["loc"][0])) if len(problem["loc"]) > 1 else None
                text = f"unknown key; {nearest(key, CostChoices.model_fields if inside is None else inside)}"
            elif problem["type"] == "missing":
                text = "missing"
            else:
                text = f"{wording.plain(problem)} (got {problem['input']!r}){wording.remedy(problem)}"
            lines.append(_line(problem["loc"], text))
        raise InputError(*lines) from None


def _as_plain(value: object) -> object:
    """A noun as the mapping that it was made of; a path as text; a sequence as a list; a whole number of NumPy's, and
    the like, as Python's."""
    if isinstance(value, Owned | OneOff):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _as_plain(one) for key, one in value.items()}
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, list | tuple):
        return [_as_plain(one) for one in value]
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value


def _known(choices: CostChoices, uses_apis: bool = False) -> CostChoices:
    """The choices themselves. Raises InputError for a name that nobody knows, a file that cannot be read, a bad day."""
    lines: list[str] = []
    cost.check(choices, lambda loc, message: lines.append(_line(loc, message)), uses_apis)
    if lines:
        raise InputError(*lines)
    return choices


def _line(loc: Sequence[str | int], message: str) -> str:
    """Where it stands inside the choices, as a config's errors say it."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: {message}"
