"""Claim: GPT-4 went to $4 per million tokens, a fall of 79 % a year."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from bench.claims.claim import QUALITY, Claim, Verdict, dated_sources, money
from bench.cost import api_prices
from bench.cost.api_prices import usd
from bench.cost.apis.quote import Quote
from bench.cost.blend import Blend, parse
from bench.report.trend import DAYS_PER_YEAR, Fall, calendar_months, fall, line
from bench.report.trend_text import sign

OLD, NEW = "openai/gpt-4", "openai/gpt-4o-2024-08-06"
BLEND = "80/20"
CLAIMED_USD, CLAIMED_FALL = Decimal(4), 0.79
TOLERANCE = 0.005
"""A claim in whole percent is met by what rounds to it."""

TITLE = "GPT-4 at $4"
STATEMENT = f"GPT-4 costs {usd(CLAIMED_USD)} per million tokens after a fall of {CLAIMED_FALL:.0%} a year."
OTHERS = (parse("3:1"), parse("50/50"), Blend(Decimal(0), Decimal(1), "output only"))


def claim(as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """From the first price of GPT-4 to that of the GPT-4o of August 2024, at 80/20 and at other blends.

    In a replay with what was known on its day; before both models had a price nothing can be told.
    """
    old, new = known(OLD, as_of, files), known(NEW, as_of, files)
    if not old or not new:
        return _too_early(as_of, NEW if old else OLD)
    main = _fall(old, new, parse(BLEND))
    others = {blend.name: _fall(old, new, blend) for blend in OTHERS}
    same = fall(line(OLD, [(OLD, old)], parse(BLEND)))
    now = max(old, key=lambda quote: (quote.confirmed or date.min, api_prices.first_day(quote)))
    by_months, by_days = main.yearly_by_months or 0.0, main.yearly_by_days or 0.0
    rate_met = any(abs(rate - CLAIMED_FALL) <= TOLERANCE for rate in (by_months, by_days))
    price_met = round(main.last.blended_usd, 2) == CLAIMED_USD
    # The product is another one, so that it cannot hold in full whatever the figures say.
    verdict: Verdict = "partly" if rate_met and price_met else "does not hold"
    return Claim(
        title=TITLE,
        statement=STATEMENT,
        arithmetic=tuple(_arithmetic(main, others, same, now)),
        sources=(
            *(f"{one.source}: {one.name}, {one.day}" for one in (main.first, main.last)),
            *dated_sources([now], as_of),
        ),
        verdict=verdict,
        because=(
            f"it holds as an annualised rate at {BLEND}, not as a fall from one year to the next, and not for the same "
            f"product: {NEW} stands for {OLD}, whose own price moved by {sign(-same.total)}. The blend decides the "
            f"figure; {QUALITY}."
        ),
        figures=_figures(main, others, same),
    )


def known(name: str, as_of: date | None, files: Sequence[str]) -> tuple[Quote, ...]:
    """Every price that was known by a day (None: all), none of them confirmed later than that."""
    found = api_prices.history(name, files)
    if as_of is None:
        return found
    return tuple(
        replace(one, confirmed=None if one.confirmed is None else min(one.confirmed, as_of))
        for one in found
        if api_prices.first_day(one) <= as_of
    )


def _too_early(as_of: date | None, model: str) -> Claim:
    return Claim(
        title=TITLE,
        statement=STATEMENT,
        arithmetic=(f"{model}: no price is known on or before {as_of}",),
        sources=(),
        verdict="cannot be told here",
        because="by that day only one of the two models had a price, or neither.",
        figures={},
    )


def _fall(old: Sequence[Quote], new: Sequence[Quote], blend: Blend) -> Fall:
    """From the older model to the newer one's first day; what became of its price later is left out."""
    return fall(line(NEW, [(OLD, old), (NEW, new)], blend, end=api_prices.first_day(new[0])))


def _arithmetic(main: Fall, others: dict[str, Fall], same: Fall, now: Quote) -> list[str]:
    first, last = main.first, main.last
    old, new = money(first.blended_usd), money(last.blended_usd)
    months, days = calendar_months(first.day, last.day), (last.day - first.day).days
    shares = parse(BLEND)
    lines = [
        f"{point.name} from {point.day}: ${point.input_usd:g} in, ${point.output_usd:g} out; at {BLEND} "
        f"({shares.input_parts}·{point.input_usd:g} + {shares.output_parts}·{point.output_usd:g})/100 = "
        f"{money(point.blended_usd)} per Mtok"
        for point in (first, last)
    ]
    lines.append(f"in total {new} / {old} − 1 = {sign(-main.total)} over {months} months ({days} days)")
    lines.append(
        f"a year ({new} / {old})^(12/{months}) − 1 = {sign(-(main.yearly_by_months or 0.0))}; "
        f"by days ^({DAYS_PER_YEAR}/{days}) − 1 = {sign(-(main.yearly_by_days or 0.0))}"
    )
    lines += [
        f"at {name} instead: {money(one.first.blended_usd)} to {money(one.last.blended_usd)}, "
        f"{sign(-one.total)} in total, {sign(-(one.yearly_by_months or 0.0))} a year"
        for name, one in others.items()
    ]
    return [
        *lines,
        f"the same product: {OLD} still lists ${now.tariff.tiers[0].input:g} in, ${now.tariff.tiers[0].output:g} out "
        f"(last confirmed on {now.confirmed}), {sign(-same.total)} since {same.first.day}",
    ]


def _figures(main: Fall, others: dict[str, Fall], same: Fall) -> dict[str, float]:
    found = {
        "first_usd_per_mtok": float(main.first.blended_usd),
        "last_usd_per_mtok": float(main.last.blended_usd),
        "months": float(calendar_months(main.first.day, main.last.day)),
        "total": main.total,
        "yearly_by_months": main.yearly_by_months or 0.0,
        "yearly_by_days": main.yearly_by_days or 0.0,
        "same_product_total": same.total,
    }
    return found | {f"yearly_by_months {name}": one.yearly_by_months or 0.0 for name, one in others.items()}
