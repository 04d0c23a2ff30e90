"""The GGUF file of a model at a precision: the model's own, or one that is made from it once and kept."""

from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError, UnsupportedError
from bench.gguf_files import header, made
from bench.gguf_files.header import Header
from bench.models import builtin, catalogue, hub
from bench.models.checksum import checksum
from bench.schema import Model, Precision


@dataclass(frozen=True)
class Wanted:
    """Which file is to be loaded, and what names its weights."""

    made: made.Made
    source: Path | None
    """The model's own file or folder; None for random weights."""
    model: Model

    @property
    def path(self) -> Path:
        return self.made.path

    @property
    def is_random(self) -> bool:
        return self.source is None

    def weights_id(self) -> str | None:
        """Revision or checksum of what the file was made of: the same at every precision."""
        match catalogue.kind(self.model):
            case "builtin":
                assert self.source is not None
                return builtin.gguf_id(self.source)
            case "hub":
                commit = hub.commit(self.model)
                return None if commit is None else f"commit:{commit}"
            case "shape":
                return None
            case _:
                assert self.source is not None
                is_folder = self.source.is_dir()
                return checksum(
                    sorted(self.source.glob("*.safetensors")) if is_folder else header.read(self.source).files
                )


def find(model: Model, precision: Precision) -> Wanted:
    """The file to load. Raises UnsupportedError where there is none and none can be made."""
    name, source, shape = catalogue.label(model), _source(model), None
    if catalogue.kind(model) == "shape":
        shape = catalogue.config(model)
    try:
        return Wanted(made.wanted(source, precision, shape=shape, name=name), source, model)
    except InputError as error:
        raise _unsupported(error) from None


def read(wanted: Wanted) -> Header:
    """The header of the file. Raises UnsupportedError for one that is cut short or no GGUF file."""
    try:
        return header.read(wanted.path)
    except InputError as error:
        raise _unsupported(error) from None


def make(wanted: Wanted) -> bool:
    """Make the file where it is not there yet; whether it was made. Raises UnsupportedError where it cannot be."""
    try:
        return made.make(wanted.made, print)
    except InputError as error:
        raise _unsupported(error) from None


def _source(model: Model) -> Path | None:
    """The model's own GGUF file, or the folder of its checkpoint; None for a shape."""
    match catalogue.kind(model):
        case "builtin":
            return builtin.gguf_file(model.source.removeprefix("builtin:"))
        case "gguf":
            return Path(model.source)
        case "folder":
            return Path(model.source) / model.gguf_file if model.gguf_file else Path(model.source)
        case "hub":
            cached = hub.weight_files(model)
            if not cached:
                what = f"{model.source} {model.gguf_file or ''}".strip()
                raise UnsupportedError(f"{what} is not on this machine", f"fetch it: hf download {what}")
            return cached[0] if model.gguf_file else cached[0].parent
        case "shape":
            return None
        case _:
            raise UnsupportedError("no model is named", "add models: to the config, such as builtin:smollm2-135m")


def _unsupported(error: InputError) -> UnsupportedError:
    reason, _, remedy = error.lines[0].partition("; ")
    return UnsupportedError(reason, remedy or "name another file")
