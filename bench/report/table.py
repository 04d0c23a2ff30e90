"""The columns of the results table: what stands in a cell of it, in the units that people read."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.cost import break_even
from bench.metrics.memory import peak_bytes
from bench.metrics.percentiles import TooFew
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.report import quality_text
from bench.report.costs import ApiComparison
from bench.report.measured import PERCENTILES
from bench.report.rows import Row
from bench.schema.precision import label

MS = 1e3
GB = 1e9
NONE = "–"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Column:
    """A heading, and the text of a row under it. `group` places it in one of several tables on a narrow screen."""

    heading: str
    group: str
    text: Callable[[Row], str]
    numeric: bool = True


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, no exponent.

    >>> number(0.012345), number(1234.5), number(21.06), number(None)
    ('0.0123', '1,234', '21.1', '–')
    """
    if value is None:
        return NONE
    if value == 0:
        return "0"
    size = abs(value)
    places = 0
    while size < 10 ** (digits - 1) and places < 12:
        size *= 10
        places += 1
    return f"{value:,.{places}f}"


def percent(share: float) -> str:
    """Two significant digits, three near the whole: 0.4% is not 0%, and 99.6% is not 100%.

    >>> percent(0.004), percent(0.633), percent(0.996), percent(1.0)
    ('0.40%', '63%', '99.6%', '100%')
    """
    return number(share * 100, 3 if 0.99 <= share < 1 else 2) + "%"


def spread(of: Estimate | None, factor: float = 1.0) -> str:
    """The half-width of the interval; the upper end (times `factor`) where the value cannot be told from zero.

    >>> spread(Estimate(10.0, 9.5, 10.526, 3))
    ' ±5%'
    >>> spread(Estimate(10.0, None, None, 1))
    ' ±?'
    >>> spread(Estimate(0.05, None, 0.09, 3), 1000)
    ' ≤90.0'
    """
    half = None if of is None else of.spread()
    if of is not None and of.low is None and of.high is not None:
        return f" ≤{number(of.high * factor)}"
    if of is not None and half is None:
        return " ±?"  # one replicate: nobody knows
    return "" if half is None else f" {width(half)}"


WIDEST = 1000
"""Two replicates that differ give an interval of any width; beyond this factor it says no more than that."""


def width(half: float, places: int | None = None) -> str:
    """The half-width of an interval that is a factor up and down: as a share, or as that factor where it is large.

    `places`: of the share, where it stands beside a target.

    >>> width(0.0512), width(0.004), width(35.2), width(221_640_504.0), width(0.0512, 1)
    ('±5%', '±0.4%', '×÷36', '×÷1,000+', '±5.1%')
    """
    if half >= WIDEST:
        return f"×÷{WIDEST:,}+"
    if half >= 9.995:
        return f"×÷{number(half + 1, 2)}"
    if places is None:
        places = 0 if half >= 0.0095 else 1
    return f"±{half:.{places}%}"


def _estimate(
    get: Callable[[Row], Estimate | None], factor: float = 1.0, interval: bool = False
) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = get(row)
        if found is None:
            return NONE
        return number(found.value * factor) + (spread(found, factor) if interval else "")

    return text


def _figure(name: str) -> Callable[[Row], Estimate | None]:
    return lambda row: None if row.figures is None else getattr(row.figures, name)


def cheapest(row: Row) -> ApiComparison | None:
    """The cheapest of the compared APIs for this row's requests."""
    if row.dollars is None or not row.dollars.apis:
        return None
    return min(row.dollars.apis, key=lambda one: one.api_usd_per_request)


def is_random(row: Row) -> bool:
    """Whether the weights are random: by the name of the model, or because the engine said so."""
    return row.cell.model.source.startswith("shape:") or (row.figures is not None and row.figures.facts.random_weights)


def model(row: Row) -> str:
    return shortened(catalogue.label(row.cell.model)) + (" (random weights)" if is_random(row) else "")


def shortened(name: str) -> str:
    """A name that leaves room for the other columns; pages and data hold the whole."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def batch(row: Row) -> str:
    """Rows of the batch; whether the engine schedules them is part of what was measured."""
    return row.cell.workload.label().removeprefix("batch ")


def precision(row: Row) -> str:
    """The precision's name, with the options that differ from its defaults."""
    return label(row.cell.precision)


Telling = Mapping[tuple[str, str], str | None]
"""Runner and option in which rows differ → the value that goes without saying."""


