"""What comes before the load: a server that is ready, what it can do, and how long one request takes by itself."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Exchange, Target, Transport
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.endpoint import access, tokenizer
from bench.endpoint.bodies import Bodies, wants_cache
from bench.endpoint.probe import probe
from bench.endpoint.vocabulary import agrees, vocabulary
from bench.errors import InputError
from bench.loads import Vocabulary
from bench.loads.plan import nominal, plan
from bench.measure.serving.marks import Mark
from bench.measure.serving.orders import Count
from bench.measure.serving.spending import ESTIMATE_RATIO, TEMPLATE_TOKENS, Purse, cost_usd, planned_tokens
from bench.schema import Allowance, Capabilities, Endpoint, Job, Lengths, Request, Traffic
from bench.servers import start
from bench.servers.running import Running

NS = 1_000_000_000
REHEARSAL = 1_000_003
"""Added to the replicate: the rehearsal's prompt is none of the load's, so no prefix cache is warmed for it."""

LEAST_TOKENS = 32
"""Of a prompt that is like no other."""

LONGEST_REHEARSAL_S = 30.0
LONGEST_SPREAD_S = 10.0

Announce = Callable[[str, float | None], None]
Clock = Callable[[], int]


@dataclass
class Ground:
    """What the load stands on."""

    base_url: str
    loopback: bool
    target: Target
    capabilities: Capabilities
    vocabulary: Vocabulary
    tokenizer: Count | None
    running: Running | None
    first_request_s: float | None = None
    expected_s: float = 0.0
    """What one request took by itself; 0 where it failed."""
    spent_usd: float = 0.0
    """By the probe and the rehearsal."""
    notes: list[str] = field(default_factory=list)


@contextmanager
def ground(job: Job, endpoint: Endpoint, announce: Announce, clock: Clock) -> Iterator[Ground]:
    """A server that answers, and what is known of it; a managed one ends with the block.

    Raises InputError where the endpoint cannot be used as asked, and whatever starting a server raises.
    """
    traffic, notes = _traffic(job), list[str]()
    running = _started(job, endpoint, announce)
    try:
        base_url = endpoint.base_url if running is None else running.base_url
        if base_url is None:
            raise InputError("base_url: no endpoint; give base_url, or a server to start")
        if running is not None and endpoint.model is None and running.model is not None:
            endpoint = endpoint.model_copy(update={"model": running.model})
        target = access.target(endpoint, base_url)
        mark = _mark(job)
        announce("probing the endpoint", None)
        with _transport(target) as transport:
            timed = _Timed(transport)
            found = probe(endpoint, target, timed, _log)
            counter = tokenizer.find(endpoint, job.cell.model, notes.append)
            words = vocabulary(endpoint, found, counter, traffic.turns)
            if counter is not None and endpoint.tokenizer is None and not agrees(found, counter):
                notes.append("the tokenizer here counts otherwise than the server: it is not used to check its usage")
                counter = None
            made = Ground(
                base_url=base_url,
                loopback=access.is_loopback(base_url),
                target=target,
                capabilities=found,
                vocabulary=words,
                tokenizer=None if counter is None else counter.count,
                running=running,
                first_request_s=timed.first_s,
                notes=notes,
            )
            if job.allowance is not None:
                made.spent_usd = _probe_usd(found, job.allowance)
                mark(made.spent_usd)
            own = plan(traffic, words, job.replicate, made.tokenizer)
            if next(own.slice(0, 1), None) is None:
                raise InputError("traffic: it holds no request; check the trace or the file of prompts")
            notes += getattr(own, "notes", ())
            announce("one request by itself", None)
            _rehearse(made, job, endpoint, transport, clock, mark)
            mark(made.spent_usd)
        yield made
    finally:
        if running is not None:
            running.stop()


def traffic_of(job: Job) -> Traffic:
    """The load of a job under load."""
    return _traffic(job)


def _traffic(job: Job) -> Traffic:
    if job.cell.traffic is None or job.folder is None or not job.record_id:
        raise InputError("traffic: this cell has none; it is measured offline")
    return job.cell.traffic


def _log(message: str) -> None:
    """Into the cell's log."""
    print(message, file=sys.stderr, flush=True)


def _started(job: Job, endpoint: Endpoint, announce: Announce) -> Running | None:
    if endpoint.server is None:
        return None
    announce("starting the server", None)
    assert job.folder is not None
    logs = Path(job.folder) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    traffic = _traffic(job)
    streams = int(max(traffic.concurrency or 1, 1 if traffic.ramp is None else traffic.ramp.to))
    more: dict[str, int] = {"longest_tokens": longest_tokens(traffic)}
    if traffic.load == "closed":
        more["streams"] = streams
    cell = job.cell
    return start.start(endpoint.server, cell.model, cell.precision, logs / f"{job.record_id}.server.log", _log, **more)


