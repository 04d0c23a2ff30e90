"""What a suite has taken, and whether there is time and money for one more process."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench.cost import hourly, serving
from bench.errors import InputError
from bench.execute import devices
from bench.execute.under_load import SpentError, spent_usd
from bench.schema import Cell, CostChoices, Environment, Machine, ModelFacts, Record


@dataclass
class Tally:
    """What records took: their seconds, what these cost by the hour, and what paid endpoints billed.

    `unpriced_s` are seconds of a machine whose hour has no price.
    """

    seconds: float = 0.0
    hours_usd: float = 0.0
    billed_usd: float = 0.0
    unpriced_s: float = 0.0

    @property
    def usd(self) -> float:
        return self.hours_usd + self.billed_usd

    def take(self, seconds: float, usd_per_hour: float | None, billed_usd: float = 0.0) -> None:
        self.seconds += seconds
        self.billed_usd += billed_usd
        if usd_per_hour is None:
            self.unpriced_s += seconds
        else:
            self.hours_usd += seconds / 3600 * usd_per_hour


@dataclass
class Rates:
    """What an hour costs for one member's records: of the devices that each used, as its table has it.

    `machines` are those of its config, each at its own hour; `machine` is what that calls this one.
    """

    choices: CostChoices
    machines: Sequence[Machine] = ()
    machine: str | None = None
    _known: dict[object, float | None] = field(default_factory=dict)

    def of(self, record: Record) -> float | None:
        """USD per hour; 0 where the endpoint is paid by the token, None where nobody knows."""
        if self._is_billed(record.cell):
            return 0.0
        facts = None if record.measurement is None else record.measurement.facts
        if record.serving is not None:
            try:
                facts, _ = serving.machine_of(record.serving, record.environment)
            except InputError:
                facts = None  # an endpoint elsewhere
        return self._priced(record.environment, facts or assumed(record.cell, record.environment), record.machine)

    def beforehand(self, cell: Cell, environment: Environment) -> float | None:
        """Of a cell that has no record yet: of the devices that it asks for."""
        return 0.0 if self._is_billed(cell) else self._priced(environment, assumed(cell, environment), self.machine)

    def beforehand_by(self, cell: Cell, environment: Environment) -> hourly.HourlyRate:
        """The same with its reason. Raises InputError where nobody knows it."""
        return hourly.rate(self._of(self.machine), environment, assumed(cell, environment))

    def why_none(self, cell: Cell, environment: Environment) -> str:
        """Why an hour has no price. Empty where it has one."""
        try:
            self.beforehand_by(cell, environment)
        except InputError as error:
            return error.lines[0]
        return ""

    def _is_billed(self, cell: Cell) -> bool:
        return self.choices.billed_as is not None and cell.traffic is not None

    def _of(self, machine: str | None) -> CostChoices:
        return hourly.of_machine(machine, self.machines, self.choices)

    def _priced(self, environment: Environment, facts: ModelFacts, machine: str | None) -> float | None:
        used = tuple((one.name, one.memory_bytes) for one in facts.accelerators)
        key = (machine, environment.hardware(), environment.cpu_usable, facts.device, tuple(facts.placement), used)
        if key not in self._known:
            try:
                self._known[key] = hourly.rate(self._of(machine), environment, facts).usd_per_hour
            except InputError:
                self._known[key] = None
        return self._known[key]


def assumed(cell: Cell, environment: Environment) -> ModelFacts:
    """Where a cell will run, as far as its options say: as many accelerators as it asks for, else one, else the CPU."""
    there, wanted = environment.accelerators, devices.asked(cell.runner)
    count = len(there) if wanted == devices.ALL else 1 if wanted is None else wanted
    return serving.on_devices(there[:count])


def tally(records: Iterable[Record], rates: Rates) -> Tally:
    """What these records took, whichever machine they are of; other tools' results took nothing here."""
    found = Tally()
    for record in records:
        if record.imported is None:
            found.take(record.elapsed_s or 0.0, rates.of(record), spent_usd(record))
    return found


@dataclass
class Spending:
    """The budget of a suite while it runs: an `execute.run.Limit`.

    Time is that of the clock since the session began, and what stood before: between two records it passes too.
    `before`: of all members, in earlier sessions; `changed` is called after each record.
    """

    limit_s: float | None
    limit_usd: float | None
    before: Tally
    clock: Callable[[], float]
    changed: Callable[[], None] = lambda: None
    between_s: dict[str, float] = field(default_factory=dict)
    """Member → seconds of this session that were not those of a record."""
    short: set[str] = field(default_factory=set)
    """What there was too little of when something was not allowed: hours, usd."""
    _begun_s: float = 0.0
    _member: str = ""
    _usd_per_hour: float | None = None
    _recorded_s: float = 0.0
    _session: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._began_s = self._begun_s = self.clock()

    def enter(self, member: str, usd_per_hour: float | None) -> None:
        """From now on it is this member that takes time, at so much an hour."""
        self.leave()
        self._member, self._usd_per_hour = member, usd_per_hour

    def leave(self) -> None:
        """The member that ran is at its end."""
        self.note()
        if self._member:
            self._session.take(self.clock() - self._begun_s, self._usd_per_hour)
        self._begun_s, self._recorded_s, self._member = self.clock(), 0.0, ""

    def note(self) -> None:
        """Bring `between_s` up to now."""
        if self._member:
            self.between_s[self._member] = max(0.0, self.clock() - self._begun_s - self._recorded_s)

    def seconds(self) -> float:
        """Taken in all sessions, until now."""
        return self.before.seconds + self.clock() - self._began_s

    def usd(self) -> float:
        """Spent in all sessions, until now."""
        running = (self.clock() - self._begun_s) / 3600 * (self._usd_per_hour or 0.0) if self._member else 0.0
        return self.before.usd + self._session.usd + running

    def left_s(self) -> float | None:
        return None if self.limit_s is None else self.limit_s - self.seconds()

    def left_usd(self) -> float | None:
        return None if self.limit_usd is None else self.limit_usd - self.usd()

    def is_spent(self) -> bool:
        """Whether nothing at all may begin any more."""
        return not self.allows(None)

    # --- as `execute.run` asks

    def allows(self, each_s: float | None) -> bool:
        expected_s = each_s or 0.0
        expected_usd = expected_s / 3600 * (self._usd_per_hour or 0.0)
        wanted = (("hours", self.left_s(), expected_s), ("usd", self.left_usd(), expected_usd))
        short = {name for name, left, of in wanted if left is not None and (left <= 0 or of > left)}
        self.short |= short
        return not short

    def add(self, record: Record) -> None:
        self._recorded_s += record.elapsed_s or 0.0
        self._session.billed_usd += spent_usd(record)
        self.note()
        self.changed()

    def spent(self) -> SpentError:
        left = [] if self.left_s() is None else [f"{max(0.0, self.left_s() or 0.0):.0f} s"]
        left += [] if self.left_usd() is None else [f"${max(0.0, self.left_usd() or 0.0):.3g}"]
        why = "is spent" if self.is_spent() else f"has {' and '.join(left)} left, and a next replicate takes more"
        return SpentError(f"the budget {why}: {self._member or 'the suite'} waits with what it has not measured")
