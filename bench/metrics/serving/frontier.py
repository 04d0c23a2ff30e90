"""The trade between what a user sees and what the server gives, over cells that differ in their level alone.

Each level is a point: tokens a second that each user sees (1 / TPOT) against tokens a second of all. A point is on
the front when no other gives both as much, and one of them more. Dollars are made of these rates elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.metrics.serving import Objective, ServingFigures
from bench.schema import Cell, Traffic


@dataclass(frozen=True, slots=True)
class Point:
    """One level of a load."""

    cell_id: str
    level: float
    """Requests per second of an open loop, streams of a closed one; of a trace its speed."""
    tokens_per_s_per_user: float | None
    output_tokens_per_s: float
    goodput_requests_per_s: float | None
    attainment: float | None
    met: bool | None
    """Every objective, by its share; None without objectives."""
    surely: bool | None
    """By the whole interval of each share: True all met, False one not met, None neither."""
    is_fatal: bool
    """A reason stands against it that forbids dollars."""


@dataclass(frozen=True)
class Frontier:
    """Points by level, ascending."""

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    best: Point | None
    """The highest level that met every objective, and below which each level did. None where none did."""


def level_of(traffic: Traffic) -> float | None:
    """The level of a load: where a ramp leads to, where there is one."""
    if traffic.ramp is not None:
        return traffic.ramp.to
    if traffic.load == "closed":
        return None if traffic.concurrency is None else float(traffic.concurrency)
    return traffic.speed if traffic.load == "trace" else traffic.requests_per_s


def family(cell: Cell) -> str:
    """Equal for cells that differ in the level of their load alone."""
    if cell.traffic is None:
        return cell.cell_id
    traffic = cell.traffic.model_copy(update={"concurrency": None, "requests_per_s": None})
    if traffic.load == "trace":
        traffic = traffic.model_copy(update={"speed": 1.0})
    if traffic.ramp is not None:
        traffic = traffic.model_copy(update={"ramp": traffic.ramp.model_copy(update={"to": 1.0})})
    return cell.model_copy(update={"cell_id": "", "traffic": traffic}).model_dump_json(exclude_defaults=True)


def frontiers(cells: Iterable[tuple[Cell, ServingFigures]]) -> dict[str, Frontier]:
    """A frontier for each family of cells; those without a level have none."""
    points: dict[str, list[Point]] = {}
    for cell, figures in cells:
        level = None if cell.traffic is None else level_of(cell.traffic)
        if level is not None:
            points.setdefault(family(cell), []).append(point(cell.cell_id, level, figures))
    return {name: frontier(each) for name, each in points.items()}


def point(cell_id: str, level: float, figures: ServingFigures) -> Point:
    """A cell as a point."""
    user, goodput = figures.tokens_per_s_per_user, figures.goodput_requests_per_s
    met, surely = decide(figures.objectives)
    return Point(
        cell_id=cell_id,
        level=level,
        tokens_per_s_per_user=None if user is None else user.value,
        output_tokens_per_s=figures.output_tokens_per_s.value,
        goodput_requests_per_s=None if goodput is None else goodput.value,
        attainment=figures.attainment,
        met=met,
        surely=surely,
        is_fatal=any(reason.fatal for reason in figures.reasons),
    )


def decide(objectives: Sequence[Objective]) -> tuple[bool | None, bool | None]:
    """Whether all objectives were met, by their shares and by their intervals; (None, None) without objectives.

    The second is what `search.Search.tell` asks for.
    """
    if not objectives:
        return None, None
    sure = [one.surely for one in objectives]
    return all(one.met for one in objectives), False if False in sure else None if None in sure else True


def weakest(objectives: Sequence[Objective]) -> Objective | None:
    """The objective that is nearest to failing: the most misses, at the least, for those that it allows."""
    return max(objectives, key=lambda one: (1 - one.high) / (1 - one.slo.percentile / 100), default=None)


def frontier(points: Sequence[Point]) -> Frontier:
    """Order the points, find the front, and the highest level within the objectives."""
    ordered = tuple(sorted(points, key=lambda one: one.level))
    placed = [one for one in ordered if one.tokens_per_s_per_user is not None and not one.is_fatal]
    front = tuple(one for one in placed if not any(_dominates(other, one) for other in placed))
    best = None
    for one in ordered:
        if not one.met:
            break
        if not one.is_fatal:
            best = one
    return Frontier(ordered, front, best)


def _dominates(one: Point, other: Point) -> bool:
    mine = (one.tokens_per_s_per_user or 0.0, one.output_tokens_per_s)
    theirs = (other.tokens_per_s_per_user or 0.0, other.output_tokens_per_s)
    return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))
