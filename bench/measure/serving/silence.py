"""Load generators that hang: a run must not wait for one until its own time limit, an hour later."""

from bench.measure.serving.crew import LostClientError

SILENT_S = 30.0
"""A load generator speaks twice a second, whatever the server does."""


class Silence:
    """Since when each load generator has said nothing. Times are seconds since the run's epoch."""

    def __init__(self, workers: int) -> None:
        self._last_s = dict.fromkeys(range(workers), 0.0)

    def broken_by(self, worker: int, now_s: float) -> None:
        """It spoke."""
        self._last_s[worker] = now_s

    def over(self, worker: int) -> None:
        """It has said its last word."""
        self._last_s.pop(worker, None)

    def check(self, now_s: float, stop_s: float | None, stopped: bool) -> None:
        """Raises LostClientError for one that has been silent, or goes on sending, for much longer than it may."""
        for worker, last_s in self._last_s.items():
            if now_s - last_s > SILENT_S:
                raise LostClientError(f"load generator {worker + 1} has said nothing for {SILENT_S:g} s; it hangs")
        if stop_s is not None and not stopped and self._last_s and now_s > stop_s + SILENT_S:
            raise LostClientError(f"a load generator goes on sending {SILENT_S:g} s after it was to stop")
