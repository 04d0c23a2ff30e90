"""Billed usage held against a local tokenizer's counts, in tokens and in dollars, over the runs of a row."""

from collections.abc import Iterable, Sequence

from bench.cost.api_prices import ApiModel
from bench.cost.tariff import MTOK
from bench.metrics.serving.billed import Billed, Side, compare
from bench.schema import Request, Serving


def compared(requests: Iterable[Request], serving: Serving, api: ApiModel) -> Billed | None:
    """One run, at the prices of the API's lowest tier; None where no request has both counts."""
    tier = api.tariff.tiers[0]
    return compare(
        requests,
        overhead_tokens=serving.capabilities.overhead_tokens,
        usd_per_input_token=float(tier.input / MTOK),
        usd_per_output_token=float(tier.output / MTOK),
    )


def together(runs: Sequence[Billed | None]) -> Billed | None:
    """The runs of a row as one; None where none was compared."""
    known = [one for one in runs if one is not None]
    if not known:
        return None
    return Billed(
        requests=sum(one.requests for one in known),
        left_out=sum(one.left_out for one in known),
        input=_added([one.input for one in known]),
        output=_added([one.output for one in known]),
        usd_difference=sum(one.usd_difference or 0.0 for one in known),
        usd_unexplained=sum(one.usd_unexplained or 0.0 for one in known),
    )


def _added(sides: Sequence[Side]) -> Side:
    return Side(*(sum(getattr(one, name) for one in sides) for name in ("billed", "local", "explained")))