def runner(row: Row, telling: Telling | None = None) -> str:
    """The runner's name, with those of its options that tell the row from the others of that runner."""
    told, name = row.cell.runner.told(), row.cell.runner.name
    shown = {
        key: told[key]
        for (of, key), usual in (telling or {}).items()
        if of == name and key in told and str(told[key]) != usual
    }
    if shown.get("python"):
        shown["python"] = row.cell.runner.environment_folder()
    return name + _changed(shown)


def _changed(options: dict[str, object]) -> str:
    words = "".join(f" {key}={value}" for key, value in options.items() if value is not None)
    return catalogue.one_line(words)


def verdict(row: Row) -> str:
    """VALID, the codes of the reasons against it (footnotes explain them), or the failure's status."""
    if row.figures is None:
        return row.status
    if not row.verdict:
        return "VALID"
    return ", ".join(reason.code for reason in row.verdict)


def _peak(row: Row) -> str:
    size = None if row.figures is None else peak_bytes(row.figures.memory, row.figures.facts)
    return NONE if size is None else number(size / GB)


def _dollar(name: str) -> Callable[[Row], str]:
    return _estimate(lambda row: None if row.dollars is None else getattr(row.dollars, name), interval=True)


def _blended(row: Row) -> str:
    """The reason in the place of a figure that would mean nothing."""
    fatal = [reason.code for reason in row.verdict if reason.fatal]
    return f"({', '.join(fatal)})" if fatal else _dollar("blended_usd_per_mtok")(row)


def _floor(row: Row) -> str:
    return NONE if row.dollars is None else number(row.dollars.floor_usd_per_mtok)


