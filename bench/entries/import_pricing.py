"""Dollars of another tool's result: its seconds, an hourly price for what it ran on, and APIs for the same tokens.

The formulas are those of our own rows (docs/cost.md). What an hour costs nobody's file says: it is stated, owned, or
taken from the price list for the accelerators that the file or the person named when it was imported.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from bench.cost import api_prices, break_even, characters, dollars, hourly, owned
from bench.cost.api_prices import ApiModel
from bench.cost.hourly import HourlyRate
from bench.cost.serving import on_devices
from bench.entries import pricing
from bench.entries.import_seconds import Seconds, Tokens, seconds_of
from bench.entries.priced import ApiPrice, Mixing, Priced
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.report.costs import LEAST_USD
from bench.schema import CostChoices, Record

TEXT = "prose"
"""The text for which tokenizers are compared."""
NO_HOUR = "no hourly price: give --usd-per-hour, or --accelerator at import"


def priced(
    record: Record, figures: Mapping[str, Estimate], tokens: Tokens | None, batch_size: int | None, choices: CostChoices
) -> Priced:
    """`tokens` of one request, None where input and output are not counted apart: then nothing but the whole has a
    price. `batch_size` of a static batch, None of a load.

    Where nobody knows the hour's price, `usd_per_hour` is None and `rate_basis` says why: a page can still ask for one.
    Raises InputError with the reason where no seconds can be made of the figures, for a price that is asked for in a
    way that cannot be, and for an API that is not known.
    """
    seconds = _seconds(figures, tokens, batch_size, choices)
    rate, no_rate = _rate(record, choices)
    day = choices.as_of or datetime.now(UTC).date()
    own = seconds.own
    electricity = _electricity(figures.get("energy_j_per_output_token"), choices)
    power = _beside_power(electricity, tokens, rate, choices)
    beside = [] if choices.one_off is None else [_exact(owned.one_off_usd_per_mtok(choices.one_off), own.n)]
    everything = [*beside, *([] if power is None else [power])]
    serverless = rate is not None and rate.kind == "serverless"
    return Priced(
        # A serverless machine is paid only while it serves: it has no idle hours.
        utilisation=1.0 if serverless else choices.utilisation,
        asked_utilisation=choices.utilisation,
        split=seconds.split,
        day=day,
        usd_per_hour=None if rate is None else rate.usd_per_hour,
        rate_basis=no_rate if rate is None else rate.basis,
        rate_kind="stated" if rate is None else rate.kind,
        rate_as_of=None if rate is None else rate.as_of,
        rate_flags=() if rate is None else rate.flags,
        idles=not serverless,
        own_s_per_mtok=own,
        beside_usd_per_mtok=break_even.added(everything) if everything else None,
        electricity_beside_usd_per_mtok=power,
        electricity_usd_per_mtok=electricity,
        input_s_per_mtok=seconds.input,
        cached_s_per_mtok=seconds.cached,
        output_s_per_mtok=seconds.output,
        mixing=_mixing(seconds),
        apis=() if tokens is None else _apis(record, tokens, day, choices),
    )


def _seconds(
    figures: Mapping[str, Estimate], tokens: Tokens | None, batch_size: int | None, choices: CostChoices
) -> Seconds:
    if tokens is not None and tokens.whole > 0:
        return seconds_of(figures, tokens, batch_size, choices.price_ratio, choices.attribution == "ratio")
    total = figures.get("total_tokens_per_s")
    if total is None:
        raise InputError("the file does not count the tokens of a request, input and output")
    return Seconds(total.into(dollars.MTOK), None, None, None, "not told apart: the file does not count them apart")


def _mixing(of: Seconds) -> Mixing | None:
    if of.input is None or of.output is None:
        return None
    return Mixing("own", of.input.value, of.output.value)


def _rate(record: Record, choices: CostChoices) -> tuple[HourlyRate | None, str]:
    """Stated and owned prices are of all that served, wherever that was; the list is asked for what was named.

    None and the reason where the list has no price for it. Raises InputError for a price both stated and owned.
    """
    environment = record.environment
    stated = choices.usd_per_hour is not None or choices.owned is not None
    if not stated and not environment.accelerators and not environment.cpu_usable:
        return None, NO_HOUR
    try:
        return hourly.rate(choices, environment, on_devices(environment.accelerators)), ""
    except InputError as error:
        if stated:
            raise
        return None, error.lines[0]


def _exact(usd: float, n: int) -> Estimate:
    return Estimate(usd, usd, usd, n)


def _electricity(joules: Estimate | None, choices: CostChoices) -> Estimate | None:
    """USD of electricity for a million output tokens: of the file's joules, times an owned machine's PUE."""
    if joules is None or choices.usd_per_kwh is None:
        return None
    pue = 1.0 if choices.owned is None else choices.owned.pue
    return joules.times(dollars.electricity_usd_per_mtok(pue, choices.usd_per_kwh))


def _beside_power(
    of: Estimate | None, tokens: Tokens | None, rate: HourlyRate | None, choices: CostChoices
) -> Estimate | None:
    """Electricity beside the hour, only where the owner's rate has no power in it: a rent has."""
    machine = choices.owned
    is_owned = rate is not None and rate.kind == "owned"
    powerless = machine is not None and is_owned and machine.power_kw * machine.usd_per_kwh == 0
    if of is None or tokens is None or not powerless or not tokens.output:
        return None
    return of.times(tokens.output / tokens.whole)


def api_models(choices: CostChoices) -> tuple[ApiModel, ...]:
    """Those that rows are compared with. Raises InputError for one that is not known."""
    names = choices.apis or api_prices.DEFAULT_APIS
    return tuple(api_prices.lookup(name, choices.as_of, choices.api_price_files) for name in names)


def _apis(record: Record, tokens: Tokens, day: date, choices: CostChoices) -> tuple[ApiPrice, ...]:
    return tuple(_api(record, tokens, one, day, choices.api_cached_share) for one in api_models(choices))


def _api(record: Record, tokens: Tokens, api: ApiModel, day: date, cached_share: float) -> ApiPrice:
    """The same request at an API; of a load its mean request, whose parts are not whole tokens."""
    cached = max(tokens.cached, cached_share * tokens.prompt)
    at = pricing.of_requests(api, day, math.ceil(tokens.prompt), 0, max(1, math.ceil(tokens.output)))
    fee = at.usd_per_request * dollars.MTOK / tokens.whole
    usd = (
        (tokens.prompt - cached) * at.input_usd_per_mtok
        + cached * at.cached_usd_per_mtok
        + tokens.output * at.output_usd_per_mtok
    ) / tokens.whole + fee
    if usd * tokens.whole < LEAST_USD * dollars.MTOK:
        raise InputError(f"{api.name}: these requests cost nothing there; leave it out")
    own, theirs = (characters.find(name) for name in (record.cell.model.source, api.model_id))
    theirs = theirs or characters.find(api.name)
    per_own = None if own is None or theirs is None else _tokens_per_own(theirs, own)
    return replace(at, cached_tokens=cached, own_usd_per_mtok=usd, fee_usd_per_mtok=fee, tokens_per_own=per_own)


def _tokens_per_own(api: characters.TextTokens, own: characters.TextTokens) -> float:
    return characters.same_text_ratio(api.parts[TEXT], own.parts[TEXT])
