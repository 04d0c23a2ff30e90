"""Choices of cost, checked beyond their types: names that must be known, files that must be readable, days, ratios."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from bench.cost import api_prices, blend, hardware_prices, owned
from bench.errors import InputError
from bench.schema import CostChoices

TUPLES = ("apis", "blends", "api_price_files", "hardware_price_files")
"""Keys that hold several values; a single one may stand without brackets."""

Say = Callable[[tuple[str | int, ...], str], None]
"""Takes where it stands inside the choices, and what is wrong there."""


def listed(raw: object) -> object:
    """The mapping with a tuple wherever one is meant; anything else as it is, for the type check to refuse."""
    if not isinstance(raw, dict):
        return raw
    found = dict(raw)
    for key in TUPLES:
        if isinstance(found.get(key), str):
            found[key] = (found[key],)
        elif isinstance(found.get(key), list):
            found[key] = tuple(found[key])
    return found


def check(choices: CostChoices, say: Say) -> None:
    """Say every mistake."""
    for loc, attempt in _attempts(choices):
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
        yield ("blends", index), partial(blend.parse, name, "blend")
    yield ("api_price_files",), partial(api_prices.providers, apis)
    for index, name in enumerate(choices.apis or ()):
        yield ("apis", index), partial(api_prices.lookup, name, choices.as_of, apis)
    if choices.owned is not None:
        yield ("owned",), partial(_not_both, choices)
        yield ("owned",), partial(owned.hourly_usd, choices.owned)


def _not_future(choices: CostChoices) -> None:
    today = datetime.now(UTC).date()
    if choices.as_of is not None and choices.as_of > today:
        raise InputError(f"{choices.as_of} is in the future; the last day that has prices is today, {today}")


def _not_both(choices: CostChoices) -> None:
    if choices.usd_per_hour is not None:
        raise InputError("usd_per_hour and owned contradict each other; keep one of them")
