"""What runs where: cells × machines over nodes, replicates interleaved on each. Pure: no cluster, no clock, no file.

A unit is a cell on one machine of the config, or on any node that has what it needs where the config names no machines.
All its replicates stay on nodes of one kind (equal `Environment.fingerprint()`): others would be another measurement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from bench import runners
from bench.execute.cluster import Claim, Offer
from bench.execute.run import Measured
from bench.hardware import parts
from bench.schema import Accelerator, Cell, Environment, Machine, RunnerChoice, Sweep

ALL = -1
"""Of devices: every one that the node has."""

MOST_LOSSES = 3
"""A cell whose node died so often is given up: perhaps it is the cell that ends them."""


@dataclass(eq=False)
class Node:
    """A node that was probed. `number` is the run's own name for it; `environments` are by runner (`key_of`)."""

    number: int
    offer: Offer
    environments: Mapping[str, Environment]
    _kinds: dict[str, str] = field(default_factory=dict)
    _claims: dict[tuple[str, str | None], Claim | str] = field(default_factory=dict)

    def environment(self, cell: Cell) -> Environment:
        return self.environments[key_of(cell.runner)]

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
        here = {node.kind(self.cell) for node in nodes if isinstance(node.claim(self), Claim)}
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
    waiting: Iterable[Unit], nodes: Sequence[Node], held: Mapping[int, Sequence[Claim]], sweep: Sweep
) -> Start | None:
    """The next replicate to begin, None where none can. `held`: what runs on each node, by its number.

    On each node the unit with the fewest replicates goes first, in another random order in each sweep, so that a drift
    of a node hits all its cells alike. What needs more of the node than is free now holds those behind it back: it
    would wait for ever otherwise.
    """
    wanting = [unit for unit in waiting if unit.wants(sweep)]
    for node in nodes:
        free = _free(node, held.get(node.number, ()))
        if free.cpus <= 0 and free.devices <= 0:
            continue
        first = min((one for one in wanting if _may_run(one, node)), key=partial(_turn, node), default=None)
        if first is None:
            continue
        needs = node.claim(first)
        if isinstance(needs, Claim) and needs.cpus <= free.cpus and needs.devices <= free.devices:
            return Start(first, node, needs)
    return None


def _may_run(unit: Unit, node: Node) -> bool:
    if unit.kind is not None and unit.kind != node.kind(unit.cell):
        return False
    return isinstance(node.claim(unit), Claim)


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
    offer, wanted = node.offer, devices_of(cell.runner)
    if wanted == 0 or (not offer.devices and not _needs_devices(cell.runner)):
        return Claim(offer.cpus)
    count = offer.devices if wanted == ALL else wanted or 1
    if machine is not None and machine.devices is not None:
        count = max(machine.devices, 0 if wanted in (None, ALL) else wanted)
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
    """Whether these accelerators are of the kind that a config names, such as H100."""
    plain = "".join(wanted.upper().split())
    return any(
        parts.same_part(wanted, Accelerator(name=name)) or plain in "".join(name.upper().replace("-", "").split())
        for name in names
    )


def is_here(machine: Machine, environment: Environment) -> bool:
    """Whether this very machine is one of a config's."""
    names = [one.name for one in environment.accelerators]
    offer = Offer("", environment.cpu_usable, len(names), kinds=tuple(names))
    return _is_not(machine, Node(0, offer, {"": environment})) is None


def devices_of(choice: RunnerChoice) -> int | None:
    """Accelerators that a deployment takes: 0 is the CPU, `ALL` every one, None what there is (one of them).

    A runner may say it itself, by a class method `devices(options)`; else it follows from usual names of options.
    """
    kind = runners.find(choice.name)
    own = getattr(kind, "devices", None)
    if callable(own):
        found: int | None = own(kind.Options.model_validate(choice.options))
        return found
    options = choice.options
    if options.get("device") in ("cpu", "CPU") or options.get("gpu_layers") == 0:
        return 0
    if options.get("device_map") is not None:
        return ALL
    product = _count(options, "tensor_parallel") * _count(options, "pipeline_parallel")
    return product if product > 1 else None


def _count(options: Mapping[str, Any], name: str) -> int:
    value = options.get(name)
    return value if isinstance(value, int) and value > 0 else 1


def _needs_devices(choice: RunnerChoice) -> bool:
    return str(choice.options.get("device", "")).startswith(("cuda", "GPU"))


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
