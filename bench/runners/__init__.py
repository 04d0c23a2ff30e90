"""Engines, one file each: `bench/runners/NAME.py` holds a class `Runner`; its file name is its name.

A dot in a name is an underscore in the file's: `llama.cpp` is `llama_cpp.py` (or a folder of that name).

Packages outside add runners through the entry-point group `bench.runners` (name → class). Nothing else in the project
knows a runner's name. `docs/adding-a-runner.md` shows a whole one.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from bench.errors import InputError, nearest
from bench.schema import Endpoint, Environment, Model, ModelFacts, Precision, Profile

GROUP = "bench.runners"

OnStep = Callable[[int], None]


class Runner(Protocol):
    """How one engine loads a model and generates. It reads no clock and knows no money: `bench/measure/` does."""

    Options: ClassVar[type[BaseModel]]
    """This runner's typed options. Unknown keys are refused with the nearest spelling. Importing the file that holds
    it must not import the engine: the parent process reads options and stays light."""

    ENGINE: ClassVar[Sequence[str]]
    """Modules that hold the engine. They are imported, and timed, before `load`: importing is not loading."""

    PACKAGES: ClassVar[Sequence[str]]
    """Distributions whose versions can move this engine's numbers, most telling first; they stand in each record."""

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None: ...

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """Bytes of memory that this deployment may fill, from what was detected; None where that cannot be said."""
        ...

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        """Every precision that this engine knows: None where it will work here, else why not and what to install."""
        ...

    def load(self) -> ModelFacts:
        """Load the weights and say what was really loaded, and where.

        Raises UnsupportedError when this precision or option cannot run here, DoesNotFitError before loading when
        memory is too small; out of memory while loading may surface as MemoryError or the engine's own error.
        """
        ...

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        """Generate exactly `output_tokens` (N) tokens for each of B prompts of equal length, end-of-sequence ignored.

        Calls `on_step(B)` N times, each time when the next token of all B rows is on the host; the first call follows
        the prefill. Returns the tokens, shape (B, N). Starts and ends with no work pending on any device.
        """
        ...

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether `error` is this engine's way of saying that memory ran out."""
        ...


@runtime_checkable
class Needs(Protocol):
    """A runner that cannot work without certain packages, or with certain versions of them."""

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        """Distributions and the versions that work, such as {"vllm": ">=0.19,!=0.20.1"}; "" stands for any.

        Asked before anything is started and held against the environment where the engine is to run. A distribution
        that is there under another name, such as a build for one kind of device, is known by its module.
        """
        ...


@runtime_checkable
class IsOptional(Protocol):
    """A runner of this package whose engine does not come with it."""

    @classmethod
    def extra(cls) -> str | None:
        """The extra that brings the engine; None where it wants an environment of its own."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A runner that makes something once and keeps it, such as a converted checkpoint."""

    def prepare(self) -> bool:
        """Make what `load` needs and is not there yet. Called before anything is timed; returns whether it was made.

        Raises what `load` raises.
        """
        ...


