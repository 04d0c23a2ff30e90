"""From figures, prices and assumptions to dollars: a pure function of what is stored, so new prices need no new run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bench.cost import api_prices, attribution, blend, dollars, hourly, owned
from bench.cost.api_prices import ApiModel
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.report.measured import Figures
from bench.schema import Cell, CostChoices, Environment, OneOff, Workload

NAMED_BLENDS = ("3:1", "80/20")
"""In to out: what price trackers quote, and what the claims about falling prices are made with."""


@dataclass(frozen=True)
class ApiComparison:
    """The same requests at an API. `full_load_share` is the break-even utilisation, also where it is above 1 (never).

    `ratio` is this machine at the assumed utilisation over the API; `break_even` is None where one-off costs alone are
    more than the API asks.
    """

    api: str
    model: ApiModel
    api_usd_per_request: float
    cached_tokens: int
    ratio: Estimate
    break_even: Estimate | None

    @property
    def break_even_utilisation(self) -> float | None:
        """None: never."""
        return None if self.break_even is None or self.break_even.value > 1 else self.break_even.value


@dataclass(frozen=True)
class Dollars:
    """What a cell's tokens cost on the hardware that ran it. `split` says how the bill was split into in and out."""

    rate: hourly.HourlyRate
    day: date
    utilisation: float
    method: str
    split: str
    no_fit_because: str | None
    input_usd_per_mtok: Estimate | None
    cached_usd_per_mtok: Estimate | None
    output_usd_per_mtok: Estimate | None
    residual: float | None
    blended_usd_per_mtok: Estimate
    blends: Mapping[str, Estimate | None]
    asked_blends: tuple[str, ...]
    usd_per_request: Estimate
    floor_usd_per_mtok: float | None
    electricity_usd_per_mtok: Estimate | None
    one_off: OneOff | None
    one_off_usd_per_mtok: float | None
    apis: tuple[ApiComparison, ...]


@dataclass(frozen=True)
class Pricing:
    """The assumptions, and the APIs that they name."""

    choices: CostChoices
    day: date
    apis: tuple[ApiModel, ...]
    blends: tuple[blend.Blend, ...]

    @classmethod
    def of(cls, choices: CostChoices) -> "Pricing":
        """Looked up once for all rows. Raises InputError for an API or a blend that is not known."""
        names = choices.apis or api_prices.DEFAULT_APIS
        found = tuple(api_prices.lookup(name, choices.as_of, choices.api_price_files) for name in names)
        wanted = dict.fromkeys((*NAMED_BLENDS, *choices.blends))
        return cls(
            choices, choices.as_of or datetime.now(UTC).date(), found, tuple(blend.parse(name) for name in wanted)
        )


FitKey = tuple[object, ...]


@dataclass(frozen=True)
class Fits:
    """Fits over the rows that differ in their lengths alone, or why such a group has none."""

    found: Mapping[FitKey, attribution.Fit]
    refused: Mapping[FitKey, str]


def fits(of: Iterable[tuple[Cell, Environment, Figures]], choices: CostChoices) -> Fits:
    """A fit for each model, precision, runner, batch and machine, where one is asked for or a prompt was cached."""
    groups: dict[FitKey, list[attribution.Point]] = {}
    for cell, environment, figures in of:
        groups.setdefault(_fit_key(cell, environment, figures), []).append(_point(cell.workload, figures))
    found: dict[FitKey, attribution.Fit] = {}
    refused: dict[FitKey, str] = {}
    for key, points in groups.items():
        if choices.attribution != "fit" and not any(point.cached_tokens for point in points):
            continue
        try:
            found[key] = attribution.fit(points)
        except InputError as error:
            refused[key] = error.lines[0]
    return Fits(found, refused)


def _fit_key(cell: Cell, environment: Environment, figures: Figures) -> FitKey:
    lengths = {"input_tokens", "cached_tokens", "output_tokens"}
    alike = cell.model_dump_json(exclude={"cell_id": True, "workload": lengths})
    return alike, environment.fingerprint(), figures.facts.weights_id


def _point(work: Workload, figures: Figures) -> attribution.Point:
    return attribution.Point.of(work, [one.whole_s for one in figures.each])


