"""torchao: int8 and fp8 with a scale a row, int4 with a scale and a zero point a group, through its own `quantize_`."""

from typing import Any

import torch
from accelerate.utils import CustomDtype

from bench.errors import UnsupportedError
from bench.runners.transformers.levels import DTYPES, Kernel, device_words
from bench.schema import TorchAoInt4

MODULE = "torchao"


def check(precision: Any, place: torch.device, compiled: bool) -> None:
    name = precision.name
    if name == "torchao-fp8dq":
        _check_fp8(place)
        if precision.compute_dtype != "bf16":
            raise UnsupportedError(
                f"torchao scales fp8 by rows for bf16 models only, not {precision.compute_dtype}", "compute_dtype: bf16"
            )
    if isinstance(precision, TorchAoInt4):
        _check_int4(precision, place)


def _check_fp8(place: torch.device) -> None:
    """torchao asks for CUDA compute capability 8.9 or MI300, in `float8.inference._check_hardware_support`."""
    if place.type != "cuda":
        raise UnsupportedError(
            f"no fp8 product on this {device_words(place)}", "use torchao-fp8wo or torchao-int8dq, or a GPU from Ada on"
        )
    if torch.version.hip is None and torch.cuda.get_device_capability(place) < (8, 9):
        raise UnsupportedError(
            f"{torch.cuda.get_device_name(place)} has no fp8 product: it takes compute capability 8.9",
            "use torchao-fp8wo or torchao-int8dq",
        )


def _check_int4(precision: TorchAoInt4, place: torch.device) -> None:
    if place.type == "cpu" and precision.group_size == 256:
        raise UnsupportedError("torchao's int4 kernel for CPUs has no groups of 256", "group_size: 32, 64 or 128")
    if place.type == "cuda":
        if precision.compute_dtype != "bf16":
            raise UnsupportedError(
                f"torchao's int4 kernel for GPUs computes in bf16, not {precision.compute_dtype}", "compute_dtype: bf16"
            )
        if torch.version.hip is None and torch.cuda.get_device_capability(place) < (8, 0):
            raise UnsupportedError(
                f"{torch.cuda.get_device_name(place)} has no int4 product: it takes compute capability 8.0",
                "use nf4 or torchao-int8wo",
            )
    if place.type not in ("cpu", "cuda"):
        raise UnsupportedError(f"torchao has no int4 kernel for {device_words(place)}", "use bf16")


def check_linear(precision: Any, name: str, outputs: int, inputs: int, place: torch.device) -> None:
    """torchao itself silently leaves such layers as they are."""
    if isinstance(precision, TorchAoInt4) and inputs % precision.group_size:
        fits = [str(size) for size in (32, 64, 128) if inputs % size == 0]
        raise UnsupportedError(
            f"groups of {precision.group_size} weights do not divide the {inputs} inputs of {name}",
            f"group_size: {' or '.join(fits)}" if fits else "use a level without groups, such as torchao-int8wo",
        )
    if isinstance(precision, TorchAoInt4) and place.type == "cpu" and outputs % 16:
        raise UnsupportedError(
            f"torchao's int4 kernel for CPUs takes outputs in sixteens; {name} has {outputs}", "use torchao-int8wo"
        )
    if precision.name == "torchao-fp8dq" and (outputs % 16 or inputs % 16):
        raise UnsupportedError(
            f"an fp8 product takes widths in sixteens; {name} has {outputs} × {inputs}", "use torchao-fp8wo"
        )


def room_type(precision: Any) -> Any:
    return CustomDtype.INT4 if isinstance(precision, TorchAoInt4) else torch.int8


def in_inference_mode(precision: Any) -> bool:
    return True


def quantised(linear: torch.nn.Linear, precision: Any, place: torch.device) -> torch.nn.Module:
    """Packed on `place`: which packing there is depends on the device."""
    from torchao.quantization import quantize_

    kind = DTYPES[precision.compute_dtype]
    layer = linear.to(device=place, dtype=kind)
    plain = layer.weight
    quantize_(layer, settings(precision, place))
    if layer.weight is plain:
        raise UnsupportedError(f"torchao left a layer of {tuple(plain.shape)} as it was", "use another precision")
    return layer


def settings(precision: Any, place: torch.device) -> Any:
    """torchao's own configuration. Its inductor settings stay unset: all levels are compiled alike."""
    from torchao import quantization

    match precision.name:
        case "torchao-int8wo":
            return quantization.Int8WeightOnlyConfig(set_inductor_config=False)
        case "torchao-int8dq":
            return quantization.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        case "torchao-fp8wo":
            return quantization.Float8WeightOnlyConfig(set_inductor_config=False)
        case "torchao-fp8dq":
            return quantization.Float8DynamicActivationFloat8WeightConfig(
                granularity=quantization.PerRow(), set_inductor_config=False
            )
    if place.type == "cpu":
        # The stable configuration packs for GPUs; this is where the kernel for CPUs is reached.
        from torchao.prototype.quantization.int4.inference_workflow import PrototypeInt4WeightOnlyConfig

        return PrototypeInt4WeightOnlyConfig(group_size=precision.group_size, set_inductor_config=False)
    return quantization.Int4WeightOnlyConfig(
        group_size=precision.group_size, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
    )


def kernel(precision: Any, place: torch.device, network: Any) -> Kernel:
    """As read in torchao 0.18 (`quantize_/workflows`, `kernel/intmm.py`); those on CPUs were profiled."""
    here, kind = f"{precision.name}, {device_words(place)}", precision.compute_dtype
    match precision.name:
        case "torchao-int8wo":
            return Kernel(f"{here}: no product of int8 with {kind}, converted to {kind} before each product", True)
        case "torchao-fp8wo":
            return Kernel(f"{here}: no product of fp8 with {kind}, dequantised to {kind} before each product", True)
        case "torchao-int8dq":
            few = "" if place.type == "cpu" else "; in fp32 where that takes no 16 rows or fewer"
            return Kernel(f"{here}: activations become int8 in operators of their own, torch's int8 product{few}")
        case "torchao-fp8dq":
            return Kernel(f"{here}: activations become fp8 in operators of their own, torch's scaled fp8 product")
    operator = "_weight_int4pack_mm_for_cpu" if place.type == "cpu" else "_weight_int4pack_mm (tinygemm)"
    return Kernel(f"{here}: torch's int4 kernel {operator}, which unpacks as it multiplies")
