"""Times of one round and one replicate. B rows, S prompt tokens, N new tokens; formulas in docs/metrics.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.schema import Measurement, Round


@dataclass(frozen=True)
class Times:
    """Seconds of one static batch: to the first token, between tokens, and to the last one."""

    ttft_s: float
    decode_s: float
    e2el_s: float
    tpot_s: float | None


def of_round(one: Round) -> Times:
    """Times of one round.

    >>> of_round(Round(step_s=(0.5, 0.6, 0.7), done_s=0.7)).tpot_s
    0.1
    """
    first, last = one.step_s[0], one.step_s[-1]
    steps = len(one.step_s)
    decode = last - first
    # One token has no time per output token: null, never 0, which would pass any limit.
    tpot = round(decode / (steps - 1), 12) if steps > 1 else None
    return Times(ttft_s=first, decode_s=decode, e2el_s=last, tpot_s=tpot)


def of_replicate(measurement: Measurement) -> Times:
    """Medians over the rounds of one process."""
    return middle([of_round(one) for one in measurement.rounds])


def middle(rounds: Sequence[Times]) -> Times:
    """Medians over rounds, each figure by itself."""
    tpots = [one.tpot_s for one in rounds if one.tpot_s is not None]
    ttft = median(one.ttft_s for one in rounds)
    e2el = median(one.e2el_s for one in rounds)
    return Times(
        ttft_s=ttft,
        decode_s=median(one.decode_s for one in rounds),
        e2el_s=e2el,
        tpot_s=median(tpots) if tpots else None,
    )
