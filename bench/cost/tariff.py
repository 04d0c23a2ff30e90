"""What tokens cost at an API: prices per million, by tiers of prompt length. Exact: `Decimal` throughout."""

from dataclasses import dataclass
from decimal import Decimal

MTOK = 1_000_000


@dataclass(frozen=True)
class Tier:
    """USD per million tokens for prompts of more than `above` tokens, cached ones included.

    `cached` is what a prompt token costs that the API had in its cache; where none is listed, the input price.
    """

    above: int
    input: Decimal
    cached: Decimal
    output: Decimal


@dataclass(frozen=True)
class Tariff:
    """Tiers, ascending; the first one starts above −1, so that one always applies.

    A prompt that is long enough for a tier pays its prices for *all* of its tokens (the "cliff" that every provider
    uses), not only for those beyond it.
    """

    tiers: tuple[Tier, ...]
    usd_per_request: Decimal = Decimal(0)

    def at(self, prompt_tokens: int) -> Tier:
        """The tier of a prompt of so many tokens, cached ones included."""
        if len(self.tiers) == 1:
            return self.tiers[0]
        return next(tier for tier in reversed(self.tiers) if prompt_tokens > tier.above)

    def request_usd(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        """USD of one request; `input_tokens` are the uncached ones.

        >>> flat = Tariff((Tier(-1, Decimal("0.15"), Decimal("0.075"), Decimal("0.60")),))
        >>> flat.request_usd(1000, 1000, 500)
        Decimal('0.000525')
        """
        tier = self.at(input_tokens + cached_tokens)
        total = input_tokens * tier.input + cached_tokens * tier.cached + output_tokens * tier.output
        return total / MTOK + self.usd_per_request

    def blended_usd_per_mtok(self, input_parts: int, output_parts: int) -> Decimal:
        """USD of a million tokens at a ratio of input to output, in the lowest tier and nothing cached.

        GPT-4 of March 2023, 80/20:

        >>> Tariff((Tier(-1, Decimal(30), Decimal(30), Decimal(60)),)).blended_usd_per_mtok(80, 20)
        Decimal('36')
        """
        tier = self.tiers[0]
        return (input_parts * tier.input + output_parts * tier.output) / (input_parts + output_parts)

    def same_prices(self, other: "Tariff") -> bool:
        """Equal input and output prices in the lowest tier: what two sources are held against each other by."""
        one, two = self.tiers[0], other.tiers[0]
        return (one.input, one.output) == (two.input, two.output)
