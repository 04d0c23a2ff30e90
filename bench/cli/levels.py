"""What `bench compare RUN --by precision` does: every level of a run in one table, its chart, and what to ship."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.cli.choices import Given
    from bench.cli.sides import Side
    from bench.report.rows import Row

BY = ("precision",)
OF_APIS = {"api": "--api", "api_cached_share": "--api-cached-share", "api_prices": "--api-prices"}


def check_by(by: str, others: Mapping[str, Any], given: "Given") -> None:
    """Raises InputError for a key that is no dimension, and for what makes no sense beside it."""
    from bench.errors import InputError, nearest

    if by not in BY:
        raise InputError(f"--by: unknown key {by!r}; {nearest(by, BY)}")
    for name, value in others.items():
        if value is not None:
            what = (
                "the levels of one run are compared with each other" if name == "B" else "it is for two runs, A and B"
            )
            raise InputError(f"{name}: not with --by {by}: {what}; leave it out")
    for key, name in OF_APIS.items():
        if given.get(key) is not None:
            raise InputError(f"{name}: not with --by {by}: `bench report` compares with APIs; leave it out")


def check_without(own: Mapping[str, Any], given: "Given") -> None:
    """Raises InputError for an option that only a comparison of levels has."""
    from bench.cli.choices import OPTIONS
    from bench.errors import InputError

    parameters = {name: "--" + name.replace("_", "-") for name in given} | {
        "hardware_prices": OPTIONS["hardware_price_files"]
    }
    said = [*own.items(), *((parameters[name], value) for name, value in given.items())]
    for name, value in said:
        if value is not None:
            raise InputError(f"{name}: only with --by precision, which compares the levels of one run")


def compare_levels(
    a: str,
    reference: str | None,
    batch_size: int | None,
    tolerance: str | None,
    chart: Path | None,
    form: str,
    out: Path | None,
    given: "Given",
) -> None:
    """Print or write the tables, and draw the chart. Raises InputError naming the option."""
    from bench.cli import sides, warn
    from bench.cli.choices import overridden
    from bench.entries.runs import rows_of
    from bench.errors import InputError, nearest
    from bench.plan.folder import read_plan, write_text
    from bench.report.levels import charts, compare, render
    from bench.schema import CostChoices

    if form not in render.FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, render.FORMATS)}")
    if chart is not None and chart.suffix.lower() != ".svg":
        raise InputError(f"--chart: {chart} is no .svg file; write a name such as levels.svg")
    limit = None if tolerance is None else nats(tolerance)
    side = sides.Side.parse("A", a)
    plan = read_plan(side.path if side.path.is_dir() else side.path.parent, lambda _: None)
    cost = overridden(plan.cost if plan is not None else CostChoices(), given)
    rows = rows_of(side.path, cost, warn)
    if not rows:
        raise InputError(f"A: {side.path} holds no cell that was timed; run its config first")
    kept = _chosen(side, rows)
    measured = sides.measured_cells(side.path, lambda _: None)
    found = compare.levels(kept, reference, batch_size, limit, measured)
    if chart is not None:
        charts.write(found, chart)
    if out is not None:
        write_text(out, render.render_levels(found, form))
    else:
        print(render.render_levels(found, form, shutil.get_terminal_size((120, 24)).columns), end="")


def _chosen(side: "Side", rows: "list[Row]") -> "list[Row]":
    """The rows that the filter leaves, failed ones too. Raises InputError for a key or a value that no row has."""
    from bench.cli import sides
    from bench.errors import InputError, nearest

    left = rows
    for key, value in side.wanted.items():
        options = {name for row in rows for name in row.cell.runner.told()}
        known = sides.keys_of([row.machine for row in rows], options)
        if key not in known:
            raise InputError(f"{side.option}: unknown key {key!r}; {nearest(key, known)}")
        left = [row for row in left if sides.is_said(row.cell, key, value, row.machine)]
        if not left:
            values = {text for row in rows for text in sides.texts_of(row.cell, key, row.machine)}
            raise InputError(f"{side.option}: no cell with {key}={value} in {side.path}; {nearest(value, values)}")
    return left


def nats(text: str) -> float:
    """A tolerance in nats a token: `0.02`, or `2%` of the perplexity, which is ln 1.02.

    >>> nats("0.02"), round(nats("2%"), 4)
    (0.02, 0.0198)
    """
    from bench.errors import InputError

    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"--tolerance: {text!r} is no loss of 0 or more; write 0.02 (nats a token) or 2% (perplexity)")
    return math.log1p(value / 100) if stripped.endswith("%") else value
