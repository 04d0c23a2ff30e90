"""A suite's folder: one run folder a member, and `suite.json`, which says what its sessions took beside their records.

What a suite has taken is the time of all records of its members, and what passed between them: preparing, starting,
making tables. Only the second stands here, so that a `kill -9` loses next to nothing, and the file is replaced whole.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from bench.errors import InputError
from bench.plan import folder as run_folder
from bench.plan.suite import Budget
from bench.schema import Noun
from bench.store import JOURNAL, no_room

FILE = "suite.json"

SessionEnd = Literal["running", "done", "budget", "stopped"]


class Session(Noun):
    """One call of the command. `between_s`: member → seconds that were not those of a record."""

    started_at: str
    between_s: dict[str, float] = Field(default_factory=dict)
    ended: SessionEnd = "running"


class StoredSuite(Noun):
    """What a suite's folder says of it; members of earlier sessions stay, because what they took counts."""

    schema_version: int = 1
    name: str
    config: str
    budget: Budget = Budget()
    members: tuple[str, ...] = ()
    sessions: tuple[Session, ...] = ()

    def between_s(self, member: str) -> float:
        """Of all sessions."""
        return sum(one.between_s.get(member, 0.0) for one in self.sessions)


def read_suite(folder: Path, warn: Callable[[str], None]) -> StoredSuite | None:
    """What is stored, None where there is nothing. A broken file is said, and its folders are looked at."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        return StoredSuite.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError):
        warn(f"{folder / FILE}: broken; of what the suite has taken only its records are known")
        return StoredSuite(name=folder.name, config="", members=tuple(one.name for one in _runs(folder)))


def write_suite(folder: Path, suite: StoredSuite) -> None:
    """Replace the file. Raises InputError when it cannot be written."""
    run_folder.write_text(folder / FILE, suite.model_dump_json(indent=1) + "\n")


def members(folder: Path) -> list[Path]:
    """The run folders of a suite that hold records, in its order; just the folder itself where it is none."""
    if not (folder / FILE).is_file() or (folder / JOURNAL).exists():
        return [folder]
    known = read_suite(folder, lambda _: None)
    names = () if known is None else known.members
    journals = [folder / name / JOURNAL for name in names]
    # One that was begun, and of which nothing has ended, has an empty journal.
    return [one.parent for one in journals if one.is_file() and one.stat().st_size] or [folder]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The suite's folder, made where it is not there, held against a second session of the same suite.

    Raises InputError where another session holds it, where it is the folder of a single run, and where it cannot be
    made.
    """
    if (folder / JOURNAL).exists():
        raise InputError(f"{folder}: holds a run of one config; name another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise no_room(folder, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"{folder}: this suite is running already; wait for it, or use another --out") from None
    finally:
        os.close(handle)


def refuse(folder: Path) -> None:
    """Raises InputError where a run of one config would go into a suite's folder, which then was neither."""
    if (folder / FILE).is_file():
        raise InputError(f"{folder}: holds a suite; name another folder with --out, or give the config another name")


def set_aside(folder: Path) -> None:
    """As a run's folder is; raises InputError when the suite is running, too."""
    run_folder.set_aside(folder, held)


def _runs(folder: Path) -> list[Path]:
    return sorted(one.parent for one in folder.glob(f"*/{JOURNAL}"))
