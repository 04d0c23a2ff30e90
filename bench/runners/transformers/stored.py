"""What each format of a checkpoint that is already quantised needs. Imports no engine: `bench doctor` asks it too."""

from importlib.util import find_spec

GGUF = "gguf"
NEEDS = {
    "gptq": (("gptqmodel", "gptqmodel"), ("optimum.gptq", "optimum")),
    "awq": (("gptqmodel", "gptqmodel"),),
    "compressed-tensors": (("compressed_tensors", "compressed-tensors"),),
    GGUF: (("kernels", "kernels"),),
}
"""Of each format, the modules that transformers loads it with, and the packages that hold them."""


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # the package that it would stand in is missing too


def lacking(method: str) -> list[str]:
    """Packages that a format needs and that are not installed here."""
    return [package for module, package in NEEDS[method] if not installed(module)]
