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

from bench import store
from bench.execute import child, fit, interpreters, under_load
from bench.execute.interrupts import interrupts
from bench.metrics import enough, latency, verdict
from bench.metrics.latency import Times
from bench.schema import Cell, Environment, Job, Live, Record, Stop, Sweep

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

    def live(self, standing: Live) -> None: ...

    def finished(self, record: Record) -> None: ...

    def say(self, message: str) -> None: ...


class Limit(Protocol):
    """What a suite may still take. Asked before each process begins, told of each record."""

    def allows(self, each_s: float | None) -> bool:
        """Whether a process that takes about so many seconds may begin; None: nobody knows how long it takes."""
        ...

    def add(self, record: Record) -> None: ...

    def spent(self) -> under_load.SpentError: ...


@dataclass
class Measured:
    """What is known of one cell on this machine: enough to say whether it needs another replicate."""

    replicates: set[int] = field(default_factory=set)
    times: list[Times] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    spent_s: float = 0.0
    _asked_at: int = -1
    _stop: Stop | None = None

    def add(self, record: Record, folder: Path) -> None:
        """Count one record; `folder` holds its trace, if it has one. One that was cut short, or lost, is none."""
        if record.status == "lost" or under_load.is_cut_short(record):
            return
        self.replicates.add(record.replicate)
        prepare_s = None if record.measurement is None else record.measurement.prepare_s
        self.spent_s += (record.elapsed_s or 0.0) - (prepare_s or 0.0)
        self._asked_at = -1
        problem = _problem(record)
        times = None if problem is not None else _times(record, folder)
        if times is not None:
            self.times.append(times)
            self.failures.pop(record.replicate, None)  # made good by a retry
        else:
            self.failures[record.replicate] = problem or "crashed"

    def stop(self, sweep: Sweep) -> Stop | None:
        """Why the cell needs no further replicate; None while it does."""
        if self._asked_at != len(self.replicates):  # a matrix may have thousands of cells, asked before every job
            failures = tuple(self.failures.values())
            self._stop = enough.stop(self.times, failures, self.spent_s, sweep.replicates, sweep.sampling)
            self._asked_at = len(self.replicates)
        return self._stop

    def forget_failures(self) -> None:
        """Have the replicates that failed measured again."""
        self.replicates -= set(self.failures)
        self.failures.clear()
        self._asked_at = -1

    def left(self, sweep: Sweep) -> int:
        """Replicates that are certain to come."""
        if self.stop(sweep) is not None:
            return 0
        least = min(sweep.replicates, sweep.sampling.max_replicates)
        return max(1, least - len(self.replicates))

    def each_s(self) -> float | None:
        """Mean seconds of a replicate, loading included; None before the first."""
        return self.spent_s / len(self.replicates) if self.replicates else None

    def left_s(self, sweep: Sweep) -> float:
        """About how long they and those that will follow take, if the interval goes on narrowing as 1/√n."""
        tried = len(self.replicates)
        if not tried or not self.left(sweep):
            return 0.0
        each, sampling = self.spent_s / tried, sweep.sampling
        width = enough.half_width(self.times)
        wanted = 0.0 if width is None else tried * (width / sampling.target) ** 2
        more_s = min((min(wanted, sampling.max_replicates) - tried) * each, sampling.budget_s - self.spent_s)
        return max(each * self.left(sweep), more_s)


@dataclass(frozen=True)
class Stored:
    """What a run folder already holds of some cells. `others` were measured elsewhere, where `differs` says.

    `under_load`: ids of the records of all runs under load, of whatever cell.
    """

    measured: dict[str, Measured]
    failed: int
    others: int
    differs: tuple[str, ...]
    under_load: frozenset[str] = frozenset()


def stored(folder: Path, cells: Sequence[Cell], warn: Callable[[str], None], machine: str | None = None) -> Stored:
    """The records of these cells from this machine, these engine versions and this instrument, and how many others.

    `machine`: what the config calls this machine, where it names some.
    """
    found = {cell.cell_id: Measured() for cell in cells}
    others, differs = 0, set()
    loads: set[str] = set()
    if (folder / store.JOURNAL).is_file():
        here = {cell.cell_id: environment_of(cell) for cell in cells}
        prints = {cell_id: one.fingerprint() for cell_id, one in here.items()}
        for record in store.read(folder, warn):
            own = record.cell.cell_id
            if record.cell.traffic is not None:
                loads.add(record.record_id)
            if own not in found or record.purpose != "time":
                continue
            if record.machine != machine:
                others += 1
                differs.add("machine of the config")
            elif record.environment.fingerprint() == prints[own]:
                found[own].add(record, folder)
            else:
                others += 1
                differs |= set(record.environment.differs_from(here[own]))
    failed = sum(len(one.failures) for one in found.values())
    return Stored(found, failed, others, tuple(sorted(differs)), frozenset(loads))


