"""Cells on the nodes of a cluster: what a cluster must be able to do, and nothing of how one does it.

`on_ray.py` and `on_slurm.py` are the clusters; `node.py` runs on a node; `schedule.py` decides what runs where, and is
pure; `fleet.py` carries it out and keeps the journal. Tests put a cluster of their own behind the same seam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import Field, ValidationError

from bench.schema import (
    Ceilings,
    Environment,
    Failure,
    Job,
    Measurement,
    Noun,
    Profile,
    RunnerChoice,
    Scored,
    Serving,
    Status,
)

Files = Mapping[str, bytes]
"""By names without a folder, or one folder deep (`traces/…`)."""


@dataclass(frozen=True)
class Offer:
    """A node as the cluster knows it. `key` is the cluster's own name for it and never leaves this process."""

    key: str
    cpus: float
    devices: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    """Of accelerators, as the cluster says."""


@dataclass(frozen=True)
class Claim:
    """What of a node one job holds while it runs."""

    cpus: float
    devices: int = 0


class Order(Noun):
    """What a node is asked to do. Its files travel beside it."""

    what: Literal["probe", "ceilings", "job"]
    runners: tuple[RunnerChoice, ...] = ()
    job: Job | None = None
    timeout_s: float = 0.0
    is_alone: bool = Field(True, description="whether no other cell runs on the node meanwhile")


class Reply(Noun):
    """What a node answers."""

    bench_version: str = ""
    instrument: int = 0
    niceness: int = 0
    environments: tuple[Environment, ...] = Field(
        (), description="one for each runner that was asked for; of a job, its own"
    )
    lacking: tuple[str | None, ...] = Field(
        (), description="of a probe, for each runner: why none of its cells can run there, such as an engine that lacks"
    )
    ceilings: Ceilings | None = None
    said: tuple[str, ...] = Field((), description="lines for the person")
    refused: str | None = Field(None, description="why nothing could be done there at all")
    status: Status = "ok"
    error: Failure | None = None
    elapsed_s: float | None = None
    measurement: Measurement | None = None
    serving: Serving | None = None
    scored: Scored | None = None
    profile: Profile | None = None
    unwritten: int | None = None


@dataclass(frozen=True)
class Ended:
    """What became of an order: a reply with its files, or why there will be none (`lost`)."""

    ticket: str
    reply: Reply | None = None
    files: Files = field(default_factory=dict)
    lost: str | None = None


def answered(ticket: str, text: str, files: Files) -> Ended:
    """An order that a node answered. One of another version may say what nobody here understands."""
    try:
        return Ended(ticket, Reply.model_validate_json(text), files)
    except ValidationError:
        return Ended(ticket, lost="its answer cannot be read; install the same bench there")


class Cluster(Protocol):
    """Nodes that take orders. One process talks to it, from one thread."""

    name: str
    """As a person gave it: in messages, never in a record."""
    probe_limit_s: float | None
    """How long a node may take to say what it is; None where it may have to stand in a queue first."""

    def offers(self) -> Sequence[Offer]:
        """The nodes that are there now. Raises InputError when the cluster itself is gone."""
        ...

    def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:
        """Have a node carry out an order; its ticket. Returns at once."""
        ...

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        """Orders that ended, each told once; after `timeout_s` without one, none. An order whose node is gone ends."""
        ...

    def drop(self, ticket: str) -> None:
        """End an order, of which nothing will be heard any more."""
        ...

    def stop(self) -> None:
        """End everything that runs for us, on every node. Returns when it has ended, or cannot be waited for."""
        ...

    def close(self) -> None:
        """Let go of the cluster."""
        ...
