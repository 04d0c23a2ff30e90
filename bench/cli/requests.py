"""`bench requests RUN`: every request of runs under load with its times, for one's own analysis. Imports no engine."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from bench.schema import Record, Request

FORMATS = ("csv", "jsonl")
LISTS = ("gaps_us", "gap_tokens")
"""Fields of a request that have a value for each event: in jsonl alone."""


def add_to(app: typer.Typer) -> None:
    app.command(
        name="requests",
        epilog="Example: bench requests results/local/load --format csv -o requests.csv",
    )(requests)


def requests(
    run: Annotated[Path, typer.Argument(help="A run folder, or its journal (records.jsonl).", show_default=False)],
    cell: Annotated[str | None, typer.Option(help="Only cells whose id begins so.")] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="csv or jsonl.")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
) -> None:
    """Dump the requests of a run under load: one line each, stamps in seconds since the run's epoch, derived times.

    A time that never happened is empty (null in jsonl). Times from the schedule end in _due_s.
    """
    from bench.errors import InputError, nearest

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    lines = _lines(run, cell)
    first = next(lines)  # nothing is opened before there is something to write
    try:
        with out.open("w", encoding="utf-8", newline="") if out is not None else nullcontext(sys.stdout) as target:
            _write(target, form, first, lines)
    except OSError as error:
        if out is None or isinstance(error, BrokenPipeError):
            raise
        raise InputError(f"{out}: cannot write it ({error.strerror}); choose another file") from None


def _write(target: TextIO, form: str, first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> None:
    from bench.report.render import guarded

    names = [name for name in first if name not in LISTS]
    if form == "csv":
        csv.writer(target, lineterminator="\n").writerow(names)
    for line in _after(first, rest):
        if form == "jsonl":
            target.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            row = io.StringIO()
            csv.writer(row, lineterminator="\n").writerow(guarded(line[name]) for name in names)
            target.write(row.getvalue())


def _after(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


def _lines(run: Path, cell: str | None) -> Iterator[dict[str, Any]]:
    """One request after another, of one trace after another. Raises InputError where there is none."""
    from bench import store, traces
    from bench.cli import warn
    from bench.errors import InputError, nearest
    from bench.report.serving.trace import trace_of

    folder = run if run.is_dir() else run.parent
    seen: dict[str, int] = {}
    count = 0
    for record in store.read(run, warn):
        if record.serving is None:
            continue
        seen[record.cell.cell_id] = 1
        if cell is not None and not record.cell.cell_id.startswith(cell):
            continue
        try:
            path = trace_of(record.serving, folder)
        except InputError as error:
            warn(error.lines[0])
            continue
        for one in traces.read(path):
            count += 1
            yield _line(record, one)
    if cell is not None and seen and not any(name.startswith(cell) for name in seen):
        raise InputError(f"--cell: no cell under load whose id begins with {cell!r}; {nearest(cell, seen)}")
    if not count and seen:
        raise InputError(f"{run}: none of its traces could be read; bring traces/ back, or run the config with --fresh")
    if not count:
        raise InputError(f"{run}: holds no request of a run under load; run a config whose workload has a `load` first")


def _line(record: "Record", one: "Request") -> dict[str, Any]:
    """A request's own fields, and its times by the definitions of docs/serving.md."""
    from dataclasses import asdict

    said = asdict(one)
    lists = {name: said.pop(name) for name in LISTS}
    answered = one.status == "ok"
    last = one.last_token_s if one.last_token_s is not None else one.done_s
    later = (one.output_tokens or 0) - (one.first_event_tokens or 0) if one.first_event_tokens else 0
    decode = _minus(last, one.first_token_s)
    derived = {
        "ttft_s": _minus(one.first_token_s, one.sent_s),
        "ttft_due_s": _minus(one.first_token_s, one.due_s),
        "tpot_s": decode / later if answered and later > 0 and one.chunks > 1 and decode is not None else None,
        "e2el_s": _minus(last, one.sent_s) if answered else None,
        "e2el_due_s": _minus(last, one.due_s) if answered else None,
        "dispatch_delay_s": _minus(one.sent_s, one.due_s),
    }
    where = {"record_id": record.record_id, "cell_id": record.cell.cell_id, "replicate": record.replicate}
    return {**where, **said, **derived, **lists}


def _minus(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else later - earlier
