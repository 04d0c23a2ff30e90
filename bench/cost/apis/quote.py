"""One price of one API model on the word of one source."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from bench.cost.tariff import Tariff

Basis = Literal["documented", "recorded", "observed", "snapshot", "file"]
"""How a source dates a price: its own start date with a reference; the day on which somebody recorded it; the day of the
release in which it was first seen; no date but that of the release that holds it; a file that the user points at."""

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
