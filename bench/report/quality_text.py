"""Quality in words: the cells of its columns, the notes under the table, and what the headline says of it."""

from collections.abc import Iterator, Sequence

from bench.metrics.quality import QualityFigures, text_of_delta, with_error
from bench.models import catalogue
from bench.report.quality import RANDOM
from bench.report.rows import Row
from bench.schema.precision import label

NONE = "–"
TASKS = "tasks (lm-eval): value ± standard error over the examples"


def bits_per_byte(row: Row) -> str:
    """Four decimals: levels differ in the third. The reason in the place of a figure that does not exist."""
    of = row.quality
    if of is None:
        return NONE
    if of.bits_per_byte is None:
        return f"({', '.join(reason.code for reason in of.reasons if reason.fatal)})"
    return f"{of.bits_per_byte:.4f}"


def delta_nll(row: Row) -> str:
    """The difference with its standard error; a trailing question mark where it can't be told from none."""
    of = row.quality
    if of is None or of.bits_per_byte is None:
        return NONE
    if of.divergence is None:
        return "reference" if of.is_reference else NONE
    delta = of.divergence.delta_nll
    return with_error(delta.value, delta.se) + ("" if delta.is_told_apart() else " ?")


def kl(row: Row) -> str:
    """Three significant digits, as a power of ten where it is next to nothing."""
    found = None if row.quality is None else row.quality.divergence
    return NONE if found is None else f"{found.kl_mean:.3g}"


def same_top_1(row: Row) -> str:
    found = None if row.quality is None else row.quality.divergence
    return NONE if found is None else share(found.same_top_1)


def share(of: float) -> str:
    """One decimal, and more near the whole: 99.98% is not 100%.

    >>> share(0.73), share(0.99984), share(0.99999999), share(1.0)
    ('73.0%', '99.984%', '>99.999%', '100%')
    """
    if of == 1:
        return "100%"
    text = f"{of:.1%}"
    if text == "100.0%":
        text = f"{of:.3%}"
    return ">99.999%" if text == "100.000%" else text


def notes(row: Row) -> Iterator[str]:
    """What a row's quality was measured on, against what, and how far to believe it; or why there is none."""
    of = row.quality
    if of is None:
        if row.no_quality_because and row.no_quality_because != RANDOM:  # random weights have a note of their own
            yield f"No quality: {row.no_quality_because}."
        return
    yield (
        f"Quality: the text {of.text}, {of.tokens:,} tokens ({of.text_bytes:,} bytes) in {of.windows:,} windows of "
        f"{of.window_tokens}; bits/byte does not depend on the tokenizer, and less is better."
    )
    if of.reference is not None:
        yield (
            f"ΔNLL (nats a token, more is worse), KL and same top-1: against {of.reference} over the same tokens; ± is "
            "a paired standard error over blocks of tokens, and '?' says that the difference is within 3 of them: it "
            "can't be told from none."
        )
    if of.self_check is not None:
        yield (
            f"The reference {of.reference}, scored twice, against itself: KL {of.self_check.kl_mean:.2g}, same top-1 "
            f"{share(of.self_check.same_top_1)}."
        )
    if row.cell.model.source.startswith("builtin:"):
        yield (
            "Quality of the built-in model: what was dequantised from Q4_1 is a fair reference for further "
            "quantisation, and says nothing about the original checkpoint."
        )
    yield from of.notes
    said = {reason.code for reason in row.verdict}
    yield from (f"{reason.code}: {reason.text()}" for reason in of.reasons if reason.code not in said)
    if of.no_comparison_because and "no-comparison" not in {reason.code for reason in of.reasons}:
        yield f"Quality not held against a reference: {of.no_comparison_because}."


def verdict(of: QualityFigures) -> str:
    """VALID, or the codes of the reasons against the quality figures."""
    return ", ".join(reason.code for reason in of.reasons) or "VALID"


def for_headline(row: Row) -> str:
    """What was compared and what was not, in brackets behind a price."""
    of = row.quality
    if of is None or of.bits_per_byte is None:
        return "quality not compared"
    if of.divergence is not None:
        own = f"ΔNLL {text_of_delta(of.divergence.delta_nll)} against {of.reference}"
    else:
        own = f"{of.bits_per_byte:.4f} bits per byte" + (", the reference itself" if of.is_reference else "")
    return f"quality: {own}; the API's quality is not compared"


def task_table(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and lines of the tasks' results, one line a row that has some; none where no row has."""
    has = [(number, row, row.quality.tasks) for number, row in enumerate(rows, 1) if row.quality and row.quality.tasks]
    names = list(dict.fromkeys((one.task, one.metric) for _, _, tasks in has for one in tasks))
    lines = []
    for number, row, tasks in has:
        found = {(one.task, one.metric): one for one in tasks}
        texts = [
            f"{with_error(found[name].value, found[name].stderr)} (n {found[name].examples:,})"
            if name in found
            else NONE
            for name in names
        ]
        lines.append((f"#{number} {catalogue.label(row.cell.model)} {label(row.cell.precision)}", *texts))
    return ["", *(" ".join(name) for name in names)], lines
