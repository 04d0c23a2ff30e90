"""The README of a published folder: the answer first, the table, how it was measured, where, at which prices, again."""

import re
from collections.abc import Mapping, Sequence

from bench.entries.entry import Entry, Report
from bench.publish import digits, escaping
from bench.publish.escaping import line, markdown
from bench.schema import Environment

MOST_NOTES = 40
MOST_COMMANDS = 200


def text(
    report: Report,
    name: str,
    table: str,
    charts: Sequence[tuple[str, str]],
    runs: Mapping[str, int],
    licence: str | None,
) -> str:
    """Markdown. `charts`: (file without its ending, what is to be seen); `runs`: folder's name → records in it."""
    parts = [
        f"# What a million tokens cost on {markdown(_hardware(report.entries) or name)}",
        markdown(line(report.headline, escaping.LONGEST_NOTE)),
        "## Results",
        table.rstrip("\n"),
        "The same with the page's controls for price, utilisation and API: [report.html](report.html). As data: "
        "[table.csv](table.csv), [table.json](table.json); for papers: [table.tex](table.tex), "
        "[table.html](table.html).",
    ]
    if charts:
        parts += ["## Charts", *(f"![{markdown(line(about, 400))}](charts/{file}.svg)" for file, about in charts)]
    parts += ["## How it was measured", _bullets(_method(report))]
    parts += ["## Where", _environments(report.environments)]
    prices = _prices(report.entries)
    parts += ["## Prices", f"Of {report.day.isoformat()}.", *([prices] if prices else [])]
    parts += ["## Again", _again(report, runs)]
    if report.warnings:
        parts += ["## Left out", _bullets([f"{one}." for one in report.warnings[:MOST_NOTES]])]
    parts += ["## Licence", markdown(line(licence)) if licence else "None was stated by whoever published this."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _hardware(entries: Sequence[Entry]) -> str:
    return line(" and ".join(dict.fromkeys(one.hardware for one in entries)))


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line(one, escaping.LONGEST_NOTE))}" for one in sentences)


def _method(report: Report) -> list[str]:
    """The small print that is about many rows; what is about few stands with them on the page."""
    many = [note for note in report.notes if 4 * len(note.about) >= len(report.entries) or not note.about]
    found = []
    for note in many[:MOST_NOTES]:
        rows = f" ({len(note.about)} of {len(report.entries)} rows)" if note.about else ""
        found.append(note.text + rows)
    left = len(report.notes) - len(found)
    return [*found, *([f"{left} notes about fewer rows stand in report.html."] if left > 0 else [])]


def _environments(of: Mapping[str, Environment]) -> str:
    """Machines below each other; what a file of another tool does not say is not here."""
    lines = []
    for key, one in sorted(of.items()):
        devices = ", ".join(f"{each.name} (driver {each.driver or '?'})" for each in one.accelerators) or "none"
        said = {
            "CPU": f"{one.cpu_model}, {one.cpu_usable} of {one.cpu_logical} usable",
            "accelerators": devices,
            "memory": f"{digits.plain(one.memory_total_bytes / 1e9)} GB",
            "virtual machine": {True: "yes", False: "no", None: "not known"}[one.virtual_machine],
            "system": f"{one.system}, Python {one.python}",
            "packages": ", ".join(f"{name} {version}" for name, version in sorted(one.packages.items())),
            "llm-cost-bench": f"{one.bench_version}"
            + (f", revision {one.bench_revision}" if one.bench_revision else "")
            + f", instrument {one.instrument}",
        }
        rows = "\n".join(f"| {name} | {markdown(line(value, escaping.LONGEST_NOTE))} |" for name, value in said.items())
        lines.append(f"| machine | {key} |\n|---|---|\n{rows}")
    return "\n\n".join(lines) or "Only other tools' results, whose files say no more than the table."


def _prices(entries: Sequence[Entry]) -> str:
    """Each API that was compared with, for requests of the first entry that has it."""
    known: dict[str, str] = {}
    for one in entries:
        for api in () if one.priced is None else one.priced.apis:
            confirmed = api.confirmed.isoformat() if api.confirmed is not None else "–"
            dollars = " | ".join(
                "\\$" + digits.plain(usd)
                for usd in (api.input_usd_per_mtok, api.cached_usd_per_mtok, api.output_usd_per_mtok)
            )
            source = markdown(line(f"{api.source} {api.model_id}".strip()))
            known.setdefault(api.api, f"| {markdown(line(api.api))} | {dollars} | {source} | {confirmed} |")
    if not known:
        return ""
    head = "| API | in, a Mtok | cached | out | source | confirmed |\n|:--|--:|--:|--:|:--|:--|\n"
    return head + "\n".join(known.values())


def _again(report: Report, runs: Mapping[str, int]) -> str:
    """What makes the tables again, and what measures each row again."""
    counted = ", ".join(f"{markdown(name)} ({count} records)" for name, count in runs.items())
    tables = fenced([f"bench report {' '.join(report.runs)}"])
    commands = list(dict.fromkeys(one.command for one in report.entries if one.command))
    parts = [f"The records are in `runs/`: {counted}. The tables again, or at other prices:", tables]
    if commands:
        parts += ["Measured again, each row by its own command:", fenced(commands[:MOST_COMMANDS])]
    if len(commands) > MOST_COMMANDS:
        parts.append(f"{len(commands) - MOST_COMMANDS} more commands stand in table.csv.")
    return "\n\n".join(parts)


def fenced(lines: Sequence[str]) -> str:
    """A block of code that nothing in its lines can end.

    >>> print(fenced(["a ``` b"]))
    ````sh
    a ``` b
    ````
    """
    shown = [line(one, 2000) for one in lines]
    fence = "`" * max(3, *(len(run) + 1 for one in shown for run in re.findall(r"`+", one)), 3)
    return "\n".join([fence + "sh", *shown, fence])
