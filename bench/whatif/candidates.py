"""The ways to serve a load: every measured row with dollars, rows carried to other hardware, and APIs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.metrics.statistics import Estimate
from bench.report import table
from bench.schema import CostChoices, Workload
from bench.whatif import source as sources
from bench.whatif.carry import GB, NO_COMMUNICATION, Asked, carried, request_at_api_usd
from bench.whatif.fit import needed_bytes
from bench.whatif.load import Batch, Limits, Load, Miss, Served, api_usd_per_month, distance, far, served
from bench.whatif.project_text import onto
from bench.whatif.source import Source
from bench.whatif.target import Target

Kind = Literal["measured", "estimate", "api"]


@dataclass(frozen=True)
class Candidate:
    """One way to serve. `served` is None for an API, whose latency nobody measured; its dollars are exact."""

    kind: Kind
    name: str
    where: str
    usd_per_month: Estimate
    served: Served | None = None
    misses: tuple[Miss, ...] = ()
    notes: tuple[str, ...] = ()
    row: int | None = None
    usd_per_hour: float | None = None
    usd_per_request: float | None = None

    def fails(self) -> bool:
        return bool(self.misses)

    def worst(self) -> float:
        """The factor by which the limit that is missed most is missed."""
        return max((miss.factor for miss in self.misses), default=0.0)


@dataclass(frozen=True)
class Considered:
    """Candidates, cheapest first and those that miss a limit last; and who could not be one, with the reason."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[str, ...]


def considered(
    found: Sequence[Source],
    targets: Sequence[Target],
    apis: Sequence[str],
    load: Load,
    limits: Limits,
    projecting: Asked,
) -> Considered:
    """Everything that could serve the load."""
    candidates: list[Candidate] = []
    left_out: list[str] = []
    for source in nearest(found, load):
        batches = [_measured(source, load), *(_projected(source, one, load, projecting) for one in targets)]
        for one in batches:
            if isinstance(one, str):
                left_out.append(f"left out: {one}")
            else:
                candidates.append(_candidate(source, one, load, limits))
    candidates += [_api(name, load, limits, projecting.choices) for name in apis]
    candidates.sort(key=_order)
    return Considered(tuple(candidates), tuple(dict.fromkeys(left_out)))


def _order(one: Candidate) -> tuple[bool, float, float, float]:
    """Cheapest first; of equal ones first the one whose range ends lower, then the one that is less busy."""
    usd = one.usd_per_month
    busy = 0.0 if one.served is None else one.served.utilisation
    return one.fails(), usd.value, usd.value if usd.high is None else usd.high, busy


