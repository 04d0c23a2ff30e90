"""Self-hosting against APIs: the notes under the tables, and all of it as text, Markdown, CSV or JSON."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.cost.api_prices import usd
from bench.cost.characters import UNKNOWN
from bench.cost.duty import HOURS_PER_MONTH
from bench.cost.hourly import NAMES
from bench.report import table
from bench.report.breakeven import COLD_PARTS, STANDING, Answer
from bench.report.breakeven_tables import Section, broken, sections, sentence
from bench.report.footnotes import cached_notes
from bench.report.render import as_csv, escaped, on_screen
from bench.report.table import number, percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BREAKEVEN_SCHEMA_VERSION = 1
FORMATS = ("table", "md", "csv", "json")
LONG = 12
"""Characters of an interval from which on its ends stand under each other on a narrow screen."""


def notes(found: Sequence[Answer]) -> list[str]:
    """Assumptions, sources with dates and what to keep in mind; those that do not hold for every row name the rows."""
    grouped: dict[str, list[int]] = {}
    for of in found:
        for text in _notes(of):
            numbers = grouped.setdefault(" ".join(text.split()), [])
            if of.number not in numbers:
                numbers.append(of.number)
    everyone = len(found)
    return [
        text if len(rows) == everyone else f"{text} [{', '.join(f'#{one}' for one in rows)}]"
        for text, rows in grouped.items()
    ]


def _notes(of: Answer) -> Iterator[str]:
    priced, row = of.priced, of.row
    yield f"Hardware price: {priced.rate.basis}."
    for hour in of.hours[1:]:
        yield f"{hour.kind.replace('_', ' ')}: {hour.basis}."
    prices = []
    for one in priced.apis:
        tier = one.model.tariff.at(row.cell.workload.input_tokens)
        prices.append(f"{one.api} ({usd(tier.input)} in, {usd(tier.output)} out)")
    today = priced.day == datetime.now(UTC).date()
    yield f"API prices {'on' if today else 'as of'} {priced.day}, USD per Mtok: {', '.join(prices)}."
    for one in priced.apis:
        yield from (f"{note}." for note in one.model.notes(priced.day))
    yield from cached_notes(row.cell.workload, priced)
    yield from _of_text(of)
    yield "Quality not compared."
    yield from _terms(of)
    yield from (f"{reason.code}: {reason.text()}" for reason in row.verdict)
    if table.is_random(row):
        yield "Random weights: true shapes, so true speed and memory of a dense model; no quality."


def _of_text(of: Answer) -> Iterator[str]:
    """Whose tokens were counted with what, and whose were not."""
    yield "The same requests: so many tokens of the measured model; tokenizers differ, so see the same text as well."
    if not of.same_text:
        yield "The same text: no figure, because this model's tokenizer is not to be had."
        return
    own = of.same_text[0]
    yield (
        f"The same text: a fixed sample of {own.text}, this model's tokens counted with {own.own_tokenizer} tokenizer; "
        "another kind of text has other ratios (--text prose, code, data or languages)."
    )
    for one in of.same_text:
        if one.api_tokenizer is None:
            yield f"{one.api}: {UNKNOWN}."


def _terms(of: Answer) -> Iterator[str]:
    """What the columns mean, and which assumptions they are made of."""
    maximum = of.hosting.max_utilisation
    yield (
        "Break-even utilisation: the share of its full load at which a machine that is paid by the hour costs what the "
        "API asks; in brackets the 95% interval of the measured rate; above 100% is never."
    )
    if of.row.replicates == 1:
        yield "±?: one replicate has no interval."
    if of.volumes:
        yield (
            f"A month is 8760/12 = {HOURS_PER_MONTH:g} hours. A replica is filled up to {percent(maximum)} of what it "
            "can do (--max-utilisation); requests that come in bursts leave less. Replicas are whole: for good is the "
            "volume above which another replica never makes self-hosting dearer again."
        )
    if of.priced.rate.kind == "serverless":
        yield f"A price {NAMES['serverless']}, has no idle hours: no volume has to fill them."
    if of.priced.rate.kind in STANDING:
        yield f"The machine, {of.priced.rate.kind}, {STANDING[of.priced.rate.kind]}."
    if of.priced.rate.served_share < 1:
        yield (
            f"The hourly price is for hours that serve: {percent(of.priced.rate.served_share)} of them all. A replica "
            "costs a month that share of 730 times the price, and serves as much less."
        )
    if of.sleeping:
        parts = " + ".join(f"{COLD_PARTS[key]} {number(value)} s" for key, value in of.cold_start_s.items())
        missing = " and ".join(text for key, text in COLD_PARTS.items() if key not in of.cold_start_s)
        yield (
            "Not always on: the machine is paid for while it is on, and serves nothing while it starts "
            f"({parts or 'not recorded'}{f'; {missing} not counted' if missing and parts else ''}; starting the "
            "machine itself and fetching weights are not in it). Utilisation is that of the time it is ready."
        )
    if "one_off" in of.priced.beside_usd_per_request and of.priced.one_off is not None:
        spread_over = of.priced.one_off
        yield f"One-off: ${spread_over.usd:g} for {spread_over.what} over {spread_over.mtok:g} Mtok is in every figure."
    if "electricity" in of.priced.beside_usd_per_request:
        yield (
            "Electricity of the measured joules is in every figure, with their interval; the owner's hourly rate has "
            "none in it."
        )


# --- formats -----------------------------------------------------------------------------------------------------


def render(found: Sequence[Answer], form: str, width: int | None = None) -> str:
    """All rows in one of `FORMATS`; `width` is the terminal's, for `table` alone."""
    if form == "json":
        return _as_json(found)
    if form == "csv":
        return _comma_separated(found)
    return _markdown(found) if form == "md" else _terminal(found, width)


