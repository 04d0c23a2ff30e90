"""Run folders and journals, read into one report: the way from what is stored to what is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from bench.entries import headline, of_batch
from bench.entries.entry import Entry, Note, Report
from bench.entries.priced import Asked
from bench.entries.runs import Warn, folder_of, loads_of, read_run
from bench.errors import InputError
from bench.plan.folder import read_plan
from bench.report import footnotes, table
from bench.report.rows import Row, collector_off
from bench.report.serving.row import ServingRow
from bench.schema import CostChoices, Environment, Record, Slo

Choose = Callable[[CostChoices], CostChoices]
"""The choices of cost that count, from those in a run's plan: the command line's over them."""


@dataclass
class Run:
    """One run folder's rows of each kind; imports are entries from the start."""

    name: str
    batches: list[Row]
    loads: list[ServingRow]
    imports: list[Entry]


@dataclass
class Loaded:
    """What was read of some runs, before it is flattened. `given`: the runs in the person's words."""

    given: tuple[str, ...]
    day: date
    runs: list[Run] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blends: tuple[str, ...] = ()
    """Ratios of tokens that are priced beside the rows' own, of all runs."""

    @property
    def batches(self) -> list[Row]:
        return [row for run in self.runs for row in run.batches]

    @property
    def loads(self) -> list[ServingRow]:
        return [row for run in self.runs for row in run.loads]

    @property
    def imports(self) -> list[Entry]:
        return [one for run in self.runs for one in run.imports]


@collector_off()
def read(
    runs: Sequence[Path],
    given: Choose,
    warn: Warn,
    *,
    all_cells: bool = False,
    slo: Sequence[Slo] | None = None,
    duty: tuple[float, float] | None = None,
) -> Loaded:
    """Every cell of these runs: batches, loads and imports, priced by `given`.

    `slo` and `duty` are as in `bench report`. Raises InputError for a run that is none, choices that cannot be, and
    where no run holds a record.
    """
    loaded = Loaded(tuple(str(run) for run in runs), datetime.now(UTC).date())

    def tell(message: str) -> None:
        loaded.warnings.append(message)
        warn(message)

    for run in runs:
        folder = folder_of(run)
        plan = read_plan(folder, lambda _: None)
        choices = given(CostChoices() if plan is None else plan.cost)
        loaded.day = choices.as_of or loaded.day
        loaded.blends = tuple(dict.fromkeys((*loaded.blends, *choices.blends)))
        found = read_run(run, choices, tell, all_cells)
        name = folder.resolve().name
        imports = _imported(found.imported, choices, name)
        loaded.runs.append(Run(name, found.batches, loads_of(found, run, choices, slo, duty), imports))
    if not (loaded.batches or loaded.loads or loaded.imports):
        raise InputError(no_records(", ".join(loaded.given), loaded.warnings))
    return loaded


def no_records(where: str, warnings: Sequence[str]) -> str:
    """Of a run without a record: what hinders, where there is something, else what to do."""
    if not warnings:
        return f"{where}: no records; run the config first"
    return f"{where}: no record that can be read ({warnings[0]})"


def _imported(records: Sequence[Record], choices: CostChoices, run: str) -> list[Entry]:
    if not records:
        return []
    from bench.entries import of_import

    return of_import.entries(records, choices, run)


def report(runs: Sequence[Path], given: Choose, warn: Warn, *, title: str | None = None, **how: Any) -> Report:
    """`read` and `assembled` in one."""
    return assembled(read(runs, given, warn, **how), title)


@collector_off()
def assembled(loaded: Loaded, title: str | None = None) -> Report:
    """The report of what was read; its title is the names of the runs where none is given."""
    entries: list[Entry] = []
    taken: set[str] = set()
    for run in loaded.runs:
        telling = table.telling_options(run.batches)
        made = [of_batch.entry(row, run.name, telling) for row in run.batches]
        if run.loads:
            from bench.entries import of_load  # numpy, which a batch does without

            made += [of_load.entry(row, run.name) for row in run.loads]
        entries += _with_own_keys([*made, *run.imports], taken)
    return Report(
        title=title or ", ".join(dict.fromkeys(run.name for run in loaded.runs)),
        entries=tuple(entries),
        headline=headline.headline(entries, Asked(), None),
        runs=loaded.given,
        day=loaded.day,
        environments=_environments(loaded.batches, loaded.loads),
        notes=_notes(entries, loaded.batches, loaded.loads),
        warnings=tuple(dict.fromkeys(loaded.warnings)),
    )


def _with_own_keys(made: Sequence[Entry], taken: set[str]) -> list[Entry]:
    """A key that stands twice (other weights, the same cell in two runs) is told apart by a number."""
    found = []
    for one in made:
        key, number = one.key, 2
        while key in taken:
            key, number = f"{one.key}~{number}", number + 1
        taken.add(key)
        found.append(one if key == one.key else replace(one, key=key))
    return found


def _environments(batches: Sequence[Row], loads: Sequence[ServingRow]) -> dict[str, Environment]:
    known: dict[str, Environment] = {}
    for environment in (*(row.environment for row in batches), *(row.environment for row in loads)):
        known.setdefault(environment.fingerprint(), environment)
    return known


def _notes(entries: Sequence[Entry], batches: Sequence[Row], loads: Sequence[ServingRow]) -> tuple[Note, ...]:
    """The small print of the tables, with keys in the place of row numbers; reasons against a row stand in the row."""
    found: list[Note] = []
    own = [one.key for one in entries if one.kind == "batch"]
    found += _about(footnotes.grouped(batches, against=False), own, len(entries))
    if loads:
        from bench.report.serving import footnotes as of_loads

        own = [one.key for one in entries if one.kind == "load"]
        found += _about(of_loads.grouped(loads, against=False), own, len(entries))
    remarks: dict[str, list[str]] = {}
    for one in entries:
        for remark in one.origin.remarks:
            remarks.setdefault(remark, []).append(one.key)
    return (*found, *(Note(text, tuple(about)) for text, about in remarks.items()))


def _about(sentences: dict[str, list[int]], keys: Sequence[str], everything: int) -> list[Note]:
    """Rows are numbered from 1 in the order of `keys`."""
    return [
        Note(text, () if len(numbers) == everything else tuple(keys[number - 1] for number in numbers))
        for text, numbers in sentences.items()
    ]
