"""`bench report RUN…`: the tables of stored records, with today's or any other prices. Imports no engine."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.entries.load import Loaded
    from bench.schema import CostChoices, Slo

FORMS = ("table", "md", "csv", "json", "latex", "html", "page")
ENDINGS = {".html": "page", ".htm": "page", ".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex"}
"""What a file's name says of its form; with columns or an order, .html is the fragment."""

ONE_TABLE = ("latex", "html")
"""Forms that are one table, its columns and order by option; md, csv and json are too where those are given."""


def add_to(app: typer.Typer) -> None:
    app.command(
        name="report",
        epilog="Example: bench report results/local/quickstart --usd-per-hour 0.40 --api openai/gpt-5-mini -o a.html",
    )(with_cost_options(report))


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs or suites, or journals (records.jsonl).", show_default=False)
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, md, csv, json, latex, html (a fragment) or page; without it the end of -o's name says (.html: "
            "page), else table.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="One table with these columns: names and sets, such as 'speed,usd_per_mtok,verdict'."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="One table in the order of these columns; -name turns the order around.")
    ] = None,
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
    """Recompute the tables from stored records, or write the page to show them: new prices need no new run."""
    from bench.cli import warn
    from bench.cli.breakeven import duty_of
    from bench.cli.choices import as_words, overridden
    from bench.cli.finish import check_strictly
    from bench.entries import load
    from bench.errors import InputError
    from bench.plan import suite_folder
    from bench.plan.folder import write_text

    runs = [own for run in runs for own in suite_folder.members(run)]
    shown = _form(form, out, columns is not None or sort is not None)
    if percentiles and (shown in (*ONE_TABLE, "page") or columns is not None or sort is not None):
        raise InputError(f"--percentiles: is of table and md; {_instead(shown)}")
    asked, duty = _objectives(slo), duty_of(duty_cycle, starts_per_month)

    days = []

    def choose(planned: "CostChoices") -> "CostChoices":
        chosen = overridden(planned, given)
        days.append(chosen.as_of)
        return chosen

    found = load.read(runs, choose, warn, all_cells=all_cells, slo=asked, duty=duty)
    for option, value in (("--slo", asked), ("--duty-cycle", duty)):
        if value and not found.loads:
            raise InputError(f"{option}: no cell of {', '.join(str(run) for run in runs)} is under load; leave it out")
    if shown == "page":
        from bench.page.document import render as page

        said = {**given, "slo": slo, "duty_cycle": duty_cycle, "starts_per_month": starts_per_month}
        if not any(days):
            said["as_of"] = found.day.isoformat()  # tomorrow's prices are others
        text = page(replace(load.assembled(found), options=as_words({**said, "all_cells": all_cells})))
    elif columns is not None or sort is not None or shown in ONE_TABLE:
        from bench.publish.tables import render as one_table

        text = one_table(load.assembled(found), shown, columns, sort)
    else:
        text = _text(found, shown, percentiles)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        if shown == "page" and str(out) != "-":
            print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser; it needs nothing else")
    if strict:
        check_strictly([*found.batches, *found.loads])


def _form(form: str | None, out: Path | None, one_table: bool) -> str:
    """What was asked for, by name or by the name of the file. Raises InputError naming the option."""
    from bench.errors import InputError, nearest

    if form is None:
        ending = ENDINGS.get(out.suffix.lower() if out is not None else "")
        if one_table:
            return {"page": "html"}.get(ending or "", ending or "md")
        return ending or "table"
    if form not in FORMS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMS)}")
    if one_table and form in ("table", "page"):
        raise InputError(f"--format: {form} has its own columns and order; with --columns or --sort, write md, csv, …")
    return form


def _instead(shown: str) -> str:
    return "the page has them in its charts" if shown == "page" else "here --columns latency has them"


def _objectives(texts: list[str] | None) -> "tuple[Slo, ...] | None":
    """Those of the command line; None where there are none. Raises InputError naming the option."""
    from bench.cli.under_load import objectives

    return objectives((), texts) or None


def _text(found: "Loaded", form: str, percentiles: bool) -> str:
    """Every kind of rows in one text: tables below each other, lines of one CSV, or keys of their own in the JSON."""
    from bench.report.figures import flat
    from bench.report.render import as_csv, json_text, render

    width = shutil.get_terminal_size((120, 24)).columns
    batches, loads = found.batches, found.loads
    if batches and not loads and not found.imports:
        return render(batches, form, width=width, percentiles=percentiles)
    from bench.entries import imported_text
    from bench.report.serving import plain
    from bench.report.serving.render import document, render_serving

    if form == "json":
        whole = json.loads(render(batches, form))
        whole |= {"serving": document(loads)} if loads else {}
        whole |= {"imported": imported_text.document(found.imports, found.blends)} if found.imports else {}
        return json_text(whole)
    if form == "csv":
        lines = [*(flat(row) for row in batches), *(plain.flat(row) for row in loads)]
        return as_csv([*lines, *(imported_text.flat(one, found.blends) for one in found.imports)])
    tables = [render(batches, form, width=width, percentiles=percentiles)] if batches else []
    tables += [render_serving(loads, form, width, percentiles)] if loads else []
    tables += [imported_text.render(found.imports, form, width, found.blends)] if found.imports else []
    return "\n".join(tables)
