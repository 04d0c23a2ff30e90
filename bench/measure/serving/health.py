"""The machine and the server while the load runs: read at the window's edges, and the server's metrics in between.

Always in the conductor and never in a load generator; metrics in a thread of their own, because a server that is full
may take seconds to tell them.
"""

import threading
from collections.abc import Callable

from bench.schema import Edge, ServerSample, Window
from bench.sensors import edges, nvidia
from bench.sensors.energy import EnergyMeter
from bench.servers import metrics

EVERY_S = 5.0
WAIT_S = 3.0


class Machine:
    """Clocks, heat, swap and energy of this machine between two moments; only where the server runs on it."""

    def __init__(self, now_s: Callable[[], float], other_s: Callable[[], float | None]) -> None:
        """`now_s`: the run's clock; `other_s`: a second, independent one."""
        self._now_s, self._other_s = now_s, other_s
        self._devices = tuple(f"cuda:{place}" for place in range(len(nvidia.accelerators())))
        # Long before the window: opening counters may start processes, whose own start must be over by then.
        self._meter = EnergyMeter(self._devices)
        self._start: tuple[Edge, float, float | None] | None = None

    def begin(self) -> None:
        """The window begins."""
        edge = edges.read(self._devices)
        self._meter.start()
        self._start = (edge, self._now_s(), self._other_s())

    def end(self) -> Window | None:
        """The window ends; None where it never began."""
        if self._start is None:
            return None
        edge, begun_s, other_before = self._start
        duration_s, other_after = self._now_s() - begun_s, self._other_s()
        energy = self._meter.stop()
        return Window(
            start=edge,
            end=edges.read(self._devices),
            duration_s=duration_s,
            other_clock_s=None if other_before is None or other_after is None else other_after - other_before,
            energy=energy,
        )


class Metrics:
    """The server's own metrics: one sample when the window begins, one when it ends, and one every 5 s in between."""

    def __init__(self, base_url: str, path: str | None, now_s: Callable[[], float]) -> None:
        self._base_url, self._path, self._now_s = base_url, path, now_s
        self._samples: list[ServerSample] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """The window begins. Does nothing where the server offers no metrics."""
        if self._path is not None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """The window ends."""
        self._stop.set()

    def samples(self) -> tuple[ServerSample, ...]:
        """All samples; waits for the last one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(WAIT_S)  # one that hangs ends with the process
        return tuple(self._samples)

    def _run(self) -> None:
        while self._sample() and not self._stop.wait(EVERY_S):
            pass
        if self._samples:
            self._sample()

    def _sample(self) -> bool:
        found = metrics.sample(self._base_url, self._path, self._now_s())
        if found is not None:
            self._samples.append(found)
        return found is not None or bool(self._samples)
