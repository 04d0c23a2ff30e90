"""Measured: everything that one child process brings back."""

from typing import Any

from pydantic import Field

from bench.schema.machine import Accelerator, Edge
from bench.schema.noun import Noun


class ModelFacts(Noun):
    """What the engine really loaded."""

    parameters: int
    weights_bytes: int
    kv_bytes_per_token: int | None = Field(None, description="bytes of KV cache for one token of one row")
    vocab_size: int
    max_positions: int | None = None
    random_weights: bool = False
    weights_id: str | None = Field(None, description="revision or checksum of the weights")
    files: dict[str, str] = Field(default_factory=dict, description="weight file → checksum")
    config: dict[str, Any] = Field(
        default_factory=dict, description="the sizes in the model's config.json: what bytes and FLOPs are derived from"
    )
    text_tokens: dict[str, int] = Field(
        default_factory=dict,
        description="tokens of each part of the package's sample text by the model's own tokenizer",
    )
    text_sha256: str | None = Field(None, description="of that text")
    dtype: str
    device: str
    placement: dict[str, int] = Field(default_factory=dict, description="device → bytes of weights there")
    parallel: dict[str, int] = Field(
        default_factory=dict, description="tensor, pipeline, …: over how many devices each, where more than one"
    )
    accelerators: tuple[Accelerator, ...] = Field((), description="the devices used, as the engine names them")
    threads: int | None = None
    attention: str | None = None
    cache: str | None = None
    compiled: bool = False
    products: str | None = Field(
        None, description="type of the products, where the engine and not the precision chooses it"
    )
    kernel: str | None = Field(None, description="how this precision's products are computed on this device")
    kernel_falls_back: bool = Field(False, description="whether for lack of a kernel of the precision's own format")
    notes: tuple[str, ...] = ()


class Round(Noun):
    """One timed generation. Stamps are seconds since the moment just before the work was handed to the engine."""

    step_s: tuple[float, ...] = Field(min_length=1, description="when each step's tokens, one a row, were on the host")
    step_rows: tuple[int, ...] | None = Field(
        None, description="of a batch that is scheduled continuously: how many rows got a token in each step"
    )
    done_s: float
    cpu_s: float | None = Field(None, description="CPU time of the process during the round")
    stalled_s: float | None = Field(None, description="time some task of the machine waited for a CPU (PSI)")
    stolen_s: float | None = Field(None, description="CPU time that the hypervisor gave to other machines, all CPUs")
    switches: int | None = Field(None, description="times that the process had to give up a CPU (involuntary)")
    tokens_sha256: str | None = Field(None, description="over the generated token ids, row by row")


class Memory(Noun):
    """Bytes; null where there is no such counter, with the reason under the same name in `reasons`."""

    weights_bytes: int | None = None
    kv_cache_bytes: int | None = None
    rss_load_peak_bytes: int | None = None
    rss_peak_bytes: int | None = None
    pss_peak_bytes: int | None = None
    cuda_peak_allocated_bytes: int | None = None
    cuda_peak_reserved_bytes: int | None = None
    device_used_peak_bytes: int | None = None
    device_process_peak_bytes: int | None = None
    reasons: dict[str, str] = Field(default_factory=dict)


class Energy(Noun):
    """Joules between the edges of the timed window; null where there is no counter, with the reason."""

    gpu_energy_j: float | None = None
    cpu_energy_j: float | None = None
    dram_energy_j: float | None = None
    sources: dict[str, str] = Field(default_factory=dict, description="which counter each figure comes from")
    reasons: dict[str, str] = Field(default_factory=dict)


class Window(Noun):
    """All timed rounds together, from just before the first to just after the last."""

    start: Edge
    end: Edge
    duration_s: float = Field(description="on the clock that stamps the steps")
    other_clock_s: float | None = Field(None, description="the same window on a second, independent clock")
    energy: Energy = Energy()


class Measurement(Noun):
    """Everything one child process measured."""

    facts: ModelFacts
    prepare_s: float | None = Field(
        None, description="making a file that is kept, such as a converted checkpoint; no part of any figure"
    )
    import_s: float | None = Field(None, description="importing the engine, before loading")
    load_s: float
    first_generate_s: float
    warmup_s: tuple[float, ...] = ()
    rounds: tuple[Round, ...] = Field(min_length=1)
    window: Window | None = None
    memory: Memory = Memory()
    prompt_seed: int = 0
