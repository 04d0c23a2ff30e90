"""Dollars of a server under load: at its steady rate, at an objective, and of a machine that sleeps. Pure.

R is USD per hour, u the utilisation, T tokens and X requests per second of the steady window. A million tokens, input
and output together, cost 10⁶·R / (3600·u·T); a million output tokens that carry the whole bill 10⁶·R / (3600·u·T_out);
a request costs R / (3600·u·X). With an objective only what met it counts, and all of the time is paid. A server
prefills and decodes at once, so no measured time says which tokens made the bill: input and output are told apart by an
assumed ratio of prices, and the parts add up to the bill.

What a paid endpoint costs, and what a planned run would cost there, stands in `bench/cost/billed.py`.
"""

from dataclasses import dataclass

from bench.cost import break_even, dollars
from bench.cost.api_prices import ApiModel
from bench.cost.billed import BillEstimate, allowance, bill_estimate
from bench.cost.break_even import Hosting
from bench.cost.duty import Duty
from bench.cost.hourly import HourlyRate
from bench.cost.mix import Mix, Sums
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.schema import Accelerator, Environment, ModelFacts, Serving

__all__ = [
    "ApiOfMix",
    "Asleep",
    "BillEstimate",
    "Good",
    "Prices",
    "Rates",
    "allowance",
    "asleep",
    "at_apis",
    "bill_estimate",
    "good",
    "machine_of",
    "prices",
]

LEAST_USD = 1e-15
"""An API that asks less for a request asks nothing: every ratio to it would mean nothing."""

STANDING = ("owned", "reserved", "analyst")
"""Machines that are paid for whether they are on or not, by the kind of their rate."""


@dataclass(frozen=True)
class Rates:
    """Per second, in the steady window."""

    total_tokens_per_s: Estimate
    output_tokens_per_s: Estimate
    requests_per_s: Estimate


@dataclass(frozen=True)
class Prices:
    """USD of what was served. The parts add up to the blend; the all-in price carries the whole bill alone, so that
    nothing may be added to it. A part is None where the row has no such token."""

    blended_usd_per_mtok: Estimate
    all_in_usd_per_mtok_output: Estimate
    usd_per_1000_requests: Estimate
    input_usd_per_mtok: Estimate | None
    cached_usd_per_mtok: Estimate | None
    output_usd_per_mtok: Estimate | None


def prices(rates: Rates, mix: Sums, usd_per_hour: float, utilisation: float, ratio: float) -> Prices:
    """What tokens and requests cost when the machine serves at these rates for the share `utilisation` of its hours.

    `mix`: the tokens of the requests, in whose proportions the bill is divided; `ratio`: price of an output over an
    input token, cached input as dear as uncached. 1000 tokens a second, 800 of them input, at $3.60 an hour are $1.00:

    >>> one = lambda value: Estimate(value, None, None, 1)
    >>> found = prices(Rates(one(1000.0), one(200.0), one(2.0)), Sums(2, 800, 0, 200), 3.6, 1.0, 4.0)
    >>> found.blended_usd_per_mtok.value, found.all_in_usd_per_mtok_output.value, found.usd_per_1000_requests.value
    (1.0, 5.0, 0.5)
    >>> found.input_usd_per_mtok.value, found.output_usd_per_mtok.value  # 800 · 0.625 + 200 · 2.5 = 1000
    (0.625, 2.5)
    """
    if not ratio > 0:
        raise InputError(f"price_ratio: {ratio:g} is no ratio of prices; give a number above 0, such as 4")
    per_second = dollars.bill_usd(usd_per_hour, 1.0, utilisation)
    blended = rates.total_tokens_per_s.into(per_second * dollars.MTOK)
    weighed = mix.prompt / ratio + mix.output
    out = None if not mix.output or weighed <= 0 else blended.times(mix.tokens / weighed)
    of_input = None if not mix.prompt or weighed <= 0 else blended.times(mix.tokens / weighed / ratio)
    return Prices(
        blended_usd_per_mtok=blended,
        all_in_usd_per_mtok_output=rates.output_tokens_per_s.into(per_second * dollars.MTOK),
        usd_per_1000_requests=rates.requests_per_s.into(per_second * 1000),
        input_usd_per_mtok=of_input if mix.fresh else None,
        cached_usd_per_mtok=of_input if mix.cached else None,
        output_usd_per_mtok=out,
    )


@dataclass(frozen=True)
class Good:
    """USD of what met every objective: the bill of all of the time over good requests and their tokens alone."""

    usd_per_1000_requests: Estimate
    blended_usd_per_mtok: Estimate
    all_in_usd_per_mtok_output: Estimate


def good(requests_per_s: Estimate, mix: Sums, usd_per_hour: float, utilisation: float) -> Good | None:
    """At the rate of good requests, whose tokens are `mix`; None where there were none.

    Two good requests a second of 400 tokens in and 100 out, at $3.60 an hour:

    >>> found = good(Estimate(2.0, None, None, 1), Sums(10, 4000, 0, 1000), 3.6, 1.0)
    >>> found.usd_per_1000_requests.value, found.blended_usd_per_mtok.value, found.all_in_usd_per_mtok_output.value
    (0.5, 1.0, 5.0)
    """
    if not mix.requests or not mix.output or requests_per_s.value <= 0:
        return None
    per_request = requests_per_s.into(dollars.bill_usd(usd_per_hour, 1.0, utilisation))
    return Good(
        per_request.times(1000),
        per_request.times(dollars.MTOK * mix.requests / mix.tokens),
        per_request.times(dollars.MTOK * mix.requests / mix.output),
    )


