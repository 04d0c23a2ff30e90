"""Other tools' results in the tables of `bench report`: beside our own, never among them."""

from collections.abc import Callable, Sequence
from typing import Any

from bench.entries import headline, mixed
from bench.entries.entry import Entry
from bench.entries.plain import as_plain
from bench.entries.priced import Asked
from bench.metrics.statistics import Estimate
from bench.report.figures import with_interval
from bench.report.footnotes import ranges
from bench.report.render import escaped, grid
from bench.report.table import GB, MS, NONE, number, percent, spread

TITLE = "measured by other tools"
OWN = Asked()


def _figure(name: str, factor: float = 1.0, interval: bool = False) -> Callable[[Entry], str]:
    def text(entry: Entry) -> str:
        return _estimate(entry.figures.get(name), factor, interval)

    return text


def _estimate(of: Estimate | None, factor: float = 1.0, interval: bool = True) -> str:
    return NONE if of is None else number(of.value * factor) + (spread(of, factor) if interval else "")


def _part(name: str) -> Callable[[Entry], str]:
    return lambda entry: NONE if entry.priced is None else _estimate(mixed.part_usd_per_mtok(entry.priced, name, OWN))


def _blended(entry: Entry) -> str:
    return NONE if entry.priced is None else _estimate(mixed.usd_per_mtok(entry.priced, OWN))


def _against(entry: Entry) -> str:
    if entry.priced is None or (api := mixed.cheapest(entry.priced, OWN)) is None:
        return NONE
    found = mixed.ratio(entry.priced, api, OWN)
    return NONE if found is None else f"{number(found.value)}×{spread(found)}"


def _break_even(entry: Entry) -> str:
    if entry.priced is None or (api := mixed.cheapest(entry.priced, OWN)) is None:
        return NONE
    found = mixed.break_even(entry.priced, api, OWN)
    return "never" if found is None or found.value > 1 else percent(found.value)


def _peak(entry: Entry) -> str:
    size = None if entry.memory is None else entry.memory.peak_bytes
    return NONE if size is None else number(size / GB)


COLUMNS: tuple[tuple[str, Callable[[Entry], str]], ...] = (
    ("tool", lambda entry: entry.origin.tool),
    ("model", lambda entry: entry.model),
    ("precision", lambda entry: entry.precision),
    ("engine", lambda entry: entry.runner),
    ("workload", lambda entry: entry.workload),
    ("prefill tok/s", _figure("prefill_tokens_per_s", interval=True)),
    ("decode tok/s", _figure("decode_tokens_per_s", interval=True)),
    ("output tok/s", _figure("output_tokens_per_s", interval=True)),
    ("req/s", _figure("requests_per_s")),
    ("TTFT ms", _figure("ttft_s", MS)),
    ("TPOT ms", _figure("tpot_s", MS)),
    ("J/token", _figure("energy_j_per_output_token", interval=True)),
    ("peak GB", _peak),
    ("$/Mtok in", _part("input")),
    ("$/Mtok out", _part("output")),
    ("$/Mtok blended", _blended),
    ("vs API", _against),
    ("break-even", _break_even),
    ("verdict", lambda entry: entry.verdict_text),
)
TEXTS = ("tool", "model", "precision", "engine", "workload", "verdict")


def table(entries: Sequence[Entry]) -> tuple[list[str], list[tuple[str, ...]], list[int]]:
    """Headings, lines, and which columns stand to the left; columns without a figure are left out."""
    kept = [(name, text) for name, text in COLUMNS if name in TEXTS or any(text(one) != NONE for one in entries)]
    lines = [(str(place), *(_line(text(one)) for _, text in kept)) for place, one in enumerate(entries, 1)]
    left = [place for place, (name, _) in enumerate(kept, 1) if name in TEXTS]
    return ["#", *(name for name, _ in kept)], lines, left


