"""What a measured row offers for a load: a replica with its batch, where it was measured or carried elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bench.cost.hourly import HourlyRate
from bench.metrics.statistics import Estimate
from bench.schema import CostChoices, Workload
from bench.whatif import source as sources
from bench.whatif.carry import GB, NO_COMMUNICATION, Asked, carried, one_off_usd
from bench.whatif.fit import needed_bytes
from bench.whatif.load import Batch, Load, distance
from bench.whatif.project_text import onto
from bench.whatif.source import Source
from bench.whatif.target import Target

Kind = Literal["measured", "estimate", "api"]
AskedOf = Callable[[Source], Asked]


@dataclass(frozen=True)
class Offer:
    """A replica: its row, batch and hardware, the choices that price it, and what to say of it."""

    kind: Kind
    source: Source
    where: str
    batch: Batch
    rate: HourlyRate
    choices: CostChoices
    notes: tuple[str, ...] = ()


def offers(found: Sequence[Source], targets: Sequence[Target], load: Load, asked: AskedOf) -> list[Offer | str]:
    """Of rows that differ in their lengths alone the nearest one that can be used, as measured and on each target.

    Where none can be, why the nearest cannot.
    """
    answer: list[Offer | str] = []
    for alike in _alike(found, load):
        answer.append(_first([partial(_measured, one, load) for one in alike]))
        for target in targets:
            answer.append(_first([partial(_projected, one, target, load, asked(one)) for one in alike]))
    return answer


def _first(attempts: Sequence[Callable[[], Offer | str]]) -> Offer | str:
    """The first that is an offer, else the first reason."""
    reason = ""
    for attempt in attempts:
        found = attempt()
        if isinstance(found, Offer):
            return found
        reason = reason or found
    return reason


def _alike(found: Sequence[Source], load: Load) -> list[list[Source]]:
    """Measured rows that differ in their lengths alone, those first whose lengths are nearest to the load's."""
    groups: dict[tuple[str, ...], list[Source]] = {}
    for one in found:
        if one.row.figures is None:
            continue
        work = one.row.cell.workload
        same = work.model_copy(update={"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0})
        cell = one.row.cell.model_copy(update={"workload": same})
        weights = one.figures.facts.weights_id or ""
        key = (sources.identity(cell), one.row.environment.fingerprint(), weights, *sources.hardware(one.row))
        groups.setdefault(key, []).append(one)
    return [sorted(alike, key=lambda one: _distance(one, load)) for alike in groups.values()]


def _distance(source: Source, load: Load) -> tuple[float, int]:
    """By logarithms; of equal distances the row that was measured with as many cached tokens."""
    work = source.row.cell.workload
    uncached = max(1, sources.uncached(source.row.cell))
    return distance(uncached, work.output_tokens, load), abs(work.cached_tokens - load.cached_tokens)


def _measured(source: Source, load: Load) -> Offer | str:
    """A measured row as a replica, or why not."""
    row, who = source.row, f"{source.name()} on {sources.where(source.row)}"
    if row.dollars is None:
        return f"{who}: no dollars: {row.no_dollars_because or 'no price'}"
    reason = _cannot(source, load)
    if reason is not None:
        return f"{who}: {reason}"
    of, memory = sources.shape(row), sources.memory_bytes(row)
    if of is not None and memory is not None:
        needed = needed_bytes(of, source.figures.facts, row.cell.precision, _at_load(source, load))
        if needed > memory:
            return f"{who}: does not fit: needs {needed / GB:.1f} GB of {memory / GB:.1f} GB at these lengths"
    figures, power = source.figures, row.dollars.beside_usd_per_request.get("electricity")
    assert figures.ttft_s is not None
    batch = _batch(source, load, figures.ttft_s, figures.tpot_s, row.dollars.rate, source.cost, power)
    doubts = [reason.code for reason in row.verdict]
    notes = [f"the measured row's verdict is {', '.join(doubts)}"] if doubts else []
    return Offer("measured", source, sources.where(row), batch, row.dollars.rate, source.cost, tuple(notes))


def _projected(source: Source, target: Target, load: Load, asked: Asked) -> Offer | str:
    """A row on other hardware as a replica, or why not."""
    who = f"{source.name()} on {target.name} (estimate)"
    reason = _cannot(source, load)
    if reason is not None:
        return f"{who}: {reason}"
    found = carried(source, target, asked, _at_load(source, load))
    if found.speeds is None or found.speeds.ttft_s is None or found.bill is None or found.fit is None:
        return f"{who}: {'; '.join(found.reasons)}"
    tpot = None if found.speeds.tpot_s is None else found.speeds.tpot_s.estimate
    batch = _batch(source, load, found.speeds.ttft_s.estimate, tpot, found.bill.rate, asked.choices)
    several = (NO_COMMUNICATION,) if (found.fit.devices or 0) > 1 else ()
    notes = (f"estimate from row {source.number}", *found.warnings, *found.reasons, *several)
    return Offer("estimate", source, onto(found), batch, found.bill.rate, asked.choices, notes)


def _cannot(source: Source, load: Load) -> str | None:
    """Why a row says nothing of this load at all."""
    facts = source.figures.facts
    longest = load.input_tokens + load.output_tokens
    if facts.max_positions is not None and longest > facts.max_positions:
        return f"the model has {facts.max_positions} positions, the load needs {longest}"
    if source.figures.ttft_s is None:
        return "scheduled continuously: its batch has no phases that could be carried to other lengths"
    if load.output_tokens > 1 and source.figures.tpot_s is None:
        return "measured with one output token, so nothing is known of its decode"
    if sources.uncached(source.row.cell) < 1:
        return "measured with the whole prompt cached, so nothing is known of its prefill"
    return None


def _at_load(source: Source, load: Load) -> Workload:
    lengths = {"input_tokens": load.input_tokens, "output_tokens": load.output_tokens}
    return source.row.cell.workload.model_copy(update={**lengths, "cached_tokens": load.cached_tokens})


def _batch(
    source: Source,
    load: Load,
    ttft: Estimate,
    tpot: Estimate | None,
    rate: HourlyRate,
    choices: CostChoices,
    electricity: Estimate | None = None,
) -> Batch:
    work = source.row.cell.workload
    return Batch(
        rows=work.batch_size,
        uncached_tokens=sources.uncached(source.row.cell),
        output_tokens=work.output_tokens,
        ttft_s=ttft,
        tpot_s=tpot,
        usd_per_hour=rate.usd_per_hour,
        served_share=rate.served_share,
        paid_while_serving=rate.kind == "serverless",
        one_off_usd_per_request=one_off_usd(choices, load.input_tokens + load.output_tokens),
        electricity_usd_per_request=electricity,
    )
