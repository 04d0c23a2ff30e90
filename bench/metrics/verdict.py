"""Whether to believe a row: VALID, or reasons, each with what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.metrics.latency import of_replicate, of_round
from bench.schema import Measurement

FEWEST_REPLICATES = 2
SLOW_FIRST_ROUND = 1.15
STALLED_SHARE = 0.10
SPREAD_BETWEEN_REPLICATES = 1.25


@dataclass(frozen=True)
class Reason:
    """Why a row is not simply valid, and what to do about it."""

    code: str
    what: str
    remedy: str

    def text(self) -> str:
        return f"{self.what}: {self.remedy}"


def judge(replicates: Sequence[Measurement]) -> tuple[Reason, ...]:
    """Reasons against the replicates of one cell; empty means VALID. Thresholds are explained in docs/metrics.md."""
    reasons: list[Reason] = []
    if len(replicates) < FEWEST_REPLICATES:
        reasons.append(Reason("one-replicate", "one replicate, no interval", "raise replicates"))
    if any(_first_is_slow(one) for one in replicates):
        reasons.append(Reason("slow-start", "the first timed round is slow", "raise protocol.warmup_rounds"))
    stalled = [share for one in replicates for share in _stalled_shares(one)]
    if stalled and median(stalled) > STALLED_SHARE:
        reasons.append(
            Reason(
                "busy",
                f"machine busy (tasks waited for a CPU {median(stalled):.0%} of the time)",
                "stop other work, run again",
            )
        )
    ends = [of_replicate(one).e2el_s for one in replicates]
    if ends and max(ends) > SPREAD_BETWEEN_REPLICATES * min(ends):
        factor = max(ends) / min(ends)
        reasons.append(
            Reason(
                "unsteady", f"replicates differ by a factor of {factor:.2f}", "raise replicates, or quieten the machine"
            )
        )
    for note in dict.fromkeys(note for one in replicates for note in one.facts.notes):
        if note.startswith("layers off-loaded"):
            reasons.append(Reason("off-loaded", note, "use fewer bits, or a device with more memory"))
        elif note.startswith("fp16 has no fast kernel"):
            reasons.append(Reason("slow-fp16", "fp16 has no fast kernel on a CPU", "use bf16 or fp32"))
    return tuple(reasons)


def _first_is_slow(one: Measurement) -> bool:
    if len(one.rounds) < 3:
        return False
    times = [of_round(each).e2el_s for each in one.rounds]
    return times[0] > SLOW_FIRST_ROUND * max(times[1:])


def _stalled_shares(one: Measurement) -> list[float]:
    return [each.stalled_s / each.done_s for each in one.rounds if each.stalled_s is not None and each.done_s > 0]
