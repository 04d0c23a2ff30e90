"""Wrong clocks for the fake: they take the place of the one that stamps, in the whole process.

For child processes only: `install` is never undone. The fake itself waits by another clock, which stays right.
"""

import time
from typing import Literal

Fault = Literal["clock_fast", "clock_jump", "clock_back", "repeated"]
"""`clock_fast`: 5 % fast; `clock_jump`, `clock_back`: a jump by two seconds in the middle of a generation; `repeated`:
every generation has the very stamps of the first one, as if its times were reported again."""

FAST = 1.05
JUMP_NS = 2_000_000_000
FIRST_TIMED = 3
"""The generation that jumps: the first timed one, after a first generation and one warm-up round."""


class WrongClock:
    """Stands in for `time.perf_counter_ns`."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._right = time.perf_counter_ns
        self._begun = self._last = self._right()
        self._offset = 0
        self._generations = 0
        self._kept: list[int] = []
        self._replayed: int | None = None

    def install(self) -> None:
        """From now on this is what the time is."""
        time.perf_counter_ns = self.read

    def read(self) -> int:
        """Nanoseconds, wrong."""
        now = self._right() + self._offset
        if self._fault == "clock_fast":
            now = self._begun + round((now - self._begun) * FAST)
        elif self._fault == "repeated":
            now = self._repeated(now)
        self._last = now
        return now

    def generation(self) -> None:
        """A generation begins; the last reading was its start."""
        self._generations += 1
        self._begun = self._last if self._fault == "repeated" else self._begun
        self._replayed = 0 if self._generations > 1 else None

    def half_way(self) -> None:
        """A generation has done half of its steps."""
        if self._generations == FIRST_TIMED:
            self._offset += {"clock_jump": JUMP_NS, "clock_back": -JUMP_NS}.get(self._fault, 0)

    def _repeated(self, now: int) -> int:
        if self._generations == 1 and self._replayed is None:
            self._kept.append(now - self._begun)
        elif self._replayed is not None and self._replayed < len(self._kept):
            now = self._begun + self._kept[self._replayed]
            self._replayed += 1
        return now
