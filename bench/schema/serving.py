"""Measured under load: what one run of the load generator brings back besides its trace of requests."""

from typing import Any, Literal

from pydantic import Field

from bench.schema.machine import Accelerator
from bench.schema.measured import Window
from bench.schema.noun import Noun

Ended = Literal[
    "requests", "duration", "precision", "errors", "oversaturated", "money", "prompts", "trace", "interrupted"
]
LengthSource = Literal["ids", "tokenizer", "estimate", "file"]
"""How prompts got their length: token ids; text that a local tokenizer counted; text of so many words, by the ratio
that the probe saw; or the file's own prompts. What the server counted stands in each request all the same."""


class Capabilities(Noun):
    """What the probe found that the server does. `notes` say what was given up and why."""

    served_model: str
    server: str | None = Field(None, description="what the server calls itself, version included")
    streams: bool = True
    usage_chunk: bool = Field(False, description="the stream ends with its usage")
    usage_per_chunk: bool = Field(False, description="each chunk carries the usage so far")
    exact_length: str | None = Field(
        None, description="by which field answers get exactly their length: ignore_eos, min_tokens, generation_config"
    )
    token_ids: bool = Field(False, description="completions take prompts as token ids")
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    cached_tokens: bool = Field(False, description="usage says how much of the prompt was cached")
    tokens_per_word: float | None = Field(None, description="of synthetic text, by the server's own count")
    overhead_tokens: int | None = Field(None, description="that the chat template adds to a prompt")
    engine_timings: bool = Field(False, description="the last chunk carries the engine's own timings")
    refused_fields: tuple[str, ...] = Field((), description="of requests: left out, because the server refused them")
    prompt_cache_switch: bool = Field(False, description="a request can forbid the prompt cache (llama.cpp)")
    probe_requests: int = Field(0, description="what finding this out took, refused requests included")
    probe_input_tokens: int = 0
    probe_output_tokens: int = 0
    notes: tuple[str, ...] = ()


class ClientFacts(Noun):
    """How one load generator process fared: what says whether it, and not the server, was slow."""

    worker: int
    requests: int
    chunks: int
    cpu_s: float
    wall_s: float
    lag_p99_s: float | None = Field(
        None, description="how late its loop came to what was due, or, if longer, what a token waits for at any moment"
    )
    lag_max_s: float | None = None
    peak_rss_bytes: int | None = None
    cpu_share_limit: float | None = Field(
        None, description="share of a core from which this machine's client was found to distort (selftest --load)"
    )


class ServerSample(Noun):
    """The server's own counters and gauges at a moment; names as it writes them, with their labels."""

    at_s: float = Field(description="since the epoch of the run")
    values: dict[str, float] = Field(default_factory=dict)


class ServerFacts(Noun):
    """A server that this run started."""

    engine: str
    version: str | None = None
    command: tuple[str, ...] = Field((), description="without paths of this machine")
    load_s: float = Field(description="from its start to its first answer that it is ready")
    first_request_s: float | None = Field(None, description="the first answer, compilation included")
    rss_peak_bytes: int | None = None
    device_used_peak_bytes: int | None = None
    weights_id: str | None = None
    weights_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()


class Allowance(Noun):
    """What may be spent: no request is sent whose worst case, with those on their way, would exceed `usd`."""

    usd: float
    usd_per_input_token: float
    usd_per_cached_token: float
    usd_per_output_token: float
    usd_per_request: float = 0.0
    probe_usd: float = Field(0.0, description="more than finding out what the endpoint can do takes")


class Serving(Noun):
    """One run under load. Times are seconds since the run's epoch, just before the first request.

    Every request stands as one line in the trace file (`bench/traces.py`), named here relative to the run's folder.
    """

    trace: str
    trace_sha256: str
    requests: int
    capabilities: Capabilities
    server: ServerFacts | None = Field(None, description="null: it was already running")
    loopback: bool = Field(description="the endpoint is on this machine")
    length_source: LengthSource
    warm_s: float = Field(description="from when on the load was at its level and answers had come back")
    stopped_s: float = Field(description="when sending stopped; requests on their way were let finish or cut")
    finished_s: float = Field(description="when the last of them was over")
    ended: Ended
    clients: tuple[ClientFacts, ...]
    samples: tuple[ServerSample, ...] = ()
    window: Window | None = Field(None, description="machine and energy from warm_s to stopped_s")
    spent: Allowance | None = Field(None, description="the allowance, where one was given")
    spent_usd: float | None = Field(None, description="by the server's usage at the allowance's prices")
    text_tokens: dict[str, int] = Field(default_factory=dict, description="as in ModelFacts")
    text_sha256: str | None = None
    notes: tuple[str, ...] = ()


class Live(Noun):
    """How a run under load stands, twice a second, for the person who watches. Never a result."""

    phase: str
    at_s: float
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p99_s: float | None = None
    tpot_p50_s: float | None = None
    window_s: float | None = Field(None, description="length of the steady window so far")
    spent_usd: float | None = None
    last_error: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
