"""The highest load that meets the objectives, searched for: each level is a cell, and each look at it a run.

Which level comes next is `bench.metrics.serving.search`'s to say, from what was measured alone: so a search that was
stopped goes on from the stored runs, and other objectives are searched for from the runs that there are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import runners, store
from bench.errors import InputError
from bench.execute import under_load
from bench.execute.run import Bench, Measured, Standing, environment_of
from bench.measure.serving import stopping
from bench.metrics.serving import RunFigures, objectives
from bench.metrics.serving.search import AGAIN, Found, Search
from bench.schema import Cell, Job, Record, Sampling, Slo, Traffic

ENDLESS = 1_000_000
SAYS_NOTHING = ("unsupported", "invalid")
"""Of a level: no run of any level can begin."""
OPEN_RANGE = 1000.0
"""An open loop is searched down to this part of the first rate that its config names."""


@dataclass
class Family:
    """Cells that differ in the level of their load alone."""

    cells: list[Cell]

    @property
    def first(self) -> Cell:
        return self.cells[0]

    @property
    def traffic(self) -> Traffic:
        assert self.first.traffic is not None
        return self.first.traffic

    @property
    def is_closed(self) -> bool:
        return self.traffic.load == "closed"

    def at(self, level: float) -> Cell:
        """The cell of a level, one of the config's where it has that level."""
        changed = {"concurrency": round(level)} if self.is_closed else {"requests_per_s": level}
        kind = runners.find(self.first.runner.name)
        options = kind.Options.model_validate(self.first.runner.options)
        cell = self.first.model_copy(update={"traffic": self.traffic.model_copy(update=changed)})
        return cell.identified(options.model_dump(mode="json", exclude_defaults=True))


def families(cells: Sequence[Cell]) -> list[Family]:
    """The families of the cells under load, in their order. Raises InputError where there is nothing to search."""
    found: dict[str, Family] = {}
    for cell in cells:
        if cell.traffic is None:
            continue
        if cell.traffic.load == "trace" or cell.traffic.ramp is not None:
            what = "a trace" if cell.traffic.load == "trace" else "a ramp"
            raise InputError(f"--find-max: {what} has no level to search over; take a closed or an open load")
        found.setdefault(_key(cell), Family([])).cells.append(cell)
    if not found:
        raise InputError("--find-max: no workload of this config is a load; add one with `load: closed`")
    return list(found.values())


def check(cells: Sequence[Cell], slo: Sequence[Slo]) -> None:
    """Raises InputError where a search could not come to an end that says anything."""
    if not slo:
        raise InputError("--find-max: no objective to hold the load to; add slo: to the config, or --slo")
    for family in families(cells):
        for one in slo:
            needed = math.ceil(math.log(0.025) / math.log(one.percentile / 100))
            asked = _requests(family)
            if asked is not None and asked * AGAIN < needed:
                raise InputError(
                    f"--find-max: {AGAIN} runs of {asked:.0f} requests cannot show that {one.percentile:g}% meet "
                    f"{one.text()}; set until.requests to {math.ceil(needed / AGAIN)} at least, better {needed}"
                )


def _requests(family: Family) -> float | None:
    """How many requests one run at the first level has; None where the server's speed says it."""
    until = family.traffic.until
    if until.requests is not None:
        return until.requests
    rate = min(_level(cell) for cell in family.cells)
    return None if family.is_closed else rate * (until.duration_s or stopping.USUAL_DURATION_S)


def run(
    cells: Sequence[Cell],
    measured: dict[str, Measured],
    bench: Bench,
    replan: Callable[[Sequence[Cell]], None],
) -> None:
    """Search every family, one after the other. `replan` stores the cells that came to be, for the report.

    Raises as `bench.execute.run.run` does.
    """
    known = list(cells)
    # How often a level is measured is the search's to say: no record of it ends the sampling of a cell.
    endless = Sampling(target=1e-6, budget_s=1e9, max_replicates=ENDLESS)
    sweep = bench.sweep.model_copy(update={"sampling": endless, "replicates": ENDLESS})
    bench = replace(bench, sweep=sweep)
    for family in families(cells):
        search = _search(family)
        tellings = Tellings(search, bench.sweep.slo, bench.journal.folder)
        for record, tried in _stored(family, bench.journal.folder):
            measured.setdefault(record.cell.cell_id, Measured()).replicates.add(record.replicate)
            if _tells(record):
                tellings.add(record, tried)
            if record.cell.cell_id not in {one.cell_id for one in known}:
                known.append(record.cell)
        replan(_by_level(known))
        failed: Record | None = None
        while failed is None and (level := search.next()) is not None:
            cell = family.at(level)
            if cell.cell_id not in {one.cell_id for one in known}:
                known.append(cell)
                replan(_by_level(known))
            record = _measure(cell, measured, bench, tellings, level)
            failed = record if record.status in SAYS_NOTHING else None
        bench.watcher.say(f"{family.traffic.load}: {text(search.found(), family.is_closed)}")
        if failed is not None:
            why = "" if failed.error is None else f": {failed.error.reason}"
            bench.watcher.say(f"the search of this load ended before its end, because no run can begin{why}")


