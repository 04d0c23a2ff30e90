"""A plan, carried out on the nodes of a cluster: one record a job in one journal, whatever becomes of the nodes.

Nodes are probed when they come, take one cell an accelerator at a time, and may go: what a lost node was measuring
becomes a record `lost`, which counts as nothing, and is measured again.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import runners, store, traces
from bench.errors import InputError
from bench.execute import under_load
from bench.execute.cluster import Claim, Cluster, Ended, Files, Offer, Order, Reply
from bench.execute.cluster.node import KEPT, LOG
from bench.execute.cluster.schedule import Node, Start, Unit, key_of, reasons, starts
from bench.execute.interrupts import interrupts
from bench.execute.run import STAMP_BYTES, Bench, Measured, Standing, draft_of
from bench.hardware import stored as ceilings_stored
from bench.metrics import enough
from bench.schema import Failure, Job, Record, RunnerChoice
from bench.sensors import environment

LOOK_S = 1.0
"""How often it is seen which nodes are there, while nothing ends."""

LOST = "its node was lost"


@dataclass
class Running:
    """A job on its way. `unit` is None of one that is no replicate."""

    node: Node
    claim: Claim
    draft: Record
    unit: Unit | None


@dataclass(frozen=True)
class Probe:
    """A node that has been asked what it is. `until_s`: by the clock, or for ever."""

    offer: Offer
    until_s: float


@dataclass
class Fleet:
    """The nodes of a cluster, and what runs on them. `waits_s`: how long to wait for nodes when nothing can run."""

    cluster: Cluster
    bench: Bench
    choices: Sequence[RunnerChoice]
    waits_s: float
    waits_after_a_loss_alone: bool
    """Whether cells that no node was ever able to run are left out at once."""
    pause: Callable[[float], None]
    nodes: dict[str, Node] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    """Every node that ever came, by the cluster's name for it → its number."""
    doubted: set[str] = field(default_factory=set)
    """Nodes that were lost, perhaps: the cluster may notice later than we, and is asked again before they are used."""
    running: dict[str, Running] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    """Seconds. Never read while anything is timed: rounds are timed in a process of the node."""
    probing: dict[str, Probe] = field(default_factory=dict)
    limits: dict[str, Node] = field(default_factory=dict)
    """Ticket of a measurement of ceilings → its node, which takes nothing meanwhile."""
    hardware: set[str] = field(default_factory=set)
    """Kinds of hardware whose ceilings are known, or being measured."""
    units: Sequence[Unit] = ()

    # --- nodes

    def ready(self) -> list[Node]:
        """Nodes that can take cells."""
        busy = {node.number for node in self.limits.values()}
        return [node for node in self.nodes.values() if node.number not in busy]

    def meet(self) -> None:
        """Have new nodes probed, and forget those that are gone."""
        offers = {offer.key: offer for offer in self.cluster.offers()}
        for key in [key for key in self.nodes if key not in offers]:
            self._say(f"node {self.nodes.pop(key).number} is gone")
        for key, offer in offers.items():
            if key not in self.met or key in self.doubted:
                self.doubted.discard(key)
                self.met.setdefault(key, len(self.met) + 1)
                if offer.cpus <= 0:
                    # Heads are often started so, to keep work away from them; nothing could ever be claimed there.
                    self._say(f"node {self.met[key]}: offers no CPUs; it is not used")
                    continue
                order = Order(what="probe", runners=tuple(self.choices))
                limit_s = self.cluster.probe_limit_s
                until_s = math.inf if limit_s is None else self.clock() + limit_s
                self.probing[self.cluster.submit(key, Claim(0.0), order, {})] = Probe(offer, until_s)

    def _give_up_probes(self) -> None:
        """A node that says nothing must not keep the others waiting."""
        for ticket, probe in list(self.probing.items()):
            if self.clock() >= probe.until_s:
                self.cluster.drop(ticket)
                del self.probing[ticket]
                number = self.met[probe.offer.key]
                self._say(f"node {number}: no answer within {self.cluster.probe_limit_s:g} s; it is not used")

    def _probed(self, offer: Offer, ended: Ended) -> None:
        number, reply = self.met[offer.key], ended.reply
        if reply is None:
            self._say(f"node {number}: {ended.lost or LOST} before it could be used")
            return
        refused = reply.refused or _other_version(reply)
        if refused is not None:
            self._say(f"node {number}: {refused}; it is not used")
            return
        keys = [key_of(one) for one in self.choices]
        environments = dict(zip(keys, reply.environments, strict=True))
        lacking = {key: why for key, why in zip(keys, reply.lacking, strict=False) if why is not None}
        node = Node(number, offer, environments, lacking)
        self.nodes[offer.key] = node
        for why in dict.fromkeys(lacking.values()):
            self._say(f"node {number}: {why}")
        what = node.any_environment
        devices = ", ".join(dict.fromkeys(node.accelerators)) or "accelerator"
        has = f"{offer.devices} × {devices}" if offer.devices else "no accelerator"
        self._say(f"node {number}: {what.cpu_model}, {offer.cpus:g} CPUs, {has}")
        if reply.niceness > 0:
            self._say(
                f"node {number}: its tasks run at niceness {reply.niceness}, behind whatever else runs there; start "
                "Ray with RAY_worker_niceness=0"
            )
        self._want_ceilings(node)

    def _want_ceilings(self, node: Node) -> None:
        """Have what this kind of hardware can do at most measured, once, where an engine of ours runs."""
        what = node.any_environment.hardware()
        if what in self.hardware or not any(runners.find(one.name).ENGINE for one in self.choices):
            return
        self.hardware.add(what)
        held = ceilings_stored.of_run(self.bench.journal.folder, self._say)
        if any(one.hardware == what for one in held):
            return
        everything = Claim(node.offer.cpus, node.offer.devices)
        self.limits[self.cluster.submit(node.offer.key, everything, Order(what="ceilings"), {})] = node

    def _limited(self, node: Node, ended: Ended) -> None:
        reply = ended.reply
        if reply is None:  # another one of its kind can say it
            what = node.any_environment.hardware()
            self.hardware.discard(what)
            alike = [one for one in self.nodes.values() if one.any_environment.hardware() == what]
            for other in [one for one in alike if one.number != node.number][:1]:
                self._want_ceilings(other)
        for line in () if reply is None else reply.said:
            self._say(f"node {node.number}: {line}")
        if reply is not None and reply.ceilings is not None:
            try:
                ceilings_stored.into_run(self.bench.journal.folder, reply.ceilings, self._say)
            except InputError as error:
                self._say(error.lines[0])

    # --- jobs

    def begin(self, job: Job, node: Node, claim: Claim, unit: Unit | None, files: Files | None = None) -> str:
        """Send a job to a node. Raises InputError when there is no room for its record."""
        cell = job.cell
        rounds = max(cell.protocol.rounds, cell.protocol.max_rounds)
        own_bytes = rounds * cell.workload.output_tokens * STAMP_BYTES
        self.bench.journal.reserve(own_bytes * (1 + len(self.running)))  # all that are on their way come home
        draft = draft_of(job, node.environment(cell), None if unit is None else unit.name, str(node.number))
        job = job.model_copy(update={"record_id": draft.record_id})
        limit_s = self.bench.sweep.timeout_s
        if cell.traffic is not None:
            limit_s = under_load.timeout_s(cell.traffic, limit_s)
            under_load.begun(self.bench.journal.folder, draft)
        is_alone = claim.cpus >= node.offer.cpus
        order = Order(what="job", job=job, timeout_s=limit_s, is_alone=is_alone)
        ticket = self.cluster.submit(node.offer.key, claim, order, files or {})
        self.running[ticket] = Running(node, claim, draft, unit)
        if unit is not None:
            unit.running[ticket] = job.replicate
        return ticket

    def step(self, timeout_s: float = LOOK_S) -> list[Record]:
        """See what comes, goes and ends; the records that came of it, stored."""
        self.meet()
        found = []
        came = self.cluster.wait(timeout_s)
        interrupts.hold()  # records on their way must not be cut short: several may have come at once
        try:
            for ended in came:
                if ended.ticket in self.probing:
                    self._probed(self.probing.pop(ended.ticket).offer, ended)
                elif ended.ticket in self.limits:
                    self._limited(self.limits.pop(ended.ticket), ended)
                elif ended.ticket in self.running:
                    found.append(self._ended(ended))
        finally:
            interrupts.let_through()
        self._give_up_probes()
        return found

    def _ended(self, ended: Ended) -> Record:
        one = self.running.pop(ended.ticket)
        folder = self.bench.journal.folder
        record, notes = self._record(one, ended)
        if one.unit is not None and record.status == "lost":
            one.unit.lost(ended.ticket)
        elif one.unit is not None:
            del one.unit.running[ended.ticket]
            kind = record.environment.fingerprint()
            known = one.unit.known.setdefault(kind, Measured())
            # Counted in a row: a node that is there at the end was not ended by this cell. Where a scheduler of its own
            # sent the cell elsewhere, it is a row of its own, and not for ever.
            one.unit.losses = 0 if kind == one.unit.kind else one.unit.losses + 1
            known.add(record, folder)
            record = record.model_copy(update={"stop": known.stop(self.bench.sweep)})
        record = record.model_copy(update={"command": self.bench.command(record.cell)})
        self.bench.journal.append(record)
        if record.cell.traffic is not None:
            under_load.over(folder, record.record_id)
        job = Job(cell=record.cell, replicate=record.replicate, purpose=record.purpose)
        self.bench.watcher.started(job, self._standing(one.unit))
        self.bench.watcher.finished(record)
        for note in notes:
            self._say(f"note: node {one.node.number}: {note}")
        return record

    def _record(self, one: Running, ended: Ended) -> tuple[Record, tuple[str, ...]]:
        """What became of a job, and what to tell the person besides."""
        reply, draft = ended.reply, one.draft
        if reply is None or reply.refused is not None or reply.unwritten is not None:
            why = ended.lost or LOST
            key = one.node.offer.key
            if self.nodes.pop(key, None) is not None and reply is None:
                self._say(f"node {one.node.number}: {why}")
                self.doubted.add(key)
            if reply is not None:
                why = reply.refused or "the disk of the node is full"
                self._say(f"node {one.node.number}: {why}; it is not used any more")
            reason = f"node {one.node.number}: {why}"
            failure = Failure(reason=reason, remedy="nothing is said of the cell: it is measured again")
            return draft.model_copy(update={"status": "lost", "error": failure}), ()
        self._keep(draft, ended.files)
        names = ("status", "error", "elapsed_s", "measurement", "serving", "scored", "profile")
        record = draft.model_copy(update={name: getattr(reply, name) for name in names})
        if reply.environments:
            record = record.model_copy(update={"environment": reply.environments[0]})
        if record.status != "ok" and record.cell.traffic is not None and record.error is not None:
            record = under_load.ended_badly(self.bench.journal.folder, record, None)
        return record, reply.said

    def _keep(self, draft: Record, files: Files) -> None:
        """Put what a node brought where a run without a cluster has it."""
        folder = self.bench.journal.folder
        which = draft.replicate if draft.purpose == "time" else draft.purpose
        place = "" if draft.machine is None else f".{_plain(draft.machine)}"
        for name, content in files.items():
            if name == LOG:
                path = self.bench.made(folder / "logs") / f"{draft.cell.cell_id}{place}.{which}.log"
            elif name == KEPT:
                path = self.bench.made(folder / "quality") / f"{draft.record_id}.npz"
            else:
                path = self.bench.made(folder / traces.FOLDER) / Path(name).name
            try:
                path.write_bytes(content)
            except OSError as error:
                raise store.no_room(path.parent, error) from None

    # --- all of it

    def run(self, units: Sequence[Unit]) -> dict[str, list[Unit]]:
        """Measure every unit often enough. Returns those that were left out, by the reason.

        Raises KeyboardInterrupt and InputError after everything on the nodes has been ended.
        """
        self.units = units
        waited_s = 0.0
        while True:
            self.step(LOOK_S if self.running or self.probing or self.limits else 0.0)
            nodes = self.ready()
            for unit in units:
                unit.settle(nodes, self.bench.sweep)
            more_come = bool(self.probing or self.limits)
            while (start := starts(units, nodes, self.held(), self.bench.sweep, more_come)) is not None:
                self._start(start)
                waited_s = 0.0
            if self.running or self.probing or self.limits:
                continue
            left = [unit for unit in units if not unit.is_done(self.bench.sweep)]
            if not left or waited_s >= self._patience_s(left):
                return _by_reason(left, list(self.nodes.values()))
            if not waited_s:
                self._say(f"{len(left)} cells wait for a node that can run them, for up to {self.waits_s:g} s")
            self.pause(LOOK_S)
            waited_s += LOOK_S

    def _patience_s(self, left: Sequence[Unit]) -> float:
        waiting = [one for one in left if not one.is_given_up]
        if not waiting or (self.waits_after_a_loss_alone and not any(one.losses for one in waiting)):
            return 0.0
        return self.waits_s

    def _start(self, start: Start) -> None:
        unit, node = start.unit, start.node
        if unit.kind is None:
            unit.kind = node.kind(unit.cell)
        self.begin(Job(cell=unit.cell, replicate=unit.next()), node, start.claim, unit)

    def settled(self) -> None:
        """Return when every node that is there has been probed."""
        self.step(0.0)
        while self.probing or self.limits:
            self.step()

    def held(self) -> dict[int, list[Claim]]:
        found: dict[int, list[Claim]] = {}
        for one in self.running.values():
            found.setdefault(one.node.number, []).append(one.claim)
        return found

    def _standing(self, unit: Unit | None) -> Standing:
        """How far all of it is, the record counted that has just come."""
        done = sum(len(one.measured.replicates) for one in self.units)
        left = sum(one.measured.left(self.bench.sweep) for one in self.units if not one.is_given_up)
        width = None if unit is None else enough.half_width(unit.measured.times)
        return Standing(done=max(0, done - 1), at_least=done + left, left_s=None, half_width=width)

    def _say(self, line: str) -> None:
        self.bench.watcher.say(line)


def _other_version(reply: Reply) -> str | None:
    """Why the figures of a node would not be this program's."""
    version = environment.detect().bench_version
    own = (version, environment.INSTRUMENT)
    if (reply.bench_version, reply.instrument) == own:
        return None
    if reply.bench_version == version:
        return f"has another bench {version}, whose figures cannot be pooled with this one's: install the same"
    return f"has bench {reply.bench_version or 'of an unknown version'}, this is {version}: install the same"


def _by_reason(left: Iterable[Unit], nodes: Sequence[Node]) -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for unit in left:
        found.setdefault(reasons(unit, nodes), []).append(unit)
    return found


def _plain(name: str) -> str:
    """A machine's name as part of a file's."""
    return "".join(one if one.isalnum() else "-" for one in name)[:40]