def _terminal(found: Sequence[Answer], width: int | None) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    for of in found:
        console.print(sentence(of) + "\n")
        for section in sections(of):
            console.print(section.caption + "\n")
            console.print(_fitting(section, console))
            console.print()
    for note in notes(found):
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def _fitting(section: Section, console: "Console") -> "Table":
    """The widest of three drawings that fits: as it is, stacked with whole numbers, with whatever broken that must."""
    from rich.measure import Measurement

    def needs(grid: "Table") -> Measurement:
        return Measurement.get(console, console.options.update(width=10_000), grid)

    plain = _drawn(section)
    if needs(plain).maximum <= console.width:
        return plain
    stacked = _drawn(section, stacked=True)
    return stacked if needs(stacked).minimum <= console.width else _drawn(section, stacked=True, broken_numbers=True)


def _drawn(section: Section, stacked: bool = False, broken_numbers: bool = False) -> "Table":
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    lines = [[_stacked(text) if stacked else text for text in line] for line in section.lines]
    for index, heading in enumerate(section.headings):
        widest = max((len(word) for line in lines for word in line[index].split()), default=0)
        least = None if broken_numbers or not index else widest
        grid.add_column(heading, justify="right" if index else "left", overflow="fold", min_width=least)
    for line in lines:
        grid.add_row(*line)
    return grid


def _stacked(text: str) -> str:
    """A model under its provider, an interval under its value, its ends under each other where they are long.

    >>> _stacked("8,150,000 (7,150,000–never)").split("\\n")
    ['8,150,000', '(7,150,000–', 'never)']
    """
    value, between, interval = text.partition(" (")
    if not between:
        return broken(text)
    return f"{value}\n({interval.replace('–', '–' + chr(10)) if len(interval) > LONG else interval}"


def _markdown(found: Sequence[Answer]) -> str:
    from tabulate import tabulate

    parts = []
    for of in found:
        parts.append(escaped(sentence(of)))
        for section in sections(of):
            headings = [escaped(one.replace("/\n", "/")) for one in section.headings]
            cells = [[escaped(text) for text in line] for line in section.lines]
            align = ["left", *("right" for _ in headings[1:])]
            parts.append(f"**{escaped(section.caption)}**")
            parts.append(tabulate(cells, headings, "pipe", colalign=align, disable_numparse=True))
    parts.append("\n".join(f"- {escaped(note)}" for note in notes(found)))
    return "\n\n".join(parts) + "\n"


def _about(of: Answer) -> dict[str, Any]:
    """Which row, and the assumptions that all of its lines share."""
    work, row, one_off = of.row.cell.workload, of.row, of.priced.one_off
    return {
        "row": of.number,
        "cell_id": row.cell.cell_id,
        "model": table.model(row),
        "precision": table.precision(row),
        "batch_size": work.batch_size,
        "input_tokens": work.input_tokens,
        "cached_tokens": work.cached_tokens,
        "output_tokens": work.output_tokens,
        "verdict": table.verdict(row),
        "price_kind": of.priced.rate.kind,
        "usd_per_hour": of.hosting.usd_per_hour,
        "served_share": of.priced.rate.served_share,
        "one_off_usd": None if one_off is None else one_off.usd,
        "one_off_mtok": None if one_off is None else one_off.mtok,
        "one_off_what": None if one_off is None else one_off.what,
        "api_cached_share": of.api_cached_share,
        "max_utilisation": of.hosting.max_utilisation,
        "hours_per_month": HOURS_PER_MONTH,
        "prices_as_of": of.priced.day.isoformat(),
        "quality": "not compared",
    }


def _comma_separated(found: Sequence[Answer]) -> str:
    """A line for each line of each section, SI units and dollars in the headings; no rounding."""
    lines = [
        {"section": section, **_about(of), **line}
        for of in found
        for section, own in of.sections().items()
        for line in own
    ]
    return as_csv([{key: _joined(value) for key, value in line.items()} for line in lines])


def _joined(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value


def _beside(of: Answer) -> dict[str, float | None]:
    """What a request costs beside the hour, with its interval."""
    return {
        key: end
        for name, one in of.priced.beside_usd_per_request.items()
        for key, end in ((name, one.value), (f"{name}_low", one.low), (f"{name}_high", one.high))
    }


def _as_json(found: Sequence[Answer]) -> str:
    whole = {
        "schema_version": BREAKEVEN_SCHEMA_VERSION,
        "rows": [
            {
                **_about(of),
                "answer": sentence(of),
                "hardware_price": of.priced.rate.basis,
                "cold_start_s": of.cold_start_s,
                "usd_per_request_beside_the_hour": _beside(of),
                **of.sections(),
            }
            for of in found
        ],
        "notes": notes(found),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
