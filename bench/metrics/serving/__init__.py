"""Requests under load, judged and counted: from a trace to figures. Pure.

A request's own times first (`times.py`), then one run (`RunFigures`: a replicate), then all replicates of a cell
(`ServingFigures`). Percentiles are over requests; those of gaps (`itl_s`, `icl_s`) are over gaps, and shown only where
there are enough requests. Requests that failed have no times and count against every objective. Definitions, formulas
and their sources are in docs/serving.md.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.metrics.percentiles import TooFew
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.schema import Slo

if TYPE_CHECKING:
    from bench.metrics.serving.gaps import Floats as Histogram
    from bench.metrics.serving.samples import Sample

PERCENTILES = (50.0, 90.0, 95.0, 99.0)

Spread = dict[float, float | TooFew]
"""Percentile → seconds, or how many requests it would take."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether something grew or fell inside the window. `slope_share`: change over it, as a share of its mean."""

    what: str
    slope_share: float
    p_value: float
    is_trend: bool


@dataclass(frozen=True, slots=True)
class Steady:
    """The part of a run that counts, in seconds since its epoch."""

    start_s: float
    end_s: float
    trends: tuple[Trend, ...] = ()
    note: str | None = None
    """Why it is not what the run intended, such as a longer warm-up."""

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Objective:
    """How one SLO fared: the share of requests (failed ones included) that met it, with an exact 95 % interval."""

    slo: Slo
    share: float
    low: float
    high: float
    value_s: float | TooFew | None
    """The percentile itself; None where so many failed that it is infinite, or none could be judged."""
    n: int = 0
    """Requests that could be judged."""
    independent: float = 0.0
    """What they are worth: requests in one queue resemble each other. `low` and `high` are of this number."""
    unjudged: int = 0
    """Answered, but without such a time: one token has no TPOT. They neither meet nor fail."""

    @property
    def met(self) -> bool:
        return self.n > 0 and self.share * 100 >= self.slo.percentile - 1e-9

    @property
    def surely(self) -> bool | None:
        """Met or not by the whole interval; None where it holds the objective's own share, or nothing was judged."""
        wanted = self.slo.percentile / 100
        if not self.n or self.low < wanted <= self.high:
            return None
        return self.low >= wanted


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was asked and answered, summed over requests that succeeded."""

    requests: int
    input: int
    cached: int
    output: int
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """Rates over a stretch of time, per second."""

    length_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    requests_per_s: float
    sent_per_s: float
    goodput_requests_per_s: float | None
    goodput_tokens_per_s: float | None
    concurrency: float
    """Mean number of requests on their way (Little's law)."""


@dataclass(frozen=True)
class RunFigures:
    """One replicate. Times and counts are of requests sent inside the steady window."""

    steady: Steady
    flow: Flow
    """Inside the window: tokens emitted in it over its length."""
    whole: Flow
    """First request sent to last answer over: shown beside it, never instead."""
    output_tokens_per_s: Estimate
    """The window's rate with an interval by batch means: what a single replicate has."""
    tokens: Tokens
    """Of requests that were over inside the window and succeeded."""
    succeeded: int
    failed: int
    statuses: dict[str, int]
    times: dict[str, Spread]
    """ttft_s, ttft_due_s (from the schedule), tpot_s, itl_s, icl_s, e2el_s, e2el_due_s, dispatch_delay_s, connect_s,
    longest_gap_s (between two tokens of a request: what an objective on ITL is held against)."""
    medians: dict[str, float]
    """Of the same, where there is at least one."""
    objectives: tuple[Objective, ...]
    attainment: float | None
    """Share of requests, failed ones included, that met every objective."""
    asked_per_s: float | None
    short_answers: int = 0
    """Fewer tokens than asked for, where the length was to be exact."""
    engine: dict[str, float] = field(default_factory=dict)
    """Medians of the engine's own timings: engine_prefill_s, engine_decode_s."""
    is_open: bool = False
    """There was a schedule: ttft_s and e2el_s of objectives and of the cell count from it."""
    drained: int = 0
    """Answered after sending had stopped, so in part under less than the load."""
    cut: int = 0
    """On their way, or not even sent, when the load ended. Neither succeeded nor failed."""
    unjudged: int = 0
    """Answered, but without a time that some objective asks for; left out of `attainment`."""
    judged: float = 0.0
    """Requests behind `attainment`."""
    resent: int = 0
    connected: int = 0
    """Requests that had to open a connection."""
    uncounted: int = 0
    """Answers whose tokens the server's usage does not say."""
    inside: dict[str, Estimate] = field(default_factory=dict)
    """Intervals from inside the run: output_tokens_per_s, requests_per_s, total_tokens_per_s, goodput_requests_per_s,
    ttft_s, tpot_s, e2el_s."""
    samples: dict[str, "Sample"] = field(default_factory=dict, repr=False)
    """Behind `times`, for the percentiles over all replicates."""
    gaps: dict[str, "Histogram"] = field(default_factory=dict, repr=False)
    """Behind itl_s and icl_s."""


@dataclass(frozen=True)
class ServingFigures:
    """A cell over its replicates. Estimates are over replicates, or by batch means where there is one."""

    runs: tuple[RunFigures, ...]
    output_tokens_per_s: Estimate
    requests_per_s: Estimate
    total_tokens_per_s: Estimate
    goodput_requests_per_s: Estimate | None
    tokens_per_s_per_user: Estimate | None
    """1 / median TPOT."""
    ttft_s: Estimate | None
    tpot_s: Estimate | None
    e2el_s: Estimate | None
    times: dict[str, Spread]
    """Over the requests of all replicates; open loops count from the schedule in ttft_s and e2el_s."""
    tokens: Tokens
    objectives: tuple[Objective, ...]
    attainment: float | None
    reasons: tuple[Reason, ...]
