"""A model in memory: real weights through `from_pretrained`, or random ones at the true shapes."""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from bench.errors import DoesNotFitError, UnsupportedError
from bench.models import builtin, catalogue
from bench.runners.transformers import Options, devices, levels, packed, random_weights
from bench.runners.transformers.levels import bitsandbytes
from bench.runners.transformers.loaded import Loaded, notes
from bench.schema import Model, Precision
from bench.schema.precision import STORED, kv_cache
from bench.sensors import environment


def check_devices(options: Options) -> None:
    """Raises UnsupportedError for more devices than torch sees, before anything is loaded."""
    lack = devices.lacking(options, torch.cuda.device_count(), environment.usable_cpus())
    if lack is not None:
        raise UnsupportedError(*lack)


def device(name: str) -> torch.device:
    """The device that an option names. Raises UnsupportedError where there is none."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    place = torch.device(name)
    if place.type == "cuda":
        count = torch.cuda.device_count()
        if (place.index or 0) >= count:
            raise UnsupportedError(
                f"device {name} is not there ({count} CUDA devices are visible)",
                "use device: auto or cpu, or install the NVIDIA driver and a CUDA build of torch",
            )
        return torch.device("cuda", place.index or 0)
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise UnsupportedError("device mps is not there", "use device: auto or cpu")
    return place


def load(model: Model, precision: Precision, options: Options, place: torch.device) -> Loaded:
    """Load weights as the precision says. Raises UnsupportedError with the reason and what would work."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if options.compile and place.type == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        raise UnsupportedError("torch.compile needs a C++ compiler, none was found", "install g++, or compile: false")
    with TypedErrors(precision, options):
        if catalogue.kind(model) == "shape":
            loaded = _random(model, precision, options, place)
        else:
            loaded = _stored(model, precision, options, place)
    loaded.kv_cache = kv_cache(precision)
    library = levels.library(precision)
    if precision.name not in STORED and loaded.kernel is None:
        kernel = levels.kernel(precision, place, loaded.network)
        loaded.kernel, loaded.kernel_falls_back = kernel.text, kernel.falls_back
    if library is not None:
        loaded.inference_mode = library.in_inference_mode(precision)
        loaded.notes += levels.notes(loaded.network)
        if loaded.kernel_falls_back and loaded.kernel is not None:
            loaded.notes.append(loaded.kernel)
    return loaded


def _stored(model: Model, precision: Precision, options: Options, place: torch.device) -> Loaded:
    source, arguments = where(model)
    gguf = "gguf_file" in arguments
    config = packed.config_of_gguf(source, arguments) if gguf else AutoConfig.from_pretrained(source, **arguments)
    held = None if gguf else getattr(config, "quantization_config", None)
    if options.tensor_parallel > 1:
        sharded().check(options, precision, config.get_text_config().to_dict(), gguf)
    packed.check(precision, held, gguf)
    _check_safe(model, source, gguf)
    library = levels.library(precision)
    # Where one device takes it, a level that is made after loading is read into RAM and packed onto it layer by layer.
    bnb = None if gguf else bitsandbytes.config(precision)
    later = library is not None and bnb is None
    if library is not None:
        library.check(precision, place, options.compile)
    target = None if options.device_map else place
    keywords: dict[str, Any] = {
        **arguments,
        "dtype": "auto" if precision.name in STORED else levels.dtype(precision),
        **_placement(options, torch.device("cpu") if later else place),
    }
    if bnb is not None:
        keywords["quantization_config"] = bnb
    keywords |= packed.settings(precision, held)
    if gguf:
        loaded = packed.from_gguf(source, keywords, precision, torch.device("cpu") if later else place)
        if later and levels.plain(loaded.network):
            levels.quantise(loaded.network, precision, target, options.compile)
            loaded.notes.append(f"then quantised to {precision.name}")
        return loaded
    keywords["use_safetensors"] = None if model.allow_pickle else True
    network = AutoModelForCausalLM.from_pretrained(source, **keywords).eval()
    if later:
        levels.quantise(network, precision, target, options.compile)
    if bnb is not None and library is not None:
        for name, layer in network.named_modules():
            if type(layer).__name__ == "Linear4bit":
                library.check_linear(precision, name, layer.out_features, layer.in_features, place)
    said = notes(precision, place)
    if precision.name in STORED:
        said += packed.settle(network)
    return Loaded(network, random_weights=False, notes=said, packed=precision.name in STORED)


