"""What really happened, request by request, on the clock that a client on this machine has too.

`time.perf_counter_ns()` is CLOCK_MONOTONIC on Linux, one for all processes: stamps here and in a client can be
subtracted. Lines are kept in memory and written when the server has nothing else to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.errors import InputError

MOST_LINES = 5_000
"""That are kept back while the server is busy."""


@dataclass(slots=True)
class Truth:
    """A line of the log. Stamps of what is sent are read just before the bytes are handed to the system."""

    id: str
    """Sent back in the header x-request-id and as the `id` of each event."""
    tag: Any
    """What the request gave in its header x-mock-tag."""
    prompt: str
    """CRC-32 of the prompt, in hex: the same for the same words."""
    path: str
    received_ns: int
    """When the last byte of the request had been read."""
    status: str = "ok"
    """ok, refused (an error status), error, aborted, cut, gone (the client went away)."""
    http_status: int = 200
    started_ns: int | None = None
    """When it got its slot; its plan begins here."""
    planned_first_ns: int | None = None
    planned_last_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    done_ns: int | None = None
    tokens: int = 0
    reasoning_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    chunks: int = 0
    """Events with a token."""
    writes: int = 0
    late_max_ns: int = 0
    """How late a write was at most: the server's own fault, never the client's."""
    stamps_ns: list[int] | None = None
    """Of each write that holds a token, with `log_stamps`."""


class TruthLog:
    """Appends lines to a file; without a file it only counts. Raises InputError where it cannot be opened."""

    def __init__(self, path: Path | None) -> None:
        self.lines = 0
        self._kept: list[Truth] = []
        self._file: BinaryIO | None = None
        if path is not None:
            try:
                self._file = path.open("wb")
            except OSError as error:
                raise InputError(f"--truth {path}: cannot be written ({error.strerror}); name another file") from None

    def add(self, line: Truth) -> None:
        self.lines += 1
        if self._file is not None:
            self._kept.append(line)
            if len(self._kept) >= MOST_LINES:
                self.flush()

    def flush(self) -> None:
        """Hand what is kept to the operating system."""
        if self._file is not None and self._kept:
            self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in self._kept))
            self._file.flush()
            self._kept.clear()

    def close(self) -> None:
        """Write what is kept, and no more."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


def read(path: Path) -> list[Truth]:
    """All whole lines of a log, in the order in which requests ended."""
    known = Truth.__slots__
    lines: list[Mapping[str, Any]] = [
        orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line.strip()
    ]
    return [Truth(**{key: value for key, value in line.items() if key in known}) for line in lines]
