"""Runs of one cell in the order of time: a point is what one run says of it, an estimate over its replicates.

A series holds one cell on one kind of machine (its hardware, whatever software ran) by one instrument: a change of the
harness that can move a figure begins another series. What else changed between two runs stands at the change.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from bench.entries.entry import Entry
from bench.history.metric import Metric
from bench.metrics import changes
from bench.metrics.changes import Change, Found
from bench.metrics.statistics import Estimate, estimate
from bench.schema import Environment

Axis = Literal["commit", "date"]


@dataclass(frozen=True)
class Seen:
    """An entry as a run had it. `run` is the folder's name, with a number where it holds several sittings."""

    run: str
    entry: Entry
    environment: Environment | None

    @property
    def when(self) -> str:
        """ISO 8601 in UTC, so that texts sort as times do; empty where nobody knows."""
        found = moment(self.entry.measured_at)
        return "" if found is None else found.isoformat()

    @property
    def revision(self) -> str | None:
        return self.entry.revision or (None if self.environment is None else self.environment.bench_revision)


@dataclass(frozen=True)
class Point:
    """One run's figure, or that of all runs of one commit (`runs`)."""

    runs: tuple[str, ...]
    when: str
    value: Estimate
    revision: str | None
    environment: Environment | None
    verdict: str

    @property
    def name(self) -> str:
        return self.runs[0] if len(self.runs) == 1 else f"{self.runs[0]} and {len(self.runs) - 1} more"


@dataclass(frozen=True)
class Lost:
    """A run that has no figure of the cell, and why."""

    run: str
    when: str
    why: str
    failed: bool


@dataclass(frozen=True)
class Series:
    """One cell, one metric. `newest` is its newest entry, which names it; `lost` are runs without a figure."""

    metric: Metric
    newest: Entry
    points: tuple[Point, ...]
    found: Found
    lost: tuple[Lost, ...] = ()

    @property
    def name(self) -> str:
        arm = f" (arm {self.newest.arm})" if self.newest.arm != 1 else ""
        return f"{self.newest.label}, {self.newest.workload}{arm}"

    @property
    def broken(self) -> Lost | None:
        """The newest run, if the cell failed in it and had a figure before."""
        last = self.lost[-1] if self.lost else None
        return last if last is not None and last.failed and self.points and last.when > self.points[-1].when else None

    @property
    def why_none(self) -> str | None:
        """Why there are no changes to tell of: said in the place of a result."""
        if len(self.points) == 1:
            return "one point: nothing to compare with yet"
        return self.found.why_not


Key = tuple[str, str, int | None]


def gathered(found: Iterable[Seen]) -> dict[Key, list[Seen]]:
    """By cell, hardware and instrument, each in the order of time."""
    groups: dict[Key, list[Seen]] = defaultdict(list)
    for one in found:
        place = one.entry.hardware if one.environment is None else one.environment.hardware()
        groups[one.entry.cell_id, place, one.entry.origin.instrument].append(one)
    for group in groups.values():
        group.sort(key=lambda one: (one.when, one.run))
    return dict(groups)


def series(of: Sequence[Seen], metric: Metric, axis: Axis) -> Series | None:
    """The runs' figures and where they change; None where no run has one."""
    points: list[Point] = []
    lost: list[Lost] = []
    measured = [one for one in of if one.entry.is_believable and metric.get(one.entry) is not None]
    basis = metric.basis(measured[-1].entry) if measured else ()
    for one in of:
        value = metric.get(one.entry) if one.entry.is_believable else None
        if value is not None and metric.basis(one.entry) != basis:
            lost.append(Lost(one.run, one.when, "another text, window or reference than the newest run's", False))
            continue
        if value is None or not math.isfinite(value.value) or (metric.is_log and value.value <= 0):
            lost.append(_lost(one, metric))
        else:
            points.append(Point((one.run,), one.when, value, one.revision, one.environment, one.entry.verdict_text))
    if not points:
        return None
    if axis == "commit":
        points = list(_by_commit(points, metric))
    found = changes.find([metric.run_of(point.value) for point in points], metric.floor)
    return Series(metric, of[-1].entry, tuple(points), found, tuple(lost))


