"""An answer written out before its first byte is due: what is sent, in which steps, and when each is due.

Whatever can be worked out beforehand is, so that a token on the wire costs a look at the clock and one write.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

from bench.mock import wire
from bench.mock.asked import Asked
from bench.mock.settings import MockSettings

PIECE_NS = 200_000
"""Between the pieces of an event that is split."""
LOOP_STEPS = 256
"""Of an endless answer: sent again and again."""

Ending = Literal["keep", "close", "reset"]


@dataclass(slots=True)
class Script:
    """`steps[i]` holds `counts[i]` tokens and is due `gaps_ns[i]` after the step before it; the first after the start.

    Where `gaps_ns` is None the first gap is `first_gap_ns` and each other one `gap_ns`.
    """

    lead: bytes
    """Sent at the start, or with the first step if that is due."""
    steps: list[bytes]
    counts: list[int]
    first_gap_ns: int
    gap_ns: int
    gaps_ns: list[int] | None = None
    ending: Ending = "keep"
    status: str = "ok"
    endless: bool = False
    alone: bool = False
    """Each step is written by itself, also when the next one is due already."""
    reasoning_tokens: int = 0
    slowdown: float = 0.0

    def gap(self, step: int) -> int:
        """Nanoseconds from the step before this one."""
        if self.gaps_ns is not None and step < len(self.gaps_ns):
            return self.gaps_ns[step]
        return self.gap_ns if step else self.first_gap_ns


def write(asked: Asked, request_id: str, created: int, cached: int | None, dice: random.Random | None) -> Script:
    """The script of an answer. `cached`: prompt tokens said to be cached; `dice`: of jitter and lengths."""
    settings = asked.settings
    tokens = asked.tokens
    early = settings.ends_early and not asked.exact and tokens > 1
    if early and dice is not None:
        tokens = dice.randint(1, tokens)
    prompt = len(asked.words) + settings.template_tokens
    events = _Events(asked, request_id, created, prompt, cached, "stop" if early else "length", tokens)
    to_compute = prompt - (cached or 0)
    ttft_ns = round((settings.ttft_s + settings.ttft_s_per_input_token * to_compute) * 1e9)
    itl_ns = round(settings.itl_s * 1e9)
    if not asked.stream:
        body = wire.answer(200, events.whole(), headers=b"x-request-id: %s\r\n" % request_id.encode())
        return Script(b"", [body], [tokens], ttft_ns + itl_ns * max(0, tokens - 1), 0)
    if settings.malformed == "http":
        return Script(events.lead(), [b""], [0], ttft_ns, 0, ending="close", status="cut")
    script = Script(
        lead=events.lead(),
        steps=[],
        counts=[],
        first_gap_ns=ttft_ns,
        gap_ns=itl_ns * settings.chunk_tokens,
        ending="close" if settings.close else "keep",
        endless=settings.endless,
        reasoning_tokens=events.reasoning,
        slowdown=settings.slowdown,
    )
    for data, count in events.tokens():
        script.steps.append(data)
        script.counts.append(count)
    _end(script, settings, events)
    _time(script, settings, dice)
    return script


class _Events:
    """Makes the events of one answer; most are the same bytes again and again."""

    def __init__(
        self, asked: Asked, request_id: str, created: int, prompt: int, cached: int | None, reason: str, tokens: int
    ) -> None:
        self.asked, self.settings = asked, asked.settings
        self.request_id = request_id
        self.count = LOOP_STEPS * asked.settings.chunk_tokens if asked.settings.endless else tokens
        self.prompt, self.cached = prompt, cached
        self.reasoning = min(self.settings.reasoning_tokens, self.count) if asked.chat else 0
        self.tool = min(self.settings.tool_tokens, self.count - self.reasoning) if asked.chat else 0
        self.reason = "tool_calls" if self.tool else reason
        kind = ("chat.completion" if asked.chat else "text_completion") + (
            ".chunk" if asked.chat and asked.stream else ""
        )
        self.fields = {"id": request_id, "object": kind, "created": created, "model": self.settings.model}
        said = orjson.dumps(self.fields)[:-1]
        self.before = said + b',"choices":[{"index":0,"' + (b'delta":' if asked.chat else b'text":')
        style = self.settings.usage
        self.per_chunk = style == "chunk" or (style == "asked" and asked.usage_chunks)
        self.final = style in ("final", "wrong") or (style == "asked" and asked.usage_final)

    def lead(self) -> bytes:
        """The head of the answer, and events without a token."""
        settings = self.settings
        if settings.malformed == "http":
            return b"\x15\x03\x01 this is not HTTP\r\n\r\n"
        said = wire.stream_head(self.request_id.encode(), settings)
        if self.asked.chat and settings.role_chunk:
            said += self._event(b'{"role":"assistant","content":""}', 0)
        for _ in range(settings.empty_chunks):
            said += self._event(b'{"content":""}' if self.asked.chat else b'""', 0)
        return said

    def tokens(self) -> Iterator[tuple[bytes, int]]:
        """Every event that carries tokens, and how many."""
        done = 0
        kinds = (
            ("reasoning", self.reasoning),
            ("text", self.count - self.reasoning - self.tool),
            ("tool", self.tool),
        )
        known: dict[tuple[str, int], bytes] = {}
        for kind, count in kinds:
            for start in range(0, count, self.settings.chunk_tokens):
                of_chunk = min(self.settings.chunk_tokens, count - start)
                done += of_chunk
                special = self.per_chunk or (kind == "tool" and start == 0) or self._is_big(done, of_chunk)
                data = None if special else known.get((kind, of_chunk))
                if data is None:
                    data = self._event(self._delta(kind, of_chunk, start == 0, done == of_chunk), done)
                    if not special:
                        known[kind, of_chunk] = data
                yield data, of_chunk

    def tail(self) -> bytes:
        """What follows the last token of an answer that ends well."""
        settings, said = self.settings, b""
        if settings.finish:
            beside = self._usage(self.count) if settings.usage == "finish" else None
            said += self._event(b"{}" if self.asked.chat else b'""', self.count, self.reason, beside)
        if self.final:
            last = {**self.fields, "choices": [], "usage": self._usage(self.count), **self._timings()}
            said += self._framed(orjson.dumps(last))
        elif settings.engine_timings:
            said += self._framed(orjson.dumps({**self.fields, "choices": [], **self._timings()}))
        return said + self.end()

    def end(self) -> bytes:
        """[DONE], and the end of the HTTP body."""
        said = wire.event(b"[DONE]", self.settings) if self.settings.done else b""
        return said if self.settings.close else said + wire.END

    def error(self) -> bytes:
        """An error in the place of the next token, with which the stream ends."""
        fields = wire.error_fields(500, "the engine failed while it generated")
        return self._framed(orjson.dumps({"error": fields})) + self.end()

    def whole(self) -> bytes:
        """The body of an answer that is not streamed."""
        text = self._text(self.count - self.reasoning - self.tool, first=True)
        choice: dict[str, object] = {"index": 0, "finish_reason": self.reason if self.settings.finish else None}
        if self.asked.chat:
            message: dict[str, object] = {"role": "assistant", "content": text}
            if self.reasoning:
                message["reasoning_content"] = self.settings.text * self.reasoning
            if self.tool:
                function = {"name": "look", "arguments": self.settings.text * self.tool}
                message["tool_calls"] = [{"id": "call_0", "type": "function", "function": function}]
            choice["message"] = message
        else:
            choice["text"] = text
        usage = {} if self.settings.usage == "none" else {"usage": self._usage(self.count)}
        return orjson.dumps({**self.fields, "choices": [choice], **usage, **self._timings()})

    def _is_big(self, done: int, of_chunk: int) -> bool:
        return self.settings.event_bytes is not None and done == of_chunk

    def _text(self, count: int, first: bool) -> str:
        if first and self.settings.event_bytes is not None:
            return "x" * self.settings.event_bytes
        return self.settings.text * count

    def _delta(self, kind: str, count: int, starts: bool, first: bool) -> bytes:
        text = self._text(count, first)
        if not self.asked.chat:
            return orjson.dumps(text)
        if kind != "tool":
            return orjson.dumps({"content" if kind == "text" else "reasoning_content": text})
        call: dict[str, object] = {"index": 0, "function": {"arguments": text}}
        if starts:
            call = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "look", "arguments": text}}
        return orjson.dumps({"tool_calls": [call]})

    def _event(
        self, delta: bytes, done: int, reason: str | None = None, usage: dict[str, object] | None = None
    ) -> bytes:
        ends = b"null" if reason is None else b'"' + reason.encode() + b'"'
        if usage is None and self.per_chunk:
            usage = self._usage(done)
        beside = b"" if usage is None else b',"usage":' + orjson.dumps(usage)
        return self._framed(self.before + delta + b',"finish_reason":' + ends + b"}]" + beside + b"}")

    def _framed(self, payload: bytes) -> bytes:
        if self.settings.malformed == "json":
            payload = payload[: len(payload) // 2]
        return wire.event(payload, self.settings)

    def _usage(self, done: int) -> dict[str, object]:
        prompt = self.prompt
        if self.settings.usage == "wrong":
            prompt, done = 1, 2 * done + 7
        said: dict[str, object] = {"prompt_tokens": prompt, "completion_tokens": done, "total_tokens": prompt + done}
        if self.cached is not None:
            said["prompt_tokens_details"] = {"cached_tokens": self.cached}
        if self.reasoning:
            said["completion_tokens_details"] = {"reasoning_tokens": min(done, self.reasoning)}
        return said

    def _timings(self) -> dict[str, object]:
        """llama.cpp's own: milliseconds of prompt and of generation, by the settings."""
        if not self.settings.engine_timings:
            return {}
        to_compute = self.prompt - (self.cached or 0)
        prompt_s = self.settings.ttft_s + self.settings.ttft_s_per_input_token * to_compute
        predicted_s = self.settings.itl_s * max(0, self.count - 1)
        timings = {"prompt_n": to_compute, "prompt_ms": prompt_s * 1e3}
        return {"timings": {**timings, "predicted_n": self.count, "predicted_ms": predicted_s * 1e3}}


