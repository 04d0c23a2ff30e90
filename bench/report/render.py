"""Rows as text: terminal, Markdown, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.cost.printable import unprintable
from bench.report import quality_text, table
from bench.report.api_table import api_table
from bench.report.figures import REPORT_SCHEMA_VERSION, flat, nested
from bench.report.footnotes import footnotes
from bench.report.headline import headline
from bench.report.rows import Row

FORMATS = ("table", "md", "csv", "json")
_MARKS = re.compile(r"(?<![^\W_])_|_(?![^\W_])|@(?=\w)|(?<!\\)\$(?=[^\d\s/])|\$$")
"""What is markup in some places alone: emphasis at a word's edge, a mention, mathematics (an amount is none)."""

PERCENTILES = "percentiles over batches, in ms (what n counts: docs/metrics.md)"


def render(rows: Sequence[Row], form: str, width: int | None = None, percentiles: bool = False) -> str:
    """The whole report in one of `FORMATS`; `width` is the terminal's, for `table` alone.

    `percentiles` adds a table of them; csv and json hold them anyway.
    """
    if form == "md":
        return markdown(rows, percentiles)
    if form == "csv":
        return comma_separated(rows)
    if form == "json":
        return as_json(rows)
    return terminal(rows, width, percentiles)


def terminal(rows: Sequence[Row], width: int | None, percentiles: bool = False) -> str:
    """Tables drawn for a terminal; on a narrow one speed, limits, quality and dollars stand below each other."""
    from rich.console import Console
    from rich.measure import Measurement

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    columns, caption = table.columns(rows)
    if caption:
        console.print(caption + "\n")
    whole = _drawn(rows, columns)
    if Measurement.get(console, console.options.update(width=10_000), whole).maximum <= console.width:
        console.print(whole)
        console.print()
    else:
        names = [column for column in columns if column.group == "name"]
        for group in ("speed", "limits", "quality", "dollars"):
            own = [column for column in columns if column.group == group]
            if own:
                console.print(_drawn(rows, [*names, *own]))
                console.print()
    if percentiles:
        console.print(PERCENTILES + "\n")
        console.print(grid(*table.percentile_table(rows), left=(0,)))
        console.print()
    headings, lines = quality_text.task_table(rows)
    if lines:
        console.print(quality_text.TASKS + "\n")
        console.print(grid(headings, lines, left=(0,)))
        console.print()
    headings, lines = api_table(rows)
    if lines:
        broken = [heading.replace("/", "/\n", 1) if "/" in heading else heading for heading in headings]
        console.print("the same requests at APIs\n")
        console.print(grid(broken, lines, left=(0,)))
        console.print()
    answer = headline(rows)
    if answer:
        console.print(answer + "\n")
    for note in footnotes(rows):
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def on_screen(drawn: str) -> str:
    """Lines for a terminal, without blanks at their ends and with every character shown."""
    return "\n".join(shown(line).rstrip() for line in drawn.removesuffix("\n").split("\n")) + "\n"


def shown(line: str) -> str:
    """The line with a mark for each character that a terminal obeys instead of showing: others' words are not ours.

    >>> shown("\x1b[31mred")
    '�[31mred'
    """
    return "".join("\ufffd" if unprintable(one) else one for one in line) if unprintable(line) else line


def _drawn(rows: Sequence[Row], columns: Sequence[table.Column]) -> Any:
    lines = [tuple(column.text(row) for column in columns) for row in rows]
    left = [index for index, column in enumerate(columns) if not column.numeric]
    return grid([column.heading for column in columns], lines, left=left)


def grid(headings: Sequence[str], lines: Sequence[tuple[str, ...]], left: Sequence[int]) -> Any:
    """A table for a terminal; columns whose index is in `left` are aligned there, the others to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="left" if index in left else "right", overflow="fold")
    for line in lines:
        made.add_row(*line)
    return made


def markdown(rows: Sequence[Row], percentiles: bool = False) -> str:
    """GitHub-flavoured tables and footnotes."""
    from tabulate import tabulate

    def pipes(headings: Sequence[str], lines: Sequence[tuple[str, ...]], left: Sequence[int]) -> str:
        align = ["left" if index in left else "right" for index in range(len(headings))]
        cells = [[escaped(text) for text in line] for line in lines]
        return tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)

    columns, caption = table.columns(rows)
    lines = [tuple(column.text(row) for column in columns) for row in rows]
    left = [index for index, column in enumerate(columns) if not column.numeric]
    parts = [escaped(text) for text in (headline(rows),) if text]
    parts += [f"**{escaped(caption)}**"] if caption else []
    parts.append(pipes([column.heading for column in columns], lines, left))
    if percentiles:
        parts += [f"**{PERCENTILES}**", pipes(*table.percentile_table(rows), (0,))]
    headings, tasks = quality_text.task_table(rows)
    if tasks:
        parts += [f"**{quality_text.TASKS}**", pipes(headings, tasks, (0,))]
    headings, compared = api_table(rows)
    if compared:
        parts += ["**the same requests at APIs**", pipes(headings, compared, (0,))]
    parts.append("\n".join(f"- {escaped(note)}" for note in footnotes(rows)))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that cannot become markup: a model's name or an error is not ours."""
    line = shown(" ".join(text.split()))
    for mark in ("\\", "|", "<", ">", "*", "`", "[", "]", "~", "&"):
        line = line.replace(mark, "\\" + mark)
    return _MARKS.sub(r"\\\g<0>", line)


def comma_separated(rows: Sequence[Row]) -> str:
    """One line a row, SI units and dollars in the headings; no rounding."""
    return as_csv([flat(row) for row in rows])


def as_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """Lines of plain values; a column for every key that one of them has."""
    headings = list(dict.fromkeys(key for line in found for key in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, headings, lineterminator="\n", restval="")
    writer.writeheader()
    for line in found:
        writer.writerow({key: guarded(value) for key, value in line.items()})
    return out.getvalue()


def guarded(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula is quoted; it is one line without what a terminal obeys."""
    if not isinstance(value, str):
        return value
    line = shown(" ".join(value.replace("\t", " ").splitlines()) if unprintable(value) else value)
    return "'" + line if value.startswith(("=", "+", "-", "@", "\t", "\r")) else line


def as_json(rows: Sequence[Row]) -> str:
    """Everything, with a schema version."""
    whole = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "headline": headline(rows),
        "rows": [nested(row) for row in rows],
        "notes": footnotes(rows),
    }
    return json_text(whole)


def json_text(whole: Any) -> str:
    """Indented JSON for files and screens: letters as they are, what a terminal would obey in escapes."""
    lines = json.dumps(whole, indent=1, ensure_ascii=False).split("\n")
    return "\n".join(_in_escapes(line) if unprintable(line) else line for line in lines) + "\n"


def _in_escapes(line: str) -> str:
    return "".join(json.dumps(one)[1:-1] if unprintable(one) else one for one in line)
