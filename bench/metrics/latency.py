"""Times of one round and one replicate. B rows, S prompt tokens, N new tokens; formulas in docs/metrics.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.schema import Measurement, Round


@dataclass(frozen=True)
class Times:
    """Seconds of one batch: to the first token, between tokens, and to the last one.

    Of a batch that is scheduled continuously the last alone is a time: rows are filled while others decode.
    """

    ttft_s: float | None
    decode_s: float | None
    e2el_s: float
    tpot_s: float | None


def of_round(one: Round) -> Times:
    """Times of one round.

    >>> of_round(Round(step_s=(0.5, 0.6, 0.7), done_s=0.7)).tpot_s
    0.1
    """
    first, last = one.step_s[0], one.step_s[-1]
    if one.step_rows is not None:
        return Times(ttft_s=None, decode_s=None, e2el_s=last, tpot_s=None)
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
    return Times(
        ttft_s=_median([one.ttft_s for one in rounds]),
        decode_s=_median([one.decode_s for one in rounds]),
        e2el_s=median(one.e2el_s for one in rounds),
        tpot_s=_median([one.tpot_s for one in rounds]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
