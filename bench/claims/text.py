"""Claims as text, Markdown or JSON."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from bench.claims.claim import QUALITY, Claim
from bench.report.render import escaped

FORMATS = ("table", "md", "json")
CLAIMS_SCHEMA_VERSION = 1
HEADINGS = ("#", "claim", "verdict")


def render(claims: Sequence[Claim], form: str, day: date, width: int | None = None) -> str:
    """All claims in one of `FORMATS`; `day` is that of the prices, `width` the terminal's, for `table` alone."""
    if form == "json":
        return _as_json(claims, day)
    return _markdown(claims, day) if form == "md" else _terminal(claims, day, width)


def note(day: date) -> str:
    """What holds for every figure."""
    return (
        f"Prices on {day}; those of APIs uncached and in the lowest tier; every figure is computed from the "
        f"sources named, whose own days stand beside them; {QUALITY}."
    )


def _sources(claims: Sequence[Claim]) -> list[str]:
    """Each source once, with the numbers of the claims that use it."""
    used: dict[str, list[str]] = {}
    for index, one in enumerate(claims, 1):
        for source in dict.fromkeys(one.sources):
            used.setdefault(source, []).append(str(index))
    return [f"{source} [{', '.join(numbers)}]" for source, numbers in used.items()]


def _terminal(claims: Sequence[Claim], day: date, width: int | None) -> str:
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in HEADINGS:
        grid.add_column(heading, overflow="fold")
    for index, one in enumerate(claims, 1):
        grid.add_row(str(index), one.statement, one.verdict)
    console.print(grid)
    for index, one in enumerate(claims, 1):
        console.print(f"\n{index}  {one.title}: {one.verdict}\n")
        console.print(Padding(f"“{one.statement}”", (0, 0, 0, 3)))
        for line in one.arithmetic:
            console.print(Padding(line.strip(), (0, 0, 0, 5 if line.startswith("  ") else 3)))
        console.print(Padding(f"{one.verdict}: {one.because}", (1, 0, 0, 3)))
    sources = _sources(claims)
    if sources:
        console.print("\nsources, and the claims that use them\n")
    for source in sources:
        console.print(Padding(f"• {source}", (0, 0, 0, 3)))
    console.print(f"\n{note(day)}")
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _markdown(claims: Sequence[Claim], day: date) -> str:
    from tabulate import tabulate

    cells = [(str(index), escaped(one.statement), one.verdict) for index, one in enumerate(claims, 1)]
    parts = [tabulate(cells, HEADINGS, "pipe", disable_numparse=True)]
    for index, one in enumerate(claims, 1):
        parts += [
            f"## {index}. {escaped(one.title)}: {one.verdict}",
            f"> {escaped(one.statement)}",
            "\n".join(f"{'  ' if line.startswith('  ') else ''}- {escaped(line)}" for line in one.arithmetic),
            f"**{one.verdict}**: {escaped(one.because)}",
        ]
    sources = [f"- {escaped(source)}" for source in _sources(claims)]
    if sources:
        parts += ["Sources, and the claims that use them:", "\n".join(sources)]
    return "\n\n".join([*parts, escaped(note(day))]) + "\n"


def _as_json(claims: Sequence[Claim], day: date) -> str:
    whole = {
        "schema_version": CLAIMS_SCHEMA_VERSION,
        "prices_on": str(day),
        "claims": [asdict(one) for one in claims],
        "note": note(day),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
