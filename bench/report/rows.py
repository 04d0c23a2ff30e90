"""From records to rows: one a cell, with every figure derived anew. Needs no engine and no rerun."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cost import api_prices, dollars, hourly
from bench.errors import InputError
from bench.metrics import statistics
from bench.metrics.independence import grouped_percentiles
from bench.metrics.percentiles import TooFew
from bench.metrics.roofline import Roofline, roofline
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.models import catalogue
from bench.report.gather import Gathered, gather
from bench.report.joules import EnergyFigures
from bench.schema import (
    Ceiling,
    Cell,
    CostChoices,
    Environment,
    Failure,
    Memory,
    Model,
    ModelFacts,
    Record,
    Status,
    Stop,
)

CeilingOf = Callable[[Environment, ModelFacts], tuple[Ceiling | None, str]]
"""The ceiling of what a row ran on, and on whose word; None and the reason where nobody knows it."""

PERCENTILES = (50, 90, 99)
WIDE = 0.10


@dataclass(frozen=True)
class Figures:
    """What was measured, over the replicates of a cell. SI units."""

    facts: ModelFacts
    ttft_s: Estimate
    e2el_s: Estimate
    tpot_s: Estimate | None
    prefill_tokens_per_s: Estimate
    decode_tokens_per_s: Estimate | None
    output_tokens_per_s: Estimate
    total_tokens_per_s: Estimate
    prefill_share: float
    prefill_s: Estimate
    decode_s: Estimate | None
    load_s: Estimate | None
    first_generate_s: Estimate | None
    memory: Memory
    energy: EnergyFigures
    roofline: Roofline
    percentiles: dict[str, dict[float, float | TooFew]]


@dataclass(frozen=True)
class ApiComparison:
    """The same request at an API. `full_load_share`: what it costs here at full load, over the API's price."""

    api: str
    api_usd_per_request: float
    ratio: Estimate
    full_load_share: float
    break_even_utilisation: float | None


@dataclass(frozen=True)
class Dollars:
    """What a cell's tokens cost on the hardware that ran it."""

    rate: hourly.HourlyRate
    utilisation: float
    input_usd_per_mtok: Estimate | None
    output_usd_per_mtok: Estimate | None
    blended_usd_per_mtok: Estimate
    usd_per_request: Estimate
    floor_usd_per_mtok: float | None
    electricity_usd_per_mtok: Estimate | None
    apis: tuple[ApiComparison, ...]


@dataclass(frozen=True)
class Row:
    """One cell on one machine: figures, dollars and verdict, or why there are none."""

    cell: Cell
    environment: Environment
    status: Status
    replicates: int
    figures: Figures | None = None
    dollars: Dollars | None = None
    verdict: tuple[Reason, ...] = ()
    failure: Failure | None = None
    no_dollars_because: str | None = None
    command: str | None = None
    stop: Stop | None = None


def rows(
    records: Iterable[Record], choices: CostChoices, order: Sequence[str] = (), ceiling_of: CeilingOf | None = None
) -> list[Row]:
    """One row a cell and machine, in the order of the plan (`order`: cell ids), then as measured.

    Raises InputError for an API that is not known.
    """
    apis = [api_prices.lookup(name) for name in choices.apis or api_prices.DEFAULT_APIS]
    groups = gather(records)
    place = {cell_id: index for index, cell_id in enumerate(order)}
    keys = sorted(groups, key=lambda key: place.get(key[0], len(place)))
    return [_row(groups[key], choices, apis, ceiling_of or _no_ceiling) for key in keys]


def _no_ceiling(_: Environment, __: ModelFacts) -> tuple[Ceiling | None, str]:
    return None, "no ceiling was asked for"


def _row(group: Gathered, choices: CostChoices, apis: Sequence[api_prices.ApiModel], ceiling_of: CeilingOf) -> Row:
    said = {"command": group.command, "stop": group.stop}
    if group.facts is None:
        return Row(group.cell, group.environment, group.last_status, 0, failure=group.failure, **said)  # type: ignore[arg-type]
    try:
        figures = _figures(group, group.facts, ceiling_of)
    except InputError as error:
        failure = Failure(reason=error.lines[0], remedy="measure it again")
        return Row(group.cell, group.environment, "invalid", 0, failure=failure, **said)  # type: ignore[arg-type]
    reasons = [*group.evidence.reasons(), *_wide(figures.e2el_s), *_above_the_ceiling(figures.roofline)]
    if group.set_aside:
        codes = ", ".join(f"{count} {code}" for code, count in sorted(group.set_aside.items()))
        what = f"replicates were set aside that mean nothing ({codes})"
        reasons.append(Reason("set-aside", what, "run again with --retry-failed on the quiet machine"))
    # A failure that a later replicate or a retry made good is still said.
    if group.failures:
        statuses = ", ".join(sorted(set(group.failures)))
        what = f"{len(group.failures)} more replicates failed ({statuses})"
        reasons.append(Reason("failures", what, "see logs/ in the run's folder"))
    priced: Dollars | None = None
    problem = ", ".join(reason.code for reason in reasons if reason.fatal) or None
    if problem is None:
        try:
            priced = _dollars(group.cell, group.environment, figures, choices, apis)
        except InputError as error:
            problem = error.lines[0]
    return Row(
        group.cell,
        group.environment,
        "ok",
        group.evidence.replicates,
        figures=figures,
        dollars=priced,
        verdict=tuple(reasons),
        no_dollars_because=problem,
        **said,  # type: ignore[arg-type]
    )


