"""What runs where: cells × machines over nodes, replicates interleaved on each. Pure: no cluster, no clock, no file.

A unit is a cell on one machine of the config, or on any node that has what it needs where the config names no machines.
All its replicates stay on nodes of one kind (equal `Environment.fingerprint()`): others would be another measurement.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from bench.execute import devices
from bench.execute.cluster import Claim, Offer
from bench.execute.run import Measured
from bench.hardware import parts
from bench.schema import Accelerator, Cell, Environment, Machine, RunnerChoice, Sweep

MOST_LOSSES = 3
"""A cell whose node died so often in a row is given up: perhaps it is the cell that ends them."""


@dataclass(eq=False)
class Node:
    """A node that was probed. `number` is the run's own name for it; `environments` are by runner (`key_of`), and so is
    `lacking`: why no cell of a runner can run there."""

    number: int
    offer: Offer
    environments: Mapping[str, Environment]
    lacking: Mapping[str, str] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)
    _claims: dict[tuple[str, str | None], Claim | str] = field(default_factory=dict)

    def environment(self, cell: Cell) -> Environment:
        return self.environments[key_of(cell.runner)]

    def can_run(self, unit: "Unit") -> bool:
        """Whether it is what the unit asks for."""
        return isinstance(self.claim(unit), Claim)

    def has_engine(self, cell: Cell) -> bool:
        return not self.lacking or key_of(cell.runner) not in self.lacking

    def kind(self, cell: Cell) -> str:
        """Equal for nodes on which replicates of the cell may stand in one interval."""
        if cell.cell_id not in self._kinds:
            self._kinds[cell.cell_id] = self.environment(cell).fingerprint()
        return self._kinds[cell.cell_id]

    def claim(self, unit: "Unit") -> Claim | str:
        """As the function `claim`, worked out once."""
        key = (unit.cell.cell_id, unit.name)
        if key not in self._claims:
            self._claims[key] = claim(unit.cell, unit.machine, self)
        return self._claims[key]

    @property
    def any_environment(self) -> Environment:
        """For what does not depend on a runner: the machine itself."""
        return next(iter(self.environments.values()))

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Their names: as the driver on the node says, else as the cluster does."""
        found = self.any_environment.accelerators
        return tuple(one.name for one in found) or self.offer.kinds


def key_of(choice: RunnerChoice) -> str:
    """Equal for equal choices."""
    return choice.model_dump_json()


@dataclass
class Unit:
    """A cell on a machine: what is known of it, by kind of node, and where it is bound to."""

    cell: Cell
    machine: Machine | None = None
    known: dict[str, Measured] = field(default_factory=dict)
    """By kind: what the journal holds, and what came since."""
    kind: str | None = None
    losses: int = 0
    """In a row."""
    running: dict[str, int] = field(default_factory=dict)
    """Ticket → replicate."""

    @property
    def name(self) -> str | None:
        return None if self.machine is None else self.machine.name

    @property
    def measured(self) -> Measured:
        """Of the kind that it is bound to; nothing where it is not."""
        return Measured() if self.kind is None else self.known.setdefault(self.kind, Measured())

    @property
    def is_given_up(self) -> bool:
        return self.losses >= MOST_LOSSES

    def is_done(self, sweep: Sweep) -> bool:
        return self.kind is not None and self.measured.stop(sweep) is not None

    def wants(self, sweep: Sweep) -> bool:
        """Whether one more replicate may begin now, beside those that run."""
        if self.is_given_up or self.is_done(sweep):
            return False
        if self.losses and self.losses + len(self.running) >= MOST_LOSSES:
            return False  # perhaps it is this cell that ends nodes: not several at once
        return self.measured.left(sweep) > len(self.running)

    def next(self) -> int:
        """The number of the replicate that would begin."""
        taken = self.measured.replicates | set(self.running.values())
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def settle(self, nodes: Sequence[Node], sweep: Sweep) -> None:
        """Bind it to what the journal holds: of a kind that is there, else to one that needs no more replicates."""
        if self.kind is not None or self.running:
            return
        here = {node.kind(self.cell) for node in nodes if node.can_run(self)}
        done = [kind for kind, one in self.known.items() if one.stop(sweep) is not None]
        choice = [kind for kind in self.known if kind in here and self.known[kind].replicates] or done
        if choice:
            self.kind = max(choice, key=lambda kind: len(self.known[kind].replicates))

    def lost(self, ticket: str) -> None:
        """A node was lost while it ran this: no replicate. One that has none yet may begin on another kind."""
        del self.running[ticket]
        self.losses += 1
        if not self.running and not self.measured.replicates:
            self.kind = None


@dataclass(frozen=True)
class Start:
    """One replicate of a unit, to begin now on a node."""

    unit: Unit
    node: Node
    claim: Claim


def units(cells: Sequence[Cell], machines: Sequence[Machine]) -> list[Unit]:
    """Every cell on each machine, or once where no machines are named; in the order of the plan."""
    return [Unit(cell, machine) for cell in cells for machine in (machines or (None,))]


def starts(
    waiting: Iterable[Unit],
    nodes: Sequence[Node],
    held: Mapping[int, Sequence[Claim]],
    sweep: Sweep,
    more_come: bool = False,
) -> Start | None:
    """The next replicate to begin, None where none can. `held`: what runs on each node, by its number; `more_come`:
    whether other nodes are being looked at, which may have an engine that none of these has.

    On each node the unit with the fewest replicates goes first, in another random order in each sweep, so that a drift
    of a node hits all its cells alike. What needs more of the node than is free now holds those behind it back: it
    would wait for ever otherwise.
    """
    wanting = [unit for unit in waiting if unit.wants(sweep)]
    for node in nodes:
        free = _free(node, held.get(node.number, ()))
        if free.cpus <= 0 and free.devices <= 0:
            continue
        able = (one for one in wanting if _may_run(one, node, nodes, more_come))
        first = min(able, key=partial(_turn, node), default=None)
        if first is None:
            continue
        needs = node.claim(first)
        if isinstance(needs, Claim) and needs.cpus <= free.cpus and needs.devices <= free.devices:
            return Start(first, node, needs)
    return None


