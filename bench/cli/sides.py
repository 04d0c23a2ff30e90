"""The two sides of a comparison: `RUN` or `RUN:key=value,key=value`, its cells, and which of them belong together."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import store
from bench.errors import InputError, nearest
from bench.metrics import verdict
from bench.metrics.latency import of_replicate
from bench.metrics.memory import peak_bytes
from bench.models import catalogue
from bench.report.comparison import Measured
from bench.schema import Cell
from bench.schema.precision import label

WORKLOAD_KEYS = ("batch_size", "scheduling", "input_tokens", "cached_tokens", "output_tokens")
KEYS = ("model", "precision", "runner", *WORKLOAD_KEYS, "arm", "cell")
MACHINE = "machine"
"""A key of what was measured, and not of its cell: what the config of a fleet calls the machine."""


@dataclass(frozen=True)
class Side:
    """One argument: a run, and what its cells must be."""

    option: str
    path: Path
    wanted: dict[str, str]

    @classmethod
    def parse(cls, option: str, text: str) -> "Side":
        """Split at the first colon that follows an existing path: paths and model names may hold colons too."""
        colons = [at for at, letter in enumerate(text) if letter == ":"]
        if not colons or Path(text).exists():
            return cls(option, Path(text), {})
        at = next((colon for colon in colons if Path(text[:colon]).exists()), colons[0])
        wanted = {}
        for part in text[at + 1 :].split(","):
            key, equals, value = part.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise InputError(f"{option}: {part!r} is no filter; write RUN:key=value,key=value")
            if key.strip() in wanted:
                raise InputError(f"{option}: {key.strip()} stands in the filter twice; give it one value")
            wanted[key.strip()] = value.strip()
        return cls(option, Path(text[:at]), wanted)

    def chosen(self, warn: Callable[[str], None]) -> list[Measured]:
        """The measured cells that the filter leaves. Raises InputError for a key or a value that no cell has."""
        known = measured_cells(self.path, warn)
        if not known:
            if any(record.cell.traffic is not None for record in store.read(self.path, lambda _: None)):
                why = "its cells are all under load; `bench report` prices them"
                raise InputError(f"{self.option}: {self.path}: {why}")
            raise InputError(f"{self.option}: {self.path} holds no measured cell; run its config first")
        left = known
        for key, value in self.wanted.items():
            options = {name for one in known for name in one.cell.runner.told()}
            keys = keys_of([one.machine for one in known], options)
            if key not in keys:
                raise InputError(f"{self.option}: unknown key {key!r}; {nearest(key, keys)}")
            left = [one for one in left if is_said(one.cell, key, value, one.machine)]
            if not left:
                values = {text for one in known for text in texts_of(one.cell, key, one.machine)}
                raise InputError(f"{self.option}: no cell with {key}={value} in {self.path}; {nearest(value, values)}")
        return left


def keys_of(machines: Iterable[str | None], options: Iterable[str]) -> list[str]:
    """What a filter may name: of a fleet the machine too."""
    return [*KEYS, *([MACHINE] if any(machines) else []), *options]


def measured_cells(path: Path, warn: Callable[[str], None]) -> list[Measured]:
    """What a journal holds, a cell and machine each; of every record only its times and its peak are kept."""
    journal = str((path / store.JOURNAL if path.is_dir() else path).resolve())
    found: dict[tuple[str, ...], Measured] = {}
    for record in store.read(path, warn):
        if record.status != "ok" or record.measurement is None or verdict.tainted(record.measurement):
            continue
        facts = record.measurement.facts
        key = (record.cell.cell_id, record.environment.fingerprint(), record.machine or "", facts.weights_id or "")
        # Taken out and put back: the last one is the one that was measured last.
        one = found.pop(key, None) or Measured(journal, record.cell, record.environment, record.machine)
        one.evidence.cpus, one.evidence.batch_size = record.environment.cpu_logical, record.cell.workload.batch_size
        one.evidence.add(record.measurement)
        found[key] = one
        one.times[record.replicate] = of_replicate(record.measurement)
        one.started_at[record.replicate] = record.started_at
        peaks = [size for size in (one.peak_bytes, peak_bytes(record.measurement.memory, facts)) if size is not None]
        one.peak_bytes = max(peaks, default=None)
    return list(found.values())


def texts_of(cell: Cell, key: str, machine: str | None = None) -> tuple[str, ...]:
    """How the value of a key may be written; the first is the one to show. `machine`: what its config calls it."""
    if key == MACHINE:
        return () if machine is None else (machine,)
    if key == "model":
        return catalogue.label(cell.model), cell.model.source
    if key == "precision":
        return label(cell.precision), cell.precision.name
    if key == "runner":
        return (cell.runner.name,)
    if key == "arm":
        return (str(cell.arm),)
    if key == "cell":
        return (cell.cell_id,)
    if key in WORKLOAD_KEYS:
        return (str(getattr(cell.workload, key)),)
    told = cell.runner.told()
    if key not in told:
        return ()
    value = told[key]
    if key == "python" and value is not None:
        return str(cell.runner.environment_folder()), str(value)
    plain = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return plain, str(value)


def is_said(cell: Cell, key: str, value: str, machine: str | None = None) -> bool:
    if key == "cell":
        return cell.cell_id.startswith(value)
    return value.lower() in [text.lower() for text in texts_of(cell, key, machine)]


def _identity(cell: Cell, free: set[str]) -> str:
    """All that has to be equal for two cells to be compared: everything but the keys that a filter names."""
    if "cell" in free:
        return ""
    said: dict[str, Any] = cell.model_dump(mode="json", exclude={"cell_id", "runner", "workload"})
    said["runner"] = cell.runner.name
    said.update({f"workload {key}": value for key, value in cell.workload.model_dump().items() if key not in free})
    said = {key: value for key, value in said.items() if key not in free}
    if "runner" not in free:  # another engine has other options
        # What is not set is what a record from before the option did not name.
        options = {key: value for key, value in cell.runner.told().items() if value is not None and key not in free}
        said["options"] = options
    return json.dumps(said, sort_keys=True)


def matched(a: Side, b: Side, warn: Callable[[str], None]) -> list[tuple[Measured, Measured]]:
    """Pairs of equal cells, one for each machine that the config of a fleet names and both have, else one: of several
    machines the one that both have, else the last. Names what has no partner.

    Raises InputError where nothing is left, where nothing matches, or where two cells of A match one of B.
    """
    free = set(a.wanted) | set(b.wanted)
    chosen_a, chosen_b = a.chosen(warn), b.chosen(warn)
    bases: dict[str, list[Measured]] = {}
    for one in chosen_a:
        bases.setdefault(_identity(one.cell, free), []).append(one)
    pairs: dict[tuple[str, str, str], tuple[Measured, Measured]] = {}
    for other in chosen_b:
        # A cell against itself says nothing.
        own = (other.journal, other.cell.cell_id, other.machine if MACHINE in free else None)
        bases_here = bases.get(_identity(other.cell, free), [])
        candidates = [
            one
            for one in bases_here
            if (one.journal, one.cell.cell_id, one.machine if MACHINE in free else None) != own
        ]
        names = sorted({one.cell.cell_id for one in candidates})
        if len(names) > 1:
            ids = ", ".join(names)
            raise InputError(f"A: {len(names)} cells match {other.name()} ({ids}); add a key to A's filter")
        if candidates:
            best = max(reversed(candidates), key=lambda one: _nearness(one, other))
            named = other.machine or "" if best.machine == other.machine else ""
            key = (best.cell.cell_id, other.cell.cell_id, named)
            if key not in pairs or _nearness(best, other) >= _nearness(*pairs[key]):
                pairs[key] = (best, other)
    if not pairs:
        raise InputError(
            "A and B: no cell of one is equal to another one of the other; name the keys in which they may differ, "
            "such as RUN:precision=bf16 RUN:precision=nf4"
        )
    kept = [{pair[at].cell.cell_id for pair in pairs.values()} for at in (0, 1)]
    for side, of, found in ((a, chosen_a, kept[0]), (b, chosen_b, kept[1])):
        for one in of:
            if one.cell.cell_id not in found:
                warn(f"{side.option}: {one.name()} has no partner and is left out")
    return list(pairs.values())


def _nearness(one: Measured, other: Measured) -> tuple[bool, bool]:
    """Of the same name in a fleet's config, and of the same hardware and versions."""
    return one.machine == other.machine, one.environment.fingerprint() == other.environment.fingerprint()
