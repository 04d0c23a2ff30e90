"""The loop of one load generator: sends what is due at its absolute time, reads, and does the rest in between.

One thread. What is due comes first, then reading, and only then, in steps of about a millisecond at most, what can
wait: understanding finished answers, making prompts, writing the trace. Between two such steps the sockets are read, so
what waits never makes a stamp later than one step. The collector of garbage runs only when nothing else does.
"""

import gc
import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.client import Exchange, Transport
from bench.loads import Plan
from bench.measure.serving.answers import Answers
from bench.measure.serving.orders import SNAPSHOT_S, Command, Orders, Snapshot
from bench.measure.serving.sessions import Source, Talk, Write, continued
from bench.measure.serving.shape import Shape
from bench.measure.serving.spending import Purse
from bench.measure.serving.tally import Lags
from bench.schema import ClientFacts, Ended, Request

NS = 1_000_000_000
SOON_NS = 1_000_000
"""Nothing that can wait is begun when something is due within this."""

LISTEN_NS = 20_000_000
RAMP_STEP_NS = 5_000_000
"""While streams are started one after another: how often to look whether the next one is due."""

MOST_UNREAD = 512
"""Answers that wait to be understood: with more, they come before what is due soon."""

COLLECT_AFTER = 50_000
"""Container objects made since the last collection."""

PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""A stream of a closed loop whose request failed pauses, longer while nothing succeeds: it must not flood a server that
is down with as many requests as the machine can send."""

OK = 200


@dataclass
class Tools:
    """What the loop drives."""

    transport: Transport
    plan: Plan
    write: Write
    answers: Answers
    purse: Purse | None
    hear: Callable[[], list[Command] | None]
    """Commands that have come; None when the conductor is gone."""
    tell: Callable[[Snapshot], None]


class Driver:
    """One load generator, from its first request to its last."""

    def __init__(self, orders: Orders, tools: Tools) -> None:
        self._orders, self._tools = orders, tools
        self._traffic = orders.traffic
        self._transport, self._answers = tools.transport, tools.answers
        self._shape = Shape(orders, tools.plan)
        self._is_closed = self._shape.is_closed
        self._source = Source(tools.plan.slice(orders.worker, orders.workers), tools.write, self._shape.ahead)
        self._lags = Lags()
        self._heap: list[tuple[int, int, Talk | None]] = []  # due; None: a stream whose pause is over
        self._held: deque[Talk] = deque()  # by the allowance
        self._on_way: dict[int, int] = {}
        self._epoch_ns = 0
        self._order = self._sent = self._counted = self._active = self._failures = 0
        self._warm_s: float | None = None
        self._stop_s: float | None = None
        self._quota: int | None = None
        self._over: Ended | None = None
        self._over_s: float | None = None
        self._held_back_s: float | None = None
        self._is_aborted = False
        self._listen_ns = self._snapshot_ns = 0

    def prepare(self) -> None:
        """Make the first sessions and open connections: off the clock."""
        while self._source.make_one():
            pass
        self._transport.prepare(self._shape.connections)

    def run(self, epoch_ns: int, first: Command) -> ClientFacts:
        """Generate the load until it is over and nothing is on its way. Raises OSError when the disk is full."""
        self._epoch_ns = self._answers.epoch_ns = epoch_ns
        self._obey(first)
        gc.collect()
        gc.freeze()
        gc.disable()
        begun_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        self._listen_ns, self._snapshot_ns = begun_ns, epoch_ns
        while not self._is_done():
            self._once()
        end_ns = time.perf_counter_ns()
        wall_s = (end_ns - begun_ns) / NS
        self._answers.flush()
        cpu_s = (time.process_time_ns() - cpu_ns) / NS
        self._tell((end_ns - epoch_ns) / NS)
        return ClientFacts(
            worker=self._orders.worker,
            requests=self._sent,
            chunks=self._answers.tally.chunks,
            cpu_s=cpu_s,
            wall_s=wall_s,
            lag_p99_s=self._lags.worst(99, wall_s),
            lag_max_s=self._lags.max_s,
        )

    def _once(self) -> None:
        """Once around: send, do a step of what can wait, read."""
        now = time.perf_counter_ns()
        self._send_due(now)
        next_ns = self._next_ns(now)
        has_more = False
        if next_ns - now > SOON_NS or len(self._answers) > MOST_UNREAD:
            has_more = self._step(now)
        if now >= self._listen_ns:
            self._listen(now)
        before = time.perf_counter_ns()
        self._lags.add_blind((before - now) / NS)  # for so long nothing was read
        for exchange in self._transport.turn(before if has_more else next_ns):
            self._came(exchange)
        if not has_more and (late_ns := time.perf_counter_ns() - next_ns) > 0:
            self._lags.add_blind(late_ns / NS)

    def _is_done(self) -> bool:
        return self._over is not None and self._transport.in_flight == 0 and not self._answers

    # What is due.

    def _send_due(self, now: int) -> None:
        at_s = (now - self._epoch_ns) / NS
        if at_s < 0:
            return
        if self._stop_s is not None and at_s >= self._stop_s and not self._is_closed and self._over is None:
            # What was due before the end goes out however late this loop is: leaving it out would hide the lateness.
            last_s = math.nextafter(self._stop_s, 0.0)
            self._send_until(self._epoch_ns + int(last_s * NS), last_s)
        if not self._is_over(at_s):
            self._send_until(now, at_s)

    def _send_until(self, now: int, at_s: float) -> None:
        """All that was due until then."""
        while self._heap and self._heap[0][0] <= now and self._over is None:
            talk = heapq.heappop(self._heap)[2]
            if talk is None:
                self._active -= 1
            else:
                self._send(talk)
        while self._held and self._over is None and self._affords(self._held[0]):
            self._go(self._held.popleft())
        if self._is_closed:
            self._start_streams(at_s)
        else:
            self._start_sessions(at_s)

    def _is_over(self, at_s: float) -> bool:
        if self._over is None and self._stop_s is not None and at_s >= self._stop_s:
            self._end("duration", self._stop_s)
        return self._over is not None

    def _start_streams(self, at_s: float) -> None:
        if self._active >= (wanted := self._shape.streams(at_s)):
            return
        while self._active < wanted and self._over is None and not self._held:
            talk = self._source.next()
            if talk is None:
                self._exhausted("prompts", at_s)
                return
            self._active += 1
            self._send(talk)

    def _start_sessions(self, at_s: float) -> None:
        while self._over is None:
            due_s = self._source.due_s()
            if due_s is None:
                self._exhausted("trace" if self._traffic.load == "trace" else "prompts", at_s)
                return
            if due_s > at_s:
                return
            if self._transport.in_flight >= self._shape.most_in_flight:
                self._end("oversaturated", at_s)
                return
            talk = self._source.next()
            assert talk is not None
            self._send(talk)

    def _exhausted(self, why: Ended, at_s: float) -> None:
        """The plan has ended; conversations that it began go on."""
        if self._traffic.turns == 1 or not (self._heap or self._answers or self._transport.in_flight):
            self._end(why, at_s)

    def _send(self, talk: Talk) -> None:
        if self._affords(talk):
            self._go(talk)
        elif not self._is_closed:
            self._end("money", self._at_s())  # a schedule that is held back is none
        elif self._over is None:
            self._held.append(talk)
            self._held_back_s = self._at_s() if self._held_back_s is None else self._held_back_s

    def _affords(self, talk: Talk) -> bool:
        purse = self._tools.purse
        if purse is None or purse.set_aside(self._index(talk), talk.input_tokens, talk.output_tokens, len(talk.said)):
            return True
        if self._is_closed and self._transport.in_flight == 0 and not self._answers:
            self._end("money", self._at_s())
        return False

    def _go(self, talk: Talk) -> None:
        now = time.perf_counter_ns()
        at_s = (now - self._epoch_ns) / NS
        if talk.due_s is not None:
            self._lags.add(max(0.0, at_s - talk.due_s))
        overhead = self._orders.vocabulary.overhead_tokens
        talk.request = Request(
            index=self._index(talk),
            worker=self._orders.worker,
            session=talk.session.index,
            turn=talk.turn,
            due_s=None if self._is_closed else talk.due_s,
            # What a template adds to a further turn was not measured.
            asked_input_tokens=talk.input_tokens + overhead
            if talk.is_exact and (talk.turn == 0 or not overhead)
            else None,
            asked_output_tokens=talk.output_tokens,
        )
        self._on_way[talk.request.index] = now
        self._sent += 1
        self._transport.send(talk.body, talk, now + int(self._orders.endpoint.timeout_s * NS))
        # As in the figures: a request began when it was due, in a closed loop when it was sent.
        began_s = at_s if self._is_closed or talk.due_s is None else talk.due_s
        if self._warm_s is not None and began_s >= self._warm_s:
            self._counted += 1
            if self._quota is not None and self._counted >= self._quota:
                self._end("requests", self._at_s())  # after its stamp, so that the window holds it

    def _index(self, talk: Talk) -> int:
        return talk.session.index * self._traffic.turns + talk.turn

    def _end(self, why: Ended, at_s: float) -> None:
        """Send nothing any more."""
        if self._over is None:
            self._over, self._over_s = why, at_s
            self._snapshot_ns = 0  # at once: the conductor waits for the end of the window
            self._heap.clear()
            self._held.clear()

    # What comes back.

    def _came(self, exchange: Exchange) -> None:
        """A request is over. The stream goes on at once; what was said is understood when there is time."""
        talk: Talk = exchange.tag
        failed = exchange.failure is not None or exchange.http_status != OK
        self._on_way.pop(self._index(talk), None)
        self._failures = self._failures + 1 if failed else 0
        if talk.is_last or failed:
            self._answers.wait(exchange)
            self._free_stream(failed)
            return
        status, text = self._answers.understand(exchange)
        if status != "ok" or self._over is not None:
            self._free_stream(status != "ok")
            return
        request = talk.request
        assert request is not None
        done_s = request.done_s if request.done_s is not None else self._at_s()
        due_s = done_s + talk.session.turns[talk.turn + 1].think_s
        tokens = request.output_tokens if request.output_tokens is not None else talk.output_tokens
        self._push(self._epoch_ns + int(due_s * NS), continued(talk, text, tokens, self._tools.write, due_s))

    def _free_stream(self, failed: bool) -> None:
        at_s = self._at_s()
        if not self._is_closed or self._is_over(at_s):
            return
        if failed:
            rounds = self._failures // max(1, self._active)
            pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(rounds, 10))
            self._push(time.perf_counter_ns() + int(pause_s * NS), None)
        else:
            self._active -= 1
            self._start_streams(at_s)

    def _push(self, due_ns: int, talk: Talk | None) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due_ns, self._order, talk))

    # What can wait.

    def _step(self, now: int) -> bool:
        """One step of what can wait; whether there is more."""
        if self._answers.step(now) or (self._over is None and self._source.make_one()):
            return True
        if gc.get_count()[0] > COLLECT_AFTER:
            gc.collect(0)
        return False

    def _listen(self, now: int) -> None:
        self._listen_ns = now + LISTEN_NS
        commands = self._tools.hear()
        if commands is None:
            commands = [Command(abort=True)]  # nobody would keep the result: end, and leave the trace whole
        for command in commands:
            self._obey(command)
        if now >= self._snapshot_ns:
            every_ns = int(SNAPSHOT_S * NS)
            self._snapshot_ns += every_ns * (1 + (now - self._snapshot_ns) // every_ns)
            self._tell(self._at_s())

    def _obey(self, command: Command) -> None:
        self._warm_s = self._warm_s if command.warm_s is None else command.warm_s
        self._stop_s = self._stop_s if command.stop_s is None else command.stop_s
        self._quota = self._quota if command.quota is None else command.quota
        self._shape.level = self._shape.level if command.level is None else command.level
        if self._quota == 0:
            self._end("requests", self._at_s())  # fewer requests than processes
        if command.abort and not self._is_aborted:
            self._is_aborted = True
            self._end("interrupted", self._at_s())
            for exchange in self._transport.abort():
                self._answers.wait(exchange)

    # How it stands.

    def _at_s(self) -> float:
        return (time.perf_counter_ns() - self._epoch_ns) / NS

    def _next_ns(self, now: int) -> int:
        """When something is due again."""
        next_ns = self._listen_ns
        if self._over is not None:
            return next_ns
        if now < self._epoch_ns:
            return min(next_ns, self._epoch_ns)
        if self._heap:
            next_ns = min(next_ns, self._heap[0][0])
        if self._stop_s is not None:
            next_ns = min(next_ns, self._epoch_ns + int(self._stop_s * NS))
        if not self._is_closed:
            due_s = self._source.due_s()
            return next_ns if due_s is None else min(next_ns, self._epoch_ns + int(due_s * NS))
        if now < self._epoch_ns + int(self._shape.started_s * NS):
            next_ns = min(next_ns, now + RAMP_STEP_NS)
        return next_ns

    def _tell(self, at_s: float) -> None:
        purse = self._tools.purse
        oldest = next(iter(self._on_way.values()), None)  # they stand in the order in which they were sent
        self._tools.tell(
            self._answers.tally.snapshot(at_s).model_copy(
                update={
                    "sent": self._sent,
                    "counted": self._counted,
                    "in_flight": self._transport.in_flight,
                    "waiting": len(self._answers),
                    "oldest_s": None if oldest is None else (oldest - self._epoch_ns) / NS,
                    "all_started": at_s >= self._shape.started_s,
                    "spent_usd": None if purse is None else purse.spent_usd,
                    "held_back_s": self._held_back_s,
                    "over": self._over,
                    "over_s": self._over_s,
                }
            )
        )
