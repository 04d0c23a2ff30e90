"""A plan, carried out: sweep after sweep over the cells until each has been measured often enough, one record a job."""

import errno
import os
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Protocol

from bench import runners, store
from bench.execute import child, fit
from bench.execute.interrupts import interrupts
from bench.metrics import enough, latency
from bench.metrics.latency import Times
from bench.schema import Cell, Environment, Job, Record, Status, Stop, Sweep
from bench.sensors import environment

STAMP_BYTES = 24
"""One time stamp in the text of a record."""


@dataclass(frozen=True)
class Standing:
    """How far a run is. `at_least` counts the records that are certain to come, done ones included."""

    done: int
    at_least: int
    left_s: float | None
    half_width: float | None


class Watcher(Protocol):
    """Shows the run to a person. Never called while a round is timed."""

    def started(self, job: Job, standing: Standing) -> None: ...

    def phase(self, name: str, estimate_s: float | None) -> None: ...

    def finished(self, record: Record) -> None: ...

    def say(self, message: str) -> None: ...


@dataclass
class Measured:
    """What is known of one cell on this machine: enough to say whether it needs another replicate."""

    replicates: set[int] = field(default_factory=set)
    times: list[Times] = field(default_factory=list)
    failures: list[Status] = field(default_factory=list)
    spent_s: float = 0.0
    _asked_at: int = -1
    _stop: Stop | None = None

    def add(self, record: Record) -> None:
        """Count one record."""
        self.replicates.add(record.replicate)
        self.spent_s += record.elapsed_s or 0.0
        if record.status == "ok" and record.measurement is not None:
            self.times.append(latency.of_replicate(record.measurement))
        else:
            self.failures.append(record.status)

    def stop(self, sweep: Sweep) -> Stop | None:
        """Why the cell needs no further replicate; None while it does."""
        if self._asked_at != len(self.replicates):  # a matrix may have thousands of cells, asked before every job
            self._stop = enough.stop(self.times, self.failures, self.spent_s, sweep.replicates, sweep.sampling)
            self._asked_at = len(self.replicates)
        return self._stop

    def left(self, sweep: Sweep) -> int:
        """Replicates that are certain to come."""
        if self.stop(sweep) is not None:
            return 0
        least = min(sweep.replicates, sweep.sampling.max_replicates)
        return max(1, least - len(self.replicates))

    def left_s(self, sweep: Sweep) -> float:
        """About how long they and those that may follow take: until the budget ends, at the most."""
        tried = len(self.replicates)
        if not tried or not self.left(sweep):
            return 0.0
        each = self.spent_s / tried
        return max(each * self.left(sweep), min(sweep.sampling.budget_s - self.spent_s, each * 2))


def stored(
    folder: Path, cells: Sequence[Cell], warn: Callable[[str], None], retry_failed: bool
) -> tuple[dict[str, Measured], int]:
    """What a run folder already holds of these cells from this machine, these engine versions and this instrument.

    Also returns how many stored measurements of them failed; with `retry_failed` those do not count as measured.
    """
    found = {cell.cell_id: Measured() for cell in cells}
    failed = 0
    if not (folder / store.JOURNAL).is_file():
        return found, 0
    here = {cell.cell_id: environment_of(cell).fingerprint() for cell in cells}
    for record in store.read(folder, warn):
        if record.environment.fingerprint() != here.get(record.cell.cell_id):
            continue
        failed += record.status != "ok"
        if record.status == "ok" or not retry_failed:
            found[record.cell.cell_id].add(record)
    return found, failed


def environment_of(cell: Cell) -> Environment:
    """This machine, with the versions of whatever the cell's runner is made of."""
    return environment.detect(tuple(runners.find(cell.runner.name).PACKAGES))


def run(
    cells: Sequence[Cell],
    sweep: Sweep,
    measured: dict[str, Measured],
    journal: store.Journal,
    watcher: Watcher,
    command: Callable[[Cell], str],
) -> None:
    """Measure every cell often enough, appending one record a replicate; `measured` is updated as it goes.

    Replicates are interleaved, in another random order in each sweep, so that a drift of the machine hits all cells
    alike. `command`: what a person types to measure a cell again. Raises KeyboardInterrupt after the running child has
    been ended.
    """
    logs = journal.folder / "logs"
    try:
        logs.mkdir(exist_ok=True)
    except OSError as error:
        raise store.no_room(logs, error) from None
    for replicate in count():
        waiting = [cell for cell in cells if measured[cell.cell_id].stop(sweep) is None]
        if not waiting:
            return
        for cell in shuffled(cells, replicate):
            known = measured[cell.cell_id]
            if replicate in known.replicates or known.stop(sweep) is not None:
                continue
            job = Job(cell=cell, replicate=replicate)
            watcher.started(job, _standing(measured, cell, sweep))
            try:
                record, notes = _record(job, journal, logs, sweep.timeout_s, watcher)
                known.add(record)
                record = record.model_copy(update={"stop": known.stop(sweep), "command": command(cell)})
                journal.append(record)
            finally:
                interrupts.let_through()
            watcher.finished(record)
            for note in notes:
                watcher.say(f"note: {note}")


def shuffled(planned: Sequence[Cell], replicate: int) -> list[Cell]:
    """The cells in the order in which replicate number `replicate` of each is measured.

    Random, so that no cell always follows the same one (a warm chip, a full page cache); the same in every call, so
    that a run that goes on keeps its order.
    """
    order = random.Random(f"sweep {replicate}")
    return order.sample(list(planned), len(planned))


def _standing(measured: dict[str, Measured], cell: Cell, sweep: Sweep) -> Standing:
    done = sum(len(one.replicates) for one in measured.values())
    left = sum(one.left(sweep) for one in measured.values())
    times = [one.left_s(sweep) for one in measured.values()]
    unknown = any(one.left(sweep) and not one.replicates for one in measured.values())
    return Standing(
        done=done,
        at_least=done + left,
        left_s=None if unknown else sum(times),
        half_width=enough.half_width(measured[cell.cell_id].times),
    )


def _record(
    job: Job, journal: store.Journal, logs: Path, timeout_s: float, watcher: Watcher
) -> tuple[Record, tuple[str, ...]]:
    """Measure one job: exactly one record, whatever happens, and what to tell the person besides.

    Raises InputError when the disk is full: a cell that failed on a full disk has not shown what it can do.
    """
    protocol = job.cell.protocol
    rounds = max(protocol.rounds, protocol.max_rounds)
    journal.reserve(rounds * job.cell.workload.output_tokens * STAMP_BYTES)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        outcome = _outcome(job, logs, timeout_s, watcher)
    except OSError as error:
        raise store.no_room(logs, error) from None
    if outcome.status != "ok" and journal.is_full():
        raise store.no_room(journal.folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    record = Record(
        record_id=f"{job.cell.cell_id}.{job.replicate}.{uuid.uuid4().hex[:8]}",
        replicate=job.replicate,
        status=outcome.status,
        error=outcome.error,
        started_at=started_at,
        elapsed_s=outcome.elapsed_s,
        cell=job.cell,
        environment=environment_of(job.cell),
        measurement=outcome.measurement,
    )
    return record, outcome.notes


def _outcome(job: Job, logs: Path, timeout_s: float, watcher: Watcher) -> child.Outcome:
    too_big = fit.problem(job.cell)
    if too_big is not None:
        return child.Outcome(too_big.status, None, too_big.failure, 0.0)
    log = logs / f"{job.cell.cell_id}.{job.replicate}.log"
    return child.run(job, log, timeout_s, watcher.phase)
