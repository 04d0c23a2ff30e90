"""The end of a run: its table on the terminal and in its folder."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.measured import CeilingOf
    from bench.report.rows import Row
    from bench.report.serving.row import ServingRow
    from bench.schema import Ceiling, CostChoices, Environment, ModelFacts, Record, Slo


def rows_of(folder: Path, cost: "CostChoices", warn: Callable[[str], None], every_cell: bool = False) -> list["Row"]:
    """Rows of static batches in a run folder (or a journal), in its plan's order; cells that left the plan only when
    asked for.

    Raises InputError where all of its cells are under load.
    """
    from bench.errors import InputError

    found, under_load = both(folder, cost, warn, every_cell)
    if under_load and not found:
        raise InputError(f"{folder}: its cells are all under load; `bench report` prices them")
    return found


def rows_of_both(
    folder: Path,
    cost: "CostChoices",
    warn: Callable[[str], None],
    every_cell: bool = False,
    slo: Sequence["Slo"] | None = None,
    duty: tuple[float, float] | None = None,
) -> tuple[list["Row"], list["ServingRow"]]:
    """Rows of static batches, and of cells under load; `slo` are the plan's where none are given."""
    from bench.plan.folder import read_plan

    run_folder = folder if folder.is_dir() else folder.parent
    found, under_load = both(folder, cost, warn, every_cell)
    if not under_load:
        return found, []
    from bench.report.serving.rows import serving_rows

    plan = read_plan(run_folder, lambda _: None)
    asked = (() if plan is None else plan.slo) if slo is None else slo
    return found, serving_rows(under_load, run_folder, cost, asked, () if plan is None else plan.cells, duty)


def both(
    folder: Path, cost: "CostChoices", warn: Callable[[str], None], every_cell: bool = False
) -> tuple[list["Row"], list["Record"]]:
    """Rows of static batches, and the records of cells under load."""
    from bench import store
    from bench.plan.folder import read_plan
    from bench.report.rows import rows

    run_folder = folder if folder.is_dir() else folder.parent
    plan = read_plan(run_folder, warn)
    order = plan.cells if plan is not None else ()
    planned = frozenset(order)
    scored = frozenset(plan.quality_cells) if plan is not None else frozenset()
    left_out = 0
    under_load: list[Record] = []

    def kept() -> Iterator["Record"]:
        nonlocal left_out
        for record in store.read(folder, warn):
            if record.purpose == "quality":
                if every_cell or not scored or record.cell.cell_id in scored:
                    yield record
            elif planned and not every_cell and record.cell.cell_id not in planned:
                left_out += 1
            elif record.cell.traffic is not None:
                under_load.append(record)
            else:
                yield record

    found = rows(kept(), cost, order, _ceilings(run_folder, warn))
    if left_out:
        warn(f"{folder}: {left_out} records of cells that left the config; --all-cells shows them")
    return found, under_load


def _ceilings(folder: Path, warn: Callable[[str], None]) -> "CeilingOf":
    """Looks a ceiling up once for each kind of machine and device."""
    from bench.hardware import ceiling

    known: dict[tuple[str, ...], tuple[Ceiling | None, str]] = {}

    def of(environment: "Environment", facts: "ModelFacts") -> tuple["Ceiling | None", str]:
        names = [device.name for device in facts.accelerators]
        key = (environment.hardware(), facts.device, *names)
        if key not in known:
            known[key] = ceiling.find(folder, environment, facts.accelerators, facts.device, warn)
        return known[key]

    return of


def print_and_write(folder: Path, cost: "CostChoices", warn: Callable[[str], None]) -> list["Row | ServingRow"]:
    """Print the tables and keep them as table.md, table.csv and table.json, those of cells under load as
    table-serving.md and so on. Returns all of their rows.
    """
    from bench.plan.folder import write_text
    from bench.report.render import render

    found, under_load = rows_of_both(folder, cost, warn)
    width = shutil.get_terminal_size((120, 24)).columns
    if not found and not under_load:
        print(f"\nno table: nothing was timed in {folder} yet; the config without --only times its cells")
        return []
    print()
    names = []
    if found:
        print(render(found, "table", width=width), end="")
        names.append("table")
        for form in ("md", "csv", "json"):
            write_text(folder / f"table.{form}", render(found, form))
    if under_load:
        from bench.report.serving.render import render_serving

        print(("\n" if found else "") + render_serving(under_load, "table", width), end="")
        names.append("table-serving")
        for form in ("md", "csv", "json"):
            write_text(folder / f"table-serving.{form}", render_serving(under_load, form))
    print()
    for name in names:
        print(f"{name}.md, {name}.csv and {name}.json are in {folder}")
    return [*found, *under_load]


def check_strictly(rows: Sequence["Row | ServingRow"]) -> None:
    """Raises DoubtError, exit code 3, when a row failed or its verdict is not VALID."""
    from bench.errors import DoubtError
    from bench.models import catalogue
    from bench.report import quality, table
    from bench.report.rows import Row
    from bench.report.serving import table as serving_table
    from bench.report.serving.row import load_text

    doubts = []
    for number, row in enumerate(rows, 1):
        unscored = row.no_quality_because if isinstance(row, Row) else None
        failed = unscored if unscored is not None and unscored.startswith(quality.FAILED) else None
        if row.figures is not None and not row.verdict and failed is None:
            continue
        if isinstance(row, Row):
            said = failed if failed is not None and not row.verdict and row.figures is not None else table.verdict(row)
            name = f"row {number}, {catalogue.label(row.cell.model)} {table.precision(row)}: {said}"
        else:
            place = number - sum(isinstance(one, Row) for one in rows)
            what = f"{serving_table.model(row)} {serving_table.precision(row)}, {load_text(row.traffic)}"
            name = f"row {place} under load, {what}: {serving_table.verdict(row)}"
        doubts.append(name)
    if doubts:
        raise DoubtError(*doubts, "--strict: not every row is VALID; the remedies stand under the table")
