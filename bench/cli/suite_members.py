"""The members of a suite as `bench run` sees them: what each would run, what its folder holds, what it has taken."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import store
from bench.cli import fleet, passes, under_load
from bench.cli.choices import Given, overridden, sampled
from bench.cost import api_prices, billed
from bench.errors import InputError, nearest
from bench.execute import estimate, fit
from bench.execute import passes as quality_passes
from bench.execute import run as execution
from bench.execute.estimate import Expected, Range
from bench.execute.run import Measured
from bench.execute.spending import Rates, Tally, tally
from bench.plan import expand, folder, suite_folder
from bench.plan.suite import Budget, Part, Suite
from bench.plan.suite_folder import StoredSuite
from bench.schema import Cell, Sweep
from bench.sensors import environment

if TYPE_CHECKING:
    from bench.cli.suite import Asked

Tell = Callable[[str], None]


@dataclass
class Planned:
    """A member with the command line's choices over its own (`sweep`), its cells, and how it stands."""

    part: Part
    sweep: Sweep
    cells: list[Cell]
    quality: passes.QualityPasses
    rates: Rates
    machine: str | None = None
    """What its config calls this machine, where it names some."""
    measured: dict[str, Measured] = field(default_factory=dict)
    expected: Expected = field(default_factory=lambda: Expected(0))

    @property
    def usd_per_hour(self) -> float | None:
        """Of the dearest cell, before any has run; None where nobody knows."""
        here = environment.detect()
        every = [self.rates.beforehand(cell, here) for cell in self.cells]
        known = [one for one in every if one is not None]
        return max(known) if known and len(known) == len(every) else None

    def why_no_rate(self) -> str:
        """Why nobody knows what an hour of this machine costs."""
        here = environment.detect()
        return next((why for cell in self.cells if (why := self.rates.why_none(cell, here))), "")

    def has_work(self, explain: bool) -> bool:
        return bool(self.expected.left or self.expected.passes or explain)

    def is_left(self, suite: Path) -> bool:
        """Whether cells need further replicates, by what the folder holds now."""
        known = execution.stored(suite / self.part.name, self.cells, _silent, self.machine).measured
        return any(one.stop(self.sweep) is None for one in known.values())

    def within(self, suite: Path, left_usd: float | None) -> tuple[Sweep, str]:
        """The sweep, with no more to spend at a paid endpoint than the suite has left, and the option that says so."""
        cost = self.sweep.cost
        purse = None if left_usd is None else under_load.purse(cost, suite / self.part.name)
        if purse is None or left_usd is None:
            return self.sweep, "--max-spend"
        most = purse.spent_usd + left_usd
        if cost.max_spend_usd is not None and cost.max_spend_usd <= most:
            return self.sweep, "--max-spend"
        limited = cost.model_copy(update={"max_spend_usd": most})
        return self.sweep.model_copy(update={"cost": limited}), "--budget-usd"

    def keep_plan(self, suite: Path) -> None:
        """Write the plan of a member of which nothing is left to measure: prices may be others than they were."""
        own = suite / self.part.name
        if own.is_dir():
            folder.write_plan(own, self.sweep, self.cells, self.part.config, self.quality.planned)

    def raise_if_full(self, suite: Path, error: InputError) -> None:
        """Where there is no room left, other members have none either."""
        if shutil.disk_usage(suite).free < store.SPARE_BYTES:
            raise error

    def usd(self) -> Range | None:
        """What the rest costs: its hours, and what a paid endpoint bills. None where nobody knows."""
        rate, bill = self.usd_per_hour, self._bill()
        return None if rate is None or bill is None else self.expected.seconds.times(rate / 3600) + bill

    def _bill(self) -> Range | None:
        cost, found = self.sweep.cost, Range()
        if cost.billed_as is None:
            return found
        api = api_prices.lookup(cost.billed_as, cost.as_of, cost.api_price_files)
        for cell in self.cells:
            known = self.measured[cell.cell_id]
            if cell.traffic is None or known.stop(self.sweep) is not None:
                continue
            one = billed.bill_estimate(cell.traffic, api)
            if one.usd is None or one.most_usd is None:
                return None
            last = max(known.left(self.sweep), self.sweep.sampling.max_replicates - len(known.replicates))
            found += Range(one.probe_usd, one.usd * known.left(self.sweep), one.most_usd * last)
        limit = cost.max_spend_usd
        return found if limit is None else Range(min(found.least, limit), found.likely, min(found.most, limit))


def planned(suite: Suite, asked: "Asked", given: Given) -> list[Planned]:
    """The members that are asked for. Raises InputError for every option or member that cannot be."""
    from bench.cli.run_plan import check_size

    names = [part.name for part in suite.parts]
    for name in asked.only or ():
        if name not in names:
            raise InputError(f"--only: no member {name!r} in this suite; {nearest(name, names)}")
    found, lines = [], []
    for part in suite.parts:
        if asked.only and part.name not in asked.only:
            continue
        cost = overridden(part.sweep.cost, given)
        sampling = sampled(part.sweep.sampling, asked.target, asked.budget_s)
        sweep = part.sweep.model_copy(update={"cost": cost, "sampling": sampling})
        try:
            check_size(sweep, part.config, asked.max_cells)
            cells = list(expand.cells(sweep))
            under_load.check_access(cells)
            machine = fleet.here(sweep, _silent, part.config, is_needed=not asked.dry_run)
            rates = Rates(cost, sweep.machines, machine)
            found.append(Planned(part, sweep, cells, passes.quality_passes(sweep, None), rates, machine))
        except InputError as error:
            lines += [line if str(part.config) in line else f"{part.config}: {line}" for line in error.lines]
    if lines:
        raise InputError(*lines)
    return found


