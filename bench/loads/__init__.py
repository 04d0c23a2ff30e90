"""The load, planned before it is sent: when each request is due, how long it is, and what it says. Pure; no clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.schema import LengthSource

Content = str | list[int] | list[dict[str, Any]]
"""A text, token ids, or chat messages (from files that hold whole conversations)."""


@dataclass(slots=True)
class Turn:
    """One request of a session. `content` is what is new in it: what was said before is added when it is sent."""

    content: Content
    output_tokens: int
    input_tokens: int | None = None
    """Tokens of the content alone, by the local tokenizer or as planned; None where nobody can tell."""
    think_s: float = 0.0
    """Pause before it, after the answer to the turn before; 0 in the first."""


@dataclass(slots=True)
class Session:
    """A conversation; most have one turn. `due_s`: since the epoch; None in a closed loop: when a stream is free."""

    index: int
    due_s: float | None
    turns: list[Turn]


class Plan(Protocol):
    """One absolute plan for all load generator processes, the same in each of them."""

    def slice(self, worker: int, workers: int) -> Iterator[Session]:
        """The sessions with `index % workers == worker`, in the order in which they are due, made as they are asked
        for: an hour of load must not be held in memory. Ends when a trace or a file of prompts does."""
        ...

    def level(self, at_s: float) -> float:
        """Requests per second, or streams at once of a closed loop, that the plan wants at a time (ramps)."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """What synthetic prompts are made of. With `ids`, prompts are lists of token ids; otherwise text of `words`."""

    source: LengthSource
    ids: Sequence[int] = ()
    """Token ids that may be used, special ones left out."""
    words: Sequence[str] = ()
    """Each with its leading space; any row of n of them has n · tokens_per_word tokens."""
    tokens_per_word: float = 1.0
    overhead_tokens: int = 0
    """What the chat template adds to a prompt: taken off, so that `input_tokens` is what the server counts."""
