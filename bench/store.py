"""The append-only journal: one JSON line a record, on disk before the next cell starts.

Nothing measured is lost: a line is written with one `write`, then synced. A torn line (power cut, `kill -9`) stays in
the file, is skipped with a warning when read, and is closed with a newline before the next append. Room for the next
record is reserved before a cell is measured, so that a full disk is noticed before the work and not after it.
"""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from bench.errors import InputError
from bench.schema import SCHEMA_VERSION, Record

JOURNAL = "records.jsonl"
RESERVE_BYTES = 4 * 1024 * 1024


def no_room(folder: Path, error: OSError) -> InputError:
    """What to tell a person when a results folder cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(f"{folder}: no space left for results; free some and run the same command to go on")
    return InputError(f"{folder}: cannot write results ({error.strerror}); choose a writable folder with --out")


class Journal:
    """The journal of one run folder, opened for appending by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._reserve = folder / ".reserve"
        self._fd = -1

    def __enter__(self) -> "Journal":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise no_room(self.folder, error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise InputError(f"{self.path}: another run is writing here; wait for it, or use another --out") from None
        except OSError as error:
            os.close(self._fd)
            raise InputError(
                f"{self.path}: no locks on this file system ({error.strerror}); use another --out"
            ) from None
        self._close_torn_line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reserve.unlink(missing_ok=True)
        os.close(self._fd)

    def _close_torn_line(self) -> None:
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            try:
                os.write(self._fd, b"\n")
            except OSError as error:
                raise no_room(self.folder, error) from None

    def reserve(self) -> None:
        """Keep room for one record on the disk. Raises InputError when there is none."""
        try:
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(fd, 0, RESERVE_BYTES)
                else:
                    os.write(fd, bytes(RESERVE_BYTES))
            finally:
                os.close(fd)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            raise no_room(self.folder, error) from None

    def append(self, record: Record) -> None:
        """Write one record and sync it to the disk; on a full disk, in the room that `reserve` kept."""
        line = record.model_dump_json(exclude_none=True).encode() + b"\n"
        start = os.fstat(self._fd).st_size
        try:
            self._write(line)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise no_room(self.folder, error) from None
            os.ftruncate(self._fd, start)
            self._reserve.unlink(missing_ok=True)
            try:
                self._write(line)
            except OSError as again:
                os.ftruncate(self._fd, start)
                raise no_room(self.folder, again) from None

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(self._fd, left) :]
        os.fsync(self._fd)


def read(path: Path, warn: Callable[[str], None]) -> Iterator[Record]:
    """Every record of a journal (a file, or a run folder that holds one), oldest first.

    Lines that are torn, foreign, doubled or of a newer schema are skipped, each with one call of `warn`.
    Raises InputError when there is no such file.
    """
    file = path / JOURNAL if path.is_dir() else path
    seen: set[str] = set()
    try:
        handle = file.open("rb")
    except OSError:
        raise InputError(f"{path}: no {JOURNAL} here; give a folder that `bench run` wrote") from None
    with handle:
        for number, line in enumerate(handle, 1):
            where = f"{file}:{number}"
            if not line.strip():
                continue
            try:
                raw = json.loads(line)
            except (ValueError, RecursionError):
                warn(f"{where}: torn or broken line skipped; running the same command again measures it anew")
                continue
            version = raw.get("schema_version") if isinstance(raw, dict) else None
            if isinstance(version, int) and version > SCHEMA_VERSION:
                warn(f"{where}: record of schema {version} skipped; this version reads up to {SCHEMA_VERSION}: upgrade")
                continue
            try:
                record = Record.model_validate(raw)
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(str(part) for part in first["loc"]) or "the line"
                warn(f"{where}: not a record of ours ({key}: {first['msg']}); skipped")
                continue
            if record.record_id in seen:
                warn(f"{where}: record {record.record_id} stands here twice; the second is skipped")
                continue
            seen.add(record.record_id)
            yield record
