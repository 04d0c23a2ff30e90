"""When a load is warm, when it has been measured well enough, and when it makes no sense to go on. Pure: no clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure.serving.orders import BIN_S
from bench.metrics.serving.bursts import dispersion
from bench.metrics.statistics import mean, t975
from bench.schema import Traffic

LEAST_WARM_S = 2.0
MOST_WARM_SHARE = 1 / 3
"""Of the duration: a load that takes longer to settle is counted all the same, and its trend is seen in the figures."""

ANSWER_TIMES = 2.0
"""An open loop is warm when it has been at its level for so many mean answer times."""

USUAL_DURATION_S = 60.0
LONGEST_FOR_PRECISION_S = 300.0
EXPECTED_TIMES = 10.0

FEWEST_FOR_FAILURES = 50
BATCHES = 10
FEWEST_BINS = 2 * BATCHES

WATCHED_S = 10.0
"""Shortest stretch over which an open loop is called oversaturated."""

GROWTH_SHARE = 0.1
SIGMAS = 4.0
ARRIVAL_SIGMAS = 2.0
TIMES_FIRST = 2.0


EDGE_S = 0.1
"""Of the figures' bins: their window begins at such an edge."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All load generators together at a moment. Counts are since the start."""

    at_s: float
    sent: int
    succeeded: int
    failed: int
    in_flight: int
    tokens: int = 0

    @property
    def over(self) -> int:
        return self.succeeded + self.failed


def duration_s(traffic: Traffic) -> float | None:
    """Seconds after the warm-up, or None where something else ends the load."""
    until = traffic.until
    if until.duration_s is not None:
        return until.duration_s
    if until.half_width is not None:
        return LONGEST_FOR_PRECISION_S
    ends_itself = traffic.load == "trace" or (traffic.prompts is not None and not traffic.prompts.repeat)
    return None if until.requests is not None or ends_itself else USUAL_DURATION_S


def edge_s(at_s: float) -> float:
    """The next edge of the figures' bins: what counts from there on counts in them too.

    >>> edge_s(2.03)
    2.1
    """
    return round(math.ceil(at_s / EDGE_S - 1e-9) * EDGE_S, 6)


def is_warm(
    traffic: Traffic,
    now: Standing,
    all_started: bool,
    level_s: float,
    answer_s: float | None,
    expected_s: float,
    flow_s: float = 0.0,
) -> bool:
    """Whether requests count from now on. The load goes on as it is: nothing is drained.

    `level_s`: when the load reached its level (see `Shape`), `answer_s`: mean time of an answer so far, `flow_s`: as
    of `is_oversaturated`. With a
    `warmup_s` it is that long after the load reached its level. Without one, as many answers as streams must have come
    back (closed loop), or two mean answer times have passed at the level (open loop), and in both a conversation more;
    at least 2 s, and at most a third of the duration (or ten times what one request took by itself, the pauses of a
    conversation, and 20 s, where there is no duration).
    """
    since_s = now.at_s - level_s
    pauses_s = (traffic.turns - 1) * traffic.think_time_s
    if traffic.warmup_s is not None:
        return all_started and since_s >= traffic.warmup_s
    whole_s = duration_s(traffic)
    most_s = USUAL_DURATION_S / 3 + pauses_s if whole_s is None else whole_s * MOST_WARM_SHARE
    most_s = max(most_s, EXPECTED_TIMES * expected_s) if whole_s is None else most_s
    if since_s >= most_s and all_started:
        return True
    if not all_started or now.at_s < LEAST_WARM_S:
        return False
    if traffic.load == "closed":
        streams = traffic.concurrency or 1
        # The later turns of a conversation are longer than its first: each stream must have had all of them.
        return now.over >= traffic.turns * (
            streams if traffic.ramp is None else max(streams, math.ceil(traffic.ramp.to))
        )
    # Sessions come `turns` times more rarely than requests: the rate is right once a first conversation may have ended.
    return answer_s is not None and since_s >= max((ANSWER_TIMES + traffic.turns - 1) * answer_s + pauses_s, flow_s)


