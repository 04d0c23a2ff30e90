"""Where the GGUF file of a precision is, or will be; and having it made, once, whole or not at all.

A file that is made is kept in the user's cache under a name with a checksum of what it was made from, so that it is
made once for all runs. It is written beside its place and moved there when it is whole and its header reads well: what
was cut off is never taken for it. A lock lets one process make it and the others wait; the maker, a process of its own,
holds it too, so that it outlives a parent that is killed.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError, UnsupportedError
from bench.gguf_files import header, shapes, ways
from bench.gguf_files.types import AS_STORED, BY_NAME, FILE_TYPES, MOST_OF, is_gguf, written
from bench.schema.precision import Precision

RECIPE = 1
"""Raised when the same source and precision would give another file."""

EDGE_BYTES = 1024 * 1024
SPARE = 1.15
"""Some tensors get more bits than the file's type says: room that is asked for beforehand."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A GGUF file at a precision. `is_source`: the model's own file; else `source` or `shape` says what it is made of.

    `precision`: the file's by name, such as q8_0; None where the model's own file does not say. `notes`: what a record
    of a measurement with it must say.
    """

    path: Path
    name: str
    precision: str | None
    is_source: bool
    source: Path | None = None
    shape: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return self.path.is_file()


def folder() -> Path:
    """Where made files are kept: `gguf` in `$BENCH_CACHE`, else in `llm-cost-bench` of the user's cache folder."""
    named = os.environ.get("BENCH_CACHE")
    home = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-cost-bench"
    return home / "gguf"


def wanted(source: Path | None, precision: Precision, *, shape: Mapping[str, Any] | None, name: str) -> Made:
    """The file of a precision: the model's own where that is it, else one that `make` makes. Light: reads headers.

    `source`: a GGUF file or the folder of a checkpoint; None for random weights at the sizes of `shape`, a config.json.
    Raises InputError for a file that is broken, UnsupportedError for a precision that GGUF files do not have, and for
    the stored precision of what is not stored.
    """
    if not is_gguf(precision):
        raise UnsupportedError(
            f"llama.cpp reads GGUF files, which have no {precision.name}", "use bf16, q8_0, q4_k_m, … or checkpoint"
        )
    as_stored = precision.name in AS_STORED
    if source is None:
        assert shape is not None
        if as_stored:
            raise UnsupportedError("a shape has random weights and no stored precision", "name bf16, q8_0, q4_k_m, …")
        said = json.dumps([RECIPE, shape], sort_keys=True)
        path = _place(name, precision.name, hashlib.sha256(said.encode()))
        return Made(path, name, precision.name, False, None, dict(shape), ("random weights",))
    if source.is_dir():
        if as_stored:
            raise UnsupportedError(
                "this checkpoint is no GGUF file that could be used as it is stored", "name bf16, q8_0, q4_k_m, …"
            )
        return Made(_place(name, precision.name, _checksum(_weights(source))), name, precision.name, False, source)
    own = header.read(source)
    if as_stored or own.precision == precision.name:
        return Made(source, name, own.precision, True, source)
    notes: tuple[str, ...] = ()
    if own.precision not in ("fp32", "fp16", "bf16"):
        kind = written(own.precision or "an unknown type")
        notes = (f"made of {kind}, not of the original weights: true for speed and size, not for quality",)
    path = _place(name, precision.name, _checksum(list(own.files)))
    return Made(path, name, precision.name, False, source, None, notes)


def make(made: Made, say: Say) -> bool:
    """Have the file there; returns whether it had to be made. `say` hears what is made, how large it is and where.

    Raises UnsupportedError where it cannot be made, with what would have to be installed, or where its folder is full
    or not writable; DoesNotFitError where memory ran out.
    """
    if made.is_ready:
        return False
    steps = ways.steps(made.source, made.shape, str(made.precision))
    size = _expected_bytes(made)
    try:
        made.path.parent.mkdir(parents=True, exist_ok=True)
        with made.path.with_suffix(".lock").open("w") as lock:
            _lock(lock.fileno(), made, say)
            if made.path.is_file():  # the other process made it
                return False
            for left in made.path.parent.glob(f".{made.path.stem}-*"):
                left.unlink()  # whoever wrote it was killed, or the lock would not be ours
            _check_room(made.path.parent, size)
            say(f"making {made.path.name} once ({size / SPARE / 1e9:.2f} GB, kept in {made.path.parent})")
            part = made.path.with_name(f".{made.path.stem}-{os.getpid()}.gguf")
            try:
                ways.run(steps, part, lock.fileno(), say)
                _check_whole(part)
                _keep(part, made.path)
            finally:
                for left in made.path.parent.glob(f".{made.path.stem}-*"):
                    left.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(made, size, error) from error
    return True


def _unwritten(made: Made, size: float, error: OSError) -> UnsupportedError:
    """The results' own disk may have room: a row of this cell, and others go on."""
    folder = made.path.parent
    what = (
        f"{made.path.name} ({size / SPARE / 1e9:.2f} GB) could not be written in {folder} ({error.strerror or error})"
    )
    return UnsupportedError(
        what, "free some space there or name another cache folder in BENCH_CACHE, and --retry-failed"
    )


def _lock(lock: int, made: Made, say: Say) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another process that makes {made.path.name}")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _check_room(place: Path, size: float) -> None:
    if shutil.disk_usage(place).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))


def _check_whole(part: Path) -> None:
    """A tool that ended well and left half a file, or none."""
    try:
        header.read(part)
    except InputError as error:
        raise UnsupportedError(f"what was made is no whole GGUF file ({error.lines[0]})", "see the log") from None


def _keep(part: Path, place: Path) -> None:
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(place)


def _expected_bytes(made: Made) -> float:
    """About so many bytes, with room to spare: every matrix at the type that the precision starts from."""
    bits = BY_NAME[MOST_OF[str(made.precision)]].bits
    if made.shape is not None:
        tensors = shapes.plan(dict(made.shape)).tensors
        return SPARE * sum(one.values * bits / 8 for one in tensors)
    assert made.source is not None
    if made.source.is_dir():
        # A checkpoint's own type is 16 bits as a rule; where it is converted and then quantised, both are kept.
        stored = sum(one.stat().st_size for one in _weights(made.source))
        return SPARE * stored * (bits / 16 + (0 if made.precision in ("fp32", "fp16", "bf16") else 1))
    return SPARE * header.read(made.source).parameters * bits / 8


def _place(name: str, precision: str, digest: Any) -> Path:
    assert precision in FILE_TYPES
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removesuffix(".gguf")).strip(".-")[:80] or "model"
    return folder() / f"{plain}-{written(precision)}-{digest.hexdigest()[:12]}.gguf"


def _weights(checkpoint: Path) -> list[Path]:
    found = sorted(checkpoint.glob("*.safetensors"))
    if not found:
        raise UnsupportedError(
            f"no *.safetensors in {checkpoint.name}, of which a GGUF file could be made", "give a folder with weights"
        )
    return [checkpoint / "config.json", *found]


def _checksum(paths: list[Path]) -> Any:
    """Over sizes and both ends of each file: reading 140 GB would take longer than the run. Names do not count."""
    digest = hashlib.sha256(str(RECIPE).encode())
    try:
        for path in paths:
            size = path.stat().st_size
            digest.update(f":{size}:".encode())
            with path.open("rb") as handle:
                digest.update(handle.read(EDGE_BYTES))
                handle.seek(max(0, size - EDGE_BYTES))
                digest.update(handle.read(EDGE_BYTES))
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
    return digest