def _attributed(
    cell: Cell, environment: Environment, figures: Figures, per_hour: float, choices: CostChoices, fitted: Fits
) -> tuple[attribution.Split, str]:
    """The bill in parts by the method that was asked for, and what it is called; by time where there is no fit."""
    key, point = _fit_key(cell, environment, figures), _point(cell.workload, figures)
    fit = fitted.found.get(key)
    if choices.attribution == "fit" and fit is not None:
        return attribution.by_fit(point, fit, per_hour, choices.utilisation), attribution.method_text("fit", fit)
    if choices.attribution == "ratio":
        parts = attribution.by_ratio(point, choices.price_ratio, per_hour, choices.utilisation)
        return parts, attribution.method_text("ratio", ratio=choices.price_ratio)
    prefill_s = [one.prefill_s for one in figures.each]
    divides = fit if point.cached_tokens and fit is not None and fit.cached_s is not None else None
    parts = attribution.by_time(point, prefill_s, per_hour, choices.utilisation, divides)
    return parts, attribution.method_text("time", divides)


def dollars_of(cell: Cell, environment: Environment, figures: Figures, pricing: Pricing, fitted: Fits) -> Dollars:
    """The dollars of a row. Raises InputError where nobody knows what its machine costs."""
    work, choices = cell.workload, pricing.choices
    rate = hourly.rate(choices, environment, figures.facts)
    per_second = dollars.bill_usd(rate.usd_per_hour, 1.0, choices.utilisation)
    prompt_tokens, new_tokens = work.batch_size * work.input_tokens, work.batch_size * work.output_tokens
    bill = figures.e2el_s.times(per_second)
    per_request = bill.times(1 / work.batch_size)
    one_off = None if choices.one_off is None else owned.one_off_usd_per_mtok(choices.one_off)
    extra = 0.0 if one_off is None else one_off * (work.input_tokens + work.output_tokens) / dollars.MTOK
    floor_s, joules = figures.roofline.floor_e2el_s, figures.energy.j_per_output_token
    parts, method = _attributed(cell, environment, figures, rate.usd_per_hour, choices, fitted)
    blends = {one.name: parts.blended(float(one.input_parts), float(one.output_parts)) for one in pricing.blends}
    no_fit = fitted.refused.get(_fit_key(cell, environment, figures)) if choices.attribution == "fit" else None
    return Dollars(
        rate=rate,
        day=pricing.day,
        utilisation=choices.utilisation,
        method=parts.method,
        split=method,
        no_fit_because=no_fit,
        input_usd_per_mtok=parts.input_usd_per_mtok,
        cached_usd_per_mtok=parts.cached_usd_per_mtok,
        output_usd_per_mtok=parts.output_usd_per_mtok,
        residual=parts.residual,
        blended_usd_per_mtok=bill.times(dollars.per_mtok(1.0, prompt_tokens + new_tokens)),
        blends=blends,
        asked_blends=choices.blends,
        usd_per_request=per_request,
        floor_usd_per_mtok=None
        if floor_s is None
        else dollars.per_mtok(floor_s * per_second, prompt_tokens + new_tokens),
        electricity_usd_per_mtok=None
        if joules is None or choices.usd_per_kwh is None
        else joules.times(dollars.electricity_usd_per_mtok(1.0, choices.usd_per_kwh)),
        one_off=choices.one_off,
        one_off_usd_per_mtok=one_off,
        apis=tuple(_against(api, work, per_request, extra, choices) for api in pricing.apis),
    )


def _against(api: ApiModel, work: Workload, own: Estimate, extra: float, choices: CostChoices) -> ApiComparison:
    """The same requests at an API; `extra`: what a request bears of one-off costs, at any utilisation."""
    cached = max(work.cached_tokens, round(choices.api_cached_share * work.input_tokens))
    price = api.request_usd(work.input_tokens - cached, work.output_tokens, cached)
    full_load = own.times(choices.utilisation)
    return ApiComparison(
        api=api.name,
        model=api,
        cached_tokens=cached,
        api_usd_per_request=price,
        ratio=_plus(own, extra).times(1 / price),
        break_even=full_load.times(1 / (price - extra)) if price > extra else None,
    )


def _plus(of: Estimate, extra: float) -> Estimate:
    """An estimate with something exact added to it."""
    low, high = (None if end is None else end + extra for end in (of.low, of.high))
    return Estimate(of.value + extra, low, high, of.n)
