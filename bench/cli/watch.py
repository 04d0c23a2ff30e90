"""Progress on the terminal, drawn between a child's passes only: nothing moves while a round is timed."""

import shutil
import time
from typing import TYPE_CHECKING, TextIO

from bench.models import catalogue

if TYPE_CHECKING:
    from bench.schema import Job, Record


class TerminalWatcher:
    """One line that is rewritten on a terminal; whole lines, one a record, where the output is a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._head = ""
        self._width = 0
        self._start = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def say(self, message: str) -> None:
        """A line that stays."""
        self.clear()
        self._stream.write(message + "\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._live and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0

    def started(self, job: "Job", done: int, total: int, left_s: float | None) -> None:
        work = job.cell.workload
        self._head = (
            f"[{done + 1}/{total}] {catalogue.label(job.cell.model)} {job.cell.precision.name} batch {work.batch_size} "
            f"{work.input_tokens}→{work.output_tokens} replicate {job.replicate + 1}"
        )
        self._left = "" if left_s is None else f", run {duration(left_s)} left"
        self._draw("starting")

    def phase(self, name: str, estimate_s: float | None) -> None:
        self._draw(name if estimate_s is None else f"{name}, about {duration(estimate_s)}")

    def finished(self, record: "Record") -> None:
        if record.status == "ok" and record.measurement is not None:
            from bench.metrics import latency

            times = latency.of_replicate(record.measurement)
            rate = (
                "" if times.tpot_s is None else f"{record.cell.workload.batch_size / times.tpot_s:.1f} tok/s decode, "
            )
            result = f"{rate}TTFT {times.ttft_s * 1e3:.0f} ms"
        else:
            reason = record.error.reason if record.error is not None else ""
            result = f"{record.status}: {reason}"
        self.say(f"{self._head}: {result}{self._left}")

    def _draw(self, what: str) -> None:
        if not self._live:
            return
        text = f"{self._head}: {what}{self._left}"[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = max(self._width, len(text))


def duration(seconds: float) -> str:
    """A time span for people.

    >>> duration(4.2), duration(75), duration(7500), duration(200000)
    ('4 s', '1 min 15 s', '2 h 5 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
