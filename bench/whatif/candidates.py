"""The ways to serve a load: every measured row with dollars, rows carried to other hardware, and APIs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.metrics.statistics import Estimate
from bench.report import table
from bench.whatif import at_api
from bench.whatif import source as sources
from bench.whatif.at_api import ApiRequest
from bench.whatif.load import Batch, Limits, Load, Miss, Served, api_usd_per_month, far, served
from bench.whatif.offers import AskedOf, Kind, Offer, offers
from bench.whatif.source import Source
from bench.whatif.target import Target


@dataclass(frozen=True)
class Candidate:
    """One way to serve. An API has a `request` and no `served`: nobody measured its latency; its dollars are exact."""

    kind: Kind
    name: str
    where: str
    usd_per_month: Estimate
    served: Served | None = None
    misses: tuple[Miss, ...] = ()
    notes: tuple[str, ...] = ()
    row: int | None = None
    batch: Batch | None = None
    request: ApiRequest | None = None

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
    found: Sequence[Source], targets: Sequence[Target], load: Load, limits: Limits, asked: AskedOf
) -> Considered:
    """Everything that could serve the load; `asked` prices the targets for a row.

    Raises InputError for an API that is not known, or that asks nothing.
    """
    candidates = _apis(found, load, limits)
    left_out: list[str] = []
    for one in offers(found, targets, load, asked):
        if isinstance(one, str):
            left_out.append(f"left out: {one}")
        else:
            candidates.append(_candidate(one, load, limits))
    candidates.sort(key=_order)
    return Considered(tuple(candidates), tuple(dict.fromkeys(left_out)))


def _order(one: Candidate) -> tuple[bool, float, float, float]:
    """Cheapest first; of equal ones first the one whose range ends lower, then the one that is less busy."""
    usd = one.usd_per_month
    busy = 0.0 if one.served is None else one.served.utilisation
    return one.fails(), usd.value, usd.value if usd.high is None else usd.high, busy


def _candidate(offer: Offer, load: Load, limits: Limits) -> Candidate:
    done, cell = served(offer.batch, load, limits), offer.source.row.cell
    notes = [*_price_notes(offer, done), *offer.notes]
    if far(offer.batch.uncached_tokens, offer.batch.output_tokens, load):
        notes.append(
            f"warning: measured at {sources.lengths_of(cell)} tokens, over a factor of 2 from the load's: "
            "linear scaling is a rough guess there; measure these lengths"
        )
    if cell.workload.cached_tokens != load.cached_tokens:
        notes.append(
            f"measured with {cell.workload.cached_tokens} cached tokens: the prefill is scaled by uncached tokens, and "
            "what reading the cache costs is not in it"
        )
    if done.may_miss:
        notes.append(f"by the interval of the measurement it may miss: {', '.join(done.may_miss)}")
    return Candidate(
        kind=offer.kind,
        name=sources.named(offer.source.row),
        where=offer.where,
        usd_per_month=done.usd_per_month,
        served=done,
        misses=done.misses,
        notes=tuple(notes),
        row=offer.source.number,
        batch=offer.batch,
    )


def _price_notes(offer: Offer, done: Served) -> list[str]:
    """What the dollars of a month hold."""
    batch, one_off = offer.batch, offer.choices.one_off
    notes = [f"Hardware price: {offer.rate.basis}."]
    if batch.paid_while_serving:
        notes.append(
            "Serverless: paid for the seconds that serve, whatever the number of replicas; idle ones are not billed."
        )
    elif batch.served_share < 1:
        notes.append(
            f"The hourly price is for an hour that serves, and {table.percent(batch.served_share)} of all hours do: a "
            "replica's month and its capacity are that share of 730 hours."
        )
    if one_off is not None:
        notes.append(
            f"One-off: ${one_off.usd:g} for {one_off.what} over {one_off.mtok:g} Mtok, "
            f"${table.number(batch.one_off_usd_per_request)} a request, is in $ per month."
        )
    if done.electricity_usd_per_request is not None:
        usd = table.number(done.electricity_usd_per_request.value)
        notes.append(
            f"Electricity of the measured joules, ${usd} a request (in proportion to the time), is in $ per month; the "
            "owner's rate has none in it."
        )
    return notes


def _apis(found: Sequence[Source], load: Load, limits: Limits) -> list[Candidate]:
    """Each API at the prices that the run's own choices ask for; one that two runs price alike stands there once."""
    priced: dict[ApiRequest, int] = {}
    for source in found:
        for name in at_api.names(source.cost):
            one = at_api.request(name, load.input_tokens, load.cached_tokens, load.output_tokens, source.cost)
            priced.setdefault(one, source.number)
    names = [one.name for one in priced]
    apis = [_api(one, load, limits) for one in priced]
    return [
        one if names.count(one.name) == 1 else replace(one, name=f"{one.name} (as for row {number})")
        for one, number in zip(apis, priced.values(), strict=True)
    ]


def _api(one: ApiRequest, load: Load, limits: Limits) -> Candidate:
    usd = api_usd_per_month(load, one.usd_per_request)
    budget = limits.usd_per_month
    misses = (Miss("$ per month", usd, budget),) if budget is not None and usd > budget else ()
    # A price list has no noise: both ends of the interval are the price.
    return Candidate("api", one.name, "API", Estimate(usd, usd, usd, 1), misses=misses, request=one)


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
