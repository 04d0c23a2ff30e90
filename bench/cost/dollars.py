"""From seconds and an hourly rate to dollars. Pure; every formula stands in docs/metrics.md.

Floats: each result is one product of measured values, whose own error is a few percent; the float error is below 1e-14.
"""

from dataclasses import dataclass

MTOK = 1_000_000
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Split:
    """What the bill of a batch says a million tokens cost. The parts add up to the bill."""

    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    blended_usd_per_mtok: float


def bill_usd(usd_per_hour: float, seconds: float, utilisation: float) -> float:
    """What `seconds` of work cost, when the machine is paid by the hour and serves for the share `utilisation` of it.

    >>> bill_usd(3.6, 1.0, 1.0), bill_usd(3.6, 1.0, 0.5)
    (0.001, 0.002)
    """
    return usd_per_hour * seconds / (SECONDS_PER_HOUR * utilisation)


def per_mtok(usd: float, tokens: int) -> float:
    """Dollars for a million tokens.

    1000 tokens in a second at $3.60 per hour are $1.00 per million:

    >>> per_mtok(bill_usd(3.6, 1.0, 1.0), 1000)
    1.0
    """
    return usd * MTOK / tokens


def split(bill: float, prefill_share: float, input_tokens: int, output_tokens: int) -> Split:
    """Attribute a batch's bill to its input and output tokens by measured time: prefill to input, decode to output.

    The first output token comes out of the prefill, so a batch of one output token has no decode time and no split.

    >>> s = split(0.010, 0.25, 1000, 500)
    >>> s.input_usd_per_mtok, s.output_usd_per_mtok, round(s.blended_usd_per_mtok, 6)
    (2.5, 15.0, 6.666667)
    """
    blended = per_mtok(bill, input_tokens + output_tokens)
    if prefill_share >= 1:
        return Split(None, None, blended)
    return Split(
        per_mtok(bill * prefill_share, input_tokens), per_mtok(bill * (1 - prefill_share), output_tokens), blended
    )


def electricity_usd_per_mtok(j_per_token: float, usd_per_kwh: float) -> float:
    """What the electricity of a million tokens costs: J per token × 10⁶ over the 3.6·10⁶ J of a kWh.

    >>> electricity_usd_per_mtok(3.6, 0.25)
    0.25
    """
    return j_per_token * usd_per_kwh / 3.6
