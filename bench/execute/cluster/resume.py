"""What a run's folder already holds of units, each record counted by the environment of the node that it ran on."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import store
from bench.execute import under_load
from bench.execute.cluster.schedule import Unit
from bench.execute.run import Measured
from bench.schema import Record
from bench.sensors import environment


@dataclass(frozen=True)
class Held:
    """How many records count, how many of them failed, and how many are another instrument's."""

    replicates: int
    failed: int
    others: int


def restore(units: Sequence[Unit], folder: Path, warn: Callable[[str], None], retry_failed: bool) -> Held:
    """Fill the units from the journal. `retry_failed` forgets what failed, and how often nodes were lost."""
    by_name = {(unit.cell.cell_id, unit.name): unit for unit in units}
    others = 0
    for record in store.read(folder, warn) if (folder / store.JOURNAL).is_file() else ():
        unit = by_name.get((record.cell.cell_id, record.machine))
        if unit is None or record.purpose != "time":
            continue
        if record.environment.instrument != environment.INSTRUMENT:
            others += 1
        elif record.status == "lost":
            unit.losses += 1
        else:
            unit.losses = 0
            unit.known.setdefault(record.environment.fingerprint(), Measured()).add(record, folder)
    every = [one for unit in units for one in unit.known.values()]
    held = Held(sum(len(one.replicates) for one in every), sum(len(one.failures) for one in every), others)
    if retry_failed:
        for one in every:
            one.forget_failures()
        for unit in units:
            unit.losses = 0
    return held


def cleared(folder: Path) -> int:
    """Take away the notes of runs under load that were killed with their driver: what they measured stayed on the
    nodes. Those of this machine stay, for a run on it to keep what they have. Returns how many were taken away."""
    found = 0
    for note in (folder / "traces").glob(f"*{under_load.NOTE}"):
        with suppress(ValueError):  # torn before the run began
            if Record.model_validate_json(note.read_bytes()).node is None:
                continue
        under_load.over(folder, note.name.removesuffix(under_load.NOTE))
        found += 1
    return found