def check(members: Sequence[Planned], budget: Budget, at: Path) -> None:
    """Raises InputError for a budget in dollars where an hour has no price, and for a folder of another kind."""
    if (at / store.JOURNAL).exists():
        raise InputError(f"{at}: holds a run of one config; name another folder with --out")
    for one in members:
        if budget.usd is not None and one.usd_per_hour is None:
            raise InputError(
                f"{one.part.config}: a budget in dollars needs a price of the hour: {one.why_no_rate()}, "
                "or write usd_per_hour under the suite's cost:"
            )


def unfit(members: Sequence[Planned]) -> list[str]:
    """One line for each member with cells that cannot fit here: they end as rows with the reason, at once."""
    found = []
    for one in members:
        problems = [fit.problem(cell) for cell in one.cells if cell.traffic is None]
        wrong = [problem for problem in problems if problem is not None]
        if wrong:
            found.append(
                f"{one.part.name}: {len(wrong)} of {len(one.cells)} cells cannot run here, such as: "
                f"{wrong[0].failure.reason}; {wrong[0].failure.remedy}"
            )
    return found


def look(at: Path, members: Sequence[Planned], retry_failed: bool, tell: Tell) -> StoredSuite | None:
    """Read what the suite's folder holds, bring every member up to date with it, and say what has changed since."""
    stored = suite_folder.read_suite(at, tell)
    for one in members:
        own = at / one.part.name
        known = execution.stored(own, one.cells, _silent, one.machine)
        one.measured = known.measured
        for changed in _changes(one, own, known):
            tell(f"{one.part.name}: {changed}")
        if retry_failed:
            for each in one.measured.values():
                each.forget_failures()
    alike = estimate.kinds((one.cells, one.measured) for one in members)
    for one in members:
        own = at / one.part.name
        scored = quality_passes.stored(own, one.quality.chosen, _silent).scored
        kept = {path.name for path in (own / quality_passes.KEPT).glob("*")}
        to_score = quality_passes.to_run(one.quality.chosen, scored, retry_failed, kept.__contains__)
        one.expected = estimate.expected(one.cells, one.sweep, one.measured, alike, len(to_score))
    return stored


def _changes(one: Planned, own: Path, known: execution.Stored) -> list[str]:
    """What is no longer as it was when the member last ran."""
    found = []
    plan = folder.read_plan(own, _silent)
    now, then = {cell.cell_id for cell in one.cells}, set(() if plan is None else plan.cells)
    if plan is not None and now != then:
        found.append(
            f"its config was changed since it last ran: {len(now - then)} cells are new, {len(then - now)} left it "
            "(their records are kept)"
        )
    if known.others:
        found.append(
            f"{known.others} measurements of another machine or version will not count (other "
            f"{', '.join(known.differs)})"
        )
    return found


def taken(at: Path, stored: StoredSuite | None, members: Sequence[Planned]) -> dict[str, Tally]:
    """What each member took in all sessions, those that left the suite among them."""
    own: Mapping[str, Planned] = {one.part.name: one for one in members}
    found = {}
    for name in dict.fromkeys((*own, *(() if stored is None else stored.members))):
        member = own.get(name)
        rates = member.rates if member is not None else _stored_rates(at / name)
        is_there = (at / name / store.JOURNAL).is_file()
        found[name] = tally(store.read(at / name, _silent) if is_there else (), rates)
        between_s = 0.0 if stored is None else stored.between_s(name)
        rate = None if member is None else member.usd_per_hour
        found[name].take(between_s, rate if rate is not None else _mean(found[name]))
    return found


def beforehand(at: Path, members: Sequence[Planned], asked: "Asked", tell: Tell) -> Tally:
    """For a dry run: bring every member up to date, and what all took. With `--fresh`, as if it were set aside."""
    if not asked.fresh:
        return together(taken(at, look(at, members, asked.retry_failed, tell), members))
    nowhere = at / "set-aside"
    look(nowhere, members, asked.retry_failed, tell)
    if not asked.only:
        return Tally()
    stored = suite_folder.read_suite(at, tell)
    # Of the members that are named the records go, and what passed between them stays.
    without = taken(nowhere, stored, members)
    named = {one.part.name: without[one.part.name] for one in members}
    return together({**taken(at, stored, members), **named})


def together(every: Mapping[str, Tally]) -> Tally:
    """The sum over all members."""
    found = Tally()
    for one in every.values():
        for name in ("seconds", "hours_usd", "billed_usd", "unpriced_s"):
            setattr(found, name, getattr(found, name) + getattr(one, name))
    return found


def _mean(found: Tally) -> float | None:
    """USD per hour of the records, for what passed between them; None where they have no price."""
    priced_s = found.seconds - found.unpriced_s
    return found.hours_usd / priced_s * 3600 if priced_s > 0 else None


def _stored_rates(own: Path) -> Rates:
    """Of a member that left the suite, or was not asked for: by the choices in its own plan."""
    from bench.schema import CostChoices

    plan = folder.read_plan(own, _silent)
    return Rates(CostChoices()) if plan is None else Rates(plan.cost, plan.machines)


def _silent(_: str) -> None:
    """What is wrong with a journal is said when the member runs."""
