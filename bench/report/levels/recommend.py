"""Which level to ship: the cheapest within a stated loss, or the ladder of the cheapest ones for any loss."""

import math
from collections.abc import Mapping, Sequence

from bench.metrics.quality import Difference, with_error
from bench.metrics.statistics import Estimate
from bench.report.levels.level import Level, Recommendation, Step, ends_of, usd_of
from bench.report.levels.pairs import Pairs
from bench.report.rows import Row
from bench.report.table import number, verdict

HOW = "add `quality: {}` to the config and run it again (the speed that was measured is kept)"


def recommendation(
    levels: Sequence[Level], batch_size: int | None, tolerance: float | None, pairs: Pairs
) -> Recommendation:
    """`tolerance`: ΔNLL in nats a token, held against the upper end of each level's 95 % interval; None: the ladder."""
    if batch_size is None:
        return Recommendation(tolerance, sentences=("No recommendation: no level was measured.",))
    if all(one.delta_nll is None for one in levels):
        return Recommendation(tolerance, sentences=(_without_quality(levels),))
    if all(one.usd_per_mtok is None for one in levels):
        return Recommendation(tolerance, sentences=("No recommendation: no level has dollars at this batch size.",))
    if tolerance is None:
        return _ladder(levels, batch_size)
    return _within(levels, batch_size, tolerance, pairs)


def _without_quality(levels: Sequence[Level]) -> str:
    scored = [one.quality for one in levels if one.quality is not None]
    why = [one.no_quality_because for one in levels] + [one.no_comparison_because for one in scored]
    said = list(dict.fromkeys(one for one in why if one))
    if said:
        return f"No recommendation: {'; '.join(said)}."
    if scored and all(one.nll_per_token is None for one in scored):
        return "No recommendation: no level gave every token a finite probability (the verdicts say more)."
    if scored:
        return "No recommendation: quality was scored without a reference (quality.reference in the config)."
    return f"No recommendation: no quality was measured; {HOW}."


def _ladder(levels: Sequence[Level], batch_size: int) -> Recommendation:
    """Along the front: for each loss that may be allowed, the cheapest level."""
    on = [(one, one.delta_nll, one.usd_per_mtok) for one in levels if one.standing == "on"]
    steps = [
        Step(one.label, max(0.0, loss.value), _upper(loss), usd) for one, loss, usd in on if loss is not None and usd
    ]
    steps.sort(key=lambda step: (step.from_nats, step.usd_per_mtok.value))
    doubts = _doubts([one for one, _, _ in on])
    parts = []
    for step in steps:
        sure = step.surely_from_nats
        surely = "" if sure is not None and sure <= step.from_nats else f", surely from {_nats(sure)}"
        from_ = f"from {_nats(step.from_nats)}{surely if step.from_nats or surely else ''}"
        parts.append(f"{from_}: {step.label}, {usd_text(step.usd_per_mtok)}")
    sentences = [
        f"Cheapest for each ΔNLL that may be allowed (nats a token; $ per million tokens) at batch {batch_size}: "
        + "; ".join(parts)
        + "."
    ]
    sentences += doubts
    others = [at for at in _sizes(levels) if at != batch_size]
    differ = [at for at in others if _front_at(levels, at) != [step.label for step in steps]]
    if differ:
        ladders: dict[str, list[int]] = {}
        for at in differ:
            ladders.setdefault(", ".join(_front_at(levels, at)) or "none", []).append(at)
        said = "; ".join(f"at {_batches(sizes)}: {names}" for names, sizes in ladders.items())
        sentences.append(f"Other batch sizes have another ladder: {said}.")
    elif others:
        sentences.append(f"The ladder has the same levels at {_batches(others)}.")
    sentences.append("--tolerance names one level (such as --tolerance 0.02, or 2% of the perplexity).")
    return Recommendation(None, ladder=tuple(steps), sentences=tuple(sentences))


def _front_at(levels: Sequence[Level], batch_size: int) -> list[str]:
    """Labels of the levels that none beats at a batch size, by loss."""
    places = []
    for one in levels:
        usd, loss = _usd_at(one, batch_size), one.delta_nll
        if usd is not None and loss is not None:
            places.append((max(0.0, loss.value), usd.value, one.label))
    found: list[tuple[float, float, str]] = []
    for place in sorted(places):
        if not found or place[1] < found[-1][1] or place[:2] == found[-1][:2]:
            found.append(place)
    return [name for _, _, name in found]


