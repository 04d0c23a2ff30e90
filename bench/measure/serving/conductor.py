"""One run under load, from a server that starts to a trace that is whole.

The load generators do the work; this process starts them, hears twice a second how they stand, says from when on
requests count and when it is enough, and reads the machine and the server at the edges of that window. It does nothing
that a load generator waits for.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import traces
from bench.client import calibration
from bench.endpoint import access
from bench.errors import InputError
from bench.measure.serving import phases, stopping
from bench.measure.serving.crew import Crew, LostClientError
from bench.measure.serving.health import Machine, Metrics
from bench.measure.serving.live import Merged
from bench.measure.serving.orders import SNAPSHOT_S, Command, Orders, Word, Words, share
from bench.measure.serving.phases import Announce, Ground
from bench.measure.serving.silence import Silence
from bench.models import sample_text
from bench.schema import Allowance, Capabilities, ClientFacts, Ended, Endpoint, Job, Live, ServerFacts, Serving, Window
from bench.sensors import environment

NS = 1_000_000_000
START_NS = 150_000_000
"""From the word to the epoch: every process must have heard it by then."""

AHEAD_S = 0.05
"""From a decision to the moment from which it holds, for the same reason."""

READY_S = 120.0
LISTEN_S = 0.1
LEAST_DRAIN_S = 5.0
MOST_DRAIN_S = 60.0
DRAIN_TIMES = 2.0
INTERRUPTED_DRAIN_S = 5.0
ERRORS_DRAIN_S = 2.0
FINISH_S = 120.0
"""For the load generators to write what is left, and to count texts."""

ALL_STOP: tuple[Ended, ...] = ("money", "oversaturated")
"""Where one load generator ends so, the others end too: what is left of the load is another load."""

KEPT_TEXTS, KEPT_TEXTS_PAID = 50, 200
FIRST_OF: tuple[Ended, ...] = ("money", "oversaturated", "prompts", "trace", "requests", "duration")
"""Where load generators ended for several reasons: the one that says most."""


def serve(
    job: Job,
    endpoint: Endpoint,
    announce: Announce,
    live: Callable[[Live], None],
    stop_asked: Callable[[], bool],
) -> Serving:
    """Put the endpoint under the cell's load and return what came of it; the trace is then in the job's folder.

    `announce` is called before each phase, `live` twice a second during the load, `stop_asked` ten times a second:
    when it is true, what was measured so far is returned (`ended` is then "interrupted"). Raises InputError and what
    starting a server raises; LostClientError when a load generator was killed, OSError when the trace cannot be
    written: parts of the trace are then left in the folder for `salvage`.
    """
    traffic = phases.traffic_of(job)
    with phases.ground(job, endpoint, announce, time.perf_counter_ns) as made:
        if made.running is not None and endpoint.model is None and made.running.model is not None:
            endpoint = endpoint.model_copy(update={"model": made.running.model})
        announce("preparing the load", None)
        with Crew(_orders(job, endpoint, made)) as crew:
            run = _Run(job, made, crew, live, stop_asked)
            run.await_ready()
            duration = stopping.duration_s(traffic)
            announce("load", None if duration is None else duration * (1 + stopping.MOST_WARM_SHARE))
            run.through()
        return run.served()


def _orders(job: Job, endpoint: Endpoint, made: Ground) -> list[Orders]:
    traffic = phases.traffic_of(job)
    workers = endpoint.clients
    if traffic.load == "closed" and traffic.concurrency is not None:
        workers = min(workers, traffic.concurrency)
    kept = KEPT_TEXTS if job.allowance is None else KEPT_TEXTS_PAID
    own: Allowance | None = None
    if job.allowance is not None:
        left = max(0.0, job.allowance.usd - made.spent_usd)
        own = job.allowance.model_copy(update={"usd": left / workers})
    assert job.folder is not None
    return [
        Orders(
            worker=worker,
            workers=workers,
            traffic=traffic,
            vocabulary=Words.of(made.vocabulary),
            endpoint=endpoint,
            base_url=made.base_url,
            capabilities=made.capabilities,
            model=job.cell.model,
            replicate=job.replicate,
            folder=job.folder,
            record_id=job.record_id,
            allowance=own,
            expected_s=phases.spread_s(made, traffic, stopping.duration_s(traffic)),
            kept_texts=share(kept, worker, workers),
            tokenizer=made.tokenizer is not None,
        )
        for worker in range(workers)
    ]


def _without_folders(found: Capabilities) -> Capabilities:
    """Some servers call a model by the path of its file, which is nobody else's business."""
    return (
        found.model_copy(update={"served_model": found.served_model.rpartition("/")[2] or found.served_model})
        if (found.served_model.startswith(("/", "~")))
        else found
    )


