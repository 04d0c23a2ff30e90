"""From a row's dollars to the machine's time that they are made of, so that they can follow other prices."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.cost import break_even
from bench.cost.api_prices import ApiModel
from bench.cost.attribution import Recipe, Split
from bench.cost.dollars import MTOK, SECONDS_PER_HOUR
from bench.cost.effective import effective
from bench.cost.hourly import HourlyRate
from bench.entries.priced import ApiPrice, FitError, Mixing, Priced
from bench.metrics.statistics import Estimate
from bench.report.costs import Dollars
from bench.report.rows import Row

if TYPE_CHECKING:  # numpy is behind these, which a batch does without
    from datetime import date

    from bench.cost.billed import Bill
    from bench.cost.mix import Mix
    from bench.cost.serving import ApiOfMix
    from bench.report.serving.row import ServingDollars, ServingRow


def of_batch(row: Row) -> Priced | None:
    """What a batch's tokens cost; None where the row has no dollars, whatever its hour costs."""
    of, work = row.dollars or row.at_one_usd_per_hour, row.cell.workload
    if of is None or row.figures is None:
        return None
    tokens = work.input_tokens + work.output_tokens
    back = _seconds_per_usd(of.rate, of.utilisation)
    beside = {name: one.times(MTOK / tokens) for name, one in of.beside_usd_per_request.items()}
    made = Priced(
        utilisation=of.utilisation,
        split=of.split,
        day=of.day,
        **_rate(of.rate),
        own_s_per_mtok=row.figures.e2el_s.times(MTOK / (work.batch_size * tokens)),
        beside_usd_per_mtok=break_even.added(list(beside.values())) if beside else None,
        input_s_per_mtok=_times(of.input_usd_per_mtok, back),
        cached_s_per_mtok=_times(of.cached_usd_per_mtok, back),
        output_s_per_mtok=_times(of.output_usd_per_mtok, back),
        floor_s_per_mtok=None if of.floor_usd_per_mtok is None else of.floor_usd_per_mtok * back,
        electricity_usd_per_mtok=of.electricity_usd_per_mtok,
        mixing=mixing_of(of),
        apis=tuple(
            of_requests(one.model, of.day, work.input_tokens, one.cached_tokens, work.output_tokens) for one in of.apis
        ),
        electricity_beside_usd_per_mtok=beside.get("electricity"),
        asked_utilisation=of.asked_utilisation,
    )
    return made if row.dollars is not None else _without_hour(made, row.no_dollars_because)


def _without_hour(of: Priced, because: str | None) -> Priced:
    """The machine's time is known and its price is not."""
    return replace(of, usd_per_hour=None, rate_basis=because or "")


def of_requests(api: ApiModel, on: "date", input_tokens: int, cached_tokens: int, output_tokens: int) -> ApiPrice:
    """An API's prices for requests of one size, on the day of the prices; `cached_tokens` are among the input."""
    tariff, tokens = api.tariff, input_tokens + output_tokens
    tier = tariff.at(input_tokens)
    asked = tariff.request_usd(input_tokens - cached_tokens, cached_tokens, output_tokens)
    return ApiPrice(
        api=api.name,
        input_usd_per_mtok=float(tier.input),
        cached_usd_per_mtok=float(tier.cached),
        output_usd_per_mtok=float(tier.output),
        usd_per_request=float(tariff.usd_per_request),
        own_usd_per_mtok=float(asked) * MTOK / tokens,
        cached_tokens=float(cached_tokens),
        fee_usd_per_mtok=float(tariff.usd_per_request) * MTOK / tokens,
        **_quote(api, on),
    )


def of_load(row: "ServingRow") -> tuple[Priced | None, Priced | None]:
    """What a load's tokens cost, and those of what met the objectives with the whole bill on them."""
    if row.dollars is None:
        nominal = (None, None) if row.at_one_usd_per_hour is None else _of_load(row.at_one_usd_per_hour)
        first, then = (None if one is None else _without_hour(one, row.no_dollars_because) for one in nominal)
        return first, then
    return _of_load(row.dollars)


def _of_load(of: "ServingDollars") -> tuple[Priced | None, Priced | None]:
    if of.bill is not None:
        return _billed(of, of.bill), None
    if of.rate is None or of.at is None:
        return None, None
    own = _hosted(of, of.rate, of.mix, of.at.blended_usd_per_mtok)
    if of.good is None or of.good_mix is None:
        return own, None
    return own, _hosted(of, of.rate, of.good_mix, of.good.blended_usd_per_mtok)


