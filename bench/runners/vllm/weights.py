"""The files of a model, and what names them."""

from pathlib import Path

from bench.errors import UnsupportedError
from bench.models import builtin, catalogue, hub, shape_folder
from bench.schema import Model

TOKENIZER = "tokenizer.json"


def source(model: Model) -> tuple[str, str | None]:
    """What vLLM is to load, and at which revision. A shape is a folder that holds its config alone.

    Raises UnsupportedError for what vLLM cannot load.
    """
    match catalogue.kind(model):
        case "shape":
            return str(shape_folder.ensure(model)), None
        case "builtin":
            return str(builtin.folder(model.source.removeprefix("builtin:"))), None
        case "folder" if model.gguf_file is None:
            return model.source, None
        case "hub" if model.gguf_file is None:
            return model.source, model.revision
        case "served":
            raise UnsupportedError("no model is named for vLLM to load", "add models: to the config")
        case _:
            raise UnsupportedError(
                "vLLM is not asked to read GGUF files", "run them with llama.cpp, or name the checkpoint"
            )


def tokenizer_file(model: Model) -> Path | None:
    """The model's own tokenizer, where its file is on this machine."""
    match catalogue.kind(model):
        case "builtin":
            path = builtin.folder(model.source.removeprefix("builtin:")) / TOKENIZER
        case "folder":
            path = Path(model.source) / TOKENIZER
        case "hub":
            weights = hub.weight_files(model)
            if not weights:
                return None
            path = weights[0].parent / TOKENIZER
        case _:
            return None
    return path if path.is_file() else None
