"""What requests consist of: uncached, cached and output tokens, by the size of the prompt where prices change.

An API may ask more for long prompts, and for all of their tokens. So tokens are summed between the bounds of those
tiers: any number of requests is then priced exactly as if each one were priced alone, without keeping each one. Pure.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from bench.cost.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests and their tokens; `fresh` are the prompt tokens that were not cached."""

    requests: int = 0
    fresh: int = 0
    cached: int = 0
    output: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.requests + other.requests,
            self.fresh + other.fresh,
            self.cached + other.cached,
            self.output + other.output,
        )

    @property
    def prompt(self) -> int:
        return self.fresh + self.cached

    @property
    def tokens(self) -> int:
        return self.fresh + self.cached + self.output


def bounds_of(tariffs: Iterable[Tariff]) -> tuple[int, ...]:
    """Sizes of prompts above which one of the tariffs asks other prices, ascending."""
    return tuple(sorted({tier.above for tariff in tariffs for tier in tariff.tiers if tier.above >= 0}))


@dataclass(frozen=True)
class Mix:
    """Sums between bounds: `parts[i]` are of prompts above `bounds[i - 1]` and not above `bounds[i]`."""

    bounds: tuple[int, ...] = ()
    parts: tuple[Sums, ...] = (Sums(),)

    @property
    def whole(self) -> Sums:
        return sum(self.parts, Sums())

    def __add__(self, other: "Mix") -> "Mix":
        """Both together. Raises ValueError where their bounds differ."""
        if self.bounds != other.bounds:
            raise ValueError("mixes with other bounds cannot be added")
        return Mix(self.bounds, tuple(one + two for one, two in zip(self.parts, other.parts, strict=True)))

    def usd(self, tariff: Tariff, cached_share: float = 0.0) -> Decimal:
        """What an API asks for these requests, exactly: the sum of what it asks for each of them.

        `cached_share` of the prompt tokens are taken as cached at least. Raises ValueError where the tariff has a tier
        that the bounds do not know. One request below and one above 1000 tokens, at $1 and $2 per million:

        >>> from bench.cost.tariff import Tier
        >>> one = Decimal(1)
        >>> tariff = Tariff((Tier(-1, one, one, one), Tier(1000, 2 * one, 2 * one, 2 * one)))
        >>> mixing = Mixing(bounds_of([tariff]))
        >>> mixing.add(900, 0, 100)
        >>> mixing.add(1900, 0, 100)
        >>> mixing.mix().usd(tariff)
        Decimal('0.005')
        """
        if not set(bounds_of([tariff])) <= set(self.bounds):
            raise ValueError("the tariff has tiers that these sums do not tell apart")
        total = Decimal(0)
        for above, part in zip((-1, *self.bounds), self.parts, strict=True):
            cached = max(part.cached, round(cached_share * part.prompt))
            tier = tariff.at(above + 1)
            tokens = (part.prompt - cached) * tier.input + cached * tier.cached + part.output * tier.output
            total += tokens / 1_000_000 + part.requests * tariff.usd_per_request
        return total


@dataclass
class Mixing:
    """Adds requests up, one at a time."""

    bounds: tuple[int, ...] = ()
    _sums: list[list[int]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._sums = [[0, 0, 0, 0] for _ in range(len(self.bounds) + 1)]

    def add(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> None:
        """One request; `input_tokens` with the cached ones, of which there are never more than that."""
        cached = min(cached_tokens, input_tokens)
        own = self._sums[bisect_left(self.bounds, input_tokens)]
        own[0] += 1
        own[1] += input_tokens - cached
        own[2] += cached
        own[3] += output_tokens

    def mix(self) -> Mix:
        return Mix(self.bounds, tuple(Sums(*own) for own in self._sums))


def together(mixes: Sequence[Mix], bounds: tuple[int, ...] = ()) -> Mix:
    """All of them; an empty one with these bounds where there are none."""
    if not mixes:
        return Mixing(bounds).mix()
    found = mixes[0]
    for one in mixes[1:]:
        found = found + one
    return found
