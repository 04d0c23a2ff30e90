"""A measured row against APIs: the same requests, volumes, utilisations, prices of the hour, and a machine that sleeps.

The numbers alone, from a row and what is assumed: units in the names, nothing rounded. `breakeven_text` makes tables,
sentences and notes of them; the formulas stand in `bench/cost/break_even.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal

from bench.cost import bounds, break_even, dollars
from bench.cost.break_even import Hosting, Threshold
from bench.cost.duty import Duty
from bench.cost.hourly import HourlyRate
from bench.errors import InputError, nearest
from bench.metrics.statistics import Estimate
from bench.models.sample_text import PARTS
from bench.report import table
from bench.report.costs import ApiComparison, Dollars
from bench.report.rows import Row
from bench.report.same_text import SameText, same_text
from bench.schema import CostChoices

Outcome = Literal["from", "never", "doubt"]
"""Cheaper from some utilisation on; never; or the interval reaches to both sides."""

SLEEPING = ((0.5, 30.0), (0.24, 22.0), (0.1, 100.0))
"""Examples of share of the month and starts: twelve hours a day, eight on each of 22 days, and 100 short spells."""

STANDING = {
    "owned": "costs the same when it is off",
    "reserved": "costs the same when it is off: its hours are bought in advance",
    "analyst": "costs the same when it is off: the estimate is of owning it",
}
"""Machines that are paid for whether they are on or not, by the kind of their rate."""

COLD_PARTS = {"import_s": "importing the engine", "load_s": "loading", "first_generate_s": "the first generation"}
"""What a start is made of, in order."""


@dataclass(frozen=True)
class Asked:
    """What a person asks beside the prices. `duty`: share of the month that the machine is on, and starts a month."""

    requests_per_month: tuple[float, ...] = ()
    max_utilisation: float = 1.0
    duty: tuple[float, float] | None = None
    text: str = "prose"

    def __post_init__(self) -> None:
        bounds.share_of_one("--max-utilisation", self.max_utilisation)
        for volume in self.requests_per_month:
            bounds.positive("--requests-per-month", volume)
            if volume > 1e15:
                raise InputError(f"--requests-per-month: {volume:g} is more than anybody is asked; at most 1e15")
        if self.duty is not None:
            Duty(*self.duty)
        if self.text not in PARTS:
            raise InputError(f"--text: unknown kind of text {self.text!r}; {nearest(self.text, PARTS)}")


@dataclass(frozen=True)
class SameRequests:
    """One request here, at the row's utilisation, and at an API.

    `full_load_share` is the break-even utilisation, also where it is above 1 (never); None: what a request costs beside
    the hour is more than the API asks.
    """

    api: str
    utilisation: float
    self_usd_per_request: Estimate
    api_usd_per_request: float
    self_usd_per_mtok: Estimate
    api_usd_per_mtok: float
    ratio: Estimate
    full_load_share: Estimate | None


@dataclass(frozen=True)
class Volume:
    """From how much a month on self-hosting is cheaper than an API: at first, and for every larger volume."""

    api: str
    first_requests_per_month: Threshold
    first_mtok_per_month: Threshold
    for_good_requests_per_month: Threshold
    for_good_mtok_per_month: Threshold
    for_good_replicas: int | None


@dataclass(frozen=True)
class AtVolume:
    """What a monthly volume costs here and at an API; None replicas of what is paid only while it serves."""

    requests_per_month: float
    mtok_per_month: float
    replicas: int | None
    replicas_low: int | None
    replicas_high: int | None
    self_usd_per_month: Estimate
    api: str
    api_usd_per_month: float


@dataclass(frozen=True)
class AtUtilisation:
    """What a request costs when the machine serves for this share of its hours, over what an API asks."""

    utilisation: float
    self_usd_per_request: Estimate
    self_usd_per_mtok: Estimate
    api: str
    ratio: Estimate


@dataclass(frozen=True)
class Hour:
    """A price of the machine's hour, against the cheapest API, at a utilisation. `flags`: the doubts about it."""

    kind: str
    flags: tuple[str, ...]
    usd_per_hour: float
    as_of: date | None
    chosen: bool
    utilisation: float
    self_usd_per_request: Estimate
    self_usd_per_mtok: Estimate
    api: str
    ratio: Estimate
    full_load_share: Estimate | None
    basis: str


@dataclass(frozen=True)
class Sleeping:
    """The machine is on for a share of the month, against the cheapest API. `utilisation`: of the time it is ready.

    `cold_share`: of the hours that serve, what the starts take.
    """

    duty_cycle: float
    starts_per_month: float
    cold_start_s: float
    paid_hours_per_month: float
    cold_share: float
    usd_per_month: float
    utilisation: float
    self_usd_per_request: Estimate
    capacity_requests_per_month: Estimate
    api: str
    full_load_share: Estimate | None
    first_requests_per_month: Threshold


