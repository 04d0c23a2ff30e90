"""A history in words: sizes of changes, what a series says of its newest runs, and a line of blocks."""

import math
from collections.abc import Sequence

from bench.entries.entry import Entry
from bench.history.judged import Judgement, ends
from bench.history.metric import Metric
from bench.history.series import Series
from bench.metrics.changes import Change
from bench.metrics.statistics import Estimate
from bench.page.shown import cut, visible
from bench.report.table import number, spread

BLOCKS = "▁▂▃▄▅▆▇█"
LONGEST = 40
"""Runs in a line of blocks: the newest."""

NARROWEST = 1.04
"""A line of blocks spans at least this ratio, so that noise of a percent does not look like mountains."""

AS_RATIO = 2.0
"""From here on a change is told as a factor."""


def name(text: str, longest: int = 120) -> str:
    """A name out of a record, on one line, with nothing in it that steers."""
    return cut(visible(" ".join(text.split())), longest)


def short(of: Entry) -> str:
    """A cell's id as people need it."""
    return name(of.cell_id, 12)


def figure(of: Estimate, metric: Metric) -> str:
    """In the metric's unit for people, with its interval.

    >>> from bench.history.metric import METRICS
    >>> figure(Estimate(0.0123, 0.0120, 0.0126, 3), METRICS["ttft_s"])
    '12.3 ±2%'
    """
    if metric.is_log:
        return number(of.value * metric.factor) + spread(of, metric.factor)
    half = "" if of.high is None else f" ±{number((of.high - of.value) * metric.factor, 2)}"
    return signed(of.value * metric.factor) + half


def signed(value: float, digits: int = 3) -> str:
    """With its sign, and none for zero.

    >>> signed(0.0123), signed(-4.0), signed(0.0)
    ('+0.0123', '-4.00', '0')
    """
    return ("+" if value > 0 else "-" if value < 0 else "") + number(abs(value), digits)


def percent(ratio: float) -> str:
    """A ratio as a change.

    >>> percent(1.102), percent(0.5), percent(3.0), percent(0.9996)
    ('+10.2%', '÷2.00', '×3.00', '-0.0%')
    """
    if ratio >= AS_RATIO:
        return f"×{number(ratio)}"
    if ratio <= 1 / AS_RATIO:
        return f"÷{number(1 / ratio)}"
    return f"{(ratio - 1) * 100:+.1f}%"


def size(of: Series, change: Change) -> str:
    """A change and its interval: '+10.2% (+8.1% to +12.4%)'."""
    low, high = ends(of, change)
    value = of.metric.back(change.step)
    if of.metric.is_log:
        return f"{percent(value)} ({percent(low)} to {percent(high)})"
    factor = of.metric.factor
    return f"{signed(value * factor)} {of.metric.unit} ({signed(low * factor)} to {signed(high * factor)})"


def confidence(change: Change) -> str:
    """One minus the chance of as clear a change in a series without any."""
    return "over 99.9%" if change.p <= 0.001 else f"{100 * (1 - change.p):.1f}%"


def since(of: Series, at: int) -> str:
    """A run with its day and revision."""
    point = of.points[at]
    when = "" if day(point.when) in point.name else day(point.when)
    said = [one for one in (when, point.revision and f"revision {name(point.revision, 14)}") if one]
    return name(point.name, 60) + (f" ({', '.join(said)})" if said else "")


def day(when: str) -> str:
    """The day of an ISO time."""
    return when[:10]


def result(of: Judgement) -> str:
    """What the series says, in a few words."""
    series, change = of.series, of.change
    if of.outcome == "stopped" and series.broken is not None:
        return f"stopped working in {name(series.broken.run, 60)}: {name(series.broken.why)}"
    if of.outcome == "too few":
        return series.why_none or ""
    if of.outcome == "suspect":
        last = series.points[-1]
        off = _off(series)
        return f"suspect: one run ({name(last.name, 60)}) is {off} off the level before; run again"
    if change is None:
        return f"steady over {len(series.points)} runs" + _noise(series)
    kind = {"changed": "change", "small change": "change below the threshold"}.get(of.outcome, of.outcome)
    return f"{kind}: {size(series, change)} since {since(series, change.at)}"


def _noise(of: Series) -> str:
    noise = of.found.noise
    if noise is None:
        return ""
    return f", which differ by ±{number(100 * noise, 2)}%" if of.metric.is_log else f", ±{number(noise, 2)}"


def _off(of: Series) -> str:
    """How far the last run is from the last level."""
    last = of.metric.run_of(of.points[-1].value).value - of.found.segments[-1].level
    return percent(math.exp(last)) if of.metric.is_log else signed(last * of.metric.factor)


def sentence(of: Judgement) -> str:
    """For a log: which cell and metric, how much, since when, how sure, and what else changed then."""
    series, change = of.series, of.change
    who = f"cell {short(series.newest)} ({name(series.name)}) on {name(series.newest.hardware, 60)}"
    said = f"{who}: {series.metric.name}: {result(of)}"
    if change is not None and of.outcome not in ("stopped", "suspect", "too few"):
        said += f"; confidence {confidence(change)}; {causes(of)}"
    return said


def causes(of: Judgement) -> str:
    """What else is not the same on both sides of the newest change."""
    if not of.causes:
        return "nothing else that is recorded changed then"
    return "changed then: " + ", ".join(name(one, 90) for one in of.causes)


def sparkline(of: Series) -> str:
    """The newest runs as blocks, low to high; of ratios where the metric is one."""
    values = [of.metric.run_of(point.value).value for point in of.points[-LONGEST:]]
    return blocks(values, math.log(NARROWEST) if of.metric.is_log else of.metric.least)


def blocks(values: Sequence[float], narrowest: float) -> str:
    """A block a value.

    >>> blocks([0.0, 0.5, 1.0], 0.0), blocks([2.0, 2.0], 0.0)
    ('▁▅█', '▅▅')
    """
    low, high = min(values), max(values)
    middle, width = (low + high) / 2, max(high - low, narrowest)
    if width <= 0:
        return BLOCKS[4] * len(values)
    places = [(value - middle) / width + 0.5 for value in values]
    return "".join(BLOCKS[min(7, int(place * 8))] for place in places)
