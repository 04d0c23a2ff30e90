"""Results of other tools: which tools there are, and the module of each. A module is imported when it is used.

A module has `TOOL` (its name for people), `claims(text, name)` and `read(file, text)`: see `Reader`.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from bench.errors import InputError, nearest
from bench.imports.found import Found

TOOLS: dict[str, str] = {
    "vllm": "bench.imports.vllm",
    "guidellm": "bench.imports.guidellm",
    "aiperf": "bench.imports.aiperf",
    "llama-bench": "bench.imports.llama_bench",
    "optimum-benchmark": "bench.imports.optimum_benchmark",
}
"""What `--tool` takes → the module that reads it."""


class Reader(Protocol):
    """What a tool's module is."""

    TOOL: str
    """Such as "GuideLLM"."""

    def claims(self, text: str, name: str) -> bool:
        """Whether this text is that tool's, by its structure and never by the file's name alone. Raises nothing."""
        ...

    def read(self, file: Path, text: str) -> list[Found]:
        """Every cell of the file. Raises InputError that names the file, the key and the remedy."""
        ...


def find(name: str) -> Reader:
    """The module of a tool. Raises InputError with the nearest names when there is none."""
    if name not in TOOLS:
        raise InputError(f"--tool: unknown tool {name!r}; {nearest(name, TOOLS)}")
    return cast(Reader, import_module(TOOLS[name]))
