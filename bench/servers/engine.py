"""What a description of an engine says: how its command is made, when it is ready, what its counters are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.schema import Precision
from bench.servers.weights import Weights

HOST = "127.0.0.1"
"""Servers that this project starts are seen by this machine alone."""

STREAMS = 8
LONGEST_TOKENS = 4096
"""What a server is made for when nobody says how many requests come at once, and how long they are."""


@dataclass(frozen=True)
class Launch:
    """What a command is made from."""

    weights: Weights
    precision: Precision
    port: int
    program: tuple[str, ...] | None = None
    """The user's own program, in place of the one that the engine is known by. The engine's arguments follow it."""
    args: tuple[str, ...] = ()
    """The user's own arguments, for engines whose other arguments depend on them. Who runs the command adds them."""
    streams: int = STREAMS
    longest_tokens: int = LONGEST_TOKENS
    """Prompt and answer together, of the longest request."""


@dataclass(frozen=True)
class Command:
    """What is run. `model` is the name by which requests must call the model; None: the server's own list says."""

    words: tuple[str, ...]
    model: str | None = None
    folder: Path | None = None
    """To run it in; relative names in `words` start there."""
    version: str | None = None
    """Of the engine, where it is known before the server answers."""
    needs: tuple[str, ...] = ()
    """Python modules that the command imports in this interpreter."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the port, the model or the load decides; over the engine's own, under the user's."""
    files: Mapping[Path, str] = field(default_factory=dict)
    """Texts that are written before the start."""
    create: tuple[str, ...] = ()
    """A command to run when the server answers, that gives it the model; its time is not a part of `load_s`."""
    load: tuple[str, ...] = ()
    """A command to run then, that has the model loaded before the first request; its time is a part of `load_s`."""


@dataclass(frozen=True)
class Meanings:
    """Names of metrics, several where they changed over time; the first that a server offers is taken."""

    prefix: str
    """With which every one of this engine's metrics begins."""
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    kv_usage: tuple[str, ...] = ()
    """Share of the KV cache in use, 0 to 1."""
    prompt_tokens: tuple[str, ...] = ()
    cached_tokens: tuple[str, ...] = ()
    """Prompt tokens that a prefix cache held."""
    generation_tokens: tuple[str, ...] = ()
    prompt_includes_cached: bool = True
    """Whether `prompt_tokens` counts those of `cached_tokens` too."""

    def names(self) -> tuple[str, ...]:
        """All of them: what is kept first where there are too many."""
        gauges = self.running + self.waiting + self.kv_usage
        return gauges + self.prompt_tokens + self.cached_tokens + self.generation_tokens


@dataclass(frozen=True)
class Engine:
    """One engine. Ready means: `health_path` answers with status 200."""

    name: str
    command: Callable[[Launch], Command]
    install: str
    """What to do where it is not installed."""
    health_path: str = "/health"
    metrics_path: str | None = "/metrics"
    version_path: str | None = None
    """Answers with JSON that has the version under the first of `version_keys` that is there."""
    version_keys: tuple[str, ...] = ("version",)
    meanings: Meanings | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Weights, Precision, Callable[[str], None]], Weights] | None = None
    """Makes what the command serves and is not there yet, such as a file at another precision; before it is timed."""
