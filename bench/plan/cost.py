"""Choices of cost, checked beyond their types: names that must be known, files that must be readable, days, ratios."""

import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime
from functools import partial

from bench.cost import api_prices, blend, hardware_prices, owned
from bench.errors import InputError
from bench.schema import CostChoices

TUPLES = ("apis", "blends", "api_price_files", "hardware_price_files")
"""Keys that hold several values; a single one may stand without brackets."""

Say = Callable[[tuple[str | int, ...], str], None]
"""Takes where it stands inside the choices, and what is wrong there."""


def listed(raw: object) -> object:
    """The mapping with a tuple wherever one is meant, and a day where one stands as text.

    Anything else is left as it is, for the type check to refuse. A name or a blend that stands twice is kept once.
    """
    if not isinstance(raw, dict):
        return raw
    found = dict(raw)
    for key in TUPLES:
        if isinstance(found.get(key), str):
            found[key] = (found[key],)
        elif isinstance(found.get(key), list):
            found[key] = tuple(found[key])
    for key in ("apis", "blends"):
        if isinstance(found.get(key), tuple) and all(isinstance(one, str) for one in found[key]):
            found[key] = once(found[key])
    if isinstance(found.get("as_of"), str):
        found["as_of"] = day(found["as_of"]) or found["as_of"]
    return found


def once(names: Collection[str]) -> tuple[str, ...]:
    """Each name once, in the order of their first places.

    >>> once(["3:1", "80/20", " 3:1"])
    ('3:1', '80/20')
    """
    return tuple(dict.fromkeys(one.strip() for one in names))


def day(text: str) -> date | None:
    """A day as YYYY-MM-DD, None for any other form: 20261101 and 2026-W01-1 are more often slips than days.

    >>> day("2026-11-01"), day("20261101"), day("2026-W01-1"), day("2026-02-30")
    (datetime.date(2026, 11, 1), None, None, None)
    """
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def contradictions(
    choices: CostChoices, stated: Collection[str] | None = None
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What one person said in one place that cannot hold together: where, and why.

    `stated`: the keys that were written there; without it those that `choices` was made with. Asked of a file and of a
    command line each by itself: an option over a file's key is no contradiction, the option wins.
    """
    given = choices.model_fields_set if stated is None else set(stated)
    listed = [key for key in ("provider", "price_kind") if key in given and getattr(choices, key) not in _UNSAID]
    for own in ("usd_per_hour", "owned"):
        if own in given and getattr(choices, own) is not None and listed:
            yield (listed[0],), f"contradicts {own}, which needs no price list; keep one of them"
    if "price_ratio" in given and choices.attribution != "ratio":
        yield ("price_ratio",), f"does nothing with attribution {choices.attribution}; write attribution: ratio"
    for key in ("spot_overhead", "spot_availability"):
        if key in given and choices.price_kind != "spot":
            yield (key,), f"does nothing with price_kind {choices.price_kind}; write price_kind: spot"
    if "max_spend_usd" in given and choices.max_spend_usd is not None and choices.billed_as is None:
        yield ("max_spend_usd",), "does nothing without billed_as, the API whose prices the endpoint asks"
    machine = choices.owned if "owned" in given else None
    powered = machine is not None and machine.power_kw > 0 and "usd_per_kwh" not in machine.model_fields_set
    if powered and choices.usd_per_kwh is None:
        yield ("owned", "power_kw"), "costs nothing without owned.usd_per_kwh; state it (0 where power is free)"


_UNSAID = (None, "on_demand")


def check(choices: CostChoices, say: Say, uses_apis: bool = False) -> None:
    """Say every mistake. `uses_apis`: nobody will name APIs later, so that the default ones need a price."""
    attempts = list(_attempts(choices))
    if uses_apis and choices.apis is None and choices.as_of is not None:
        attempts.append((("as_of",), partial(_known_then, choices.as_of, choices.api_price_files)))
    for loc, attempt in attempts:
        try:
            attempt()
        except InputError as error:
            say(loc, error.lines[0])


def _attempts(choices: CostChoices) -> Iterator[tuple[tuple[str | int, ...], Callable[[], object]]]:
    hardware, apis = choices.hardware_price_files, choices.api_price_files
    yield ("as_of",), partial(_not_future, choices)
    yield ("hardware_price_files",), partial(hardware_prices.rows, hardware)
    if choices.provider is not None:
        yield ("provider",), partial(hardware_prices.check_provider, choices.provider, hardware)
    for index, name in enumerate(choices.blends):
        yield ("blends", index), partial(_blend, name)
    yield ("api_price_files",), partial(api_prices.providers, apis)
    for index, name in enumerate(choices.apis or ()):
        yield ("apis", index), partial(api_prices.lookup, name, choices.as_of, apis)
    if choices.billed_as is not None:
        yield ("billed_as",), partial(api_prices.lookup, choices.billed_as, choices.as_of, apis)
    if choices.owned is not None:
        yield ("owned",), partial(_not_both, choices)
        yield ("owned",), partial(owned.hourly_usd, choices.owned)


def _not_future(choices: CostChoices) -> None:
    today = datetime.now(UTC).date()
    if choices.as_of is not None and choices.as_of > today:
        raise InputError(f"{choices.as_of} is in the future; the last day that has prices is today, {today}")


def _known_then(on: date, files: tuple[str, ...]) -> None:
    """The default APIs need a price on that day. Raises InputError with the first day on which all of them have one."""
    if on > datetime.now(UTC).date():
        return  # said already

    def lookup(then: date) -> None:
        for name in api_prices.DEFAULT_APIS:
            api_prices.lookup(name, then, files)

    try:
        lookup(on)
    except InputError as error:
        first = next((then for then in _later(on, files) if _succeeds(partial(lookup, then))), None)
        take = "" if first is None else f", or take {first} or later"
        raise InputError(f"{error.lines[0]}; name others with --api{take}") from None


def _later(on: date, files: tuple[str, ...]) -> list[date]:
    """Days after `on` on which a price of a default API begins."""
    every = [quote for name in api_prices.DEFAULT_APIS for quote in api_prices.history(name, files)]
    return sorted({first for first in map(api_prices.first_day, every) if on < first < date.max})


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except InputError:
        return False
    return True


def _blend(text: str) -> None:
    """As `blend.parse`, whose message begins with the option's name: who reports it says where it stands."""
    try:
        blend.parse(text, "")
    except InputError as error:
        raise InputError(error.lines[0].removeprefix(": ")) from None


def _not_both(choices: CostChoices) -> None:
    if choices.usd_per_hour is not None:
        raise InputError("usd_per_hour and owned contradict each other; keep one of them")
