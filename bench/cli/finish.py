"""The end of a run: its table on the terminal and in its folder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.rows import Row
    from bench.schema import CostChoices


def rows_of(folder: Path, cost: "CostChoices", warn: Callable[[str], None], every_cell: bool = False) -> list["Row"]:
    """Rows of a run folder (or a journal), in its plan's order; cells that left the plan only when asked for."""
    from bench import store
    from bench.plan.folder import read_plan
    from bench.report.rows import rows

    records = list(store.read(folder, warn))
    plan = read_plan(folder if folder.is_dir() else folder.parent, warn)
    order = plan.cells if plan is not None else ()
    if order and not every_cell:
        kept = [record for record in records if record.cell.cell_id in set(order)]
        if len(kept) < len(records):
            warn(f"{folder}: {len(records) - len(kept)} records of cells that left the config; --all-cells shows them")
        records = kept
    return rows(records, cost, order)


def print_and_write(folder: Path, cost: "CostChoices", warn: Callable[[str], None]) -> bool:
    """Print the table and keep it as table.md, table.csv and table.json. Returns whether any cell has figures."""
    from bench.plan.folder import write_text
    from bench.report.render import render

    found = rows_of(folder, cost, warn)
    print()
    print(render(found, "table", width=shutil.get_terminal_size((120, 24)).columns), end="")
    for form in ("md", "csv", "json"):
        write_text(folder / f"table.{form}", render(found, form))
    print(f"\ntable.md, table.csv and table.json are in {folder}")
    return any(row.figures is not None for row in found)
