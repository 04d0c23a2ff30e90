"""Run folders into what a history is made of: every run's entries, all with the prices of one day."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bench.entries import load
from bench.entries.doubles import Scanned, scanned_below
from bench.entries.load import Choose
from bench.entries.parts import part_of
from bench.errors import InputError
from bench.history.series import Seen, moment
from bench.schema import CostChoices

PAUSE = timedelta(hours=6)
"""A journal that was silent for so long holds another run from there on."""


@dataclass(frozen=True)
class Read:
    """Every run's entries. `prices` is the sentence that says at which prices all dollars are."""

    seen: tuple[Seen, ...]
    day: date
    prices: str
    runs: int


def read(
    places: Sequence[Path], planned: Callable[[Path], CostChoices], given: Choose, warn: Callable[[str], None]
) -> Read:
    """Entries of all runs at and below these places, priced by the choices of the newest run under those of the command
    line. `planned`: the choices in a run's plan.

    Raises InputError where there is no run, and where none holds a record of a cell.
    """
    runs, versions = scanned_below(places, warn)
    if not runs:
        raise InputError(f"{', '.join(str(one) for one in places)}: no records; run the config first")
    newest = max(runs, key=lambda one: one.newest)
    choices = given(planned(newest.run))
    names = _names([one.run for one in runs])
    seen: list[Seen] = []
    hindered: list[str] = []
    counted = 0
    for run, name in zip(runs, names, strict=True):
        for sitting, path in _sittings(run, name):
            try:
                report = load.report([path], lambda _: choices, _renamed(versions, path, run.run))
            except InputError as error:
                hindered.append(str(error).replace(str(path), str(run.run)))
                continue
            counted += 1
            seen += [Seen(sitting, one, report.environments.get(one.machine)) for one in report.entries]
    if not seen:
        where = ", ".join(str(one) for one in places)
        raise InputError(*(hindered[:3] or [f"{where}: no cell was measured; run the config first"]))
    for line in hindered:
        versions(line)
    day = choices.as_of or datetime.now(UTC).date()
    source = "" if len(runs) == 1 else f", with the cost choices of {names[runs.index(newest)]}"
    return Read(tuple(seen), day, f"dollars of every run at the prices of {day.isoformat()}{source}", counted)


def _renamed(warn: Callable[[str], None], path: Path, run: Path) -> Callable[[str], None]:
    """A part lies in a folder that nobody knows."""
    return lambda message: warn(message.replace(str(path), str(run)))


def _names(runs: Sequence[Path]) -> list[str]:
    """What tells the runs apart in their paths: nightly runs of one config all have the same last folder."""
    whole = [(run if run.is_dir() else run.parent).resolve() for run in runs]
    if len(whole) == 1:
        return [whole[0].name]
    shared = os.path.commonpath(whole)
    parts = [one.relative_to(shared).parts or (one.name,) for one in whole]
    while all(len(one) > 1 for one in parts) and len({one[-1] for one in parts}) == 1:
        parts = [one[:-1] for one in parts]
    return ["/".join(one) for one in parts]


def _sittings(run: Scanned, name: str) -> Iterator[tuple[str, Path]]:
    """The run, or parts of it where its journal holds several: measured on another revision, or after a long pause."""
    found: list[set[str]] = []
    before: tuple[str, datetime | None] | None = None
    for line in run.own:
        if not line.record_id:
            continue
        if not line.is_whole and found:
            found[-1].add(line.record_id)  # cut by a kill: no end of a run
            continue
        now = moment(line.started_at)
        if before is None or line.revision != before[0] or _is_long(before[1], now):
            found.append(set())
        found[-1].add(line.record_id)
        before = (line.revision, now)
    if len(found) <= 1 and not run.doubled:
        yield name, run.run
        return
    for number, ids in enumerate(found, 1):
        with _part(run.run, ids) as path:
            yield (name if len(found) == 1 else f"{name} ({number})"), path


@contextmanager
def _part(run: Path, ids: set[str]) -> Iterator[Path]:
    with part_of(run, lambda line: line.record_id in ids) as path:
        yield path


def _is_long(before: datetime | None, now: datetime | None) -> bool:
    return before is not None and now is not None and abs(now - before) > PAUSE
