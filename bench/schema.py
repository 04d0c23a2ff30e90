"""The nouns that cross a file or a process. Imports nothing of ours.

Units are SI and stand in the name (`_s`, `_bytes`, `_usd`, `_w`); milliseconds, gigabytes and millions of tokens exist
only in `bench/report/`. A record holds raw facts: no price, no percentile, no rounded unit. Whatever can be derived is
derived when a record is read, so a new price or a better formula needs no new run.

Models here ignore unknown keys, so that a record written by a newer version still loads. Configs are read with
`extra="forbid"` (`bench/plan/`), so that a misspelt key never becomes a silent default.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

DEFAULT_RUNNER = "transformers"

Status = Literal["ok", "oom", "timeout", "unsupported", "crashed", "invalid"]


class Noun(BaseModel):
    """A frozen value; unknown keys are ignored unless the reader forbids them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- written by people -------------------------------------------------------------------------------------------


class Model(Noun):
    """Which weights."""

    source: str = Field(
        min_length=1,
        description="builtin:NAME, shape:NAME (true architecture, random weights), a hub id (owner/name), "
        "a local folder, a .gguf file, or shape: followed by the path of a config.json",
    )
    revision: str | None = Field(None, description="hub branch, tag or commit; only for a hub id")
    gguf_file: str | None = Field(None, description="name of the GGUF file inside a hub repository or a folder")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the checkpoint")
    allow_pickle: bool = Field(False, description="load pickled weights (.bin), which can run any code")


class Plain(Noun):
    """Weights in one floating-point type, computed in it."""

    name: Literal["fp32", "fp16", "bf16"]


class Checkpoint(Noun):
    """A checkpoint that is already quantised (GPTQ, AWQ, compressed-tensors, GGUF blocks), loaded as it is stored."""

    name: Literal["checkpoint"]


class Int8(Noun):
    """bitsandbytes LLM.int8(): int8 weights and activations, outlier columns kept in 16 bits."""

    name: Literal["int8"]
    threshold: float = Field(
        6.0, ge=0, allow_inf_nan=False, description="activations above this are computed in 16 bits"
    )


class FourBit(Noun):
    """bitsandbytes 4-bit weights, dequantised block by block before each product."""

    name: Literal["nf4", "fp4"]
    double_quant: bool = Field(False, description="quantise the scales too")
    compute_dtype: Literal["bf16", "fp16", "fp32"] = Field("bf16", description="type of the product")


Precision = Annotated[Plain | Checkpoint | Int8 | FourBit, Field(discriminator="name")]
PRECISIONS: dict[str, type[Noun]] = {
    "fp32": Plain,
    "fp16": Plain,
    "bf16": Plain,
    "int8": Int8,
    "nf4": FourBit,
    "fp4": FourBit,
    "checkpoint": Checkpoint,
}


class RunnerChoice(Noun):
    """An engine and its own typed options (`Options` in the runner's file), fully resolved."""

    name: str = DEFAULT_RUNNER
    options: dict[str, Any] = Field(default_factory=dict)


class Workload(Noun):
    """A static batch: every row has the same prompt length and yields exactly `output_tokens` tokens."""

    batch_size: int = Field(1, ge=1, description="rows in the batch")
    input_tokens: int = Field(ge=1, description="prompt tokens a row")
    output_tokens: int = Field(ge=1, description="new tokens a row; end-of-sequence is ignored")


class Protocol(Noun):
    """How often a cell is timed inside one process. A round is not a replicate: replicates are new processes."""

    warmup_rounds: int = Field(1, ge=0, description="untimed rounds on the same shapes, after the first generation")
    rounds: int = Field(3, ge=1, description="timed rounds in one process")
    memory_pass: bool = Field(True, description="one more, untimed round with memory samplers on")


class CostChoices(Noun):
    """Where the dollars come from. Never part of a cell: prices are applied when records are read."""

    usd_per_hour: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="price of the whole machine, USD per hour"
    )
    provider: str | None = Field(None, description="take the hourly price from this provider in the price list")
    utilisation: float = Field(
        1.0, gt=0, le=1, description="share of the tokens it could serve in its paid hours that it does serve"
    )
    apis: tuple[str, ...] | None = Field(
        None, min_length=1, description="provider/model names to price the same requests at"
    )


