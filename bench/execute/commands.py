"""Lines that a parent sends to its child: waited for, or looked for in passing."""

import os
import select

PIECE_BYTES = 1 << 16


class Commands:
    """Whole lines from a descriptor. Nothing is buffered where a `select` could not see it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._lines: list[str] = []
        self._ended = False

    def next(self) -> str | None:
        """The next line, waited for; None at the end."""
        while not self._lines and not self._ended:
            self._read()
        return self._lines.pop(0) if self._lines else None

    def holds(self, line: str) -> bool:
        """Whether this line has come and was not taken yet, or the sender is gone. Waits for nothing."""
        while not self._ended and select.select([self._fd], [], [], 0)[0]:
            self._read()
        return line in self._lines or self._ended

    def _read(self) -> None:
        piece = os.read(self._fd, PIECE_BYTES)
        self._ended = not piece
        *whole, self._rest = (self._rest + piece).split(b"\n")
        self._lines += [one.decode("utf-8", "replace") for one in whole]
