"""From figures, prices and assumptions to dollars: a pure function of what is stored, so new prices need no new run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bench.cost import api_prices, attribution, blend, break_even, dollars, hourly, owned
from bench.cost.api_prices import ApiModel
from bench.cost.hourly import HourlyRate
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.report.measured import Figures
from bench.schema import Cell, CostChoices, Environment, OneOff, Workload

LEAST_USD = 1e-15
"""An API that asks less for a request asks nothing: every ratio to it would mean nothing."""
NAMED_BLENDS = ("3:1", "80/20")
"""In to out: what price trackers quote, and what the claims about falling prices are made with."""


@dataclass(frozen=True)
class ApiComparison:
    """The same requests at an API. `full_load_share` is the break-even utilisation, also where it is above 1 (never).

    `ratio` is this machine at the assumed utilisation over the API; `break_even`: an infinite end is never; it is None
    where what a request costs beside the hour is more than the API asks, over the whole interval.
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
    """What a cell's tokens cost on the hardware that ran it. `split` says how the bill was split into in and out.

    `beside_usd_per_request`: what a request costs beside the machine's hour, by what for: "one_off", and "electricity"
    of an owned machine whose hourly rate has no power in it. `all_usd_per_request` is both together: what is compared
    with APIs.
    """

    rate: HourlyRate
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
    beside_usd_per_request: Mapping[str, Estimate]
    all_usd_per_request: Estimate
    floor_usd_per_mtok: float | None
    electricity_usd_per_mtok: Estimate | None
    one_off: OneOff | None
    one_off_usd_per_mtok: float | None
    apis: tuple[ApiComparison, ...]
    recipe: attribution.Recipe | None = None
    """How the bill of any mix of tokens follows; None where the bill could not be split."""
    asked_utilisation: float = 1.0
    """What was asked for, also where a serverless machine does not idle."""


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
        if figures.prefill_s is None:
            continue  # the shares of what overlaps do not add up
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
    cell: Cell,
    environment: Environment,
    figures: Figures,
    per_hour: float,
    utilisation: float,
    choices: CostChoices,
    fitted: Fits,
) -> tuple[attribution.Split, str, str | None]:
    """The bill in parts by the method that was asked for, what that is called, and why it is not by a fit.

    Without a fit the bill is split by time; then a cached prompt's tokens have no price of their own.
    """
    key, point = _fit_key(cell, environment, figures), _point(cell.workload, figures)
    if figures.prefill_s is None:
        parts = attribution.by_ratio(point, choices.price_ratio, per_hour, utilisation)
        overlap = ", as prefill and decode overlap in a batch that is scheduled continuously"
        return parts, attribution.method_text("ratio", ratio=choices.price_ratio) + overlap, None
    fit, missed = fitted.found.get(key), None
    if choices.attribution == "ratio":
        cached_ratio = 1.0 if point.cached_tokens else None
        parts = attribution.by_ratio(point, choices.price_ratio, per_hour, utilisation)
        return parts, attribution.method_text("ratio", ratio=choices.price_ratio, cached_ratio=cached_ratio), None
    if choices.attribution == "fit" and fit is not None and not (point.cached_tokens and fit.cached_s is None):
        return attribution.by_fit(point, fit, per_hour, utilisation), attribution.method_text("fit", fit), None
    divides = fit if point.cached_tokens and fit is not None and fit.cached_s is not None else None
    if choices.attribution == "fit" or (point.cached_tokens and divides is None):
        missed = fitted.refused.get(key, "no row of the fit but this one has cached tokens")
    prefill_s = [one.prefill_s for one in figures.each if one.prefill_s is not None]
    parts = attribution.by_time(point, prefill_s, per_hour, utilisation, divides)
    return parts, attribution.method_text("time", divides), missed