def _wide(e2el: Estimate) -> list[Reason]:
    """An interval that says little, however well behaved the replicates are."""
    spread = e2el.spread()
    if spread is None or spread <= WIDE:
        return []
    return [Reason("wide", f"the interval is ±{spread:.0%}", "raise sampling.budget_s, or quieten the machine")]


def _above_the_ceiling(of: Roofline) -> list[Reason]:
    above = [name for name, share in (("MBU", of.mbu), ("MFU", of.mfu)) if share is not None and share.value > 1]
    if not above:
        return []
    what = f"{' and '.join(above)} above 100%: the ceiling was measured too low, or the weights stay in a cache"
    return [Reason("above-ceiling", what, "run `bench hardware` on the quiet machine")]


def _figures(group: Gathered, facts: ModelFacts, ceiling_of: CeilingOf) -> Figures:
    work = group.cell.workload
    prompt_tokens = work.batch_size * work.input_tokens
    new_tokens = work.batch_size * work.output_tokens
    ttft = _needed(group.ttft_s)
    e2el = _needed(group.e2el_s)
    tpot = statistics.estimate(group.tpot_s)
    shares = group.prefill_share
    ceiling, basis = ceiling_of(group.environment, facts)
    config = facts.config or _config(group.cell.model)
    return Figures(
        facts=facts,
        ttft_s=ttft,
        e2el_s=e2el,
        tpot_s=tpot,
        prefill_tokens_per_s=ttft.into(prompt_tokens),
        decode_tokens_per_s=None if tpot is None else tpot.into(work.batch_size),
        output_tokens_per_s=e2el.into(new_tokens),
        total_tokens_per_s=e2el.into(prompt_tokens + new_tokens),
        # Of the sum of the parts, so that the two dollar figures add up to the bill exactly.
        prefill_share=sum(shares) / len(shares),
        prefill_s=_needed([whole * share for whole, share in zip(group.e2el_s, shares, strict=True)]),
        decode_s=statistics.estimate([whole * (1 - share) for whole, share in zip(group.e2el_s, shares, strict=True)]),
        load_s=statistics.estimate(group.load_s),
        first_generate_s=statistics.estimate(group.first_generate_s),
        memory=group.peaks(),
        energy=group.energy.figures(),
        roofline=roofline(config, facts, group.cell.precision, work, ttft, tpot, ceiling, basis),
        percentiles=_percentiles(group),
    )


def _config(model: Model) -> dict[str, Any]:
    """The sizes of a model whose record does not hold them, where its name says enough; the files may be elsewhere."""
    try:
        return catalogue.config(model) or {}
    except InputError:
        return {}


def _needed(values: Sequence[float]) -> Estimate:
    found = statistics.estimate(values)
    if found is None:
        raise InputError("a record has a time of zero or less; it was not written by this program")
    return found


def _percentiles(group: Gathered) -> dict[str, dict[float, float | TooFew]]:
    """Over batches: the rows of one batch share their stamps, and rounds of one process are alike (so: effective n)."""
    found = {}
    for name, values in zip(("ttft_s", "tpot_s", "e2el_s"), group.rounds, strict=True):
        if values:
            found[name] = grouped_percentiles(values, [int(count) for count in group.rounds_each], PERCENTILES)
    return found


def _dollars(
    cell: Cell,
    environment: Environment,
    figures: Figures,
    choices: CostChoices,
    apis: Sequence[api_prices.ApiModel],
) -> Dollars:
    work = cell.workload
    rate = hourly.rate(choices, environment, figures.facts)
    per_second = dollars.bill_usd(rate.usd_per_hour, 1.0, choices.utilisation)
    bill = figures.e2el_s.times(per_second)
    per_request = bill.times(1 / work.batch_size)
    compared = []
    for api in apis:
        price = api.request_usd(work.input_tokens, work.output_tokens)
        full_load = per_request.value * choices.utilisation
        compared.append(
            ApiComparison(
                api=api.name,
                api_usd_per_request=price,
                ratio=per_request.times(1 / price),
                full_load_share=full_load / price,
                break_even_utilisation=dollars.break_even_utilisation(full_load, price),
            )
        )
    prompt_tokens, new_tokens = work.batch_size * work.input_tokens, work.batch_size * work.output_tokens
    parts = dollars.split(bill.value, figures.prefill_share, prompt_tokens, new_tokens)
    floor_s = figures.roofline.floor_e2el_s
    joules = figures.energy.j_per_output_token
    return Dollars(
        rate=rate,
        utilisation=choices.utilisation,
        input_usd_per_mtok=_around(parts.input_usd_per_mtok, figures.prefill_s),
        output_usd_per_mtok=_around(parts.output_usd_per_mtok, figures.decode_s),
        blended_usd_per_mtok=bill.times(dollars.per_mtok(1.0, prompt_tokens + new_tokens)),
        usd_per_request=per_request,
        floor_usd_per_mtok=None
        if floor_s is None
        else dollars.per_mtok(floor_s * per_second, prompt_tokens + new_tokens),
        electricity_usd_per_mtok=None
        if joules is None or choices.usd_per_kwh is None
        else joules.times(dollars.electricity_usd_per_mtok(1.0, choices.usd_per_kwh)),
        apis=tuple(compared),
    )


def _around(value: float | None, like: Estimate | None) -> Estimate | None:
    """A figure with the relative interval of the time that it is proportional to."""
    return None if value is None or like is None else like.times(value / like.value)