def text(found: Found, is_closed: bool) -> str:
    """What a search found, in words.

    >>> text(Found(4.0, 4.5, (), 7, "tolerance"), False)
    'highest load that met every objective: 4 requests/s; 4.5 did not (7 runs)'
    >>> text(Found(None, 1.0, (), 3, "never-met"), True)
    'no load met every objective, not even 1 streams at once (3 runs)'
    """
    unit = "streams at once" if is_closed else "requests/s"
    runs = f"({found.runs} runs)"
    if found.met is None:
        lowest = "" if found.not_met is None else f", not even {found.not_met:g} {unit}"
        return f"no load met every objective{lowest} {runs}"
    missed = [*found.boundary, *([] if found.not_met is None else [found.not_met])]
    upper = f"; {min(missed):g} did not" if found.not_met in missed and min(missed) == found.not_met else ""
    if missed and not upper:
        upper = f"; {min(missed):g} cannot be told"
    if not missed:
        upper = ", the highest that was tried"
    return f"highest load that met every objective: {found.met:g} {unit}{upper} {runs}"


def _by_level(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of one family side by side, as the report is to show them: by their level, where the first of them was."""
    place: dict[str, int] = {}
    for cell in cells:
        place.setdefault(_key(cell), len(place))
    return sorted(cells, key=lambda cell: (place[_key(cell)], _level(cell) if cell.traffic is not None else 0.0))


def _key(cell: Cell) -> str:
    """Equal for the cells of one family; of a cell without a load, its own."""
    if cell.traffic is None:
        return cell.cell_id
    return cell.model_dump_json(exclude={"cell_id": True, "traffic": {"concurrency", "requests_per_s"}})


def _search(family: Family) -> Search:
    levels = sorted(_level(cell) for cell in family.cells)
    lowest = 1.0 if family.is_closed else levels[0] / OPEN_RANGE
    highest = levels[-1] if len(levels) > 1 else None
    return Search(lowest=lowest, highest=highest, start=levels[0], integer=family.is_closed)


def _level(cell: Cell) -> float:
    assert cell.traffic is not None
    return float(cell.traffic.concurrency or cell.traffic.requests_per_s or 0.0)


Told = tuple[bool | None, float, float]


def told(runs: Sequence[RunFigures]) -> Told:
    """What the runs of a level say together: met, not met, or None; and the interval of the weakest share."""
    with_some = [run for run in runs if run.objectives]
    if not with_some:
        return None, 0.0, 1.0
    together = [objectives.pooled(each) for each in zip(*(run.objectives for run in with_some), strict=True)]
    low, high = min(one.low for one in together), min(one.high for one in together)
    if any(one.high * 100 < one.slo.percentile for one in together):
        return False, low, high
    met = all(one.low * 100 >= one.slo.percentile for one in together)
    return (True if met else None), low, high


@dataclass
class Tellings:
    """The runs of each level, told to a search as they come: each with all of its level's before it.

    A run that the load outgrew says by itself that the level is not met, however few of its requests were over; so
    does one that failed, of a server that cannot start for so many streams or of a client that cannot bear the level.
    """

    search: Search
    slo: tuple[Slo, ...]
    folder: Path
    runs: dict[float, list[RunFigures]] = field(default_factory=dict)

    def add(self, record: Record, level: float) -> None:
        """One more run."""
        if record.status in SAYS_NOTHING:
            return
        if record.serving is None or record.serving.ended in ("oversaturated", "errors"):
            self.search.tell(level, False, 0.0, 0.0)
            return
        try:
            run = under_load.run_of(record, self.folder, self.slo)
        except InputError:
            run = None
        if run is not None:
            self.runs.setdefault(level, []).append(run)
        self.search.tell(level, *told(self.runs.get(level, ())))


def _measure(cell: Cell, measured: dict[str, Measured], bench: Bench, tellings: Tellings, level: float) -> Record:
    known = measured.setdefault(cell.cell_id, Measured())
    replicate = max(known.replicates, default=-1) + 1
    runs = sum(len(each) for each in tellings.search.told.values())
    bench.watcher.started(
        Job(cell=cell, replicate=replicate), Standing(done=runs, at_least=runs + 1, left_s=None, half_width=None)
    )
    record = bench.measure(cell, replicate, known)
    tellings.add(record, level)
    return record


def _tells(record: Record) -> bool:
    """Whether a stored run says something of its level: not one that a person, money or a kill ended."""
    if under_load.is_cut_short(record):
        return False
    return record.serving is not None or (record.error is not None and record.error.exit_code is not None)


def _stored(family: Family, folder: Path) -> Iterator[tuple[Record, float]]:
    """What the journal already holds of a family, from this machine and these versions."""
    if not (folder / store.JOURNAL).is_file():
        return
    here = environment_of(family.first).fingerprint()
    for record in store.read(folder, lambda _: None):
        if record.cell.traffic is None or record.environment.fingerprint() != here:
            continue
        level = _level(record.cell)
        if level and family.at(level).cell_id == record.cell.cell_id:
            yield record, level
