"""Levels that are made while a model loads: one file a library, and one way to call them all.

Every library quantises the same matrices, the linear layers inside the decoder layers, one after another and in place:
never the embedding nor the output head, so that levels compare. A library is imported when its level is asked for.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from transformers.quantizers.base import get_keys_to_not_convert

from bench.errors import DoesNotFitError, UnsupportedError
from bench.schema import Precision

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

LIBRARIES = {
    "int8": "bitsandbytes",
    "nf4": "bitsandbytes",
    "fp4": "bitsandbytes",
    "torchao-int8wo": "torchao",
    "torchao-int8dq": "torchao",
    "torchao-int4wo": "torchao",
    "torchao-fp8wo": "torchao",
    "torchao-fp8dq": "torchao",
    "hqq-int8": "hqq",
    "hqq-int4": "hqq",
    "hqq-int3": "hqq",
    "hqq-int2": "hqq",
    "quanto-int8": "quanto",
    "quanto-int4": "quanto",
    "quanto-int2": "quanto",
    "quanto-fp8": "quanto",
}
"""Precision → the file here that makes it."""

DISTRIBUTIONS = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "hqq": "hqq", "quanto": "optimum-quanto"}
"""File here → what is installed with pip. Extras have the file's own name; bitsandbytes comes with the package."""


@dataclass(frozen=True)
class Kernel:
    """How a level's products are computed on a device, in one sentence; whether for lack of a kernel of its format."""

    text: str
    falls_back: bool = False


class Library(Protocol):
    """What each file here offers."""

    MODULE: str
    """Module whose presence says that the library is installed."""

    def check(self, precision: Any, place: torch.device, compiled: bool) -> None:
        """Raises UnsupportedError for what the precision, the device and the options alone rule out."""

    def check_linear(self, precision: Any, name: str, outputs: int, inputs: int, place: torch.device) -> None:
        """Raises UnsupportedError where a matrix of this shape cannot be quantised so."""

    def quantised(self, linear: torch.nn.Linear, precision: Any, place: torch.device) -> torch.nn.Module:
        """A layer with the same values, quantised, on `place`; `linear` is not used any more."""

    def kernel(self, precision: Any, place: torch.device, network: Any) -> Kernel:
        """How the products of this network, loaded on `place`, are computed."""
        ...

    def room_type(self, precision: Any) -> Any:
        """What accelerate counts a packed weight as when it shares a model out over devices."""

    def in_inference_mode(self, precision: Any) -> bool:
        """Whether the network may run under `torch.inference_mode`; `torch.no_grad` is the alternative."""


def library(precision: Precision) -> Library | None:
    """The file that makes this level; None for one that no library makes on loading.

    Raises UnsupportedError where the library is not installed.
    """
    name = LIBRARIES.get(precision.name)
    if name is None:
        return None
    found: Any = import_module(f"{__name__}.{name}")
    if find_spec(found.MODULE) is None:
        package = DISTRIBUTIONS[name]
        extra = "" if name == "bitsandbytes" else f" (with scripts/bench: BENCH_EXTRAS={name})"
        raise UnsupportedError(
            f"{precision.name} needs {package}, which is not installed", f"pip install {package}{extra}"
        )
    return found  # type: ignore[no-any-return]


def dtype(precision: Precision) -> torch.dtype:
    """The type of what is not quantised: embeddings, norms, the output head."""
    if precision.name in DTYPES:
        return DTYPES[precision.name]
    return DTYPES[getattr(precision, "compute_dtype", "bf16")]


def linears(network: Any) -> list[str]:
    """The layers that are quantised: those that transformers itself converts for bitsandbytes."""
    kept = set(get_keys_to_not_convert(network))
    found = [
        name for name, module in network.named_modules() if type(module) is torch.nn.Linear and not _within(name, kept)
    ]
    if not found:
        raise UnsupportedError(f"{type(network).__name__} has no linear layers to quantise", "use bf16 or fp32")
    return found


def plain(network: Any) -> bool:
    """Whether no layer of this network is quantised yet."""
    kept = set(get_keys_to_not_convert(network))
    return any(
        type(module) is torch.nn.Linear and type(module.weight.data) is torch.Tensor and not _within(name, kept)
        for name, module in network.named_modules()
    )


