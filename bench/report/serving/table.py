"""The columns of the table of cells under load, in the units that people read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.cost import break_even
from bench.cost.serving import ApiOfMix
from bench.metrics.percentiles import TooFew
from bench.metrics.serving import ServingFigures
from bench.metrics.serving.frontier import decide
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.report.serving.frontier import good_usd
from bench.report.serving.row import ServingDollars, ServingRow, engine_text, load_text
from bench.report.table import MS, NONE, number, percent, shortened, spread
from bench.schema.precision import label

Text = Callable[[ServingRow], str]


@dataclass(frozen=True)
class Column:
    """A heading, and the text of a row under it. `group` places it in one of several tables on a narrow screen."""

    heading: str
    group: str
    text: Text
    numeric: bool = True


def model(row: ServingRow) -> str:
    """The model, or what the server calls it where the config does not say."""
    named = catalogue.label(row.cell.model)
    served = row.servings[0].capabilities.served_model if row.servings else ""
    served = shortened(catalogue.one_line(served))
    return served or named if row.cell.precision.name == "served" else named


def precision(row: ServingRow) -> str:
    """The precision's name, with the options that differ from its defaults."""
    return label(row.cell.precision)


def verdict(row: ServingRow) -> str:
    """VALID, the codes of the reasons against it (footnotes explain them), or the failure's status."""
    if row.figures is None:
        return row.status
    return ", ".join(reason.code for reason in row.verdict) or "VALID"


def _figure(name: str, interval: bool = False) -> Text:
    def text(row: ServingRow) -> str:
        found: Estimate | None = None if row.figures is None else getattr(row.figures, name)
        return NONE if found is None else number(found.value) + (spread(found) if interval else "")

    return text


def _whole(row: ServingRow) -> str:
    """Output tokens a second of the whole run, ramp and drain included."""
    rates = [] if row.figures is None else [run.whole.output_tokens_per_s for run in row.figures.runs]
    return number(sum(rates) / len(rates)) if rates else NONE


def _mean(kind: str) -> Text:
    def text(row: ServingRow) -> str:
        if row.figures is None or not row.figures.tokens.requests or not getattr(row.figures.tokens, kind):
            return NONE  # no prompt has no tokens: nobody counted them
        return number(getattr(row.figures.tokens, kind) / row.figures.tokens.requests)

    return text


def _cached(row: ServingRow) -> str:
    tokens = None if row.figures is None else row.figures.tokens
    return NONE if tokens is None or not tokens.input or not tokens.cached else percent(tokens.cached / tokens.input)


def _requests(row: ServingRow) -> str:
    if row.figures is None:
        return NONE
    ok, failed = (sum(getattr(run, name) for run in row.figures.runs) for name in ("succeeded", "failed"))
    return f"{ok:,}/{failed:,}"


def time_text(figures: ServingFigures | None, name: str, which: float) -> str:
    """A percentile in milliseconds, or how many requests it would take."""
    value = None if figures is None else figures.times.get(name, {}).get(which)
    return f"n<{value.needed}" if isinstance(value, TooFew) else number(None if value is None else value * MS)


def _time(name: str, which: float) -> Text:
    return lambda row: time_text(row.figures, name, which)


def _gap(row: ServingRow) -> str:
    """ITL where tokens could be told apart; else ICL, marked."""
    if row.figures is not None and row.figures.times.get("itl_s"):
        return time_text(row.figures, "itl_s", 99.0)
    text = time_text(row.figures, "icl_s", 99.0)
    return text if text == NONE else f"{text} c"


def _attained(row: ServingRow) -> str:
    return NONE if row.figures is None or row.figures.attainment is None else percent(row.figures.attainment)


def _objectives(row: ServingRow) -> str:
    """Whether every objective was met; a question mark where an interval reaches to both sides."""
    if row.meets is None or row.figures is None:
        return NONE
    doubt = decide(row.figures.objectives)[1] is None
    return ("yes" if row.meets else "no") + ("?" if doubt else "")