def failed_share(history: Sequence[Standing]) -> float | None:
    """Of the last 50 requests that are over, or of as many more as the snapshots make it; None with fewer."""
    if not history:
        return None
    last = history[-1]
    before = next((one for one in reversed(history) if last.over - one.over >= FEWEST_FOR_FAILURES), None)
    if before is None:
        if last.over < FEWEST_FOR_FAILURES:
            return None
        before = Standing(0.0, 0, 0, 0, 0)
    return (last.failed - before.failed) / (last.over - before.over)


def half_width(
    bins: Mapping[int, float], ttft: Sequence[tuple[float, float]], from_s: float, to_s: float
) -> float | None:
    """The wider of two 95 % half-widths by batch means, as a share: of the token rate, and of the median TTFT.

    Ten batches of equal length from `from_s` to `to_s` (Law, Simulation Modeling and Analysis, 9.5.3): long ones, so
    that neighbours hardly depend on each other. None before there is enough.
    """
    first, end = math.ceil(from_s / BIN_S), math.floor(to_s / BIN_S)
    each = (end - first) // BATCHES
    if end - first < FEWEST_BINS:
        return None
    edges = [first + place * each for place in range(BATCHES + 1)]
    rates = [sum(bins.get(one, 0.0) for one in range(edges[i], edges[i + 1])) for i in range(BATCHES)]
    batches: list[list[float]] = [[] for _ in range(BATCHES)]
    for sent_s, value in ttft:
        place = (int(sent_s / BIN_S) - first) // each
        if sent_s >= from_s and 0 <= place < BATCHES:
            batches[place].append(value)
    widths = [_relative_width(rates)]
    if ttft:  # without streaming there is none
        if any(not one for one in batches):
            return None
        widths.append(_relative_width([median(one) for one in batches]))
    return None if None in widths else max(one for one in widths if one is not None)


def _relative_width(values: Sequence[float]) -> float | None:
    middle = mean(values)
    if middle <= 0:
        return None
    variance = sum((one - middle) ** 2 for one in values) / (len(values) - 1)
    return t975(len(values) - 1) * math.sqrt(variance / len(values)) / middle


def is_oversaturated(
    history: Sequence[Standing], traffic: Traffic, level_s: float, answer_s: float | None, flow_s: float = 0.0
) -> bool:
    """Whether the queue of an open loop grows without end.

    `answer_s`: what an answer took at first. The quick ones come back first, so that of lengths that vary it is far too
    short; `flow_s` is how long nearly all take from their first token on, which no queue before the server adds to, and
    until then a load that fills up looks like one that never ends.

    Over a stretch of at least 10 s at the load's level, once it may have filled up: more requests are on their way in
    each third of it than in the one before; it has grown by a tenth of what was sent, by more than four standard
    deviations of what chance does to a stable queue (of Poisson arrivals, the number on their way has a variance equal
    to its mean; bursts multiply it), by more than the arrivals of that stretch waver, and to more than twice its mean
    in the first third.
    """
    if traffic.load == "closed" or answer_s is None or not history:
        return False
    begin_s = level_s + 2 * answer_s + flow_s
    span = [one for one in history if one.at_s >= begin_s]
    thirds = len(span) // 3
    if thirds < 2 or span[-1].at_s - span[0].at_s < max(WATCHED_S, 2 * answer_s):
        return False
    means = [mean([one.in_flight for one in span[i * thirds : (i + 1) * thirds]]) for i in range(3)]
    grown = span[-1].in_flight - span[0].in_flight
    spread, sent = dispersion(traffic), span[-1].sent - span[0].sent
    return (
        means[0] < means[1] < means[2]
        and grown > GROWTH_SHARE * sent
        and grown > SIGMAS * math.sqrt(2 * max(1.0, means[0]) * spread)
        and grown > ARRIVAL_SIGMAS * math.sqrt(sent * spread)
        and span[-1].in_flight > TIMES_FIRST * max(1.0, span[0].in_flight)
    )
