"""Quality passes and profiles on a cluster: one at a time, on a node of the kind that the rows were measured on.

How well a level predicts depends a little on the kernels, so that each kind of machine has passes of its own; what a
reference keeps travels as bytes to the node that needs it.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import InputError
from bench.execute import passes
from bench.execute.cluster import Claim
from bench.execute.cluster.fleet import Fleet
from bench.execute.cluster.node import REFERENCE, TASK, TEXT
from bench.execute.cluster.schedule import MOST_LOSSES, Node, Unit
from bench.execute.run import Bench, Measured
from bench.schema import Cell, Job, Record

Warn = Callable[[str], None]


@dataclass
class Kind:
    """Nodes that count as one machine, and what was measured on them."""

    nodes: list[Node]
    units: list[Unit] = field(default_factory=list)


@dataclass(frozen=True)
class NodeBench(Bench):
    """A bench whose passes run on a node of one kind."""

    fleet: Fleet | None = None
    kind: Kind | None = None

    def one_more(self, job: Job) -> Record:
        """One quality pass or profile on a node, stored. A lost node is tried again elsewhere, as often as a cell."""
        fleet, kind = self.fleet, self.kind
        assert fleet is not None
        assert kind is not None
        files = _files(job)
        for _ in range(MOST_LOSSES):
            node = next((one for one in fleet.ready() if one.number in {own.number for own in kind.nodes}), None)
            if node is None:
                break
            needs = node.claim(Unit(job.cell))
            assert isinstance(needs, Claim)
            ticket = fleet.begin(job, node, needs, None, files)
            records: list[Record] = []
            while ticket in fleet.running:
                records = fleet.step()
            if records[-1].status != "lost":
                return records[-1]
            job = _again(job)
        raise InputError("no node is left for the quality passes and profiles; the same command goes on")


def _again(job: Job) -> Job:
    """The job under another id, and what it keeps with it."""
    record_id = f"{job.cell.cell_id}.{job.replicate}.{uuid.uuid4().hex[:8]}"
    given = job.quality
    if given is not None and given.kept_path is not None:
        given = given.model_copy(update={"kept_path": str(Path(given.kept_path).with_name(f"{record_id}.npz"))})
    return job.model_copy(update={"record_id": record_id, "quality": given})


def kinds_of(fleet: Fleet, units: Sequence[Unit]) -> list[Kind]:
    """The kinds of nodes that are there and may run something that was measured on their kind, in the order of their
    numbers; without units, that of the first node."""
    found: dict[str, Kind] = {}
    measured = [one for one in units if one.measured.times]
    for node in fleet.ready():
        # A node like it that is none of the config's machines may be somebody else's.
        own = [one for one in measured if one.kind == node.kind(one.cell) and isinstance(node.claim(one), Claim)]
        if own:
            kind = found.setdefault(node.any_environment.hardware(), Kind([]))
            kind.nodes.append(node)
            known = set(map(id, kind.units))
            kind.units += [one for one in own if id(one) not in known]
    first = fleet.ready()[:1]
    return list(found.values()) if units or not first else [Kind(first)]


def score(
    fleet: Fleet,
    units: Sequence[Unit],
    cells: Sequence[Cell],
    text_path: Path | None,
    task_paths: Sequence[Path],
    retry_failed: bool,
    warn: Warn,
) -> None:
    """Run the quality passes `cells` that are not stored, once for each kind of node. Raises as `Fleet.run` does."""
    folder = fleet.bench.journal.folder
    first = True
    kinds = kinds_of(fleet, units)
    if cells and not kinds:
        fleet.bench.watcher.say("quality passes are left out: no node is there that measured a cell of this config")
    for kind in kinds:
        node = kind.nodes[0]
        own = [cell for cell in cells if isinstance(node.claim(Unit(cell)), Claim)]
        prints = {cell.cell_id: node.kind(cell) for cell in own}
        found = passes.stored(folder, own, warn, prints)
        if first:
            passes.clear(folder, found.kept)
            first = False
        passes.score(own, found.scored, _bench(fleet, kind), text_path, task_paths, retry_failed)


def profile(fleet: Fleet, units: Sequence[Unit], retry_failed: bool, warn: Warn) -> None:
    """Profile what was measured and has no profile yet, each on a node of its kind. Raises as `Fleet.run` does."""
    for kind in kinds_of(fleet, units):
        own = {one.cell.cell_id: one for one in kind.units}
        cells = [one.cell for one in own.values()]
        prints = {cell.cell_id: kind.nodes[0].kind(cell) for cell in cells}
        known = passes.stored(fleet.bench.journal.folder, cells, warn, prints).profiled
        measured: dict[str, Measured] = {name: one.measured for name, one in own.items()}
        passes.profile(cells, known, measured, _bench(fleet, kind), retry_failed)


def _bench(fleet: Fleet, kind: Kind) -> NodeBench:
    of = fleet.bench
    return NodeBench(of.journal, of.sweep, of.watcher, of.command, fleet=fleet, kind=kind)


def _files(job: Job) -> dict[str, bytes]:
    """What a quality pass needs of this machine. Raises InputError for a file that is gone."""
    given = job.quality
    if given is None:
        return {}
    named = {TEXT: given.text_path, REFERENCE: given.reference_path}
    named |= {f"{TASK}-{index:03}{Path(one).suffix}": one for index, one in enumerate(given.task_paths)}
    try:
        return {name: Path(path).read_bytes() for name, path in named.items() if path is not None}
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); it was there when it was checked"
        ) from None