def _dollar(get: Callable[[ServingDollars], Estimate | None]) -> Text:
    def text(row: ServingRow) -> str:
        found = None if row.dollars is None else get(row.dollars)
        return NONE if found is None else number(found.value) + spread(found)

    return text


def _blended(row: ServingRow) -> str:
    """The reason in the place of a figure that would mean nothing."""
    if row.fatal:
        return f"({row.fatal})"
    if row.dollars is not None and row.dollars.bill is not None:
        return number(row.dollars.usd_per_mtok.value)
    return _dollar(lambda of: None if of.at is None else of.at.blended_usd_per_mtok)(row)


def _part(name: str) -> Callable[[ServingDollars], Estimate | None]:
    return lambda of: None if of.at is None else getattr(of.at, name)


def _per_1000(row: ServingRow) -> str:
    if row.dollars is not None and row.dollars.bill is not None:
        return number(row.dollars.bill.usd_per_1000_requests)
    return _dollar(_part("usd_per_1000_requests"))(row)


def _good(row: ServingRow) -> str:
    found = good_usd(row)
    return NONE if found is None else number(found.value) + spread(found)


def _ratio(row: ServingRow) -> str:
    best = None if row.dollars is None else row.dollars.cheapest
    return NONE if best is None else f"{number(best.ratio.value)}×"


def _break_even(row: ServingRow) -> str:
    best = None if row.dollars is None else row.dollars.cheapest
    if best is None or not best.idles:
        return NONE
    return ("never" if best.break_even_utilisation is None else percent(best.break_even_utilisation)) + doubt(best)


def doubt(found: ApiOfMix) -> str:
    """A question mark where the interval holds both: cheaper from some utilisation on, and never."""
    return "?" if found.break_even is not None and break_even.in_doubt(found.break_even) else ""


DROPPED_WHEN_EMPTY = (
    "machine",
    *("cached", "$/Mtok cached", "$/Mtok good", "goodput req/s", "attained", "SLO met", "tok/s/user"),
    *("$/Mtok in", "$/Mtok out", "$/Mtok out, all-in", "break-even", "vs API", "utilisation", "asleep $/Mtok"),
)
"""Columns that are left out where no row has a figure."""

COLUMNS: tuple[Column, ...] = (
    Column("model", "name", model, numeric=False),
    Column("precision", "name", precision, numeric=False),
    Column("engine", "name", engine_text, numeric=False),
    Column("load", "name", lambda row: load_text(row.traffic), numeric=False),
    Column("machine", "name", lambda row: row.machine or NONE, numeric=False),
    Column("in", "speed", _mean("input")),
    Column("cached", "speed", _cached),
    Column("out", "speed", _mean("output")),
    Column("ok/failed", "speed", _requests),
    Column("out tok/s", "speed", _figure("output_tokens_per_s", interval=True)),
    Column("whole run", "speed", _whole),
    Column("req/s", "speed", _figure("requests_per_s")),
    Column("tok/s/user", "speed", _figure("tokens_per_s_per_user")),
    Column("goodput req/s", "speed", _figure("goodput_requests_per_s")),
    Column("attained", "speed", _attained),
    Column("SLO met", "speed", _objectives),
    Column("TTFT p50", "latency", _time("ttft_s", 50.0)),
    Column("TTFT p95", "latency", _time("ttft_s", 95.0)),
    Column("TTFT p99", "latency", _time("ttft_s", 99.0)),
    Column("TPOT p50", "latency", _time("tpot_s", 50.0)),
    Column("TPOT p95", "latency", _time("tpot_s", 95.0)),
    Column("ITL p99", "latency", _gap),
    Column("E2EL p50", "latency", _time("e2el_s", 50.0)),
    Column("E2EL p95", "latency", _time("e2el_s", 95.0)),
    Column("$/Mtok", "dollars", _blended),
    Column("$/Mtok in", "dollars", _dollar(_part("input_usd_per_mtok"))),
    Column("$/Mtok cached", "dollars", _dollar(_part("cached_usd_per_mtok"))),
    Column("$/Mtok out", "dollars", _dollar(_part("output_usd_per_mtok"))),
    Column("$/Mtok out, all-in", "dollars", _dollar(_part("all_in_usd_per_mtok_output"))),
    Column("$ per 1,000 req", "dollars", _per_1000),
    Column("$/Mtok good", "dollars", _good),
    Column(
        "asleep $/Mtok", "dollars", _dollar(lambda of: None if of.asleep is None else of.asleep.blended_usd_per_mtok)
    ),
    Column("vs API", "dollars", _ratio),
    Column("break-even", "dollars", _break_even),
    Column("verdict", "dollars", verdict, numeric=False),
)


