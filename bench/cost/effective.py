"""One price for each kind of token where requests fall into several tiers of a tariff. Exact sums, then floats."""

from dataclasses import dataclass
from decimal import Decimal

from bench.cost.mix import Mix, Sums
from bench.cost.tariff import MTOK, Tariff, Tier


@dataclass(frozen=True)
class Effective:
    """USD per Mtok of uncached, cached and output tokens, such that these requests cost what they do one by one.

    `fee_usd_per_mtok` is what the price of a request adds to a million of their tokens; `cached_tokens` are those of a
    mean request.
    """

    input_usd_per_mtok: float
    cached_usd_per_mtok: float
    output_usd_per_mtok: float
    fee_usd_per_mtok: float
    cached_tokens: float


def effective(mix: Mix, tariff: Tariff, cached_share: float = 0.0) -> Effective:
    """The tariff over these requests, of whose prompts at least `cached_share` is taken as cached.

    A kind that they have none of costs what it costs in their tiers. One request on each side of 1000 tokens, at $1
    and $2 per million:

    >>> from bench.cost.mix import Mixing
    >>> one = Decimal(1)
    >>> mixing = Mixing((1000,))
    >>> mixing.add(900, 0, 100)
    >>> mixing.add(1900, 0, 100)
    >>> found = effective(mixing.mix(), Tariff((Tier(-1, one, one, one), Tier(1000, 2 * one, 2 * one, 2 * one))))
    >>> round(found.input_usd_per_mtok, 6), found.output_usd_per_mtok, found.cached_usd_per_mtok
    (1.678571, 1.5, 1.5)
    """
    parts = [
        (tariff.at(above + 1), _with_cached(part, cached_share))
        for above, part in zip((-1, *mix.bounds), mix.parts, strict=True)
    ]
    whole = mix.whole

    def mean(kind: str, tokens: str) -> float:
        pairs = [(getattr(tier, kind), getattr(part, tokens)) for tier, part in parts]
        if not sum(count for _, count in pairs):
            pairs = [(getattr(tier, kind), part.requests) for tier, part in parts]
        count = sum(count for _, count in pairs)
        return (
            float(sum((price * many for price, many in pairs), Decimal(0)) / count) if count else _first(tariff, kind)
        )

    return Effective(
        input_usd_per_mtok=mean("input", "fresh"),
        cached_usd_per_mtok=mean("cached", "cached"),
        output_usd_per_mtok=mean("output", "output"),
        fee_usd_per_mtok=float(whole.requests * tariff.usd_per_request * MTOK / whole.tokens) if whole.tokens else 0.0,
        cached_tokens=sum(part.cached for _, part in parts) / whole.requests if whole.requests else 0.0,
    )


def _first(tariff: Tariff, kind: str) -> float:
    lowest: Tier = tariff.tiers[0]
    return float(getattr(lowest, kind))


def _with_cached(part: Sums, share: float) -> Sums:
    """As `Mix.usd` counts."""
    cached = max(part.cached, round(share * part.prompt))
    return Sums(part.requests, part.prompt - cached, cached, part.output)
