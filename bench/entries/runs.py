"""The rows of one run folder: its journal and its plan read together, each kind of record made into its own rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import store
from bench.errors import InputError
from bench.hardware import ceiling, division
from bench.plan.folder import read_plan
from bench.report.measured import CeilingOf
from bench.report.rows import Row, rows
from bench.report.serving.row import ServingRow
from bench.schema import Ceiling, CostChoices, Environment, ModelFacts, Record, Slo

Warn = Callable[[str], None]


@dataclass
class Found:
    """A run's rows of static batches, and the records of which other rooms make rows."""

    batches: list[Row] = field(default_factory=list)
    under_load: list[Record] = field(default_factory=list)
    imported: list[Record] = field(default_factory=list)


def folder_of(run: Path) -> Path:
    """The run's folder, whether it or its journal was named."""
    return run if run.is_dir() else run.parent


def rows_of(run: Path, cost: CostChoices, warn: Warn, every_cell: bool = False) -> list[Row]:
    """Rows of static batches in a run folder (or a journal), in its plan's order; cells that left the plan only when
    asked for.

    Raises InputError where all of its cells are under load, or another tool's.
    """
    found = read_run(run, cost, warn, every_cell)
    if found.batches:
        return found.batches
    if found.under_load:
        raise InputError(f"{run}: its cells are all under load; `bench report` prices them")
    if found.imported:
        raise InputError(f"{run}: other tools measured its cells; `bench report` prices them")
    return []


def rows_of_both(
    run: Path,
    cost: CostChoices,
    warn: Warn,
    every_cell: bool = False,
    slo: Sequence[Slo] | None = None,
    duty: tuple[float, float] | None = None,
) -> tuple[list[Row], list[ServingRow]]:
    """Rows of static batches, and of cells under load; `slo` are the plan's where none are given."""
    found = read_run(run, cost, warn, every_cell)
    return found.batches, loads_of(found, run, cost, slo, duty)


def loads_of(
    found: Found,
    run: Path,
    cost: CostChoices,
    slo: Sequence[Slo] | None = None,
    duty: tuple[float, float] | None = None,
) -> list[ServingRow]:
    """Rows of the cells under load."""
    if not found.under_load:
        return []
    from bench.report.serving.rows import serving_rows  # numpy, which a batch does without

    plan = read_plan(folder_of(run), _silent)
    asked = (() if plan is None else plan.slo) if slo is None else slo
    order, fleet = ((), ()) if plan is None else (plan.cells, plan.machines)
    return serving_rows(found.under_load, folder_of(run), cost, asked, order, duty, fleet)


def read_run(run: Path, cost: CostChoices, warn: Warn, every_cell: bool = False) -> Found:
    """Every record in its place. Raises InputError where there is no journal."""
    folder = folder_of(run)
    plan = read_plan(folder, warn)
    order = plan.cells if plan is not None else ()
    planned = frozenset(order)
    scored = frozenset(plan.quality_cells) if plan is not None else frozenset()
    left_out = 0
    found = Found()

    def kept() -> Iterator[Record]:
        nonlocal left_out
        for record in store.read(run, warn):
            if record.imported is not None:
                found.imported.append(record)
            elif record.purpose == "quality":
                if every_cell or not scored or record.cell.cell_id in scored:
                    yield record
            elif planned and not every_cell and record.cell.cell_id not in planned:
                left_out += 1
            elif record.cell.traffic is not None:
                found.under_load.append(record)
            else:
                yield record

    fleet = plan.machines if plan is not None else ()
    found.batches = rows(kept(), cost, order, _ceilings(folder, warn), fleet=fleet)
    if left_out:
        warn(f"{run}: {left_out} records of cells that left the config; --all-cells shows them")
    return found


def _silent(_: str) -> None:
    """Of a plan that was read before: what is wrong with it has been said."""


def _ceilings(folder: Path, warn: Warn) -> CeilingOf:
    """Looks a ceiling up once for each kind of machine, devices, and way of sharing a model."""
    known: dict[tuple[object, ...], tuple[Ceiling | None, str]] = {}

    def of(environment: Environment, facts: ModelFacts) -> tuple[Ceiling | None, str]:
        names = [device.name for device in facts.accelerators]
        key = (environment.hardware(), facts.device, *names, division.of(facts))
        if key not in known:
            known[key] = ceiling.of(folder, environment, facts, warn)
        return known[key]

    return of
