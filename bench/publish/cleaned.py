"""A run's folder as it is published: its journal, traces, plan and ceilings, without what tells whose machine it was.

Only files that are known are taken. Texts inside of a record are replaced where `identity` says so; ids stay as they
are, also a cell's, which hashes what stood there before. A trace holds no prompt and no answer, but the messages of
failed requests: they are cleaned like a record's, and the checksum in the record then is that of the cleaned trace.
"""

import gzip
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from bench import store
from bench.entries.load import no_records
from bench.errors import InputError
from bench.publish import identity, privacy, secrets, slugs
from bench.publish.privacy import Finding
from bench.schema import CostChoices, Record

PLAN, CEILINGS, TRACES, PRICES = "plan.json", "ceilings.json", "traces", "prices"
KEPT_KEYS = frozenset(
    {
        *("cell_id", "record_id", "reference_record_id", "trace", "trace_sha256", "tokens_sha256", "status", "purpose"),
        *("text_sha256", "sha256", "weights_id", "started_at", "measured_at", "packages"),
    }
)
"""Ids, checksums and versions: nothing in them is a name."""

Choose = Callable[[CostChoices], CostChoices]


@dataclass
class Cleaned:
    """What one run became. `replaced`: (file, key, kind) → how often; `was`: the same → the first text of it."""

    name: str
    source: Path
    records: int = 0
    versions: set[int] = field(default_factory=set)
    machines: dict[str, Any] = field(default_factory=dict)
    """`Environment.hardware()` → environment; of imports "imported: " and their hardware → that text."""
    days: set[str] = field(default_factory=set)
    replaced: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    was: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What was replaced, a line for each place."""
        return [
            f"{self.name}/{file}: {count} × {kind} replaced in {key} (such as {self.was[file, key, kind]!r})"
            for (file, key, kind), count in sorted(self.replaced.items())
        ]


def secrets_in(source: Path) -> list[Finding]:
    """Secrets in the files of a run that would be published, by their lines there."""
    folder = source if source.is_dir() else source.parent
    journal = source / store.JOURNAL if source.is_dir() else source
    known = secrets.of_environment()
    found: list[Finding] = []
    for path in (journal, folder / PLAN, folder / CEILINGS, *sorted((folder / TRACES).glob("*.jsonl.gz"))):
        if path.is_file():
            for number, line in enumerate(privacy.lines(path), 1):
                found += privacy.in_line(str(path), number, line, known, ())
    return found


def run(source: Path, target: Path, given: Choose, day: date, warn: Callable[[str], None]) -> Cleaned:
    """Write the published copy of a run into the new folder `target`.

    `given` makes the choices of cost that count of those in the plan; they are stored with `day` as their day, so that
    the copy tells the same dollars later. Raises InputError where there is no journal, or a price file is missing.
    """
    folder = source if source.is_dir() else source.parent
    made = Cleaned(target.name, source)
    cleaner = _Cleaner(made, identity.rules())
    target.mkdir(parents=True)
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        warn(message)

    with (target / store.JOURNAL).open("w", encoding="utf-8") as out:
        for record in store.read(source, tell):
            out.write(_record(record, folder, target, cleaner, warn).model_dump_json(exclude_none=True) + "\n")
    if not made.records:
        raise InputError(no_records(str(source), told))
    _plan(folder, target, given, day, cleaner)
    ceilings = _json_file(folder / CEILINGS)
    if ceilings is not None:
        _write_json(target / CEILINGS, cleaner.value(CEILINGS, ceilings))
    return made


class _Cleaner:
    """Replaces texts inside JSON values, and counts what it replaced."""

    def __init__(self, made: Cleaned, rules: Sequence[identity.Rule]) -> None:
        self.made = made
        self.rules = rules

    def text(self, file: str, key: str, text: str) -> str:
        clean, found = identity.replaced(text, self.rules)
        for kind, was in found:
            self.made.replaced[file, key, kind] += 1
            self.made.was.setdefault((file, key, kind), was)
        return clean

    def value(self, file: str, value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return self.text(file, key, value)
        if isinstance(value, Mapping):
            return {
                name if name.isidentifier() else self.text(file, key, name): one
                if name in KEPT_KEYS
                else self.value(file, one, f"{key}.{name}" if key else name)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self.value(file, one, key) for one in value]
        return value


def _record(record: Record, folder: Path, target: Path, cleaner: _Cleaner, warn: Callable[[str], None]) -> Record:
    """The record as it is published; its trace is written beside it."""
    made = cleaner.made
    made.records += 1
    made.versions.add(record.schema_version)
    made.days.add(record.started_at[:10])
    if record.imported is None:
        made.machines.setdefault(record.environment.hardware(), record.environment)
    else:
        said = record.environment
        known = said.accelerators or said.cpu_usable
        hardware = slugs.of_machine(said) if known else record.imported.hardware or record.imported.tool
        made.machines.setdefault(f"imported: {hardware}", hardware)
    whole = json.loads(record.model_dump_json(exclude_none=True))
    clean = cleaner.value(store.JOURNAL, whole)
    if record.serving is not None:
        sha256 = _trace(folder, target, record, cleaner, warn)
        if sha256 is not None:
            clean["serving"]["trace_sha256"] = sha256
    try:
        return Record.model_validate(clean)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(
            f"{folder}: record {record.record_id} is no record without its names ({where}); take them out of the config"
        ) from None


def _trace(folder: Path, target: Path, record: Record, cleaner: _Cleaner, warn: Callable[[str], None]) -> str | None:
    """The checksum of the cleaned trace; None where it is as it was, or is not there."""
    assert record.serving is not None
    name = PurePosixPath(record.serving.trace)
    if len(name.parts) != 2 or name.parts[0] != TRACES or name.parts[1] in (".", "..") or "\\" in name.parts[1]:
        raise InputError(f"{folder}: record {record.record_id} names a trace outside of {TRACES}/; leave that run out")
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        warn(f"{path}: the trace is not published ({error.strerror}); its row will say so")
        return None
    (target / TRACES).mkdir(exist_ok=True)
    before = sum(cleaner.made.replaced.values())
    text, is_whole = privacy.unpacked(path)
    lines = [_trace_line(line, cleaner) for line in text.split(b"\n")]
    # What nobody can read, nobody has looked through: of a damaged trace the readable part alone is published.
    if not is_whole or sum(cleaner.made.replaced.values()) > before:
        was_whole = hashlib.sha256(data).hexdigest() == record.serving.trace_sha256
        data = gzip.compress(b"\n".join(lines), 6, mtime=0)
        (target / name).write_bytes(data)
        return hashlib.sha256(data).hexdigest() if was_whole else None
    (target / name).write_bytes(data)
    return None


def _trace_line(line: bytes, cleaner: _Cleaner) -> bytes:
    """The very same bytes where nothing is to be replaced."""
    try:
        whole = json.loads(line)
    except ValueError:
        return b""  # torn: nobody reads it
    clean = cleaner.value(TRACES, whole)
    return line if clean == whole else json.dumps(clean, separators=(",", ":"), ensure_ascii=False).encode()


def _plan(folder: Path, target: Path, given: Choose, day: date, cleaner: _Cleaner) -> None:
    """The plan with the choices that count, and its price files; a journal without a plan gets one that says them."""
    plan = _json_file(folder / PLAN)
    if not isinstance(plan, dict):
        plan = {"schema_version": 1, "name": target.name, "config": "", "cells": [], "replicates": 0}
    try:
        planned = CostChoices.model_validate(plan.get("cost") or {})
    except ValidationError:
        planned = CostChoices()
    keys = ("api_price_files", "hardware_price_files")
    here = {key: tuple(str((folder / one).resolve()) for one in getattr(planned, key)) for key in keys}
    chosen = given(planned.model_copy(update=here))
    copied = {key: tuple(_price_file(Path(one), target) for one in getattr(chosen, key)) for key in keys}
    chosen = chosen.model_copy(update={**copied, "as_of": chosen.as_of or day})
    clean = cleaner.value(PLAN, {**plan, "cost": None})
    _write_json(target / PLAN, {**clean, "cost": chosen.model_dump(mode="json")})


def _price_file(source: Path, target: Path) -> str:
    """Copied beside the plan, and named as seen from there."""
    (target / PRICES).mkdir(exist_ok=True)
    name, number = source.name, 2
    while (target / PRICES / name).exists():
        name, number = f"{source.stem}-{number}{source.suffix}", number + 1
    try:
        shutil.copyfile(source, target / PRICES / name)
    except OSError as error:
        raise InputError(f"{source}: cannot read these prices ({error.strerror}); name another file") from None
    return f"{PRICES}/{name}"


def _json_file(path: Path) -> Any:
    """None where there is none, or nothing that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
