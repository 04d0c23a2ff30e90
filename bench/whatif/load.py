"""A load to be served, its limits, and what serving it with copies of one measured batch takes. Pure.

The formulas, their assumptions and a worked example: docs/whatif.md. All is scaled linearly from an offline batch;
queues and continuous batching are not in it.
"""

import math
from dataclasses import dataclass

from bench.metrics.statistics import Estimate
from bench.whatif.projection import total

HOURS_PER_MONTH = 730
"""8760 hours of a year over 12."""
SECONDS_PER_HOUR = 3600
FAR = 2.0
"""Lengths over this factor away from the measured ones are warned about."""


@dataclass(frozen=True)
class Load:
    """Requests a second, all alike; `cached_tokens` of the prompt are in a cache already."""

    requests_per_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    max_utilisation: float = 0.7

    @property
    def uncached_tokens(self) -> int:
        return self.input_tokens - self.cached_tokens

    @property
    def requests_per_month(self) -> float:
        return self.requests_per_s * SECONDS_PER_HOUR * HOURS_PER_MONTH


@dataclass(frozen=True)
class Limits:
    """What a way to serve must keep; None for no limit."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2el_s: float | None = None
    usd_per_month: float | None = None

    def any_latency(self) -> bool:
        return any(limit is not None for limit in (self.ttft_s, self.tpot_s, self.e2el_s))


@dataclass(frozen=True)
class Batch:
    """A batch as it was measured (or projected), and the price of what ran it: one replica.

    `usd_per_hour` is for an hour that serves, and `served_share` of all hours do (`HourlyRate`); with
    `paid_while_serving` only those are paid in which it is busy. `one_off_usd_per_request` is that of the load's
    requests; the electricity is that of the measured ones, None where the hourly rate has it.
    """

    rows: int
    uncached_tokens: int
    output_tokens: int
    ttft_s: Estimate
    tpot_s: Estimate | None
    usd_per_hour: float
    served_share: float = 1.0
    paid_while_serving: bool = False
    one_off_usd_per_request: float = 0.0
    electricity_usd_per_request: Estimate | None = None

    @property
    def whole_s(self) -> float:
        """The time of the batch at its own lengths."""
        return self.ttft_s.value + (0.0 if self.tpot_s is None else self.tpot_s.value * (self.output_tokens - 1))


@dataclass(frozen=True)
class Miss:
    """A limit that is not kept: `figure` and `limit` in its own unit."""

    name: str
    figure: float
    limit: float

    @property
    def factor(self) -> float:
        return self.figure / self.limit


@dataclass(frozen=True)
class Served:
    """What the load takes. `ttft_s` and `e2el_s` hold the time in which a batch gathers, `gather_s`.

    `replicas_low` and `replicas_high` are those at the ends of the measurement's interval; None with one replicate.
    `electricity_usd_per_request` is what the load's request takes of it, where the hourly rate has none in it; it is in
    `usd_per_month`, as is the one-off cost.
    """

    batch_s: Estimate
    gather_s: float
    ttft_s: Estimate
    tpot_s: Estimate | None
    e2el_s: Estimate
    capacity_per_s: float
    replicas: int
    replicas_low: int | None
    replicas_high: int | None
    utilisation: float
    electricity_usd_per_request: Estimate | None
    usd_per_month: Estimate
    misses: tuple[Miss, ...]
    may_miss: tuple[str, ...]


def served(batch: Batch, load: Load, limits: Limits) -> Served:
    """The load on replicas of one batch.

    The prefill of N uncached tokens takes N/S of the measured one, M new tokens M − 1 steps. `batch.tpot_s` must be
    there if more than one token is asked for. Electricity is in proportion to the time.
    """
    prefill = batch.ttft_s.times(load.uncached_tokens / batch.uncached_tokens)
    steps = load.output_tokens - 1
    step = batch.tpot_s if steps else None
    whole = prefill if step is None else total(prefill, step.times(steps))
    share = batch.served_share
    replicas = copies(load, batch.rows, whole.value, share)
    low = None if whole.low is None else copies(load, batch.rows, whole.low, share)
    high = None if whole.high is None else copies(load, batch.rows, whole.high, share)
    gather_s = batch.rows * replicas / load.requests_per_s if batch.rows > 1 else 0.0
    ttft, e2el = _plus(prefill, gather_s), _plus(whole, gather_s)
    power = batch.electricity_usd_per_request
    power = None if power is None else power.times(whole.value / batch.whole_s)
    usd = _usd_per_month(batch, load, whole, (replicas, low, high), power)
    misses, may_miss = _against(limits, ttft, step, e2el, usd)
    return Served(
        batch_s=whole,
        gather_s=gather_s,
        ttft_s=ttft,
        tpot_s=step,
        e2el_s=e2el,
        capacity_per_s=batch.rows / whole.value * share,
        replicas=replicas,
        replicas_low=low,
        replicas_high=high,
        utilisation=load.requests_per_s * whole.value / (batch.rows * replicas * share),
        electricity_usd_per_request=power,
        usd_per_month=usd,
        misses=misses,
        may_miss=may_miss,
    )


def _usd_per_month(
    batch: Batch, load: Load, whole: Estimate, replicas: tuple[int, int | None, int | None], power: Estimate | None
) -> Estimate:
    """Of the replicas' hours, or of the seconds that serve; and of what each request costs beside them."""
    if batch.paid_while_serving:
        busy_s = load.requests_per_month / batch.rows
        hours = whole.times(busy_s * batch.usd_per_hour / SECONDS_PER_HOUR)
    else:
        monthly = batch.usd_per_hour * HOURS_PER_MONTH * batch.served_share
        value, low, high = replicas
        ends = (None if low is None else low * monthly, None if high is None else high * monthly)
        hours = Estimate(value * monthly, *ends, whole.n)
    usd = _plus(hours, batch.one_off_usd_per_request * load.requests_per_month)
    return usd if power is None else total(usd, power.times(load.requests_per_month))


