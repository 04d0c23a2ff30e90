"""`bench history RUN…`: cells over runs of different days and commits, and where they change. Imports no engine."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.history.judged import Judgement
    from bench.history.metric import Metric
    from bench.history.series import Axis, Seen
    from bench.schema import CostChoices

FORMATS = ("table", "md", "csv", "json", "github", "svg")
ENDINGS = {".md": "md", ".csv": "csv", ".json": "json", ".svg": "svg"}
AXES: "tuple[Axis, ...]" = ("date", "commit")


def add_to(app: typer.Typer) -> None:
    app.command(
        name="history",
        epilog="Examples: bench history results/nightly --metric decode_tokens_per_s   ·   "
        "bench history results/nightly -f github -o summary.md --github --fail-on-regression",
    )(with_cost_options(history))


def history(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders or journals, or folders that hold some.", show_default=False),
    ],
    cell: Annotated[str | None, typer.Option(help="Only cells whose id begins so.")] = None,
    model: Annotated[str | None, typer.Option(help="Only these models; * and ? stand for anything.")] = None,
    precision: Annotated[str | None, typer.Option(help="Only these precisions; * and ? too.")] = None,
    batch: Annotated[int | None, typer.Option(help="Only static batches of this size.")] = None,
    hardware: Annotated[str | None, typer.Option(help="Only these machines; * and ? too.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Which figure, such as usd_per_mtok, decode_tokens_per_s or ttft_s; repeat for more."),
    ] = None,
    by: Annotated[str, typer.Option(help="date: a point a run; commit: one for all runs of a revision.")] = "date",
    threshold: Annotated[str, typer.Option(help="Changes of up to this share are no regression.")] = "2%",
    points: Annotated[bool, typer.Option("--points", help="Draw every run, however many cells there are.")] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, md, csv, json, github or svg; without it the end of --out's name says, else table.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Also annotations for GitHub on standard output: regressions, suspects.")
    ] = False,
    fail: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit code 3 where the newest level is a regression.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="With --fail-on-regression: only what began on this day or later, YYYY-MM-DD.")
    ] = None,
    *,
    given: Given,
) -> None:
    """A cell over runs of different days and commits: each with its interval, change points, and what else changed.

    Dollars of all runs are at the prices of one day, so that a new price is no regression.
    """
    from bench.cli import warn
    from bench.cli.choices import overridden
    from bench.errors import DoubtError, InputError
    from bench.history import github as pipeline
    from bench.history.judged import is_since
    from bench.history.read import read
    from bench.history.wording import sentence
    from bench.plan.folder import write_text

    form = form or ENDINGS.get(out.suffix.lower() if out else "", "table")
    _check(form, by, github, out, since)
    if since is not None and not fail:
        raise InputError("--since: says which regressions fail; give --fail-on-regression too")
    if points and form != "table":
        raise InputError(f"--points: {form} holds every run anyway, or none by itself; leave it out")
    metrics, share = _metrics(metric), _share(threshold)
    found = read(runs, _planned, lambda planned: overridden(planned, given), warn)
    seen = _chosen(found.seen, cell, {"model": model, "precision": precision, "hardware": hardware}, batch)
    judged = _judged(seen, metrics, "commit" if by == "commit" else "date", share, asked=metric is not None)
    text = _text(judged, form, share, "commit" if by == "commit" else "date", points, found.prices)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
    if github:
        print(pipeline.annotations(judged), end="")
    failing = [one for one in judged if one.fails and (since is None or is_since(one, since))]
    if fail and failing:
        raise DoubtError(*(sentence(one) for one in failing))


def _check(form: str, by: str, github: bool, out: Path | None, since: str | None) -> None:
    """Options that cannot be, or that contradict each other."""
    from bench.errors import InputError, nearest
    from bench.plan import cost

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    if by not in AXES:
        raise InputError(f"--by: unknown order {by!r}; {nearest(by, AXES)}")
    if github and out is None:
        raise InputError("--github: annotations go to standard output; also name a file for the rest, with --out")
    if since is not None and cost.day(since) is None:
        raise InputError(f"--since: {since!r} is no day; write it like 2026-01-31")


def _metrics(names: Sequence[str] | None) -> "list[Metric]":
    from bench.errors import InputError, nearest
    from bench.history.metric import ALIASES, METRICS, USUAL

    found = []
    for name in dict.fromkeys(names or USUAL):
        own = ALIASES.get(name, name)
        if own not in METRICS:
            raise InputError(f"--metric: unknown figure {name!r}; {nearest(name, [*METRICS, *ALIASES])}")
        found.append(METRICS[own])
    return found


def _share(text: str) -> float:
    """2% and 0.02 are the same."""
    from bench.errors import InputError

    try:
        found = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise InputError(f"--threshold: {text!r} is no share from 0 to below 1; write 2% or 0.02")
    return found


def _planned(run: Path) -> "CostChoices":
    """The choices of cost in a run's plan."""
    from bench.plan.folder import read_plan
    from bench.schema import CostChoices

    plan = read_plan(run if run.is_dir() else run.parent, lambda _: None)
    return CostChoices() if plan is None else plan.cost


