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
    from bench.cli.passes import QualityPasses
    from bench.cli.suite import Member
    from bench.report.rows import Row
    from bench.report.serving.row import ServingRow
    from bench.schema import Cell, CostChoices

MAX_CELLS = 1000


def add_to(app: typer.Typer) -> None:
    app.command(name="run", epilog="Example: bench run configs/quickstart.yaml --usd-per-hour 0.40")(
        with_cost_options(run)
    )


def run(
    config: Annotated[
        Path, typer.Argument(help="A YAML file: the matrix to measure, or a suite of such files.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of this run. Default: results/local/NAME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set stored results aside and measure everything anew.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure this cell alone (its id, or how it begins), or this member of a suite; repeat for more."
        ),
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
    budget_hours: Annotated[
        float | None, typer.Option(help="Of a suite: hours that it may take, over all sessions.")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="Of a suite: USD that its hours and its paid endpoints may cost.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="Run the cells on a cluster: ray://HEAD[:PORT], ray (that of this machine), slurm[:PARTITION].",
            metavar="<cluster>",
        ),
    ] = None,
    wait_s: Annotated[
        float | None, typer.Option(help="With --on: seconds to wait for nodes that can run what is left.", min=0)
    ] = None,
    *,
    given: Given,
) -> None:
    """Measure every cell of a config, or of a suite of them, price it, and compare it with APIs. The same command goes
    on where it stopped.
    """
    from bench.cli import suite
    from bench.execute.interrupts import interrupts

    interrupts.take_in(signal.SIGTERM)
    if on is None and wait_s is not None:
        _say("--wait-s: does nothing without --on")
    if suite.is_one(config):
        if on is not None:
            _say(f"{config}: a suite runs on one machine; give its configs to --on one by one")
        suite.run(
            suite.Asked(config, out, dry_run, fresh, retry_failed, only, target, budget_s, strict, explain, max_cells),
            suite.budget_given(budget_hours, budget_usd),
            given,
            {"--slo": slo, "--find-max": find_max, "--max-spend": max_spend},
        )
        return
    suite.refuse_budget(config, budget_hours, budget_usd)
    measure(
        config,
        out=out,
        dry_run=dry_run,
        fresh=fresh,
        retry_failed=retry_failed,
        only=only,
        target=target,
        budget_s=budget_s,
        strict=strict,
        slo=slo,
        find_max=find_max,
        max_spend=max_spend,
        explain=explain,
        max_cells=max_cells,
        given=given,
        on=on,
        wait_s=wait_s,
    )


def _say(line: str) -> None:
    from bench.errors import InputError

    raise InputError(line)


