"""Names looked up beside the streams: a slow resolver must not hold up one stamp."""

import socket
import threading
from collections.abc import Callable
from typing import Any

Address = tuple[socket.AddressFamily, Any]


class Addresses:
    """All addresses of a host, in the resolver's order. A name is looked up in a thread; a numeric one at once."""

    def __init__(self, host: str, port: int, wake: Callable[[], None]) -> None:
        self._host, self._port, self._wake = host, port, wake
        self.known: list[Address] = []
        self.error: str | None = None
        """Why the last look-up found nothing."""
        self.looking = False
        try:
            self.known = _found(host, port, socket.AI_NUMERICHOST)
            self.numeric = True
        except OSError:
            self.numeric = False

    def look_up(self) -> None:
        """Begin, unless it goes on already; `wake` is called from another thread when it is over."""
        if self.looking:
            return
        self.looking = True
        threading.Thread(target=self._look_up, name="bench-dns", daemon=True).start()

    def forget(self) -> None:
        """None of them answers: look the name up again before the next connection."""
        if not self.numeric:
            self.known = []

    def _look_up(self) -> None:
        try:
            known, error = _found(self._host, self._port, 0), None
        except (OSError, UnicodeError) as problem:
            known, error = [], f"cannot look up {self._host} ({getattr(problem, 'strerror', None) or 'no such name'})"
        self.known, self.error = known, error
        self.looking = False
        self._wake()


def _found(host: str, port: int, flags: int) -> list[Address]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys((row[0], row[4]) for row in rows))