@dataclass(frozen=True)
class Answer:
    """Everything about one row; `number` is its place in `bench report` of the same runs.

    `cold_start_s` has the parts of a start that the row's records hold, by their names.
    """

    number: int
    row: Row
    priced: Dollars
    hosting: Hosting
    mtok_per_request: float
    cold_start_s: dict[str, float]
    api_cached_share: float
    same_requests: tuple[SameRequests, ...]
    same_text: tuple[SameText, ...]
    volumes: tuple[Volume, ...]
    at_volumes: tuple[AtVolume, ...]
    at_utilisations: tuple[AtUtilisation, ...]
    hours: tuple[Hour, ...]
    sleeping: tuple[Sleeping, ...]

    def sections(self) -> dict[str, list[dict[str, Any]]]:
        """Every line as plain data, by section."""
        names = ("same_requests", "same_text", "volumes", "at_volumes", "at_utilisations", "hours", "sleeping")
        return {name: [flat(line) for line in getattr(self, name)] for name in names}


def outcome(share: Estimate | None) -> Outcome:
    """What a break-even utilisation says.

    >>> outcome(Estimate(0.65, 0.61, 0.69, 5)), outcome(Estimate(1.1, 0.9, 1.4, 5)), outcome(None)
    ('from', 'doubt', 'never')
    """
    if share is None:
        return "never"
    return "doubt" if break_even.in_doubt(share) else "never" if break_even.never(share) else "from"


def answer(row: Row, number: int, choices: CostChoices, asked: Asked, hours: Sequence[HourlyRate]) -> Answer:
    """All sections of a row; `hours`: what its machine may cost. Raises InputError where the row has no dollars.

    A serverless price is paid while it serves, so it has neither idle hours nor a volume from which they are filled; an
    owned or reserved machine costs the same asleep. Those sections are then empty, and a duty cycle is an error.
    """
    figures, priced = row.figures, row.dollars
    cheapest = table.cheapest(row)
    if figures is None or priced is None or cheapest is None:
        raise InputError(f"row {number} has no dollars: {why_no_dollars(row)}")
    for api in priced.apis:
        if api.api_usd_per_request > bounds.MOST_USD:
            raise InputError(f"{api.api}: a request costs ${api.api_usd_per_request:g} there; leave it out")
    work, kind = row.cell.workload, priced.rate.kind
    idles = kind != "serverless"
    if asked.duty is not None and (kind in STANDING or not idles):
        why = STANDING[kind] if idles else "is paid for only while it serves"
        raise InputError(f"--duty-cycle: the machine of row {number}, {kind}, {why}; leave the option out")
    hosting = Hosting(
        priced.rate.usd_per_hour,
        figures.e2el_s.into(work.batch_size),
        asked.max_utilisation,
        _sum(priced.beside_usd_per_request),
        Duty(served_share=priced.rate.served_share),
    )
    mtok = (work.input_tokens + work.output_tokens) / dollars.MTOK
    at = priced.utilisation if idles else 1.0
    cold = {name: one.value for name in COLD_PARTS if (one := getattr(figures, name, None)) is not None}
    of = _Lines(hosting, mtok, at, priced.apis, cheapest)
    return Answer(
        number,
        row,
        priced,
        hosting,
        mtok,
        cold,
        choices.api_cached_share,
        same_requests=tuple(of.same_requests()),
        same_text=tuple(same_text(row, hosting.usd_per_request(at), at, priced.apis, asked.text)),
        volumes=tuple(of.volumes()) if idles else (),
        at_volumes=tuple(of.at_volumes(asked.requests_per_month, idles)),
        at_utilisations=tuple(of.at_utilisations()) if idles else (),
        hours=tuple(of.hours(hours, priced.rate, priced.beside_usd_per_request)),
        sleeping=tuple(of.sleeping(asked.duty, sum(cold.values()))) if idles and kind not in STANDING else (),
    )


def why_no_dollars(row: Row) -> str:
    """The reason in a few words."""
    if row.figures is None:
        return f"{row.status}: {row.failure.reason}" if row.failure is not None else row.status
    return row.no_dollars_because or "no API was compared with"


def _sum(beside: Mapping[str, Estimate]) -> Estimate | float:
    """What a request costs beside the hour, of everything."""
    return break_even.added(list(beside.values())) if beside else 0.0


