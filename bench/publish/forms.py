"""A table in each format. What is shown to people is rounded and made harmless here; CSV and JSON are whole."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.entries.entry import Entry, Report
from bench.metrics.statistics import Estimate
from bench.publish import digits, escaping
from bench.publish.columns import Column
from bench.publish.values import Value, finite
from bench.report.render import guarded

TABLE_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Table:
    """What a format is given. `equal`: what is the same in every row, for the caption."""

    report: Report
    title: str
    columns: Sequence[Column]
    rows: Sequence[Entry]
    equal: Sequence[str]
    notes: Sequence[str]
    label: str | None = None
    command: str = ""
    shown_notes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        shown = tuple(escaping.line(one, escaping.LONGEST_NOTE) for one in self.notes)
        object.__setattr__(self, "shown_notes", shown)

    @property
    def caption(self) -> str:
        """Title and what all rows share, on one line."""
        return escaping.line(" · ".join(one for one in (self.title, *self.equal) if one), escaping.LONGEST_NOTE)


def shown(column: Column, entry: Entry) -> str:
    """A cell for people: rounded by its interval, in the heading's unit; text visible, on one line and not too long."""
    value = column.get(entry)
    if column.name == "break_even_utilisation" and isinstance(value, Estimate) and value.value > 1:
        return "never?" if value.low is not None and value.low <= 1 else "never"
    if column.name == "verdict" and entry.status != "ok":
        return escaping.line(": ".join(one for one in (entry.verdict_text, entry.failure) if one))
    if isinstance(value, Estimate):
        return digits.stated(value, column.factor)
    if isinstance(value, str):
        return escaping.line(value) or digits.NONE
    return digits.plain(None if value is None else value * column.factor)


def heading(column: Column) -> str:
    """With its unit, as the tables of the terminal have it.

    >>> from bench.publish.columns import BY_NAME
    >>> heading(BY_NAME["ttft_s"]), heading(BY_NAME["usd_per_hour"]), heading(BY_NAME["input_usd_per_mtok"])
    ('TTFT ms', '$/hour', '$/Mtok in')
    """
    if column.unit == "$/Mtok":
        return column.unit if column.name == "usd_per_mtok" else f"{column.unit} {column.heading}"
    if column.unit == "$":
        return f"$/{column.heading}"
    return f"{column.heading} {column.unit}".strip() if column.unit != "×" else column.heading


def markdown(table: Table) -> str:
    """GitHub's pipes, a bold caption, and notes as a list."""
    from tabulate import tabulate

    align = ["right" if column.numeric else "left" for column in table.columns]
    lines = [[escaping.markdown(shown(column, one)) for column in table.columns] for one in table.rows]
    headings = [escaping.markdown(heading(column)) for column in table.columns]
    # Not `tabulate`'s own widths for thousands of rows: alignment there is for the reader of the source.
    drawn = tabulate(lines, headings, "pipe", colalign=align, disable_numparse=True) if lines else _no_rows(headings)
    parts = [f"**{escaping.markdown(table.caption)}**"] if table.caption else []
    parts.append(drawn)
    if table.shown_notes:
        parts.append("\n".join(f"- {escaping.markdown(one)}" for one in table.shown_notes))
    return "\n\n".join(parts) + "\n"


def _no_rows(headings: Sequence[str]) -> str:
    return f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}"


def latex(table: Table) -> str:
    """A `table` float with booktabs' rules, units in the header, notes in small print."""
    title = escaping.latex(table.caption)
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    head = " & ".join(_latex_heading(column) for column in table.columns)
    label = table.label or "tab:" + (re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")[:40] or "bench")
    lines = [
        f"% made by: {escaping.line(table.command, escaping.LONGEST_NOTE)}",
        r"% needs: \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{title}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:.-]', '', label)}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *(" & ".join(_latex_cell(column, one) for column in table.columns) + r" \\" for one in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *((r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize") if table.shown_notes else ()),
        *(escaping.latex(one) + r"\par" for one in table.shown_notes),
        *((r"\end{minipage}",) if table.shown_notes else ()),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_heading(column: Column) -> str:
    unit = "" if column.unit in ("", "×") else f" ({column.unit})"
    return escaping.latex(column.heading + unit)


def _latex_cell(column: Column, entry: Entry) -> str:
    """Of a failure the status alone: a column as wide as its reason fits on no page; the note has it."""
    if column.name == "verdict" and entry.status != "ok":
        return escaping.latex(entry.verdict_text)
    return escaping.latex(shown(column, entry))


