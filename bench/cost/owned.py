"""What an hour of a machine that is bought costs, and what a cost that is paid once adds to a million tokens. Pure.

Floats: sums and products of a few stated values, with an error below 1e-12 of the result.
"""

import math
from dataclasses import dataclass

from bench.errors import InputError
from bench.schema import OneOff, Owned

HOURS_PER_YEAR = 8760


@dataclass(frozen=True)
class OwnedRate:
    """USD per hour in which the machine works, by what it pays for."""

    capital_usd: float
    power_usd: float
    opex_usd: float

    @property
    def total_usd(self) -> float:
        return self.capital_usd + self.power_usd + self.opex_usd


def crf(rate: float, years: float) -> float:
    """The capital recovery factor i(1 + i)ⁿ / ((1 + i)ⁿ − 1): the share of a loan to pay each year, at the year's end.

    Without interest it is a straight line, 1/n. Computed as i / (1 − (1 + i)⁻ⁿ), which stays exact for small i; below
    1e-12 as the first two terms of its series, 1/n + i(n + 1)/2n, because the quotient of the smallest floats is not.

    1.1⁴ = 1.4641, so at 10 % over 4 years 0.14641 / 0.4641:

    >>> round(crf(0.10, 4), 6), crf(0.0, 4)
    (0.315471, 0.25)
    """
    if rate < 1e-12:
        return (1 + rate * (years + 1) / 2) / years
    return rate / -math.expm1(-years * math.log1p(rate))


def hourly_usd(owned: Owned) -> OwnedRate:
    """USD per hour of a machine of one's own, by parts.

    Capital is the annuity of the price less the present value of what the machine is worth in the end; it and the
    yearly costs are spread over the hours in which the machine works, 8760 × availability. Power is paid while it
    works: kW × PUE × $/kWh.

    An H100 and its share of a host at $31,000, 10 % and 4 years, 1.73 kW at $0.083: 31000 · 0.315471 / 8760 and
    1.73 · 0.083.

    >>> found = hourly_usd(Owned(capex_usd=31_000, financing_rate=0.10, life_years=4, power_kw=1.73, usd_per_kwh=0.083))
    >>> round(found.capital_usd, 4), round(found.power_usd, 5), round(found.total_usd, 2)
    (1.1164, 0.14359, 1.26)

    Raises InputError where the machine is to be worth more in the end than its price with interest: it would earn
    money by standing there.
    """
    growth = (1 + owned.financing_rate) ** owned.life_years
    if owned.residual_usd >= owned.capex_usd * growth:
        interest = f" with {owned.life_years:g} years of interest" if owned.financing_rate else ""
        raise InputError(
            f"residual_usd: ${owned.residual_usd:,.0f} in the end must be less than the price{interest}, "
            f"${owned.capex_usd * growth:,.0f}"
        )
    yearly = (owned.capex_usd - owned.residual_usd / growth) * crf(owned.financing_rate, owned.life_years)
    hours = HOURS_PER_YEAR * owned.availability
    return OwnedRate(
        capital_usd=yearly / hours,
        power_usd=owned.power_kw * owned.pue * owned.usd_per_kwh,
        opex_usd=owned.opex_usd_per_year / hours,
    )


def described(owned: Owned) -> str:
    """The parts and the assumptions behind them, as a phrase for a footnote. Raises as `hourly_usd` does."""
    parts = hourly_usd(owned)
    worth = f", less ${owned.residual_usd:,.0f} in the end" if owned.residual_usd else ""
    said = [
        f"${parts.capital_usd:.4f} capital (${owned.capex_usd:,.0f} over {owned.life_years:g} years "
        f"at {owned.financing_rate * 100:.4g}% a year{worth})"
    ]
    if parts.power_usd:
        said.append(
            f"${parts.power_usd:.4f} power ({owned.power_kw:g} kW × PUE {owned.pue:g} × ${owned.usd_per_kwh:g}/kWh)"
        )
    if parts.opex_usd:
        said.append(f"${parts.opex_usd:.4f} opex (${owned.opex_usd_per_year:,.0f} a year)")
    return f"{' + '.join(said)}, available for {owned.availability * 100:.4g}% of the hours"


def one_off_usd_per_mtok(one_off: OneOff) -> float:
    """What a cost paid once adds to each million of the tokens that it is spread over.

    >>> one_off_usd_per_mtok(OneOff(usd=5000, mtok=10_000))
    0.5
    """
    return one_off.usd / one_off.mtok