def _within(name: str, kept: set[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in kept)


def check(network: Any, precision: Precision, place: torch.device, compiled: bool) -> list[str]:
    """Names of the layers to quantise. Raises UnsupportedError before any is, where one of them cannot be."""
    made_by = library(precision)
    assert made_by is not None
    made_by.check(precision, place, compiled)
    names = linears(network)
    for name in names:
        outputs, inputs = network.get_submodule(name).weight.shape
        made_by.check_linear(precision, name, int(outputs), int(inputs), place)
    return names


def quantise(network: Any, precision: Precision, place: torch.device | None, compiled: bool = False) -> None:
    """Quantise a plain network in place, layer by layer, and move all of it to `place`.

    Only the layer at hand is ever on `place` at its full width. With `place` None every layer stays where it is: on
    the devices over which a device map has spread the network. Raises UnsupportedError with the library's own words.
    """
    first = place or network.get_input_embeddings().weight.device
    names = check(network, precision, first, compiled)
    if any(network.get_submodule(name).weight.device.type == "meta" for name in names):
        raise UnsupportedError(
            f"{precision.name} cannot be made of layers that are off-loaded from their device",
            "use a device that holds the plain weights, or a bitsandbytes level",
        )

    def make(name: str) -> torch.nn.Module:
        linear = network.get_submodule(name)
        layer = layer_of(linear, precision, place or linear.weight.device)
        network.set_submodule(name, layer)
        return layer

    done: set[torch.nn.Module] = set()
    for layer in _each(make, names, first, LIBRARIES[precision.name] == "hqq"):
        done.update(layer.modules())
    if place is not None:
        _move(network, place, done)


def _each(
    make: Callable[[str], torch.nn.Module], names: list[str], place: torch.device, side_by_side: bool
) -> Iterator[torch.nn.Module]:
    """One layer after another; on a CPU, where asked, one a thread instead of all threads at one layer.

    HQQ's fit is hundreds of short operators a layer: threads that wait for each other at the end of each are slower,
    by far where other processes want the cores.
    """
    threads = torch.get_num_threads()
    if not side_by_side or place.type != "cpu":
        yield from map(make, names)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(make, names)
    finally:
        torch.set_num_threads(threads)


def layer_of(linear: torch.nn.Linear, precision: Precision, place: torch.device) -> torch.nn.Module:
    """One layer, quantised. Whatever the library raises but for want of memory becomes an UnsupportedError."""
    made_by = library(precision)
    assert made_by is not None
    try:
        with torch.no_grad():
            layer = made_by.quantised(linear, precision, place)
    except (UnsupportedError, DoesNotFitError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if "can't allocate memory" in text or "out of memory" in text:
            raise
        raise UnsupportedError(
            f"{DISTRIBUTIONS[LIBRARIES[precision.name]]} cannot make {precision.name} here: {text}",
            "use another precision or device",
        ) from error
    return layer.requires_grad_(False)


def _move(network: Any, place: torch.device, done: set[torch.nn.Module]) -> None:
    """What is not quantised follows; tied tensors stay one."""
    moved: dict[int, torch.nn.Parameter] = {}
    for module in network.modules():
        if module in done:
            continue
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.device == place:
                continue
            if id(parameter) not in moved:
                moved[id(parameter)] = torch.nn.Parameter(parameter.detach().to(place), requires_grad=False)
            module._parameters[name] = moved[id(parameter)]
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = buffer.to(place)
    if getattr(network, "hf_device_map", None):
        network.hf_device_map = {"": place}


def kernel(precision: Precision, place: torch.device, network: Any) -> Kernel:
    """How this level's products are computed on a device, plain types included."""
    made_by = library(precision)
    if made_by is not None:
        return made_by.kernel(precision, place, network)
    if place.type == "cpu" and precision.name == "fp16":
        return Kernel("torch on this CPU: a generic fp16 product, many times slower than that of bf16 or fp32", True)
    return Kernel(f"torch, {device_words(place)}: the library's own {precision.name} product")


def device_words(place: torch.device) -> str:
    return "CPU" if place.type == "cpu" else place.type.upper()


def notes(network: Any) -> list[str]:
    """What stays plain though it is much of the model: experts that transformers keeps in one tensor a layer."""
    experts = sum(one.numel() for one in network.parameters() if one.dim() == 3)
    return ["experts are not quantised: transformers keeps those of a layer in one tensor"] if experts else []
