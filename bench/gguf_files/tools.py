"""llama.cpp's own programs on this machine: in the folders that BENCH_LLAMA_CPP names, else on the PATH."""

import os
import shutil
from pathlib import Path

FOLDERS = "BENCH_LLAMA_CPP"
"""Environment variable: folders of llama.cpp (its sources, its build, or its programs), separated as in PATH."""

QUANTIZE = "llama-quantize"
CONVERT = "convert_hf_to_gguf.py"
BELOW = ("", "bin", "build/bin")
ABOVE = ("..", "../..")
"""Where a program stands seen from a folder of sources, and the sources from a folder of programs."""


def quantize() -> Path | None:
    """`llama-quantize`, or None."""
    return _find(QUANTIZE)


def convert() -> Path | None:
    """`convert_hf_to_gguf.py`, or None. It wants torch, transformers and gguf in the Python that runs it."""
    return _find(CONVERT)


def _find(name: str) -> Path | None:
    for folder in os.environ.get(FOLDERS, "").split(os.pathsep):
        if not folder.strip():
            continue
        for place in (*BELOW, *ABOVE):
            found = Path(folder).expanduser() / place / name
            if found.is_file():
                return found.resolve()
    on_path = shutil.which(name)
    return None if on_path is None else Path(on_path)
