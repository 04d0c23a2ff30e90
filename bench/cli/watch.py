"""Progress on the terminal, drawn between a child's passes only: nothing moves while a round is timed."""

import math
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from bench.cli.live_view import LiveView
from bench.models import catalogue

if TYPE_CHECKING:
    from bench.execute.run import Standing
    from bench.schema import Cell, Job, Live, Record, Scored, Stop


class TerminalWatcher:
    """One line that is rewritten on a terminal; whole lines, one a record, where the output is a file. Under load: a
    block of figures, or a line every few seconds.

    Nothing is raised when it cannot be written (a full disk, a reader that went away): the measuring goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._head = ""
        self._width = 0
        self._start = time.monotonic()
        self.records = 0
        """That came in this run."""
        self._view = LiveView(stream)

    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def say(self, message: str) -> None:
        """A line that stays."""
        self.clear()
        self._write(message + "\n")

    def clear(self) -> None:
        self._view.clear()
        if self._live and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def started(self, job: "Job", standing: "Standing") -> None:
        work = job.cell.workload
        arm = f" arm {job.cell.arm}" if job.cell.arm > 1 else ""
        load = work.label() if job.cell.traffic is None else job.cell.traffic.label()
        self._head = (
            f"[{standing.done + 1}/{standing.at_least}] {_what(job.cell)} "
            f"{load} {work.input_tokens}→{work.output_tokens}{arm} replicate {job.replicate + 1}"
        )
        if job.purpose == "quality" and job.cell.quality is not None:
            self._head = f"[{standing.done + 1}/{standing.at_least}] quality of {_what(job.cell)}"
        elif job.purpose == "profile":
            self._head = (
                f"[{standing.done + 1}/{standing.at_least}] profile of {_what(job.cell)} batch {work.batch_size}"
            )
        width = standing.half_width
        self._head += "" if width is None else f" ({_half(width)} so far)"
        self._left = "" if standing.left_s is None else f", about {duration(standing.left_s)} left"
        self._draw("starting")

    def live(self, standing: "Live") -> None:
        """How a load stands."""
        if self._live and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0
        self._view.show(self._head, standing)

    def phase(self, name: str, estimate_s: float | None) -> None:
        self._draw(name if estimate_s is None else f"{name}, about {duration(estimate_s)}")

    def finished(self, record: "Record") -> None:
        self.records += 1
        if record.status == "ok" and record.measurement is not None:
            from bench.metrics import latency

            times = latency.of_replicate(record.measurement)
            work = record.cell.workload
            rate = "" if not times.tpot_s else f"{work.batch_size / times.tpot_s:.1f} tok/s decode, "
            result = f"{work.batch_size * work.output_tokens / times.e2el_s:.1f} tok/s out"
            if times.ttft_s is not None:
                result = f"{rate}TTFT {times.ttft_s * 1e3:.0f} ms"
        elif record.status == "ok" and record.serving is not None:
            result = f"{record.serving.requests} requests, ended by {record.serving.ended}"
        elif record.status == "ok" and record.scored is not None:
            result = _scored(record.scored)
        elif record.status == "ok" and record.profile is not None:
            result = "profiled"
        else:
            reason = record.error.reason if record.error is not None else ""
            result = f"{record.status}: {reason}"
        self.say(f"{self._head}: {result}{_why(record.stop) or self._left}")

    def _draw(self, what: str) -> None:
        if not self._live:
            return
        self._view.clear()
        text = f"{self._head}: {what}{self._left}"[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + text.ljust(self._width))
        self._width = max(self._width, len(text))

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def _what(cell: "Cell") -> str:
    """Model, precision and engine; of an endpoint that runs what it runs, the name that it is asked for."""
    if catalogue.kind(cell.model) == "served" and cell.model.source == "served":
        return str(cell.runner.options.get("model") or "served")
    from bench.schema.precision import label

    server = cell.runner.options.get("server")
    engine = server.get("engine") if isinstance(server, dict) else None
    return f"{catalogue.label(cell.model)} {label(cell.precision)} {engine or cell.runner.name}"


def _scored(found: "Scored") -> str:
    """What a quality pass found, in short."""
    nats = sum(found.nll_nats)
    bits = nats / math.log(2) / found.text_bytes if found.text_bytes else math.nan
    text = f"{bits:.4f} bits a byte over {found.tokens:,} tokens"
    if found.nonfinite_tokens:
        text = f"{found.nonfinite_tokens:,} of {found.tokens:,} tokens have no finite probability"
    if found.against is not None:
        text += f", KL {sum(found.against.kl_nats) / max(1, found.against.tokens):.4f}"
    return text


def _why(stop: "Stop | None") -> str:
    """That no replicate of this cell follows, and why."""
    if stop is None or stop.ending in ("hopeless", "failures"):
        return ""
    ended = f"the {stop.ending.replace('-', ' ')} ended before ±{stop.target:.1%}"
    if stop.half_width is None:
        return f", done: {ended}"
    width = _half(stop.half_width)
    return f", done: {width} is within ±{stop.target:.1%}" if stop.ending == "target" else f", done: {width}, {ended}"


def _half(width: float) -> str:
    from bench.report import table

    return table.width(width, 1)


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
