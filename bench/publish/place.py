"""The place of a publication: what stands there, and how the new one takes it without losing the old."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import InputError
from bench.publish import manifest

RUNS = "runs"


@contextmanager
def locked(into: Path) -> Iterator[None]:
    """One publication at a time; a file system without locks is taken as it is."""
    handle = os.open(into, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{into}: another publication is being written here; wait for it") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


def standing(target: Path, runs: Sequence[str], force: bool) -> bool:
    """Whether a publication stands there that may be renewed. Raises InputError where something would be lost."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    stored = manifest.read(target)
    if stored is None:
        raise InputError(f"{target}: stands there and is no publication of ours; choose another --name")
    if force:
        return True
    gone = sorted(set(stored.get("runs", {})) - set(runs))
    if gone:
        paths = " ".join(str(target / RUNS / one) for one in gone)
        raise InputError(f"{target}: also holds {', '.join(gone)}; name {paths} too, or drop them with --force")
    edited = manifest.changed(target, stored)
    if edited:
        raise InputError(
            f"{target}: {', '.join(edited[:3])}{' …' if len(edited) > 3 else ''} would be lost (not of the publication,"
            " or edited since); move it away, or --force"
        )
    return True


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def recover(target: Path) -> None:
    """A publication that was killed between its two steps: the older one gets its name back."""
    old = _old(target)
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def swap(stage: Path, target: Path) -> None:
    """In two renames, of which the first is undone where the second fails."""
    for path in stage.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    old = _old(target)
    if target.exists():
        target.rename(old)
    try:
        stage.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
