"""How the price of an API model, or of a line of models that followed each other, moved: points, changes, yearly falls.

Pure: quotes in, numbers out. Prices are exact (`Decimal`); shares and yearly rates are floats of one division or power.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from bench.cost.apis.quote import Basis, Quote
from bench.cost.blend import Blend
from bench.errors import InputError

DAYS_PER_YEAR = 365.25
MONTHS_PER_YEAR = 12

RANK: dict[Basis, int] = {"file": 4, "documented": 3, "recorded": 2, "observed": 1, "snapshot": 0}
"""Whom to believe where two sources speak of one day."""

History = tuple[str, Sequence[Quote]]
"""A `provider/model` and its quotes, of all sources."""


@dataclass(frozen=True)
class Point:
    """A price from a day on, in USD per million tokens: the lowest tier, nothing cached."""

    day: date
    name: str
    input_usd: Decimal
    output_usd: Decimal
    blended_usd: Decimal
    source: str
    basis: Basis


@dataclass(frozen=True)
class Line:
    """Prices of one model, or of a succession of them, ascending; each holds until the next.

    `until` is the last day for which a source vouches for the last price, or the end of the window if that is earlier;
    `vouched_to` is that day whatever the window (None: `until`). `followed`: after the window another price came.
    """

    name: str
    points: tuple[Point, ...]
    until: date
    vouched_to: date | None = None
    followed: bool = False

    def corners(self) -> list[tuple[date, Decimal]]:
        """Where a drawn line turns: prices are constant between changes, so it goes in steps."""
        found = [(self.points[0].day, self.points[0].blended_usd)]
        for old, new in pairwise(self.points):
            found += [(new.day, old.blended_usd), (new.day, new.blended_usd)]
        return [*found, (self.until, self.points[-1].blended_usd)]


@dataclass(frozen=True)
class Fall:
    """From the first price of a line to its last; shares of the first, negative where the price rose.

    The yearly figures are None where less than a year lies between: they would be an extrapolation.
    """

    first: Point
    last: Point
    total: float
    yearly_by_months: float | None
    yearly_by_days: float | None


def in_force(quotes: Sequence[Quote]) -> list[tuple[date, Quote]]:
    """Which quote holds from which day on, one entry for each change of the input or output price.

    A quote counts from its first day. It is passed over where a better source (`RANK`) vouches for that day. A quote
    without a first day counts from the day on which it was confirmed; one without either has no place in time, nor has
    one of no price at all.
    """
    priced = [quote for quote in quotes if quote.tariff.tiers[0].input or quote.tariff.tiers[0].output]
    dated = [(day, quote) for quote in priced if (day := quote.valid_from or quote.confirmed) is not None]
    found: list[tuple[date, Quote]] = []
    now: tuple[date, Quote] | None = None
    for day, quote in sorted(dated, key=lambda one: (one[0], -RANK[one[1].basis])):
        if now is not None:
            began, held = now
            vouched = day <= max(began, held.confirmed or began)
            if day == began or (vouched and RANK[held.basis] > RANK[quote.basis]):
                continue
        now = (day, quote)
        if not found or not found[-1][1].tariff.same_prices(quote.tariff):
            found.append(now)
    return found


def line(
    name: str, histories: Sequence[History], blend: Blend, start: date | None = None, end: date | None = None
) -> Line:
    """One line through the models in their order; each takes over on its first day.

    Raises InputError where a model has no dated price, does not begin later than the one before it, or where nothing
    is known in the window.
    """
    points: list[Point] = []
    until = date.min
    for model, quotes in histories:
        found = [_point(day, model, quote, blend) for day, quote in in_force(quotes)]
        if not found:
            raise InputError(f"{model}: no dated price is known; choose another model")
        points = _taken_over(points, found)
        until = max([found[-1].day, *(one.confirmed for one in quotes if one.confirmed is not None)])
    vouched_to, known = until, len(points)
    if end is not None:
        points, until = [one for one in points if one.day <= end], min(until, end)
    followed = len(points) < known
    if not points:
        raise InputError(f"--to: no price of {name} is known on or before {end}")
    if start is not None:
        before = [one for one in points if one.day < start]
        points = [one for one in points if one.day >= start]
        if before and (not points or points[0].day > start):
            points.insert(0, _moved(before[-1], start))
    return Line(name, tuple(points), max(until, points[-1].day), vouched_to, followed)


def _taken_over(old: list[Point], new: list[Point]) -> list[Point]:
    if old and new[0].day <= old[0].day:
        raise InputError(
            f"{new[0].name} is not known to begin later than {old[0].name} ({new[0].day}, {old[0].day}); "
            "write the older one first, or show them as two lines"
        )
    return [*(one for one in old if one.day < new[0].day), *new]


def _point(day: date, model: str, quote: Quote, blend: Blend) -> Point:
    tier = quote.tariff.tiers[0]
    return Point(day, model, tier.input, tier.output, blend.of(tier.input, tier.output), quote.source, quote.basis)


def _moved(point: Point, day: date) -> Point:
    return Point(day, point.name, point.input_usd, point.output_usd, point.blended_usd, point.source, point.basis)


def changes(points: Sequence[Point]) -> Iterator[tuple[Point, float | None, float | None]]:
    """Each point with its blended price over the point before's and over the first's, less 1; None for the first."""
    for before, point in zip([None, *points], points, strict=False):
        if before is None:
            yield point, None, None
        else:
            yield point, _rise(before, point), _rise(points[0], point)


def _rise(old: Point, new: Point) -> float:
    return float(new.blended_usd / old.blended_usd) - 1


def fall(of: Line) -> Fall:
    """From the first price to the last. GPT-4 to GPT-4o of August 2024, 36 to 4 dollars at 80/20:

    >>> def at(day: date, usd: Decimal) -> Point:
    ...     return Point(day, "model", usd, usd, usd, "source", "observed")
    >>> points = at(date(2023, 3, 14), Decimal(36)), at(date(2024, 8, 6), Decimal(4))
    >>> found = fall(Line("model", points, points[1].day))
    >>> [round(share, 3) for share in (found.total, found.yearly_by_months, found.yearly_by_days)]
    [0.889, 0.788, 0.792]
    """
    first, last = of.points[0], of.points[-1]
    before, after = float(first.blended_usd), float(last.blended_usd)
    days, months = (last.day - first.day).days, calendar_months(first.day, last.day)
    whole = days >= DAYS_PER_YEAR - 1  # 365 days are a year too
    return Fall(
        first,
        last,
        total_fall(before, after),
        yearly_fall_by_months(before, after, months) if whole else None,
        yearly_fall_by_days(before, after, days) if whole else None,
    )


def total_fall(before: float, after: float) -> float:
    """1 − p1/p0: the share of the price that is gone.

    >>> round(total_fall(36.0, 4.0), 4)
    0.8889
    """
    return 1 - after / before


def yearly_fall_by_months(before: float, after: float, months: float) -> float:
    """1 − (p1/p0)^(12/months): the constant yearly fall that makes the same of it in so many months.

    Halved twice in two years:

    >>> yearly_fall_by_months(4.0, 1.0, 24)
    0.5
    >>> round(yearly_fall_by_months(36.0, 4.0, 17), 3)
    0.788
    """
    return 1 - math.pow(after / before, MONTHS_PER_YEAR / months)


def yearly_fall_by_days(before: float, after: float, days: float) -> float:
    """1 − (p1/p0)^(365.25/days): the same, counted by days.

    >>> round(yearly_fall_by_days(36.0, 4.0, 511), 3)
    0.792
    """
    return 1 - math.pow(after / before, DAYS_PER_YEAR / days)


def calendar_months(start: date, end: date) -> int:
    """Months by the calendar, whatever the day of the month, as people count them.

    >>> calendar_months(date(2023, 3, 14), date(2024, 8, 6))
    17
    """
    return (end.year - start.year) * MONTHS_PER_YEAR + end.month - start.month