def columns(rows: Sequence[ServingRow]) -> tuple[list[Column], str]:
    """The columns to print, and a caption: naming columns that are equal in every row move there."""
    number_of = {id(row): str(index) for index, row in enumerate(rows, 1)}
    kept = [Column("#", "name", lambda row: number_of[id(row)])]
    said = []
    for column in COLUMNS:
        texts = {column.text(row) for row in rows}
        if column.heading in DROPPED_WHEN_EMPTY and texts == {NONE}:
            continue
        if column.group == "name" and column.heading != "load" and len(texts) == 1:
            said.append(texts.pop())
        else:
            kept.append(column)
    return kept, " · ".join(said)


def whole_table(rows: Sequence[ServingRow]) -> tuple[list[str], list[tuple[str, ...]]]:
    """What the whole run was, beside the steady window: never instead of it."""
    headings = ["#", "load", "window s", "of s", "out tok/s", "whole run", "req/s", "whole run", "at once", "ended"]
    lines = []
    for index, row in enumerate(rows, 1):
        for run, serving in zip(row.figures.runs, row.servings, strict=False) if row.figures is not None else ():
            numbers = (
                *(run.steady.length_s, run.whole.length_s),
                *(run.flow.output_tokens_per_s, run.whole.output_tokens_per_s),
                *(run.flow.requests_per_s, run.whole.requests_per_s, run.flow.concurrency),
            )
            lines.append((str(index), load_text(row.traffic), *(number(one) for one in numbers), serving.ended))
    return headings, lines


LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "icl_s": "ICL", "e2el_s": "E2EL"}


def percentile_table(rows: Sequence[ServingRow]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Every percentile of every time, in milliseconds, or how many requests it would take."""
    headings = ["#", "load", "ms", "p50", "p90", "p95", "p99"]
    lines = []
    for index, row in enumerate(rows, 1):
        names = {} if row.figures is None else row.figures.times
        for name in (*LATENCIES, *(one for one in names if one not in LATENCIES)):
            known = [one for one in names.get(name, {}).values() if not isinstance(one, TooFew) or one.n]
            if known:
                texts = (time_text(row.figures, name, which) for which in (50.0, 90.0, 95.0, 99.0))
                heading = LATENCIES.get(name, name.removesuffix("_s").replace("_", " "))
                lines.append((str(index), load_text(row.traffic), heading, *texts))
    return headings, lines


def api_table(rows: Sequence[ServingRow]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Each row's tokens at every compared API: its price for a million of them, this row over it, and from where on."""
    priced = [(index, row, row.dollars) for index, row in enumerate(rows, 1) if row.dollars is not None]
    names = list(dict.fromkeys(one.api for _, _, of in priced for one in of.apis))
    lines = []
    for index, row, of in priced:
        found = {one.api: one for one in of.apis}
        texts = [_at_api(found[name]) if name in found else NONE for name in names]
        own = number(of.usd_per_mtok.value) + ("" if of.bill is not None else spread(of.usd_per_mtok))
        lines.append((f"#{index} {load_text(row.traffic)}", own, *texts))
    return ["$/Mtok of the same tokens", "here", *names], lines


def _at_api(one: ApiOfMix) -> str:
    text = f"{number(one.usd_per_mtok)}: {number(one.ratio.value)}×"
    if not one.idles:
        return text
    share = one.break_even_utilisation
    return f"{text}, {'never cheaper' if share is None else f'from {percent(share)}'}{doubt(one)}"
