"""By what entries are ranked, and the places that they take: those that the intervals cannot tell apart share one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import Asked
from bench.metrics.statistics import Estimate

Z = 1.959963985
"""Standard errors on either side of a 95 % interval."""


@dataclass(frozen=True)
class Ranking:
    """`of` says for people what is ranked. `highest`: the largest is the best. `column` is its name in tables.

    `within`: what, beside the definitions, has to be equal: "tokens" of a request, with the "utilisation" of the
    machine for dollars, or the "text" that was scored, with the "reference" level.
    """

    name: str
    of: str
    column: str
    highest: bool
    within: tuple[str, ...]
    get: Callable[[Entry], Estimate | None]


def _usd(entry: Entry) -> Estimate | None:
    return None if entry.priced is None else mixed.usd_per_mtok(entry.priced, Asked())


def _figure(name: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: entry.figures.get(name)


def _quality(name: str) -> Callable[[Entry], Estimate | None]:
    """With 1.96 standard errors on either side, over blocks of the text."""

    def get(entry: Entry) -> Estimate | None:
        of = entry.quality
        value: float | None = getattr(of, name)
        if value is None and of.is_reference and name != "bits_per_byte":
            return Estimate(0.0, 0.0, 0.0, 1)  # the reference is what the others are held against
        error: float | None = getattr(of, f"{name}_se", None)
        if value is None or error is None:
            return None if value is None else Estimate(value, None, None, 1)
        return Estimate(value, value - Z * error, value + Z * error, 1)

    return get


_TOKENS = ("tokens",)
_ALL = (
    Ranking("usd_per_mtok", "dollars per million tokens", "usd_per_mtok", False, ("tokens", "utilisation"), _usd),
    Ranking(
        "speed",
        "tokens per second of one user",
        "tokens_per_s_per_user",
        True,
        _TOKENS,
        _figure("tokens_per_s_per_user"),
    ),
    Ranking(
        "throughput",
        "tokens per second of the whole system, in and out",
        "total_tokens_per_s",
        True,
        _TOKENS,
        _figure("total_tokens_per_s"),
    ),
    Ranking(
        "energy",
        "joules per output token",
        "energy_j_per_output_token",
        False,
        _TOKENS,
        _figure("energy_j_per_output_token"),
    ),
    Ranking("quality", "bits per byte of the text", "bits_per_byte", False, ("text",), _quality("bits_per_byte")),
    Ranking("delta_nll", "ΔNLL to the reference", "delta_nll", False, ("text", "reference"), _quality("delta_nll")),
    Ranking("kl", "KL divergence from the reference", "kl_mean", False, ("text", "reference"), _quality("kl_mean")),
)
RANKINGS = {one.name: one for one in _ALL}


@dataclass(frozen=True)
class Placed:
    """An entry in its place, from 1. `shared`: others have the same; `alone`: its value has no interval."""

    entry: Entry
    value: Estimate
    place: int
    shared: bool
    alone: bool

    @property
    def text(self) -> str:
        """The place as it is printed, such as "2=" or "5?"."""
        return f"{self.place}{'=' if self.shared else ''}{'?' if self.alone else ''}"


def placed(found: Sequence[tuple[Entry, Estimate]], highest: bool) -> list[Placed]:
    """Best first. A place is shared with the first of its holders as long as the intervals of the two overlap.

    So nobody shares a place with an entry that is surely better, however many stand between them; and a step to the
    next place is one from the first holder. A value without an interval is taken as it is.
    """
    ordered = sorted(found, key=lambda one: (-one[1].value if highest else one[1].value, one[0].key))
    places: list[int] = []
    for at, (_, value) in enumerate(ordered):
        first = places[-1] - 1 if places else 0
        places.append(places[-1] if places and _overlap(ordered[first][1], value) else at + 1)
    return [
        Placed(entry, value, place, places.count(place) > 1, value.low is None or value.high is None)
        for (entry, value), place in zip(ordered, places, strict=True)
    ]


def _overlap(one: Estimate, other: Estimate) -> bool:
    (low, high), (least, most) = _ends(one), _ends(other)
    return low <= most and least <= high


def _ends(of: Estimate) -> tuple[float, float]:
    if of.low is None or of.high is None:
        return of.value, of.value
    return of.low, of.high


def is_ranked(value: Estimate | None) -> bool:
    """Whether a figure can have a place."""
    return value is not None and math.isfinite(value.value)
