"""`bench claims [RUN…]`: market claims, each with its arithmetic, sources and verdict. Imports no engine."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.choices import OPTIONS, Given, with_cost_options

if TYPE_CHECKING:
    from datetime import date

    from bench.report.rows import Row
    from bench.schema import CostChoices

WITHOUT_RUN = ("as_of", "api_prices")
"""Options that mean something where no measured row is given."""


def add_to(app: typer.Typer) -> None:
    app.command(name="claims", epilog="Examples: bench claims   ·   bench claims results/local/quickstart --format md")(
        with_cost_options(claims)
    )


def claims(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders or journals: measured rows to hold beside the claims.")
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    *,
    given: Given,
) -> None:
    """Check what is said of token prices against dated data.

    GPT-4 at $4, prices 90 % below that, self-hosting at marginal cost, and hosts that are 10 to 100 times as fast.
    """
    from datetime import UTC, datetime

    from bench.claims.every import every
    from bench.claims.text import FORMATS, render
    from bench.cli.choices import overridden
    from bench.errors import InputError, nearest
    from bench.plan.folder import write_text
    from bench.schema import CostChoices

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    if not runs:
        _check_without_run(given)
    choices = [_choices(run, given) for run in runs or ()] or [overridden(CostChoices(), given, uses_apis=False)]
    rows = [row for run, cost in zip(runs or (), choices, strict=False) for row in _rows(run, cost)]
    as_of = _one_day(choices)
    found = every(rows, as_of, tuple(dict.fromkeys(path for cost in choices for path in cost.api_price_files)))
    day = as_of or datetime.now(UTC).date()
    text = render(found, form, day, width=shutil.get_terminal_size((120, 24)).columns)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")


def _choices(run: Path, given: Given) -> "CostChoices":
    """What the run's config says of prices, with the options over it."""
    from bench.cli.choices import overridden
    from bench.plan.folder import read_plan
    from bench.schema import CostChoices

    plan = read_plan(run if run.is_dir() else run.parent, lambda _: None)
    return overridden(plan.cost if plan is not None else CostChoices(), given)


def _one_day(choices: "Sequence[CostChoices]") -> "date | None":
    """The day of all rows; where they differ it is today, and each row says its own."""
    days = {cost.as_of for cost in choices}
    return days.pop() if len(days) == 1 else None


def _rows(run: Path, cost: "CostChoices") -> "list[Row]":
    """Raises InputError where there is nothing to hold beside the claims."""
    from bench.cli import warn
    from bench.entries.runs import rows_of
    from bench.errors import InputError

    found = rows_of(run, cost, warn)
    if not found:
        raise InputError(f"{run}: no records; run its config first")
    return found


def _check_without_run(given: Mapping[str, Any]) -> None:
    """An option that prices measured rows would do nothing."""
    from bench.errors import InputError

    for name, value in given.items():
        if value and name not in WITHOUT_RUN:
            option = OPTIONS.get(name, "--" + name.replace("_", "-"))
            raise InputError(f"{option}: prices measured rows, and none is given; name a RUN, or leave it out")
