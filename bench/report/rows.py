"""From records to rows: one a cell, with every figure derived anew. Needs no engine and no rerun."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.cost import api_prices, dollars, hourly
from bench.errors import InputError
from bench.metrics import latency, statistics, verdict
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.schema import Cell, CostChoices, Environment, Failure, Measurement, Memory, ModelFacts, Record, Status


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
    load_s: Estimate | None
    first_generate_s: Estimate | None
    memory: Memory


@dataclass(frozen=True)
class ApiComparison:
    """The same request at an API."""

    api: str
    api_usd_per_request: float
    ratio: Estimate
    break_even_utilisation: float | None


@dataclass(frozen=True)
class Dollars:
    """What a cell's tokens cost on the hardware that ran it."""

    rate: hourly.HourlyRate
    utilisation: float
    split: dollars.Split
    blended_usd_per_mtok: Estimate
    usd_per_request: Estimate
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


@dataclass
class _Group:
    cell: Cell
    environment: Environment
    ok: list[Measurement] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)


def rows(records: Iterable[Record], choices: CostChoices, order: Sequence[str] = ()) -> list[Row]:
    """One row a cell and machine, in the order of the plan (`order`: cell ids), then as measured.

    Raises InputError for an API that is not known.
    """
    apis = [api_prices.lookup(name) for name in choices.apis or api_prices.DEFAULT_APIS]
    groups: dict[tuple[str, ...], _Group] = {}
    for record in records:
        key = _key(record)
        group = groups.setdefault(key, _Group(record.cell, record.environment))
        if record.status == "ok" and record.measurement is not None:
            group.ok.append(record.measurement)
        else:
            group.failed.append(record)
    _join_failures(groups)
    place = {cell_id: index for index, cell_id in enumerate(order)}
    keys = sorted(groups, key=lambda key: place.get(key[0], len(place)))
    return [_row(groups[key], choices, apis) for key in keys]


def _key(record: Record) -> tuple[str, ...]:
    """Records of one row: the same cell on the same machine, and the same weights on the same kind of device."""
    own = (record.cell.cell_id, record.environment.fingerprint())
    if record.measurement is None:
        return own
    facts = record.measurement.facts
    return (*own, facts.weights_id or "", *(device.name for device in facts.accelerators))


def _join_failures(groups: dict[tuple[str, ...], _Group]) -> None:
    """A failure knows its cell and machine alone; it stands beside what was measured of them, if anything was."""
    for key in [key for key, group in groups.items() if not group.ok]:
        others = [other for other in groups if other[:2] == key[:2] and groups[other].ok]
        if others:
            groups[others[0]].failed += groups.pop(key).failed


def _row(group: _Group, choices: CostChoices, apis: Sequence[api_prices.ApiModel]) -> Row:
    if not group.ok:
        last = group.failed[-1]
        return Row(group.cell, group.environment, last.status, 0, failure=last.error)
    figures = _figures(group.cell, group.ok)
    reasons = list(verdict.judge(group.ok))
    # A failure that a later replicate or a retry made good is still said.
    if group.failed:
        statuses = ", ".join(sorted({record.status for record in group.failed}))
        reasons.append(
            Reason(
                "failures", f"{len(group.failed)} more replicates failed ({statuses})", "see logs/ in the run's folder"
            )
        )
    priced: Dollars | None = None
    problem: str | None = None
    try:
        priced = _dollars(group.cell, group.environment, figures, choices, apis)
    except InputError as error:
        problem = error.lines[0]
    return Row(
        group.cell,
        group.environment,
        "ok",
        len(group.ok),
        figures=figures,
        dollars=priced,
        verdict=tuple(reasons),
        no_dollars_because=problem,
    )


def _figures(cell: Cell, measured: Sequence[Measurement]) -> Figures:
    work = cell.workload
    times = [latency.of_replicate(one) for one in measured]
    prompt_tokens = work.batch_size * work.input_tokens
    new_tokens = work.batch_size * work.output_tokens
    ttft = _needed([one.ttft_s for one in times])
    e2el = _needed([one.e2el_s for one in times])
    tpot = statistics.estimate([one.tpot_s for one in times if one.tpot_s is not None])
    return Figures(
        facts=measured[0].facts,
        ttft_s=ttft,
        e2el_s=e2el,
        tpot_s=tpot,
        prefill_tokens_per_s=ttft.into(prompt_tokens),
        decode_tokens_per_s=None if tpot is None else tpot.into(work.batch_size),
        output_tokens_per_s=e2el.into(new_tokens),
        total_tokens_per_s=e2el.into(prompt_tokens + new_tokens),
        # Of the sum of the parts, so that the two dollar figures add up to the bill exactly.
        prefill_share=sum(one.ttft_s / (one.ttft_s + one.decode_s) for one in times) / len(times),
        load_s=statistics.estimate([one.load_s for one in measured]),
        first_generate_s=statistics.estimate([one.first_generate_s for one in measured]),
        memory=_peaks([one.memory for one in measured]),
    )


def _needed(values: list[float]) -> Estimate:
    found = statistics.estimate(values)
    if found is None:
        raise InputError("a record has a time of zero or less; it was not written by this program")
    return found


def _peaks(memories: Sequence[Memory]) -> Memory:
    """The largest of each counter over the replicates."""
    found: dict[str, int | None] = {}
    for name in Memory.model_fields:
        if name != "reasons":
            values = [getattr(one, name) for one in memories if getattr(one, name) is not None]
            found[name] = max(values) if values else None
    reasons = {name: why for one in memories for name, why in one.reasons.items() if found.get(name) is None}
    return Memory(**found, reasons=reasons)


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
    prompt_tokens, new_tokens = work.batch_size * work.input_tokens, work.batch_size * work.output_tokens
    compared = []
    for api in apis:
        price = api.request_usd(work.input_tokens, work.output_tokens)
        full_load = per_request.value * choices.utilisation
        compared.append(
            ApiComparison(
                api=api.name,
                api_usd_per_request=price,
                ratio=per_request.times(1 / price),
                break_even_utilisation=dollars.break_even_utilisation(full_load, price),
            )
        )
    return Dollars(
        rate=rate,
        utilisation=choices.utilisation,
        split=dollars.split(bill.value, figures.prefill_share, prompt_tokens, new_tokens),
        blended_usd_per_mtok=bill.times(dollars.per_mtok(1.0, prompt_tokens + new_tokens)),
        usd_per_request=per_request,
        apis=tuple(compared),
    )