class _Run:
    """The load itself."""

    def __init__(
        self, job: Job, made: Ground, crew: Crew, live: Callable[[Live], None], stop_asked: Callable[[], bool]
    ) -> None:
        self._job, self._made, self._crew = job, made, crew
        self._live, self._stop_asked = live, stop_asked
        self._traffic = phases.traffic_of(job)
        self._workers = len(crew.pids)
        self._merged = Merged(self._workers, self._traffic.until.half_width is not None)
        self._facts: dict[int, ClientFacts] = {}
        self._silence = Silence(self._workers)
        self._finished_s: float = 0.0
        self._epoch_ns = 0
        self._warm_s: float | None = None
        self._ended: Ended | None = None
        self._stopped_s: float | None = None
        self._notes = made.notes
        self._duration_s = stopping.duration_s(self._traffic)
        self._machine = Machine(self._now_s, _other_clock_s) if made.loopback else None
        # An address elsewhere is asked for what it offers to everyone: answers.
        path = "/metrics" if made.running is None else made.running.metrics_path
        self._metrics = Metrics(made.base_url, path if made.loopback else None, self._now_s)
        self._window: Window | None = None
        self._has_begun = self._has_ended = False
        self._stop_s: float | None = None

    def await_ready(self) -> None:
        """Until every load generator has made its first prompts and opened its connections."""
        ready: set[int] = set()
        limit = time.monotonic() + READY_S
        while len(ready) < self._workers:
            for worker, word in self._heard(LISTEN_S):
                if word.kind == "ready":
                    ready.add(worker)
            if time.monotonic() > limit:
                raise LostClientError(f"a load generator was not ready after {READY_S:g} s")

    def through(self) -> None:
        """From the first request to the last."""
        self._epoch_ns = time.perf_counter_ns() + START_NS
        first = Command(epoch_ns=self._epoch_ns)
        if self._traffic.warmup_s is not None:
            self._warm_s = stopping.edge_s(self._level_s() + self._traffic.warmup_s)
        for worker in range(self._workers):
            self._crew.tell(first if self._warm_s is None else self._counting(worker, first), worker)
        next_s, drained_s = SNAPSHOT_S, float("inf")
        while len(self._facts) < self._workers:
            self._listen(min(LISTEN_S, max(0.0, self._edge_s() - self._now_s())))
            now_s = self._now_s()
            self._read_edges(now_s)
            if self._stop_asked() and self._ended is None:
                self._stop("interrupted", now_s)
            if now_s >= next_s:
                next_s += SNAPSHOT_S * (1 + (now_s - next_s) // SNAPSHOT_S)
                self._tick(now_s)
            self._notice_end(now_s)
            self._silence.check(now_s, self._stop_s, self._stopped_s is not None)
            if self._stopped_s is not None and drained_s == float("inf"):
                drained_s = self._stopped_s + self._drain_s()
            if now_s > drained_s:
                self._crew.tell(Command(abort=True))
                drained_s += FINISH_S
                if now_s > drained_s:
                    raise LostClientError(f"a load generator did not end within {FINISH_S:g} s")

    # From the load generators.

    def _listen(self, timeout_s: float) -> None:
        for worker, word in self._heard(timeout_s):
            if word.snapshot is not None:
                self._merged.take(worker, word.snapshot)
                self._finished_s = max(self._finished_s, word.snapshot.at_s)
            self._silence.broken_by(worker, self._now_s())
            if word.facts is not None:
                self._facts[worker] = word.facts
                self._silence.over(worker)

    def _heard(self, timeout_s: float) -> list[tuple[int, Word]]:
        """What they say; raises what one of them failed with."""
        found = []
        for worker, word in self._crew.heard(timeout_s):
            if word is None:
                if worker not in self._facts:
                    how = self._crew.code_of(worker)
                    raise LostClientError(
                        f"load generator {worker + 1} of {self._workers} ended before its work was done ({how}); "
                        "what it measured until then is kept"
                    )
            elif word.kind == "error":
                if word.lines:
                    raise InputError(*word.lines)
                raise LostClientError(f"load generator {worker + 1}: {word.reason}")
            else:
                found.append((worker, word))
        return found

    # Decisions, twice a second.

    def _tick(self, now_s: float) -> None:
        standing = self._merged.stand(now_s)
        phase = "finishing" if self._stopped_s is not None else "warming up" if self._warm_s is None else "measuring"
        self._live(self._merged.live(phase, self._warm_s, self._made.spent_usd))
        if self._ended is not None or self._all_over():
            return
        merged, level_s = self._merged, self._level_s()
        if self._warm_s is None:
            answer_s, flow_s, expected_s = merged.answer_s, merged.flow_s(), self._made.expected_s
            if stopping.is_warm(self._traffic, standing, merged.all_started, level_s, answer_s, expected_s, flow_s):
                self._be_warm(stopping.edge_s(now_s + AHEAD_S))
        elif (
            self._traffic.until.half_width is not None
            and (width := stopping.half_width(merged.bins, merged.ttft, self._warm_s, merged.whole_until_s)) is not None
            and width <= self._traffic.until.half_width
        ):
            self._stop("precision", now_s)
        failed = stopping.failed_share(merged.history)
        running = self._made.running
        is_dead = running is not None and not running.is_alive()
        if is_dead or (failed is not None and failed >= self._traffic.until.failed_share):
            self._stop("errors", now_s)
        elif self._traffic.until.oversaturated and stopping.is_oversaturated(
            merged.history, self._traffic, level_s, merged.first_answer_s, merged.flow_s()
        ):
            self._stop("oversaturated", now_s)

    def _be_warm(self, warm_s: float) -> None:
        """From `warm_s` on, requests count."""
        self._warm_s = warm_s
        for worker in range(self._workers):
            self._crew.tell(self._counting(worker, Command()), worker)

    def _counting(self, worker: int, command: Command) -> Command:
        """A command with what follows from being warm."""
        assert self._warm_s is not None
        wanted = self._traffic.until.requests
        self._stop_s = None if self._duration_s is None else self._warm_s + self._duration_s
        return command.model_copy(
            update={
                "warm_s": self._warm_s,
                "quota": None if wanted is None else share(wanted, worker, self._workers),
                "stop_s": self._stop_s,
            }
        )

    def _edge_s(self) -> float:
        """The edge of the window that comes next, as far as it is known."""
        edges = (self._stop_s, self._warm_s) if self._warm_s is not None and self._has_begun else (self._warm_s,)
        return min((one for one in edges if one is not None and one > self._now_s()), default=float("inf"))

    def _read_edges(self, now_s: float) -> None:
        """Read what is read at the window's edges, when they have come."""
        is_over = self._stopped_s is not None or (self._stop_s is not None and now_s >= self._stop_s)
        if not self._has_begun and not is_over and self._warm_s is not None and now_s >= self._warm_s:
            self._has_begun = True
            if self._machine is not None:
                self._machine.begin()
            self._metrics.begin()
        if self._has_begun and not self._has_ended and is_over:
            self._has_ended = True
            if self._machine is not None:
                self._window = self._machine.end()
            self._metrics.end()

    def _stop(self, why: Ended, now_s: float) -> None:
        """Have nothing sent any more."""
        if self._ended is None:
            self._ended = why
            self._stop_s = now_s + AHEAD_S
            self._crew.tell(Command(stop_s=self._stop_s))

    def _all_over(self) -> bool:
        return all(one is not None and one.over is not None for one in self._merged.last)

    def _notice_end(self, now_s: float) -> None:
        """When every load generator sends nothing any more, the window ends."""
        told = [one for one in self._merged.last if one is not None and one.over is not None]
        reasons = {one.over for one in told}
        for why in ALL_STOP:
            if why in reasons:
                self._stop(why, now_s)
        if self._stopped_s is not None or len(told) < self._workers:
            return
        if self._ended is None:
            self._ended = next((why for why in FIRST_OF if why in reasons), "interrupted")
        # The load is whole until the first of them ends. Arrivals of a plan that ends are a few apart from each other.
        is_planned = self._traffic.load != "closed" and self._ended in ("requests", "prompts", "trace")
        self._stopped_s = (max if is_planned else min)(one.over_s or 0.0 for one in told)

    def _drain_s(self) -> float:
        if self._ended == "interrupted":
            return INTERRUPTED_DRAIN_S
        if self._ended == "errors":
            return ERRORS_DRAIN_S
        return min(MOST_DRAIN_S, max(LEAST_DRAIN_S, DRAIN_TIMES * self._merged.long_answer_s()))

    def _level_s(self) -> float:
        """When the load was at its level."""
        ramp_s = 0.0 if self._traffic.ramp is None else self._traffic.ramp.over_s
        if self._traffic.load != "closed":
            return ramp_s
        return max(ramp_s, phases.spread_s(self._made, self._traffic, self._duration_s))

    def _now_s(self) -> float:
        return (time.perf_counter_ns() - self._epoch_ns) / NS

    # What came of it.

    def served(self) -> Serving:
        """The whole run. Joins the parts of the trace. Raises OSError when that cannot be written."""
        job, made = self._job, self._made
        assert job.folder is not None
        assert self._ended is not None
        folder = Path(job.folder)
        whole = traces.path_of(folder, job.record_id)
        parts = [traces.part_of(folder, job.record_id, worker) for worker in range(self._workers)]
        sha256 = traces.join(parts, whole)
        stopped_s = self._finished_s if self._stopped_s is None else self._stopped_s
        warm_s = self._warm_s
        if warm_s is None or warm_s >= stopped_s:
            warm_s = 0.0
            self._notes.append("the load ended before it was warm: all of it is counted, its beginning included")
        if (held_s := self._merged.held_back_s) is not None:
            self._notes.append(f"the allowance kept streams waiting from {held_s:.1f} s on: fewer than were asked for")
        spent = self._merged.spent_usd
        return Serving(
            trace=str(whole.relative_to(folder)),
            trace_sha256=sha256,
            requests=sum(one.requests for one in self._facts.values()),
            capabilities=_without_folders(made.capabilities),
            server=self._server(),
            loopback=made.loopback,
            length_source="file" if self._traffic.prompts is not None else made.vocabulary.source,
            warm_s=warm_s,
            stopped_s=stopped_s,
            finished_s=max(self._finished_s, stopped_s),
            ended=self._ended,
            clients=self._clients(),
            samples=self._metrics.samples(),
            window=self._window,
            spent=job.allowance,
            spent_usd=None if job.allowance is None else made.spent_usd + (spent or 0.0),
            notes=tuple(access.redacted(one, made.target) for one in self._notes),
            **self._sample_text(),
        )

    def _clients(self) -> tuple[ClientFacts, ...]:
        """How the load generators fared, with what this machine's client was found to bear (`selftest --load`)."""
        known = calibration.load(environment.detect().hardware(), self._notes.append)
        limit = {"cpu_share_limit": None if known is None else known.cpu_share_limit}
        return tuple(self._facts[worker].model_copy(update=limit) for worker in sorted(self._facts))

    def _server(self) -> ServerFacts | None:
        running = self._made.running
        if running is None:
            return None
        if not running.is_alive():
            self._notes.append(
                f"the server ended during the run; its log ends: {' / '.join(running.last_lines()[-3:])}"
            )
        return running.facts.model_copy(
            update={"first_request_s": self._made.first_request_s, "rss_peak_bytes": running.rss_peak_bytes()}
        )

    def _sample_text(self) -> dict[str, Any]:
        """Tokens of the sample text, once a cell: dollars per character need them, and they never change."""
        count = self._made.tokenizer
        if count is None or self._job.replicate != 0:
            return {}
        tokens = {name: count(text) for name, text in sample_text.sample_parts().items()}
        return {"text_tokens": tokens, "text_sha256": sample_text.sha256()}


def _other_clock_s() -> float | None:
    """A second clock, to catch a first one that jumps: on Linux the one that also counts suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None
