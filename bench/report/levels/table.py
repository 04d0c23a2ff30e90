"""The columns of the table of levels, and the tables of its batch sweep: what stands in a cell, in people's units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.metrics.comparison import Ratio
from bench.metrics.memory import peak_bytes
from bench.metrics.quality import with_error
from bench.metrics.statistics import Estimate
from bench.report.levels.level import Level, LevelTable
from bench.report.quality_text import share
from bench.report.table import GB, NONE, number, percent, spread, verdict, width

IN_DOUBT = "?"
FRONT = {"on": "●", "maybe": IN_DOUBT, "off": ""}
NO_KERNEL = "no kernel"

Grid = tuple[list[str], list[tuple[str, ...]]]


@dataclass(frozen=True)
class Column:
    """A heading, and the text of a level under it. `group` places it in one of several tables on a narrow screen."""

    heading: str
    group: str
    text: Callable[[Level], str]
    numeric: bool = True


KEPT_WHEN_EMPTY = ("level", "decode tok/s", "verdict")


def columns(of: LevelTable) -> list[Column]:
    """The columns to print: those in which some level has a figure."""
    return [
        column
        for column in _columns(of)
        if column.heading in KEPT_WHEN_EMPTY or {column.text(level) for level in of.levels} - {NONE, ""}
    ]


def _columns(of: LevelTable) -> tuple[Column, ...]:
    return (
        Column("level", "name", _name, numeric=False),
        Column("bits/weight", "speed", lambda one: number(one.bits.in_matrices)),
        Column("weights GB", "speed", _weights),
        Column("peak GB", "speed", _peak),
        Column("prefill tok/s", "speed", _figure("prefill_tokens_per_s")),
        Column("decode tok/s", "speed", _figure("decode_tokens_per_s")),
        Column(f"× {of.reference}", "speed", lambda one: ratio_text(one.decode_ratio)),
        Column("MBU", "speed", _mbu),
        Column("J/token", "speed", _joules),
        Column("$/Mtok blended", "quality", _usd),
        *(Column(f"$/Mtok {name}", "quality", _at_blend(name)) for name in blends(of)),
        Column("ΔNLL", "quality", _delta_nll),
        Column("KL (p99)", "quality", _kl),
        Column("same top-1", "quality", _top_1),
        Column("front", "quality", lambda one: NONE if one.standing is None else FRONT[one.standing]),
        Column("verdict", "quality", _verdict, numeric=False),
        Column("why", "quality", _why, numeric=False),
    )


def _name(one: Level) -> str:
    return f"{one.label} (ref.)" if one.is_reference else one.label


def _weights(one: Level) -> str:
    if one.row is None or one.row.figures is None:
        return NONE
    return number(one.row.figures.facts.weights_bytes / GB)


def _peak(one: Level) -> str:
    if one.row is None or one.row.figures is None:
        return NONE
    size = peak_bytes(one.row.figures.memory, one.row.figures.facts)
    return NONE if size is None else number(size / GB)


def _figure(name: str) -> Callable[[Level], str]:
    def text(one: Level) -> str:
        return NONE if one.row is None or one.row.figures is None else _estimate(getattr(one.row.figures, name))

    return text


def _estimate(of: Estimate | None) -> str:
    return NONE if of is None else number(of.value) + spread(of)


def ratio_text(of: Ratio | None) -> str:
    """`1.43 ±3%`; with `?` behind it where the interval includes 1, or where there is none.

    >>> ratio_text(Ratio(1.43, 1.40, 1.46, 2.0, 3, 3, True, "higher"))
    '1.43 ±2%'
    >>> ratio_text(Ratio(0.98, 0.94, 1.02, 2.0, 3, 3, True, "no difference seen"))
    '0.980 ±4% ?'
    """
    if of is None:
        return NONE
    half = Estimate(of.value, of.low, of.high, of.n_a).spread()
    mark = "" if of.excludes(1.0) else f" {IN_DOUBT}"
    return f"{number(of.value)} {'±?' if half is None else width(half)}{mark if half is not None else ''}"


def _mbu(one: Level) -> str:
    found = None if one.row is None or one.row.figures is None else one.row.figures.roofline.mbu
    return NONE if found is None else percent(found.value)


def _joules(one: Level) -> str:
    return NONE if one.row is None or one.row.figures is None else _estimate(one.row.figures.energy.j_per_output_token)


def _usd(one: Level) -> str:
    """The reason in the place of a figure that would mean nothing."""
    fatal = [] if one.row is None else [reason.code for reason in one.row.verdict if reason.fatal]
    return f"({', '.join(fatal)})" if fatal else _estimate(one.usd_per_mtok)


def blends(of: LevelTable) -> list[str]:
    """Ratios of in to out that were asked for beside the row's own."""
    priced = [one.row.dollars for one in of.levels if one.row is not None and one.row.dollars is not None]
    return list(dict.fromkeys(name for dollars in priced for name in dollars.asked_blends))


