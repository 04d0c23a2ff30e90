"""Measured ceilings on disk: one file a machine in the user's data folder, and a list in each run folder.

A run folder carries the ceilings of the machines that wrote it, so that its report says the same everywhere. A file
that is broken, foreign or newer is a warning, and as if it were not there.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import InputError
from bench.schema import Ceilings

IN_RUN = "ceilings.json"
SCHEMA = 1
"""The newest `Ceilings.schema_version` that is understood here."""

Warn = Callable[[str], None]


def folder() -> Path:
    """`ceilings` of this program in the user's data folder (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "llm-cost-bench" / "ceilings"


def path_of(hardware: str) -> Path:
    """Where the ceilings of a machine are kept; `hardware` is `Environment.hardware()`."""
    return folder() / f"{hardware}.json"


def load(hardware: str, warn: Warn) -> Ceilings | None:
    """The stored ceilings of a machine; None where there are none."""
    path = path_of(hardware)
    found = _ceilings(_read(path, warn), path, warn)
    if found is not None and found.hardware != hardware:
        warn(f"{path}: ceilings of another machine; ignored")
        return None
    return found


def save(ceilings: Ceilings) -> Path:
    """Keep the ceilings of a machine. Raises InputError when the folder cannot be written."""
    path = path_of(ceilings.hardware)
    _write(path, ceilings.model_dump_json(indent=1, exclude_none=True) + "\n")
    return path


def of_run(run_folder: Path, warn: Warn) -> tuple[Ceilings, ...]:
    """The ceilings in a run folder, one a machine."""
    path = run_folder / IN_RUN
    raw = _read(path, warn)
    if raw is not None and not isinstance(raw, list):
        warn(f"{path}: not a list of ceilings; ignored")
        return ()
    found = [_ceilings(one, path, warn) for one in raw or ()]
    return tuple(one for one in found if one is not None)


def into_run(run_folder: Path, ceilings: Ceilings, warn: Warn) -> None:
    """Put a machine's ceilings into a run folder; those of other machines stay. Raises InputError when it cannot."""
    others = [one for one in of_run(run_folder, warn) if one.hardware != ceilings.hardware]
    whole = [one.model_dump(mode="json", exclude_none=True) for one in (*others, ceilings)]
    _write(run_folder / IN_RUN, json.dumps(whole, indent=1) + "\n")


def age_days(ceilings: Ceilings) -> float:
    """Days since they were measured; 0 for a date that cannot be read."""
    try:
        measured = datetime.fromisoformat(ceilings.measured_at)
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - measured.astimezone(UTC)).total_seconds() / 86400


def newest(found: Sequence[Ceilings | None]) -> Ceilings | None:
    """The one measured last."""
    return min((one for one in found if one is not None), key=age_days, default=None)


@contextmanager
def measuring() -> Iterator[None]:
    """One process of this user measures at a time; without a writable folder or locks there is no waiting."""
    with ExitStack() as held:
        try:
            folder().mkdir(parents=True, exist_ok=True)
            fcntl.flock(held.enter_context((folder() / ".lock").open("w")), fcntl.LOCK_EX)
        except OSError:
            pass  # two at once would only measure less than the machine can do
        yield


def _read(path: Path, warn: Warn) -> Any:
    """The JSON of a file, None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(f"{path}: cannot be read ({error.strerror}); ignored")
    except (ValueError, RecursionError):
        warn(f"{path}: broken; `bench hardware` writes it anew")
    return None


def _ceilings(raw: Any, path: Path, warn: Warn) -> Ceilings | None:
    if raw is None:
        return None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        warn(f"{path}: ceilings of schema {version} ignored; this version reads up to {SCHEMA}: upgrade")
        return None
    try:
        return Ceilings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        warn(f"{path}: not ceilings of ours ({key}: {first['msg']}); ignored")
        return None


def _write(path: Path, text: str) -> None:
    """The whole file or the old one, also when two processes write it."""
    beside: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(fd, "w", encoding="utf-8") as out:
            out.write(text)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        if beside is not None:
            with suppress(OSError):
                Path(beside).unlink()
        raise InputError(
            f"{path}: cannot keep ceilings there ({error.strerror}); free space or make it writable"
        ) from None
