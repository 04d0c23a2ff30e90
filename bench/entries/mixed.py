"""Dollars at other prices, another utilisation, another mix of tokens: from what an entry keeps, without a new run.

    machine   = R · s / (3600 · u)      s: machine seconds of a million tokens, of the entry's own or of a mix
    beside    = one-off costs + the owner's electricity, which goes with s
    own       = machine + beside, or the bill of an endpoint that is paid by the token
    ratio     = own / API
    break-even utilisation = machine at u = 1 / (API − beside)

`bench/page/static/dollars.js` is the same page in JavaScript, function by function, and `tests/data/dollars.json` holds
both to the same answers. A mix is of uncached input and output, as `--blend` is. Pure.
"""

from bench.cost.break_even import added, utilisation_beside
from bench.cost.dollars import SECONDS_PER_HOUR
from bench.cost.lengths import Three, around, half_width, share_of
from bench.entries.priced import ApiPrice, Asked, FitError, Priced
from bench.metrics.statistics import Estimate, estimate

PARTS = ("input", "cached", "output")


# --- the assumptions that count ------------------------------------------------------------------------------------


def idles(priced: Priced, asked: Asked) -> bool:
    """Whether there are hours that serve nothing. At a price per hour that is asked for, every machine has them."""
    return priced.idles or (asked.usd_per_hour is not None and priced.own_s_per_mtok is not None)


def utilisation(priced: Priced, asked: Asked) -> float:
    """The share of its paid hours that the machine serves; 1 where nothing idles, whatever is asked."""
    if not idles(priced, asked):
        return 1.0
    if asked.utilisation is not None:
        return asked.utilisation
    return priced.utilisation if priced.idles or priced.asked_utilisation is None else priced.asked_utilisation


def usd_per_hour(priced: Priced, asked: Asked) -> float | None:
    """Of the machine; None of an endpoint that is paid by the token, and where nobody knows."""
    if priced.own_s_per_mtok is None:
        return None
    return priced.usd_per_hour if asked.usd_per_hour is None else asked.usd_per_hour


# --- seconds -------------------------------------------------------------------------------------------------------


def seconds_per_mtok(priced: Priced, asked: Asked) -> Estimate | None:
    """Machine seconds of a million tokens at full load; None where the mix that is asked for cannot be told."""
    own, mixing = priced.own_s_per_mtok, priced.mixing
    if own is None or asked.mix is None:
        return own
    if mixing is None:
        return None
    of_input, of_output = _shares(asked.mix)
    value = of_input * mixing.input_s + of_output * mixing.output_s
    if mixing.method == "own":
        return own.times(value / own.value)
    each = [of_input * one + of_output * other for one, other in mixing.each]
    half = 0.0 if mixing.fit is None else _half_s(mixing.fit, of_input, of_output)
    return around(value, estimate(each) or own, half)


def _shares(mix: tuple[float, float]) -> tuple[float, float]:
    whole = mix[0] + mix[1]
    return mix[0] / whole, mix[1] / whole


def _half_s(fit: FitError, of_input: float, of_output: float) -> float | None:
    """What the fit's error makes of the seconds; None where nobody knows it."""
    mix: Three = (of_input, 0.0, of_output if fit.tokens[2] else 0.0)
    _, gradient = share_of(fit.seconds, fit.tokens, mix)
    half = half_width(gradient, fit.squares, fit.pulls)
    return None if half is None else fit.scale_s * half


# --- dollars -------------------------------------------------------------------------------------------------------


def usd_per_mtok(priced: Priced, asked: Asked) -> Estimate | None:
    """All that a million tokens cost, input and output together: what is compared with APIs."""
    if priced.own_s_per_mtok is None:
        return _bill(priced, asked)
    machine, extra = machine_usd_per_mtok(priced, asked), beside_usd_per_mtok(priced, asked)
    return machine if machine is None or extra is None else added([machine, extra])


def machine_usd_per_mtok(priced: Priced, asked: Asked) -> Estimate | None:
    """The machine's part of it; None where there is none, or its price is not known."""
    return _machine(seconds_per_mtok(priced, asked), priced, asked)


