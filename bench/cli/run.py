"""`bench run CONFIG`: measure what is missing, then print the table."""

import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.schema import Cell, Sweep

MAX_CELLS = 1000


def add_to(app: typer.Typer) -> None:
    app.command(name="run", epilog="Example: bench run configs/quickstart.yaml --usd-per-hour 0.40")(
        with_cost_options(run)
    )


def run(
    config: Annotated[Path, typer.Argument(help="A YAML file: the matrix to measure.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of this run. Default: results/local/NAME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set stored results aside and measure everything anew.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this cell alone (its id, or how it begins); repeat for more.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Go on until the 95% intervals are within this share, such as 0.03.")
    ] = None,
    budget_s: Annotated[
        float | None, typer.Option(help="Seconds for one cell's replicates, whatever the target.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 3 unless every row is VALID and nothing failed.")
    ] = False,
    slo: Annotated[
        list[str] | None,
        typer.Option(help="Objective of a load, such as 'ttft_s.p99<=0.5'; in the config's place, repeat for more."),
    ] = None,
    find_max: Annotated[
        bool, typer.Option("--find-max", help="Search for the highest load that meets the objectives.")
    ] = False,
    max_spend: Annotated[
        float | None, typer.Option(help="With --billed-as: USD that this run's folder may cost, at most.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Afterwards profile each cell in a process of its own: why is it slow?")
    ] = False,
    max_cells: Annotated[int, typer.Option(help="Refuse a larger matrix.", min=1)] = MAX_CELLS,
    *,
    given: Given,
) -> None:
    """Measure every cell of a config, price it, and compare it with APIs. The same command goes on where it stopped."""
    from bench.cli import COMMAND, passes, under_load, warn
    from bench.cli.choices import overridden, sampled
    from bench.cli.finish import check_strictly, print_and_write
    from bench.cli.watch import TerminalWatcher, duration
    from bench.errors import InputError
    from bench.execute import run as execution
    from bench.execute.under_load import SpentError
    from bench.plan import expand, folder, read
    from bench.store import Journal

    sweep = read.sweep(config)
    cost = under_load.with_limit(overridden(sweep.cost, given), max_spend)
    said = {"cost": cost, "slo": under_load.objectives(sweep.slo, slo)}
    sweep = sweep.model_copy(update={**said, "sampling": sampled(sweep.sampling, target, budget_s)})
    if not only:
        _check_size(sweep, config, max_cells)
    cells = list(expand.cells(sweep))
    quality = passes.quality_passes(sweep, only)
    chosen = _chosen(cells, quality.planned, only)
    _check_fit(chosen)
    if find_max:
        from bench.execute import search

        search.check(chosen, sweep.slo)
    folder_of_run = out or Path("results/local") / sweep.name
    if dry_run:
        _show_plan(chosen, sweep, folder_of_run, passes.lines(quality), len(quality.chosen))
        return
    under_load.check_access(chosen)
    if fresh:
        folder.set_aside(folder_of_run)
    watcher = TerminalWatcher(sys.stderr)
    warn_once = _once(warn)  # the journal is read before the run and after it
    with Journal(folder_of_run) as journal:
        folder.write_plan(folder_of_run, sweep, cells, config, quality.planned)
        known = execution.stored(folder_of_run, chosen, warn_once)
        measured = known.measured
        if known.others:
            watcher.say(
                f"{known.others} stored measurements of another machine or version are kept and not counted "
                f"(other {', '.join(known.differs)})"
            )
        purse = under_load.purse(cost, folder_of_run)
        kept = execution.salvaged(known, journal, purse)
        if kept:
            watcher.say(f"runs that were killed under load: {kept}; kept as crashed, with the requests they had")
        failed = sum(len(one.failures) for one in measured.values())
        if retry_failed:
            for one in measured.values():
                one.forget_failures()
        elif failed:
            watcher.say(f"{failed} of the stored measurements failed; --retry-failed runs them again")
        before = sum(len(one.replicates) for one in measured.values())
        if before:
            rest = "" if any(one.stop(sweep) is None for one in measured.values()) else ", nothing is left to measure"
            watcher.say(f"{before} measurements are already in {folder_of_run}{rest}")
        _ceilings(chosen, folder_of_run, watcher.say)
        _prepare([cell for cell in chosen if measured[cell.cell_id].stop(sweep) is None], watcher.say)
        try:
            paid = [f" --billed-as {given['billed_as']}"] if given.get("billed_as") else []
            paid += [] if max_spend is None else [f" --max-spend {max_spend:g}"]
            searched = [" --find-max", *(f" --slo {shlex.quote(one)}" for one in slo or ())] if find_max else []
            planned = frozenset(cell.cell_id for cell in [*cells, *quality.planned])
            command = partial(_command, config, target, budget_s, planned, "".join(paid), "".join(searched))
            bench = execution.Bench(journal, sweep, watcher, command, purse)
            quality.run(bench, retry_failed, warn_once)
            if find_max:
                replan = partial(folder.write_plan, folder_of_run, sweep, config=config)
                search.run(chosen, measured, bench, lambda known: replan(cells=_with(known, cells)))
            else:
                execution.run(chosen, sweep, measured, journal, watcher, command, purse)
            if explain:
                passes.profiles(chosen, measured, bench, retry_failed, warn_once)
        except SpentError as spent:
            watcher.say(spent.lines[0])
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is stored: one more must not change the exit code
            watcher.clear()
            watcher.say(f"stopped; everything measured is in {folder_of_run}, and the same command goes on from there")
            raise
    if watcher.records:
        watcher.say(f"measured in {duration(watcher.elapsed_s())}; records are in {folder_of_run}/records.jsonl")
    found = print_and_write(folder_of_run, cost, warn_once)
    print(f"\nto show: {COMMAND} report {folder_of_run} -o {folder_of_run}/report.html   (one page, with charts)")
    print(
        f"next: {COMMAND} report {folder_of_run} --usd-per-hour 1.00 --api openai/gpt-5-mini   (new prices, no new run)"
    )
    if not chosen and not quality.any_is_stored(folder_of_run, warn_once):
        raise InputError(f"{folder_of_run}: no quality pass came to a result; --retry-failed runs them again")
    if chosen and not any(row.figures is not None for row in found):
        raise InputError(f"{folder_of_run}: no cell could be measured; the reasons stand under the table")
    if strict:
        check_strictly(found)


