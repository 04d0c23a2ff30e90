"""What a reader of another tool's files hands over: one noun for all tools, so that a new tool changes nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.schema import Imported

LoadKind = Literal["closed", "constant", "poisson", "gamma"]


@dataclass(frozen=True)
class Load:
    """The load of a served cell. `level`: streams at once where `kind` is closed, else requests per second."""

    kind: LoadKind
    level: float
    burstiness: float = 1.0
    """Of gamma alone: its shape."""


@dataclass(frozen=True)
class Found:
    """One cell of a file: what was measured (`imported`), and as far as the file says, of what.

    `precision` is "" where the file does not say. A static batch has `batch_size` and no `load`; a served cell has a
    `load`, or neither where the file does not say its load. Tokens are those of one request (of a load: the mean over
    those that succeeded); None where the file does not count them.
    `options` are what else tells this cell from another of the same model: they become part of the cell's id.
    """

    imported: Imported
    model: str
    precision: str = ""
    engine: str = ""
    batch_size: int | None = None
    load: Load | None = None
    input_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    accelerators: tuple[str, ...] = ()
    """Devices that it ran on, each by the file's own name, one text a device; empty where the file does not say."""
    cpu_model: str = ""
    cpu_count: int | None = None
    """CPUs that it used, where it ran on CPUs and the file says so."""