def _may_run(unit: Unit, node: Node, nodes: Sequence[Node], more_come: bool) -> bool:
    if unit.kind is not None and unit.kind != node.kind(unit.cell):
        return False
    if not node.can_run(unit):
        return False
    if node.has_engine(unit.cell):
        return True
    # Where no node has the engine, one of them takes the cell: its record then says what to install.
    return not more_come and not any(one.has_engine(unit.cell) and one.can_run(unit) for one in nodes)


def _turn(node: Node, unit: Unit) -> tuple[int, bytes]:
    """Where a unit stands in a node's order: by its next replicate, then by chance, the same in every call."""
    replicate = unit.next()
    drawn = f"sweep {replicate} node {node.number} {unit.cell.cell_id} {unit.name}"
    return replicate, blake2b(drawn.encode(), digest_size=8).digest()


def _free(node: Node, held: Sequence[Claim]) -> Claim:
    cpus = node.offer.cpus - sum(one.cpus for one in held)
    return Claim(cpus, node.offer.devices - sum(one.devices for one in held))


def claim(cell: Cell, machine: Machine | None, node: Node) -> Claim | str:
    """What the cell holds of the node while it runs, or why it cannot run there.

    On accelerators: so many of them, and their share of the CPUs. A cell of the CPU holds all of those.
    """
    no = None if machine is None else _is_not(machine, node)
    if no is not None:
        return no
    offer, wanted = node.offer, devices.asked(cell.runner)
    if wanted == 0 or (not offer.devices and not devices.must_be_there(cell.runner)):
        return Claim(offer.cpus)
    count = offer.devices if wanted == devices.ALL else wanted or 1
    if machine is not None and machine.devices is not None:
        count = max(machine.devices, 0 if wanted in (None, devices.ALL) else wanted)
    if count > offer.devices:
        return f"needs {count} accelerator{'s' if count != 1 else ''}, and it has {offer.devices or 'none'}"
    return Claim(max(1.0, offer.cpus * count // offer.devices), count)


def _is_not(machine: Machine, node: Node) -> str | None:
    """Why a node is not this machine."""
    offer = node.offer
    if machine.accelerator is None and offer.devices:
        return "has accelerators"
    if machine.accelerator is not None and not is_called(machine.accelerator, node.accelerators):
        return f"has {', '.join(dict.fromkeys(node.accelerators)) or 'no accelerator'}"
    if machine.devices is not None and machine.devices > offer.devices:
        return f"has {offer.devices} accelerators"
    if machine.cpus is not None and machine.cpus > offer.cpus:
        return f"has {offer.cpus:g} CPUs"
    for name, least in machine.resources.items():
        if offer.resources.get(name, 0.0) < least:
            return f"offers {offer.resources.get(name, 0.0):g} of {name}"
    return None


def is_called(wanted: str, names: Sequence[str]) -> bool:
    """Whether these accelerators are of the kind that a config names, such as H100.

    >>> is_called("MI300X", ["AMD-Instinct-MI300X-OAM"]), is_called("RTX4090", ["NVIDIA GeForce RTX 4090"])
    (True, True)
    >>> is_called("L4", ["NVIDIA L40S"]), is_called("A10", ["NVIDIA A100-SXM4-40GB"]), is_called("H200", ["GH200"])
    (False, False, False)
    """
    return any(_is_called(wanted, name) for name in names)


def _is_called(wanted: str, name: str) -> bool:
    sizes = {size for size in (parts.memory_gb(wanted), parts.memory_gb(name)) if size is not None}
    if len(sizes) > 1:
        return False
    # Whole words alone: an L4 is no L40S. Blanks and dashes within them are written by some and left out by others.
    words = r"[\s_-]*".join(map(re.escape, re.findall(r"[A-Z]+|\d+|[^A-Z\d\s_-]+", wanted.upper())))
    has_words = re.search(rf"(?<![A-Z0-9]){words}(?![A-Z0-9])", name.upper()) is not None
    return has_words or parts.same_part(wanted, Accelerator(name=name))


def is_here(machine: Machine, environment: Environment) -> bool:
    """Whether this very machine is one of a config's."""
    names = [one.name for one in environment.accelerators]
    offer = Offer("", environment.cpu_usable, len(names), kinds=tuple(names))
    return _is_not(machine, Node(0, offer, {"": environment})) is None


def reasons(unit: Unit, nodes: Sequence[Node]) -> str:
    """Why a unit that is left over cannot run, in a few words."""
    if unit.is_given_up:
        return f"its node was lost {unit.losses} times while it ran; --retry-failed tries again"
    if not nodes:
        return "no node is there"
    cannot = [node.claim(unit) for node in nodes]
    if unit.kind is not None and any(isinstance(one, Claim) for one in cannot):
        return "the nodes of the kind that its replicates ran on are gone"
    said = [f"node {node.number} {one}" for node, one in zip(nodes, cannot, strict=True) if isinstance(one, str)]
    if unit.kind is not None and not said:
        return "its node is gone"
    return "; ".join(said[:4]) + (f", and {len(said) - 4} more nodes" if len(said) > 4 else "")