@dataclass(frozen=True)
class _Lines:
    """Makes the lines of a row's sections. `at`: the utilisation that dollars are at unless a line has its own."""

    hosting: Hosting
    mtok: float
    at: float
    apis: Sequence[ApiComparison]
    cheapest: ApiComparison

    def same_requests(self) -> Iterator[SameRequests]:
        own = self.hosting.usd_per_request(self.at)
        for one in self.apis:
            yield SameRequests(
                api=one.api,
                utilisation=self.at,
                self_usd_per_request=own,
                api_usd_per_request=one.api_usd_per_request,
                self_usd_per_mtok=own.times(1 / self.mtok),
                api_usd_per_mtok=one.api_usd_per_request / self.mtok,
                ratio=own.times(1 / one.api_usd_per_request),
                full_load_share=self.hosting.break_even_utilisation(one.api_usd_per_request),
            )

    def volumes(self) -> Iterator[Volume]:
        for one in self.apis:
            first = self.hosting.first(one.api_usd_per_request)
            good = self.hosting.for_good(one.api_usd_per_request)
            yield Volume(
                api=one.api,
                first_requests_per_month=first,
                first_mtok_per_month=first.times(self.mtok),
                for_good_requests_per_month=good,
                for_good_mtok_per_month=good.times(self.mtok),
                for_good_replicas=None if good.value is None else self.hosting.month(good.value).replicas,
            )

    def at_volumes(self, asked: Sequence[float], idles: bool) -> Iterator[AtVolume]:
        """In whole replicas, unless no hour is idle: then every request costs the same."""
        for volume in asked:
            month, one_by_one = self.hosting.month(volume) if idles else None, self.hosting.usd_per_request(self.at)
            for one in self.apis:
                yield AtVolume(
                    requests_per_month=volume,
                    mtok_per_month=volume * self.mtok,
                    replicas=None if month is None else month.replicas,
                    replicas_low=None if month is None else month.replicas_low,
                    replicas_high=None if month is None else month.replicas_high,
                    self_usd_per_month=one_by_one.times(volume) if month is None else month.usd,
                    api=one.api,
                    api_usd_per_month=volume * one.api_usd_per_request,
                )

    def at_utilisations(self) -> Iterator[AtUtilisation]:
        for share in break_even.SWEEP:
            own = self.hosting.usd_per_request(share)
            for one in self.apis:
                ratio = own.times(1 / one.api_usd_per_request)
                yield AtUtilisation(share, own, own.times(1 / self.mtok), one.api, ratio)

    def hours(self, rates: Sequence[HourlyRate], chosen: HourlyRate, beside: Mapping[str, Estimate]) -> Iterator[Hour]:
        """The chosen price first; what a request costs beside the hour stays, but for the electricity of the owner."""
        others = [rate for rate in rates if (rate.kind, rate.usd_per_hour) != (chosen.kind, chosen.usd_per_hour)]
        for rate in (chosen, *others):
            at = 1.0 if rate.kind == "serverless" else self.at
            its = {name: usd for name, usd in beside.items() if name != "electricity" or rate.kind == "owned"}
            hosting = Hosting(rate.usd_per_hour, self.hosting.requests_per_s, variable_usd_per_request=_sum(its))
            own = hosting.usd_per_request(at)
            yield Hour(
                kind=rate.kind,
                flags=rate.flags,
                usd_per_hour=rate.usd_per_hour,
                as_of=rate.as_of,
                chosen=rate is chosen,
                utilisation=at,
                self_usd_per_request=own,
                self_usd_per_mtok=own.times(1 / self.mtok),
                api=self.cheapest.api,
                ratio=own.times(1 / self.cheapest.api_usd_per_request),
                full_load_share=hosting.break_even_utilisation(self.cheapest.api_usd_per_request),
                basis=rate.basis,
            )

    def sleeping(self, asked: tuple[float, float] | None, cold_start_s: float) -> Iterator[Sleeping]:
        """Always on, then what was asked for, or the examples that this cold start leaves room for."""
        always = replace(self.hosting.duty, cold_start_s=cold_start_s)
        cases = [always]
        for share, starts in SLEEPING if asked is None else (asked,):
            try:
                cases.append(replace(always, share=share, starts_per_month=starts))
            except InputError:
                if asked is not None:
                    raise
        for duty in dict.fromkeys(cases):
            hosting = self.hosting.on(duty)
            yield Sleeping(
                duty_cycle=duty.share,
                starts_per_month=duty.starts_per_month,
                cold_start_s=cold_start_s,
                paid_hours_per_month=duty.paid_hours,
                cold_share=1 - duty.ready_share,
                usd_per_month=hosting.usd_per_month,
                utilisation=self.at,
                self_usd_per_request=hosting.usd_per_request(self.at),
                capacity_requests_per_month=hosting.capacity_per_month,
                api=self.cheapest.api,
                full_load_share=hosting.break_even_utilisation(self.cheapest.api_usd_per_request),
                first_requests_per_month=hosting.first(self.cheapest.api_usd_per_request),
            )


def flat(line: object) -> dict[str, Any]:
    """Keys and plain values of a line: an interval's ends under its name, never as null and `outcome` in words."""
    found: dict[str, Any] = {}
    for field in fields(line):  # type: ignore[arg-type]
        name, value = field.name, getattr(line, field.name)
        if name == "full_load_share":
            said = outcome(value)
            found["break_even_utilisation"] = value.value if value is not None and value.value <= 1 else None
            found["outcome"] = {"from": "cheaper from", "never": "never cheaper", "doubt": "in doubt"}[said]
            found |= dict.fromkeys((name, f"{name}_low", f"{name}_high"))
        if isinstance(value, Estimate):
            ends = {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            found |= {key: None if end == math.inf else end for key, end in ends.items()}
        elif isinstance(value, Threshold):
            found |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            found[f"{name}_interval_known"] = value.known
        elif name != "full_load_share":
            found[name] = value.isoformat() if isinstance(value, date) else value
    return found
