"""The steady window: which part of a run counts, and whether it was steady.

It begins when the load was at its level and answers had come back (`warm_s`), or later where the run had not settled:
by MSER-5 (White, Simulation 69, 1997; White, Cobb and Spratt, Winter Simulation Conference 2000), which leaves out as
much of the beginning as gives the rest the least standard error, on tokens a second and on the time to the first
token. Noise has a least somewhere too, and so has a stall: what is left out must differ from the rest, and from its
very beginning. It ends when sending stopped. Inside it a test looks for a trend.

The test compares the slope with the slow waves beside it (orthogonal polynomials of degree 2 to 7), which carry as
much power as the slope does where there is no trend, however the noise is correlated, as long as its memory is short
against the window: Student's t with six degrees of freedom (after Müller and Watson, Econometrica 76, 2008, and the
cosines of bench/metrics/statistics.py). A Mann-Kendall test with the variance of Hamed and Rao (J. Hydrology 204,
1998) estimates that correlation from the same short series, and calls more noise a trend; scripts/steady_coverage.py
shows both.
"""

import math

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from bench.metrics.serving import Steady, Trend
from bench.metrics.serving.columns import BIN_S, Columns, bin_of
from bench.metrics.serving.shares import student_p

SIGNIFICANT = 0.0125
"""Of each of three tests: together they call noise a trend in at most 5 runs of 100."""

TELLING = 0.05
"""Smaller changes over the window are none, however sure: they move a mean by 2.5 % at most."""

WAVES = 6
POINTS = 200
FEWEST_POINTS = 20
BATCH = 5
FEWEST_BATCHES = 10
APART = 4.0
"""Standard errors between the mean of what MSER leaves out and that of the rest; less is noise."""
NOTED = 0.1
"""Share of the window that MSER must leave out before it is worth a word."""

Floats = NDArray[np.float64]


def window(columns: Columns, warm_s: float, stopped_s: float) -> Steady:
    """The steady part of a run. Its ends are edges of the timeline's bins, and it is never empty."""
    begin = math.ceil(warm_s / BIN_S - 1e-6)
    end = max(math.floor(stopped_s / BIN_S + 1e-6), 1)
    note = None
    if begin >= end:
        sent = columns.sent_s[np.isfinite(columns.sent_s)]
        first = math.floor(float(sent.min()) / BIN_S) if len(sent) else 0
        begin = max(0, min(first, end - 1))
        note = "sending stopped before the load was at its level; all of it counts"
        return Steady(begin * BIN_S, end * BIN_S, trends(columns, begin * BIN_S, end * BIN_S), note)
    cuts = [_settled_tokens(columns, begin, end), _settled_ttft(columns, begin * BIN_S, end * BIN_S)]
    start = max(begin, *cuts)
    if not _tokens(columns, start, end).any():
        start = begin  # what follows the opening is silence: it is no other regime, it is the end
    if start - begin > NOTED * (end - begin):
        note = f"it settled {(start - begin) * BIN_S:.1f} s after the warm-up, which should be longer"
    start_s, end_s = round(start * BIN_S, 6), round(end * BIN_S, 6)
    return Steady(start_s, end_s, trends(columns, start_s, end_s), note)


def trends(columns: Columns, start_s: float, end_s: float) -> tuple[Trend, ...]:
    """Tests of tokens a second, requests on their way, and the time to the first token, between two edges of bins."""
    points = min(POINTS, bin_of(end_s) - bin_of(start_s))
    edges = np.linspace(start_s, end_s, points + 1)
    found = []
    ttft = _ttft(columns, start_s, end_s)
    for what, values in (
        ("output_tokens_per_s", grouped(_tokens(columns, bin_of(start_s), bin_of(end_s)), POINTS)),
        ("in_flight", columns.in_flight(edges)),
        ("ttft_s", grouped(np.log(ttft[1]), POINTS)),
    ):
        found.append(trend(what, values, is_log=what == "ttft_s"))
    return tuple(found)


