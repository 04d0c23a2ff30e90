"""The files of a model, and what names them."""

from pathlib import Path

from bench.errors import UnsupportedError
from bench.models import builtin, catalogue, hub, shape_folder
from bench.models.checksum import checksum
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


def files(model: Model) -> list[Path]:
    """The weight files on this machine."""
    match catalogue.kind(model):
        case "builtin":
            return sorted(builtin.folder(model.source.removeprefix("builtin:")).glob("*.safetensors"))
        case "folder":
            return sorted(Path(model.source).glob("*.safetensors"))
        case "hub":
            return hub.weight_files(model)
        case _:
            return []


def identity(model: Model) -> str | None:
    """A revision or checksum that names the weights."""
    match catalogue.kind(model):
        case "builtin":
            return builtin.weights_id(builtin.folder(model.source.removeprefix("builtin:")))
        case "hub":
            commit = hub.commit(model)
            return None if commit is None else f"commit:{commit}"
        case _:
            return checksum(files(model))


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
