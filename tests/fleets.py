"""A cluster behind the seam that has no processes: nodes that come and go at chosen steps, and cells that take one step
or a few."""

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import __version__
from bench.execute.cluster import Claim, Ended, Files, Offer, Order, Reply
from bench.schema import Environment, Record
from bench.sensors.environment import INSTRUMENT
from tests import samples


def environment_of(kind: str) -> Environment:
    """A machine; equal for equal kinds."""
    return samples.environment().model_copy(update={"cpu_model": kind, "instrument": INSTRUMENT})


@dataclass
class Task:
    key: str
    order: Order
    ends_at: int
    claim: Claim


@dataclass
class FakeCluster:
    """`kinds`: node → what it is. `deaths` and `births`: step → node. `durations`: steps that a cell takes, drawn."""

    kinds: dict[str, str]
    offered: dict[str, Offer] = field(default_factory=dict)
    deaths: dict[int, str] = field(default_factory=dict)
    births: dict[int, str] = field(default_factory=dict)
    durations: tuple[int, int] = (1, 3)
    seed: int = 0
    version: str = __version__
    name: str = "fake"
    step: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)
    most: Counter[str] = field(default_factory=Counter)
    """The most jobs at once on each node."""
    jobs: list[tuple[str, str, int]] = field(default_factory=list)
    """Node, cell and replicate of every job that was sent."""
    kills: frozenset[str] = frozenset()
    """Cells that end their node."""
    stopped: bool = False
    probe_limit_s: float | None = 300.0
    mute: frozenset[str] = frozenset()
    """Nodes that never say what they are."""
    bare: frozenset[str] = frozenset()
    """Nodes without the engine of any runner."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._here: set[str | None] = {key for key in self.kinds if key not in self.births.values()}

    def offers(self) -> Sequence[Offer]:
        return [self.offered.get(key, Offer(key, 2.0)) for key in sorted(filter(None, self._here))]

    def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:
        ticket = uuid.uuid4().hex
        takes = self._random.randint(*self.durations) if order.what == "job" else 0
        self.tasks[ticket] = Task(key, order, self.step + takes, claim)
        if order.job is not None:
            self.jobs.append((key, order.job.cell.cell_id, order.job.replicate))
            held = [one for one in self.tasks.values() if one.key == key and one.order.what == "job"]
            self.most[key] = max(self.most[key], len(held))
        return ticket

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        self.step += 1
        if self.step in self.births:
            self._here.add(self.births[self.step])
        killed = {one.key for one in self.tasks.values() if one.order.job and one.order.job.cell.cell_id in self.kills}
        self._here -= {self.deaths.get(self.step), *killed}
        ended = []
        for ticket, one in list(self.tasks.items()):
            if one.key not in self._here:
                ended.append(Ended(ticket, lost="its node died"))
            elif one.ends_at <= self.step and not (one.order.what == "probe" and one.key in self.mute):
                ended.append(Ended(ticket, self._reply(one)))
            else:
                continue
            del self.tasks[ticket]
        return ended

    def _reply(self, task: Task) -> Reply:
        order, where = task.order, environment_of(self.kinds[task.key])
        if order.what == "probe":
            environments = tuple(where for _ in order.runners)
            lacking = tuple("no engine" if task.key in self.bare else None for _ in order.runners)
            return Reply(bench_version=self.version, instrument=INSTRUMENT, environments=environments, lacking=lacking)
        return Reply(measurement=samples.measurement(), elapsed_s=1.0, environments=(where,))

    def drop(self, ticket: str) -> None:
        del self.tasks[ticket]

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        pass


class Quiet:
    """A watcher that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, *_: object) -> None: ...

    def phase(self, *_: object) -> None: ...

    def live(self, *_: object) -> None: ...

    def finished(self, record: Record) -> None: ...

    def say(self, message: str) -> None:
        self.lines.append(message)