def _hosted(of: "ServingDollars", rate: HourlyRate, mix: "Mix", blended: Estimate) -> Priced:
    """`blended`: USD of a million tokens of this mix at the assumed utilisation."""
    whole = mix.whole
    own = blended.times(_seconds_per_usd(rate, of.utilisation))
    weighed = (whole.prompt / of.ratio + whole.output) / whole.tokens
    of_input, of_output = own.times(1 / weighed / of.ratio), own.times(1 / weighed)
    split = whole.fresh > 0 and whole.output > 0
    one_off = of.one_off_usd_per_mtok
    return Priced(
        utilisation=of.utilisation,
        split=f"split by an assumed price ratio of {of.ratio:g} (out:in)",
        day=of.day,
        **_rate(rate),
        own_s_per_mtok=own,
        beside_usd_per_mtok=Estimate(one_off, one_off, one_off, own.n) if one_off else None,
        input_s_per_mtok=of_input if whole.fresh else None,
        cached_s_per_mtok=of_input if whole.cached else None,
        output_s_per_mtok=of_output if whole.output else None,
        mixing=Mixing("own", of_input.value, of_output.value) if split else None,
        apis=_apis(of, mix),
        asked_utilisation=of.asked_utilisation,
    )


def _billed(of: "ServingDollars", bill: "Bill") -> Priced:
    """A mix costs what the tariff asks, and the same share more that failed requests cost here."""
    asked = effective(bill.succeeded, bill.model.tariff)
    paid = float(bill.succeeded.usd(bill.model.tariff)) * MTOK / bill.succeeded.whole.tokens
    more = of.usd_per_mtok.value / paid if paid else 0.0
    parts = tuple(
        (one + asked.fee_usd_per_mtok) * more for one in (asked.input_usd_per_mtok, asked.output_usd_per_mtok)
    )
    return Priced(
        utilisation=1.0,
        split="paid by the token",
        day=of.day,
        rate_basis=f"as {bill.api} charged",
        rate_kind="billed",
        idles=False,
        billed_usd_per_mtok=of.usd_per_mtok,
        billed_parts_usd_per_mtok=(parts[0], parts[1]),
        apis=_apis(of, bill.succeeded),
    )


def _apis(of: "ServingDollars", mix: "Mix") -> tuple[ApiPrice, ...]:
    return tuple(_of_mix(one, of, mix) for one in of.apis)


def _of_mix(one: "ApiOfMix", of: "ServingDollars", mix: "Mix") -> ApiPrice:
    tariff = one.model.tariff
    at = effective(mix, tariff, of.api_cached_share)
    return ApiPrice(
        api=one.api,
        input_usd_per_mtok=at.input_usd_per_mtok,
        cached_usd_per_mtok=at.cached_usd_per_mtok,
        output_usd_per_mtok=at.output_usd_per_mtok,
        usd_per_request=float(tariff.usd_per_request),
        own_usd_per_mtok=float(mix.usd(tariff, of.api_cached_share)) * MTOK / mix.whole.tokens,
        cached_tokens=at.cached_tokens,
        tokens_per_own=one.tokens_per_own,
        fee_usd_per_mtok=at.fee_usd_per_mtok,
        **_quote(one.model, of.day),
    )


def mixing_of(split: Dollars | Split) -> Mixing | None:
    """How any mix's seconds follow: the recipe's of a token, for a million. None where the bill could not be split."""
    recipe = split.recipe
    if recipe is None or split.input_usd_per_mtok is None or split.output_usd_per_mtok is None:
        return None
    return Mixing(
        method="own" if split.method == "ratio" else split.method,
        input_s=recipe.input_s * MTOK,
        output_s=recipe.output_s * MTOK,
        each=tuple((first * MTOK, then * MTOK) for first, then in recipe.each),
        fit=_fit_error(recipe),
    )


def _fit_error(recipe: Recipe) -> FitError | None:
    fit = recipe.fit
    if fit is None:
        return None
    squares = None if fit.squares is None else tuple(tuple(line) for line in fit.squares)
    return FitError(recipe.tokens, fit.seconds, recipe.scale_s * MTOK, squares, fit.pulls)


def _seconds_per_usd(rate: HourlyRate, utilisation: float) -> float:
    """Machine seconds at full load that a dollar buys; hourly prices are above zero."""
    return SECONDS_PER_HOUR * utilisation / rate.usd_per_hour


def _times(of: Estimate | None, factor: float) -> Estimate | None:
    return None if of is None else of.times(factor)


def _rate(rate: HourlyRate) -> dict[str, Any]:
    return {
        "usd_per_hour": rate.usd_per_hour,
        "rate_basis": rate.basis,
        "rate_kind": rate.kind,
        "rate_as_of": rate.as_of,
        "rate_flags": rate.flags,
        "idles": rate.kind != "serverless",
    }


def _quote(api: ApiModel, on: "date") -> dict[str, Any]:
    quote = api.quote
    return {
        "source": quote.source,
        "model_id": quote.model_id,
        "valid_from": quote.valid_from,
        "confirmed": quote.confirmed,
        "stale": quote.stale(on),
    }