def _problem(record: Record) -> str | None:
    """Why a record is no measurement to count; None for one that is."""
    if record.status != "ok":
        return record.status
    return "tainted" if record.measurement is not None and verdict.tainted(record.measurement) else None


def _times(record: Record, folder: Path) -> Times | None:
    if record.measurement is not None:
        return latency.of_replicate(record.measurement)
    return under_load.times_of(record, folder)


def environment_of(cell: Cell) -> Environment:
    """This machine, with the versions of whatever the cell's runner is made of, where its engine is installed."""
    return interpreters.environment_of(cell.runner)


def run(
    cells: Sequence[Cell],
    sweep: Sweep,
    measured: dict[str, Measured],
    journal: store.Journal,
    watcher: Watcher,
    command: Callable[[Cell], str],
    purse: under_load.Purse | None = None,
    limit: Limit | None = None,
    machine: str | None = None,
) -> None:
    """Measure every cell often enough, appending one record a replicate; `measured` is updated as it goes.

    Replicates are interleaved, in another random order in each sweep, so that a drift of the machine hits all cells
    alike. `command`: what a person types to measure a cell again; `purse`: what may be spent at a paid endpoint;
    `limit`: what the suite may take, so that a cell waits whose next replicate would not end in time. Raises
    KeyboardInterrupt after the running child has been ended, SpentError when the money is, or no cell fits any more.
    """
    bench = Bench(journal, sweep, watcher, command, purse, limit, machine)
    for replicate in count():
        waiting = [cell for cell in cells if measured[cell.cell_id].stop(sweep) is None]
        if not waiting:
            return
        if limit is not None and not any(limit.allows(measured[cell.cell_id].each_s()) for cell in waiting):
            raise limit.spent()
        for cell in shuffled(cells, replicate):
            known = measured[cell.cell_id]
            if replicate in known.replicates or known.stop(sweep) is not None:
                continue
            if limit is not None and not limit.allows(known.each_s()):
                continue
            watcher.started(Job(cell=cell, replicate=replicate), _standing(measured, cell, sweep))
            bench.measure(cell, replicate, known)


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


