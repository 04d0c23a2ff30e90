"""Tables, sentences and notes as text for a terminal or in Markdown; lines as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.render import escaped, guarded

FORMATS = ("table", "md", "csv", "json")
NAME = "name"


@dataclass(frozen=True)
class Column:
    """A heading; columns of one `group` stay together where the terminal is too narrow for all of them."""

    heading: str
    group: str = NAME
    left: bool = False


@dataclass(frozen=True)
class Grid:
    """Columns and the texts under them."""

    columns: Sequence[Column]
    lines: Sequence[Sequence[str]]

    def of_groups(self, *groups: str) -> "Grid":
        """The columns of these groups alone."""
        kept = [index for index, column in enumerate(self.columns) if column.group in groups]
        return Grid([self.columns[at] for at in kept], [[line[at] for at in kept] for line in self.lines])

    def without_empty(self, nothing: str) -> "Grid":
        """Less the columns in which no line says anything."""
        kept = [
            index
            for index, column in enumerate(self.columns)
            if column.group == NAME or any(line[index] != nothing for line in self.lines)
        ]
        return Grid([self.columns[at] for at in kept], [[line[at] for at in kept] for line in self.lines])


def terminal(answer: Sequence[str], grid: Grid, notes: Sequence[str], width: int | None) -> str:
    """Sentences, the table (in parts where it is too wide), and notes."""
    from rich.console import Console
    from rich.measure import Measurement

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    for text in answer:
        console.print(text + "\n")
    whole = _drawn(grid)
    if Measurement.get(console, console.options.update(width=10_000), whole).maximum <= console.width:
        console.print(whole)
        console.print()
    else:
        for group in dict.fromkeys(column.group for column in grid.columns if column.group != NAME):
            console.print(_drawn(grid.of_groups(NAME, group)))
            console.print()
    for note in notes:
        console.print(f"• {note}")
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def markdown(answer: Sequence[str], grid: Grid, notes: Sequence[str]) -> str:
    """The same as GitHub-flavoured Markdown."""
    from tabulate import tabulate

    align = ["left" if column.left else "right" for column in grid.columns]
    cells = [[escaped(text) for text in line] for line in grid.lines]
    headings = [escaped(column.heading) for column in grid.columns]
    table = tabulate(cells, headings, "pipe", colalign=align, disable_numparse=True)
    return "\n\n".join([*map(escaped, answer), table, "\n".join(f"- {escaped(note)}" for note in notes)]) + "\n"


def comma_separated(found: Sequence[Mapping[str, Any]]) -> str:
    """One line each; a text that a spreadsheet would run as a formula is quoted."""
    headings = list(dict.fromkeys(key for line in found for key in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, headings, lineterminator="\n", restval="")
    writer.writeheader()
    for line in found:
        writer.writerow({key: guarded(value) for key, value in line.items()})
    return out.getvalue()


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


def _drawn(grid: Grid) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in grid.columns:
        table.add_column(_broken(column.heading), justify="left" if column.left else "right", overflow="fold")
    for line in grid.lines:
        table.add_row(*line)
    return table


def _broken(heading: str) -> str:
    """The word "estimate" under what it is about."""
    return heading.replace(" estimate", "\nestimate").replace("/measured", "\n/measured")
