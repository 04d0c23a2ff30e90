"""The trace of a run under load: one JSON line a request, gzip-compressed, beside the journal.

Anyone can read it: `zcat traces/ID.jsonl.gz | head`. A writer appends gzip members, so what was written before a
`kill -9` can still be read, and the parts of several processes are joined by putting their bytes one after another.
The keys are those of `bench.schema.Request`; what has its default value is left out.
"""

import fcntl
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.errors import InputError
from bench.schema import Request

FOLDER = "traces"
"""Inside a run's folder."""

LEVEL = 1
"""Of compression: a client must have its CPU for its streams."""

_DEFAULTS: dict[str, Any] = {
    one.name: one.default if one.default is not MISSING else [] for one in fields(Request) if one.name != "index"
}
_NAMES = tuple(one.name for one in fields(Request))
_KNOWN = frozenset(_NAMES)


def path_of(folder: Path, record_id: str) -> Path:
    """Where the trace of a record stands."""
    return folder / FOLDER / f"{record_id}.jsonl.gz"


def part_of(folder: Path, record_id: str, worker: int) -> Path:
    """Where one load generator process writes its part while it runs."""
    return folder / FOLDER / f"{record_id}.w{worker}.part"


class TraceWriter:
    """Appends requests to a part, a gzip member each time. Raises OSError when the disk is full."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab")
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # so that nobody takes it for left behind

    def write(self, requests: Sequence[Request]) -> None:
        """One member of these requests, handed to the operating system whole."""
        if not requests:
            return
        lines = b"\n".join(orjson.dumps(_said(one)) for one in requests) + b"\n"
        self._file.write(gzip.compress(lines, LEVEL, mtime=0))
        self._file.flush()

    def close(self) -> None:
        """Have it on the disk."""
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()


def join(parts: Sequence[Path], target: Path) -> str:
    """Put the parts together under their final name, remove them, and return the SHA-256 of the whole.

    The whole appears at once or not at all. Raises OSError when it cannot be written; the parts are then still there.
    """
    beside = target.with_name(f".{target.name}.new")
    digest = hashlib.sha256()
    with beside.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(1 << 20):
                    digest.update(block)
                    out.write(block)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(target)
    for part in parts:
        part.unlink(missing_ok=True)
    return digest.hexdigest()


def read(path: Path) -> Iterator[Request]:
    """Every whole request of a trace or a part, one at a time; a torn end is left out.

    Raises InputError when there is no such file, or it is no trace.
    """
    rest = b""
    for block in _unpacked(path):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if line:
                yield _parsed(path, line)


def _unpacked(path: Path) -> Iterator[bytes]:
    try:
        source = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot read this trace ({error.strerror}); keep it beside the journal") from None
    with source:
        member = zlib.decompressobj(31)
        while block := source.read(1 << 18):
            while block:
                try:
                    yield member.decompress(block)
                except zlib.error:
                    return  # torn by a kill or a full disk: what came before it stands
                block = member.unused_data
                if member.eof:
                    member = zlib.decompressobj(31)


def _parsed(path: Path, line: bytes) -> Request:
    try:
        said = orjson.loads(line)
        if not _KNOWN.issuperset(said):  # of a later version
            said = {key: value for key, value in said.items() if key in _KNOWN}
        return Request(**said)
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{path}: not a trace of requests; measure the cell again") from None


def _said(one: Request) -> dict[str, Any]:
    said: dict[str, Any] = {"index": one.index}
    for name, usual in _DEFAULTS.items():
        value = getattr(one, name)
        if value != usual:
            said[name] = value
    return said
