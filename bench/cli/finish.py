"""The end of a run: its table on the terminal and in its folder."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.measured import CeilingOf
    from bench.report.rows import Row
    from bench.schema import Ceiling, CostChoices, Environment, ModelFacts, Record


def rows_of(folder: Path, cost: "CostChoices", warn: Callable[[str], None], every_cell: bool = False) -> list["Row"]:
    """Rows of a run folder (or a journal), in its plan's order; cells that left the plan only when asked for."""
    from bench import store
    from bench.plan.folder import read_plan
    from bench.report.rows import rows

    run_folder = folder if folder.is_dir() else folder.parent
    plan = read_plan(run_folder, warn)
    order = plan.cells if plan is not None else ()
    planned = frozenset(order)
    left_out = 0

    def kept() -> Iterator["Record"]:
        nonlocal left_out
        for record in store.read(folder, warn):
            if planned and not every_cell and record.cell.cell_id not in planned:
                left_out += 1
            else:
                yield record

    found = rows(kept(), cost, order, _ceilings(run_folder, warn))
    if left_out:
        warn(f"{folder}: {left_out} records of cells that left the config; --all-cells shows them")
    return found


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


def print_and_write(folder: Path, cost: "CostChoices", warn: Callable[[str], None]) -> list["Row"]:
    """Print the table and keep it as table.md, table.csv and table.json. Returns its rows."""
    from bench.plan.folder import write_text
    from bench.report.render import render

    found = rows_of(folder, cost, warn)
    print()
    print(render(found, "table", width=shutil.get_terminal_size((120, 24)).columns), end="")
    for form in ("md", "csv", "json"):
        write_text(folder / f"table.{form}", render(found, form))
    print(f"\ntable.md, table.csv and table.json are in {folder}")
    return found


def check_strictly(rows: Sequence["Row"]) -> None:
    """Raises DoubtError, exit code 3, when a row failed or its verdict is not VALID."""
    from bench.errors import DoubtError
    from bench.models import catalogue
    from bench.report import table

    doubts = [
        f"row {number}, {catalogue.label(row.cell.model)} {table.precision(row)}: {table.verdict(row)}"
        for number, row in enumerate(rows, 1)
        if row.figures is None or row.verdict
    ]
    if doubts:
        raise DoubtError(*doubts, "--strict: not every row is VALID; the remedies stand under the table")
