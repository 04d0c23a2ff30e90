"""Waiting for sockets: epoll where there is one, with waits exact to some tens of microseconds."""

import select
import selectors
from contextlib import suppress

from bench.client.connection import READ

EVENTS = 1024
"""At most of one wait; the others come with the next."""
SELECT_LIMIT = 1024
"""File descriptors that `select` takes."""


class Poller:
    """Which sockets can be read from or written to. Masks are those of epoll."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._others = None if self._epoll else selectors.DefaultSelector()

    def watch(self, fd: int, mask: int, known: bool) -> None:
        """From now on for this mask."""
        if self._epoll is not None:
            (self._epoll.modify if known else self._epoll.register)(fd, mask)
        elif self._others is not None:
            (self._others.modify if known else self._others.register)(fd, _selected(mask))

    def unwatch(self, fd: int) -> None:
        with suppress(OSError, KeyError, ValueError):
            if self._epoll is not None:
                self._epoll.unregister(fd)
            elif self._others is not None:
                self._others.unregister(fd)

    def wait(self, wait_ns: int) -> list[tuple[int, int]]:
        """What is ready, as soon as something is; nothing when `wait_ns` have passed, or a little before."""
        if self._epoll is None:
            return self._wait_elsewhere(wait_ns)
        if wait_ns >= 1_000_000:
            # epoll rounds up to milliseconds: it waits for the whole ones, and a second call for what is left.
            return self._epoll.poll(min(wait_ns // 1_000_000, 60_000) / 1000, EVENTS)
        events = self._epoll.poll(0, EVENTS)
        if events or wait_ns <= 0:
            return events
        fd = self._epoll.fileno()
        if fd >= SELECT_LIMIT:
            return self._epoll.poll(0.001, EVENTS)
        if select.select([fd], (), (), wait_ns / 1e9)[0]:
            return self._epoll.poll(0, EVENTS)
        return []

    def _wait_elsewhere(self, wait_ns: int) -> list[tuple[int, int]]:
        assert self._others is not None
        ready = self._others.select(max(0, wait_ns) / 1e9 if wait_ns > 0 else 0)
        return [
            (key.fd, READ * bool(mask & selectors.EVENT_READ) | 4 * bool(mask & selectors.EVENT_WRITE))
            for key, mask in ready
        ]

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
        elif self._others is not None:
            self._others.close()


def _selected(mask: int) -> int:
    return (selectors.EVENT_READ if mask & 1 else 0) | (selectors.EVENT_WRITE if mask & 4 else 0)
