"""What an entry has under a column: an estimate, a number, a text, or None where nobody knows."""

import math
from collections.abc import Callable
from dataclasses import replace

from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import Asked, Priced
from bench.metrics.statistics import Estimate

Value = Estimate | float | int | str | None
Get = Callable[[Entry], Value]
ASKED = Asked()
"""Tables show each entry's own price, utilisation and tokens."""


def figure(name: str) -> Get:
    return lambda entry: entry.figures.get(name)


def dollars(of: Callable[[Priced, Asked], Estimate | None]) -> Get:
    return lambda entry: None if entry.priced is None else of(entry.priced, ASKED)


def part(part: str) -> Get:
    return lambda entry: None if entry.priced is None else mixed.part_usd_per_mtok(entry.priced, part, ASKED)


def priced(name: str) -> Get:
    def get(entry: Entry) -> Value:
        found: Value = None if entry.priced is None else getattr(entry.priced, name)
        return found

    return get


def bytes_of(name: str) -> Get:
    def get(entry: Entry) -> Value:
        found: Value = None if entry.memory is None else getattr(entry.memory, name)
        return found

    return get


def limit(name: str) -> Get:
    def get(entry: Entry) -> Value:
        found: Value = None if entry.limits is None else getattr(entry.limits, name)
        return found

    return get


def percentile(name: str, which: str) -> Get:
    """None where there are too few samples for it: a table of numbers has no room for the reason."""

    def get(entry: Entry) -> Value:
        found = entry.distributions.get(name)
        value = None if found is None else found.percentiles.get(which)
        return None if isinstance(value, str) else value

    return get


def quality(name: str) -> Get:
    """With ± 1.96 standard errors where there is one; such an interval may hold zero."""

    def get(entry: Entry) -> Value:
        value: float | None = getattr(entry.quality, name)
        error: float | None = getattr(entry.quality, f"{name}_se", None)
        if value is None or error is None:
            return value
        return Estimate(value, value - 1.96 * error, value + 1.96 * error, 1)

    return get


def api(entry: Entry) -> Value:
    best = None if entry.priced is None else mixed.cheapest(entry.priced, ASKED)
    return None if best is None else best.api


def api_usd(entry: Entry) -> Value:
    best = None if entry.priced is None else mixed.cheapest(entry.priced, ASKED)
    return None if best is None or entry.priced is None else mixed.api_usd_per_mtok(entry.priced, best, ASKED)


def ratio(entry: Entry) -> Value:
    best = None if entry.priced is None else mixed.cheapest(entry.priced, ASKED)
    return None if best is None or entry.priced is None else mixed.ratio(entry.priced, best, ASKED)


def break_even(entry: Entry) -> Value:
    best = None if entry.priced is None else mixed.cheapest(entry.priced, ASKED)
    return None if best is None or entry.priced is None else mixed.break_even(entry.priced, best, ASKED)


def good(entry: Entry) -> Value:
    return None if entry.good is None else mixed.usd_per_mtok(entry.good, ASKED)


def model(entry: Entry) -> Value:
    return entry.model + (" (random weights)" if entry.random_weights and "random weights" not in entry.model else "")


def runner(entry: Entry) -> Value:
    return " ".join(one for one in (entry.runner, entry.options) if one)


def origin(entry: Entry) -> Value:
    return " ".join(one for one in (entry.origin.tool, entry.origin.version) if one)


def finite(value: Value) -> Value:
    """The value without infinities and without what is no number; of an estimate each end by itself."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, Estimate):
        return value
    if not math.isfinite(value.value):
        return None
    if all(end is None or math.isfinite(end) for end in (value.low, value.high)):
        return value
    low, high = (end if end is not None and math.isfinite(end) else None for end in (value.low, value.high))
    return replace(value, low=low, high=high)
