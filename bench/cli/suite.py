"""`bench run SUITE`: many configs, one after the other, within one budget; an estimate before, a summary after."""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.choices import Given

if TYPE_CHECKING:
    from bench.cli.suite_members import Planned
    from bench.cli.suite_text import Summed
    from bench.execute.run import Limit
    from bench.execute.spending import Spending, Tally
    from bench.plan.suite import Budget, Part, Suite
    from bench.plan.suite_folder import Session, SessionEnd, StoredSuite
    from bench.schema import Sweep

OF_ONE_CONFIG = {
    "--slo": "write slo: into the members' configs",
    "--find-max": "run that config by itself",
    "--max-spend": "--budget-usd limits all of it, and max_spend_usd under a member's cost: what its endpoint bills",
}
"""Options that a suite does not take, and what to do instead."""

clock = time.monotonic
"""Of the budget; never a figure."""


@dataclass(frozen=True)
class Asked:
    """What the command line says beside prices."""

    config: Path
    out: Path | None
    dry_run: bool
    fresh: bool
    retry_failed: bool
    only: list[str] | None
    target: float | None
    budget_s: float | None
    strict: bool
    explain: bool
    max_cells: int


@dataclass(frozen=True)
class Member:
    """What `bench run` of one config takes from the suite that it belongs to."""

    sweep: "Sweep"
    limit: "Limit"
    money: str
    """The option that says what a paid endpoint may bill."""


def is_one(config: Path) -> bool:
    """Whether a file is a suite."""
    from bench.plan import suite

    return suite.is_one(config)


def refuse_budget(config: Path, hours: float | None, usd: float | None) -> None:
    """Raises InputError for a budget that was given for one config."""
    from bench.errors import InputError

    for option, value, instead in (
        ("--budget-hours", hours, "--budget-s limits each cell"),
        ("--budget-usd", usd, "--max-spend limits what a paid endpoint bills"),
    ):
        if value is not None:
            raise InputError(f"{option}: is of a suite, and {config} is one config; {instead}")


def budget_given(hours: float | None, usd: float | None) -> "Budget":
    """That of the command line. Raises InputError naming the option."""
    from bench.errors import InputError
    from bench.plan.suite import Budget

    for option, value, most in (("--budget-hours", hours, 1e6), ("--budget-usd", usd, 1e9)):
        if value is not None and not 0 < value <= most:
            raise InputError(f"{option}: must be more than 0 and at most {most:,.0f} (got {value:g})")
    return Budget(hours=hours, usd=usd)


def run(asked: Asked, budget: "Budget", given: Given, refused: Mapping[str, object]) -> None:
    """Measure what is missing of every member until the budget is spent, then sum up.

    Raises InputError for a mistake in any file or option, and where nothing could be measured; DoubtError with
    `--strict`; KeyboardInterrupt after what is stored has been summed up.
    """
    from bench.cli import suite_members, suite_text
    from bench.errors import InputError
    from bench.plan import suite as suites
    from bench.plan import suite_folder

    for option, instead in OF_ONE_CONFIG.items():
        if refused.get(option):
            raise InputError(f"{option}: is of one config, and {asked.config} is a suite; {instead}")
    suite = suites.read(asked.config)
    members = suite_members.planned(suite, asked, given)
    kept = {name: getattr(budget, name) for name in ("hours", "usd") if getattr(budget, name) is not None}
    budget = suite.budget.model_copy(update=kept)
    folder = asked.out or Path("results/local") / suite.name
    suite_members.check(members, budget, folder)
    for line in suite_members.unfit(members):
        _tell(line)
    if asked.dry_run:
        before = suite_members.beforehand(folder, members, asked, _tell)
        print(suite_text.estimate(members, budget, before, folder), end="")
        return
    _set_aside(folder, members, asked)
    with suite_folder.held(folder):
        stored = suite_members.look(folder, members, asked.retry_failed, _tell)
        before = suite_members.together(suite_members.taken(folder, stored, members))
        print(suite_text.estimate(members, budget, before, folder), end="", flush=True)
        session = Running.begin(folder, suite, members, budget, stored, before)
        try:
            session.run_all(asked, given)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is stored: one more must not change the exit code
            session.end("stopped")
            session.sum_up(budget)
            raise
        session.end("budget" if session.waits else "done")
        session.judge(session.sum_up(budget), asked.strict)


def _set_aside(folder: Path, members: "Sequence[Planned]", asked: Asked) -> None:
    """With `--fresh`: the whole suite, or the members that were named."""
    from bench.plan import folder as run_folder
    from bench.plan import suite_folder

    if not asked.fresh:
        return
    if not asked.only:
        suite_folder.set_aside(folder)
    for one in members if asked.only else ():
        run_folder.set_aside(folder / one.part.name)


