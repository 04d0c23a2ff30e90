"""What a server prints: into a file that cannot fill the disk, and what its last lines say of its end."""

import os
import re
from contextlib import suppress
from pathlib import Path

HEAD_BYTES = 64 * 1024
LIMIT_BYTES = 8 * 1024 * 1024
LAST_BYTES = 16 * 1024
LAST_LINES = 20

OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|bad_alloc|cannot allocate memory|unable to allocate|failed to allocate"
    r"|no available memory for the cache|not enough memory|larger than the available kv cache memory",
    re.IGNORECASE,
)
PORT_TAKEN = re.compile(r"address already in use|couldn't bind|could not bind|eaddrinuse", re.IGNORECASE)
MISSING = re.compile(r"no module named ['\"]?([\w.]+)|missing dependenc|command not found", re.IGNORECASE)
_TELLING = re.compile(
    r"error|exception|failed|fatal|cannot|couldn't|unable|invalid|unrecognized|no such", re.IGNORECASE
)
_VAGUE = re.compile(
    r"failed to (load model|init server|initialize)|while trying to fit params|model loading error", re.IGNORECASE
)
"""That something failed, after a line that says why."""
_SAYS_NOTHING = re.compile(r"^\s*(File \"|Traceback|\^+\s*$|[╭│╰])|cleaning up|exiting due to")


class ServerLog:
    """The log of one server. `fd` is what the server writes to: at the end of the file, wherever that is."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._start = os.fstat(self.fd).st_size
        self.dropped = 0

    def close(self) -> None:
        """Safe to call again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def bound(self) -> int:
        """Cut a log that runs away to head and last lines; the server goes on appending. Returns the bytes dropped."""
        with suppress(OSError):
            size = os.fstat(self.fd).st_size
            if size > LIMIT_BYTES:
                keep = min(self._start + HEAD_BYTES, size)
                tail = os.pread(self.fd, LAST_BYTES, size - LAST_BYTES)
                os.ftruncate(self.fd, keep)
                self.dropped += size - keep - len(tail)
                os.write(self.fd, f"\n[{self.dropped} bytes left out here]\n".encode() + tail)
        return self.dropped

    def last_lines(self) -> tuple[str, ...]:
        """The end of what this server printed, without reading the whole of it."""
        try:
            size = self.path.stat().st_size
            begin = max(self._start if not self.dropped else 0, size - LAST_BYTES)
            with self.path.open("rb") as source:
                source.seek(begin)
                text = source.read(LAST_BYTES).decode(errors="replace")
        except OSError:
            return ()
        lines = [line.rstrip() for line in text.replace("\0", "").splitlines()]
        return tuple(line for line in lines if line.strip())[-LAST_LINES:]


def reason(lines: tuple[str, ...]) -> str | None:
    """The line that says most, shortened: the last that names an error, with its cause if one does, else the last; None
    where there is none.
    """
    said = [" ".join(line.split()) for line in lines if not _SAYS_NOTHING.search(line)]
    if not said:
        return None
    telling = [line for line in said if _TELLING.search(line)]
    exact = [line for line in telling if not _VAGUE.search(line)]
    return (exact or telling or said)[-1][:300]


def first(pattern: re.Pattern[str], lines: tuple[str, ...]) -> str | None:
    """The first of the lines that has it, in one line."""
    return next((" ".join(line.split())[:300] for line in lines if pattern.search(line)), None)
