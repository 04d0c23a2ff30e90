"""`bench run … --on CLUSTER`: the cells of a config on the nodes of a cluster, and machines of a config without one."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.watch import TerminalWatcher

if TYPE_CHECKING:
    from bench.cli.passes import QualityPasses
    from bench.execute.cluster import Cluster
    from bench.execute.cluster.resume import Held
    from bench.execute.cluster.schedule import Unit
    from bench.schema import Cell, CostChoices, Record, Sweep
    from bench.store import Journal

WAITS_S = 60.0
"""For a node that can run what is left; nodes that were lost often come back."""

SHOWN = 3
"""Cells that a line about those left out names."""


class FleetWatcher(TerminalWatcher):
    """A line a record, which says where it was measured; several are on their way at once."""

    def finished(self, record: "Record") -> None:
        place = f"node {record.node}" if record.machine is None else f"{record.machine}, node {record.node}"
        self._head += f" on {place}"
        super().finished(record)


@dataclass(frozen=True)
class Asked:
    """What `--on` was asked to do."""

    on: str
    waits_s: float | None
    cells: "Sequence[Cell]"
    quality: "QualityPasses"
    folder: Path
    retry_failed: bool
    explain: bool


def shown(on: str) -> str:
    """A cluster in the command of a record, which is published: its kind, never a name or an address.

    >>> shown("ray://10.8.0.1:20001"), shown("ray"), shown("slurm:gpu")
    ('ray://HEAD', 'ray', 'slurm')
    """
    return "ray://HEAD" if "://" in on else on.partition(":")[0]


def check(on: str, cells: "Sequence[Cell]", cost: "CostChoices", find_max: bool) -> None:
    """Refuse what a cluster cannot do. Raises InputError, a line each."""
    from bench.errors import InputError
    from bench.execute.cluster import clusters

    clusters.check(on)
    if find_max:
        raise InputError("--on: does not search (--find-max); run the search on the machine itself, without --on")
    if cost.billed_as is not None and any(cell.traffic is not None for cell in cells):
        raise InputError(
            "--on: does not ask endpoints that are paid by the token (billed_as): its money is counted on one machine; "
            "run those cells without --on"
        )


def connected(on: str, say: Callable[[str], None]) -> "Cluster":
    """The cluster. Raises InputError in one line where it cannot be reached."""
    from bench.execute.cluster import clusters

    warning = clusters.warning(on)
    if warning is not None:
        say(warning)
    return clusters.connect(on)


def run(
    asked: Asked,
    cluster: "Cluster",
    sweep: "Sweep",
    write_plan: Callable[[], None],
    command: "Callable[[Cell], str]",
    warn: Callable[[str], None],
) -> int:
    """Measure the cells on the nodes. Returns how many were left out, each said with its reason.

    Raises KeyboardInterrupt and InputError after what runs on the nodes has been ended.
    """
    from bench.cli.watch import duration
    from bench.store import Journal

    watcher = FleetWatcher(sys.stderr)
    try:
        with Journal(asked.folder) as journal:
            write_plan()
            left = _measured(asked, cluster, sweep, journal, watcher, command, warn)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is stored: one more must not change the exit code
        watcher.clear()
        watcher.say("stopping what runs on the nodes, for a few seconds")
        cluster.stop()
        watcher.say(f"stopped; everything measured is in {asked.folder}, and the same command goes on from there")
        raise
    except BaseException:
        cluster.stop()
        raise
    finally:
        cluster.close()
    if watcher.records:
        watcher.say(f"measured in {duration(watcher.elapsed_s())}; records are in {asked.folder}/records.jsonl")
    _say_left(left, watcher.say)
    return sum(map(len, left.values()))


def _measured(
    asked: Asked,
    cluster: "Cluster",
    sweep: "Sweep",
    journal: "Journal",
    watcher: FleetWatcher,
    command: "Callable[[Cell], str]",
    warn: Callable[[str], None],
) -> "dict[str, list[Unit]]":
    from bench.execute.cluster import passes, resume, schedule
    from bench.execute.cluster.fleet import Fleet
    from bench.execute.run import Bench

    units = schedule.units(asked.cells, sweep.machines)
    _say_held(resume.restore(units, journal.folder, warn, asked.retry_failed), asked, watcher)
    resume.cleared(journal.folder)
    every = [*asked.cells, *asked.quality.chosen]
    choices = list({cell.runner.model_dump_json(): cell.runner for cell in every}.values())
    waits_s = WAITS_S if asked.waits_s is None else asked.waits_s
    fleet = Fleet(cluster, Bench(journal, sweep, watcher, command), choices, waits_s, asked.waits_s is None, time.sleep)
    fleet.settled()
    if not fleet.nodes and not asked.waits_s:
        _nothing(asked.on)
    left = fleet.run(units)
    known, inputs = asked.quality.chosen, asked.quality.inputs
    if inputs is not None and known:
        passes.score(fleet, units, known, inputs.text_path, inputs.task_paths, asked.retry_failed, warn)
    if asked.explain:
        passes.profile(fleet, units, asked.retry_failed, warn)
    return left


def check_none_left(left: int) -> None:
    """Raises DoubtError where cells were left out."""
    from bench.errors import DoubtError

    if left:
        raise DoubtError(f"--strict: {left} cells were left out; the reasons stand above the table")


def _nothing(on: str) -> None:
    from bench.errors import InputError

    raise InputError(f"--on {on}: no node of this cluster can be used; the reasons stand above")


def _say_held(held: "Held", asked: Asked, watcher: FleetWatcher) -> None:
    if held.others:
        watcher.say(f"{held.others} stored measurements of another version are kept and not counted")
    if held.failed and not asked.retry_failed:
        watcher.say(f"{held.failed} of the stored measurements failed; --retry-failed runs them again")
    if held.replicates:
        watcher.say(f"{held.replicates} measurements are already in {asked.folder}")


def _say_left(left: "dict[str, list[Unit]]", say: Callable[[str], None]) -> None:
    for reason, units in left.items():
        names = dict.fromkeys(unit.cell.cell_id if unit.name is None else unit.name for unit in units)
        shown = ", ".join(list(names)[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        say(f"left out: {len(units)} cells of {shown}: {reason}")


def here(sweep: "Sweep", say: Callable[[str], None], config: Path, is_needed: bool = True) -> str | None:
    """What the config calls this machine; None where it names none. Raises InputError where it is none of them and
    `is_needed`."""
    from bench.errors import InputError
    from bench.execute.cluster import schedule
    from bench.sensors import environment

    if not sweep.machines:
        return None
    names = ", ".join(one.name for one in sweep.machines)
    found = [one for one in sweep.machines if schedule.is_here(one, environment.detect())]
    if not found and not is_needed:
        return None
    if not found:
        raise InputError(f"{config}: machines: this machine is none of them ({names}); name their cluster with --on")
    if len(sweep.machines) > 1:
        say(f"of the config's machines ({names}) this is {found[0].name}; the others need a cluster: --on")
    return found[0].name


def lines(sweep: "Sweep", cells: int) -> list[str]:
    """What a dry run says of the machines."""
    said = []
    for one in sweep.machines:
        parts = [f"{one.devices or 'as many as a cell needs of'} × {one.accelerator}" if one.accelerator else "CPU"]
        parts += [f"{one.cpus} CPUs at least"] if one.cpus else []
        parts += [f"{name} {amount:g}" for name, amount in one.resources.items()]
        parts.append(f"${one.usd_per_hour:g} per hour" if one.usd_per_hour else "price of the list")
        said.append(f"machine {one.name}: {', '.join(parts)}")
    if sweep.machines:
        total = cells * len(sweep.machines)
        said.append(f"{cells} cells on each of {len(sweep.machines)} machines = {total}")
    return said