def _line(text: str) -> str:
    """On one line, whatever the file said."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def notes(entries: Sequence[Entry]) -> list[str]:
    """Where the files are from, what was left out of them, where the dollars are from, and what is against a row."""
    found: dict[str, list[int]] = {}
    for place, one in enumerate(entries, 1):
        for text in _said(one):
            found.setdefault(_line(text), []).append(place)
    return [text if len(about) == len(entries) else f"{text} [{ranges(about)}]" for text, about in found.items()]


def _said(one: Entry) -> list[str]:
    of = one.origin
    version = f" {of.version}" if of.version else ""
    said = [
        f"{of.file or 'a file'}: written by {of.tool}{version}; imported, not measured by this program.",
        *of.remarks,
    ]
    if one.priced is not None:
        said += [one.priced.rate_basis, f"in and out {one.priced.split}"]
    if one.no_dollars_because:
        said.append(f"no dollars: {one.no_dollars_because}")
    return [*said, *(f"{reason.code}: {reason.text()}" for reason in one.verdict)]


def render(entries: Sequence[Entry], form: str, width: int | None = None) -> str:
    """The table and its notes, for a terminal or in Markdown."""
    headings, lines, left = table(entries)
    answer = headline.headline(list(entries), OWN, None)
    if form == "md":
        return _markdown(headings, lines, left, answer, notes(entries))
    import io

    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    console.print(TITLE + "\n")
    console.print(grid(headings, lines, left))
    console.print()
    if answer:
        console.print(answer + "\n")
    for note in notes(entries):
        console.print(f"• {note}")
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _markdown(headings: list[str], lines: list[tuple[str, ...]], left: list[int], answer: str, said: list[str]) -> str:
    from tabulate import tabulate

    align = ["left" if place in left else "right" for place in range(len(headings))]
    cells = [[escaped(text) for text in line] for line in lines]
    made = tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)
    parts = [f"**{TITLE}**", made, *([escaped(answer)] if answer else [])]
    return "\n\n".join([*parts, "\n".join(f"- {escaped(note)}" for note in said)]) + "\n"


def flat(one: Entry) -> dict[str, Any]:
    """Keys and plain values, for a line of CSV; the names are those of our own rows where they mean the same."""
    line: dict[str, Any] = {
        "cell_id": one.cell_id,
        "model": one.model,
        "runner": one.runner,
        "precision": one.precision,
        "origin": one.origin.tool,
        "origin_version": one.origin.version,
        "origin_file": one.origin.file,
        "load": one.workload,
        "batch_size": one.batch_size,
        "input_tokens": one.input_tokens,
        "cached_tokens": one.cached_tokens,
        "output_tokens": one.output_tokens,
        "status": one.status,
        "verdict": one.verdict_text,
        "replicates": one.replicates,
        "machine": one.machine,
        "accelerators": one.hardware,
    }
    for name, of in one.figures.items():
        line |= with_interval(name, of)
    return line | _dollars(one)


def _dollars(one: Entry) -> dict[str, Any]:
    priced = one.priced
    line: dict[str, Any] = {"no_dollars_because": one.no_dollars_because}
    if priced is None:
        return line
    line |= {"usd_per_hour": priced.usd_per_hour, "utilisation": priced.utilisation, "split": priced.split}
    line |= with_interval("blended_usd_per_mtok", mixed.usd_per_mtok(priced, OWN))
    for name in ("input", "output"):
        line |= with_interval(f"{name}_usd_per_mtok", mixed.part_usd_per_mtok(priced, name, OWN))
    api = mixed.cheapest(priced, OWN)
    if api is not None:
        share = mixed.break_even(priced, api, OWN)
        line |= {"cheapest_api": api.api, "cheapest_api_usd_per_mtok": mixed.api_usd_per_mtok(priced, api, OWN)}
        line |= with_interval("ratio_to_cheapest_api", mixed.ratio(priced, api, OWN))
        line["break_even_utilisation"] = None if share is None or share.value > 1 else share.value
    return line


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything, for JSON."""
    rows = [flat(one) | {"entry": as_plain(one)} for one in entries]
    return {"headline": headline.headline(list(entries), OWN, None), "rows": rows, "notes": notes(entries)}