def _within(levels: Sequence[Level], batch_size: int, tolerance: float, pairs: Pairs) -> Recommendation:
    asked = f"ΔNLL ≤ {_nats(tolerance)} nats a token ({_perplexity(tolerance)} of the perplexity)"
    within = _cheapest_first([one for one in levels if _is_within(one.delta_nll, tolerance)], batch_size)
    sizes = [at for at in _sizes(levels) if at != batch_size]
    elsewhere = {at: next(iter(_names_at(levels, at, tolerance)), None) for at in sizes}
    perhaps = _cheapest_first([one for one in levels if _is_in_doubt(one.delta_nll, tolerance)], batch_size)
    if not within:
        sentences = [f"No level is surely within {asked} at batch {batch_size}."]
        sentences += _in_doubt(perhaps, "It may be")
        sentences += _elsewhere(elsewhere, None)
        labels = tuple(one.label for one in perhaps)
        return Recommendation(tolerance, in_doubt=labels, at_other_sizes=elsewhere, sentences=tuple(sentences))
    best = within[0]
    usd, loss = best.usd_per_mtok, best.delta_nll
    assert usd is not None
    assert loss is not None
    cheaper = [one for one in perhaps if (own := one.usd_per_mtok) is not None and own.value < usd.value]
    alike = [one for one in within[1:] if not _is_surely_cheaper(best, one, pairs)]
    is_reference = best.is_quality_reference
    lost = "it is the reference" if is_reference else f"its ΔNLL is {loss_text(loss)}, at most {_nats(_upper(loss))}"
    sentences = [
        f"Cheapest level within {asked} at batch {batch_size}: {best.label}, {usd_text(usd)} per million tokens; "
        f"{lost}."
    ]
    sentences += _in_doubt(cheaper, "Cheaper, and in doubt")
    if alike:
        names = ", ".join(f"{one.label} ({usd_text(one.usd_per_mtok)})" for one in alike)
        sentences.append(f"By cost it cannot be told apart from {names}.")
    sentences += _doubts([best])
    sentences += _elsewhere(elsewhere, best.label)
    return Recommendation(
        tolerance,
        best.label,
        _upper(loss),
        tuple(one.label for one in cheaper),
        tuple(one.label for one in alike),
        elsewhere,
        sentences=tuple(sentences),
    )


def _is_surely_cheaper(one: Level, other: Level, pairs: Pairs) -> bool:
    return one.row is not None and other.row is not None and pairs.surely_cheaper(one.row, other.row)


def _is_within(loss: Difference | None, tolerance: float) -> bool:
    upper = None if loss is None else _upper(loss)
    return upper is not None and upper <= tolerance


def _is_in_doubt(loss: Difference | None, tolerance: float) -> bool:
    """Whether the interval reaches to both sides of the tolerance; without one, whether the value is within it."""
    if loss is None or _is_within(loss, tolerance):
        return False
    ends = ends_of(loss)
    return (loss.value if ends is None else ends[0]) <= tolerance


def _cheapest_first(levels: Sequence[Level], batch_size: int) -> list[Level]:
    priced = [(usd.value, at, one) for at, one in enumerate(levels) if (usd := _usd_at(one, batch_size)) is not None]
    return [one for _, _, one in sorted(priced, key=lambda each: each[:2])]


def _names_at(levels: Sequence[Level], batch_size: int, tolerance: float) -> list[str]:
    within = [one for one in levels if _is_within(one.delta_nll, tolerance)]
    return [one.label for one in _cheapest_first(within, batch_size)]


def _usd_at(level: Level, batch_size: int) -> Estimate | None:
    row: Row | None = level.rows.get(batch_size)
    return None if row is None else usd_of(row)


def _sizes(levels: Sequence[Level]) -> list[int]:
    """Batch sizes at which some level has dollars."""
    return sorted({at for one in levels for at in one.rows if _usd_at(one, at) is not None})


def _in_doubt(levels: Sequence[Level], begins: str) -> list[str]:
    if not levels:
        return []
    names = ", ".join(f"{one.label} ({loss_text(one.delta_nll)}, {usd_text(one.usd_per_mtok)})" for one in levels)
    return [f"{begins}: {names}: its interval reaches to both sides of the limit, and a longer text would narrow it."]


def _doubts(levels: Sequence[Level]) -> list[str]:
    """What the verdicts say against what is recommended."""
    found = [f"{one.label} ({verdict(one.row)})" for one in levels if one.row is not None and one.row.verdict]
    return [f"Take with care, because of the verdict: {', '.join(found)}."] if found else []


def _elsewhere(found: Mapping[int, str | None], here: str | None) -> list[str]:
    others = {at: name for at, name in found.items() if name != here}
    if others:
        said = ", ".join(f"{name or 'no level'} at batch {at}" for at, name in others.items())
        return [f"Another batch size would change it: {said}."]
    if not found:
        return ["No other batch size was measured."]
    return [f"It is the same at {_batches(list(found))}."]


def _batches(sizes: Sequence[int]) -> str:
    return ("batch " if len(sizes) == 1 else "batches ") + ", ".join(map(str, sizes))


def _upper(loss: Difference) -> float | None:
    ends = ends_of(loss)
    return None if ends is None else ends[1]


def _nats(value: float | None) -> str:
    return "?" if value is None else number(value, 2)


def _perplexity(nats: float) -> str:
    """The same as a share of the perplexity, exp(ΔNLL) − 1."""
    return f"{number(100 * math.expm1(nats), 2)}%"


def loss_text(loss: Difference | None) -> str:
    """With its standard error: `0.0120 ± 0.0040`."""
    return "unknown" if loss is None else with_error(loss.value, loss.se)


def usd_text(usd: Estimate | None) -> str:
    """As a range where there is an interval."""
    if usd is None:
        return "$–"
    if usd.low is None or usd.high is None:
        return f"${number(usd.value)}"
    low, high = number(usd.low), number(usd.high)
    return f"${low}" if low == high else f"${low}–{high}"
