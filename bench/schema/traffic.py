"""Written by people: the load that an endpoint is put under, its prompts, and the objectives that it is held to."""

from typing import Any, Literal

from pydantic import Field

from bench.schema.noun import Noun

LoadKind = Literal["closed", "constant", "poisson", "gamma", "burst", "trace"]
SloMetric = Literal["ttft_s", "tpot_s", "itl_s", "e2el_s"]


class Lengths(Noun):
    """A distribution of token counts over requests, cut to [least, most]."""

    shape: Literal["uniform", "normal", "lognormal", "exponential"] = Field(description="uniform needs no mean")
    mean: float | None = Field(None, gt=0, allow_inf_nan=False, description="of the uncut distribution")
    cv: float = Field(0.5, ge=0, le=10, allow_inf_nan=False, description="standard deviation over mean")
    least: int = Field(1, ge=1)
    most: int = Field(1_000_000, ge=1)


class Prompts(Noun):
    """Prompts from a file, instead of synthetic ones."""

    file: str = Field(min_length=1, description="JSON Lines, or ShareGPT's JSON; relative to the config")
    format: Literal["auto", "jsonl", "sharegpt"] = Field("auto", description="auto: by the first record")
    repeat: bool = Field(False, description="begin anew when they run out; without it, the load ends there")


class SharedPrefix(Noun):
    """What prompts have in common: documents, system prompts."""

    hit_rate: float = Field(ge=0, lt=1, description="share of the prompt tokens that a perfect prefix cache would hold")
    pool: int = Field(1, ge=1, description="so many different prefixes, drawn at random")


class Ramp(Noun):
    """The load grows from its first value to `to` over `over_s`, linearly, and stays there."""

    to: float = Field(gt=0, allow_inf_nan=False, description="requests per second, or streams of a closed loop")
    over_s: float = Field(gt=0, allow_inf_nan=False)


class Until(Noun):
    """When sending stops: whichever comes first. Warm-up is not counted."""

    requests: int | None = Field(None, ge=1, description="requests sent after the warm-up")
    duration_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="seconds after the warm-up; 60 where nothing else ends the load"
    )
    half_width: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="95 % half-width of throughput and of median TTFT by batch means, as a share",
    )
    failed_share: float = Field(0.5, gt=0, le=1, description="of the last 50 requests or more that failed")
    oversaturated: bool = Field(True, description="an open loop whose queue grows without end")


class Traffic(Noun):
    """The load of one cell. `requests_per_s` and `concurrency` are its level."""

    load: LoadKind = Field(
        description="closed: so many streams at once; the others are open loops with a schedule made beforehand: "
        "constant, poisson, gamma, burst, trace"
    )
    concurrency: int | None = Field(None, ge=1, le=100_000, description="of a closed loop: streams at once")
    requests_per_s: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False, description="of an open loop: mean")
    burstiness: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="of gamma: its shape; 1 is Poisson, less is burstier"
    )
    burst_size: int = Field(1, ge=1, description="of burst: requests that come at the same moment")
    trace: str | None = Field(None, description="of trace: a Mooncake (JSON Lines) or BurstGPT (CSV) file")
    trace_format: Literal["auto", "mooncake", "burstgpt"] = "auto"
    speed: float = Field(1.0, gt=0, allow_inf_nan=False, description="of trace: times as fast as it was recorded")
    ramp: Ramp | None = None
    input_tokens: int | Lengths | None = Field(None, description="a number or a distribution; not with a file's own")
    output_tokens: int | Lengths | None = Field(None, description="most tokens of an answer; exact with ignore_eos")
    ignore_eos: bool = Field(True, description="answers have exactly their output_tokens, where the server can do it")
    prompts: Prompts | None = None
    shared_prefix: SharedPrefix | None = None
    turns: int = Field(1, ge=1, le=1000, description="requests of one conversation, each with what was said before")
    think_time_s: float = Field(0.0, ge=0, allow_inf_nan=False, description="pause between turns (exponential mean)")
    warmup_s: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="at the full load, not counted; default: by the first answers"
    )
    until: Until = Until()
    max_in_flight: int = Field(8192, ge=1, description="of an open loop: more than these at once end the load")
    seed: int = Field(0, ge=0, description="of arrivals, lengths and prompts; replicates differ besides")

    def label(self) -> str:
        """The load in two words, as tables have it.

        >>> Traffic(load="closed", concurrency=16).label(), Traffic(load="poisson", requests_per_s=2.5).label()
        ('closed 16', 'poisson 2.5/s')
        """
        if self.load == "trace":
            return "trace" if self.speed == 1 else f"trace ×{self.speed:g}"
        level = f"{self.concurrency}" if self.load == "closed" else f"{self.requests_per_s:g}/s"
        ramp = "" if self.ramp is None else f"→{self.ramp.to:g}"
        return f"{self.load} {level}{ramp}"


class Slo(Noun):
    """One objective. A request meets it when its value is at most `at_most_s`; the service does when so many do."""

    metric: SloMetric
    percentile: float = Field(95.0, gt=0, lt=100, description="share of the requests, in percent, that must meet it")
    at_most_s: float = Field(gt=0, allow_inf_nan=False)

    def text(self) -> str:
        """As it is written in a config and on the command line.

        >>> Slo(metric="ttft_s", percentile=99, at_most_s=0.5).text()
        'ttft_s.p99<=0.5'
        """
        return f"{self.metric}.p{self.percentile:g}<={self.at_most_s:g}"


class ManagedServer(Noun):
    """A server to start on loopback, wait for, fill, and stop. A None takes what the engine's description says."""

    engine: str = Field(description="llama.cpp, ollama, transformers, vllm, sglang, tensorrt-llm, tgi, or command")
    command: tuple[str, ...] | None = Field(
        None,
        description="what to run instead of the engine's own command; {port}, {model}, {host} are filled in",
    )
    args: tuple[str, ...] = Field((), description="added at the end of the command")
    env: dict[str, str] = Field(default_factory=dict, description="added to the environment of the server")
    health_path: str | None = None
    metrics_path: str | None = None
    start_timeout_s: float = Field(600, gt=0, allow_inf_nan=False)


class Endpoint(Noun):
    """Where requests go, and how. The options of the runner `openai`."""

    base_url: str | None = Field(None, description="such as http://127.0.0.1:8000/v1; not with server")
    server: ManagedServer | None = Field(None, description="start this engine instead of using a running one")
    model: str | None = Field(None, description="name in the requests; default: the only one that the server lists")
    api: Literal["chat", "completions"] = "chat"
    stream: bool = Field(True, description="without it there is no time to the first token")
    key_env: str | None = Field(None, description="environment variable that holds the key; the key is never stored")
    headers: dict[str, str] = Field(default_factory=dict, description="added to each request; never a key")
    body: dict[str, Any] = Field(default_factory=dict, description="added to each request, such as temperature")
    tokenizer: str | None = Field(
        None, description="folder or hub id whose tokenizer makes prompts of exact length; default: the model's own"
    )
    prompt_form: Literal["auto", "text", "ids"] = Field("auto", description="ids: token ids, with completions only")
    clients: int = Field(1, ge=1, le=256, description="load generator processes")
    timeout_s: float = Field(600, gt=0, allow_inf_nan=False, description="for one request")
    ca_file: str | None = Field(None, description="certificates to trust instead of the system's")
