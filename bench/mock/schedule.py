"""What is due next: a heap of streams, each at its own absolute time."""

from heapq import heappop, heappush, heapreplace
from time import perf_counter_ns
from typing import Protocol

TURN = 64
"""Writes before the sockets are looked at again."""


class Due(Protocol):
    """What can be scheduled."""

    due_ns: int
    order: int


class Schedule:
    """The streams at work, the next one first. A stream may be forgotten: it is passed over when its time comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Due]] = []

    def add(self, stream: Due) -> None:
        heappush(self._heap, (stream.due_ns, stream.order, stream))

    def wait_s(self) -> float | None:
        """Seconds until the next one is due, 0 when it is; None when there is none."""
        if not self._heap:
            return None
        return max(0.0, (self._heap[0][0] - perf_counter_ns()) / 1e9)

    def next_due(self) -> tuple[int, Due] | None:
        """The first stream that is due, with the time; it stays where it is."""
        if not self._heap:
            return None
        due_ns, _, stream = self._heap[0]
        now_ns = perf_counter_ns()
        return (now_ns, stream) if due_ns <= now_ns else None

    def again(self, stream: Due) -> None:
        """The first one has been served and is due again, at its new time."""
        heapreplace(self._heap, (stream.due_ns, stream.order, stream))

    def drop(self) -> None:
        """The first one is over."""
        heappop(self._heap)
