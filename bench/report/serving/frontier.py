"""Rows that differ in the level of their load alone: how far it goes within the objectives, and speed against $."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.metrics.serving.frontier import decide
from bench.metrics.serving.search import Found, Search
from bench.metrics.statistics import Estimate
from bench.report.serving.row import Level, ServingRow, family, level

FEWEST_LEVELS = 3
"""A frontier is drawn from so many levels on."""

ALIKE = 0.01
"""Of a speed or a price: a smaller difference is none, where noise alone makes more."""


@dataclass(frozen=True)
class Point:
    """One level: what a user sees, what a million tokens cost, whether the objectives were met.

    `number` is the row's in the table; `on_front`: no other level is both faster for its user and cheaper.
    """

    number: int
    row: ServingRow
    level: Level
    tokens_per_s_per_user: Estimate | None
    usd_per_mtok: Estimate | None
    on_front: bool = False

    @property
    def drawn(self) -> tuple[float, float] | None:
        """Where it stands: tokens per second of a user, and $/Mtok."""
        if self.tokens_per_s_per_user is None or self.usd_per_mtok is None:
            return None
        return self.tokens_per_s_per_user.value, self.usd_per_mtok.value


@dataclass(frozen=True)
class Family:
    """The levels of one load, ascending; those that failed are left out."""

    points: tuple[Point, ...]

    @property
    def judged(self) -> bool:
        """Whether there are objectives."""
        return any(point.row.meets is not None for point in self.points)

    @property
    def highest_met(self) -> Point | None:
        """The highest level at which every objective was surely met."""
        return self._at(self._found().met)

    @property
    def lowest_missed(self) -> Point | None:
        """The lowest level at which one was surely not."""
        return self._at(self._found().not_met)

    @property
    def undecided(self) -> tuple[Point, ...]:
        """Levels between those two at which the intervals reach to both sides."""
        found = (self._at(level) for level in self._found().boundary)
        return tuple(one for one in found if one is not None)

    def _found(self) -> Found:
        """By the rule of `--find-max`: levels are pooled where a lower one seems worse than a higher one."""
        search = Search(lowest=self.points[0].level[0])
        for one in self.points:
            if one.row.figures is not None and one.row.figures.objectives:
                search.tell(one.level[0], decide(one.row.figures.objectives)[1])
        return search.found()

    def _at(self, level: float | None) -> Point | None:
        return next((one for one in self.points if one.level[0] == level), None)

    @property
    def cheapest_met(self) -> Point | None:
        """The cheapest level at which every objective was met, counting what met them alone."""
        priced = [(usd, one) for one in self.points if one.row.meets and (usd := good_usd(one.row)) is not None]
        return min(priced, key=lambda pair: pair[0].value)[1] if priced else None

    @property
    def has_frontier(self) -> bool:
        return sum(point.drawn is not None for point in self.points) >= FEWEST_LEVELS


def good_usd(row: ServingRow) -> Estimate | None:
    """$/Mtok of the requests that met every objective, at the assumed utilisation."""
    if row.dollars is None or row.dollars.good is None:
        return None
    return row.dollars.good.blended_usd_per_mtok


def families(rows: Sequence[ServingRow]) -> list[Family]:
    """Of rows under at least two levels of one load, in the order of the table."""
    groups: dict[str, list[Point]] = {}
    for number, row in enumerate(rows, 1):
        at = level(row.traffic)
        if row.figures is None or at is None:
            continue
        hosted = row.dollars is not None and row.dollars.bill is None
        point = Point(
            number,
            row,
            at,
            row.figures.tokens_per_s_per_user,
            row.dollars.usd_per_mtok if row.dollars is not None and hosted else None,
        )
        groups.setdefault(family(row), []).append(point)
    found = []
    for points in groups.values():
        if len({point.level[0] for point in points}) > 1:
            ordered = sorted(points, key=lambda point: point.level[0])
            found.append(Family(tuple(_marked(ordered))))
    return found


def _marked(points: Sequence[Point]) -> list[Point]:
    places = [point.drawn for point in points if point.drawn is not None]
    return [
        Point(one.number, one.row, one.level, one.tokens_per_s_per_user, one.usd_per_mtok, _on_front(one, places))
        for one in points
    ]


def _on_front(one: Point, places: Sequence[tuple[float, float]]) -> bool:
    """Whether no other level is at least as fast for its user and as cheap, and better in one of the two; what differs
    by less than ALIKE counts as equal."""
    own = one.drawn
    if own is None:
        return False
    speed, usd = own
    return not any(
        (other >= speed * (1 - ALIKE) and its < usd * (1 - ALIKE))
        or (other > speed * (1 + ALIKE) and its <= usd * (1 + ALIKE))
        for other, its in places
    )
