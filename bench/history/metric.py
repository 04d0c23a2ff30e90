"""What a history can be of: where the figure is in an entry, its unit for people, and which way is worse."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import Asked
from bench.metrics.changes import FLOOR, Run
from bench.metrics.statistics import Estimate, t975

Z = 1.959963985
NATS_FLOOR = 1e-5
MOST = 690.0
"""Logarithms beyond it are of no number that a file can hold; an interval of two runs may be as wide."""

LEAST_NATS = 0.005
"""A ΔNLL or KL divergence that moves by less is no regression: a tenth of what a 4-bit level usually costs."""


@dataclass(frozen=True)
class Metric:
    """`unit` and `factor`: of the figure for people, times the figure. `worse`: which way is; 0: nobody says.

    `is_log`: changes are ratios. Otherwise they are differences, of which `least` and less does not count.
    """

    name: str
    title: str
    unit: str
    worse: Literal[-1, 0, 1]
    get: Callable[[Entry], Estimate | None]
    factor: float = 1.0
    is_log: bool = True
    least: float = 0.0
    basis: Callable[[Entry], tuple[object, ...]] = lambda _: ()
    """What has to be equal for two runs' figures to mean the same, beyond the cell: of quality what was scored."""

    @property
    def floor(self) -> float:
        """The least noise of a run, in the unit of `run_of`."""
        return FLOOR if self.is_log else NATS_FLOOR

    def run_of(self, of: Estimate) -> Run:
        """The figure on the scale on which changes are looked for, and the squared error that its interval stands for.

        Intervals over replicates are Student's t, of logarithms where those are taken.
        """
        value = math.log(of.value) if self.is_log else of.value
        if of.low is None or of.high is None or of.low == of.high or (self.is_log and of.low <= 0):
            return Run(value, None, of.n)
        width = math.log(of.high / of.low) if self.is_log else of.high - of.low
        scale = t975(of.n - 1) if self.is_log and of.n > 1 else Z
        return Run(value, (width / 2 / scale) ** 2, of.n)

    def back(self, value: float) -> float:
        """From the scale of changes to the figure."""
        return math.exp(max(-MOST, min(MOST, value))) if self.is_log else value


def _figure(name: str) -> Callable[[Entry], Estimate | None]:
    return lambda entry: entry.figures.get(name)


def _dollars(entry: Entry) -> Estimate | None:
    return None if entry.priced is None else mixed.usd_per_mtok(entry.priced, Asked())


def _peak(entry: Entry) -> Estimate | None:
    peak = None if entry.memory is None else entry.memory.peak_bytes
    return None if not peak else Estimate(float(peak), None, None, entry.replicates)


def _quality(name: str) -> Callable[[Entry], Estimate | None]:
    def get(entry: Entry) -> Estimate | None:
        value: float | None = getattr(entry.quality, name)
        error: float | None = getattr(entry.quality, f"{name}_se", None)
        if value is None:
            return None
        half = None if error is None else Z * error
        return Estimate(value, None if half is None else value - half, None if half is None else value + half, 1)

    return get


def _scored(entry: Entry) -> tuple[object, ...]:
    return entry.quality.scored


def _against(entry: Entry) -> tuple[object, ...]:
    return (*entry.quality.scored, entry.quality.reference)


def _rate(name: str, title: str) -> Metric:
    return Metric(name, title, "tok/s", -1, _figure(name))


def _time(name: str, title: str, unit: str = "ms", factor: float = 1e3) -> Metric:
    return Metric(name, title, unit, 1, _figure(name), factor)


_ALL = (
    Metric("usd_per_mtok", "dollars", "$/Mtok", 1, _dollars),
    _rate("decode_tokens_per_s", "decode rate"),
    _rate("prefill_tokens_per_s", "prefill rate"),
    _rate("output_tokens_per_s", "output rate"),
    _rate("total_tokens_per_s", "rate of all tokens"),
    _rate("tokens_per_s_per_user", "speed per user"),
    Metric("requests_per_s", "requests", "req/s", -1, _figure("requests_per_s")),
    Metric("goodput_requests_per_s", "goodput", "req/s", -1, _figure("goodput_requests_per_s")),
    _time("ttft_s", "time to first token"),
    _time("tpot_s", "time per output token"),
    _time("itl_s", "inter-token latency"),
    _time("e2el_s", "end-to-end time"),
    _time("load_s", "loading", "s", 1.0),
    _time("first_generate_s", "first generation", "s", 1.0),
    Metric("energy_j_per_output_token", "energy", "J/token", 1, _figure("energy_j_per_output_token")),
    Metric("peak_bytes", "peak memory", "GB", 1, _peak, 1e-9),
    Metric("delta_nll", "ΔNLL", "nats", 1, _quality("delta_nll"), is_log=False, least=LEAST_NATS, basis=_against),
    Metric("kl_mean", "KL divergence", "nats", 1, _quality("kl_mean"), is_log=False, least=LEAST_NATS, basis=_against),
    Metric("bits_per_byte", "bits per byte", "bits", 1, _quality("bits_per_byte"), basis=_scored),
)
METRICS = {one.name: one for one in _ALL}
ALIASES = {"energy": "energy_j_per_output_token", "kl": "kl_mean", "usd": "usd_per_mtok", "memory": "peak_bytes"}
USUAL = ("usd_per_mtok", "decode_tokens_per_s", "ttft_s")
"""Where nobody asks for others."""
