"""A plan, carried out: every missing job in order, one record each."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bench import runners, store
from bench.execute import child, fit
from bench.schema import Cell, Environment, Failure, Job, Record, Status
from bench.sensors import environment


class Watcher(Protocol):
    """Shows the run to a person. Never called while a round is timed."""

    def started(self, job: Job, done: int, total: int, left_s: float | None) -> None: ...

    def phase(self, name: str, estimate_s: float | None) -> None: ...

    def finished(self, record: Record) -> None: ...


@dataclass
class Progress:
    """How far a run is, and what the rest will take: the mean of the cells that ran, weighted by nothing."""

    total: int
    done: int = 0
    ran_s: list[float] = field(default_factory=list)

    def left_s(self) -> float | None:
        if not self.ran_s:
            return None
        return (self.total - self.done) * sum(self.ran_s) / len(self.ran_s)


def stored(folder: Path, warn: Callable[[str], None]) -> list[Record]:
    """Records that a run folder already holds."""
    return list(store.read(folder, warn)) if (folder / store.JOURNAL).is_file() else []


def missing(jobs: Sequence[Job], records: Sequence[Record], retry_failed: bool) -> list[Job]:
    """Jobs without a record from this machine, these engine versions and this instrument."""
    here = {cell.cell_id: environment_of(cell).fingerprint() for cell in cells_of(jobs)}
    done = {
        (record.cell.cell_id, record.replicate)
        for record in records
        if record.environment.fingerprint() == here.get(record.cell.cell_id)
        and not (retry_failed and record.status != "ok")
    }
    return [job for job in jobs if (job.cell.cell_id, job.replicate) not in done]


def environment_of(cell: Cell) -> Environment:
    """This machine, with the versions of whatever the cell's runner is made of."""
    return environment.detect(tuple(runners.find(cell.runner.name).PACKAGES))


def run(jobs: Sequence[Job], journal: store.Journal, timeout_s: float, watcher: Watcher) -> None:
    """Run every job and append its record. Raises KeyboardInterrupt after the running child has been ended."""
    logs = journal.folder / "logs"
    try:
        logs.mkdir(exist_ok=True)
    except OSError as error:
        raise store.no_room(logs, error) from None
    progress = Progress(len(jobs))
    hopeless: dict[str, tuple[Status, Failure]] = {}
    for job in jobs:
        watcher.started(job, progress.done, progress.total, progress.left_s())
        journal.reserve()
        began = time.monotonic()
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            outcome = _outcome(job, logs, timeout_s, watcher, hopeless)
        except OSError as error:
            raise store.no_room(logs, error) from None
        if outcome.status in ("unsupported", "invalid") and outcome.error is not None:
            # It would fail the same way in the next replicate; that one's record says so without trying.
            hopeless[job.cell.cell_id] = (outcome.status, outcome.error)
        elif outcome.elapsed_s:
            progress.ran_s.append(time.monotonic() - began)
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
        try:
            journal.append(record)
        finally:
            child.interrupts.let_through()
        progress.done += 1
        watcher.finished(record)


def _outcome(
    job: Job, logs: Path, timeout_s: float, watcher: Watcher, hopeless: dict[str, tuple[Status, Failure]]
) -> child.Outcome:
    known = hopeless.get(job.cell.cell_id)
    if known is not None:
        return child.Outcome(known[0], None, known[1], 0.0)
    too_big = fit.problem(job.cell)
    if too_big is not None:
        return child.Outcome(too_big.status, None, too_big.failure, 0.0)
    log = logs / f"{job.cell.cell_id}.{job.replicate}.log"
    return child.run(job, log, timeout_s, watcher.phase)


def cells_of(jobs: Iterable[Job]) -> list[Cell]:
    """The distinct cells of some jobs, in order."""
    found = {job.cell.cell_id: job.cell for job in jobs}
    return list(found.values())
