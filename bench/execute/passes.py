"""What a run does besides timing: quality passes, each reference before its levels, and profiles when asked."""

import re
import uuid
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import store
from bench.execute.run import Bench, Measured, Standing, environment_of
from bench.schema import Cell, Job, QualityInput, Record

KEPT = "quality"
"""The folder beside the journal for what references keep: other levels are held against it."""

_OURS = re.compile(r"[0-9a-f]{12}\.0\.[0-9a-f]{8}\.npz|\..+\.npz\.\d+\.part")
"""Files in it that a pass has written, whole or not."""


@dataclass
class Stored:
    """What a run folder holds of these passes, from this machine and these engine versions: the newest of each cell."""

    scored: dict[str, Record] = field(default_factory=dict)
    profiled: dict[str, Record] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    """Names of what references have kept, on whatever machine."""


def stored(
    folder: Path, cells: Sequence[Cell], warn: Callable[[str], None], prints: Mapping[str, str] | None = None
) -> Stored:
    """Read the journal for quality passes and profiles of `cells`, from this machine, or from those of `prints`: cell
    id → fingerprint."""
    found = Stored()
    if not (folder / store.JOURNAL).is_file():
        return found
    if prints is None:
        prints = {cell.cell_id: environment_of(cell).fingerprint() for cell in cells}
    for record in store.read(folder, warn):
        own = record.cell.cell_id
        if record.scored is not None and record.scored.kept_file is not None:
            found.kept.add(record.scored.kept_file)
        if record.purpose == "time" or record.status == "lost" or record.environment.fingerprint() != prints.get(own):
            continue
        (found.scored if record.purpose == "quality" else found.profiled)[own] = record
    return found


def clear(folder: Path, kept: Collection[str]) -> None:
    """Remove what passes that were killed have left in a run's folder: files that no record names. The journal must be
    open, so that no other run is writing one."""
    for path in (folder / KEPT).glob("*"):
        if path.name not in kept and _OURS.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def score(
    cells: Sequence[Cell],
    known: Mapping[str, Record],
    bench: Bench,
    text_path: Path | None,
    task_paths: Sequence[Path],
    retry_failed: bool,
) -> int:
    """Run every quality pass that is not stored. `cells`: each reference before the levels that are held against it.

    A level whose reference could not be scored is scored all the same, without a comparison; when the reference is
    there later, it is scored again. Returns how many ran. Raises KeyboardInterrupt and InputError as `run` does.
    """
    folder = bench.journal.folder.absolute()
    references = {
        _family(cell): known[cell.cell_id]
        for cell in cells
        if _is_reference(cell) and cell.cell_id in known and known[cell.cell_id].status == "ok"
    }
    waiting = to_run(cells, known, retry_failed, lambda kept: _is_whole(folder / KEPT / kept))
    compared = {_family(cell) for cell in cells if not _is_reference(cell)}
    for index, cell in enumerate(waiting):
        record_id = f"{cell.cell_id}.0.{uuid.uuid4().hex[:8]}"
        base = None if _is_reference(cell) else references.get(_family(cell))
        kept = None if base is None else _kept(base)
        keeps = _is_reference(cell) and _family(cell) in compared
        given = QualityInput(
            text_path=None if text_path is None else str(text_path),
            task_paths=tuple(str(one) for one in task_paths),
            kept_path=str(bench.made(folder / KEPT) / f"{record_id}.npz") if keeps else None,
            reference_path=None if kept is None else str(folder / KEPT / kept),
            reference_record_id=None if kept is None or base is None else base.record_id,
        )
        job = Job(cell=cell, replicate=0, record_id=record_id, purpose="quality", quality=given)
        done = len(cells) - len(waiting) + index
        bench.watcher.started(job, Standing(done=done, at_least=len(cells), left_s=None, half_width=None))
        record = bench.one_more(job)
        if _is_reference(cell) and record.status == "ok":
            references[_family(cell)] = record
    return len(waiting)


def profile(
    cells: Sequence[Cell], known: Mapping[str, Record], measured: Mapping[str, Measured], bench: Bench, retry: bool
) -> int:
    """Profile every static batch that was measured and has no profile yet. Returns how many ran."""
    waiting = [
        cell
        for cell in cells
        if cell.traffic is None
        and measured[cell.cell_id].times
        and (cell.cell_id not in known or (retry and known[cell.cell_id].status != "ok"))
    ]
    for index, cell in enumerate(waiting):
        job = Job(cell=cell, replicate=0, purpose="profile")
        bench.watcher.started(job, Standing(done=index, at_least=len(waiting), left_s=None, half_width=None))
        bench.one_more(job)
    return len(waiting)


def to_run(
    cells: Sequence[Cell], known: Mapping[str, Record], retry_failed: bool, is_there: Callable[[str], bool]
) -> list[Cell]:
    """The passes to run, in the order of `cells`: those that are not stored (or failed, where asked for), references
    whose kept file is gone although a level needs it, and levels that were scored without their reference.

    `is_there`: whether the kept file of that name exists, whole.
    """
    wanted = {
        cell.cell_id
        for cell in cells
        if cell.cell_id not in known or (retry_failed and known[cell.cell_id].status != "ok")
    }
    references = {_family(cell): cell for cell in cells if _is_reference(cell)}
    for cell in cells:
        before, base = known.get(cell.cell_id), references.get(_family(cell))
        if _is_reference(cell) or base is None or before is None or before.scored is None:
            continue
        if before.scored.against is None and _is_newer(base, known, before, wanted):
            wanted.add(cell.cell_id)
    for cell in cells:
        base = references.get(_family(cell))
        if cell.cell_id in wanted and base is not None and base.cell_id in known:
            kept = _kept(known[base.cell_id])
            failed = known[base.cell_id].status != "ok"
            if not failed and (kept is None or not is_there(kept)) and not _is_reference(cell):
                wanted.add(base.cell_id)
    return [cell for cell in cells if cell.cell_id in wanted]


def _is_newer(base: Cell, known: Mapping[str, Record], level: Record, wanted: set[str]) -> bool:
    """Whether a reference is there that was not when the level was scored, or is about to be."""
    if base.cell_id in wanted:
        return True
    own = known[base.cell_id]
    return own.status == "ok" and own.started_at > level.started_at


def _is_whole(path: Path) -> bool:
    """Whether what a reference kept is there and can be read. A level that finds it damaged is scored in vain."""
    try:
        with zipfile.ZipFile(path) as stored:
            return stored.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        return False


def _kept(record: Record) -> str | None:
    """The name of what a reference's pass keeps for its levels."""
    return None if record.scored is None else record.scored.kept_file


def _is_reference(cell: Cell) -> bool:
    """Whether others may be held against it; where no reference is wanted, that is each of them."""
    return cell.quality is not None and cell.quality.reference is None


def _family(cell: Cell) -> str:
    """Equal for a reference and the levels that are held against it."""
    assert cell.quality is not None
    base = cell.quality.reference or cell.precision
    own = cell.model_copy(update={"precision": base, "quality": cell.quality.model_copy(update={"reference": None})})
    return own.model_dump_json(exclude={"cell_id"})
