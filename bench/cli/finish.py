"""The end of a run: its table on the terminal and in its folder."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.rows import Row
    from bench.report.serving.row import ServingRow
    from bench.schema import CostChoices


def print_and_write(folder: Path, cost: "CostChoices", warn: Callable[[str], None]) -> list["Row | ServingRow"]:
    """Print the tables and keep them as table.md, table.csv and table.json, those of cells under load as
    table-serving.md and so on. Returns all of their rows.
    """
    from bench.entries.runs import rows_of_both
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
            name = f"row {number}, {table.shortened(catalogue.label(row.cell.model))} {table.precision(row)}: {said}"
        else:
            place = number - sum(isinstance(one, Row) for one in rows)
            what = f"{serving_table.model(row)} {serving_table.precision(row)}, {load_text(row.traffic)}"
            name = f"row {place} under load, {what}: {serving_table.verdict(row)}"
        doubts.append(name)
    if doubts:
        raise DoubtError(*doubts, "--strict: not every row is VALID; the remedies stand under the table")
