"""A leaderboard as text: terminal, Markdown, CSV and JSON."""

import io
from collections.abc import Sequence
from typing import Any

from bench.entries.entry import Entry
from bench.entries.plain import as_plain, plain
from bench.leaderboard.board import Board, Ranked, headline
from bench.leaderboard.ranking import Placed
from bench.metrics.statistics import Estimate
from bench.publish.columns import BY_NAME, Column
from bench.publish.digits import plain as rounded
from bench.publish.digits import stated
from bench.publish.escaping import line, markdown
from bench.report.render import as_csv, grid, json_text, on_screen

LEADERBOARD_SCHEMA_VERSION = 1

NAMES = ("model", "precision", "runner", "hardware", "workload")
BESIDE = (
    *("usd_per_mtok", "tokens_per_s_per_user", "total_tokens_per_s", "energy_j_per_output_token"),
    *("bits_per_byte", "delta_nll", "peak_bytes", "usd_per_hour"),
)
"""What stands beside the ranked figure where any row has it, the most wanted first."""

CSV_COLUMNS = tuple(name for name in BY_NAME if name not in NAMES)
NARROW = 26
"""Characters of a name on a terminal."""


def terminal(of: Board, width: int | None) -> str:
    """A table for each group; columns that do not fit beside the names are left out, the least wanted first."""
    from rich.console import Console
    from rich.measure import Measurement

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    free = console.options.update(width=10_000)
    console.print(f"{headline(of)}\n")
    for number, ranked in enumerate(of.groups, 1):
        console.print(f"{number}. {ranked.heading}\n")
        columns = _columns(ranked, of)
        made = _grid(ranked, columns)
        while len(columns) > 1 and Measurement.get(console, free, made).maximum > console.width:
            columns = columns[:-1]
            made = _grid(ranked, columns)
        console.print(made)
        console.print(f"{ranked.hidden} more: --limit shows them\n" if ranked.hidden else "")
    if of.without:
        console.print("without a place\n")
        lines = [(*_names(entry, NARROW), line(why, 90), line(entry.run, NARROW)) for entry, why in of.without]
        console.print(grid([*NAMES, "why", "run"], lines, range(len(NAMES) + 2)))
        console.print()
    for note in of.notes:
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def _columns(ranked: Ranked, of: Board) -> list[Column]:
    """The ranked figure first, then those that any row of the group has."""
    beside = [BY_NAME[name] for name in BESIDE if name != of.ranking.column]
    entries = [one.entry for one in ranked.places]
    return [BY_NAME[of.ranking.column], *(one for one in beside if any(_has(one, entry) for entry in entries))]


def _has(of: Column, entry: Entry) -> bool:
    return of.get(entry) is not None


def _grid(ranked: Ranked, columns: Sequence[Column]) -> Any:
    heads = ["place", *NAMES, *(_heading(one) for one in columns), "verdict", "run"]
    lines = [
        (place.text, *_names(place.entry, NARROW), *_values(place, columns), *_after(place.entry, NARROW))
        for place in ranked.places
    ]
    return grid(heads, lines, [*range(1, 1 + len(NAMES)), len(heads) - 2, len(heads) - 1])


def _heading(of: Column) -> str:
    return f"{of.heading} [{of.unit}]" if of.unit else of.heading


def _names(entry: Entry, longest: int = 200) -> list[str]:
    return [line(str(BY_NAME[name].get(entry) or ""), longest) for name in NAMES]


def _after(entry: Entry, longest: int = 200) -> list[str]:
    return [line(entry.verdict_text, longest), line(entry.run, longest)]


def _values(place: Placed, columns: Sequence[Column]) -> list[str]:
    """The first column is what the place was given for."""
    found = [stated(place.value, columns[0].factor)]
    return found + [_text(one, place.entry) for one in columns[1:]]


def _text(of: Column, entry: Entry) -> str:
    value = of.get(entry)
    if isinstance(value, Estimate):
        return stated(value, of.factor)
    if isinstance(value, float | int):
        return rounded(value * of.factor)
    return rounded(None) if value is None else line(value)


def as_markdown(of: Board) -> str:
    """A table for each group, with every column that has something in it."""
    parts = [f"**{markdown(headline(of))}**"]
    for number, ranked in enumerate(of.groups, 1):
        columns = _columns(ranked, of)
        heads = ["place", *NAMES, *(_heading(one) for one in columns), "verdict", "run"]
        lines = [
            [place.text, *_names(place.entry), *_values(place, columns), *_after(place.entry)]
            for place in ranked.places
        ]
        parts += [f"### {number}. {markdown(ranked.heading)}", _pipes(heads, lines, 1 + len(NAMES))]
        parts += [f"{ranked.hidden} more"] if ranked.hidden else []
    if of.without:
        lines = [[*_names(entry), line(why), line(entry.run)] for entry, why in of.without]
        parts += ["### without a place", _pipes([*NAMES, "why", "run"], lines, len(NAMES) + 2)]
    parts.append("\n".join(f"- {markdown(note)}" for note in of.notes))
    return "\n\n".join(parts) + "\n"


def _pipes(heads: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """GitHub's table; the first `left` columns and the last two hold words."""
    signs = [":--" if at < left or at >= len(heads) - 2 else "--:" for at in range(len(heads))]
    rows = [[markdown(text) for text in row] for row in (heads, *lines)]
    made = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([made[0], "|" + "|".join(signs) + "|", *made[1:]])


def as_lines(of: Board) -> str:
    """CSV: a line a row, nothing rounded; `group` numbers those that may be held against each other."""
    found = []
    for number, ranked in enumerate(of.groups, 1):
        for place in ranked.places:
            said = {"group": number, "place": place.place, "place_shared": place.shared, "by": of.ranking.name}
            found.append(said | _flat(place.entry) | {"comparable": ranked.group.heading, "why_no_place": None})
    for entry, why in of.without:
        found.append({"group": None, "place": None, "by": of.ranking.name} | _flat(entry) | {"why_no_place": why})
    return as_csv(found)


def _flat(entry: Entry) -> dict[str, Any]:
    said: dict[str, Any] = {name: BY_NAME[name].get(entry) for name in NAMES}
    said |= {"run": entry.run, "kind": entry.kind, "cell_id": entry.cell_id, "machine": entry.machine}
    for name in CSV_COLUMNS:
        value = plain(BY_NAME[name].get(entry))
        if isinstance(value, dict):
            said |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        else:
            said[name] = value
    return said | {"measured_at": entry.measured_at, "instrument": entry.origin.instrument, "command": entry.command}


def as_json(of: Board, warnings: Sequence[str]) -> str:
    """Everything, with a schema version; an entry is as `bench.entries.plain` has it, without single samples."""
    whole = {
        "schema_version": LEADERBOARD_SCHEMA_VERSION,
        "by": of.ranking.name,
        "headline": headline(of),
        "groups": [
            {
                "comparable": one.group.common,
                "rows": [_place(place) for place in one.places],
                "more": one.hidden,
            }
            for one in of.groups
        ],
        "without_a_place": [{"why": why, "entry": _entry(entry)} for entry, why in of.without],
        "notes": list(of.notes),
        "warnings": list(warnings),
    }
    return json_text(whole)


def _entry(of: Entry) -> dict[str, Any]:
    return {name: value for name, value in as_plain(of).items() if name != "distributions"}


def _place(of: Placed) -> dict[str, Any]:
    said = {"place": of.place, "shared": of.shared, "value": plain(of.value)}
    return said | {"usd_per_mtok": plain(BY_NAME["usd_per_mtok"].get(of.entry)), "entry": _entry(of.entry)}
