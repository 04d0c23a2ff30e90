"""One request under load, as it ended: a line of the trace. Plain and slotted: there are millions of them."""

from dataclasses import dataclass, field
from typing import Literal

RequestStatus = Literal[
    "ok",
    "refused",  # connection refused or unreachable
    "dns",
    "tls",
    "timeout",  # of the whole request, or of connecting
    "http",  # any status but 200; `http_status` says which
    "redirect",  # never followed
    "stream-error",  # {"error": …} inside a 200 stream
    "cut",  # the connection ended before the answer did
    "unfinished",  # the answer ended without a finish reason
    "empty",  # it ended well and held no token
    "malformed",  # no HTTP, no event stream, or no JSON
    "endless",  # more bytes or tokens than any answer to this request can have
    "cancelled",  # by us, when the load ended
]
CountSource = Literal["usage", "chunks", "tokenizer"]
"""usage: the server's count. chunks: per-chunk usage or one token a chunk, where the server gave no usage.
tokenizer: a local tokenizer counted the text."""


@dataclass(slots=True)
class Request:
    """Seconds since the run's epoch on one monotonic clock; None where it never happened."""

    index: int
    worker: int = 0
    session: int = 0
    turn: int = 0
    due_s: float | None = None
    """When the plan wanted it; None in a closed loop."""
    sent_s: float | None = None
    """Just before its bytes went out on a connection that was already open."""
    first_token_s: float | None = None
    """First event that carries a token: text, reasoning or a tool call; never a role-only event."""
    first_answer_s: float | None = None
    """First token that is not reasoning."""
    last_token_s: float | None = None
    done_s: float | None = None
    connect_s: float | None = None
    """What opening a connection took (DNS, TCP, TLS), where one had to be opened for this request."""
    resent: bool = False
    """The idle connection was closing as it was used, nothing had come back, and it went out on another one."""
    status: RequestStatus = "ok"
    http_status: int | None = None
    error: str | None = None
    """One line, at most 300 characters, never with a key in it."""
    finish: str | None = None
    asked_input_tokens: int | None = None
    asked_output_tokens: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    """With reasoning and tool calls."""
    reasoning_tokens: int | None = None
    tool_calls: int = 0
    count_source: CountSource | None = None
    local_input_tokens: int | None = None
    """A local tokenizer's count of the prompt, where there is one: what billed usage is checked against."""
    local_output_tokens: int | None = None
    first_event_tokens: int | None = None
    """Tokens in the first event that carries one; None where that cannot be told."""
    chunks: int = 0
    """Events that carry a token."""
    engine_prefill_s: float | None = None
    """The engine's own timings, where its last event has them."""
    engine_decode_s: float | None = None
    gaps_us: list[int] = field(default_factory=list)
    """Microseconds from each event that carries a token to the next: chunks - 1 of them."""
    gap_tokens: list[int] | None = None
    """Tokens in each of those later events; None where per-event counts are unknown (so: no ITL)."""