@dataclass(frozen=True)
class Bench:
    """What all jobs of a run share."""

    journal: store.Journal
    sweep: Sweep
    watcher: Watcher
    command: Callable[[Cell], str]
    purse: under_load.Purse | None = None
    limit: Limit | None = None
    machine: str | None = None
    """What the config calls this machine, where it names some."""

    def measure(self, cell: Cell, replicate: int, known: Measured) -> Record:
        """One replicate, stored. Raises as `run` does."""
        logs = self.made(self.journal.folder / "logs")
        try:
            record, notes = self._record(Job(cell=cell, replicate=replicate), logs)
            known.add(record, self.journal.folder)
            record = record.model_copy(update={"stop": known.stop(self.sweep), "command": self.command(cell)})
            self.journal.append(record)
            under_load.over(self.journal.folder, record.record_id)
            self._count(record)
        finally:
            interrupts.let_through()
        self.watcher.finished(record)
        for note in notes:
            self.watcher.say(f"note: {note}")
        if self.purse is not None and record.serving is not None and record.serving.ended == "money":
            raise self.purse.spent()
        return record

    def one_more(self, job: Job) -> Record:
        """One quality pass or profile, stored; no part of any figure's sampling. Raises as `run` does."""
        if self.limit is not None and not self.limit.allows(None):
            raise self.limit.spent()
        logs = self.made(self.journal.folder / "logs")
        try:
            record, notes = self._record(job, logs)
            record = record.model_copy(update={"command": self.command(job.cell)})
            self.journal.append(record)
            self._count(record)
        finally:
            interrupts.let_through()
        self.watcher.finished(record)
        for note in notes:
            self.watcher.say(f"note: {note}")
        return record

    def _count(self, record: Record) -> None:
        """What a stored record took and cost."""
        for counter in (self.purse, self.limit):
            if counter is not None:
                counter.add(record)

    def made(self, folder: Path) -> Path:
        """A folder of the run, made where it is not there. Raises InputError where it cannot be."""
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise store.no_room(folder, error) from None
        return folder

    def _record(self, job: Job, logs: Path) -> tuple[Record, tuple[str, ...]]:
        """Measure one job: exactly one record, whatever happens, and what to tell the person besides.

        Raises InputError when the disk is full: a cell that failed on a full disk has not shown what it can do.
        """
        cell, protocol = job.cell, job.cell.protocol
        rounds = max(protocol.rounds, protocol.max_rounds)
        self.journal.reserve(rounds * cell.workload.output_tokens * STAMP_BYTES)
        draft = draft_of(job, environment_of(cell), self.machine)
        job = job.model_copy(update={"record_id": draft.record_id})
        try:
            if cell.traffic is not None:
                allowance = None if self.purse is None else self.purse.allowance()
                folder = self.journal.folder.absolute()
                job = job.model_copy(update={"folder": str(folder), "allowance": allowance})
                under_load.begun(folder, draft)
            outcome = _outcome(job, logs, self.sweep.timeout_s, self.watcher)
        except KeyboardInterrupt:
            if cell.traffic is not None:
                self._abandon(draft)
            raise
        except OSError as error:
            raise store.no_room(logs, error) from None
        full = outcome.status != "ok" and self.journal.is_full()
        fault = errno.ENOSPC if full else outcome.unwritten
        if fault is not None:
            raise store.no_room(self.journal.folder, OSError(fault, os.strerror(fault)))
        came = {"status": outcome.status, "error": outcome.error, "elapsed_s": outcome.elapsed_s}
        measured = {name: getattr(outcome, name) for name in ("measurement", "serving", "scored", "profile")}
        return self._with_what_is_left(draft.model_copy(update={**came, **measured})), outcome.notes

    def _with_what_is_left(self, record: Record) -> Record:
        """A failed run under load has a trace too, and may have cost money."""
        if record.status == "ok" or record.cell.traffic is None or record.error is None:
            return record
        return under_load.ended_badly(self.journal.folder, record, None if self.purse is None else self.purse.api)

    def _abandon(self, draft: Record) -> None:
        """A run under load was interrupted and brought no result: what it has and cost is kept all the same."""
        interrupts.hold()
        try:
            api = None if self.purse is None else self.purse.api
            record = under_load.interrupted(self.journal.folder, draft, api)
            if record is not None:
                self.journal.append(record)
                self._count(record)
            under_load.over(self.journal.folder, draft.record_id)
        finally:
            interrupts.forget()


def draft_of(job: Job, where: Environment, machine: str | None, node: str | None = None) -> Record:
    """The record of a job that begins now, as it is while nothing is known of its end."""
    return Record(
        record_id=job.record_id or f"{job.cell.cell_id}.{job.replicate}.{uuid.uuid4().hex[:8]}",
        replicate=job.replicate,
        purpose=job.purpose,
        status="crashed",
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cell=job.cell,
        environment=where,
        machine=machine,
        node=node,
    )


def salvaged(known: Stored, journal: store.Journal, purse: under_load.Purse | None) -> int:
    """Store what runs that were killed had measured under load. Returns how many they were."""
    found = 0
    for record in under_load.left_behind(journal.folder, None if purse is None else purse.api, known.under_load):
        journal.append(record)
        under_load.over(journal.folder, record.record_id)
        cell = record.cell
        is_here = cell.cell_id in known.measured
        if is_here and record.environment.fingerprint() == environment_of(cell).fingerprint():
            known.measured[cell.cell_id].add(record, journal.folder)
        if purse is not None:
            purse.add(record)
        found += 1
    return found


def _outcome(job: Job, logs: Path, timeout_s: float, watcher: Watcher) -> child.Outcome:
    which = job.replicate if job.purpose == "time" else job.purpose
    log = logs / f"{job.cell.cell_id}.{which}.log"
    if job.cell.traffic is not None:
        return child.run(job, log, under_load.timeout_s(job.cell.traffic, timeout_s), watcher.phase, watcher.live)
    too_big = fit.problem(job.cell)
    if too_big is not None:
        return child.Outcome(too_big.status, None, too_big.failure, 0.0)
    return child.run(job, log, timeout_s, watcher.phase)