class Sweep(Noun):
    """A config, read and checked: lists of nouns whose product is the matrix of cells."""

    name: str
    models: tuple[Model, ...]
    precisions: tuple[Precision, ...]
    runners: tuple[RunnerChoice, ...]
    workloads: tuple[Workload, ...]
    protocol: Protocol = Protocol()
    replicates: int = Field(3, ge=1, description="new processes a cell, interleaved over all cells")
    timeout_s: float = Field(
        1800, gt=0, allow_inf_nan=False, description="limit for one child process, loading included"
    )
    cost: CostChoices = CostChoices()


# --- derived from them -------------------------------------------------------------------------------------------


class Cell(Noun):
    """A point of the matrix. `cell_id` hashes what differs from the defaults, so that a new field keeps old ids."""

    cell_id: str = ""
    model: Model
    precision: Precision
    runner: RunnerChoice
    workload: Workload
    protocol: Protocol = Protocol()

    def identified(self, changed_options: dict[str, Any]) -> "Cell":
        """This cell with its id. `changed_options`: the runner options that differ from that runner's defaults."""
        said = self.model_dump(mode="json", exclude_defaults=True, exclude={"cell_id"})
        said["runner"] = {"name": self.runner.name, **({"options": changed_options} if changed_options else {})}
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return self.model_copy(update={"cell_id": hashlib.sha256(canonical.encode()).hexdigest()[:12]})


class Job(Noun):
    """One replicate of one cell: what a child process is asked to do."""

    cell: Cell
    replicate: int = Field(ge=0)


# --- detected and measured ---------------------------------------------------------------------------------------


class Accelerator(Noun):
    """One device as the driver names it."""

    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    power_limit_w: float | None = None


class Environment(Noun):
    """Where a cell ran. No host name, user name or serial number: records are published."""

    bench_version: str
    bench_revision: str | None = None
    instrument: int = Field(1, description="raised when a change of the harness can move a figure")
    python: str
    packages: dict[str, str] = Field(default_factory=dict)
    system: str
    cpu_model: str
    cpu_logical: int
    cpu_physical: int | None = None
    cpu_usable: int
    cpu_governor: str | None = None
    numa_nodes: int | None = None
    memory_total_bytes: int
    memory_limit_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()

    def fingerprint(self) -> str:
        """Equal for two runs whose numbers may stand in one interval: same machine, same engine versions."""
        # Not: what a reboot or a kernel update changes by a little, and the version of what moves no number.
        volatile = {"bench_version", "bench_revision", "memory_limit_bytes", "memory_total_bytes", "system"}
        said = self.model_dump(mode="json", exclude=volatile)
        said["memory_gib"] = round(self.memory_total_bytes / 2**30)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


class ModelFacts(Noun):
    """What the engine really loaded."""

    parameters: int
    weights_bytes: int
    kv_bytes_per_token: int | None = Field(None, description="bytes of KV cache for one token of one row")
    vocab_size: int
    max_positions: int | None = None
    random_weights: bool = False
    weights_id: str | None = Field(None, description="revision or checksum of the weights")
    dtype: str
    device: str
    placement: dict[str, int] = Field(default_factory=dict, description="device → bytes of weights there")
    accelerators: tuple[Accelerator, ...] = Field((), description="the devices used, as the engine names them")
    threads: int | None = None
    attention: str | None = None
    cache: str | None = None
    compiled: bool = False
    notes: tuple[str, ...] = ()


class Round(Noun):
    """One timed generation. Stamps are seconds since the moment just before the work was handed to the engine."""

    step_s: tuple[float, ...] = Field(min_length=1, description="when each step's tokens, one a row, were on the host")
    done_s: float
    cpu_s: float | None = Field(None, description="CPU time of the process during the round")
    stalled_s: float | None = Field(None, description="time some task of the machine waited for a CPU (PSI)")
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
    reasons: dict[str, str] = Field(default_factory=dict)


class Measurement(Noun):
    """Everything one child process measured."""

    facts: ModelFacts
    import_s: float | None = Field(None, description="importing the engine, before loading")
    load_s: float
    first_generate_s: float
    warmup_s: tuple[float, ...] = ()
    rounds: tuple[Round, ...] = Field(min_length=1)
    memory: Memory = Memory()
    prompt_seed: int = 0


class Failure(Noun):
    """Why there is no measurement."""

    reason: str
    remedy: str | None = None
    exit_code: int | None = None
    log_tail: tuple[str, ...] = ()


class Record(Noun):
    """One line of the journal: a cell, where it ran, and what was measured or why not."""

    schema_version: int = SCHEMA_VERSION
    record_id: str
    replicate: int
    status: Status
    error: Failure | None = None
    started_at: str
    elapsed_s: float | None = None
    cell: Cell
    environment: Environment
    measurement: Measurement | None = None
