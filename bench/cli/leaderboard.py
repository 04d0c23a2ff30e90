"""`bench leaderboard results/`: runs of many machines in one table or page. Imports no engine."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.entries.entry import Report
    from bench.leaderboard.board import Board, Which

FORMATS = ("table", "md", "csv", "json", "html")
SHORT = {"table": 20, "md": 20}
"""Rows of each group where nobody says how many: of what people read line by line."""


def add_to(app: typer.Typer) -> None:
    app.command(
        name="leaderboard",
        epilog="Examples: bench leaderboard results/ --by usd_per_mtok --model '*llama*'   ·   "
        "bench leaderboard results/ -o leaderboard.html",
    )(with_cost_options(leaderboard))


def leaderboard(
    places: Annotated[
        list[Path],
        typer.Argument(help="Folders that hold run folders, run folders, or journals.", show_default=False),
    ],
    by: Annotated[
        str,
        typer.Option(
            help="usd_per_mtok, speed (tokens a second of one user), throughput (of the system), energy, "
            "quality (bits per byte), delta_nll or kl."
        ),
    ] = "usd_per_mtok",
    model: Annotated[str | None, typer.Option(help="Only these models; * and ? stand for anything.")] = None,
    precision: Annotated[str | None, typer.Option(help="Only these precisions; * and ? too.")] = None,
    hardware: Annotated[str | None, typer.Option(help="Only these machines; * and ? too.")] = None,
    runner: Annotated[str | None, typer.Option(help="Only these runners; * and ? too.")] = None,
    workload: Annotated[
        str | None, typer.Option(help="Only these workloads, as in the table: 'batch 4,*'; * and ? too.")
    ] = None,
    verdict: Annotated[
        str, typer.Option(help="valid: VALID rows; doubtful: with doubts too; all: also what failed, without a place.")
    ] = "doubtful",
    limit: Annotated[int | None, typer.Option(min=1, help="Rows of each group, at most; table and md: 20.")] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", help="table, md, csv, json or html; without it by the name of the file."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    *,
    given: Given,
) -> None:
    """Merge the runs of many machines, in groups that may be compared, each ranked by one figure.

    Places that the intervals cannot tell apart are shared.
    """
    from bench.cli import warn
    from bench.errors import InputError, nearest
    from bench.leaderboard.board import VERDICTS, board
    from bench.leaderboard.ranking import RANKINGS
    from bench.plan.folder import write_text
    from bench.report.rows import collector_off

    chosen = _format(form, out)
    if by not in RANKINGS:
        raise InputError(f"--by: unknown figure {by!r}; {nearest(by, RANKINGS)}")
    if verdict not in VERDICTS:
        raise InputError(f"--verdict: unknown choice {verdict!r}; {nearest(verdict, VERDICTS)}")
    wanted = {"model": model, "precision": precision, "hardware": hardware, "runner": runner, "workload": workload}
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        warn(message)

    with collector_off():
        report = _read(places, given, wanted, tell)
        made = board(report, RANKINGS[by], cast("Which", verdict), limit or SHORT.get(chosen))
        text = _text(report, made, chosen, told)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")


def _format(form: str | None, out: Path | None) -> str:
    """As asked, or by the end of the file's name."""
    from bench.errors import InputError, nearest

    if form is None:
        form = {".html": "html", ".md": "md", ".csv": "csv", ".json": "json"}.get(out.suffix if out else "", "table")
    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    if form == "html" and out is None:
        raise InputError("--format html: name a file for the page, with --out")
    return form


def _read(places: list[Path], given: Given, wanted: dict[str, str | None], tell: Callable[[str], None]) -> "Report":
    """Every entry of every run, each record once, filtered."""
    from dataclasses import replace

    from bench.cli.choices import overridden
    from bench.entries import load
    from bench.entries.doubles import scanned_below, without_doubles
    from bench.leaderboard.board import filtered

    found, versions = scanned_below(places, tell)
    with without_doubles(found) as paths:
        report = load.report(paths, lambda planned: overridden(planned, given), versions, title="Leaderboard")
    runs = tuple(str(one.run) for one in found)
    return replace(report, runs=runs, entries=tuple(filtered(report.entries, wanted)))


def _text(report: "Report", made: "Board", form: str, told: list[str]) -> str:
    from bench.leaderboard import tables
    from bench.leaderboard.board import as_report, page_places

    if form == "html":
        from dataclasses import replace

        from bench.page import document

        shown = replace(as_report(report, made), warnings=tuple(told))
        return document.render(shown, leaderboard=True, places=page_places(made), ranked=made.ranking.column)
    if form == "md":
        return tables.as_markdown(made)
    if form == "csv":
        return tables.as_lines(made)
    if form == "json":
        return tables.as_json(made, told)
    return tables.terminal(made, shutil.get_terminal_size((120, 24)).columns)