def _share(name: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = None if row.figures is None else getattr(row.figures.roofline, name)
        return NONE if found is None else percent(found.value)

    return text


def _limit(row: Row) -> str:
    """The resource that bounds decode on this device, and the share of that bound which was reached."""
    if row.figures is None or row.figures.tpot_s is None:
        return NONE
    roofline = row.figures.roofline
    if roofline.limit is None or roofline.floor_step_s is None:
        return NONE
    return f"{roofline.limit} {percent(roofline.floor_step_s / row.figures.tpot_s.value)}"


def _ratio(row: Row) -> str:
    found = cheapest(row)
    return NONE if found is None else f"{number(found.ratio.value)}×{spread(found.ratio)}"


def _break_even(row: Row) -> str:
    found = cheapest(row)
    if found is None:
        return NONE
    return ("never" if found.break_even_utilisation is None else percent(found.break_even_utilisation)) + doubt(found)


def doubt(found: ApiComparison) -> str:
    """A question mark where the interval holds both: cheaper from some utilisation on, and never."""
    return "?" if found.break_even is not None and break_even.in_doubt(found.break_even) else ""


def _split(row: Row) -> str:
    """Without why it could not be split otherwise: a footnote has that."""
    return NONE if row.dollars is None else f"in and out {row.dollars.split.partition(', as ')[0]}"


def _residual(row: Row) -> str:
    found = None if row.dollars is None else row.dollars.residual
    return NONE if found is None else f"{found:+.1%}"


def _one_off(row: Row) -> str:
    return NONE if row.dollars is None else number(row.dollars.one_off_usd_per_mtok)


WHOLE = "output tok/s"
"""Output tokens over the time of the whole batch: all that there is where the engine schedules it."""

DROPPED_WHEN_EMPTY = (
    *("utilisation", "split", "cached", "J/token", "MBU", "MFU", "decode limit", "floor $/Mtok", "electricity $/Mtok"),
    *("machine", "$/Mtok cached", "fit residual", "one-off $/Mtok", "bits/byte", "ΔNLL", "KL", "same top-1"),
)
"""Columns that a footnote stands in for where no row has a figure."""

COLUMNS: tuple[Column, ...] = (
    Column("model", "name", model, numeric=False),
    Column("runner", "name", runner, numeric=False),
    Column("precision", "name", precision, numeric=False),
    Column("machine", "name", lambda row: row.machine or NONE, numeric=False),
    Column("arm", "name", lambda row: str(row.cell.arm)),
    Column("batch", "name", batch),
    Column("in", "name", lambda row: str(row.cell.workload.input_tokens)),
    Column("cached", "name", lambda row: str(row.cell.workload.cached_tokens or NONE)),
    Column("out", "name", lambda row: str(row.cell.workload.output_tokens)),
    Column("utilisation", "name", lambda row: NONE if row.dollars is None else percent(row.dollars.utilisation)),
    Column("split", "name", _split, numeric=False),
    Column("prefill tok/s", "speed", _estimate(_figure("prefill_tokens_per_s"), interval=True)),
    Column("decode tok/s", "speed", _estimate(_figure("decode_tokens_per_s"), interval=True)),
    Column(WHOLE, "speed", _estimate(_figure("output_tokens_per_s"), interval=True)),
    Column("TTFT ms", "speed", _estimate(_figure("ttft_s"), MS)),
    Column("TPOT ms", "speed", _estimate(_figure("tpot_s"), MS)),
    Column("peak GB", "speed", _peak),
    Column(
        "J/token",
        "limits",
        _estimate(lambda row: None if row.figures is None else row.figures.energy.j_per_output_token, interval=True),
    ),
    Column("MBU", "limits", _share("mbu")),
    Column("MFU", "limits", _share("mfu")),
    Column("decode limit", "limits", _limit),
    Column("bits/byte", "quality", quality_text.bits_per_byte),
    Column("ΔNLL", "quality", quality_text.delta_nll),
    Column("KL", "quality", quality_text.kl),
    Column("same top-1", "quality", quality_text.same_top_1),
    Column("$/Mtok in", "dollars", _dollar("input_usd_per_mtok")),
    Column("$/Mtok cached", "dollars", _dollar("cached_usd_per_mtok")),
    Column("$/Mtok out", "dollars", _dollar("output_usd_per_mtok")),
    Column("$/Mtok blended", "dollars", _blended),
    Column("fit residual", "dollars", _residual),
    Column("floor $/Mtok", "limits", _floor),
    Column("electricity $/Mtok", "dollars", _dollar("electricity_usd_per_mtok")),
    Column("one-off $/Mtok", "dollars", _one_off),
    Column("vs API", "dollars", _ratio),
    Column("break-even", "dollars", _break_even),
    Column("verdict", "dollars", verdict, numeric=False),
)


def columns(rows: Sequence[Row]) -> tuple[list[Column], str]:
    """The columns to print, and a caption: naming columns that are equal in every row move there."""
    telling = telling_options(rows)
    number_of = {id(row): str(index) for index, row in enumerate(rows, 1)}
    kept = [Column("#", "name", lambda row: number_of[id(row)])]
    said = []
    for column in _with_blends(rows):
        if column.heading == "runner" and telling:
            column = Column("runner", "name", lambda row: runner(row, telling), numeric=False)
        texts = {column.text(row) for row in rows}
        if column.heading != "cached":  # nothing cached is a length like any other
            texts = texts - {NONE} or {NONE}
        if column.heading in DROPPED_WHEN_EMPTY and texts == {NONE}:
            continue
        if column.heading == "arm" and texts == {"1"}:
            continue
        if column.heading == WHOLE and all(row.cell.workload.scheduling == "static" for row in rows):
            continue
        if column.group == "name" and column.heading != "precision" and len(texts) == 1:
            text = texts.pop()
            said.append(text if not column.numeric else f"{column.heading} {text}")
        else:
            kept.append(column)
    return kept, " · ".join(said)


def _with_blends(rows: Sequence[Row]) -> Iterator[Column]:
    """Every column, with those of the blends that were asked for behind the row's own blend."""
    asked = dict.fromkeys(name for row in rows if row.dollars is not None for name in row.dollars.asked_blends)
    for column in COLUMNS:
        yield column
        if column.heading == "$/Mtok blended":
            for name in asked:
                yield Column(f"$/Mtok {name}", "dollars", _at_blend(name))


def _at_blend(name: str) -> Callable[[Row], str]:
    return _estimate(lambda row: None if row.dollars is None else row.dollars.blends.get(name), interval=True)


def telling_options(rows: Sequence[Row]) -> Telling:
    """Options in which two rows of a runner differ, each with the value that goes without saying: that of most."""
    seen: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        for key, value in row.cell.runner.told().items():
            seen.setdefault((row.cell.runner.name, key), Counter())[str(value)] += 1
    found: dict[tuple[str, str], str | None] = {}
    for which, values in sorted(seen.items()):
        if len(values) > 1:
            common, count = values.most_common(1)[0]
            found[which] = common if 2 * count > values.total() else None
    return found


def percentile_table(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and lines of TTFT, TPOT and end-to-end percentiles, or how many samples they lack."""
    names = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2el_s": "E2EL"}
    headings = ["", *(f"{heading} p{which}" for heading in names.values() for which in PERCENTILES)]
    lines = []
    for index, row in enumerate(rows, 1):
        found = {} if row.figures is None else row.figures.percentiles
        texts = [_percentile(found.get(name, {}).get(which)) for name in names for which in PERCENTILES]
        lines.append((f"#{index} {catalogue.label(row.cell.model)} {precision(row)}", *texts))
    return headings, lines


def _percentile(value: float | TooFew | None) -> str:
    return str(value) if isinstance(value, TooFew) else number(None if value is None else value * MS)
