"""`bench run CONFIG`: measure what is missing, then print the table."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.schema import Cell, Sweep

MAX_CELLS = 1000


def add_to(app: typer.Typer) -> None:
    app.command(name="run", epilog="Example: bench run configs/quickstart.yaml --usd-per-hour 0.40")(run)


def run(
    config: Annotated[Path, typer.Argument(help="A YAML file: the matrix to measure.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of this run. Default: results/local/NAME.")] = None,
    usd_per_hour: Annotated[float | None, typer.Option(help="What the machine costs, in USD per hour.")] = None,
    provider: Annotated[str | None, typer.Option(help="Take the hourly price from this provider.")] = None,
    api: Annotated[list[str] | None, typer.Option(help="provider/model to compare with; repeat for more.")] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="Share of its hours that the machine serves, 0 to 1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set stored results aside and measure everything anew.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    max_cells: Annotated[int, typer.Option(help="Refuse a larger matrix.", min=1)] = MAX_CELLS,
) -> None:
    """Measure every cell of a config, price it, and compare it with APIs. The same command goes on where it stopped."""
    from bench.cli import COMMAND, warn
    from bench.cli.choices import overridden
    from bench.cli.finish import print_and_write
    from bench.cli.watch import TerminalWatcher, duration
    from bench.errors import InputError
    from bench.execute import run as execution
    from bench.plan import expand, folder, read
    from bench.store import Journal

    sweep = read.sweep(config)
    cost = overridden(sweep.cost, usd_per_hour, provider, api, utilisation)
    sweep = sweep.model_copy(update={"cost": cost})
    _check_size(sweep, config, max_cells)
    cells = list(expand.cells(sweep))
    _check_fit(cells)
    jobs = list(expand.interleaved(cells, sweep.replicates))
    target = out or Path("results/local") / sweep.name
    if dry_run:
        _show_plan(cells, sweep, target)
        return
    if fresh:
        folder.set_aside(target)
    watcher = TerminalWatcher(sys.stderr)
    with Journal(target) as journal:
        folder.write_plan(target, sweep, cells, config)
        stored = execution.stored(target, warn)
        todo = execution.missing(jobs, stored, retry_failed)
        planned = {cell.cell_id for cell in cells}
        failed = {(one.cell.cell_id, one.replicate) for one in stored if one.status != "ok"}
        failed = {key for key in failed if key[0] in planned}
        if failed and not retry_failed:
            watcher.say(f"{len(failed)} of the stored measurements failed; --retry-failed runs them again")
        if len(todo) < len(jobs):
            watcher.say(f"{len(jobs) - len(todo)} of {len(jobs)} measurements are already in {target}")
        _prepare(execution.cells_of(todo), watcher.say)
        try:
            execution.run(todo, journal, sweep.timeout_s, watcher)
        except KeyboardInterrupt:
            watcher.clear()
            watcher.say(f"stopped; everything measured is in {target}, and the same command goes on from there")
            raise
    if todo:
        watcher.say(f"measured in {duration(watcher.elapsed_s())}; records are in {target}/records.jsonl")
    any_ok = print_and_write(target, cost, warn)
    print(f"\nnext: {COMMAND} report {target} --usd-per-hour 1.00 --api openai/gpt-5-mini   (new prices, no new run)")
    if not any_ok:
        raise InputError(f"{target}: no cell could be measured; the reasons stand under the table")


def _check_size(sweep: "Sweep", config: Path, max_cells: int) -> None:
    from bench.cli.watch import duration
    from bench.errors import InputError
    from bench.plan import expand

    count = expand.size(sweep)
    if count > max_cells:
        # 5 s is what a child with a tiny model takes on a CPU, most of it for importing torch.
        least = duration(count * sweep.replicates * 5.0)
        raise InputError(
            f"{config}: {count} cells × {sweep.replicates} replicates would take about {least} with a tiny model; "
            f"shorten the lists, or pass --max-cells {count}"
        )


def _check_fit(cells: list["Cell"]) -> None:
    """Say before anything is loaded what cannot fit. Raises InputError when nothing can."""
    from bench.cli import warn
    from bench.errors import InputError
    from bench.execute import fit
    from bench.models import catalogue

    problems = []
    for cell in cells:
        problem = fit.problem(cell)
        if problem is not None:
            work = cell.workload
            name = f"{catalogue.label(cell.model)} {cell.precision.name}, batch {work.batch_size}"
            problems.append(f"{name}: {problem.failure.reason}; {problem.failure.remedy}")
    if problems and len(problems) == len(cells):
        raise InputError(*problems)
    for line in problems:
        warn(line)


def _show_plan(cells: list["Cell"], sweep: "Sweep", target: Path) -> None:
    from bench.models import catalogue

    for cell in cells:
        work = cell.workload
        print(
            f"{cell.cell_id}  {catalogue.label(cell.model)}  {cell.runner.name}  {cell.precision.name}  "
            f"batch {work.batch_size}  {work.input_tokens} in  {work.output_tokens} out"
        )
    print(
        f"{len(cells)} cells × {sweep.replicates} replicates = {len(cells) * sweep.replicates} processes, into {target}"
    )


def _prepare(cells: list["Cell"], say: Callable[[str], None]) -> None:
    """Fetch what can be fetched before anything is timed."""
    from bench.execute import fit
    from bench.models import builtin, catalogue, hub

    for model in dict.fromkeys(cell.model for cell in cells):
        what = catalogue.kind(model)
        if what == "builtin":
            builtin.ensure(model.source.removeprefix("builtin:"), say)
        elif what == "hub":
            own = [cell for cell in cells if cell.model == model]
            hub.fetch(model, lambda own=own: any(fit.problem(cell) is None for cell in own), say)  # type: ignore[misc]
