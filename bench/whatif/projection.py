"""Seconds on other hardware: the work of a row over the rates of a device and the shares of them that were reached.

Pure. Formulas with a worked example: docs/whatif.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.metrics.roofline import Roofline, Work
from bench.metrics.statistics import Estimate
from bench.schema import Ceiling, Workload


@dataclass(frozen=True)
class Ranged:
    """An estimate with the interval of the measurement, and `limit`: what no engine can beat there (MBU = MFU = 1)."""

    estimate: Estimate
    limit: float

    def times(self, factor: float) -> "Ranged":
        """Both in another unit; `factor` is positive."""
        return Ranged(self.estimate.times(factor), self.limit * factor)

    def into(self, amount: float) -> "Ranged":
        """`amount` over both, such as tokens over seconds: the limit is then the most that there can be."""
        return Ranged(self.estimate.into(amount), amount / self.limit)

    def plus(self, other: "Ranged") -> "Ranged":
        """The sum, its interval from the sum of the low ends to that of the high ones: never too narrow.

        >>> Ranged(Estimate(2.0, 1.0, 4.0, 3), 0.5).plus(Ranged(Estimate(1.0, 0.5, 2.0, 3), 0.25))
        Ranged(estimate=Estimate(value=3.0, low=1.5, high=6.0, n=3), limit=0.75)
        """
        return Ranged(total(self.estimate, other.estimate), self.limit + other.limit)


@dataclass(frozen=True)
class Shares:
    """What a row reached of its device's bandwidth and FLOP/s in each phase, 1 at most; None where it is not known.

    The bandwidth is that of the decode (MBU) and the FLOP/s those of the prefill (MFU). But where the other phase alone
    shows more of one than that, it is known to be reachable there: a step that multiplied faster than the prefill did
    is not held back by the prefill's MFU. So a row carried to its own device keeps its own times.
    """

    prefill_bytes: Estimate | None
    prefill_flops: Estimate | None
    step_bytes: Estimate | None
    step_flops: Estimate | None


@dataclass(frozen=True)
class Speeds:
    """Times and rates of a batch on other hardware; None where a share or a rate is missing.

    The prefill rate counts uncached prompt tokens, as that of a measured row does.
    """

    ttft_s: Ranged | None
    tpot_s: Ranged | None
    decode_s: Ranged | None
    e2el_s: Ranged | None
    prefill_tokens_per_s: Ranged | None
    decode_tokens_per_s: Ranged | None
    output_tokens_per_s: Ranged | None


def shares(of: Roofline, work: Work, ttft: Estimate, tpot: Estimate | None, ceiling: Ceiling, kind: str) -> Shares:
    """The shares of a measured row; `ceiling` is that of everything it used, `kind` the type of its products."""
    read, peak = ceiling.read_bytes_per_s, ceiling.gemm_flops_per_s.get(kind)
    mbu, mfu = _clipped(of.mbu), _clipped(of.mfu)
    prefill_bytes, step_flops = mbu, mfu
    if mbu is not None and read:
        prefill_bytes = _larger(mbu, _clipped(ttft.into(work.prefill_bytes / read)))
    if mfu is not None and tpot is not None and peak:
        step_flops = _larger(mfu, _clipped(tpot.into(work.step_flops / peak)))
    return Shares(prefill_bytes, mfu, mbu, step_flops)


def speeds(work: Work, batch: Workload, reached: Shares, ceiling: Ceiling, devices: int, kind: str) -> Speeds:
    """Times on `devices` devices of a ceiling, their rates added with no loss.

    The prefill takes max(FLOPs / (n · peak · MFU), bytes / (n · bandwidth · MBU)), a decode step the same of its own.
    Without a peak there is no prefill, and a step is as long as its bytes take. One output token has no decode.
    """
    read = None if not ceiling.read_bytes_per_s else ceiling.read_bytes_per_s * devices
    one_peak = ceiling.gemm_flops_per_s.get(kind)
    peak = None if not one_peak else one_peak * devices
    memory = _side(work.prefill_bytes, read, reached.prefill_bytes)
    if memory is None and batch.output_tokens == 1 and reached.prefill_flops is not None:
        # No step was measured, so no share of the bandwidth is known: the least that it can take.
        memory = _side(work.prefill_bytes, read, Estimate(1.0, 1.0, 1.0, reached.prefill_flops.n))
    compute = _side(work.prefill_flops, peak, reached.prefill_flops)
    ttft = None if memory is None or compute is None else _longer(compute, memory)
    tpot = None
    if batch.output_tokens > 1:
        memory = _side(work.step_bytes, read, reached.step_bytes)
        compute = _side(work.step_flops, peak, reached.step_flops)
        tpot = memory if memory is None or compute is None else _longer(memory, compute)
    decode = None if tpot is None else tpot.times(batch.output_tokens - 1)
    e2el = ttft if batch.output_tokens == 1 else None if ttft is None or decode is None else ttft.plus(decode)
    rows = batch.batch_size
    uncached = batch.input_tokens - batch.cached_tokens
    return Speeds(
        ttft_s=ttft,
        tpot_s=tpot,
        decode_s=decode,
        e2el_s=e2el,
        prefill_tokens_per_s=None if ttft is None or uncached < 1 else ttft.into(rows * uncached),
        decode_tokens_per_s=None if tpot is None else tpot.into(rows),
        output_tokens_per_s=None if e2el is None else e2el.into(rows * batch.output_tokens),
    )


def total(one: Estimate, other: Estimate) -> Estimate:
    """A sum whose interval holds whatever the two have in common."""
    return _joined(one, other, lambda ends: ends[0] + ends[1])


def _side(amount: float, rate: float | None, share: Estimate | None) -> Ranged | None:
    """Seconds that one resource takes: at the share of its rate, and at all of it."""
    return None if not rate or share is None else Ranged(share.into(amount / rate), amount / rate)


def _longer(one: Ranged, other: Ranged) -> Ranged:
    return Ranged(_larger(one.estimate, other.estimate), max(one.limit, other.limit))


def _larger(one: Estimate, other: Estimate | None) -> Estimate:
    return one if other is None else _joined(one, other, max)


def _joined(one: Estimate, other: Estimate, how: Callable[[Sequence[float]], float]) -> Estimate:
    low = None if one.low is None or other.low is None else how((one.low, other.low))
    high = None if one.high is None or other.high is None else how((one.high, other.high))
    return Estimate(how((one.value, other.value)), low, high, min(one.n, other.n))


def _clipped(share: Estimate | None) -> Estimate | None:
    """At most 1: a share above it says that the ceiling was measured too low, not that there is more to be had."""
    if share is None:
        return None
    low = None if share.low is None else min(share.low, 1.0)
    high = None if share.high is None else min(share.high, 1.0)
    return Estimate(min(share.value, 1.0), low, high, share.n)