@dataclass(frozen=True)
class ApiOfMix:
    """The same tokens at an API. `ratio`: this endpoint over the API; `break_even`: the utilisation from which it is
    cheaper, above 1 never; None where what a token costs beside the hour is more than the API asks, or nothing idles.

    `tokens_per_own`: how many tokens the API charges for one of this model's, for the same prose; None where nobody
    knows, and they are taken as equal.
    """

    api: str
    model: ApiModel
    usd_per_mtok: float
    usd_per_1000_requests: float
    ratio: Estimate
    break_even: Estimate | None
    idles: bool = True
    tokens_per_own: float | None = None

    @property
    def break_even_utilisation(self) -> float | None:
        """None: never."""
        return None if self.break_even is None or self.break_even.value > 1 else self.break_even.value


def at_apis(
    mix: Mix, apis: tuple[ApiModel, ...], own: Estimate, at_full_load: Estimate | None, beside: float, cached: float
) -> tuple[ApiOfMix, ...]:
    """The measured tokens at each API: every request at the prices of its own size.

    `own`: USD per Mtok here, all included; `at_full_load`: the machine's part of it at utilisation 1, None of an
    endpoint that is paid by the token; `beside`: what a Mtok costs beside the hour; `cached`: the least share of the
    prompt that the API is assumed to have cached. Raises InputError for an API that asks nothing.
    """
    found = []
    whole = mix.whole
    for api in apis:
        usd = float(mix.usd(api.tariff, cached))
        if usd < LEAST_USD * whole.requests:
            raise InputError(f"{api.name}: these requests cost nothing there; leave it out")
        per_mtok = usd * dollars.MTOK / whole.tokens
        extra = Estimate(beside, beside, beside, own.n)
        share = None if at_full_load is None else break_even.utilisation_beside(at_full_load, extra, per_mtok)
        found.append(
            ApiOfMix(
                api=api.name,
                model=api,
                usd_per_mtok=per_mtok,
                usd_per_1000_requests=usd * 1000 / whole.requests,
                ratio=own.times(1 / per_mtok),
                break_even=share,
                idles=at_full_load is not None,
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Asleep:
    """The machine is on for a share of the month, and each start serves nothing. `blended`: at the utilisation of the
    time that it is ready."""

    duty: Duty
    utilisation: float
    usd_per_month: float
    blended_usd_per_mtok: Estimate
    usd_per_1000_requests: Estimate
    capacity_requests_per_month: Estimate


def asleep(at: Prices, rates: Rates, rate: HourlyRate, utilisation: float, duty: Duty) -> Asleep:
    """What `at` becomes with so many cold starts. Raises InputError for a machine that is paid for when it is off, or
    only while it serves.

    $3.60 an hour, on for half of the month, a tenth of which are cold starts:

    >>> one = lambda value: Estimate(value, None, None, 1)
    >>> rates = Rates(one(1000.0), one(200.0), one(2.0))
    >>> at = prices(rates, Sums(2, 800, 0, 200), 3.6, 1.0, 4.0)
    >>> found = asleep(at, rates, HourlyRate(3.6, "stated"), 1.0, Duty(0.5, 73, 1800))
    >>> round(found.blended_usd_per_mtok.value, 9), round(found.usd_per_month, 6)
    (1.111111111, 1314.0)
    """
    if rate.kind in STANDING or rate.kind == "serverless":
        why = "is paid for only while it serves" if rate.kind == "serverless" else "costs the same when it is off"
        raise InputError(f"--duty-cycle: a machine that is {rate.kind} {why}; leave the option out")
    hosting = Hosting(rate.usd_per_hour, rates.requests_per_s, duty=duty)
    return Asleep(
        duty,
        utilisation,
        hosting.usd_per_month,
        at.blended_usd_per_mtok.times(1 / duty.ready_share),
        at.usd_per_1000_requests.times(1 / duty.ready_share),
        hosting.capacity_per_month,
    )


def machine_of(serving: Serving, environment: Environment) -> tuple[ModelFacts, str]:
    """What the hourly price is looked up by, and on whose word: the devices of a server that this run started, else all
    accelerators of this machine, else its CPUs.

    Raises InputError for an endpoint elsewhere: the machine that was detected is the client's.
    """
    server = serving.server
    devices: tuple[Accelerator, ...] = environment.accelerators
    if server is not None and (server.accelerators or server.device_used_peak_bytes == 0 or not devices):
        devices, said = server.accelerators, "the server that this run started"
    elif server is not None or serving.loopback:
        said = "this machine, where the endpoint is" + (", with all of its accelerators" if devices else "")
    else:
        raise InputError(
            "the endpoint is not on this machine and nobody said what it costs; give --usd-per-hour of all that serves "
            "it, owned:, or --billed-as provider/model where it is paid by the token"
        )
    return on_devices(devices), said


def on_devices(accelerators: tuple[Accelerator, ...]) -> ModelFacts:
    """Facts that an hourly price can be looked up by, of a model that nobody here loaded; none: on the CPUs."""
    places = {f"cuda:{index}": 0 for index in range(len(accelerators))} or {"cpu": 0}
    return ModelFacts(
        parameters=0,
        weights_bytes=0,
        vocab_size=0,
        dtype="",
        device=next(iter(places)),
        placement=places,
        accelerators=accelerators,
    )
