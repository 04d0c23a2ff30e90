"""`bench compare A B`: is B faster or slower than A? `bench compare RUN --by precision`: which level to ship?

Ratios with intervals from stored records; imports no engine.
"""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.report.comparison import Compared

THRESHOLD = "2%"
PANEL = "Levels (--by precision)"


def add_to(app: typer.Typer) -> None:
    app.command(
        name="compare",
        epilog="Examples: bench compare results/old results/new --fail-if-slower 5%   ·   "
        "bench compare RUN:precision=bf16 RUN:precision=nf4   ·   "
        "bench compare RUN --by precision --tolerance 0.02",
    )(with_cost_options(compare))


def compare(
    a: Annotated[str, typer.Argument(help="The baseline: RUN or RUN:key=value,key=value.", show_default=False)],
    b: Annotated[
        str | None, typer.Argument(help="What to compare with it; none with --by.", show_default=False)
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(help=f"Changes of up to this share count as equal; default {THRESHOLD}.")
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(help="Exit code 1 where a rate is slower by at least this share, and surely slower at all."),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md or json; csv with --by.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    by: Annotated[
        str | None,
        typer.Option(help="precision: one row a level, with speed, dollars and quality.", rich_help_panel=PANEL),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Level of the ratios; default the quality passes', else the widest.", rich_help_panel=PANEL),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Default the largest that every level has.", min=1, rich_help_panel=PANEL)
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            help="Recommend the cheapest level that loses at most this: nats a token (0.02), or a share of the "
            "perplexity (2%).",
            rich_help_panel=PANEL,
        ),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Draw the front and the batch sweep into this SVG file.", rich_help_panel=PANEL)
    ] = None,
    *,
    given: Given,
) -> None:
    """Compare the cells of two runs, or of one: paired where they were measured in turn.

    Cells are matched that are equal in all but the keys named: model, precision, runner, batch_size, scheduling,
    input_tokens, cached_tokens, output_tokens, arm, cell (how its id begins), or any option of the runner.

    With --by precision: every level of one run beside its reference, who is on the front of dollars against quality,
    which one to ship, and at which batch size one stops being better than another.
    """
    from bench.cli import levels

    own = {"--reference": reference, "--batch-size": batch_size, "--tolerance": tolerance, "--chart": chart}
    if by is not None:
        others = {"B": b, "--threshold": threshold, "--fail-if-slower": fail_if_slower}
        levels.check_by(by, others, given)
        levels.compare_levels(a, reference, batch_size, tolerance, chart, form, out, given)
        return
    levels.check_without(own, given)
    _compare_two(a, b, threshold, fail_if_slower, form, out)


def _compare_two(
    a: str, b: str | None, threshold: str | None, fail_if_slower: str | None, form: str, out: Path | None
) -> None:
    from bench.cli import sides, warn
    from bench.errors import InputError, nearest
    from bench.plan.folder import write_text
    from bench.report import comparison

    if b is None:
        raise InputError("B: missing; name a second run, or --by precision to compare the levels of one")
    noise, limit = _share("--threshold", threshold or THRESHOLD), _share("--fail-if-slower", fail_if_slower)
    assert noise is not None
    if form not in comparison.FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, comparison.FORMATS)}")
    pairs = sides.matched(sides.Side.parse("A", a), sides.Side.parse("B", b), warn)
    found = [comparison.compared(one, other, noise) for one, other in pairs]
    said = comparison.notes(found, noise)
    slower: list[str] = []
    if limit is not None:
        slower = _slower(found, limit)
        said += _open_questions(found, limit)
    if out is not None:
        write_text(out, comparison.render(found, form, said))
    else:
        print(comparison.render(found, form, said, shutil.get_terminal_size((120, 24)).columns), end="")
    for line in slower:
        print(line, file=sys.stderr)
    if slower:
        raise typer.Exit(1)


def _slower(found: "Sequence[Compared]", limit: float) -> list[str]:
    """A line for each cell with a rate that is slower by at least the limit, and surely slower."""
    lines = []
    for one in found:
        worse = [
            f"{name} {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
            for name, ratio in one.rates()
            if _is_slower(ratio.value, ratio.excludes(1.0), limit)
        ]
        if worse:
            caveat = f" ({'; '.join(one.caveats)})" if one.caveats else ""
            lines.append(f"slower by {100 * limit:g}% or more: {one.name()}: {', '.join(worse)}{caveat}")
    return lines


def _is_slower(ratio: float, sure: bool, limit: float) -> bool:
    return sure and ratio <= 1 - limit


def _open_questions(found: "Sequence[Compared]", limit: float) -> list[str]:
    """Rates whose interval leaves room for such a slowdown without proving it."""
    return [
        f"cannot exclude that {one.name()} is slower by {100 * limit:g}% in {name}: more replicates"
        for one in found
        for name, ratio in one.rates()
        if not _is_slower(ratio.value, ratio.excludes(1.0), limit) and (ratio.low is None or ratio.low <= 1 - limit)
    ]


def _share(option: str, text: str | None) -> float | None:
    """`5%` or `0.05`. Raises InputError naming the option."""
    from bench.errors import InputError

    if text is None:
        return None
    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%")) / (100 if stripped.endswith("%") else 1)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1:
        raise InputError(f"{option}: {text!r} is no share from 0 to below 100%; write 5% or 0.05")
    return value
