"""What a child prints: kept whole while it is short, bounded while it is not. Never costs a measurement.

A runaway child is not ended for what it prints: its measurement may be right, and the disk is safe all the same. The
parent looks at the length every ten seconds and cuts the file where it lies; the child goes on appending.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 256 * 1024
LIMIT_BYTES = 1024 * 1024
RUNAWAY_BYTES = 512 * 1024 * 1024
"""While the child runs, the log is longer than this for ten seconds at most."""

LAST_LINES = 20
LAST_BYTES = 16 * 1024


class Log:
    """The log of one child. `fd` is what the child writes to: at the end of the file, wherever that is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._dropped = 0

    def close(self) -> None:
        os.close(self.fd)

    def bound(self) -> None:
        """Drop all but the head of a log that runs away."""
        with suppress(OSError):
            size = os.fstat(self.fd).st_size
            if size > RUNAWAY_BYTES:
                os.ftruncate(self.fd, HEAD_BYTES)
                self._dropped += size - HEAD_BYTES

    def shorten(self) -> str | None:
        """After the child's end: keep the head and the tail of a long log. Returns what to tell the person, if cut."""
        try:
            return self._shortened()
        except OSError as error:
            return f"{self.path}: the log is long and cannot be shortened ({error.strerror})"

    def _shortened(self) -> str | None:
        size = os.fstat(self.fd).st_size
        if size + self._dropped <= LIMIT_BYTES:
            return None
        tail_at = max(HEAD_BYTES, size - TAIL_BYTES)
        left_out = tail_at - HEAD_BYTES + self._dropped
        tail = os.pread(self.fd, TAIL_BYTES, tail_at)
        # What came while it was being cut was not counted.
        least = "at least " if self._dropped else ""
        # Over what is already there, so that it needs no room on a full disk.
        fcntl.fcntl(self.fd, fcntl.F_SETFL, fcntl.fcntl(self.fd, fcntl.F_GETFL) & ~os.O_APPEND)
        end = min(size, HEAD_BYTES)
        left = memoryview(f"\n[{least}{left_out} bytes left out here]\n".encode() + tail)
        while left:
            written = os.pwrite(self.fd, left, end)
            end, left = end + written, left[written:]
        os.ftruncate(self.fd, end)
        return (
            f"{self.path}: the child printed {least}{(size + self._dropped) / 2**20:,.0f} MiB; "
            f"its first {HEAD_BYTES // 1024} and last {TAIL_BYTES // 1024} KiB are kept"
        )

    def last_lines(self) -> tuple[str, ...]:
        """The end of the log, without reading the whole of it."""
        try:
            size = os.fstat(self.fd).st_size
            text = os.pread(self.fd, LAST_BYTES, max(0, size - LAST_BYTES)).decode(errors="replace")
        except OSError:
            return ()
        return tuple(line[:500] for line in text.splitlines()[-LAST_LINES:])
