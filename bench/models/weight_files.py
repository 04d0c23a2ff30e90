"""The weight files of a model on this machine, and what names them in a record."""

from pathlib import Path

from bench.models import builtin, catalogue, hub
from bench.models.checksum import checksum
from bench.schema import Model


def find(model: Model) -> list[Path]:
    """The files, in the order of their names; empty for random weights and for what is not on this machine."""
    match catalogue.kind(model):
        case "builtin":
            folder = builtin.folder(model.source.removeprefix("builtin:"))
        case "hub":
            return hub.weight_files(model)
        case "gguf":
            return [Path(model.source)]
        case "shape" | "served":
            return []
        case _:
            folder = Path(model.source)
    return [folder / model.gguf_file] if model.gguf_file else sorted(folder.glob("*.safetensors"))


def identity(model: Model) -> str | None:
    """A revision or checksum that names the weights."""
    match catalogue.kind(model):
        case "builtin":
            return builtin.weights_id(builtin.folder(model.source.removeprefix("builtin:")))
        case "hub":
            commit = hub.commit(model)
            return None if commit is None else f"commit:{commit}"
        case _:
            return checksum(find(model))


def checksums(model: Model) -> dict[str, str]:
    """Name of each file → its checksum."""
    return {path.name: checksum([path]) or "" for path in find(model)}
