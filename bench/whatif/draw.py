"""Tables, sentences and notes as text for a terminal or in Markdown; lines as CSV."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import InputError
from bench.report.render import escaped, on_screen

FORMATS = ("table", "md", "csv", "json")
NAME = "name"
GAP = 2
"""Spaces between two columns."""
FOLDED = 8
"""Letters of a word in a column of texts that stand together where a terminal is narrow."""


@dataclass(frozen=True)
class Column:
    """A heading; columns of one `group` stay together where the terminal is too narrow for all of them.

    Those of the group NAME then say what the lines are, and the `repeated` ones of them tell them apart in every part.
    """

    heading: str
    group: str = NAME
    left: bool = False
    repeated: bool = False


@dataclass(frozen=True)
class Grid:
    """Columns and the texts under them."""

    columns: Sequence[Column]
    lines: Sequence[Sequence[str]]

    def of_groups(self, *groups: str) -> "Grid":
        """The columns of these groups alone."""
        return self.at([index for index, column in enumerate(self.columns) if column.group in groups])

    def at(self, kept: Sequence[int]) -> "Grid":
        """The columns at these places alone."""
        return Grid([self.columns[at] for at in kept], [[line[at] for at in kept] for line in self.lines])

    def without_empty(self, nothing: str) -> "Grid":
        """Less the columns in which no line says anything."""
        kept = [
            index
            for index, column in enumerate(self.columns)
            if column.group == NAME or any(line[index] != nothing for line in self.lines)
        ]
        return self.at(kept)


def terminal(answer: Sequence[str], grid: Grid, notes: Sequence[str], width: int | None) -> str:
    """Sentences, the table (in parts where it is too wide), and notes."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    for text in answer:
        console.print(text + "\n")
    for part in parts(grid, console.width):
        console.print(_drawn(part, console.width))
        console.print()
    for note in notes:
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def parts(grid: Grid, width: int) -> list[Grid]:
    """The table itself where it fits; else first what the lines are, then their figures, as many as fit beside "#"."""
    if sum(_wanted(grid)) + GAP * len(grid.columns) <= width:
        return [grid]
    found = [grid.of_groups(NAME)]
    repeated = [at for at, column in enumerate(grid.columns) if column.repeated]
    for group in dict.fromkeys(column.group for column in grid.columns if column.group != NAME):
        kept = list(repeated)
        for at in (index for index, column in enumerate(grid.columns) if column.group == group):
            wider = grid.at([*kept, at])
            if kept != repeated and sum(_least(wider)) + GAP * len(wider.columns) > width:
                found.append(grid.at(kept))
                kept = list(repeated)
            kept.append(at)
        found.append(grid.at(kept))
    return found


def markdown(answer: Sequence[str], grid: Grid, notes: Sequence[str]) -> str:
    """The same as GitHub-flavoured Markdown."""
    from tabulate import tabulate

    align = ["left" if column.left else "right" for column in grid.columns]
    cells = [[escaped(text) for text in line] for line in grid.lines]
    headings = [escaped(column.heading) for column in grid.columns]
    table = tabulate(cells, headings, "pipe", colalign=align, disable_numparse=True)
    return "\n\n".join([*map(escaped, answer), table, "\n".join(f"- {escaped(note)}" for note in notes)]) + "\n"


def finite(found: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The lines themselves. Raises InputError for a figure that is not a number: prices were absurd."""
    for line in found:
        for name, value in line.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{name} is too large to be computed; check the prices that are stated")
    return found


def numbered(texts: Sequence[Sequence[str]], of: str = "line") -> list[str]:
    """Each text once, in the order in which they come, with the lines that it is about unless it is about all.

    >>> numbered([["all", "one"], ["all"]])
    ['all', 'one [line 1]']
    """
    where: dict[str, list[int]] = {}
    for number, each in enumerate(texts, 1):
        for text in dict.fromkeys(each):
            where.setdefault(" ".join(text.split()), []).append(number)
    return [text if len(lines) == len(texts) else f"{text} [{_named(lines, of)}]" for text, lines in where.items()]


def _named(numbers: Sequence[int], of: str) -> str:
    return f"{of}{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _drawn(grid: Grid, width: int) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    widths = _widths(grid, width)
    for column, size in zip(grid.columns, widths, strict=True):
        justify: Literal["left", "right"] = "left" if column.left else "right"
        table.add_column(_broken(column.heading), justify=justify, overflow="fold", width=size)
    for line in grid.lines:
        texts = zip(grid.columns, line, widths, strict=True)
        table.add_row(*(text if column.left or len(text) <= size else _stacked(text) for column, text, size in texts))
    return table


def _widths(grid: Grid, width: int) -> list[int]:
    """Every column as wide as it would be, but none wider than it takes for all of them to fit."""
    least, wanted = _least(grid, folded=False), _wanted(grid)
    if sum(least) + GAP * len(least) > width:
        least = _least(grid)
    level = max(wanted)
    while level and sum(_between(level, least, wanted)) + GAP * len(least) > width:
        level -= 1
    return _between(level, least, wanted)


def _between(level: int, least: Sequence[int], wanted: Sequence[int]) -> list[int]:
    return [min(most, max(level, few)) for few, most in zip(least, wanted, strict=True)]


def _least(grid: Grid, folded: bool = True) -> list[int]:
    """No number is broken; a name may be where it is `folded`."""
    found = []
    for at, column in enumerate(grid.columns):
        words = _longest(word for word in _broken(column.heading).split())
        if column.left:
            texts = _longest(word for line in grid.lines for word in line[at].split())
            found.append(max(words, min(texts, FOLDED) if folded else texts))
        else:
            found.append(max(words, _longest(part for line in grid.lines for part in _stacked(line[at]).splitlines())))
    return found


def _wanted(grid: Grid) -> list[int]:
    return [
        max(_longest(_broken(column.heading).splitlines()), _longest(line[at] for line in grid.lines))
        for at, column in enumerate(grid.columns)
    ]


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _stacked(text: str) -> str:
    """A figure above its limit, or above its range.

    >>> _stacked("2,452 ±5%, ≥940"), _stacked("$4,830 ($4,830–$5,796)")
    ('2,452 ±5%,\\n≥940', '$4,830\\n($4,830–$5,796)')
    """
    return text.replace(", ", ",\n").replace(" (", "\n(")


def _broken(heading: str) -> str:
    """The word "estimate" under what it is about."""
    return heading.replace(" estimate", "\nestimate").replace("/measured", "\n/measured")