def _chosen(seen: "Sequence[Seen]", cell: str | None, globs: dict[str, str | None], batch: int | None) -> "list[Seen]":
    """What the filters leave. Raises InputError naming the first that leaves nothing, and the nearest there is."""
    from fnmatch import fnmatchcase

    from bench.errors import InputError, nearest

    left = list(seen)
    if cell is not None:
        known = [one.entry.cell_id for one in left]
        left = [one for one in left if one.entry.cell_id.startswith(cell)]
        if not left or not cell:
            raise InputError(f"--cell: no cell's id begins with {cell!r}; {nearest(cell, known)}")
    for name, pattern in globs.items():
        if pattern is None:
            continue
        texts = [getattr(one.entry, name) for one in left]
        left = [one for one, text in zip(left, texts, strict=True) if fnmatchcase(text.lower(), pattern.lower())]
        if not left:
            raise InputError(f"--{name}: no cell has {name} {pattern!r}; {nearest(pattern, texts)}")
    if batch is not None:
        sizes = {str(one.entry.batch_size) for one in left if one.entry.batch_size is not None}
        left = [one for one in left if one.entry.batch_size == batch]
        if not left:
            raise InputError(f"--batch: no cell has a batch of {batch}; {nearest(str(batch), sizes)}")
    return left


def _judged(
    seen: "Sequence[Seen]", metrics: "Sequence[Metric]", axis: "Axis", threshold: float, asked: bool
) -> "list[Judgement]":
    """Every cell and metric. A figure that no run has is only spoken of where somebody asked for it."""
    from bench.errors import InputError
    from bench.history.judged import judged
    from bench.history.series import gathered, series, why_no

    found = []
    groups = sorted(gathered(seen).values(), key=lambda own: own[-1].entry.hardware)
    for own in groups:
        for metric in metrics:
            made = series(own, metric, axis)
            if made is not None:
                found.append(judged(made, threshold))
    if not found:
        raise InputError(f"{', '.join(one.name for one in metrics)}: no run has a figure: {why_no(seen, metrics[0])}")
    if asked:
        from bench.cli import warn

        had = {one.series.metric.name for one in found}
        for metric in metrics:
            if metric.name not in had:
                warn(f"--metric {metric.name}: no run has it: {why_no(seen, metric)}")
    return found


def _text(found: "Sequence[Judgement]", form: str, threshold: float, axis: "Axis", points: bool, prices: str) -> str:
    from bench.history import chart, github, notes, plain, table
    from bench.page.charts import draw

    said = notes.notes(found, prices)
    if form == "md":
        return table.markdown(found, said)
    if form == "csv":
        return plain.as_lines(found)
    if form == "json":
        return plain.as_json(found, said, threshold)
    if form == "github":
        return github.summary(found, said, threshold)
    if form == "svg":
        return draw.svg(chart.chart(found, axis, prices)) + "\n"
    width = shutil.get_terminal_size((120, 24)).columns
    return table.terminal(found, said, width, points or len(found) <= table.FEW)
