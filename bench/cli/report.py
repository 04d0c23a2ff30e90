"""`bench report RUN…`: the table of stored records, with today's or any other prices. Imports no engine."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.choices import Given, with_cost_options


def add_to(app: typer.Typer) -> None:
    app.command(
        name="report",
        epilog="Example: bench report results/local/quickstart --usd-per-hour 0.40 --api openai/gpt-5-mini",
    )(with_cost_options(report))


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or journals (records.jsonl).", show_default=False)],
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    percentiles: Annotated[
        bool, typer.Option("--percentiles", help="Also p50, p90 and p99 of TTFT, TPOT and end-to-end time.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 3 unless every row is VALID and nothing failed.")
    ] = False,
    all_cells: Annotated[
        bool, typer.Option("--all-cells", help="Also cells that are no longer in the config.")
    ] = False,
    *,
    given: Given,
) -> None:
    """Recompute the table from stored records: new prices need no new run."""
    from bench.cli import warn
    from bench.cli.choices import overridden
    from bench.cli.finish import check_strictly, rows_of
    from bench.errors import InputError, nearest
    from bench.plan.folder import read_plan, write_text
    from bench.report.render import FORMATS, render
    from bench.schema import CostChoices

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    found = []
    for run in runs:
        plan = read_plan(run if run.is_dir() else run.parent, lambda _: None)
        planned = plan.cost if plan is not None else CostChoices()
        cost = overridden(planned, given)
        found += rows_of(run, cost, warn, all_cells)
    if not found:
        raise InputError(f"{', '.join(str(run) for run in runs)}: no records; run the config first")
    text = render(found, form, width=shutil.get_terminal_size((120, 24)).columns, percentiles=percentiles)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
    if strict:
        check_strictly(found)
