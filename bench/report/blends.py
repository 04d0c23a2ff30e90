"""Each compared API at a blend of input and output tokens: what it asks there, the ratio, the break-even utilisation.

A blend is of uncached input and output. What a token costs beside the hour is the same at any blend; an owner's
electricity goes with the machine's time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.cost import blend, break_even
from bench.cost.dollars import MTOK
from bench.metrics.statistics import Estimate
from bench.report.costs import ApiComparison, Dollars
from bench.report.rows import Row


@dataclass(frozen=True)
class AtBlend:
    """An API at a blend, USD per Mtok, in requests of the row's size; `ratio` and `break_even` as of a comparison, None
    where the row's bill cannot be split, and a break-even also where nothing here is paid by the hour."""

    api: str
    usd_per_mtok: float
    ratio: Estimate | None
    break_even: Estimate | None

    @property
    def break_even_utilisation(self) -> float | None:
        """None: never, or nobody knows."""
        return None if self.break_even is None or self.break_even.value > 1 else self.break_even.value


def at_blends(row: Row) -> Mapping[str, Sequence[AtBlend]]:
    """By the blend's name, each compared API in their order; empty where the row has no dollars."""
    of = row.dollars
    if of is None:
        return {}
    return {name: [_against(row, of, one, name) for one in of.apis] for name in of.blends}


def cheapest(of: Sequence[AtBlend]) -> AtBlend | None:
    """The one that asks least there."""
    return min(of, key=lambda one: one.usd_per_mtok, default=None)


def _against(row: Row, of: Dollars, one: ApiComparison, name: str) -> AtBlend:
    work, tariff = row.cell.workload, one.model.tariff
    tier = tariff.at(work.input_tokens)
    fee = float(tariff.usd_per_request) * MTOK / (work.input_tokens + work.output_tokens)
    usd = blend.parse(name).of(float(tier.input), float(tier.output)) + fee
    machine = of.blends[name]
    if machine is None:
        return AtBlend(one.api, usd, None, None)
    return held_against(one.api, usd, machine, of.utilisation, _beside(row, of, machine))


def _beside(row: Row, of: Dollars, machine: Estimate) -> Estimate | None:
    tokens = row.cell.workload.input_tokens + row.cell.workload.output_tokens
    found = []
    for what, usd in of.beside_usd_per_request.items():
        time = machine.value / of.blended_usd_per_mtok.value if what == "electricity" else 1.0
        found.append(usd.times(MTOK / tokens * time))
    return break_even.added(found) if found else None


def held_against(api: str, usd: float, machine: Estimate, utilisation: float, beside: Estimate | None) -> AtBlend:
    """`machine` at the assumed utilisation and `beside` at any, both USD per Mtok of the blend."""
    own = machine if beside is None else break_even.added([machine, beside])
    extra = beside or Estimate(0.0, 0.0, 0.0, machine.n)
    if usd <= 0:
        return AtBlend(api, usd, None, None)
    share = break_even.utilisation_beside(machine.times(utilisation), extra, usd)
    return AtBlend(api, usd, own.times(1 / usd), share)
