"""Written by people: what to measure, how often, and at which prices."""

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field

from bench.schema.cost import CostChoices
from bench.schema.noun import DEFAULT_RUNNER, Noun
from bench.schema.precision import Precision
from bench.schema.quality import QualityChoices
from bench.schema.traffic import Slo, Traffic


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


class RunnerChoice(Noun):
    """An engine and its own typed options (`Options` in the runner's file), fully resolved."""

    name: str = DEFAULT_RUNNER
    options: dict[str, Any] = Field(default_factory=dict)
    python: str | None = Field(
        None, description="Python of the environment where the engine is installed; default: the one that runs bench"
    )

    def told(self) -> dict[str, Any]:
        """All that tells it from another choice of its engine: the options, and the Python; null where it is ours."""
        return {**self.options, "python": self.python}

    def environment_folder(self) -> str | None:
        """Where that Python's environment is, which is shorter and says as much; None where it is ours.

        >>> RunnerChoice(python="/opt/vllm/bin/python").environment_folder()
        '/opt/vllm'
        """
        path = PurePath(self.python or "")
        return str(path.parent.parent) if path.parent.name == "bin" and len(path.parts) > 3 else self.python


class Machine(Noun):
    """One kind of machine of a fleet, as a config names it: what a node must have, and what an hour of it costs."""

    name: str = Field(min_length=1, description="what tables call it")
    accelerator: str | None = Field(
        None, description="kind of its accelerators, such as H100 or MI300X; none: its CPUs do the work"
    )
    devices: int | None = Field(
        None, ge=1, description="accelerators that one cell takes; default: as many as the runner's options ask for"
    )
    cpus: int | None = Field(None, ge=1, description="CPUs that a node must have at least")
    resources: dict[str, float] = Field(
        default_factory=dict, description="other resources that a node must offer, by the cluster's own names"
    )
    usd_per_hour: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="of what one cell takes; default: the price list's"
    )


class Workload(Noun):
    """A static batch: every row has the same prompt length and yields exactly `output_tokens` tokens."""

    batch_size: int = Field(1, ge=1, description="rows in the batch")
    input_tokens: int = Field(ge=1, description="prompt tokens a row, cached ones included")
    cached_tokens: int = Field(
        0, ge=0, description="of them, the first ones whose keys and values are in the cache before the clock starts"
    )
    output_tokens: int = Field(ge=1, description="new tokens a row; end-of-sequence is ignored")
    scheduling: Literal["static", "continuous"] = Field(
        "static",
        description="static: all rows go together; continuous: the engine begins rows as others end, so that only "
        "figures of the whole batch exist",
    )

    def label(self) -> str:
        """The batch in two or three words, as tables have it.

        >>> Workload(batch_size=8, input_tokens=1, output_tokens=1, scheduling="continuous").label()
        'batch 8 continuous'
        """
        return f"batch {self.batch_size}" + ("" if self.scheduling == "static" else f" {self.scheduling}")


class Protocol(Noun):
    """How often a cell is timed inside one process. A round is not a replicate: replicates are new processes."""

    warmup_rounds: int = Field(1, ge=0, description="untimed rounds on the same shapes, after the first generation")
    rounds: int = Field(3, ge=1, description="timed rounds in one process, at least")
    max_rounds: int = Field(
        20, ge=1, description="at most; where starting takes longer than a round, more rounds are worth their time"
    )
    memory_pass: bool = Field(True, description="one more, untimed round with memory samplers on")


class Sampling(Noun):
    """When a cell has been measured often enough. Never part of a cell: more replicates do not make it another one."""

    target: float = Field(
        0.03,
        gt=0,
        lt=1,
        description="go on until the 95 % intervals of the headline rates are within this share of them",
    )
    budget_s: float = Field(
        300,
        gt=0,
        allow_inf_nan=False,
        description="time for one cell's replicates, loading included, after which sampling ends without the target",
    )
    max_replicates: int = Field(30, ge=1, description="never more replicates of a cell than this")


class Sweep(Noun):
    """A config, read and checked: lists of nouns whose product is the matrix of cells."""

    name: str
    models: tuple[Model, ...]
    precisions: tuple[Precision, ...]
    runners: tuple[RunnerChoice, ...]
    workloads: tuple[Workload | Traffic, ...]
    machines: tuple[Machine, ...] = Field((), description="of a fleet: every cell runs on each of them")
    slo: tuple[Slo, ...] = ()
    protocol: Protocol = Protocol()
    quality: QualityChoices | None = Field(None, description="also score a text at every precision")
    replicates: int = Field(5, ge=1, description="new processes a cell at least, interleaved over all cells")
    arms: int = Field(
        1, ge=1, le=8, description="measure every cell this many times over as if they were different: an A/A check"
    )
    sampling: Sampling = Sampling()
    timeout_s: float = Field(
        1800, gt=0, allow_inf_nan=False, description="limit for one child process, loading included"
    )
    cost: CostChoices = CostChoices()
