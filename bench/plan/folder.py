"""A run's folder: the plan beside the journal, so that a report needs no config."""

import json
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bench.errors import InputError
from bench.schema import Cell, CostChoices, Machine, Noun, Slo, Sweep
from bench.store import Journal

PLAN = "plan.json"


class StoredPlan(Noun):
    """What a run folder says of its plan."""

    schema_version: int = 1
    name: str
    config: str
    cells: tuple[str, ...]
    replicates: int
    quality_cells: tuple[str, ...] = ()
    slo: tuple[Slo, ...] = ()
    machines: tuple[Machine, ...] = ()
    cost: CostChoices = CostChoices()


def write_plan(folder: Path, sweep: Sweep, cells: Sequence[Cell], config: Path, scored: Sequence[Cell] = ()) -> None:
    """Keep the order of the cells, the ids of quality passes (`scored`), and the choices of cost.

    Raises InputError when the folder cannot be written.
    """
    plan = StoredPlan(
        name=sweep.name,
        config=config.name,
        cells=tuple(cell.cell_id for cell in cells),
        replicates=sweep.replicates,
        quality_cells=tuple(cell.cell_id for cell in scored),
        slo=sweep.slo,
        machines=sweep.machines,
        cost=_with_paths(sweep.cost, lambda path: os.path.relpath(path, folder)),
    )
    write_text(folder / PLAN, plan.model_dump_json(indent=1) + "\n")


def read_plan(folder: Path, warn: Callable[[str], None]) -> StoredPlan | None:
    """The stored plan, None where there is none; one that cannot be read is said."""
    try:
        text = (folder / PLAN).read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        plan = StoredPlan.model_validate(json.loads(text))
        return plan.model_copy(update={"cost": _with_paths(plan.cost, lambda path: os.path.normpath(folder / path))})
    except (ValueError, ValidationError, RecursionError):
        warn(f"{folder / PLAN}: broken; the order of cells and the prices of the config are not known")
        return None


def _with_paths(cost: CostChoices, change: Callable[[str], str]) -> CostChoices:
    """Price files are stored as seen from the run's folder: found from wherever a report is made, and no home named."""
    keys = ("api_price_files", "hardware_price_files")
    return cost.model_copy(update={key: tuple(change(path) for path in getattr(cost, key)) for key in keys})


def set_aside(folder: Path, held: Callable[[Path], AbstractContextManager[object]] = Journal) -> None:
    """Move a folder out of the way, under a name with its date; nothing is deleted.

    `held` keeps others from writing there meanwhile: a run that does must not lose its folder. Raises what that raises,
    and InputError when the folder cannot be moved.
    """
    if not folder.exists():
        return
    stamp = datetime.fromtimestamp(folder.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    target, number = folder.with_name(f"{folder.name}.{stamp}"), 2
    while target.exists():
        target, number = folder.with_name(f"{folder.name}.{stamp}-{number}"), number + 1
    with held(folder):
        try:
            folder.rename(target)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be set aside as {target.name} ({error.strerror}); name another --out"
            ) from None


def write_text(path: Path, text: str) -> None:
    """Write a whole file or leave the old one: never half of it. Raises InputError when it cannot be written.

    A link stays one and the file behind it is replaced. What is no file, such as a pipe or a device, is written to; `-`
    is the screen.
    """
    if str(path) == "-":
        print(text, end="")
        return
    if not path.name:
        raise InputError(f"{path}: cannot write it (not a file); choose another name")
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.new")
    try:
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
            return
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be the trouble
            beside.unlink()
        raise InputError(f"{path}: cannot write it ({error.strerror}); free space or choose another folder") from None


def _is_special(path: Path) -> bool:
    """Whether something stands there that renaming must not replace. A link without a target is nothing yet."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
