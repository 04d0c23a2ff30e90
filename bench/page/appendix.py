"""The small print: machines, sources of prices, notes, definitions, commands. Whatever a dollar rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from bench.entries.entry import Entry, Report
from bench.page.columns import COLUMNS
from bench.page.shown import visible
from bench.report.footnotes import ranges
from bench.report.table import number
from bench.schema import Environment

FIRST_COMMANDS = 50


@dataclass(frozen=True)
class Machine:
    """A machine's name and what is known of it, in pairs of what and value."""

    name: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """Whose word a price is. `days`: what it is valid from or confirmed on; `flags`: what makes it doubtful."""

    what: str
    price: str
    source: str
    days: str
    flags: str
    rows: int


@dataclass(frozen=True)
class SmallNote:
    """A note, the rows that it is about in words (empty: all), and its place among the notes."""

    text: str
    about: str
    place: int

    @property
    def rows(self) -> str:
        """Which rows, as short as a link has to be."""
        return self.about if len(self.about) <= 60 else f"{self.about[:60]}…"


def machines(report: Report) -> list[Machine]:
    """Those that rows ran on, imports too, of which little is known."""
    names: dict[str, str] = {}
    for entry in report.entries:
        names.setdefault(entry.machine, entry.hardware)
    found = []
    for machine, name in names.items():
        environment = report.environments.get(machine)
        facts = _unknown() if environment is None else _facts(environment)
        rows = [index for index, entry in enumerate(report.entries, 1) if entry.machine == machine]
        about = (("Rows", "all" if len(rows) == len(report.entries) else ranges(rows).removeprefix("rows ")),)
        found.append(Machine(visible(name), (*facts, ("Fingerprint", machine), *about)))
    return found


def _unknown() -> tuple[tuple[str, str], ...]:
    return (("Environment", "not recorded: another tool measured there"),)


def _facts(of: Environment) -> tuple[tuple[str, str], ...]:
    cpus = f"{of.cpu_usable} of {of.cpu_logical} logical CPUs usable"
    cpus += "" if of.cpu_physical is None else f", {of.cpu_physical} cores"
    limit = "" if of.memory_limit_bytes is None else f", {number(of.memory_limit_bytes / 1e9)} GB allowed"
    parts = (
        ("CPU", f"{of.cpu_model}; {cpus}"),
        ("Instruction sets", ", ".join(of.cpu_flags)),
        ("Governor", of.cpu_governor or ""),
        ("NUMA nodes", "" if of.numa_nodes is None else str(of.numa_nodes)),
        ("Virtual machine", "" if of.virtual_machine is None else ("yes" if of.virtual_machine else "no")),
        ("Memory", f"{number(of.memory_total_bytes / 1e9)} GB{limit}"),
        ("Accelerators", _accelerators(of)),
        ("System", of.system),
        ("Python", of.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(of.packages.items()))),
        ("llm-cost-bench", " ".join(filter(None, (of.bench_version, of.bench_revision)))),
    )
    return tuple((name, visible(value)) for name, value in parts if value)


def _accelerators(of: Environment) -> str:
    said = []
    for device in of.accelerators:
        memory = "" if device.memory_bytes is None else f", {number(device.memory_bytes / 1e9)} GB"
        driver = f", driver {device.driver}" if device.driver else ""
        power = "" if device.power_limit_w is None else f", limited to {number(device.power_limit_w)} W"
        said.append(device.name + memory + driver + power)
    return "; ".join(said)


def hourly_sources(entries: Sequence[Entry]) -> list[Source]:
    """Every basis of an hour's price, once."""
    found: dict[Source, int] = {}
    for entry in entries:
        if entry.priced is None:
            continue
        of = entry.priced
        price = "by the token" if of.usd_per_hour is None else f"${number(of.usd_per_hour)}"
        days = "" if of.rate_as_of is None else f"as of {of.rate_as_of.isoformat()}"
        one = Source(visible(entry.hardware), price, visible(of.rate_basis), days, visible("; ".join(of.rate_flags)), 0)
        found[one] = found.get(one, 0) + 1
    return [_counted(one, rows) for one, rows in found.items()]


def api_sources(entries: Sequence[Entry]) -> list[Source]:
    """Every API price, once, whoever says so."""
    found: dict[Source, int] = {}
    for entry in entries:
        for api in () if entry.priced is None else entry.priced.apis:
            asks = (
                (api.input_usd_per_mtok, "in"),
                (api.cached_usd_per_mtok, "cached"),
                (api.output_usd_per_mtok, "out"),
            )
            price = ", ".join(f"${number(usd)} {kind}" for usd, kind in asks)
            price += f", ${number(api.usd_per_request)} a request" if api.usd_per_request else ""
            model = f" ({api.model_id})" if api.model_id and not api.api.endswith(api.model_id) else ""
            days = "; ".join(filter(None, (_day("valid from", api.valid_from), _day("confirmed", api.confirmed))))
            flags = "nobody has confirmed it for 90 days" if api.stale else ""
            one = Source(visible(api.api), price, visible(api.source + model), days, flags, 0)
            found[one] = found.get(one, 0) + 1
    return sorted((_counted(one, rows) for one, rows in found.items()), key=lambda one: one.what)


def _day(what: str, day: date | None) -> str:
    return "" if day is None else f"{what} {day.isoformat()}"


def _counted(one: Source, rows: int) -> Source:
    return Source(one.what, one.price, one.source, one.days, one.flags, rows)


def notes(report: Report) -> list[SmallNote]:
    """The report's notes, with row numbers in the place of keys."""
    return [
        SmallNote(visible(note.text), ranges(numbers) if numbers else "", place)
        for place, (note, numbers) in enumerate(zip(report.notes, notes_about(report), strict=True))
    ]


def notes_about(report: Report) -> list[list[int]]:
    """For each note the numbers of the rows that it is about, from 1; none: all."""
    place = {entry.key: index for index, entry in enumerate(report.entries, 1)}
    return [sorted(place[key] for key in note.about if key in place) for note in report.notes]


def commands(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What repeats the rows: each command once, with the rows that it repeats."""
    found: dict[str, list[int]] = {}
    for index, entry in enumerate(entries, 1):
        if entry.command:
            found.setdefault(entry.command, []).append(index)
    return [(visible(command), ranges(rows)) for command, rows in found.items()]


DEFINITIONS = (
    ("Replicate", "A new process that measures the row again. Rounds inside one process are not replicates."),
    (
        "± and intervals",
        "95 %, over replicates, of the mean logarithm: the half-width as a factor up and down. ±? is one replicate, "
        "of which nobody knows it; ≤ is an upper end where the value cannot be told from zero.",
    ),
    (
        "Verdict",
        "VALID, or codes of what speaks against believing the row, each with what to do about it. Where a reason "
        "makes the time meaningless, there are no dollars.",
    ),
    ("Utilisation", "Tokens served over tokens that could be served in the hours that are paid. An assumption."),
    *((one.heading, one.meaning) for one in COLUMNS if one.numeric and one.id not in ("number", "utilisation")),
)
"""Terms with a sentence each, in the order of the columns."""
