"""The GGUF file that a server is given: the model's own, or one at another precision that is made once and kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.errors import UnsupportedError
from bench.gguf_files import made, types
from bench.gguf_files.made import Made
from bench.models import catalogue, hub
from bench.schema import Precision
from bench.servers import weights as files
from bench.servers.weights import Weights


def path(weights: Weights, precision: Precision, engine: str) -> Path:
    """The file to serve; not there yet where `prepared` makes it. Raises what `files.gguf` and `made.wanted` do."""
    if precision.name in types.AS_STORED:
        return files.gguf(weights, engine)
    if weights.made_for == precision.name and weights.gguf is not None:
        return weights.gguf
    return _wanted(weights, precision, engine).path


def prepared(weights: Weights, precision: Precision, say: Callable[[str], None]) -> Weights:
    """The weights with the file of this precision, made where it is not there yet. Raises what `made.make` does."""
    if precision.name in types.AS_STORED:
        return weights
    found = _wanted(weights, precision, "llama.cpp")
    made.make(found, say)
    for note in found.notes:
        say(f"{found.path.name}: {note}")
    return replace(weights, gguf=found.path, made_for=precision.name, made_of=found.source)


def _wanted(weights: Weights, precision: Precision, engine: str) -> Made:
    if catalogue.kind(weights.model) == "shape":
        return made.wanted(None, precision, shape=catalogue.config(weights.model), name=weights.name)
    source = weights.gguf or weights.folder
    if source is None and weights.hub_id is not None and weights.model.gguf_file is None:
        cached = hub.weight_files(weights.model)
        if not cached:
            raise UnsupportedError(
                f"{weights.hub_id} is not on this machine", f"fetch it: hf download {weights.hub_id}"
            )
        source = cached[0].parent
    return made.wanted(source or files.gguf(weights, engine), precision, shape=None, name=weights.name)