def _once(warn: Callable[[str], None]) -> Callable[[str], None]:
    """`warn`, that says nothing twice."""
    said: set[str] = set()

    def warn_once(message: str) -> None:
        if message not in said:
            said.add(message)
            warn(message)

    return warn_once


def _chosen(cells: list["Cell"], scored: list["Cell"], only: list[str] | None) -> list["Cell"]:
    """The cells to measure. Raises InputError for an id that no cell and no quality pass (`scored`) has."""
    from bench.errors import InputError, nearest

    if not only:
        return cells
    for name in only:
        if not name or not any(cell.cell_id.startswith(name) for cell in [*cells, *scored]):
            known = [cell.cell_id for cell in [*cells, *scored]]
            raise InputError(f"--only: no cell {name!r} in this config; {nearest(name, known)}")
    return [cell for cell in cells if cell.cell_id.startswith(tuple(only))]


def _with(known: "Sequence[Cell]", cells: list["Cell"]) -> list["Cell"]:
    """The cells of a search, and those of the config that it leaves out."""
    ids = {cell.cell_id for cell in known}
    return [*known, *(cell for cell in cells if cell.cell_id not in ids)]


def _command(
    config: Path,
    target: float | None,
    budget_s: float | None,
    planned: frozenset[str],
    paid: str,
    searched: str,
    cell: "Cell",
) -> str:
    """What to type to measure a cell again; of a level that a search came to, the search. Of a path outside the
    working directory only the name: records are published, and paths name people."""

    def said(path: Path) -> str:
        return shlex.quote(str(path) if not path.is_absolute() and ".." not in path.parts else path.name)

    given = {"--target": target, "--budget-s": budget_s}
    options = "".join(f" {name} {value:g}" for name, value in given.items() if value is not None)
    which = f" --only {cell.cell_id}" if cell.cell_id in planned else searched
    return f"bench run {said(config)}{which}{options}{paid} --out results/local/{cell.cell_id}"


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
    from bench.schema.precision import label

    problems = []
    for cell in cells:
        problem = None if cell.traffic is not None else fit.problem(cell)
        if problem is not None:
            work = cell.workload
            name = f"{catalogue.label(cell.model)} {label(cell.precision)}, batch {work.batch_size}"
            problems.append(f"{name}: {problem.failure.reason}; {problem.failure.remedy}")
    if problems and len(problems) == len(cells):
        raise InputError(*problems)
    for line in problems:
        warn(line)


def _show_plan(cells: list["Cell"], sweep: "Sweep", target: Path, scored: list[str], to_score: int) -> None:
    from bench.cli import under_load
    from bench.models import catalogue
    from bench.schema.precision import label

    seen: dict[str, set[str]] = {}
    for cell in cells:
        for key, value in cell.runner.options.items():
            seen.setdefault(key, set()).add(str(value))
    differing = sorted(key for key, values in seen.items() if len(values) > 1)
    for cell in cells:
        work = cell.workload
        cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
        telling = [f"  {key}={cell.runner.options[key]}" for key in differing if key in cell.runner.options]
        telling += [f"  arm {cell.arm}"] if sweep.arms > 1 else []
        load = f"batch {work.batch_size}" if cell.traffic is None else cell.traffic.label()
        print(
            f"{cell.cell_id}  {catalogue.label(cell.model)}  {cell.runner.name}  {label(cell.precision)}  "
            f"{load}  {work.input_tokens} in{cached}  {work.output_tokens} out{''.join(telling)}"
        )
    for line in [*scored, *under_load.bill_lines(cells, sweep)]:
        print(line)
    enough = sweep.sampling
    passes = "" if not to_score else f", and {to_score} quality {'pass' if to_score == 1 else 'passes'}"
    print(
        f"{len(cells)} cells × {sweep.replicates} replicates = {len(cells) * sweep.replicates} processes at least"
        f"{passes}, into {target}; then on until each is within ±{enough.target:.2%}, or has taken "
        f"{enough.budget_s:g} s or {enough.max_replicates} replicates"
    )


def _ceilings(cells: list["Cell"], folder_of_run: Path, say: Callable[[str], None]) -> None:
    """Have this machine's ceilings in the run's folder, unless only engines without a device of theirs run."""
    from bench import runners
    from bench.execute import ceilings

    if any(runners.find(cell.runner.name).ENGINE for cell in cells):
        ceilings.ensure(folder_of_run, say)


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