def part_usd_per_mtok(priced: Priced, part: str, asked: Asked) -> Estimate | None:
    """The machine's part of a million tokens of one kind: "input" (uncached), "cached" or "output"."""
    seconds = {
        "input": priced.input_s_per_mtok,
        "cached": priced.cached_s_per_mtok,
        "output": priced.output_s_per_mtok,
    }[part]
    return _machine(seconds, priced, asked)


def floor_usd_per_mtok(priced: Priced, asked: Asked) -> float | None:
    """What the entry's own tokens would cost at the device's physical limit."""
    per_second = _usd_per_second(priced, asked)
    return None if per_second is None or priced.floor_s_per_mtok is None else priced.floor_s_per_mtok * per_second


def beside_usd_per_mtok(priced: Priced, asked: Asked) -> Estimate | None:
    """What a million tokens cost beside the hour: the same of each token, electricity by the machine's time."""
    everything, power = priced.beside_usd_per_mtok, priced.electricity_beside_usd_per_mtok
    if everything is None or power is None or (asked.usd_per_hour is None and asked.mix is None):
        return everything
    rest = everything.value - power.value
    parts = [Estimate(rest, rest, rest, everything.n)] if rest > 0 else []
    seconds, own = seconds_per_mtok(priced, asked), priced.own_s_per_mtok
    if asked.usd_per_hour is None and seconds is not None and own is not None:
        parts.append(power.times(seconds.value / own.value))
    return added(parts) if parts else None


def _bill(priced: Priced, asked: Asked) -> Estimate | None:
    own, parts = priced.billed_usd_per_mtok, priced.billed_parts_usd_per_mtok
    if own is None or asked.mix is None:
        return own
    if parts is None:
        return None
    of_input, of_output = _shares(asked.mix)
    usd = of_input * parts[0] + of_output * parts[1]
    return Estimate(usd, usd, usd, own.n)


def _usd_per_second(priced: Priced, asked: Asked) -> float | None:
    """Of work, idle hours included."""
    per_hour = usd_per_hour(priced, asked)
    return None if per_hour is None else per_hour / (SECONDS_PER_HOUR * utilisation(priced, asked))


def _machine(seconds: Estimate | None, priced: Priced, asked: Asked) -> Estimate | None:
    per_second = _usd_per_second(priced, asked)
    return None if seconds is None or per_second is None else seconds.times(per_second)


# --- against APIs --------------------------------------------------------------------------------------------------


def api_usd_per_mtok(priced: Priced, api: ApiPrice, asked: Asked) -> float | None:  # noqa: ARG001
    """What the API asks for the same: the entry's own requests, or the mix in requests of the same size.

    All of that stands in `api`; `priced` is there so that every function here is asked in the same words.
    """
    if asked.mix is None:
        return api.own_usd_per_mtok
    of_input, of_output = _shares(asked.mix)
    return of_input * api.input_usd_per_mtok + of_output * api.output_usd_per_mtok + api.fee_usd_per_mtok


def ratio(priced: Priced, api: ApiPrice, asked: Asked) -> Estimate | None:
    """Here over the API: below 1 is cheaper here. None against an API that asks nothing."""
    own, usd = usd_per_mtok(priced, asked), api_usd_per_mtok(priced, api, asked)
    return None if own is None or usd is None or usd <= 0 else own.times(1 / usd)


def break_even(priced: Priced, api: ApiPrice, asked: Asked) -> Estimate | None:
    """The utilisation from which it is cheaper here: above 1 never, an infinite end too.

    None where what tokens cost beside the hour is all that the API asks, and where there is no machine.
    """
    seconds, per_hour = seconds_per_mtok(priced, asked), usd_per_hour(priced, asked)
    usd = api_usd_per_mtok(priced, api, asked)
    if seconds is None or per_hour is None or usd is None or usd <= 0:
        return None
    at_full_load = seconds.times(per_hour / SECONDS_PER_HOUR)
    extra = beside_usd_per_mtok(priced, asked) or Estimate(0.0, 0.0, 0.0, seconds.n)
    return utilisation_beside(at_full_load, extra, usd)


def cheapest(priced: Priced, asked: Asked) -> ApiPrice | None:
    """The cheapest of the compared APIs for the same tokens; the first of those that ask the same."""
    priced_at = [(usd, one) for one in priced.apis if (usd := api_usd_per_mtok(priced, one, asked)) is not None]
    return min(priced_at, key=lambda pair: pair[0])[1] if priced_at else None
