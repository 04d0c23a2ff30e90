"""The files that a server serves, found from what a config calls the model, and what identifies them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import InputError, UnsupportedError
from bench.gguf_files import header
from bench.models import builtin, catalogue, hub
from bench.models.checksum import checksum
from bench.schema import Model


@dataclass(frozen=True)
class Weights:
    """A model as files or as a hub id. One of `folder`, `gguf`, `hub_id` is set, but for shapes and `served`."""

    model: Model
    name: str
    """For people and for requests; no path."""
    folder: Path | None = None
    """A checkpoint with a config.json."""
    gguf: Path | None = None
    hub_id: str | None = None
    revision: str | None = None
    made_for: str | None = None
    """The precision that `gguf` was made for, where it is not the model's own file."""
    made_of: Path | None = None
    """What it was made of: names the weights, at every precision alike. None for random weights."""

    def settings(self) -> dict[str, object] | None:
        """The checkpoint's config where it is on this machine; None for a GGUF file, which has none."""
        if catalogue.kind(self.model) == "gguf" or self.model.gguf_file is not None:
            return None
        return catalogue.config(self.model)


def find(model: Model, say: Callable[[str], None]) -> Weights:
    """The files of a model; the built-in one is fetched first. Raises InputError when that fails."""
    what = catalogue.kind(model)
    name = _plain(catalogue.label(model))
    if what == "builtin":
        builtin_name = model.source.removeprefix("builtin:")
        folder = builtin.ensure(builtin_name, say)
        return Weights(model, name, folder=folder, gguf=builtin.gguf_file(builtin_name))
    if what == "gguf":
        return Weights(model, name, gguf=Path(model.source))
    if what == "folder":
        path = Path(model.source)
        if model.gguf_file is not None:
            return Weights(model, _plain(model.gguf_file), gguf=path / model.gguf_file)
        return Weights(model, name, folder=path)
    if what == "hub":
        cached = hub.weight_files(model) if model.gguf_file else []
        gguf = cached[0] if cached else None
        return Weights(model, name, gguf=gguf, hub_id=model.source, revision=model.revision)
    return Weights(model, name)


def gguf(weights: Weights, engine: str) -> Path:
    """The GGUF file to serve. Raises UnsupportedError where the model is none."""
    if weights.gguf is not None:
        return weights.gguf
    if weights.model.gguf_file is not None:
        raise UnsupportedError(
            f"{weights.model.gguf_file} of {weights.hub_id} is not on this machine",
            f"fetch it: hf download {weights.hub_id} {weights.model.gguf_file}",
        )
    _check_named(weights, engine)
    raise UnsupportedError(
        f"{engine} reads GGUF files, and {weights.name} is none",
        "name a .gguf file as the model, or a gguf_file inside its folder or hub id",
    )


def checkpoint(weights: Weights, engine: str) -> str:
    """The folder or hub id of a checkpoint with a config.json. Raises UnsupportedError where the model is none."""
    if weights.folder is not None:
        return str(weights.folder)
    if weights.hub_id is not None and weights.model.gguf_file is None:
        return weights.hub_id
    if weights.gguf is not None or weights.model.gguf_file is not None:
        raise UnsupportedError(
            f"{engine} is not asked to serve GGUF files here", "serve them with llama.cpp, or name the checkpoint"
        )
    _check_named(weights, engine)
    raise UnsupportedError(
        f"{weights.name} has random weights and no files that a server could load",
        "name a checkpoint, or run this shape with the runner transformers",
    )


def _check_named(weights: Weights, engine: str) -> None:
    if catalogue.kind(weights.model) == "served":
        raise UnsupportedError(
            f"no model is named for {engine} to serve", "add models: to the config, such as builtin:smollm2-135m"
        )


def identity(weights: Weights, served: Path | None) -> tuple[str | None, int | None]:
    """What names the weights that were served (checksum or commit), and their bytes on disk; read after the start.

    `served`: the file or folder that the server was given, None for a hub id.
    """
    if served is None:
        if weights.hub_id is None:
            return None, None
        commit = hub.commit(weights.model)
        return None if commit is None else f"commit:{commit}", _size(hub.weight_files(weights.model))
    if weights.made_for is not None and served == weights.gguf:
        original = replace(weights, made_for=None, made_of=None)
        return None if weights.made_of is None else identity(original, weights.made_of)[0], _size([served])
    if served.is_dir():
        files = sorted(served.glob("*.safetensors"))
        return builtin.weights_id(served) or checksum(files), _size(files)
    parts = _parts(served)
    return builtin.gguf_id(served) or checksum(parts), _size(parts)


def _parts(path: Path) -> list[Path]:
    """The files of a GGUF model: several where it is split, and a server is given the first of them."""
    try:
        return list(header.read(path).files)
    except InputError:
        return [path]


def _size(paths: list[Path]) -> int | None:
    return sum(path.stat().st_size for path in paths) if paths else None


def _plain(name: str) -> str:
    return Path(name).name.removesuffix(".gguf") if name.endswith(".gguf") else name