@runtime_checkable
class Schedules(Protocol):
    """A runner whose engine can schedule a batch continuously: rows begin as others end."""

    def generate_continuously(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        """Exactly `output_tokens` for each prompt, in whatever order the engine sees fit; shape (B, N).

        Calls `on_step(rows)` each time that tokens of so many rows are on the host: Σ rows = B · N, rows ≤ B.
        """
        ...


@runtime_checkable
class CountsEnergy(Protocol):
    """A runner whose engine counts its own energy, because it runs elsewhere. Its count replaces this machine's."""

    def energy_j(self) -> Mapping[str, float]:
        """Joules so far under `gpu_energy_j`, `cpu_energy_j` and `dram_energy_j`, those that are known."""
        ...


@runtime_checkable
class CountsDeviceMemory(Protocol):
    """A runner whose engine fills devices from processes other than this one, whose torch knows nothing of them."""

    def reset_device_peaks(self) -> None:
        """Start new peaks in the other processes. Called outside of every timed window."""
        ...

    def device_peaks(self) -> Mapping[str, int]:
        """Bytes under `allocated` and `reserved`: the most that the other processes held since, all of them added."""
        ...


@runtime_checkable
class DividesPrompts(Protocol):
    """A runner whose engine computes long prompts part by part, so that its activations are those of a part."""

    @classmethod
    def tokens_at_once(cls, options: BaseModel) -> int | None:
        """Most prompt tokens that are computed together, the least where the device decides; None for all of a batch.

        Asked before anything is started, for what cannot fit.
        """
        ...


@runtime_checkable
class TakesDevices(Protocol):
    """A runner that says how many accelerators its options take, where their names do not tell it."""

    @classmethod
    def devices(cls, options: BaseModel) -> int | None:
        """0: the CPU does the work; None: one, where there is one.

        Asked before anything is started, to place a cell on a node and to estimate its price.
        """
        ...


@runtime_checkable
class KnowsDevices(Protocol):
    """A runner that can say, before anything is started, that its options ask for more devices than there are, or
    for a library that is not there."""

    @classmethod
    def lacking(cls, options: BaseModel, environment: Environment) -> tuple[str, str] | None:
        """Reason and remedy, one line each; None where all is there, or where nobody can tell yet."""
        ...


@runtime_checkable
class KeepsPrefix(Protocol):
    """A runner that can have the first tokens of its prompts in the cache before the clock starts."""

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        """Compute keys and values of the first `cached_tokens` tokens (fewer than all) of each row, and hold them.

        The next `generate` gets the same prompts, whole, and computes the others alone; it ends the holding. Returns
        with no work pending on any device. Raises UnsupportedError where this deployment cannot.
        """
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A runner that has its model's own tokenizer."""

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        """How many tokens each text is, none added for its begin or end; None where there is no tokenizer.

        Called when nothing is timed any more.
        """
        ...


@dataclass(frozen=True)
class Encoded:
    """A text as a model's own tokenizer has it, without begin or end tokens.

    `prefix` is what the model reads before a text's first token (its begin-of-sequence token, else its end token; None
    where there is neither). `first_bytes`: UTF-8 bytes of the first token, which stays unscored without a prefix.
    """

    tokens: Sequence[int]
    prefix: int | None
    first_bytes: int
    notes: tuple[str, ...] = ()


@runtime_checkable
class ScoresText(Protocol):
    """A runner that says how likely each token of a text is. Called after `load`, never while something is timed."""

    def encode(self, text: str) -> Encoded:
        """Raises UnsupportedError where there is no tokenizer, or one that is not this model's."""
        ...

    def logits(self, rows: Sequence[Sequence[int]]) -> Any:
        """Logits of every position, a torch tensor (B, S, V) in any floating-point type on any device.

        Row b, position s: of the token after the first s + 1 of row b, each row read by itself from its beginning.
        """
        ...


@runtime_checkable
class RunsTasks(Protocol):
    """A runner whose loaded model lm-eval can ask."""

    def language_model(self) -> Any:
        """An `lm_eval.api.model.LM` around the loaded model. Raises UnsupportedError where lm-eval is not installed."""
        ...


@runtime_checkable
class Profiles(Protocol):
    """A runner that can say which operators its time goes to."""

    def profile(self, prompts: Sequence[Sequence[int]], output_tokens: int, facts: ModelFacts) -> Profile:
        """Generate under a profiler: the prefill and `output_tokens` − 1 decode steps. Called warm, off the clock."""
        ...


@runtime_checkable
class Serves(Protocol):
    """A runner whose engine is behind HTTP: it loads and generates nothing, and says where requests go instead."""

    def endpoint(self) -> Endpoint:
        """Its options, checked."""
        ...


def serves(kind: Any) -> bool:
    """Whether a runner's class, or one of its instances, is of that sort."""
    return callable(getattr(kind, "endpoint", None))


@cache
def shipped() -> list[str]:
    """Runners that come with this package."""
    return sorted(module.name.replace("_", ".") for module in pkgutil.iter_modules(__path__))


def names() -> list[str]:
    """Every runner that can be named in a config."""
    return sorted({*shipped(), *(point.name for point in entry_points(group=GROUP))})


def find(name: str) -> type[Runner]:
    """The class of a runner. Raises InputError with the nearest names when there is none."""
    if name in shipped():
        return importlib.import_module(f"{__name__}.{name.replace('.', '_')}").Runner  # type: ignore[no-any-return]
    for point in entry_points(group=GROUP, name=name):
        try:
            return point.load()  # type: ignore[no-any-return]
        except (ImportError, AttributeError) as error:
            raise InputError(f"runner {name!r} cannot be imported from {point.value} ({error})") from None
    raise InputError(f"unknown runner {name!r}; {nearest(name, names())}")