def measure(
    config: Path,
    *,
    out: Path | None,
    dry_run: bool = False,
    fresh: bool = False,
    retry_failed: bool = False,
    only: list[str] | None = None,
    target: float | None = None,
    budget_s: float | None = None,
    strict: bool = False,
    slo: list[str] | None = None,
    find_max: bool = False,
    max_spend: float | None = None,
    explain: bool = False,
    max_cells: int = MAX_CELLS,
    given: Given,
    member: "Member | None" = None,
    on: str | None = None,
    wait_s: float | None = None,
) -> None:
    """What `bench run` does with one config; of a suite, with its `member`, whose choices and budget then count."""
    from bench.cli import fleet, passes, run_plan, under_load, warn
    from bench.cli.choices import overridden, sampled
    from bench.cli.finish import check_strictly
    from bench.cli.watch import TerminalWatcher, duration
    from bench.execute import fetched
    from bench.execute import run as execution
    from bench.execute.under_load import SpentError
    from bench.plan import expand, folder, read, suite_folder
    from bench.store import Journal

    sweep = read.sweep(config, on is None) if member is None else member.sweep
    cost = under_load.with_limit(overridden(sweep.cost, given), max_spend)
    said = {"cost": cost, "slo": under_load.objectives(sweep.slo, slo)}
    sweep = sweep.model_copy(update={**said, "sampling": sampled(sweep.sampling, target, budget_s)})
    if not only:
        run_plan.check_size(sweep, config, max_cells)
    cells = list(expand.cells(sweep))
    quality = passes.quality_passes(sweep, only)
    chosen = _chosen(cells, quality.planned, only)
    machine = None if on is not None or dry_run else fleet.here(sweep, warn, config)
    if on is not None:
        fleet.check(on, chosen, cost, find_max)
    else:
        run_plan.check_fit(chosen)
    if find_max:
        from bench.execute import search

        search.check(chosen, sweep.slo)
    folder_of_run = out or Path("results/local") / sweep.name
    suite_folder.refuse(folder_of_run)
    if dry_run:
        machines = fleet.lines(sweep, len(chosen))
        run_plan.show_plan(chosen, sweep, folder_of_run, [*passes.lines(quality), *machines], len(quality.chosen))
        return
    cluster = None if on is None else fleet.connected(on, warn)
    if cluster is None:
        under_load.check_access(chosen)
    if fresh:
        folder.set_aside(folder_of_run)
    warn_once = _once(warn)  # the journal is read before the run and after it
    planned = frozenset(cell.cell_id for cell in [*cells, *quality.planned])
    if cluster is not None:
        asked = fleet.Asked(on or "", wait_s, chosen, quality, folder_of_run, retry_failed, explain)
        replan = partial(folder.write_plan, folder_of_run, sweep, cells, config, quality.planned)
        command = partial(_command, config, target, budget_s, planned, f" --on {fleet.shown(on or '')}", "")
        left = fleet.run(asked, cluster, sweep, replan, command, warn_once)
        found = _finished(folder_of_run, cost, chosen, quality, warn_once, member is None)
        if strict:
            fleet.check_none_left(left)
            check_strictly(found)
        return
    watcher = TerminalWatcher(sys.stderr)
    with Journal(folder_of_run) as journal:
        folder.write_plan(folder_of_run, sweep, cells, config, quality.planned)
        known = execution.stored(folder_of_run, chosen, warn_once, machine)
        measured = known.measured
        if known.others:
            watcher.say(
                f"{known.others} stored measurements of another machine or version are kept and not counted "
                f"(other {', '.join(known.differs)})"
            )
        purse = under_load.purse(cost, folder_of_run)
        if purse is not None and member is not None:
            purse.option = member.money
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
        fetched.fetch([cell for cell in chosen if measured[cell.cell_id].stop(sweep) is None], watcher.say)
        try:
            paid = [f" --billed-as {given['billed_as']}"] if given.get("billed_as") else []
            paid += [] if max_spend is None else [f" --max-spend {max_spend:g}"]
            searched = [" --find-max", *(f" --slo {shlex.quote(one)}" for one in slo or ())] if find_max else []
            command = partial(_command, config, target, budget_s, planned, "".join(paid), "".join(searched))
            limit = None if member is None else member.limit
            bench = execution.Bench(journal, sweep, watcher, command, purse, limit, machine)
            quality.run(bench, retry_failed, warn_once)
            if find_max:
                replan = partial(folder.write_plan, folder_of_run, sweep, config=config)
                search.run(chosen, measured, bench, lambda known: replan(cells=_with(known, cells)))
            else:
                execution.run(chosen, sweep, measured, journal, watcher, command, purse, limit, machine)
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
    found = _finished(folder_of_run, cost, chosen, quality, warn_once, member is None)
    if strict:
        check_strictly(found)


def _finished(
    folder_of_run: Path,
    cost: "CostChoices",
    chosen: list["Cell"],
    quality: "QualityPasses",
    warn: Callable[[str], None],
    is_by_itself: bool,
) -> "list[Row | ServingRow]":
    """The table, and what to do next. Returns its rows; raises InputError where nothing at all was measured."""
    from bench.cli.finish import print_and_write
    from bench.errors import InputError

    found = print_and_write(folder_of_run, cost, warn)
    if is_by_itself:
        _say_next(folder_of_run)
    if not chosen and not quality.any_is_stored(folder_of_run, warn):
        raise InputError(f"{folder_of_run}: no quality pass came to a result; --retry-failed runs them again")
    if chosen and not any(row.figures is not None for row in found):
        raise InputError(f"{folder_of_run}: no cell could be measured; the reasons stand under the table")
    return found


def _say_next(folder_of_run: Path) -> None:
    """What to do with the records."""
    from bench.cli import COMMAND

    print(f"\nto show: {COMMAND} report {folder_of_run} -o {folder_of_run}/report.html   (one page, with charts)")
    print(
        f"next: {COMMAND} report {folder_of_run} --usd-per-hour 1.00 --api openai/gpt-5-mini   (new prices, no new run)"
    )


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


def _ceilings(cells: list["Cell"], folder_of_run: Path, say: Callable[[str], None]) -> None:
    """Have this machine's ceilings in the run's folder, unless only engines without a device of theirs run."""
    from bench import runners
    from bench.execute import ceilings

    if any(runners.find(cell.runner.name).ENGINE for cell in cells):
        ceilings.ensure(folder_of_run, say)