@dataclass
class Running:
    """One session of a suite."""

    folder: Path
    members: "Sequence[Planned]"
    stored: "StoredSuite"
    session: "Session"
    spending: "Spending"
    errors: dict[str, Sequence[str]] = field(default_factory=dict)
    """Member → why it could not run, or brought nothing."""
    waits: list[str] = field(default_factory=list)
    """Members with cells that the budget left out."""

    @classmethod
    def begin(
        cls,
        folder: Path,
        suite: "Suite",
        members: "Sequence[Planned]",
        budget: "Budget",
        stored: "StoredSuite | None",
        before: "Tally",
    ) -> "Running":
        from bench.execute.spending import Spending
        from bench.plan.suite_folder import Session, StoredSuite

        names = [part.name for part in suite.parts]
        earlier = () if stored is None else tuple(one for one in stored.members if one not in names)
        known = StoredSuite(
            name=suite.name,
            config=suite.path.name,
            budget=budget,
            members=(*names, *earlier),
            sessions=() if stored is None else stored.sessions,
        )
        limit_s = None if budget.hours is None else budget.hours * 3600
        session = Session(started_at=datetime.now(UTC).isoformat(timespec="seconds"))
        running = cls(folder, members, known, session, Spending(limit_s, budget.usd, before, clock))
        running.spending.changed = running.save
        running.save()
        return running

    def save(self, ended: "SessionEnd" = "running") -> None:
        """Write what this session has taken."""
        from bench.plan import suite_folder

        self.session = self.session.model_copy(update={"between_s": dict(self.spending.between_s), "ended": ended})
        sessions = (*self.stored.sessions, self.session)
        suite_folder.write_suite(self.folder, self.stored.model_copy(update={"sessions": sessions}))

    def end(self, how: "SessionEnd") -> None:
        self.spending.leave()
        self.save(how)

    def sum_up(self, budget: "Budget") -> "list[Summed]":
        """Print what there is of every member, and keep it as summary.md."""
        from bench.cli import suite_members, suite_text
        from bench.plan.folder import write_text

        stored = self.stored.model_copy(update={"sessions": (*self.stored.sessions, self.session)})
        suite_members.look(self.folder, self.members, False, lambda _: None)
        taken = suite_members.taken(self.folder, stored, self.members)
        found = suite_text.summed(self.folder, self.members, taken)
        waits = suite_text.waiting(self.waits, self.spending)
        print(suite_text.summary(self.folder, found, suite_members.together(taken), budget, waits), end="")
        write_text(self.folder / "summary.md", suite_text.markdown(stored.name, found))
        return found

    def judge(self, found: "Sequence[Summed]", strict: bool) -> None:
        """Raises InputError where nothing was measured for another reason than the budget; DoubtError with
        `--strict`, where anything failed, is in doubt, or is left."""
        from bench.cli.finish import check_strictly
        from bench.errors import DoubtError, InputError

        if not self.waits and not any(one.measured for one in found):
            raise InputError(f"{self.folder}: no member could be measured; the reasons stand under each one's table")
        doubts = []
        for one in found if strict else ():
            try:
                check_strictly(one.rows)
            except DoubtError as error:
                doubts += [f"{one.name}: {line}" for line in error.lines[:-1]]
            doubts += [f"{one.name}: {line}" for line in self.errors.get(one.name, ())]
            if one.expected.left:
                doubts.append(f"{one.name}: {one.expected.left} cells are left to measure")
        if doubts:
            raise DoubtError(*doubts, "--strict: not every cell of every member is measured and VALID")

    def run_all(self, asked: Asked, given: Given) -> None:
        """Every member in its turn; what one raises does not stop the others. Raises KeyboardInterrupt."""
        if not any(one.has_work(asked.explain) for one in self.members):
            _tell("nothing is left to measure")
        for number, one in enumerate(self.members, 1):
            name = one.part.name
            if not one.has_work(asked.explain):
                one.keep_plan(self.folder)
                continue
            if self.spending.is_spent():
                self.waits.append(name)
                continue
            self.spending.enter(name, one.usd_per_hour)
            _tell("")
            _tell(f"[{number}/{len(self.members)}] {name} ({one.part.config}){self._left()}")
            earlier, self.spending.short = self.spending.short, set()
            is_ours = self._run_one(one, asked, given) or bool(self.spending.short)
            self.spending.short |= earlier
            self.spending.leave()
            self.save()
            if is_ours and name not in self.errors and one.is_left(self.folder):
                self.waits.append(name)

    def _run_one(self, one: "Planned", asked: Asked, given: Given) -> bool:
        """Returns whether the suite's dollars are what its paid endpoint is limited by."""
        from bench.cli.run import measure
        from bench.errors import InputError

        part: Part = one.part
        within, money = one.within(self.folder, self.spending.left_usd())
        try:
            measure(
                part.config,
                out=self.folder / part.name,
                retry_failed=asked.retry_failed,
                target=part.target if asked.target is None else asked.target,
                budget_s=part.budget_s if asked.budget_s is None else asked.budget_s,
                explain=asked.explain,
                max_cells=asked.max_cells,
                given=given,
                member=Member(within, self.spending, money),
            )
        except InputError as error:
            self.errors[part.name] = error.lines
            for line in error.lines:
                _tell(line if str(self.folder / part.name) in line else f"{part.name}: {line}")
            one.raise_if_full(self.folder, error)
        return money == "--budget-usd"

    def _left(self) -> str:
        from bench.cli.watch import duration

        left_s, left_usd = self.spending.left_s(), self.spending.left_usd()
        parts = [] if left_s is None else [duration(max(0.0, left_s))]
        parts += [] if left_usd is None else [f"${left_usd:.2f}"]
        return f": {' and '.join(parts)} of the budget left" if parts else ""


def _tell(line: str) -> None:
    from bench.cli import tell

    tell(line)
