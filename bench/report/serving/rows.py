"""From records of cells under load to rows: one a cell, machine and server, every figure derived anew from the traces.

A trace is read, folded and let go of before the next one: what is kept of a run are its figures and sums of tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.cost import hourly
from bench.errors import InputError
from bench.metrics.serving.figures import over
from bench.metrics.verdict import Reason
from bench.report import machines
from bench.report.serving import priced
from bench.report.serving.counters import Counted, counted
from bench.report.serving.reading import Run, read_run
from bench.report.serving.row import ServingRow, server_key
from bench.report.serving.trace import REMEDY
from bench.schema import Cell, CostChoices, Environment, Failure, Machine, Record, Serving, Slo

Key = tuple[str, ...]
Duty = tuple[float, float]
"""Share of the month that the machine is on, and starts a month."""


@dataclass
class _Group:
    """The records of one row."""

    cell: Cell
    environment: Environment
    measured: list[Record] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)
    last: Record | None = None
    machine: str | None = None


def serving_rows(
    records: Iterable[Record],
    folder: Path,
    choices: CostChoices,
    slo: Sequence[Slo] = (),
    order: Sequence[str] = (),
    duty: Duty | None = None,
    fleet: Sequence[Machine] = (),
) -> list[ServingRow]:
    """The rows of a run's cells under load, in the order of the plan (`order`: cell ids), then as measured.

    `folder` is the run's: traces are named relative to it. `duty` asks for dollars of a machine that sleeps. Records of
    static batches are passed over. Raises InputError for an API that is not known, or not on the day of the prices.
    """
    groups = _grouped(records)
    if not groups:
        return []
    pricing = priced.Pricing.of(choices, duty)
    place = {cell_id: index for index, cell_id in enumerate(order)}
    keys = sorted(groups, key=lambda key: place.get(key[0], len(place)))
    found = []
    for key in keys:
        own = hourly.of_machine(groups[key].machine, fleet, pricing.choices)
        found.append(_row(groups[key], folder, replace(pricing, choices=own), tuple(slo)))
    usd = [None if one.dollars is None else one.dollars.usd_per_mtok.value for one in found]
    return machines.cheapest_first(found, usd)


def _grouped(records: Iterable[Record]) -> dict[Key, _Group]:
    """By cell, machine and server; a failure knows its cell and machine alone, and joins what was measured of them."""
    groups: dict[Key, _Group] = {}
    failures: list[Record] = []
    for record in records:
        if record.cell.traffic is None:
            continue
        if record.status == "lost":
            continue
        if record.serving is None or record.status != "ok":
            failures.append(record)
            continue
        key = (*_own(record), *server_key(record.serving))
        group = groups.setdefault(key, _Group(record.cell, record.environment, machine=record.machine))
        group.measured.append(record)
        group.last = record
    of_cell = {key[:3]: key for key in reversed(groups)}
    for record in failures:
        key = of_cell.get(_own(record), _own(record))
        group = groups.setdefault(key, _Group(record.cell, record.environment, machine=record.machine))
        group.failed.append(record)
        group.last = record if group.last is None or not group.measured else group.last
    return groups


def _own(record: Record) -> tuple[str, str, str]:
    return record.cell.cell_id, record.environment.fingerprint(), record.machine or ""


def _row(group: _Group, folder: Path, pricing: "priced.Pricing", slo: tuple[Slo, ...]) -> ServingRow:
    last = group.last
    spent = sum(one.spent_usd or 0.0 for one in group.failed)
    whole = [one for one in group.measured if not _is_cut_short(one)]
    if whole:  # a run that was cut short is shown where there is nothing better; what it cost counts all the same
        spent += sum(one.serving.spent_usd or 0.0 for one in group.measured if one.serving and _is_cut_short(one))
        group.measured = whole
    bare = ServingRow(
        group.cell,
        group.environment,
        "ok",
        0,
        slo=slo,
        command=None if last is None else last.command,
        stop=None if last is None else last.stop,
        failed_runs_usd=spent,
        machine=group.machine,
        measured_at=min((one.started_at for one in (*group.measured, *group.failed)), default=None),
    )
    if not group.measured:
        newest = group.failed[-1]
        return replace(bare, status=newest.status, failure=newest.error)
    runs: list[Run] = []
    servings: list[Serving] = []
    tokens: list[Counted] = []
    lost: list[str] = []
    lost_usd = 0.0
    for record in group.measured:
        serving = record.serving
        assert serving is not None
        try:
            run = read_run(record, folder, slo, pricing.bounds, pricing.paid_by(serving))
        except InputError as error:
            lost.append(error.lines[0])
            lost_usd += serving.spent_usd or 0.0
            continue
        runs.append(run)
        servings.append(serving)
        seen = counted(serving.samples, run.figures.steady.start_s, run.figures.steady.end_s)
        tokens += [] if seen is None else [seen]
    if not runs:
        facts = tuple(one.serving for one in group.measured if one.serving is not None)
        failure = Failure(reason=lost[0].removesuffix(f"; {REMEDY}"), remedy=REMEDY if REMEDY in lost[0] else None)
        return replace(bare, status="invalid", failure=failure, servings=facts, failed_runs_usd=spent + lost_usd)
    figures = over([one.figures for one in runs], servings, group.cell, group.environment)
    row = replace(
        bare,
        replicates=len(runs),
        failed_runs_usd=spent + lost_usd,
        servings=tuple(servings),
        figures=figures,
        verdict=(*figures.reasons, *_missing(lost, group.failed)),
        counted=tuple(tokens),
    )
    return priced.priced(row, runs, pricing)


def _is_cut_short(record: Record) -> bool:
    return record.serving is not None and record.serving.ended in ("interrupted", "money")


def _missing(lost: Sequence[str], failed: Sequence[Record]) -> list[Reason]:
    """What a row lacks of what was measured, or tried."""
    found = []
    if lost:
        found.append(Reason("traces", f"{len(lost)} more replicates have no trace ({lost[0]})", REMEDY))
    if failed:
        statuses = ", ".join(sorted({one.status for one in failed}))
        found.append(
            Reason("failures", f"{len(failed)} more replicates failed ({statuses})", "see logs/ in the run's folder")
        )
    return found