def fragment(table: Table) -> str:
    """One <table> to be put into a page: no style, no script, classes that begin with `bench-`."""
    text = escaping.markup
    head = "".join(f'<th scope="col">{text(heading(column))}</th>' for column in table.columns)
    lines = [
        '<table class="bench-table">',
        f'<caption class="bench-caption">{text(table.caption)}</caption>',
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
        *(_html_row(table.columns, one) for one in table.rows),
        "</tbody>",
    ]
    if table.shown_notes:
        said = "".join(f"<p>{text(one)}</p>" for one in table.shown_notes)
        lines.append(f'<tfoot><tr><td class="bench-notes" colspan="{len(table.columns)}">{said}</td></tr></tfoot>')
    return "\n".join([*lines, "</table>"]) + "\n"


def _html_row(columns: Sequence[Column], entry: Entry) -> str:
    cells = []
    for place, column in enumerate(columns):
        kind = "bench-number" if column.numeric else "bench-text"
        text = escaping.markup(shown(column, entry))
        cells.append(f'<th scope="row" class="{kind}">{text}</th>' if place == 0 else f'<td class="{kind}">{text}</td>')
    failed = ' class="bench-failed"' if entry.status != "ok" else ""
    return f"<tr{failed}>{''.join(cells)}</tr>"


FACTS: Mapping[str, Callable[[Entry], str | int | None]] = {
    "cell_id": lambda one: one.cell_id,
    "kind": lambda one: one.kind,
    "origin_tool": lambda one: one.origin.tool,
    "origin_file": lambda one: one.origin.file,
    "machine": lambda one: one.machine,
    "run": lambda one: one.run,
    "status": lambda one: one.status,
    "failure": lambda one: one.failure,
    "remedy": lambda one: one.remedy,
    "replicates": lambda one: one.replicates,
    "measured_at": lambda one: one.measured_at,
    "command": lambda one: one.command,
}
"""Of every row in CSV and JSON, whichever columns were asked for."""


ENDS = ("_low", "_high", "_n")


def flat(columns: Sequence[Column], entry: Entry) -> dict[str, Any]:
    """Plain values by name; of an estimate also `_low`, `_high` and `_n`. Nothing is rounded, nothing infinite."""
    line: dict[str, Any] = {}
    for column in columns:
        value = finite(column.get(entry))
        of = value if isinstance(value, Estimate) else None
        line[column.name] = value if of is None else of.value
        if column.estimated:
            line |= {column.name + end: None if of is None else getattr(of, end[1:]) for end in ENDS}
    return line | {name: get(entry) for name, get in FACTS.items() if name not in line}


def comma_separated(table: Table) -> str:
    """One line a row; the same columns whatever the rows hold. Texts that a spreadsheet would run are quoted."""
    lines = [flat(table.columns, one) for one in table.rows]
    headings: list[str] = []
    for column in table.columns:
        headings += [column.name, *(column.name + end for end in ENDS if column.estimated)]
    headings += [name for name in FACTS if name not in headings]
    out = io.StringIO()
    writer = csv.DictWriter(out, headings, lineterminator="\n", restval="")
    writer.writeheader()
    for line in lines:
        writer.writerow({key: _csv_cell(value) for key, value in line.items()})
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    """Text on one line, without what hides or reorders; the guard comes last, when nothing moves to the front."""
    return guarded(escaping.visible(value)) if isinstance(value, str) else value


def as_json(table: Table) -> str:
    """Everything, with a schema version; an estimate is {value, low, high, n}. Text is exact, in ASCII escapes."""
    whole = {
        "schema_version": TABLE_SCHEMA_VERSION,
        "title": table.title,
        "headline": table.report.headline,
        "prices_of": table.report.day.isoformat(),
        "columns": [
            {"name": one.name, "heading": heading(one), "unit": one.unit, "factor": one.factor, "about": one.about}
            for one in table.columns
        ],
        "rows": [_nested(table.columns, one) for one in table.rows],
        "notes": list(table.notes),
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _nested(columns: Sequence[Column], entry: Entry) -> dict[str, Any]:
    line = {column.name: _json_value(finite(column.get(entry))) for column in columns}
    reasons = [{"code": one.code, "what": one.what, "remedy": one.remedy, "fatal": one.fatal} for one in entry.verdict]
    return line | {name: get(entry) for name, get in FACTS.items() if name not in line} | {"reasons": reasons}


def _json_value(value: Value) -> Any:
    if isinstance(value, Estimate):
        return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    return None if isinstance(value, float) and not math.isfinite(value) else value


FORMS: Mapping[str, Callable[[Table], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "latex": latex,
    "html": fragment,
    "json": as_json,
}
