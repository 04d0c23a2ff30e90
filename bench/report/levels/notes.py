"""What has to be known to read a table of levels: the marks, the reference, prices, reasons and failures."""

from collections.abc import Iterator, Sequence

from bench.report import table
from bench.report.footnotes import merged
from bench.report.levels import recommend
from bench.report.levels.level import Level, LevelTable
from bench.report.quality import RANDOM
from bench.report.rows import Row


def notes(of: LevelTable, doubled: Sequence[str], wanted: str | None, batch_size: int | None) -> list[str]:
    """One sentence each. `doubled`: what stood there twice; `wanted`, `batch_size`: what was asked for."""
    found = [*_batch(of, batch_size), *_reference(of, wanted), *_marks(of), *_quality(of), *_front(of), *_money(of)]
    if doubled:
        found.append(f"Several rows (other weights or devices) of {', '.join(doubled)}: the last one is shown.")
    found += merged([note for level in of.levels for note in _against(level)])
    if any(table.is_random(row) for row in _rows(of)):
        found.append("Random weights: true shapes, so true speed and memory of a dense model; no quality.")
    if any(row.cell.model.source.startswith("builtin:") for row in _rows(of)):
        found.append(
            "The built-in model is dequantised from Q4_1: a fair reference for further quantisation, and not "
            "the original's quality."
        )
    return list(dict.fromkeys(" ".join(note.split()) for note in found))


def _rows(of: LevelTable) -> list[Row]:
    return [row for level in of.levels for row in level.rows.values()]


def _batch(of: LevelTable, asked: int | None) -> Iterator[str]:
    if of.batch_size is None:
        return
    if asked is not None and asked != of.batch_size:
        yield f"Nothing here was measured at batch {asked}: shown is batch {of.batch_size}."
    sizes = of.sweep.batch_sizes
    if len(sizes) > 1 and asked is None:
        every = all(of.batch_size in one.rows for one in of.levels if any(r.figures for r in one.rows.values()))
        which = "the largest that every measured level has" if every else "the one that most levels have"
        yield f"Batch {of.batch_size} is {which}; --batch-size shows another ({', '.join(map(str, sizes))})."


def _reference(of: LevelTable, wanted: str | None) -> Iterator[str]:
    if of.reference is None:
        if wanted is not None:
            yield f"No ratios: the reference {wanted} was not measured in this table."
        else:
            yield "No ratios: no level is plain (fp32, bf16, fp16) and measured; --reference names one."
    elif not of.level(of.reference).is_measured:
        yield f"No ratios: the reference {of.reference} has no figures at this batch size."
    held = of.quality_reference
    if held is not None and of.reference is not None and held != of.reference:
        yield f"ΔNLL, KL and same top-1 are against {held}, which the quality passes had as their reference."


def _marks(of: LevelTable) -> Iterator[str]:
    if any(one.decode_ratio is not None for one in of.levels):
        paired = [one.decode_ratio.paired for one in of.levels if one.decode_ratio is not None]
        how = "paired, because the levels were measured in turn" if all(paired) else "not all paired"
        yield (
            f"× {of.reference}: decode tok/s over the reference's, with a 95 % interval ({how}); ?: the interval "
            "includes 1, so they can't be told apart."
        )


def _quality(of: LevelTable) -> Iterator[str]:
    scored = [one for one in of.levels if one.quality is not None]
    if not scored:
        if not any(one.no_quality_because for one in of.levels):
            yield f"No quality was measured: {recommend.HOW}."
    elif any(one.divergence is not None for one in scored):
        quality = next(one.quality for one in scored if one.quality is not None)
        yield (
            f"Quality: {quality.tokens:,} tokens of {quality.text} in windows of {quality.window_tokens}. ΔNLL: nats a "
            "token more than the reference, ± one standard error (paired over blocks); ?: within three of them, so it "
            "can't be told from none. KL: mean (99th percentile) over the tokens, in nats. Same top-1: tokens for "
            "which both think the same one likeliest."
        )
    yield from merged([note for one in of.levels for note in _of_level(one)])


def _of_level(one: Level) -> Iterator[str]:
    """Why a level has no quality, or no comparison; and the reasons against its quality that its verdict lacks."""
    why = one.no_quality_because
    if why and why != RANDOM:  # random weights have a note of their own
        yield f"{one.label}: no quality: {why}"
    if one.quality is None:
        return
    codes = {reason.code for reason in one.quality.reasons}
    if one.quality.no_comparison_because and "no-comparison" not in codes:
        yield f"{one.label}: no ΔNLL: {one.quality.no_comparison_because}"
    said = set() if one.row is None else {reason.code for reason in one.row.verdict}
    for reason in one.quality.reasons:
        if reason.code not in said:
            yield f"{one.label}: {reason.code}: {reason.text()}"


def _front(of: LevelTable) -> Iterator[str]:
    if not any(one.standing for one in of.levels):
        return
    yield (
        f"● on the front: no other level costs no more and loses no more ({of.loss_is}; a loss below zero counts as "
        "zero). ?: one does, but not beyond the uncertainty of both."
    )
    off = [f"{one.label}: {one.not_placed_because}" for one in of.levels if one.not_placed_because]
    if off:
        yield f"Not placed: {', '.join(off)}."


def _money(of: LevelTable) -> Iterator[str]:
    priced = [one.row.dollars for one in of.levels if one.row is not None and one.row.dollars is not None]
    for dollars in priced:
        yield f"Hardware price: {dollars.rate.basis}; utilisation {table.percent(dollars.utilisation)}."
    if priced:
        yield "$/Mtok blended: the bill over all tokens, prompt and output."


def _against(level: Level) -> Iterator[str]:
    """What is to be said against a level's row: that it is missing, its failure, or the reasons in its verdict."""
    row = level.row
    if row is None:
        sizes = [str(at) for at, one in level.rows.items() if one.figures is not None]
        if sizes:
            yield f"{level.label}: not measured at this batch size (measured: {', '.join(sizes)})"
            return
        row = next(iter(level.rows.values()))
    if row.figures is None:
        failure = row.failure
        what = "no reason was recorded" if failure is None else failure.reason
        remedy = f"; {failure.remedy}" if failure is not None and failure.remedy else ""
        yield f"{level.label}: {row.status}: {what}{remedy}"
        return
    for reason in row.verdict:
        yield f"{level.label}: {reason.code}: {reason.text()}"
    if row.no_dollars_because:
        yield f"{level.label}: no dollars: {row.no_dollars_because}"
