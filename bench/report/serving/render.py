"""Rows under load as text: terminal, Markdown, CSV or JSON."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.render import as_csv, escaped, grid, json_text, on_screen, shown
from bench.report.serving import frontier_chart, table
from bench.report.serving.footnotes import footnotes
from bench.report.serving.frontier import Family, families
from bench.report.serving.headline import find_max_lines, headline, range_text
from bench.report.serving.plain import flat, frontier_data, nested
from bench.report.serving.row import ServingRow, load_text
from bench.report.table import NONE, number

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
GROUPS = ("speed", "latency", "dollars")
WHOLE = "the steady window beside the whole run"
PERCENTILES = "percentiles over requests, in ms"
APIS = "the same tokens at APIs"
FRONTIER = "speed of a user against dollars, by the load"

Grid = tuple[list[str], list[tuple[str, ...]]]


def render_serving(rows: Sequence[ServingRow], form: str, width: int | None = None, percentiles: bool = False) -> str:
    """The whole report of cells under load as table, md, csv or json; `width` is the terminal's, for `table` alone.

    `percentiles` adds every percentile and the whole run to the terminal's; the others hold them anyway. Nothing for no
    rows, but for the frame of csv and json.
    """
    if form == "json":
        return json_text(document(rows))
    if form == "csv":
        return as_csv([flat(row) for row in rows])
    if not rows:
        return ""
    return markdown(rows) if form == "md" else terminal(rows, width, percentiles)


def document(rows: Sequence[ServingRow]) -> dict[str, Any]:
    """Everything, with a schema version."""
    return {
        "schema_version": SCHEMA_VERSION,
        "headline": headline(rows),
        "find_max": find_max_lines(rows),
        "rows": [nested(row) for row in rows],
        "frontiers": frontier_data(rows),
        "notes": footnotes(rows),
    }


def terminal(rows: Sequence[ServingRow], width: int | None, percentiles: bool = False) -> str:
    """Tables drawn for a terminal; on a narrow one speed, latency and dollars stand below each other."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    columns, caption = table.columns(rows)
    console.print(f"under load: {caption}\n")
    for part in _parts(rows, columns, console):
        console.print(_drawn(rows, part))
        console.print()
    for title, (headings, lines) in _more(rows, percentiles):
        if lines:
            console.print(title + "\n")
            console.print(grid(headings, lines, left=(0,)))
            console.print()
    for of in families(rows):
        if of.has_frontier:
            console.print(f"{FRONTIER}\n")
            console.print(grid(*frontier_table(of), left=(0, 1)))
            console.print()
            console.print(frontier_chart.drawn(of, console.width))
            console.print()
    for line in (headline(rows), *find_max_lines(rows)):
        if line:
            console.print(line + "\n")
    for note in footnotes(rows):
        console.print(f"• {note}")
    return on_screen(buffer.getvalue().rstrip() + "\n")


def _parts(rows: Sequence[ServingRow], columns: Sequence[table.Column], console: "Console") -> list[list[table.Column]]:
    """One table where it fits; else one for speed, latency and dollars each, and more where one of them is too wide."""
    from rich.measure import Measurement

    def fits(part: Sequence[table.Column]) -> bool:
        room = console.options.update(width=10_000)
        return Measurement.get(console, room, _drawn(rows, part)).maximum <= console.width

    if fits(columns):
        return [list(columns)]
    names = [column for column in columns if column.group == "name"]
    if not fits(names):
        names = [column for column in names if column.heading in ("#", "load")]
    found: list[list[table.Column]] = []
    others = [column for column in columns if column.group == "name" and column not in names]
    for group in GROUPS:
        part = list(names)
        for column in [*(others if group == GROUPS[0] else []), *(one for one in columns if one.group == group)]:
            if len(part) > len(names) and not fits([*part, column]):
                found.append(part)
                part = list(names)
            part.append(column)
        if len(part) > len(names):
            found.append(part)
    return found


def _more(rows: Sequence[ServingRow], everything: bool) -> list[tuple[str, Grid]]:
    """Tables below the first one."""
    found: list[tuple[str, Grid]] = []
    if everything:
        found += [(WHOLE, table.whole_table(rows)), (PERCENTILES, table.percentile_table(rows))]
    headings, lines = table.api_table(rows)
    broken = [heading.replace("/", "/\n", 1) if index > 1 else heading for index, heading in enumerate(headings)]
    return [*found, (APIS, (broken, lines))]


def frontier_table(of: Family) -> Grid:
    """A line a level: what a user sees, what it costs, what it costs within the objectives, and who is on the front."""
    lines = []
    cheapest = of.cheapest_met
    for one in of.points:
        speed, usd = one.tokens_per_s_per_user, one.usd_per_mtok
        good = one.row.dollars.good if one.row.dollars is not None else None
        met = one.row.meets
        lines.append(
            (
                f"#{one.number}",
                load_text(one.row.traffic),
                NONE if speed is None else number(speed.value),
                NONE if usd is None else range_text(usd),
                NONE if good is None else range_text(good.blended_usd_per_mtok),
                NONE if met is None else "yes" if met else "no",
                ("front" if one.on_front else "") + (", cheapest within the SLO" if one is cheapest else ""),
            )
        )
    headings = ["#", "load", "tok/s/user", "$/Mtok", "$/Mtok good", "SLO met", ""]
    kept = [at for at in range(len(headings)) if at < 4 or any(line[at] not in (NONE, "") for line in lines)]
    return [headings[at] for at in kept], [tuple(line[at].lstrip(", ") for at in kept) for line in lines]


def _drawn(rows: Sequence[ServingRow], columns: Sequence[table.Column]) -> Any:
    lines = [tuple(column.text(row) for column in columns) for row in rows]
    left = [index for index, column in enumerate(columns) if not column.numeric]
    return grid([column.heading for column in columns], lines, left)


def markdown(rows: Sequence[ServingRow]) -> str:
    """GitHub-flavoured tables and footnotes."""
    from tabulate import tabulate

    def grid(headings: Sequence[str], lines: Sequence[tuple[str, ...]], left: Sequence[int]) -> str:
        align = ["left" if index in left else "right" for index in range(len(headings))]
        cells = [[escaped(text) for text in line] for line in lines]
        return tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)

    columns, caption = table.columns(rows)
    lines = [tuple(column.text(row) for column in columns) for row in rows]
    left = [index for index, column in enumerate(columns) if not column.numeric]
    parts = [escaped(text) for text in (headline(rows), *find_max_lines(rows)) if text]
    parts.append(f"**under load: {escaped(caption)}**")
    parts.append(grid([column.heading for column in columns], lines, left))
    others = [
        (WHOLE, table.whole_table(rows)),
        (PERCENTILES, table.percentile_table(rows)),
        (APIS, table.api_table(rows)),
    ]
    others += [(FRONTIER, frontier_table(of)) for of in families(rows) if of.has_frontier]
    for title, (headings, cells) in others:
        if cells:
            parts += [f"**{title}**", grid(headings, cells, (0,))]
    parts.append("\n".join(f"- {escaped(note)}" for note in footnotes(rows)))
    return "\n".join(shown(line) for line in "\n\n".join(parts).split("\n")) + "\n"
