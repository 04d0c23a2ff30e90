"""What the conductor and a load generator process say to each other: JSON lines on two pipes.

The conductor sends `Orders` once, then `Command`s. A load generator answers `Word`s: ready, a snapshot twice a second,
and what it was like in the end. Neither holds a key: a load generator reads it from the environment by its name.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field

from bench.loads import Vocabulary
from bench.schema import Allowance, Capabilities, ClientFacts, Ended, Endpoint, LengthSource, Model, Traffic
from bench.schema.noun import Noun

SNAPSHOT_S = 0.5
MOST_SAMPLES = 200
"""Of TTFT and TPOT in a snapshot."""

BIN_S = 0.5
"""Tokens are counted by the time at which they came, in bins of this length."""


class Words(Noun):
    """A `bench.loads.Vocabulary` on its way."""

    source: LengthSource
    ids: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    tokens_per_word: float = 1.0
    overhead_tokens: int = 0

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Words":
        return cls(
            source=vocabulary.source,
            ids=tuple(vocabulary.ids),
            words=tuple(vocabulary.words),
            tokens_per_word=vocabulary.tokens_per_word,
            overhead_tokens=vocabulary.overhead_tokens,
        )

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.source, self.ids, self.words, self.tokens_per_word, self.overhead_tokens)


class Orders(Noun):
    """What a load generator process is to do."""

    worker: int = Field(ge=0)
    workers: int = Field(ge=1)
    traffic: Traffic
    vocabulary: Words
    endpoint: Endpoint
    base_url: str
    capabilities: Capabilities
    model: Model
    replicate: int = Field(ge=0)
    folder: str
    record_id: str
    allowance: Allowance | None = Field(None, description="this process's share")
    expected_s: float = Field(0.0, description="what one request took by itself: closed loops start spread over it")
    kept_texts: int = Field(0, description="requests whose texts a local tokenizer counts after the run")
    tokenizer: bool = Field(False, description="there is one")


class Command(Noun):
    """From the conductor. What is None stays as it is."""

    epoch_ns: int | None = Field(None, description="start; on the monotonic clock that all processes share")
    warm_s: float | None = Field(None, description="from when on requests count")
    quota: int | None = Field(None, description="requests to send from warm_s on")
    stop_s: float | None = Field(None, description="send nothing from then on")
    level: float | None = Field(None, description="streams of the whole closed loop, instead of the plan's level")
    abort: bool = Field(False, description="end what is on its way")


class Snapshot(Noun):
    """How a load generator stands. Counts are since the start; samples and bins since the last snapshot."""

    at_s: float
    sent: int = 0
    counted: int = Field(0, description="of those sent, from warm_s on")
    succeeded: int = 0
    failed: int = 0
    tokens: int = 0
    in_flight: int = 0
    waiting: int = Field(0, description="finished, and not yet read for what they say")
    ttft: tuple[tuple[float, float], ...] = Field((), description="sent_s, seconds; at most MOST_SAMPLES")
    tpot: tuple[float, ...] = ()
    e2el: tuple[float, ...] = ()
    flow: tuple[float, ...] = Field((), description="from the first token to the last; without streaming as e2el")
    bins: dict[int, float] = Field(default_factory=dict, description="tokens by time // BIN_S; to be added up")
    oldest_s: float | None = Field(
        None, description="when the oldest request on its way was sent: bins before are whole"
    )
    all_started: bool = Field(False, description="every stream of a closed loop has begun")
    spent_usd: float | None = None
    held_back_s: float | None = Field(None, description="from when on the allowance kept streams waiting")
    over: Ended | None = Field(None, description="why it sends nothing any more")
    over_s: float | None = None
    last_error: str | None = None


class Word(Noun):
    """From a load generator."""

    kind: Literal["ready", "snapshot", "final", "error"]
    snapshot: Snapshot | None = None
    facts: ClientFacts | None = None
    reason: str | None = Field(None, description="of an error, redacted")
    lines: tuple[str, ...] = Field((), description="of an error of a person")
    notes: tuple[str, ...] = ()


Count = Callable[[str], int]


def share(whole: int, worker: int, workers: int) -> int:
    """How many of `whole` numbered things fall to a worker, when thing i goes to worker i % workers.

    >>> [share(5, worker, 3) for worker in range(3)]
    [2, 2, 1]
    """
    return max(0, (whole - worker + workers - 1) // workers)


def as_text(content: Any) -> str:
    """What of a content a tokenizer counts: its text; of chat messages, all their texts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(as_text(one) for one in content if not isinstance(one, int))
    if isinstance(content, dict):
        return "\n".join(as_text(content.get(key, "")) for key in ("text", "content"))
    return ""
