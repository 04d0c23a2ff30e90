"""`bench report RUN…`: the tables of stored records, with today's or any other prices. Imports no engine."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.report.rows import Row
    from bench.report.serving.row import ServingRow
    from bench.schema import Slo


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
        bool,
        typer.Option("--percentiles", help="Also percentiles of TTFT, TPOT and end-to-end time, and the whole run."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 3 unless every row is VALID and nothing failed.")
    ] = False,
    all_cells: Annotated[
        bool, typer.Option("--all-cells", help="Also cells that are no longer in the config.")
    ] = False,
    slo: Annotated[
        list[str] | None,
        typer.Option(
            "--slo",
            help="Objective of cells under load, instead of the config's, such as 'ttft.p95<=500ms'; repeat for more.",
        ),
    ] = None,
    duty_cycle: Annotated[
        float | None, typer.Option(help="Under load: share of the month for which the machine is on (scale to zero).")
    ] = None,
    starts_per_month: Annotated[
        float | None, typer.Option(help="Under load: how often it starts; each start takes the measured cold start.")
    ] = None,
    *,
    given: Given,
) -> None:
    """Recompute the tables from stored records: new prices need no new run."""
    from bench.cli import warn
    from bench.cli.breakeven import duty_of
    from bench.cli.choices import overridden
    from bench.cli.finish import check_strictly, rows_of_both
    from bench.errors import InputError, nearest
    from bench.plan.folder import read_plan, write_text
    from bench.report.render import FORMATS
    from bench.schema import CostChoices

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    asked, duty = _objectives(slo), duty_of(duty_cycle, starts_per_month)
    found: list[Row] = []
    under_load: list[ServingRow] = []
    for run in runs:
        plan = read_plan(run if run.is_dir() else run.parent, lambda _: None)
        planned = plan.cost if plan is not None else CostChoices()
        cost = overridden(planned, given)
        batches, loads = rows_of_both(run, cost, warn, all_cells, asked, duty)
        found += batches
        under_load += loads
    if not found and not under_load:
        raise InputError(f"{', '.join(str(run) for run in runs)}: no records; run the config first")
    for option, value in (("--slo", asked), ("--duty-cycle", duty)):
        if value and not under_load:
            raise InputError(f"{option}: no cell of {', '.join(str(run) for run in runs)} is under load; leave it out")
    text = _text(found, under_load, form, percentiles)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
    if strict:
        check_strictly([*found, *under_load])


def _objectives(texts: list[str] | None) -> "tuple[Slo, ...] | None":
    """Those of the command line; None where there are none. Raises InputError naming the option."""
    from bench.cli.under_load import objectives

    return objectives((), texts) or None


def _text(found: "Sequence[Row]", under_load: "Sequence[ServingRow]", form: str, percentiles: bool) -> str:
    """Both kinds of rows in one text: tables below each other, lines of one CSV, or a key `serving` in the JSON."""
    from bench.report.figures import flat
    from bench.report.render import as_csv, render

    width = shutil.get_terminal_size((120, 24)).columns
    if not under_load:
        return render(found, form, width=width, percentiles=percentiles)
    from bench.report.serving import plain
    from bench.report.serving.render import document, render_serving

    if form == "json":
        whole = json.loads(render(found, form)) | {"serving": document(under_load)}
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        return as_csv([*(flat(row) for row in found), *(plain.flat(row) for row in under_load)])
    tables = [render(found, form, width=width, percentiles=percentiles)] if found else []
    return "\n".join([*tables, render_serving(under_load, form, width, percentiles)])