def why_no(seen: Iterable[Seen], metric: Metric) -> str:
    """Why the newest run that says so has no such figure."""
    return next((_lost(one, metric).why for one in reversed(list(seen))), "nothing was measured")


def _lost(one: Seen, metric: Metric) -> Lost:
    entry = one.entry
    if entry.status != "ok":
        return Lost(one.run, one.when, f"{entry.status}: {entry.failure or 'no reason is known'}", True)
    if not entry.is_believable:
        codes = ", ".join(reason.code for reason in entry.verdict if reason.fatal)
        return Lost(one.run, one.when, f"means nothing: {codes}", False)
    reason = {"usd_per_mtok": entry.no_dollars_because, "delta_nll": entry.quality.reason}.get(metric.name)
    return Lost(one.run, one.when, reason or f"has no {metric.name}", False)


def _by_commit(points: Sequence[Point], metric: Metric) -> Iterator[Point]:
    """Runs of one revision as one point, at the time of its first run; without a revision each stands alone."""
    groups: dict[str, list[Point]] = {}
    for number, point in enumerate(points):
        groups.setdefault(point.revision or f"run {number}", []).append(point)
    for group in groups.values():
        yield group[0] if len(group) == 1 else _joined(group, metric)


def _joined(group: Sequence[Point], metric: Metric) -> Point:
    """The mean over runs with the interval over runs: those of one run alone would not show how much runs differ."""
    values = [one.value.value for one in group]
    value = estimate(values) if metric.is_log else None
    if value is None:
        value = Estimate(sum(values) / len(values), None, None, len(values))
    runs = tuple(run for one in group for run in one.runs)
    verdicts = dict.fromkeys(one.verdict for one in group)
    return replace(group[0], runs=runs, value=value, verdict=", ".join(verdicts), environment=group[-1].environment)


def differences(old: Environment | None, new: Environment | None) -> tuple[str, ...]:
    """What is not the same on two runs' machines, likely causes first, such as "torch 2.12.0 → 2.13.0"."""
    if old is None or new is None:
        return ()
    names = [*dict.fromkeys((*old.packages, *new.packages))]
    pairs: list[tuple[str, str | None, str | None]] = [
        (name, old.packages.get(name), new.packages.get(name)) for name in names
    ]
    drivers = [", ".join(dict.fromkeys(one.driver or "?" for one in of.accelerators)) for of in (old, new)]
    limits = [
        ", ".join(f"{one.power_limit_w:g} W" for one in of.accelerators if one.power_limit_w) for of in (old, new)
    ]
    pairs += [
        ("driver", drivers[0], drivers[1]),
        ("power limit", limits[0], limits[1]),
        ("llm-cost-bench", old.bench_version, new.bench_version),
        ("its revision", old.bench_revision, new.bench_revision),
        ("Python", old.python, new.python),
        ("CPU governor", old.cpu_governor, new.cpu_governor),
        ("system", old.system, new.system),
    ]
    said = [f"{name} {before or 'none'} → {after or 'none'}" for name, before, after in pairs if before != after]
    known = {"packages", "python", "cpu_governor", "accelerators"}
    return (*said, *(f"{name} changed" for name in old.differs_from(new) if name not in known | {*names}))


def at_change(of: Series, change: Change) -> tuple[str, ...]:
    """What else changed between the last run before a change and the first after it."""
    return differences(of.points[change.at - 1].environment, of.points[change.at].environment)


def moment(text: str | None) -> datetime | None:
    """ISO 8601 as a time in UTC; None where it is none.

    >>> moment("2026-11-01T12:00:00+02:00").isoformat(), moment("yesterday")
    ('2026-11-01T10:00:00+00:00', None)
    """
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
