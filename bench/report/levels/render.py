"""Tables of levels as text: terminal, Markdown, CSV or JSON."""

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.levels import draw, table
from bench.report.levels.compare import named
from bench.report.levels.level import Levels, LevelTable
from bench.report.levels.plain import document, flat
from bench.report.levels.sweep import sentences
from bench.report.levels.why import profile_table
from bench.report.render import as_csv, escaped, grid, on_screen

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "md", "csv", "json")
GROUPS = ("speed", "quality")
CROSSOVERS = "where one stops being better than another"
WHY = "why"
PROFILE = "operators with most time, of profiles that are slower than what is timed: shares, not times"


def render_levels(levels: Levels, form: str, width: int | None = None) -> str:
    """All tables in one of `FORMATS`; `width` is the terminal's, for `table` alone."""
    if form == "json":
        return json.dumps(document(levels), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "csv":
        return as_csv([line for one in levels.tables for line in flat(one)])
    if form == "md":
        return "\n".join(_markdown(one) for one in levels.tables)
    return "\n".join(_terminal(one, width) for one in levels.tables)


def _terminal(of: LevelTable, width: int | None) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    console.print(named(of) + "\n")
    for part in _parts(of, console):
        left = [index for index, column in enumerate(part) if not column.numeric]
        console.print(grid([column.heading for column in part], table.lines_of(of, part), left))
        console.print()
    for line in of.recommendation.sentences:
        console.print(line)
    console.print()
    for title, (headings, lines) in table.sweep_tables(of):
        console.print(title + "\n")
        for part_of in _columns_that_fit(headings, lines, console):
            console.print(part_of)
            console.print()
    chart = draw.sweep(of, console.width)
    if chart:
        console.print(chart + "\n", soft_wrap=True)
    for title, said in _lists(of):
        console.print(title + "\n")
        for line in said:
            console.print(f"• {line}")
        console.print()
    titles, operators = _profile(of)
    if operators:
        console.print(PROFILE + "\n")
        console.print(grid(titles, operators, (0, 2, 3, 4)))
        console.print()
    for note in of.notes:
        console.print(f"• {note}")
    return on_screen(buffer.getvalue().rstrip() + "\n")


def _lists(of: LevelTable) -> list[tuple[str, list[str]]]:
    """Titles and sentences: the crossovers, and why each level is as fast as it is."""
    found = [(CROSSOVERS, sentences(of.sweep.crossed))]
    found.append((WHY, [f"{one.label}: {one.explanation.text}" for one in of.levels if one.explanation is not None]))
    return [(title, said) for title, said in found if said]


def _profile(of: LevelTable) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and lines of the profiles of the rows that are shown."""
    return profile_table([one.row for one in of.levels if one.row is not None])


def _parts(of: LevelTable, console: "Console") -> list[list[table.Column]]:
    """One table where it fits; else one for speed and one for dollars and quality, or as many as it takes; each begins
    with the level."""
    shown = table.columns(of)

    def fits(part: Sequence[table.Column]) -> bool:
        left = [index for index, column in enumerate(part) if not column.numeric]
        return _fits(grid([column.heading for column in part], table.lines_of(of, part), left), console)

    if fits(shown):
        return [shown]
    names = [column for column in shown if column.group == "name"]
    groups = [[*names, *(one for one in shown if one.group == group)] for group in GROUPS]
    if all(fits(part) for part in groups):
        return groups
    found, part = [], list(names)
    for column in shown[len(names) :]:
        if len(part) > len(names) and not fits([*part, column]):
            found.append(part)
            part = list(names)
        part.append(column)
    return [*found, part]


def _columns_that_fit(headings: Sequence[str], lines: Sequence[tuple[str, ...]], console: "Console") -> list[Any]:
    """A wide table in several, each with the first column."""
    found, start = [], 1
    while start < len(headings):
        end = len(headings)
        while end > start + 1 and not _fits(_slice(headings, lines, start, end), console):
            end -= 1
        found.append(_slice(headings, lines, start, end))
        start = end
    return found


def _slice(headings: Sequence[str], lines: Sequence[tuple[str, ...]], start: int, end: int) -> Any:
    return grid([headings[0], *headings[start:end]], [(line[0], *line[start:end]) for line in lines], (0,))


def _fits(grid: Any, console: "Console") -> bool:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(width=10_000), grid).maximum <= console.width


def _markdown(of: LevelTable) -> str:
    shown = table.columns(of)
    left = [index for index, column in enumerate(shown) if not column.numeric]
    parts = [f"**{escaped(named(of))}**"]
    parts.append(_pipes([column.heading for column in shown], table.lines_of(of, shown), left))
    parts.append("\n".join(f"- {escaped(one)}" for one in of.recommendation.sentences))
    for title, (headings, lines) in table.sweep_tables(of):
        parts += [f"**{escaped(title)}**", _pipes(headings, lines, (0,))]
    for title, said in _lists(of):
        parts += [f"**{escaped(title)}**", "\n".join(f"- {escaped(line)}" for line in said)]
    titles, operators = _profile(of)
    if operators:
        parts += [f"**{PROFILE}**", _pipes(titles, operators, (0, 2, 3, 4))]
    parts.append("\n".join(f"- {escaped(note)}" for note in of.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _pipes(headings: Sequence[str], lines: Sequence[tuple[str, ...]], left: Sequence[int]) -> str:
    from tabulate import tabulate

    align = ["left" if index in left else "right" for index in range(len(headings))]
    cells = [[escaped(text) for text in line] for line in lines]
    return tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)
