"""From what a reader found to records: the cell that it is of, and as much of a machine as anybody said.

A record of an import stands in an ordinary journal. What a file does not say is not made up: it is left empty, or the
person says it with an option.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.errors import InputError
from bench.imports.found import Found, Load
from bench.schema import (
    Accelerator,
    Cell,
    Checkpoint,
    Environment,
    Model,
    Precision,
    Record,
    RunnerChoice,
    Served,
    Traffic,
    Workload,
)
from bench.schema.precision import spelt_out

RUNNER = "imported"
UNKNOWN = "unknown (imported)"

_PRECISION: TypeAdapter[Precision] = TypeAdapter(Precision)


@dataclass(frozen=True)
class Words:
    """What a person says of files that do not say it; "" and None leave a file's own word, and 0 the file's count."""

    model: str = ""
    precision: str = ""
    accelerators: tuple[str, ...] = ()
    cpu_model: str = ""
    cpu_count: int = 0

    def over(self, found: Found) -> Found:
        """The person's word wins over the file's; one who names CPUs says that no accelerator was used."""
        changed = replace(found, model=self.model or found.model, precision=self.precision or found.precision)
        if self.accelerators:
            changed = replace(changed, accelerators=self.accelerators)
        if self.cpu_count or self.cpu_model:
            return replace(
                changed,
                accelerators=self.accelerators,
                cpu_model=self.cpu_model or found.cpu_model,
                cpu_count=self.cpu_count or found.cpu_count,
            )
        return changed


def records(every: Iterable[Found], bench_version: str, stored: Sequence[Record] = ()) -> list[Record]:
    """One record a result. `stored`: those of the same folder, so that a cell's replicates are counted on."""
    counted: dict[str, int] = {}
    for before in stored:
        counted[before.cell.cell_id] = counted.get(before.cell.cell_id, 0) + 1
    found = []
    place: dict[str, int] = {}
    for one in every:
        said = one.imported
        at = place[said.sha256] = place.get(said.sha256, -1) + 1
        made = cell(one)
        replicate = counted.get(made.cell_id, 0)
        counted[made.cell_id] = replicate + 1
        found.append(
            Record(
                record_id=record_id(said.sha256, at),
                replicate=replicate,
                status="ok",
                started_at=said.measured_at or datetime.now(UTC).isoformat(timespec="seconds"),
                elapsed_s=said.window_s,
                cell=made,
                environment=environment(one, bench_version),
                imported=said,
            )
        )
    return found


def record_id(sha256: str, place: int) -> str:
    """Equal for the same result of the same file, whatever the file is called: so it is stored once."""
    return hashlib.sha256(f"imported {sha256} {place}".encode()).hexdigest()[:16]


def cell(found: Found) -> Cell:
    """The cell, with its id. Lengths that the file does not say stand as 1, and among the options as unknown.

    Raises InputError for a load that cannot be.
    """
    precision, options = _precision(found.precision)
    if found.engine:
        options["engine"] = found.engine
    for name in ("input_tokens", "output_tokens"):
        if getattr(found, name) is None:
            options[name] = "unknown"
    options |= dict(found.options)
    said = {"tool": found.imported.tool, **options}
    return Cell(
        model=Model(source=model_name(found.model)),
        precision=precision,
        runner=RunnerChoice(name=RUNNER, options=said),
        workload=Workload(
            batch_size=found.batch_size or 1,
            input_tokens=max(1, round(found.input_tokens or 1)),
            cached_tokens=min(round(found.cached_tokens or 0), round(found.input_tokens or 0)),
            output_tokens=max(1, round(found.output_tokens or 1)),
        ),
        traffic=None if found.load is None else _traffic(found.load, found.imported.file),
    ).identified(said)


def model_name(said: str) -> str:
    """A model as it is called. A folder of somebody's disk is called by its own name alone: records are published.

    >>> model_name("/home/me/models/tiny"), model_name("org/tiny")
    ('tiny', 'org/tiny')
    """
    if re.match(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]", said):
        said = re.split(r"[/\\]", said.rstrip("/\\"))[-1]
    return said or "unknown"


def _traffic(load: Load, file: str) -> Traffic:
    try:
        if load.kind == "closed":
            return Traffic(load="closed", concurrency=round(load.level))
        return Traffic(load=load.kind, requests_per_s=load.level, burstiness=load.burstiness)
    except ValidationError:
        raise InputError(f"{file}: {load.kind} {load.level:g} is no load that can be; export it again") from None


def _precision(name: str) -> tuple[Precision, dict[str, str | int | float | bool]]:
    """Ours where the name is one of ours; else the checkpoint's own, whose name is kept among the options."""
    if not name:
        return Served(name="served"), {}
    try:
        return _PRECISION.validate_python(spelt_out({"name": name})), {}
    except ValidationError:
        return Checkpoint(name="checkpoint"), {"precision": name}


def environment(found: Found, bench_version: str) -> Environment:
    """A machine of which only what the file or the person said is known; no CPUs where nobody said that it ran on
    them."""
    cpus = 0 if found.accelerators else found.cpu_count or 0
    said = found.imported
    return Environment(
        bench_version=bench_version,
        python="unknown",
        packages={said.tool: said.tool_version} if said.tool_version else {},
        system=UNKNOWN,
        cpu_model=found.cpu_model or "unknown",
        cpu_logical=cpus,
        cpu_usable=cpus,
        memory_total_bytes=0,
        accelerators=tuple(Accelerator(name=name) for name in found.accelerators),
    )


def default_folder(files: Sequence[Path]) -> Path:
    """Where an import goes that names no folder: called after its first file."""
    stem = "".join(one if one.isalnum() or one in "-_." else "-" for one in files[0].stem)[:80].strip("-.")
    return Path("results") / "imported" / (stem or "results")
