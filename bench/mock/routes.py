"""What is answered at once: health, models, metrics; and who is let in."""

from dataclasses import dataclass
from typing import Protocol

import orjson

from bench.mock import process, wire
from bench.mock.asked import CHAT, COMPLETIONS, RefusedError
from bench.mock.connection import Message
from bench.mock.settings import MockSettings
from bench.mock.truth import TruthLog

GET = ("/health", "/v1/models", "/metrics", "/truth")


@dataclass(slots=True)
class Totals:
    """Counters and gauges of /metrics."""

    requests: int = 0
    refused: int = 0
    prompt: int = 0
    generated: int = 0
    running: int = 0
    waiting: int = 0


class State(Protocol):
    """What of the server is asked here."""

    settings: MockSettings
    totals: Totals
    log: TruthLog
    key: str | None

    def starting(self) -> bool: ...


def check(server: State, message: Message) -> None:
    """Let a request in. Raises RefusedError: 503 while the server starts, 401 for another key than its own."""
    if server.starting():
        raise RefusedError(503, "Loading model")
    sent = message.headers.get(b"authorization", b"").decode("latin-1")
    if server.key is not None and sent != f"Bearer {server.key}":
        raise RefusedError(401, "Incorrect API key provided")


def answer(server: State, message: Message) -> bytes:
    """The whole answer to anything but a completion."""
    try:
        if message.path in (CHAT, COMPLETIONS):
            raise RefusedError(405, f"{message.path} takes POST only")
        if message.path not in GET:
            raise RefusedError(404, f"no such path: {message.path}")
        if message.method != b"GET":
            raise RefusedError(405, f"{message.path} takes GET only")
        if message.path == "/truth":
            return wire.answer(200, orjson.dumps({"lines": server.log.lines}))
        if message.path == "/health":
            if server.starting():
                raise RefusedError(503, "Loading model")
            return wire.answer(200, b'{"status":"ok"}')
        if message.path == "/metrics":
            return wire.answer(200, _metrics(server), b"text/plain; version=0.0.4")
        check(server, message)
        listed = {"id": server.settings.model, "object": "model", "owned_by": "llm-cost-bench mock"}
        return wire.answer(200, orjson.dumps({"object": "list", "data": [listed]}))
    except RefusedError as refused:
        return wire.error(refused.status, refused.message)


def _metrics(server: State) -> bytes:
    totals = server.totals
    lines = []
    for name, kind, what, value in (
        ("requests_total", "counter", "Requests for completions", totals.requests),
        ("requests_refused_total", "counter", "of them answered without a completion", totals.refused),
        ("prompt_tokens_total", "counter", "Tokens of prompts that were taken up", totals.prompt),
        ("generation_tokens_total", "counter", "Tokens sent", totals.generated),
        ("num_requests_running", "gauge", "Streams at work", totals.running),
        ("num_requests_waiting", "gauge", "Requests that wait for a slot", totals.waiting),
        ("process_cpu_seconds_total", "counter", "CPU time of the server", round(process.cpu_s(), 6)),
    ):
        lines += [f"# HELP mock:{name} {what}", f"# TYPE mock:{name} {kind}", f"mock:{name} {value}"]
    return "\n".join(lines).encode() + b"\n"
