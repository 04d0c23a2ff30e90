"""`bench breakeven RUN…`: from what utilisation and volume on self-hosting beats an API. Imports no engine."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.cli.sides import Side
    from bench.report.breakeven import Answer, Asked
    from bench.report.rows import Row
    from bench.schema import CostChoices


def add_to(app: typer.Typer) -> None:
    app.command(
        name="breakeven",
        epilog="Examples: bench breakeven results/local/quickstart --requests-per-month 1e6   ·   "
        "bench breakeven RUN:precision=nf4 --duty-cycle 0.25 --starts-per-month 60",
    )(with_cost_options(breakeven))


def breakeven(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run folders or journals; RUN:key=value,… for some of its cells.", show_default=False),
    ],
    row: Annotated[int | None, typer.Option(help="This row, as `bench report` of the same runs numbers them.")] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="Every row with dollars; without it the best one against its cheapest API.")
    ] = False,
    requests_per_month: Annotated[
        list[float] | None, typer.Option(help="What this many requests a month cost; repeat for more.")
    ] = None,
    max_utilisation: Annotated[
        float, typer.Option(help="How full a replica may be planned, above 0 and at most 1.")
    ] = 1.0,
    duty_cycle: Annotated[
        float | None, typer.Option(help="Share of the month for which the machine is on (scale to zero).")
    ] = None,
    starts_per_month: Annotated[
        float | None, typer.Option(help="How often it starts; each start takes the row's measured cold start.")
    ] = None,
    text: Annotated[
        str, typer.Option(help="Kind of text for dollars per character: prose, code, data or languages.")
    ] = "prose",
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    *,
    given: Given,
) -> None:
    """From what utilisation and monthly volume on self-hosting is cheaper than an API, or never.

    For the same requests: dollars here and at APIs, volumes with whole replicas, a utilisation sweep, other prices of
    the hour, and a machine that is not always on. The keys of a cell filter are those of `bench compare`.
    """
    from bench.errors import InputError, nearest
    from bench.plan.folder import write_text
    from bench.report.breakeven import Asked
    from bench.report.breakeven_text import FORMATS, render

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    if row is not None and every_row:
        raise InputError("--row and --all contradict each other; keep one of them")
    asked = Asked(tuple(requests_per_month or ()), max_utilisation, duty_of(duty_cycle, starts_per_month), text)
    found = _answers(runs, row, every_row, asked, given)
    whole = render(found, form, width=shutil.get_terminal_size((120, 24)).columns)
    if out is not None:
        write_text(out, whole)
    else:
        print(whole, end="")


def duty_of(share: float | None, starts: float | None) -> tuple[float, float] | None:
    """Raises InputError where the machine sleeps and nobody says how often it wakes."""
    from bench.errors import InputError

    if share is None and starts is None:
        return None
    if starts is None:
        raise InputError("--duty-cycle: also say how often the machine starts, with --starts-per-month")
    return 1.0 if share is None else share, starts


def _answers(runs: Sequence[str], wanted: int | None, every_row: bool, asked: "Asked", given: Given) -> list["Answer"]:
    """The rows that were asked for, answered. Raises InputError where there is none with dollars."""
    from bench.cost import hourly
    from bench.report.breakeven import answer

    chosen = _chosen(_numbered(runs, given), wanted, every_row, ", ".join(runs))
    found = []
    for number, row, cost in chosen:
        facts = None if row.figures is None else row.figures.facts
        rates = [] if facts is None else hourly.alternatives(cost, row.environment, facts)
        found.append(answer(row, number, cost, asked, rates))
    return found


Numbered = tuple[int, "Row", "CostChoices"]


def _numbered(runs: Sequence[str], given: Given) -> list[tuple[Numbered, bool]]:
    """Every row of the runs with its number and its choices of cost, and whether its run's filter lets it pass."""
    from bench.cli import sides, warn
    from bench.cli.choices import overridden
    from bench.entries.runs import rows_of
    from bench.errors import InputError
    from bench.plan.folder import read_plan
    from bench.schema import CostChoices

    found: list[tuple[Numbered, bool]] = []
    for text in runs:
        side = sides.Side.parse("RUN", text)
        plan = read_plan(side.path if side.path.is_dir() else side.path.parent, lambda _: None)
        cost = overridden(plan.cost if plan is not None else CostChoices(), given)
        rows = rows_of(side.path, cost, warn)
        if not rows:
            raise InputError(f"{side.path}: no records; run its config first")
        passing = _passing(side, rows)
        found += [
            ((len(found) + at, row, cost), passes)
            for at, (row, passes) in enumerate(zip(rows, passing, strict=True), 1)
        ]
    return found


def _passing(side: "Side", rows: Sequence["Row"]) -> list[bool]:
    """Raises InputError for a key or a value that no cell has."""
    from bench.cli import sides
    from bench.errors import InputError, nearest

    passing = [True] * len(rows)
    for key, value in side.wanted.items():
        options = {name for row in rows for name in row.cell.runner.told()}
        known = sides.keys_of([row.machine for row in rows], options)
        if key not in known:
            raise InputError(f"{side.option}: unknown key {key!r}; {nearest(key, known)}")
        own = [sides.is_said(row.cell, key, value, row.machine) for row in rows]
        passing = [one and other for one, other in zip(passing, own, strict=True)]
        if not any(passing):
            values = {text for row in rows for text in sides.texts_of(row.cell, key, row.machine)}
            raise InputError(f"{side.option}: no cell with {key}={value} in {side.path}; {nearest(value, values)}")
    return passing


def _chosen(found: Sequence[tuple[Numbered, bool]], wanted: int | None, every_row: bool, runs: str) -> list[Numbered]:
    """One by its number, all with dollars, or the one that is the cheapest over its cheapest API."""
    from bench.cli import warn
    from bench.errors import InputError
    from bench.report import table
    from bench.report.breakeven import why_no_dollars

    if wanted is not None:
        if not 1 <= wanted <= len(found):
            rows = "row 1 alone" if len(found) == 1 else f"rows 1 to {len(found)}"
            raise InputError(f"--row: there is no row {wanted}; {runs} has {rows}")
        one, passes = found[wanted - 1]
        if not passes:
            raise InputError(f"--row: row {wanted} is not among {runs}; leave out the row or the filter")
        return [one]
    left = [each for each, passes in found if passes]
    priced: list[tuple[float, Numbered]] = []
    for one in left:
        cheapest = table.cheapest(one[1])
        if cheapest is not None:
            priced.append((cheapest.ratio.value, one))
        elif every_row:
            warn(f"row {one[0]} has no dollars and is left out: {why_no_dollars(one[1])}")
    if not priced:
        reasons = "; ".join(dict.fromkeys(why_no_dollars(row) for _, row, _ in left))
        raise InputError(f"{runs}: no row has dollars: {reasons}")
    return [one for _, one in priced] if every_row else [min(priced, key=lambda pair: pair[0])[1]]