def dollars_of(cell: Cell, environment: Environment, figures: Figures, pricing: Pricing, fitted: Fits) -> Dollars:
    """The dollars of a row. Raises InputError where nobody knows what its machine costs, or an API asks nothing."""
    work, choices = cell.workload, pricing.choices
    rate = hourly.rate(choices, environment, figures.facts)
    # A serverless machine is paid only while it serves: it has no idle hours.
    utilisation = 1.0 if rate.kind == "serverless" else choices.utilisation
    per_second = dollars.bill_usd(rate.usd_per_hour, 1.0, utilisation)
    tokens = work.batch_size * (work.input_tokens + work.output_tokens)
    bill = figures.e2el_s.times(per_second)
    per_request = bill.times(1 / work.batch_size)
    beside = _beside(work, figures, rate, choices)
    extra = break_even.added(list(beside.values())) if beside else None
    own = Own(
        per_request if extra is None else break_even.added([per_request, extra]), per_request.times(utilisation), extra
    )
    floor_s = figures.roofline.floor_e2el_s
    parts, method, no_fit = _attributed(cell, environment, figures, rate.usd_per_hour, utilisation, choices, fitted)
    return Dollars(
        rate=rate,
        day=pricing.day,
        utilisation=utilisation,
        method=parts.method,
        split=method,
        no_fit_because=no_fit,
        input_usd_per_mtok=parts.input_usd_per_mtok,
        cached_usd_per_mtok=parts.cached_usd_per_mtok,
        output_usd_per_mtok=parts.output_usd_per_mtok,
        residual=parts.residual,
        blended_usd_per_mtok=bill.times(dollars.per_mtok(1.0, tokens)),
        blends={one.name: parts.blended(float(one.input_parts), float(one.output_parts)) for one in pricing.blends},
        asked_blends=choices.blends,
        usd_per_request=per_request,
        beside_usd_per_request=beside,
        all_usd_per_request=own.all,
        floor_usd_per_mtok=None if floor_s is None else dollars.per_mtok(floor_s * per_second, tokens),
        electricity_usd_per_mtok=_electricity(figures, choices),
        one_off=choices.one_off,
        one_off_usd_per_mtok=None if choices.one_off is None else owned.one_off_usd_per_mtok(choices.one_off),
        apis=tuple(_against(api, work, own, choices) for api in pricing.apis),
        recipe=parts.recipe,
        asked_utilisation=choices.utilisation,
    )


def _electricity(figures: Figures, choices: CostChoices) -> Estimate | None:
    """USD of electricity for a million output tokens: of the joules that were counted, times an owned machine's PUE."""
    joules = figures.energy.j_per_output_token
    if joules is None or choices.usd_per_kwh is None:
        return None
    pue = 1.0 if choices.owned is None else choices.owned.pue
    return joules.times(dollars.electricity_usd_per_mtok(pue, choices.usd_per_kwh))


def _beside(work: Workload, figures: Figures, rate: HourlyRate, choices: CostChoices) -> dict[str, Estimate]:
    """What a request costs beside the hour. Electricity only where the owner's rate has no power in it: a rent has."""
    found: dict[str, Estimate] = {}
    if choices.one_off is not None:
        usd = owned.one_off_usd_per_mtok(choices.one_off) * (work.input_tokens + work.output_tokens) / dollars.MTOK
        found["one_off"] = Estimate(usd, usd, usd, figures.e2el_s.n)
    electricity, machine = _electricity(figures, choices), choices.owned
    powerless = machine is not None and rate.kind == "owned" and machine.power_kw * machine.usd_per_kwh == 0
    if electricity is not None and powerless:
        found["electricity"] = electricity.times(work.output_tokens / dollars.MTOK)
    return found


@dataclass(frozen=True)
class Own:
    """USD of a request here: all of it, the machine's part at utilisation 1, and what is beside the hour at any."""

    all: Estimate
    full_load: Estimate
    beside: Estimate | None


def _against(api: ApiModel, work: Workload, own: Own, choices: CostChoices) -> ApiComparison:
    """The same requests at an API."""
    cached = max(work.cached_tokens, round(choices.api_cached_share * work.input_tokens))
    price = api.request_usd(work.input_tokens - cached, work.output_tokens, cached)
    if price < LEAST_USD:
        raise InputError(f"{api.name}: these requests cost nothing there; leave it out")
    return ApiComparison(
        api=api.name,
        model=api,
        cached_tokens=cached,
        api_usd_per_request=price,
        ratio=own.all.times(1 / price),
        break_even=_break_even(own.full_load, price, own.beside),
    )


def _break_even(full_load: Estimate, price: float, beside: Estimate | None) -> Estimate | None:
    if beside is None:
        return break_even.utilisation(full_load, price)
    return break_even.utilisation_beside(full_load, beside, price)