def _at_blend(name: str) -> Callable[[Level], str]:
    def text(one: Level) -> str:
        dollars = None if one.row is None else one.row.dollars
        return NONE if dollars is None else _estimate(dollars.blends.get(name))

    return text


def _delta_nll(one: Level) -> str:
    found = one.delta_nll
    if found is None:
        return _no_quality(one)
    if one.is_quality_reference:
        return "reference"
    return with_error(found.value, found.se) + ("" if found.is_told_apart() else f" {IN_DOUBT}")


def _no_quality(one: Level) -> str:
    """Codes such as NaN logits in the place of what they spoil."""
    fatal = [] if one.quality is None else [reason.code for reason in one.quality.reasons if reason.fatal]
    return f"({', '.join(fatal)})" if fatal else NONE


def _kl(one: Level) -> str:
    found = one.divergence
    if found is None:
        return "0" if one.is_quality_reference else NONE
    return f"{found.kl_mean:.2g} ({found.kl_p99:.2g})"


def _top_1(one: Level) -> str:
    found = one.divergence
    if found is None:
        return "100%" if one.is_quality_reference else NONE
    return share(found.same_top_1)


def _verdict(one: Level) -> str:
    if one.row is None:
        return "not measured" if any(row.figures is not None for row in one.rows.values()) else _status(one)
    own = verdict(one.row)
    said = {reason.code for reason in one.row.verdict}
    doubts = [] if one.quality is None else [each.code for each in one.quality.reasons if each.code not in said]
    return ", ".join([*([] if own == "VALID" and doubts else [own]), *doubts])


def _status(one: Level) -> str:
    return ", ".join(dict.fromkeys(verdict(row) for row in one.rows.values()))


def _why(one: Level) -> str:
    if one.explanation is None:
        return NONE
    return NO_KERNEL if one.explanation.bound == "no-kernel" else one.explanation.bound


def sweep_tables(of: LevelTable) -> list[tuple[str, Grid]]:
    """Titles and tables of the batch sweep: rates, then dollars; none where one batch size was measured."""
    sizes = of.sweep.batch_sizes
    if len(sizes) < 2 or not of.sweep.lines:
        return []
    headings = ["level", *(f"batch {at}" for at in sizes)]
    found = []
    for title, kind in (("decode tok/s over", "decode"), ("$/Mtok over", "usd")):
        lines = [
            (line.label, *(ratio_text(getattr(line, kind).get(at)) for at in sizes))
            for line in of.sweep.lines
            if getattr(line, kind)
        ]
        if lines:
            better = "above 1 is faster" if kind == "decode" else "below 1 is cheaper"
            found.append((f"{title} {of.reference}'s, by batch size ({better})", (headings, lines)))
    return found


def lines_of(of: LevelTable, shown: Sequence[Column]) -> list[tuple[str, ...]]:
    """The texts of a table's lines."""
    return [tuple(column.text(level) for column in shown) for level in of.levels]
