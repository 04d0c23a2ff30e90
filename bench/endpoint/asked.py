"""One small request of the probe, and what its answer shows. The clock here only sets deadlines."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.client import Exchange, Target, Transport
from bench.endpoint.access import redacted

TURN_NS = 500_000_000


@dataclass
class Answer:
    """What came back, as far as the probe cares."""

    status: int | None = None
    failure: str | None = None
    message: str = ""
    """The server's own words where it refused, in one line and without a key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_stream: bool = False
    usage: dict[str, Any] | None = None
    usages: int = 0
    """Events that carry a usage."""
    token_events: int = 0
    """Events that carry a token."""
    finish: str | None = None
    model: str | None = None
    timings: bool = False

    @property
    def worked(self) -> bool:
        return self.status == 200 and self.failure is None and not self.message

    def count(self, key: str) -> int | None:
        """A count of the usage; None where the server gave none that could be one."""
        value = (self.usage or {}).get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class Asker:
    """Sends one request after another."""

    def __init__(self, transport: Transport, target: Target, timeout_s: float) -> None:
        self._transport = transport
        self._target = target
        self._timeout_ns = int(timeout_s * 1e9)
        self.requests = 0
        self.input_tokens = 0
        self.output_tokens = 0

    def ask(self, fields: Mapping[str, Any], most_tokens: int, most_input: int) -> Answer:
        """The answer to these fields. Counts what it may have cost: by its usage, else at the most that it can be."""
        self.requests += 1
        deadline_ns = time.perf_counter_ns() + self._timeout_ns
        self._transport.send(orjson.dumps(dict(fields)), "probe", deadline_ns)
        over: list[Exchange] = []
        while not over and time.perf_counter_ns() < deadline_ns + 2 * TURN_NS:
            over = self._transport.turn(time.perf_counter_ns() + TURN_NS)
        over = over or self._transport.abort() or [Exchange("probe", failure="timeout")]
        answer = read(over[0], self._target)
        if answer.status == 200:
            self.input_tokens += _or(answer.count("prompt_tokens"), most_input)
            self.output_tokens += _or(answer.count("completion_tokens"), most_tokens)
        return answer


def read(exchange: Exchange, target: Target) -> Answer:
    """What an exchange says."""
    answer = Answer(status=exchange.http_status, headers=exchange.headers)
    body = b"".join(exchange.pieces)
    if exchange.failure is not None:
        answer.failure = exchange.failure
        answer.message = redacted(_line(exchange.error or exchange.failure), target)
        return answer
    if exchange.http_status != 200:
        answer.message = redacted(words(body) or "no explanation", target)
        return answer
    events = [one for one in _events(body) if isinstance(one, dict)]
    answer.is_stream = body.lstrip().startswith((b"data:", b"event:", b"id:", b":"))
    for event in events:
        _take(answer, event)
    if not events:
        answer.message = redacted(
            f"neither JSON nor an event stream: {_line(body[:120].decode(errors='replace'))}", target
        )
    elif answer.message:
        answer.message = redacted(answer.message, target)
    return answer


def words(body: bytes) -> str:
    """The explanation in the body of a refusal: JSON as OpenAI, FastAPI and others write it, else its text.

    >>> words(b'{"error": {"message": "Unknown parameter: ignore_eos", "code": 7}}')
    'Unknown parameter: ignore_eos'
    >>> words(b'{"detail": [{"loc": ["body", "min_tokens"], "msg": "Extra inputs are not permitted"}]}')
    'body.min_tokens: Extra inputs are not permitted'
    >>> words(b"<html><title>502 Bad Gateway</title></html>")
    '502 Bad Gateway'
    """
    text = body.decode(errors="replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return _line(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text[:20_000], flags=re.DOTALL | re.IGNORECASE))
    return _line(_found(said) or text)


def _found(said: Any) -> str:
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        return "; ".join(filter(None, (_found(one) for one in said[:5])))
    if not isinstance(said, dict):
        return ""
    if "msg" in said:
        where = ".".join(str(part) for part in said.get("loc", ()) if isinstance(part, str | int))
        return f"{where}: {said['msg']}" if where else str(said["msg"])
    for key in ("error", "message", "detail", "errors"):
        if said.get(key):
            return _found(said[key])
    return ""


def _events(body: bytes) -> list[Any]:
    """JSON of a whole body, or of each event of a stream."""
    if body.lstrip()[:1] == b"{":
        return _loaded(body)
    found: list[Any] = []
    for event in re.split(rb"\r\n\r\n|\n\n|\r\r", body):
        lines = [line[5:].lstrip() for line in event.splitlines() if line.startswith(b"data:")]
        if lines and lines != [b"[DONE]"]:
            found += _loaded(b"\n".join(lines))
    return found


def _loaded(data: bytes) -> list[Any]:
    try:
        return [orjson.loads(data)]
    except ValueError:
        return []


def _take(answer: Answer, event: dict[str, Any]) -> None:
    if event.get("error"):
        answer.message = _line(_found(event["error"]) or "an error without a message")
        return
    answer.timings = answer.timings or isinstance(event.get("timings"), dict)
    if isinstance(event.get("model"), str):
        answer.model = event["model"]
    has_token = False
    for choice in event.get("choices") or ():
        if not isinstance(choice, dict):
            continue
        part = choice.get("delta") or choice.get("message") or choice
        if isinstance(part, dict):
            keys = ("content", "text", "reasoning_content", "reasoning", "tool_calls")
            has_token = has_token or any(part.get(key) for key in keys)
        answer.finish = choice.get("finish_reason") or answer.finish
    answer.token_events += has_token
    if isinstance(event.get("usage"), dict):
        answer.usage = event["usage"]
        answer.usages += 1


def _or(count: int | None, most: int) -> int:
    return most if count is None else count


def _line(text: str) -> str:
    """One line that fits into a message."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"
