"""Other tools' results in the tables of `bench report`: beside our own, never among them."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from tabulate import tabulate

from bench.cost import blend
from bench.entries import headline, mixed
from bench.entries.entry import Entry
from bench.entries.plain import as_plain
from bench.entries.priced import Asked, Priced
from bench.metrics.statistics import Estimate
from bench.models.catalogue import one_line
from bench.report.figures import blend_key, with_interval
from bench.report.footnotes import ranges
from bench.report.render import escaped, grid, on_screen
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


def _at_blend(name: str) -> Callable[[Entry], str]:
    asked = _asked(name)
    return lambda entry: NONE if entry.priced is None else _estimate(mixed.usd_per_mtok(entry.priced, asked))


def _asked(name: str) -> Asked:
    of = blend.parse(name)
    return Asked(mix=(float(of.input_parts), float(of.output_parts)))


Column = tuple[str, str, Callable[[Entry], str]]
"""A heading, the table that it stands in on a narrow screen, and the text of an entry under it."""

COLUMNS: tuple[Column, ...] = (
    ("tool", "name", lambda entry: entry.origin.tool),
    ("model", "name", lambda entry: entry.model),
    ("precision", "name", lambda entry: entry.precision),
    ("engine", "name", lambda entry: NONE if entry.runner == entry.origin.tool else entry.runner),
    ("workload", "name", lambda entry: entry.workload),
    ("prefill tok/s", "speed", _figure("prefill_tokens_per_s", interval=True)),
    ("decode tok/s", "speed", _figure("decode_tokens_per_s", interval=True)),
    ("output tok/s", "speed", _figure("output_tokens_per_s", interval=True)),
    ("req/s", "speed", _figure("requests_per_s")),
    ("TTFT ms", "speed", _figure("ttft_s", MS)),
    ("TPOT ms", "speed", _figure("tpot_s", MS)),
    ("J/token", "speed", _figure("energy_j_per_output_token", interval=True)),
    ("peak GB", "speed", _peak),
    ("$/Mtok in", "dollars", _part("input")),
    ("$/Mtok out", "dollars", _part("output")),
    ("$/Mtok blended", "dollars", _blended),
    ("vs API", "dollars", _against),
    ("break-even", "dollars", _break_even),
    ("verdict", "dollars", lambda entry: entry.verdict_text),
)
TEXTS = ("tool", "model", "precision", "engine", "workload", "verdict")
ALWAYS = ("workload", "verdict")


def columns(entries: Sequence[Entry], blends: Sequence[str] = ()) -> tuple[list[Column], str]:
    """Those with something to say, and a caption: names that are equal in every row move there."""
    at = next(place for place, (heading, _, _) in enumerate(COLUMNS, 1) if heading == "$/Mtok blended")
    mixes: list[Column] = [(f"$/Mtok {name}", "dollars", _at_blend(name)) for name in blends]
    kept: list[Column] = []
    said: list[str] = []
    for column in (*COLUMNS[:at], *mixes, *COLUMNS[at:]):
        heading, group, text = column
        found = {text(one) for one in entries}
        if found == {NONE} and heading not in ALWAYS:
            continue
        if group == "name" and len(found) == 1 and heading not in ALWAYS:
            said.append(one_line(found.pop()))
        else:
            kept.append(column)
    return kept, " · ".join(said)


def table(entries: Sequence[Entry], shown: Sequence[Column]) -> tuple[list[str], list[tuple[str, ...]], list[int]]:
    """Headings, lines, and which columns stand to the left."""
    lines = [(str(place), *(one_line(text(one)) for _, _, text in shown)) for place, one in enumerate(entries, 1)]
    left = [place for place, (heading, _, _) in enumerate(shown, 1) if heading in TEXTS]
    return ["#", *(heading for heading, _, _ in shown)], lines, left


def notes(entries: Sequence[Entry]) -> list[str]:
    """Where the files are from, what was left out of them, where the dollars are from, and what is against a row."""
    found: dict[str, list[int]] = {}
    for place, one in enumerate(entries, 1):
        for text in _said(one):
            found.setdefault(one_line(text), []).append(place)
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


def render(entries: Sequence[Entry], form: str, width: int | None = None, blends: Sequence[str] = ()) -> str:
    """The table and its notes, for a terminal or in Markdown. `blends`: ratios of tokens that are priced as well."""
    shown, caption = columns(entries, blends)
    answer = headline.headline(list(entries), OWN, None)
    if form == "md":
        return _markdown(*table(entries, shown), caption, answer, notes(entries))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    console.print(f"{TITLE}: {caption}\n" if caption else f"{TITLE}\n")
    for part in _parts(entries, shown, console):
        console.print(grid(*table(entries, part)))
        console.print()
    if answer:
        console.print(one_line(answer) + "\n")
    for note in notes(entries):
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def _parts(entries: Sequence[Entry], shown: list[Column], console: Console) -> list[list[Column]]:
    """One table where it fits, else speed and dollars below each other."""
    wide = Measurement.get(console, console.options.update(width=10_000), grid(*table(entries, shown))).maximum
    if wide <= console.width:
        return [shown]
    names = [column for column in shown if column[1] == "name"]
    parts = [[column for column in shown if column[1] == group] for group in ("speed", "dollars")]
    return [[*names, *own] for own in parts if own]


def _markdown(
    headings: list[str], lines: list[tuple[str, ...]], left: list[int], caption: str, answer: str, said: list[str]
) -> str:
    align = ["left" if place in left else "right" for place in range(len(headings))]
    cells = [[escaped(text) for text in line] for line in lines]
    made = tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)
    title = f"**{TITLE}**" + (f": {escaped(caption)}" if caption else "")
    parts = [title, made, *([escaped(answer)] if answer else [])]
    return "\n\n".join([*parts, "\n".join(f"- {escaped(note)}" for note in said)]) + "\n"


def flat(one: Entry, blends: Sequence[str] = ()) -> dict[str, Any]:
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
    return line | _dollars(one, blends)


def _dollars(one: Entry, blends: Sequence[str]) -> dict[str, Any]:
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
    for name in blends:
        line |= _dollars_at(priced, name)
    return line


def _dollars_at(priced: Priced, name: str) -> dict[str, Any]:
    """Of a million tokens of a blend."""
    asked, key = _asked(name), blend_key(name)
    line: dict[str, Any] = dict(with_interval(f"usd_per_mtok_at_{key}", mixed.usd_per_mtok(priced, asked)))
    api = mixed.cheapest(priced, asked)
    if api is not None:
        share = mixed.break_even(priced, api, asked)
        line[f"cheapest_api_at_{key}"] = api.api
        line[f"cheapest_api_usd_per_mtok_at_{key}"] = mixed.api_usd_per_mtok(priced, api, asked)
        line |= with_interval(f"ratio_to_cheapest_api_at_{key}", mixed.ratio(priced, api, asked))
        line[f"break_even_utilisation_at_{key}"] = None if share is None or share.value > 1 else share.value
    return line


def document(entries: Sequence[Entry], blends: Sequence[str] = ()) -> dict[str, Any]:
    """Everything, for JSON."""
    rows = [flat(one, blends) | {"entry": as_plain(one)} for one in entries]
    return {"headline": headline.headline(list(entries), OWN, None), "rows": rows, "notes": notes(entries)}
