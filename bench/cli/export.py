"""`bench export RUN`: stored records in another program's own file format. Imports no engine."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.choices import Given, with_cost_options

FORMATS = ("pytest-benchmark",)


def add_to(app: typer.Typer) -> None:
    app.command(
        name="export",
        epilog="Example: bench export results/local/quickstart --format pytest-benchmark -o quickstart.json",
    )(with_cost_options(export))


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a journal (records.jsonl).", show_default=False)],
    form: Annotated[str, typer.Option("--format", "-f", help="pytest-benchmark.")] = "pytest-benchmark",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    metric: Annotated[
        str, typer.Option(help="Which time of a round: e2el_s (all of it), ttft_s or tpot_s.")
    ] = "e2el_s",
    all_cells: Annotated[
        bool, typer.Option("--all-cells", help="Also cells that are no longer in the config.")
    ] = False,
    *,
    given: Given,
) -> None:
    """Write the timed rounds of static batches as a file that `pytest-benchmark compare` reads."""
    from bench.cli import warn
    from bench.cli.choices import overridden
    from bench.entries import load
    from bench.errors import InputError, nearest
    from bench.plan.folder import write_text
    from bench.publish import pytest_benchmark

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    if metric not in pytest_benchmark.METRICS:
        raise InputError(f"--metric: unknown time {metric!r}; {nearest(metric, pytest_benchmark.METRICS)}")
    found = load.report([run], lambda planned: overridden(planned, given), warn, all_cells=all_cells)
    text = pytest_benchmark.text(pytest_benchmark.document(found, run, metric, warn))
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
