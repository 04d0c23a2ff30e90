"""Checkpoints that are already quantised: GPTQ, AWQ, compressed-tensors, and the blocks of GGUF files.

They are loaded as they are stored, under the name of their format or as `checkpoint`, and never under another name: a
number would stand beside the wrong level.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AwqConfig, GgufConfig, GPTQConfig

from bench.errors import UnsupportedError
from bench.runners.transformers.loaded import Loaded, notes
from bench.runners.transformers.stored import GGUF, NEEDS, installed
from bench.schema import Packed, Precision
from bench.schema.precision import STORED

DEQUANTISED = "bf16, which unpacks the file"
BACKENDS = {"gptq": GPTQConfig, "awq": AwqConfig}
"""Formats with a choice of kernels, and transformers' settings that carry it."""


def check(precision: Precision, stored: Any, gguf: bool) -> None:
    """Hold a precision against what a checkpoint is. `stored`: its quantisation_config, None for a dense one.

    Raises UnsupportedError where they differ, and where the library is missing that the format needs.
    """
    if precision.name == "served":
        raise UnsupportedError("served is what an endpoint runs, no precision to load weights in", "name one: bf16, …")
    method = GGUF if gguf else None if stored is None else method_of(stored)
    if precision.name in STORED:
        if method is None:
            raise UnsupportedError("this checkpoint is not quantised", "name a precision: bf16, int8, nf4, …")
        if precision.name not in ("checkpoint", method):
            raise UnsupportedError(
                f"this checkpoint is quantised with {method}, not with {precision.name}",
                f"use precision: {name_of(method)}",
            )
        _check_backend(precision, method)
        _check_installed(method)
    elif method not in (None, GGUF):  # a GGUF file can be unpacked to any other precision
        raise UnsupportedError(
            f"this checkpoint is already quantised ({method}) and cannot be loaded as {precision.name}",
            "use precision: checkpoint",
        )


def settings(precision: Precision, stored: Any) -> dict[str, Any]:
    """Arguments for `from_pretrained`: the kernel that a precision names for a GPTQ or AWQ checkpoint, else nothing.

    transformers takes the kernel alone out of them; bits and groups stay those of the checkpoint.
    Raises UnsupportedError for a name that transformers does not know; gptqmodel refuses others while it loads.
    """
    kind = BACKENDS.get(precision.name)
    if not isinstance(precision, Packed) or precision.backend == "auto" or kind is None:
        return {}
    said = stored if isinstance(stored, dict) else stored.to_dict()
    try:
        return {"quantization_config": kind(bits=said.get("bits", 4), backend=precision.backend)}
    except ValueError as error:
        raise UnsupportedError(_one_line(error), "leave backend out, or name one of these") from error


def method_of(stored: Any) -> str:
    """The format that a quantisation_config names."""
    told = stored if isinstance(stored, dict) else stored.to_dict()
    method = told.get("quant_method")
    return str(getattr(method, "value", method))


def name_of(method: str) -> str:
    """The precision to load a format under: its own name where there is one."""
    return method if method in STORED else "checkpoint"


def typed(precision: Precision, error: BaseException) -> UnsupportedError | None:
    """What a library raised while it loaded a stored precision, as a reason; None where it was nothing of the sort.

    Memory that ran out, and errors that have a type already, are not taken for the library's refusal.
    """
    if precision.name not in STORED or isinstance(error, UnsupportedError | MemoryError | torch.OutOfMemoryError):
        return None
    known = (ImportError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError)
    if not isinstance(error, known) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return None
    remedy = "leave backend out" if isinstance(precision, Packed) and precision.backend != "auto" else None
    return UnsupportedError(
        f"transformers could not load this {precision.name}: {_one_line(error)}",
        remedy or "see which kernels the library has for this device, or use a dense checkpoint",
    )


def config_of_gguf(source: str | Path, arguments: Mapping[str, Any]) -> Any:
    """The config that transformers makes of a GGUF file's keys. Raises UnsupportedError for an architecture that it
    cannot unpack.
    """
    try:
        return AutoConfig.from_pretrained(source, **arguments)
    except ValueError as error:
        if "architecture" not in str(error):
            raise
        raise UnsupportedError(f"transformers: {_one_line(error)}", "use the runner llama.cpp") from None


def from_gguf(source: str | Path, keywords: dict[str, Any], precision: Precision, place: torch.device) -> Loaded:
    """A network from a GGUF file: its blocks as they are stored, or unpacked to be used plain or quantised again."""
    if precision.name in STORED:
        # Blocks stay packed only where a kernel exists; transformers would silently unpack them otherwise.
        keywords["dtype"] = torch.float32
        network = AutoModelForCausalLM.from_pretrained(source, **keywords)
        if not any(type(module).__name__.startswith("Gguf") for module in network.modules()):
            raise _no_gguf_kernel()
        return Loaded(network.eval(), random_weights=False, packed=True)
    keywords["quantization_config"] = GgufConfig(dequantize=True)
    network = AutoModelForCausalLM.from_pretrained(source, **keywords)
    network.hf_quantizer = None
    return Loaded(network.eval(), random_weights=False, notes=["weights unpacked from GGUF", *notes(precision, place)])


def settle(network: Any) -> list[str]:
    """Run one token, and say what came of it: what is then in memory is what the products are computed from.

    At the first forward compressed-tensors unpacks its weights, and kernels of GPTQ and AWQ lay theirs out anew, some
    after they compiled themselves: that belongs to loading.
    """
    unpacks = bool(network._forward_pre_hooks)
    with torch.inference_mode():
        network(torch.zeros((1, 1), dtype=torch.long, device=network.device))
    said = ["packed weights are unpacked on loading: transformers computes on dense ones"] if unpacks else []
    kernels = {type(one).__name__ for one in network.modules() if type(one).__module__.startswith("gptqmodel.")}
    return said + [f"products by gptqmodel's {name}" for name in sorted(kernels)]


def _check_backend(precision: Precision, method: str) -> None:
    if isinstance(precision, Packed) and precision.backend != "auto" and method not in BACKENDS:
        raise UnsupportedError(f"{method} has no choice of kernels (backend: {precision.backend})", "leave backend out")


def _check_installed(method: str) -> None:
    lacking = [package for module, package in NEEDS.get(method, ()) if not installed(module)]
    if lacking and method == GGUF:
        raise _no_gguf_kernel()
    if lacking:
        raise UnsupportedError(
            f"transformers loads {method} checkpoints with {' and '.join(lacking)}, which is not installed",
            f"pip install {' '.join(lacking)}",
        )
    if method in BACKENDS:
        logging.getLogger("gptqmodel").setLevel(logging.ERROR)


def _no_gguf_kernel() -> UnsupportedError:
    return UnsupportedError(
        "transformers has no kernel here that computes on packed GGUF blocks",
        f"pip install kernels (GPU), or use {DEQUANTISED}",
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
