"""A folder of results that is ready to commit: records, tables, charts, page and README of runs on one machine.

It is made beside its final place, looked through, and swapped in whole: what was published before stands until the
new one is complete. Everything shown is made from the cleaned records, so that no chart shows what was taken out of
the journal. The same runs at the same day's prices give the same bytes.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.entries import load
from bench.entries.entry import Report
from bench.errors import InputError
from bench.publish import chosen, cleaned, forms, manifest, place, privacy, readme, slugs, tables
from bench.publish.cleaned import Choose, Cleaned
from bench.publish.place import RUNS
from bench.schema import Environment

CHARTS, STAGE = "charts", ".publishing"
TABLES = {"csv": "table.csv", "latex": "table.tex", "html": "table.html", "json": "table.json"}


@dataclass(frozen=True)
class Asked:
    """What a person may choose. `version` is this program's; `day` that of the prices."""

    version: str
    into: Path = Path("results")
    name: str | None = None
    columns: str | None = None
    sort: str | None = None
    title: str | None = None
    licence: str | None = None
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Published:
    """What was written (or would be), and what was replaced on the way, a sentence each."""

    folder: Path
    files: tuple[str, ...]
    bytes: int
    replaced: tuple[str, ...]
    renewed: bool
    """Whether a publication stood there before."""


def write(runs: Sequence[Path], given: Choose, warn: Callable[[str], None], asked: Asked) -> Published:
    """Publish runs of one machine. Raises InputError, one line for each mistake, and nothing has changed then:

    no records, several machines without a name, a secret or a name that cannot be replaced, a folder that holds other
    runs or a person's own files, a folder that cannot be written, a full disk.
    """
    chosen.columns(asked.columns, ())  # a misspelt option is said before any work
    chosen.rows((), asked.sort, failed=True)
    if asked.name is not None:
        slugs.checked(asked.name)
    found = [one.text() for run in runs for one in cleaned.secrets_in(run)]
    if found:
        raise InputError(*found)
    try:
        if asked.dry_run:
            with tempfile.TemporaryDirectory(prefix="bench-publish-") as aside:
                return _made(runs, given, warn, asked, Path(aside))
        asked.into.mkdir(parents=True, exist_ok=True)
        with place.locked(asked.into):
            return _made(runs, given, warn, asked, asked.into)
    except OSError as error:
        file = str(error.filename or "")
        where = str(asked.into) if not file or STAGE in file else file
        raise InputError(
            f"{where}: cannot publish ({error.strerror or error}); what was published is untouched"
        ) from None