def longest_tokens(traffic: Traffic) -> int:
    """Prompt and answer of the longest request, about: what a server's context must hold."""
    asked, answered = nominal(traffic)
    longest = max(asked, _most(traffic.input_tokens) * traffic.turns) + max(answered, _most(traffic.output_tokens))
    return longest * (traffic.turns if traffic.turns > 1 else 1) + TEMPLATE_TOKENS


def _most(length: int | Lengths | None) -> int:
    """The longest of a distribution that is worth having room for."""
    if isinstance(length, Lengths):
        return min(length.most, int((length.mean or length.most) * (1 + 4 * length.cv)))
    return length or 0


@contextmanager
def _transport(target: Target) -> Iterator[StreamTransport]:
    transport = StreamTransport(target)
    try:
        yield transport
    finally:
        transport.close()


class _Timed:
    """A transport that remembers how long the first good answer took: the truly first one of a new server."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.first_s: float | None = None

    @property
    def in_flight(self) -> int:
        return self._inner.in_flight

    def prepare(self, connections: int) -> None:
        self._inner.prepare(connections)

    def send(self, body: bytes, tag: Any, deadline_ns: int, path: str | None = None) -> None:
        self._inner.send(body, tag, deadline_ns, path)

    def turn(self, until_ns: int) -> list[Exchange]:
        over = self._inner.turn(until_ns)
        for one in over:
            if self.first_s is None and one.http_status == 200 and one.done_ns and one.sent_ns:
                self.first_s = (one.done_ns - one.sent_ns) / NS
        return over

    def abort(self) -> list[Exchange]:
        return self._inner.abort()

    def close(self) -> None:
        self._inner.close()


def _mark(job: Job) -> Callable[[float], None]:
    """What the conductor itself may have spent; told of the probe's worst case at once."""
    if job.allowance is None or job.folder is None:
        return lambda _: None
    mark = Mark(Path(job.folder), job.record_id, "probe")
    mark(job.allowance.probe_usd)
    return mark


def _probe_usd(found: Capabilities, price: Allowance) -> float:
    return (
        found.probe_requests * price.usd_per_request
        + found.probe_input_tokens * price.usd_per_input_token
        + found.probe_output_tokens * price.usd_per_output_token
    )


def _rehearse(
    made: Ground, job: Job, endpoint: Endpoint, transport: Transport, clock: Clock, mark: Callable[[float], None]
) -> None:
    """One request like those of the load, by itself: how long it takes says over which time streams are started."""
    traffic = _traffic(job)
    if traffic.load == "trace" or traffic.prompts is not None:
        asked, answered = nominal(traffic)
        asked = max(asked, made.vocabulary.overhead_tokens + LEAST_TOKENS)
        traffic = Traffic(load="closed", concurrency=1, input_tokens=asked, output_tokens=answered)
    session = next(plan(traffic, made.vocabulary, job.replicate + REHEARSAL, made.tokenizer).slice(0, 1))
    turn = session.turns[0]
    guess = planned_tokens(turn.content, turn.input_tokens)
    purse = None
    if job.allowance is not None:
        price = job.allowance.model_copy(update={"usd": job.allowance.usd - made.spent_usd})
        purse = Purse(price, made.capabilities.overhead_tokens or TEMPLATE_TOKENS, input_ratio=ESTIMATE_RATIO)
        if not purse.set_aside(0, guess, turn.output_tokens):
            return  # the load will end for want of money, and say so
        mark(made.spent_usd + purse.reserved_usd)
    bodies = Bodies(endpoint, made.capabilities, traffic.ignore_eos, wants_cache(traffic))
    limit_ns = clock() + int(min(endpoint.timeout_s, LONGEST_REHEARSAL_S) * NS)
    transport.send(bodies.body([turn.content], turn.output_tokens), None, limit_ns)
    over: Sequence[Exchange] = ()
    while not over and transport.in_flight:
        over = transport.turn(limit_ns)
    request = Request(index=0, asked_output_tokens=turn.output_tokens)
    if not over:
        return
    read_answer(over[0], request, 0, endpoint.api, endpoint.stream and made.capabilities.streams)
    if purse is not None and job.allowance is not None:
        made.spent_usd += cost_usd(request, job.allowance, purse.worst_usd(guess, turn.output_tokens))
    if request.status == "ok" and request.done_s is not None and request.sent_s is not None:
        made.expected_s = request.done_s - request.sent_s
    elif request.status == "timeout":
        made.expected_s = LONGEST_REHEARSAL_S


def spread_s(made: Ground, traffic: Traffic, duration: float | None) -> float:
    """Over how long the streams of a closed loop are started: about what one request takes, and never long."""
    limit = LONGEST_SPREAD_S if duration is None else min(LONGEST_SPREAD_S, duration / 6)
    return min(made.expected_s, limit) if (traffic.concurrency or 1) > 1 else 0.0
