"""A load at a blend of input and output tokens, and each compared API there: `bench/report/blends.py` of a load.

Input and output are told apart by the assumed ratio of prices; at an endpoint that is paid by the token, by its tariff.
"""

from collections.abc import Mapping, Sequence

from bench.cost import blend
from bench.cost.dollars import MTOK
from bench.cost.effective import Effective, effective
from bench.metrics.statistics import Estimate
from bench.report.blends import AtBlend, held_against
from bench.report.serving.row import ServingDollars


def own_at(of: ServingDollars, name: str) -> Estimate | None:
    """USD of a million tokens here at a blend, by the machine's hour or by the bill; None without both kinds."""
    parts = blend.parse(name)
    if of.bill is not None:
        asked, whole = effective(of.mix, of.bill.model.tariff), of.mix.whole
        paid = float(of.mix.usd(of.bill.model.tariff)) * MTOK / whole.tokens
        tariff = parts.of(asked.input_usd_per_mtok, asked.output_usd_per_mtok) + asked.fee_usd_per_mtok
        usd = tariff * of.usd_per_mtok.value / paid if paid else 0.0
        return Estimate(usd, usd, usd, of.usd_per_mtok.n)
    if of.at is None or of.at.input_usd_per_mtok is None or of.at.output_usd_per_mtok is None:
        return None
    usd = parts.of(of.at.input_usd_per_mtok.value, of.at.output_usd_per_mtok.value)
    return of.at.blended_usd_per_mtok.times(usd / of.at.blended_usd_per_mtok.value)


def at_blends(of: ServingDollars) -> Mapping[str, Sequence[AtBlend]]:
    """By the blend's name, each compared API in their order."""
    prices = [(one.api, effective(of.mix, one.model.tariff, of.api_cached_share)) for one in of.apis]
    return {name: [_against(of, name, api, at) for api, at in prices] for name in of.blends}


def _against(of: ServingDollars, name: str, api: str, at: Effective) -> AtBlend:
    usd = blend.parse(name).of(at.input_usd_per_mtok, at.output_usd_per_mtok) + at.fee_usd_per_mtok
    own = own_at(of, name)
    if own is None:
        return AtBlend(api, usd, None, None)
    if of.bill is not None:
        return AtBlend(api, usd, own.times(1 / usd) if usd > 0 else None, None)
    extra = of.one_off_usd_per_mtok
    return held_against(api, usd, own, of.utilisation, Estimate(extra, extra, extra, own.n) if extra else None)
