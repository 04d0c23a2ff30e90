"""How long a config will take, before it starts: from what is stored of its cells, else from its limits alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.execute.run import Measured
from bench.schema import Cell, Sweep

START_S = 1.0
"""No process starts, loads, generates and ends in less."""

FAILED = ("failures", "hopeless")
Kind = tuple[str, str]
"""Runner and model: cells that are alike in both take times alike."""


@dataclass(frozen=True)
class Range:
    """At least, about, at most; about is None where nothing like it was measured."""

    least: float = 0.0
    likely: float | None = 0.0
    most: float = 0.0

    def __add__(self, other: "Range") -> "Range":
        likely = None if self.likely is None or other.likely is None else self.likely + other.likely
        return Range(self.least + other.least, likely, self.most + other.most)

    def times(self, factor: float) -> "Range":
        likely = None if self.likely is None else self.likely * factor
        return Range(self.least * factor, likely, self.most * factor)


@dataclass
class Expected:
    """What is done of a config, and how many seconds the rest takes.

    `done` cells need no further replicate, `failed` ones cannot be measured, the others are `left`; `passes` are
    quality passes that are not stored. `based` says what the estimate stands on.
    """

    cells: int
    done: int = 0
    failed: int = 0
    replicates: int = 0
    passes: int = 0
    blind: int = 0
    """Cells of which nothing like them was measured."""
    seconds: Range = field(default_factory=Range)
    based: str = ""

    @property
    def left(self) -> int:
        return self.cells - self.done - self.failed


def kinds(known: Iterable[tuple[Sequence[Cell], Mapping[str, Measured]]]) -> dict[Kind, float]:
    """Mean seconds of a replicate for each runner and model, over everything that was measured."""
    sums: dict[Kind, tuple[float, int]] = {}
    for cells, measured in known:
        for cell in cells:
            one = measured[cell.cell_id]
            if one.times and cell.traffic is None:
                seconds, count = sums.get(_kind(cell), (0.0, 0))
                sums[_kind(cell)] = (seconds + one.spent_s, count + len(one.replicates))
    return {kind: seconds / count for kind, (seconds, count) in sums.items()}


def expected(
    cells: Sequence[Cell], sweep: Sweep, measured: Mapping[str, Measured], alike: Mapping[Kind, float], passes: int = 0
) -> Expected:
    """Of one config. `measured` is what its folder holds, `alike` the times of cells like its own, `passes` how many
    quality passes are to come.

    The most is what the rule for stopping allows: each cell's time budget, or its replicates where these end sooner. A
    cell whose fewest replicates take longer than its budget takes longer, up to the time limit of each process.
    """
    found = Expected(len(cells), passes=passes)
    own = like = 0
    for cell in cells:
        known = measured[cell.cell_id]
        found.replicates += len(known.times)
        stop = known.stop(sweep)
        if stop is not None:
            failed = stop.ending in FAILED
            found.failed += failed
            found.done += not failed
            continue
        seconds = _of_measured(known, sweep) if known.replicates else _of_unknown(cell, sweep, alike.get(_kind(cell)))
        own += bool(known.replicates)
        like += not known.replicates and seconds.likely is not None
        found.blind += seconds.likely is None
        found.seconds += seconds
    if passes:
        found.seconds += Range(START_S, None, sweep.timeout_s).times(passes)
    parts = ((own, "own records"), (like, "cells alike"), (found.blind + passes, "limits only"))
    texts = [text for count, text in parts if count]
    several = len(texts) > 1
    found.based = ", ".join(f"{text} ({count})" if several else text for count, text in parts if count) or "all done"
    return found


def _of_measured(known: Measured, sweep: Sweep) -> Range:
    each, sampling = known.each_s() or 0.0, sweep.sampling
    least = each * known.left(sweep)
    by_count = (sampling.max_replicates - len(known.replicates)) * each
    most = max(least, min(by_count, sampling.budget_s - known.spent_s + each))
    return Range(least, min(max(least, known.left_s(sweep)), most), most)


def _of_unknown(cell: Cell, sweep: Sweep, each: float | None) -> Range:
    sampling = sweep.sampling
    count = min(sweep.replicates, sampling.max_replicates)
    shortest = max(START_S, _load_s(cell))
    least = shortest * count
    most = max(least, min(sampling.budget_s + shortest, sampling.max_replicates * sweep.timeout_s))
    if each is None:
        return Range(least, None, most)
    likely = each * count
    return Range(min(least, likely), likely, max(most, likely))


def _load_s(cell: Cell) -> float:
    """What a load lasts by itself, where its config says how long."""
    if cell.traffic is None or cell.traffic.until.duration_s is None:
        return 0.0
    ramp_s = 0.0 if cell.traffic.ramp is None else cell.traffic.ramp.over_s
    return cell.traffic.until.duration_s + ramp_s + (cell.traffic.warmup_s or 0.0)


def _kind(cell: Cell) -> Kind:
    return cell.runner.name, cell.model.model_dump_json()
