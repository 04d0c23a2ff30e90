"""`bench project RUN… --onto PART`: measured rows carried to other hardware. Imports no engine."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.schema import CostChoices
    from bench.whatif.carry import Asked, Projected
    from bench.whatif.source import Source
    from bench.whatif.target import Target

RUNS_HELP = "Run folders, or journals (records.jsonl)."
ONTO_HELP = (
    "A part such as L4, a ceilings.json, or a run folder with one; PART=USD states the price of one for an hour."
)


def add_to(app: typer.Typer) -> None:
    app.command(
        name="project",
        epilog="Examples: bench project results/h100 --onto L4 --onto 'MI300X=1.99'   ·   "
        "bench project results/h100 results/l4 --check",
    )(with_cost_options(project))


def project(
    runs: Annotated[list[Path], typer.Argument(help=RUNS_HELP, show_default=False)],
    onto: Annotated[list[str] | None, typer.Option(help=ONTO_HELP + " Repeat for more.")] = None,
    devices: Annotated[int | None, typer.Option(help="So many of the part; default: as many as it takes.")] = None,
    row: Annotated[int | None, typer.Option(help="Only this row, as `bench report` of the same runs counts.")] = None,
    memory_share: Annotated[float, typer.Option(help="Share of a device's memory that may be used.")] = 0.9,
    check: Annotated[
        bool, typer.Option("--check", help="Carry equal cells of two machines to each other: how far off is it?")
    ] = False,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    *,
    given: Given,
) -> None:
    """Carry measured rows to other hardware through the roofline: an estimate, never a measurement.

    Decode by bandwidth, prefill by FLOP/s, at the shares of them (MBU, MFU) that the row reached where it was measured;
    memory decides whether it fits and how many devices it takes. --usd-per-hour prices the one target that is named,
    all of its devices together; what --cost says of the machine's price is that of the measured one.
    """
    from bench.cli import warn
    from bench.plan.folder import write_text
    from bench.whatif import pairs, project_text
    from bench.whatif.carry import Asked, carried, check_apis

    check_form(form)
    share = checked_share("--memory-share", memory_share)
    found = sources(runs, {**given, "usd_per_hour": None, "provider": None, "price_kind": None}, warn)
    chosen = found if row is None else [_row(found, row)]
    usable(chosen)
    targets = targets_of(onto or (), devices, given, warn)
    if not targets and not check:
        from bench.errors import InputError

        raise InputError("--onto: name the hardware, such as --onto L4; or --check with the runs of two machines")
    choices = {id(one): priced(one.cost, given) for one in chosen}
    for one in chosen:
        check_apis(one, choices[id(one)])
    projected = [
        pairs.held_against(carried(one, target, Asked(choices[id(one)], devices, share)), found)
        for one in chosen
        for target in targets
    ]
    if check:
        projected += _checked(chosen, lambda one: Asked(choices[id(one)]))
    text = project_text.render(projected, form, width=shutil.get_terminal_size((120, 24)).columns)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")


def check_form(form: str) -> None:
    """Raises InputError for a format that there is not."""
    from bench.errors import InputError, nearest
    from bench.whatif.draw import FORMATS

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")


def sources(runs: Sequence[Path], given: Given, warn: Callable[[str], None]) -> list["Source"]:
    """The rows of all runs, numbered as `bench report` does, each with its ceiling. Raises InputError for none."""
    from bench.cli.choices import overridden
    from bench.entries.runs import rows_of
    from bench.errors import InputError
    from bench.hardware import ceiling
    from bench.plan.folder import read_plan
    from bench.schema import CostChoices
    from bench.whatif.source import Source

    found: list[Source] = []
    for run in runs:
        folder = run if run.is_dir() else run.parent
        plan = read_plan(folder, lambda _: None)
        cost = overridden(plan.cost if plan is not None else CostChoices(), given)
        rows = rows_of(run, cost, warn)
        if not any(row.figures is not None for row in rows):
            raise InputError(f"{run}: no measured row; run its config first")
        for row in rows:
            facts = None if row.figures is None else row.figures.facts
            known = None
            if facts is not None:
                known, _ = ceiling.of(folder, row.environment, facts)
            found.append(Source(row, len(found) + 1, known, cost))
    return found


def usable(found: Sequence["Source"]) -> None:
    """Raises InputError with the first reason where no row can be carried anywhere."""
    from bench.errors import InputError
    from bench.whatif.source import refusal

    reasons = [refusal(one) for one in found]
    if all(reason is not None for reason in reasons):
        numbers = ", ".join(str(one.number) for one in found)
        raise InputError(f"no row to carry (row {numbers}): {reasons[0]}")


def _row(found: Sequence["Source"], number: int) -> "Source":
    from bench.errors import InputError

    if not 1 <= number <= len(found):
        raise InputError(f"--row: there is no row {number}; `bench report` of the same runs counts 1 to {len(found)}")
    return found[number - 1]


def targets_of(onto: Sequence[str], devices: int | None, given: Given, warn: Callable[[str], None]) -> list["Target"]:
    """What --onto names. Raises InputError for what is not known, and for a number or a price that cannot be meant."""
    from bench.errors import InputError
    from bench.whatif import target

    if devices is not None and not 1 <= devices <= 1024:
        raise InputError(f"--devices: {devices} is not from 1 to 1024")
    found = [one for text in onto for one in target.parse(text, warn)]
    for one in found:
        if devices is not None and one.most is not None and devices > one.most:
            raise InputError(f"--devices: {one.name} is one machine; leave --devices out")
    unpriced = [one.name for one in found if one.usd_per_hour is None]
    if given.get("usd_per_hour") is not None and len(set(unpriced)) > 1:
        raise InputError("--usd-per-hour: one price for several targets; write --onto PART=USD for each")
    return found


def _checked(found: Sequence["Source"], asked: Callable[["Source"], "Asked"]) -> list["Projected"]:
    from bench.errors import InputError
    from bench.whatif import pairs

    both = pairs.both_ways(found, asked)
    if not both:
        raise InputError("--check: no two rows of equal cells on two machines; give the runs of both")
    return both


def priced(cost: "CostChoices", given: Given) -> "CostChoices":
    """Prices of the target: what a config or --cost says of the machine that was measured does not count there.

    `cost` has --cost in it already; what is cleared here must not come back out of the file.
    """
    from bench.cli.choices import overridden

    cleared = cost.model_copy(update={"usd_per_hour": None, "provider": None, "owned": None})
    return overridden(cleared, {**given, "cost": None})


def checked_share(option: str, share: float) -> float:
    """A share above 0 and at most 1. Raises InputError naming the option."""
    from bench.errors import InputError

    if not 0 < share <= 1:
        raise InputError(f"{option}: {share:g} is not above 0 and at most 1")
    return share
