"""The small print under a history: prices, method, what was left out, and what else changed at a change."""

from collections.abc import Iterator, Sequence

from bench.history.judged import Judgement
from bench.history.table import explained
from bench.history.wording import name, short
from bench.metrics.changes import FEWEST_POINTS

METHOD = (
    "levels and changes: optimal partitioning of the logarithms, with at most 5 % of changeless series called changed "
    "(docs/history.md); intervals are 95 %"
)


def notes(found: Sequence[Judgement], prices: str) -> list[str]:
    """In the order in which a reader needs them."""
    return list(dict.fromkeys(_all(found, prices)))


def _all(found: Sequence[Judgement], prices: str) -> Iterator[str]:
    yield from explained(found)
    if any(one.series.metric.name == "usd_per_mtok" for one in found):
        yield prices
    if any(one.outcome != "too few" for one in found):
        yield METHOD
    if any(one.outcome == "too few" for one in found):
        yield f"a change needs {FEWEST_POINTS} runs or more: how much runs differ has to be known first"
    machines = {one.series.newest.hardware for one in found}
    if len(machines) > 1:
        yield f"{len(machines)} kinds of machines, which are kept apart"
    if len({one.series.newest.origin.instrument for one in found}) > 1:
        yield "runs of another version of the instrument, which could move a figure by itself, are kept apart"
    for one in found:
        for at in one.series.found.lonely:
            run = name(one.series.points[at].name, 60)
            yield f"{short(one.series.newest)} {one.series.metric.name}: {run} is set aside, alone far off"
        if one.series.found.skipped:
            yield f"{short(one.series.newest)}: {one.series.found.skipped} older runs are shown, not looked at"
