"""From records to rows: one a cell, with every figure derived anew. Needs no engine and no rerun."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.cost import hourly
from bench.errors import InputError
from bench.metrics.quality import QualityFigures
from bench.metrics.quality_reasons import BROKEN
from bench.metrics.roofline import Roofline
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.report import costs, machines, measured
from bench.report.costs import Dollars
from bench.report.gather import Gathered, gather
from bench.report.measured import CeilingOf, Figures
from bench.report.quality import Qualities
from bench.schema import (
    Ceiling,
    Cell,
    CostChoices,
    Environment,
    Failure,
    Machine,
    ModelFacts,
    Profile,
    Record,
    Status,
    Stop,
)

WIDE = 0.10


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
    quality: QualityFigures | None = None
    no_quality_because: str | None = None
    profile: Profile | None = None
    measured_at: str | None = None
    """When its first replicate began."""
    machine: str | None = None
    """Of a fleet: what its config calls the machine."""
    at_one_usd_per_hour: Dollars | None = None
    """Where nobody knows what the hour costs: dollars at $1, so that they can follow a price that is asked for."""


def rows(
    records: Iterable[Record],
    choices: CostChoices,
    order: Sequence[str] = (),
    ceiling_of: CeilingOf | None = None,
    qualities: Qualities | None = None,
    fleet: Sequence[Machine] = (),
) -> list[Row]:
    """One row a cell and machine, in the order of the plan (`order`: cell ids), then as measured; of one cell on
    several machines of a `fleet` the cheapest first, each at its own machine's price.

    Quality passes and profiles among the records are no rows: they stand in those that they belong to (`qualities`: how
    they are found). Raises InputError for an API that is not known, or not on the day of the prices.
    """
    pricing = costs.Pricing.of(choices)
    known = Qualities() if qualities is None else qualities
    groups = gather(known.passing(records))
    place = {cell_id: index for index, cell_id in enumerate(order)}
    keys = sorted(groups, key=lambda key: place.get(key[0], len(place)))
    found = [_with_quality(_row(groups[key], ceiling_of or _no_ceiling), known) for key in keys]
    timed = [(row.cell, row.environment, row.figures) for row in found if row.figures is not None and not _fatal(row)]
    fits = costs.fits(timed, choices)
    with collector_off():
        priced = [_priced(row, _on_machine(row, pricing, fleet), fits) for row in found]
    usd = [None if row.dollars is None else row.dollars.blended_usd_per_mtok.value for row in priced]
    return machines.cheapest_first(priced, usd)


def _on_machine(row: Row, pricing: costs.Pricing, fleet: Sequence[Machine]) -> costs.Pricing:
    """The prices that count for a row: those of its machine, where the config states any."""
    own = hourly.of_machine(row.machine, fleet, pricing.choices)
    return pricing if own is pricing.choices else replace(pricing, choices=own)


@contextmanager
def collector_off() -> Iterator[None]:
    """For what makes a million objects and no cycles of them: searching them for some takes as long as making them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _with_quality(row: Row, known: Qualities) -> Row:
    """The row with its quality and profile; a level that answers nonsense is said in the verdict too."""
    facts = None if row.figures is None else row.figures.facts
    quality = known.of(row.cell, row.environment, facts)
    broken = () if quality is None or facts is None else (one for one in quality.reasons if one.code in BROKEN)
    return replace(
        row,
        quality=quality,
        no_quality_because=known.why_none(row.cell, row.environment, facts),
        profile=known.profile_of(row.cell, row.environment),
        verdict=(*row.verdict, *broken),
    )


def _priced(row: Row, pricing: costs.Pricing, fits: costs.Fits) -> Row:
    """The row with its dollars, unless something in its verdict says that they would mean nothing."""
    if row.figures is None:
        return row
    if _fatal(row):
        return replace(row, no_dollars_because=_fatal(row))
    try:
        return replace(row, dollars=costs.dollars_of(row.cell, row.environment, row.figures, pricing, fits))
    except InputError as error:
        unpriced = replace(row, no_dollars_because=error.lines[0])
    nominal = replace(pricing, choices=pricing.choices.model_copy(update={"usd_per_hour": 1.0, "owned": None}))
    try:
        return replace(
            unpriced, at_one_usd_per_hour=costs.dollars_of(row.cell, row.environment, row.figures, nominal, fits)
        )
    except InputError:
        return unpriced  # it was not the hour


def _fatal(row: Row) -> str:
    """The codes of what makes a row's dollars mean nothing; empty where nothing does."""
    return ", ".join(reason.code for reason in row.verdict if reason.fatal)


def _no_ceiling(_: Environment, __: ModelFacts) -> tuple[Ceiling | None, str]:
    return None, "no ceiling was asked for"


def _row(group: Gathered, ceiling_of: CeilingOf) -> Row:
    said = {"command": group.command, "stop": group.stop, "measured_at": group.began_at, "machine": group.machine}
    if group.facts is None:
        return Row(group.cell, group.environment, group.last_status, 0, failure=group.failure, **said)  # type: ignore[arg-type]
    try:
        figures = measured.figures(group, group.facts, ceiling_of)
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
    return Row(
        group.cell,
        group.environment,
        "ok",
        group.evidence.replicates,
        figures=figures,
        verdict=tuple(reasons),
        **said,  # type: ignore[arg-type]
    )


def _wide(e2el: Estimate) -> list[Reason]:
    """An interval that says little, however well behaved the replicates are."""
    spread = e2el.spread()
    if spread is None or spread <= WIDE:
        return []
    said = f"the interval is ±{spread:.0%}" if spread < 10 else "the interval is more than a factor of ten each way"
    return [Reason("wide", said, "raise sampling.budget_s, or quieten the machine")]


def _above_the_ceiling(of: Roofline) -> list[Reason]:
    above = [name for name, share in (("MBU", of.mbu), ("MFU", of.mfu)) if share is not None and share.value > 1]
    if not above:
        return []
    what = f"{' and '.join(above)} above 100%: the ceiling was measured too low, or the weights stay in a cache"
    return [Reason("above-ceiling", what, "run `bench hardware` on the quiet machine")]