def trend(what: str, values: Floats, is_log: bool = False) -> Trend:
    """Whether a series, evenly spaced in time, has a slope that its slow noise does not explain."""
    n = len(values)
    if n < FEWEST_POINTS or float(np.ptp(values)) == 0:
        return Trend(what, 0.0, 1.0, False)
    basis = np.linalg.qr(legvander(np.linspace(-1, 1, n), WAVES + 1))[0]
    parts = basis.T @ values
    noise = float(np.mean(parts[2:] ** 2))
    change = float(parts[1] * (basis[-1, 1] - basis[0, 1]))
    middle = float(np.mean(values))
    share = math.expm1(min(change, 50.0)) if is_log else change / abs(middle) if middle else 0.0
    p_value = 0.0 if noise == 0 else student_p(float(parts[1]) / math.sqrt(noise), WAVES)
    return Trend(what, share, p_value, p_value < SIGNIFICANT and abs(share) >= TELLING)


def mser(values: Floats, least: float = 0.0) -> int:
    """How many of these observations, in order of time, to leave out at the beginning.

    MSER-5: over means of five, the d that minimises Σ(yᵢ − ȳ)²/(n − d)² of what is left. 0 where there are too few to
    tell, where the opening does not differ, and where d lies beyond the first half: then nothing is settled, and the
    test for a trend says so. `least`: smaller differences of means are none.
    """
    count = len(values) // BATCH
    if count < FEWEST_BATCHES:
        return 0
    means = values[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    left = count - np.arange(count)
    sums, squares = np.cumsum(means[::-1])[::-1], np.cumsum((means**2)[::-1])[::-1]
    errors = np.maximum(squares - sums**2 / left, 0) / left**2
    best = int(np.argmin(errors[: count - BATCH + 1]))
    if best == 0 or best > count // 2:
        return 0
    # An opening is strange from its beginning on. A stall later on is the server's own, and must not be left out.
    beginning = means[: math.ceil(best / 3)]
    is_opening = all(_differs(part, means[best:], least) for part in (means[:best], beginning))
    return best * BATCH if is_opening else 0


def _differs(opening: Floats, rest: Floats, least: float) -> bool:
    """Whether the opening is another regime than the rest, whose slow noise says how far means of it may lie."""
    n = len(rest)
    waves = np.linalg.qr(legvander(np.linspace(-1, 1, n), WAVES))[0][:, 1:]
    power = float(np.mean((waves.T @ rest) ** 2))
    apart = abs(float(opening.mean() - rest.mean()))
    return apart > max(least, APART * math.sqrt(power * (1 / len(opening) + 1 / n)))


def grouped(values: Floats, most: int) -> Floats:
    """Means of equal numbers of neighbours, at most so many groups; what is left over at the end is dropped."""
    if len(values) <= most:
        return values
    size = math.ceil(len(values) / most)
    groups = len(values) // size
    return np.asarray(values[: groups * size].reshape(groups, size).mean(axis=1))


def _settled_tokens(columns: Columns, begin: int, end: int) -> int:
    """The first bin that counts by tokens a second."""
    series = _tokens(columns, begin, end)
    size = max(1, len(series) // 500)
    count = len(series) // size
    means = series[: count * size].reshape(count, size).mean(axis=1)
    return begin + mser(means, TELLING * float(means.mean())) * size


def _settled_ttft(columns: Columns, start_s: float, end_s: float) -> int:
    """The same by the times to the first token, in the order in which their requests began."""
    starts, ttft = _ttft(columns, start_s, end_s)
    size = math.ceil(len(ttft) / 500)
    cut = mser(grouped(np.log(ttft), 500), TELLING) * size
    return math.ceil(float(starts[cut]) / BIN_S) if cut else bin_of(start_s)


def _tokens(columns: Columns, begin: int, end: int) -> Floats:
    found = columns.tokens[begin:end]
    return np.concatenate([found, np.zeros(end - begin - len(found))])


def _ttft(columns: Columns, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """When requests began and how long they waited for their first token, in that order."""
    starts = columns.start_s
    waits = columns.first_token_s - starts
    inside = (starts >= start_s) & (starts < end_s) & (waits > 0)
    order = np.argsort(starts[inside], kind="stable")
    return starts[inside][order], waits[inside][order]
