"""How a GGUF file of a precision is made of what there is: the programs to run one after another, or why it cannot be.

Plain types and Q8_0 are made here (`make.py`), other blocks, K-quants and IQ4 too where the wheel `xllamacpp` is there
to pack them: the same bytes as llama-quantize's. Everything else needs llama.cpp's own programs.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import DoesNotFitError, UnsupportedError
from bench.gguf_files import header, shapes, tools
from bench.gguf_files.mixture import MADE_HERE, UNKNOWN
from bench.gguf_files.types import NEEDS_IMPORTANCE, PLAIN, quantise_name, written

NUMPY_PACKS = ("q8_0",)
"""What the `gguf` package packs without a library in C; other files have an output head of Q6_K, which it cannot."""

WITH_TOOLS = f"put llama.cpp's {tools.QUANTIZE} on the PATH, or name its folder in {tools.FOLDERS}"
MAKER = "bench.gguf_files.make"
ELSEWHERE = Path(__file__).parents[1] / "execute" / "elsewhere.py"
"""Finds `bench` in whatever Python this is."""

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
OUT = "{out}"
BEFORE = "{before}"
LAST_LINES = 30


@dataclass(frozen=True)
class Step:
    """One program. `{out}` in its words is the file that it writes, `{before}` the one that the step before wrote."""

    said: str
    words: tuple[str, ...]


def steps(source: Path | None, shape: Mapping[str, Any] | None, precision: str) -> tuple[Step, ...]:
    """What to run. Raises UnsupportedError where it cannot be made."""
    if precision in NEEDS_IMPORTANCE:
        raise UnsupportedError(
            f"{written(precision)} is made with an importance matrix of the model's own, which is not made here",
            "name a GGUF file that has this type, with precision: checkpoint",
        )
    if source is None:
        assert shape is not None
        _check_own(precision, "random weights")
        shapes.plan(dict(shape))  # says what it does not know
        return (_own(json.dumps(dict(shape)), precision, f"writing random weights as {written(precision)}"),)
    if source.is_dir():
        return _of_checkpoint(source, precision)
    found = header.read(source)
    return (_of_gguf(str(source), found, precision),)


def _of_gguf(source: str, found: header.Header | None, precision: str) -> Step:
    """One type to another. `found` is None where the file is not there yet: one that convert_hf_to_gguf.py writes."""
    said = f"converting to {written(precision)}"
    try:
        if found is not None and (len(found.files) > 1 or found.architecture in UNKNOWN):
            raise UnsupportedError("split files and some architectures are converted by llama.cpp alone", WITH_TOOLS)
        _check_own(precision, "a GGUF file")
    except UnsupportedError:
        tool = tools.quantize()
        if tool is None:
            raise
        return Step(said, (str(tool), "--allow-requantize", source, OUT, quantise_name(precision)))
    return _own(source, precision, said)


def _of_checkpoint(folder: Path, precision: str) -> tuple[Step, ...]:
    script = tools.convert()
    if script is None:
        raise UnsupportedError(
            f"a checkpoint is converted to GGUF by llama.cpp's {tools.CONVERT}, which is not here",
            f"name llama.cpp's folder in {tools.FOLDERS}, or name a GGUF file of this model",
        )
    first = precision if precision in PLAIN else _own_type(folder)
    outtype = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}[first]
    words = (sys.executable, str(script), str(folder), "--outfile", OUT, "--outtype", outtype)
    read = Step(f"converting {folder.name} to a GGUF file", words)
    return (read,) if first == precision else (read, _of_gguf(BEFORE, None, precision))


def _own_type(folder: Path) -> str:
    """The type that a checkpoint's config says it has, bf16 where it does not."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "bf16"
    return DTYPES.get(str(said.get("dtype") or said.get("torch_dtype")), "bf16")


def _check_own(precision: str, what: str) -> None:
    """Whether `make.py` can pack this type here. Raises UnsupportedError with what is missing."""
    lacking = [name for name in ("numpy", "gguf") if find_spec(name) is None]
    if lacking:
        raise UnsupportedError(
            f"making a GGUF file of another precision needs {' and '.join(lacking)}", f"pip install {' '.join(lacking)}"
        )
    if precision in PLAIN or precision in NUMPY_PACKS:
        return
    if precision not in MADE_HERE:
        raise UnsupportedError(f"{what} becomes {written(precision)} by llama.cpp's own program alone", WITH_TOOLS)
    if find_spec("xllamacpp") is None:
        raise UnsupportedError(
            f"{written(precision)} is packed by llama.cpp's own code, which is not here",
            f"pip install xllamacpp, or {WITH_TOOLS}",
        )


def _own(source: str, precision: str, said: str) -> Step:
    return Step(said, (sys.executable, str(ELSEWHERE), "-m", MAKER, precision, source, OUT))


def run(planned: Sequence[Step], part: Path, lock: int, say: Callable[[str], None]) -> None:
    """Run the steps; the last writes `part`, others files beside it. Raises what `made.make` says, and OSError."""
    before: Path | None = None
    for index, step in enumerate(planned):
        is_last = index == len(planned) - 1
        out = part if is_last else part.with_name(f"{part.stem}-{index}.gguf")
        if len(planned) > 1:
            say(f"{step.said} ({index + 1} of {len(planned)})")
        _run([{OUT: str(out), BEFORE: str(before)}.get(one, one) for one in step.words], out, lock)
        if before is not None:
            before.unlink(missing_ok=True)
        before = out


def _run(words: Sequence[str], out: Path, lock: int) -> None:
    log = out.with_suffix(".log")
    with log.open("wb") as stream:
        # The lock goes along: it is held until the maker ends too.
        done = subprocess.run(list(words), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, pass_fds=(lock,))
    if done.returncode == 0:
        log.unlink(missing_ok=True)
        return
    raise _failure(Path(words[1] if words[1].endswith(".py") else words[0]).name, done.returncode, log)


def _failure(program: str, code: int, log: Path) -> Exception:
    """What a program that failed means: a full disk, memory that ran out, or a refusal in its own words."""
    lines = [one.strip() for one in log.read_text(errors="replace").splitlines()[-LAST_LINES:] if one.strip()]
    found = next((match for one in lines if (match := re.match(r"OSError (\d+)$", one))), None)
    if found:
        return OSError(int(found.group(1)), os.strerror(int(found.group(1))), str(log.parent))
    if code == -signal.SIGKILL or any("MemoryError" in one or "bad_alloc" in one for one in lines):
        return DoesNotFitError("memory ran out while the GGUF file was made", "more memory, or a file made elsewhere")
    missing = next((match for one in lines if (match := re.search(r"No module named '([\w.]+)'", one))), None)
    if missing:
        return UnsupportedError(f"{program} needs the package {missing.group(1)}", f"pip install {missing.group(1)}")
    telling = [one for one in lines if re.search(r"error|failed|not supported|missing", one, re.IGNORECASE)]
    said = (telling or lines or ["it printed nothing"])[-1][:300]
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return UnsupportedError(
        f"the GGUF file could not be made ({program}, {ended}): {said}",
        "name a GGUF file that has this type, or make it with llama.cpp's own programs",
    )