def where(model: Model) -> tuple[str | Path, dict[str, Any]]:
    """What transformers is asked for, and with which arguments."""
    arguments: dict[str, Any] = {"trust_remote_code": model.trust_remote_code}
    match catalogue.kind(model):
        case "builtin":
            return builtin.folder(model.source.removeprefix("builtin:")), arguments
        case "gguf":
            path = Path(model.source)
            return path.parent, {**arguments, "gguf_file": path.name}
        case "hub":
            arguments["revision"] = model.revision or "main"
    if model.gguf_file is not None:
        arguments["gguf_file"] = model.gguf_file
    return model.source, arguments


def _check_safe(model: Model, source: str | Path, gguf: bool) -> None:
    """Pickled weights can run any code when they are opened: refused unless asked for by name."""
    folder = Path(source)
    if gguf or model.allow_pickle or not folder.is_dir():
        return  # for a hub id, `use_safetensors=True` refuses
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        if pickled:
            raise UnsupportedError(
                f"only pickled weights here ({pickled[0]}), which can run any code",
                "convert them to safetensors, or set allow_pickle: true for this model",
            )
        raise UnsupportedError(
            f"no *.safetensors in {folder.name}", "give a folder with weights, or shape:…/config.json"
        )


def _placement(options: Options, place: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"device_map": options.device_map or {"": place}}
    if options.tensor_parallel > 1:
        found = {"distributed_config": sharded().config(options.tensor_parallel)}
    if options.max_memory is not None:
        found["max_memory"] = {int(key) if key.isdigit() else key: size for key, size in options.max_memory.items()}
    if options.attention != "auto":
        found["attn_implementation"] = options.attention
    return found


def _random(model: Model, precision: Precision, options: Options, place: torch.device) -> Loaded:
    settings = catalogue.config(model)
    assert settings is not None
    if precision.name in STORED or "quantization_config" in settings:
        raise UnsupportedError("a shape has random weights and no stored quantisation", "name bf16, int8, nf4, …")
    if options.tensor_parallel > 1:
        sharded().check(options, precision, settings, gguf=False)
    config = AutoConfig.for_model(**settings)
    attention = {} if options.attention == "auto" else {"attn_implementation": options.attention}
    placement = _placement(options, place)
    network = random_weights.build(
        config,
        precision,
        place,
        options.device_map,
        placement.get("max_memory"),
        attention,
        options.compile,
        options.tensor_parallel,
    )
    return Loaded(network.eval(), random_weights=True, notes=notes(precision, place))


def sharded() -> Any:
    """Imported where it is wanted: torch's distributed tensors take a second to import."""
    return import_module("bench.runners.transformers.sharded")


class TypedErrors:
    """Turns what transformers raises for a combination it cannot do into UnsupportedError."""

    def __init__(self, precision: Precision, options: Options) -> None:
        self.precision = precision
        self.options = options

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, UnsupportedError | DoesNotFitError | torch.OutOfMemoryError):
            return
        text = " ".join(str(error).split())[:300]
        if "trust_remote_code" in str(error):
            raise UnsupportedError(
                "this checkpoint brings its own Python code, which is not run unasked",
                "read that code, then set trust_remote_code: true for this model",
            ) from error
        if "dispatched on the CPU or the disk" in str(error):
            raise DoesNotFitError(
                "the quantised model does not fit into the devices' memory",
                "fewer bits, fewer rows, or another device_map",
            ) from error
        raised = self._typed(error, text)
        if raised is not None:
            raise raised from error

    def _typed(self, error: BaseException, text: str) -> UnsupportedError | None:
        if self.options.attention != "auto" and self.options.attention.split("_")[0] in text.lower():
            return UnsupportedError(text, "use attention: auto or sdpa")
        stored = packed.typed(self.precision, error)
        if stored is not None:
            return stored
        if isinstance(error, ValueError) and "tp_plan" in text:
            return UnsupportedError(
                "transformers has no plan to split this model over devices", "leave tensor_parallel out"
            )
        if isinstance(error, ImportError):
            return UnsupportedError(text, f"install it, or use another precision than {self.precision.name}")
        if isinstance(error, OSError) and "cannot be loaded with `safetensors`" in str(error):
            return UnsupportedError(text, "set allow_pickle: true for this model, or choose one with safetensors")
        if isinstance(error, OSError) and ("huggingface.co" in text or "Hugging Face" in text or "offline" in text):
            return UnsupportedError(text, "check the id, the revision, the network and your access to it")
        if isinstance(error, NotImplementedError):
            return UnsupportedError(text or "not implemented in transformers", "use another option")
        return None