def nearest(found: Sequence[Source], load: Load) -> list[Source]:
    """Of rows that differ in their lengths alone, the one whose lengths are nearest to the load's, by logarithms."""
    best: dict[tuple[str, ...], Source] = {}
    for one in found:
        if one.row.figures is None:
            continue
        work = one.row.cell.workload
        same = work.model_copy(update={"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0})
        cell = one.row.cell.model_copy(update={"workload": same})
        weights = one.figures.facts.weights_id or ""
        key = (sources.identity(cell), one.row.environment.fingerprint(), weights, *sources.hardware(one.row))
        if key not in best or _distance(one, load) < _distance(best[key], load):
            best[key] = one
    return list(best.values())


@dataclass(frozen=True)
class _Offer:
    """A replica: its batch and hardware, and what to say of it."""

    kind: Kind
    where: str
    batch: Batch
    basis: str
    notes: tuple[str, ...] = ()


def _measured(source: Source, load: Load) -> _Offer | str:
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
    rate = row.dollars.rate
    batch = _batch(source, source.figures.ttft_s, source.figures.tpot_s, rate.usd_per_hour)
    doubts = [reason.code for reason in row.verdict]
    notes = [f"the measured row's verdict is {', '.join(doubts)}"] if doubts else []
    return _Offer("measured", sources.where(row), batch, rate.basis, tuple(notes))


def _projected(source: Source, target: Target, load: Load, asked: Asked) -> _Offer | str:
    """A row on other hardware as a replica, or why not."""
    reason = _cannot(source, load)
    if reason is not None:
        return f"{source.name()} on {target.name} (estimate): {reason}"
    found = carried(source, target, asked, _at_load(source, load))
    if found.speeds is None or found.speeds.ttft_s is None or found.bill is None or found.fit is None:
        return f"{source.name()} on {target.name} (estimate): {'; '.join(found.reasons)}"
    tpot = None if found.speeds.tpot_s is None else found.speeds.tpot_s.estimate
    batch = _batch(source, found.speeds.ttft_s.estimate, tpot, found.bill.rate.usd_per_hour)
    several = (NO_COMMUNICATION,) if (found.fit.devices or 0) > 1 else ()
    notes = (f"estimate from row {source.number}", *found.warnings, *found.reasons, *several)
    return _Offer("estimate", onto(found), batch, found.bill.rate.basis, notes)


def _candidate(source: Source, offer: _Offer, load: Load, limits: Limits) -> Candidate:
    done = served(offer.batch, load, limits)
    work = source.row.cell.workload
    notes = [f"Hardware price: {offer.basis}.", *offer.notes]
    if far(offer.batch.uncached_tokens, offer.batch.output_tokens, load):
        notes.append(
            f"warning: measured at {sources.lengths_of(source.row.cell)} tokens, over a factor of 2 from the load's: "
            "linear scaling is a rough guess there; measure these lengths"
        )
    if work.cached_tokens != load.cached_tokens:
        notes.append(
            f"measured with {work.cached_tokens} cached tokens: the prefill is scaled by uncached tokens, and what "
            "reading the cache costs is not in it"
        )
    if done.may_miss:
        notes.append(f"by the interval of the measurement it may miss: {', '.join(done.may_miss)}")
    return Candidate(
        kind=offer.kind,
        name=sources.named(source.row),
        where=offer.where,
        usd_per_month=done.usd_per_month,
        served=done,
        misses=done.misses,
        notes=tuple(notes),
        row=source.number,
        usd_per_hour=offer.batch.usd_per_hour,
    )


def _api(name: str, load: Load, limits: Limits, choices: CostChoices) -> Candidate:
    price = request_at_api_usd(name, load.input_tokens, load.cached_tokens, load.output_tokens, choices)
    usd = api_usd_per_month(load, price)
    over = limits.usd_per_month is not None and usd > limits.usd_per_month
    misses = (Miss("$ per month", usd, limits.usd_per_month),) if over and limits.usd_per_month is not None else ()
    # A price list has no noise: both ends of the interval are the price.
    return Candidate("api", name, "API", Estimate(usd, usd, usd, 1), misses=misses, usd_per_request=price)


def _cannot(source: Source, load: Load) -> str | None:
    """Why a row says nothing of this load at all."""
    facts = source.figures.facts
    longest = load.input_tokens + load.output_tokens
    if facts.max_positions is not None and longest > facts.max_positions:
        return f"the model has {facts.max_positions} positions, the load needs {longest}"
    if load.output_tokens > 1 and source.figures.tpot_s is None:
        return "measured with one output token, so nothing is known of its decode"
    if _uncached(source) < 1:
        return "measured with the whole prompt cached, so nothing is known of its prefill"
    return None


def _at_load(source: Source, load: Load) -> Workload:
    lengths = {"input_tokens": load.input_tokens, "output_tokens": load.output_tokens}
    return source.row.cell.workload.model_copy(update={**lengths, "cached_tokens": load.cached_tokens})


def _batch(source: Source, ttft: Estimate, tpot: Estimate | None, usd_per_hour: float) -> Batch:
    work = source.row.cell.workload
    return Batch(work.batch_size, _uncached(source), work.output_tokens, ttft, tpot, usd_per_hour)


def _uncached(source: Source) -> int:
    work = source.row.cell.workload
    return work.input_tokens - work.cached_tokens


def _distance(source: Source, load: Load) -> tuple[float, int]:
    """Of equal distances the row that was measured with as many cached tokens."""
    work = source.row.cell.workload
    return distance(max(1, _uncached(source)), work.output_tokens, load), abs(work.cached_tokens - load.cached_tokens)


def described(one: Candidate) -> str:
    """Replicas, model and hardware in a few words; an estimate says so."""
    if one.served is None:
        return f"API {one.name}"
    label = " (estimate)" if one.kind == "estimate" else ""
    return f"{one.served.replicas} × {one.name} on {one.where}{label}"


def dollars(of: Estimate) -> str:
    """Dollars of a month with their range.

    >>> dollars(Estimate(1234.5, 1000.0, 2000.0, 3)), dollars(Estimate(12.0, 12.0, 12.0, 1))
    ('$1,234 ($1,000–$2,000)', '$12.0')
    """
    if of.low is None or of.high is None or of.low == of.high:
        return f"${table.number(of.value)}"
    return f"${table.number(of.value)} (${table.number(of.low)}–${table.number(of.high)})"