def _end(script: Script, settings: MockSettings, events: _Events) -> None:
    """How the answer ends: well, or by the fault that comes first."""
    faults = {"error": settings.error_after, "reset": settings.abort_after, "cut": settings.fin_after}
    due = {kind: after for kind, after in faults.items() if after is not None and after <= sum(script.counts)}
    if not due:
        if script.endless:
            return
        if script.steps:
            script.steps[-1] += events.tail()
        else:
            script.steps, script.counts = [events.tail()], [0]
        return
    kind, after = min(due.items(), key=lambda one: one[1])
    kept, sent = 0, 0
    while kept < len(script.counts) and sent + script.counts[kept] <= after:
        sent += script.counts[kept]
        kept += 1
    torn = script.steps[kept] if kept < len(script.steps) else events.tail()
    last = {"error": events.error(), "reset": b"", "cut": torn[: len(torn) // 2]}[kind]
    script.steps = [*script.steps[:kept], last]
    script.counts = [*script.counts[:kept], 0]
    script.endless = False
    script.status = {"error": "error", "reset": "aborted", "cut": "cut"}[kind]
    script.ending = {"error": script.ending, "reset": "reset", "cut": "close"}[kind]


def _time(script: Script, settings: MockSettings, dice: random.Random | None) -> None:
    """Gaps that are not all the same: jitter, a stall, split events."""
    if settings.jitter and dice is not None:
        spread = math.sqrt(math.log1p(settings.jitter**2))
        mean = -spread * spread / 2
        script.gaps_ns = [
            round(script.gap(step) * dice.lognormvariate(mean, spread)) for step in range(len(script.steps))
        ]
    if settings.stall_after is not None:
        gaps = script.gaps_ns or [script.gap(step) for step in range(len(script.steps))]
        sent = 0
        for step, count in enumerate(script.counts):
            if sent >= settings.stall_after:
                gaps[step] += round(settings.stall_s * 1e9)
                break
            sent += count
        script.gaps_ns = gaps
    if settings.split_bytes is not None:
        _split(script, settings.split_bytes)


def _split(script: Script, size: int) -> None:
    """Each step in pieces; the last piece of a step carries its tokens, and the next step is due when it was."""
    steps: list[bytes] = []
    counts: list[int] = []
    gaps: list[int] = []
    behind = 0
    lead = [(script.lead, 0, 0)] if script.lead else []
    for data, count, gap in [
        *lead,
        *((data, script.counts[at], script.gap(at)) for at, data in enumerate(script.steps)),
    ]:
        pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        steps += pieces
        counts += [0] * (len(pieces) - 1) + [count]
        gaps += [max(0, gap - behind)] + [PIECE_NS] * (len(pieces) - 1)
        behind = max(0, behind - gap) + PIECE_NS * (len(pieces) - 1)
    script.lead, script.steps, script.counts, script.gaps_ns = b"", steps, counts, gaps
    script.alone = True
