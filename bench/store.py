"""The append-only journal: one JSON line a record, on disk before the next cell starts.

Nothing measured is lost: a line is written with one `write`, then synced. A torn line (power cut, `kill -9`) stays in
the file, is skipped with a warning when read, and is closed with a newline before the next append. Room for the next
record is reserved before a cell is measured, so that a full disk is noticed before the work and not after it. Reading
streams: it takes the memory of one record, and eight bytes for each id.
"""

import errno
import fcntl
import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from pydantic import ValidationError

from bench.errors import InputError
from bench.schema import SCHEMA_VERSION, Record

JOURNAL = "records.jsonl"
RESERVE_BYTES = 4 * 1024 * 1024
SPARE_BYTES = 64 * 1024
"""A disk with less than this is full: a log, a plan and a table no longer fit."""

LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""No record is longer: a child may not send a message of this size."""

WARNINGS_OF_A_KIND = 20
SHOWN = 3
"""Of the runs in a folder that is none: so many are named."""

START = re.compile(rb'\{"schema_version":')
"""How a record begins. Inside a text of a record the quotes would be escaped."""


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
        try:
            self._close_torn_line()
        except BaseException:
            os.close(self._fd)
            raise
        self._keep_the_name()
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

    def _keep_the_name(self) -> None:
        """A new file's name is on the disk only when its folder has been synced."""
        for place in (self.folder, self.folder.parent):
            with suppress(OSError):  # not every file system syncs folders; the records themselves are synced
                fd = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def reserve(self, record_bytes: int = 0) -> None:
        """Keep room for one record, of about so many bytes, on the disk. Raises InputError when there is none."""
        try:
            self._claim(max(RESERVE_BYTES, record_bytes))
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            raise no_room(self.folder, error) from None

    def is_full(self) -> bool:
        """Whether nothing but what is reserved is left on the disk."""
        probe = self.folder / ".probe"
        try:
            self._claim(SPARE_BYTES, probe)
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            probe.unlink(missing_ok=True)
        return False

    def _claim(self, count: int, path: Path | None = None) -> None:
        fd = os.open(path or self._reserve, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, count)
            else:
                os.write(fd, bytes(count))
        finally:
            os.close(fd)

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

    Lines that are torn, foreign, doubled or of a newer schema are skipped, each with one call of `warn`, and after
    twenty of a kind with one for all the others. Raises InputError when there is no such file.
    """
    file = path / JOURNAL if path.is_dir() else path
    try:
        handle = file.open("rb")
    except OSError:
        inside = ("runs/*", "*")  # of what `bench publish` wrote, and of a suite
        below = [str(one.parent) for part in inside for one in sorted(path.glob(f"{part}/{JOURNAL}"))]
        more = " …" if len(below) > SHOWN else ""
        remedy = f"name its runs: {' '.join(below[:SHOWN])}{more}" if below else "give a folder that `bench run` wrote"
        raise InputError(f"{path}: no {JOURNAL} here; {remedy}") from None
    seen = _Seen()
    told: Counter[str] = Counter()
    with handle:
        for number, line in _lines(handle, file):
            for found in _parsed(line):
                if isinstance(found, Record):
                    if seen.add(found.record_id):
                        yield found
                        continue
                    skipped = _Skipped("doubled", f"record {found.record_id} stands here twice; the second is skipped")
                else:
                    skipped = found
                told[skipped.kind] += 1
                if told[skipped.kind] <= WARNINGS_OF_A_KIND:
                    warn(f"{file}:{number}: {skipped.why}")
    for kind, count in told.items():
        if count > WARNINGS_OF_A_KIND:
            warn(f"{file}: {count - WARNINGS_OF_A_KIND} more lines skipped that are {kind}")


class _Skipped(NamedTuple):
    """Why a line is no record."""

    kind: str
    why: str


class _Seen:
    """Ids that were read, as eight bytes each: a set of texts would grow with the journal by twenty times as much.

    Two ids of n have the same eight bytes with odds of n² / 2⁶⁵: of a million records, one in 37 million. The later one
    would be skipped as doubled, and the warning would name it; the ids themselves hold fewer random bits.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._count = 0

    def add(self, name: str) -> bool:
        """Whether it is new."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") or 1  # 0 is an empty slot
        slot = self._slot(key)
        if self._slots[slot]:
            return False
        self._slots[slot] = key
        self._count += 1
        if self._count * 2 > len(self._slots):
            old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
            for known in filter(None, old):
                self._slots[self._slot(known)] = known
        return True

    def _slot(self, key: int) -> int:
        """Where a key stands, or would stand."""
        last = len(self._slots) - 1
        slot = key & last
        while self._slots[slot] not in (0, key):
            slot = (slot + 1) & last
        return slot


def _lines(handle: BinaryIO, file: Path) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines that hold something; None for one that is too long, which is never held as a whole."""
    number = 0
    try:
        while line := handle.readline(LONGEST_LINE_BYTES):
            number += 1
            whole = len(line) < LONGEST_LINE_BYTES or line.endswith(b"\n")
            if whole and not line.isspace():
                yield number, line
            elif not whole:
                while line and not line.endswith(b"\n"):
                    line = handle.readline(1 << 20)
                yield number, None
    except OSError as error:
        raise InputError(f"{file}:{number + 1}: cannot be read ({error.strerror}); copy what can be read") from None


def _parsed(line: bytes | None) -> list[Record | _Skipped]:
    """What stands in a line: as a rule one record, or why there is none."""
    if line is None:
        limit = LONGEST_LINE_BYTES // 2**20
        return [_Skipped("too long", f"line of more than {limit} MiB skipped; no record is that long")]
    whole = _record(line)
    starts = [match.start() for match in START.finditer(line)]
    if isinstance(whole, Record) or whole.kind != TORN.kind or starts in ([], [0]):
        return [whole]
    # Files that were put together after a power cut: a whole record may follow a torn one in the same line.
    pieces = [_record(line[start:end]) for start, end in pairwise([0, *filter(None, starts), len(line)])]
    skipped = [piece for piece in pieces if not isinstance(piece, Record)]
    return [*skipped[:1], *(piece for piece in pieces if isinstance(piece, Record))]


TORN = _Skipped("torn or broken", "torn or broken line skipped; running the same command again measures it anew")


def _record(text: bytes) -> Record | _Skipped:
    try:
        # Zeros are what a power cut leaves where data were on their way; the mark is what some editors put in front.
        record = Record.model_validate_json(text.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return TORN
        key = ".".join(str(part) for part in first["loc"]) or "the line"
        return _newer(text) or _Skipped("no records of ours", f"not a record of ours ({key}: {first['msg']}); skipped")
    return _newer_than_ours(record.schema_version) or record


def _newer(text: bytes) -> _Skipped | None:
    """Said of a record whose shape is no longer ours."""
    try:
        raw = json.loads(text.strip(b"\0"))
    except (ValueError, RecursionError):
        return None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    return _newer_than_ours(version) if isinstance(version, int) else None


def _newer_than_ours(version: int) -> _Skipped | None:
    if version <= SCHEMA_VERSION:
        return None
    why = f"record of schema {version} skipped; this version reads up to {SCHEMA_VERSION}: upgrade"
    return _Skipped("of a newer schema", why)
