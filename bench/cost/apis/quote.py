"""One price of one API model on the word of one source."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from bench.cost.tariff import Tariff

Basis = Literal["documented", "recorded", "observed", "snapshot", "file"]
"""How a source dates a price: `documented`, its own start date; `recorded`, the day on which somebody wrote it down;
`observed`, the first release in which it was seen; `snapshot`, no date but that of the release that holds it;
`file`, a file of the user."""

STALE_DAYS = 90


@dataclass(frozen=True)
class Quote:
    """USD prices of `provider`/`model_id`.

    `valid_from` is the first day on which the source knows this price, None where it has no date; `confirmed` is the
    last day for which the source vouches for it (the release of a package), None where nobody knows.
    """

    source: str
    provider: str
    model_id: str
    tariff: Tariff
    basis: Basis
    valid_from: date | None
    confirmed: date | None

    def age_days(self, on: date) -> int | None:
        """Days since somebody last vouched for this price; 0 for a day before that."""
        return None if self.confirmed is None else max(0, (on - self.confirmed).days)

    def stale(self, on: date) -> bool:
        """Older than 90 days, or of unknown age."""
        age = self.age_days(on)
        return age is None or age > STALE_DAYS


def agree(one: Quote, other: Quote) -> bool:
    """Equal prices of input and output, for long prompts too; of cached tokens where both list one of their own.

    Sources that put the same tier one token apart (199,999 and 200,000) agree.
    """
    lengths = {0, *(tier.above + 1000 for quote in (one, other) for tier in quote.tariff.tiers[1:])}
    pairs = [(one.tariff.at(length), other.tariff.at(length)) for length in sorted(lengths)]
    return all((mine.input, mine.output) == (theirs.input, theirs.output) for mine, theirs in pairs) and all(
        mine.cached == theirs.cached or mine.input == mine.cached or theirs.input == theirs.cached
        for mine, theirs in pairs[:1]
    )