def _made(runs: Sequence[Path], given: Choose, warn: Callable[[str], None], asked: Asked, beside: Path) -> Published:
    stage = beside / STAGE
    shutil.rmtree(stage, ignore_errors=True)  # of one that was killed
    try:
        copies = _copied(runs, stage, given, warn)
        target = asked.into / _name(copies, asked)
        if not asked.dry_run:
            place.recover(target)
        renewed = place.standing(target, [one.name for one in copies], asked.force)
        report = _report(copies, stage, target, asked, warn)
        ignored = _shown(report, copies, stage, target.name, asked)
        manifest.write(stage, _said(report, copies, asked))
        findings = privacy.check(stage, ignored)
        if findings:
            raise InputError(*(replace(one, file=f"{target}/{one.file}").text() for one in findings))
        listed = manifest.files(stage)
        if not asked.dry_run:
            place.swap(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Published(
        target,
        (*listed, manifest.MANIFEST),
        sum(one["bytes"] for one in listed.values()),
        tuple(sentence for copy in copies for sentence in copy.sentences()),
        renewed,
    )


def _copied(runs: Sequence[Path], stage: Path, given: Choose, warn: Callable[[str], None]) -> list[Cleaned]:
    """Cleaned copies in stage/runs/; a run that is named twice is copied once."""
    day = datetime.now(UTC).date()
    made: list[Cleaned] = []
    seen: list[Path] = []
    for run in runs:
        folder = (run if run.is_dir() else run.parent).resolve()
        if folder in seen:
            continue
        seen.append(folder)
        name = slugs.of_run(folder.name, [one.name for one in made])
        made.append(cleaned.run(run, stage / RUNS / name, given, day, warn))
    return made


def _name(copies: Sequence[Cleaned], asked: Asked) -> str:
    """The person's name for it, else the machine's; of two machines that would be called alike, with its hash."""
    if asked.name is not None:
        return asked.name
    machines = {key: one for copy in copies for key, one in copy.machines.items()}
    own = {key: one for key, one in machines.items() if isinstance(one, Environment)} or machines
    names = {
        key: slugs.of_machine(one) if isinstance(one, Environment) else slugs.slug(one) for key, one in own.items()
    }
    if len(own) > 1:
        told = f"of {len(own)} machines ({', '.join(sorted(names.values()))})"
        if len(copies) == 1:  # of a cluster
            raise InputError(f"this run is {told}; name its folder with --name")
        raise InputError(f"these runs are {told}; publish each by itself, or name one folder for all with --name")
    ((key, name),) = names.items()
    stored = manifest.read(asked.into / name)
    if stored is not None and stored.get("machines") and key not in stored["machines"]:
        return f"{name}-{key[:6]}" if not key.startswith("imported") else f"{name}-imported"
    return name or "machine"


def _report(copies: Sequence[Cleaned], stage: Path, target: Path, asked: Asked, warn: Callable[[str], None]) -> Report:
    """Of the cleaned copies, whose plans say their prices; paths as they will be."""
    told: list[str] = []
    will_be = f"{asked.into.resolve().name if asked.into.is_absolute() else asked.into.as_posix()}/{target.name}"
    made = load.report(
        [stage / RUNS / one.name for one in copies], lambda choices: choices, told.append, title=asked.title
    )
    here = [message.replace(str(stage), will_be) for message in told]
    for message in here:
        warn(message)
    return replace(
        made,
        title=asked.title or made.title,
        runs=tuple(f"{will_be}/{RUNS}/{one.name}" for one in copies),
        warnings=tuple(here),
        notes=tuple(replace(note, text=note.text.replace(str(stage), will_be)) for note in made.notes),
    )


def _shown(report: Report, copies: Sequence[Cleaned], stage: Path, name: str, asked: Asked) -> list[str]:
    """Tables, charts, page and README. Returns texts of others that the check leaves out."""
    from bench.page import document, vega

    for form, file in TABLES.items():
        # The fragment and LaTeX are read by people: their columns are those that were asked for; data are whole.
        columns = asked.columns if form in ("latex", "html") else "all"
        _write(stage / file, tables.render(report, form, columns, asked.sort, asked.title))
    charts = _charts(report, stage)
    document.write(report, stage / "report.html")
    table = tables.render(report, "md", asked.columns, asked.sort, asked.title or "")
    counted = {one.name: one.records for one in copies}
    _write(stage / "README.md", readme.text(report, name, table, charts, counted, asked.licence))
    return [vega.bundle(), vega.licence()]


def _charts(report: Report, stage: Path) -> list[tuple[str, str]]:
    from bench.page import charts
    from bench.page.charts import draw

    made = []
    for chart in charts.charts(report):
        (stage / CHARTS).mkdir(exist_ok=True)
        _write(stage / CHARTS / f"{chart.id}.svg", draw.svg(chart))
        (stage / CHARTS / f"{chart.id}.png").write_bytes(draw.png(chart))
        _write(stage / CHARTS / f"{chart.id}.csv", draw.csv_text(chart))
        made.append((chart.id, f"{chart.title}: {chart.alt}"))
    return made


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _said(report: Report, copies: Sequence[Cleaned], asked: Asked) -> dict[str, Any]:
    days = sorted(day for copy in copies for day in copy.days)
    return {
        "bench_version": asked.version,
        "prices_of": report.day.isoformat(),
        "measured": [days[0], days[-1]],
        "machines": {
            key: slugs.of_machine(one) if isinstance(one, Environment) else one
            for copy in copies
            for key, one in sorted(copy.machines.items())
        },
        "runs": {one.name: one.records for one in copies},
        "record_schema_versions": sorted({version for copy in copies for version in copy.versions}),
        "table_schema_version": forms.TABLE_SCHEMA_VERSION,
        "licence": asked.licence,
        "replaced": dict(sorted(_by_kind(copies).items())),
    }


def _by_kind(copies: Sequence[Cleaned]) -> dict[str, int]:
    found: dict[str, int] = {}
    for copy in copies:
        for (_, _, kind), count in copy.replaced.items():
            found[kind] = found.get(kind, 0) + count
    return found
