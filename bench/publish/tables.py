"""Tables of a report's rows for papers, READMEs and programs: Markdown, CSV, LaTeX, an HTML fragment, JSON.

Formats for people round by the interval (`digits`) and show foreign text as text (`escaping`); CSV and JSON hold what
was computed, unrounded, in SI units.
"""

from bench.entries.entry import Report
from bench.errors import InputError, nearest
from bench.publish import chosen, notes
from bench.publish.chosen import SORTS
from bench.publish.columns import COLUMN_SETS
from bench.publish.forms import FORMS, Table

__all__ = ["COLUMN_SETS", "FORMS", "SORTS", "render"]


def render(
    report: Report,
    form: str,
    columns: str | None = None,
    sort: str | None = None,
    title: str | None = None,
    failed: bool = True,
    *,
    label: str | None = None,
    command: str | None = None,
) -> str:
    """The report's rows as a table, with what it needs to be understood under it.

    `columns`: sets and names, comma-separated (docs/tables.md). `sort`: names, with a minus for the largest first;
    without it the cheapest row is the first. `failed`: with the rows that failed, and their reasons. `label` and
    `command` (what made it) are LaTeX's. Raises InputError for a form, a column or an order that is none.
    """
    if form not in FORMS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMS)}")
    picked = chosen.columns(columns, report.entries)
    rows = chosen.rows(report.entries, sort, failed)
    shown, equal = (picked, []) if form in ("csv", "json") else chosen.told_once(picked, rows, columns)
    table = Table(
        report=report,
        title=report.title if title is None else title,
        columns=shown,
        rows=rows,
        equal=equal,
        notes=notes.notes(report, rows, shown, len(report.entries) - len(rows)),
        label=label,
        command=command or _command(report, form, columns, sort),
    )
    return FORMS[form](table)


def _command(report: Report, form: str, columns: str | None, sort: str | None) -> str:
    """What to type for this table."""
    options = f" --columns {columns}" if columns else ""
    options += f" --sort={sort}" if sort else ""
    return f"bench report {' '.join(report.runs)} -f {form}{options}"
