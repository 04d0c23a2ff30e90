"""When sessions come: one absolute plan in blocks, of which each load generator process takes every n-th arrival.

All processes draw the same stream and stride through it. Seeding each of them and adding up their plans is the known
mistake: with equal seeds the arrivals coincide, with regular ones the sum is no longer what was asked for.

**Rate.** The mean of n Poisson gaps has a standard error of 1/√n: over 10,000 arrivals the achieved rate is more than
0.5 % off in six plans of ten, and a result would stand beside a load that was not offered. So each stratum of 2,000
gaps is scaled to last exactly as long as 2,000 mean gaps. For gamma gaps (exponential ones have shape 1) this is no
cosmetic: their shares of their sum are independent of the sum (Lukacs, Annals of Mathematical Statistics 26, 1955), so
the scaled gaps are distributed exactly as those of a plan whose every 2,000th arrival happens to be on time. Within a
stratum nothing else changes: lag-1 autocorrelation −1/2,000, variance of the counts in windows of w arrivals
1 − w/2,000 of Poisson's. What is lost is the fluctuation of the rate over more than 2,000 arrivals, which no run of
usual length could average out; a queue over 95 % loaded, whose memory is that long, is treated a little too well.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.schema import Traffic

STRATUM = 2_000
"""Arrivals of a block, over which the asked rate is met exactly."""

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """A load over time: `first` at once, or growing linearly `to` another over `over_s` seconds."""

    first: float
    to: float
    over_s: float

    def at(self, at_s: float) -> float:
        """
        >>> Level(10, 30, over_s=60).at(30)
        20.0
        """
        if at_s >= self.over_s:
            return self.to
        return self.first + (self.to - self.first) * max(at_s, 0.0) / self.over_s

    def when(self, arrivals: Times) -> Times:
        """Seconds after which so many arrivals are expected: the inverse of the integrated rate.

        In the ramp, first·t + (to − first)·t²/(2·over_s) arrivals are due by t; its root is written so that it holds
        for a ramp of no slope too.
        """
        slope = (self.to - self.first) / self.over_s if self.over_s else 0.0
        ramped = (self.first + self.to) / 2 * self.over_s
        inside = np.minimum(arrivals, ramped)
        times: Times = 2 * inside / (self.first + np.sqrt(self.first**2 + 2 * slope * inside))
        times += (arrivals - inside) / self.to
        return times


def level(traffic: Traffic, first: float) -> Level:
    """The level that starts with `first` requests per second or streams at once."""
    if traffic.ramp is None:
        return Level(first, first, 0.0)
    return Level(first, traffic.ramp.to, traffic.ramp.over_s)


def arrivals(traffic: Traffic, draw: np.random.Generator, turns: float = 1.0) -> Iterator[Times | None]:
    """Blocks of 2,000 due times without end, in seconds since the epoch; None for a closed loop, which has none.

    `turns` are the requests of a mean session: `requests_per_s` counts requests, so that sessions come at
    requests_per_s / turns. Bursts are regular: one every burst_size / requests_per_s seconds, beginning at once. A
    burst is an experiment on its own, and should meet the server in the same state each time; for random clusters
    there is gamma with a burstiness below 1.
    """
    if traffic.requests_per_s is None:
        while True:
            yield None
    wanted = level(traffic, traffic.requests_per_s)
    of_sessions = Level(wanted.first / turns, wanted.to / turns, wanted.over_s)
    for block in _at_rate_one(traffic, draw):
        yield of_sessions.when(block)


def _at_rate_one(traffic: Traffic, draw: np.random.Generator) -> Iterator[Times]:
    """Arrivals at one a second; a ramp then stretches time, which makes an inhomogeneous process of a random one."""
    within = np.arange(STRATUM, dtype=np.float64)
    first = 0.0
    while True:
        if traffic.load in ("poisson", "gamma"):
            gaps = draw.standard_gamma(traffic.burstiness if traffic.load == "gamma" else 1.0, STRATUM)
            sums = np.cumsum(gaps)
            yield first + sums * (STRATUM / sums[-1])
        elif traffic.load == "burst":
            yield np.floor((first + within) / traffic.burst_size) * traffic.burst_size
        else:
            yield first + within
        first += STRATUM


def erlang_cv(workers: int, burstiness: float = 1.0) -> float:
    """Coefficient of variation of the gaps in one worker's slice: sums of `workers` gamma gaps.

    A slice of a Poisson plan is itself no Poisson process but an Erlang one; only all slices together are Poisson.

    >>> erlang_cv(4)
    0.5
    """
    return 1 / math.sqrt(workers * burstiness)
