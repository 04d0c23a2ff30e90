"""HQQ: integers with a scale and a zero point a group, the zero points fitted to the weights in twenty iterations.

The fit is the library's own and takes most of the loading time: each iteration goes over the matrix in fp32 some
fifteen times, once with a power of a fraction, and none of it is spread over layers.
"""

from typing import Any

import torch
from accelerate.utils import CustomDtype

from bench.errors import UnsupportedError
from bench.runners.transformers.levels import DTYPES, Kernel, device_words

MODULE = "hqq"

BITS = {"hqq-int8": 8, "hqq-int4": 4, "hqq-int3": 3, "hqq-int2": 2}


def check(precision: Any, place: torch.device, compiled: bool) -> None:
    if precision.group_size % 8:
        raise UnsupportedError(f"HQQ takes groups in eights, not {precision.group_size}", "group_size: 32, 64, 128 …")


def check_linear(precision: Any, name: str, outputs: int, inputs: int, place: torch.device) -> None:
    """Along axis 1 the library would let a group reach into the next row, and its result would stand for another."""
    width, side = (inputs, "inputs") if precision.axis == 1 else (outputs, "outputs")
    if width % precision.group_size:
        fits = [str(size) for size in (32, 64, 128) if width % size == 0]
        raise UnsupportedError(
            f"groups of {precision.group_size} weights do not divide the {width} {side} of {name}",
            f"group_size: {' or '.join(fits)}" if fits else "use a level without groups, such as torchao-int8wo",
        )


def room_type(precision: Any) -> Any:
    return torch.int8 if precision.name == "hqq-int8" else CustomDtype.INT4


def in_inference_mode(precision: Any) -> bool:
    return True


def quantised(linear: torch.nn.Linear, precision: Any, place: torch.device) -> torch.nn.Module:
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    settings = BaseQuantizeConfig(
        nbits=BITS[precision.name], group_size=precision.group_size, axis=precision.axis, view_as_float=False
    )
    layer: torch.nn.Module = HQQLinear(
        linear.to(place), settings, compute_dtype=DTYPES[precision.compute_dtype], device=str(place)
    )
    return layer.eval()


def kernel(precision: Any, place: torch.device, network: Any) -> Kernel:
    """As read in hqq 0.2.8 (`HQQLinear.forward_pytorch_backprop`, its default), profiled on a CPU."""
    return Kernel(
        f"{precision.name}, {device_words(place)}: no kernel in the library's own backend, unpacked and dequantised to "
        f"{precision.compute_dtype} by several operators before each product",
        True,
    )
