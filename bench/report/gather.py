"""Records, folded one at a time into what a row is made of: a journal of any length in little memory."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.metrics import latency, verdict
from bench.metrics.verdict import Evidence
from bench.report.joules import Joules
from bench.schema import Cell, Environment, Failure, Measurement, Memory, ModelFacts, Record, Status, Stop

Key = tuple[str, ...]


def _floats() -> "array[float]":
    return array("d")


@dataclass
class Gathered:
    """One cell on one machine. Times in seconds, one a replicate in the order of the journal."""

    cell: Cell
    environment: Environment
    facts: ModelFacts | None = None
    ttft_s: "array[float]" = field(default_factory=_floats)
    tpot_s: "array[float]" = field(default_factory=_floats)
    e2el_s: "array[float]" = field(default_factory=_floats)
    prefill_share: "array[float]" = field(default_factory=_floats)
    import_s: "array[float]" = field(default_factory=_floats)
    load_s: "array[float]" = field(default_factory=_floats)
    first_generate_s: "array[float]" = field(default_factory=_floats)
    rounds: "list[array[float]]" = field(default_factory=lambda: [_floats(), _floats(), _floats()])
    rounds_each: "array[float]" = field(default_factory=_floats)
    memory: dict[str, int] = field(default_factory=dict)
    memory_reasons: dict[str, str] = field(default_factory=dict)
    energy: Joules = field(default_factory=Joules)
    evidence: Evidence = field(default_factory=Evidence)
    set_aside: dict[str, int] = field(default_factory=dict)
    failures: list[Status] = field(default_factory=list)
    failure: Failure | None = None
    last_status: Status = "ok"
    command: str | None = None
    stop: Stop | None = None
    began_at: str | None = None
    machine: str | None = None

    def __post_init__(self) -> None:
        # Counters of stolen time and load are of the whole machine, whatever share of it may be used.
        self.evidence.cpus = self.environment.cpu_logical
        self.evidence.batch_size = self.cell.workload.batch_size

    def note(self, record: Record) -> None:
        """What every record says of its cell, whatever became of it."""
        self.command = record.command or self.command
        self.stop = record.stop
        self.began_at = self.began_at or record.started_at

    def add(self, record: Record) -> None:
        """Fold one more record of this cell and machine."""
        self.note(record)
        if record.status == "ok" and record.measurement is not None:
            self._add(record.measurement)
        elif record.status == "lost":  # says nothing of the cell, but why there is nothing, where there is nothing
            if self.last_status in ("ok", "lost"):
                self.last_status, self.failure = record.status, record.error
        else:
            self.last_status, self.failure = record.status, record.error
            self.failures.append(record.status)

    def _add(self, one: Measurement) -> None:
        if self.facts is None or (one.facts.text_tokens and not self.facts.text_tokens):
            self.facts = one.facts  # the first replicate alone counts tokens
        rounds = [latency.of_round(each) for each in one.rounds]
        times = latency.middle(rounds)
        self.e2el_s.append(times.e2el_s)
        if times.ttft_s is not None and times.decode_s is not None:
            self.ttft_s.append(times.ttft_s)
            whole = times.ttft_s + times.decode_s
            self.prefill_share.append(times.ttft_s / whole if whole > 0 else 0.0)  # such a row is refused later
        if times.tpot_s is not None:
            self.tpot_s.append(times.tpot_s)
        if one.import_s:
            self.import_s.append(one.import_s)
        self.load_s.append(one.load_s)
        self.first_generate_s.append(one.first_generate_s)
        self.rounds_each.append(len(one.rounds))
        for each in rounds:
            for values, value in zip(self.rounds, (each.ttft_s, each.tpot_s, each.e2el_s), strict=True):
                if value is not None:
                    values.append(value)
        self._add_memory(one.memory)
        work = self.cell.workload
        tokens = len(one.rounds) * work.batch_size * work.output_tokens
        self.energy.add(None if one.window is None else one.window.energy, tokens)
        self.evidence.add(one)

    def _add_memory(self, memory: Memory) -> None:
        for name in Memory.model_fields:
            value = getattr(memory, name)
            if isinstance(value, int):
                self.memory[name] = max(value, self.memory.get(name, 0))
        self.memory_reasons.update(memory.reasons)

    def peaks(self) -> Memory:
        """The largest of each counter over the replicates."""
        reasons = {name: why for name, why in self.memory_reasons.items() if name not in self.memory}
        return Memory(**self.memory, reasons=reasons)


def gather(records: Iterable[Record]) -> dict[Key, Gathered]:
    """Every static batch on every machine, in the order in which they first come; cells under load are passed over.

    A replicate that is worthless of itself (`verdict.tainted`) is set aside where there are others; where there are
    none, the row is made of what there is, and its verdict says that it means nothing.
    """
    groups: dict[Key, Gathered] = {}
    aside: dict[Key, Gathered] = {}
    for record in records:
        if record.cell.traffic is not None:
            continue  # `bench/report/serving/` has those
        key = _key(record)
        if key not in groups:
            groups[key] = Gathered(record.cell, record.environment, machine=record.machine)
        if record.measurement is not None and verdict.tainted(record.measurement):
            if key not in aside:
                aside[key] = Gathered(record.cell, record.environment, machine=record.machine)
            aside[key].add(record)
            groups[key].note(record)
        else:
            groups[key].add(record)
    for key, spoilt in aside.items():
        group = groups[key]
        if group.facts is None:
            spoilt.stop = group.stop
            groups[key] = spoilt
        else:
            group.set_aside = dict(spoilt.evidence.tainted)
            if spoilt.facts is not None and not group.facts.text_tokens:
                said = {"text_tokens": spoilt.facts.text_tokens, "text_sha256": spoilt.facts.text_sha256}
                group.facts = group.facts.model_copy(update=said)
    _join_failures(groups)
    return groups


def _key(record: Record) -> Key:
    """Records of one row: the same cell on the same machine, and the same weights on the same kind of device."""
    own = (record.cell.cell_id, record.environment.fingerprint(), record.machine or "")
    if record.measurement is None:
        return own
    facts = record.measurement.facts
    return (*own, facts.weights_id or "", *(device.name for device in facts.accelerators))


def _join_failures(groups: dict[Key, Gathered]) -> None:
    """A failure knows its cell and machine alone; it stands beside what was measured of them, if anything was."""
    measured = {key[:3]: key for key in reversed(groups) if groups[key].facts is not None}
    for key in [key for key, group in groups.items() if group.facts is None and key[:3] in measured]:
        group = groups.pop(key)
        other = groups[measured[key[:3]]]
        other.failures += group.failures
        other.failure = group.failure
        other.stop = group.stop or other.stop