def copies(load: Load, rows: int, batch_s: float, served_share: float = 1.0) -> int:
    """Replicas for a load: X / (B / time · the highest utilisation), rounded up, but not for an error of floats.

    A replica that serves for a share of all hours has that share of its capacity.

    Ten requests a second, batches of 8 in 2 s (4 a second), at most 70 % busy: 10 / 2.8 = 3.57.

    >>> copies(Load(10.0, 1, 1), 8, 2.0), copies(Load(10.0, 1, 1), 8, 2.0, served_share=0.5)
    (4, 8)
    """
    needed = load.requests_per_s * batch_s / (rows * load.max_utilisation * served_share)
    return max(1, math.ceil(needed * (1 - 1e-12)))


def api_usd_per_month(load: Load, usd_per_request: float) -> float:
    """What the load costs at an API.

    One request a second at $0.001 is $3.60 an hour:

    >>> api_usd_per_month(Load(1.0, 1, 1), 0.001)
    2628.0
    """
    return load.requests_per_month * usd_per_request


def distance(batch_uncached: int, batch_output: int, load: Load) -> float:
    """How far lengths are from those of the load: the length of the difference of their logarithms."""
    return math.hypot(
        math.log(load.uncached_tokens / batch_uncached), math.log(load.output_tokens / batch_output)
    )  # fmt: skip


def far(batch_uncached: int, batch_output: int, load: Load) -> bool:
    """Whether the load's lengths are outside a factor of 2 of the measured ones.

    >>> far(100, 100, Load(1.0, 200, 50)), far(100, 100, Load(1.0, 201, 100))
    (False, True)
    """
    factors = (load.uncached_tokens / batch_uncached, load.output_tokens / batch_output)
    return any(not 1 / FAR <= factor <= FAR for factor in factors)


def _plus(of: Estimate, by: float) -> Estimate:
    """With something exact added to it."""
    low = None if of.low is None else of.low + by
    high = None if of.high is None else of.high + by
    return Estimate(of.value + by, low, high, of.n)


def _against(
    limits: Limits, ttft: Estimate, tpot: Estimate | None, e2el: Estimate, usd: Estimate
) -> tuple[tuple[Miss, ...], tuple[str, ...]]:
    """The limits that are not kept, and those that the interval reaches over."""
    misses, may_miss = [], []
    for name, figure, limit in (
        ("TTFT", ttft, limits.ttft_s),
        ("TPOT", tpot, limits.tpot_s),
        ("E2EL", e2el, limits.e2el_s),
        ("$ per month", usd, limits.usd_per_month),
    ):
        if figure is None or limit is None:
            continue
        if figure.value > limit:
            misses.append(Miss(name, figure.value, limit))
        elif figure.high is not None and figure.high > limit:
            may_miss.append(name)
    return tuple(misses), tuple(may_miss)
