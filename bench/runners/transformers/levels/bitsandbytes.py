"""bitsandbytes: int8 with outlier columns (LLM.int8), and 4-bit blocks of 64 weights (nf4, fp4)."""

from typing import Any

import torch
from accelerate.utils import CustomDtype
from transformers import BitsAndBytesConfig

from bench.errors import UnsupportedError
from bench.runners.transformers.levels import DTYPES, Kernel, device_words
from bench.schema import FourBit, Int8

MODULE = "bitsandbytes"


def config(precision: Any) -> BitsAndBytesConfig | None:
    """transformers' settings for a bitsandbytes precision, None for the others."""
    if isinstance(precision, Int8):
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=precision.threshold)
    if isinstance(precision, FourBit):
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=precision.name,
            bnb_4bit_use_double_quant=precision.double_quant,
            bnb_4bit_compute_dtype=DTYPES[precision.compute_dtype],
        )
    return None


def check(precision: Any, place: torch.device, compiled: bool) -> None:
    return None


def check_linear(precision: Any, name: str, outputs: int, inputs: int, place: torch.device) -> None:
    if place.type != "cpu" or isinstance(precision, Int8):
        return
    from bitsandbytes.functional import has_avx512bf16

    if has_avx512bf16() and (outputs % 32 or inputs % 64):
        raise UnsupportedError(
            f"bitsandbytes' 4-bit kernel for this CPU takes outputs in 32s and inputs in 64s; {name} has {outputs} × "
            f"{inputs}",
            "use int8 or torchao-int8wo",
        )


def room_type(precision: Any) -> Any:
    return torch.int8 if isinstance(precision, Int8) else CustomDtype.INT4


def in_inference_mode(precision: Any) -> bool:
    return True


def quantised(linear: torch.nn.Linear, precision: Any, place: torch.device) -> torch.nn.Module:
    """As transformers' own `replace_with_bnb_linear` builds it; values are packed when they reach their device."""
    import bitsandbytes

    outputs, inputs = linear.weight.shape
    values = linear.weight.detach()
    with torch.device("meta"):
        if isinstance(precision, Int8):
            layer = bitsandbytes.nn.Linear8bitLt(
                inputs, outputs, linear.bias is not None, has_fp16_weights=False, threshold=precision.threshold
            )
        else:
            layer = bitsandbytes.nn.Linear4bit(
                inputs,
                outputs,
                linear.bias is not None,
                DTYPES[precision.compute_dtype],
                compress_statistics=precision.double_quant,
                quant_type=precision.name,
            )
    layer.source_cls = type(linear)
    if isinstance(precision, Int8):
        settings = {key: value for key, value in layer.weight.__dict__.items() if key != "SCB"}
        weight = type(layer.weight)(values.to("cpu"), requires_grad=False, **settings).to(place)
    else:
        weight = type(layer.weight)(values, requires_grad=False, **layer.weight.__dict__).to(place)
    layer._parameters["weight"] = weight
    if linear.bias is not None:
        layer._parameters["bias"] = torch.nn.Parameter(linear.bias.detach().to(place), requires_grad=False)
    return layer.eval()


def kernel(precision: Any, place: torch.device, network: Any) -> Kernel:
    """As read in bitsandbytes 0.50 (`backends/cpu/ops.py`, `autograd/_functions.py`, and for GPUs
    `_gemm_4bit_use_custom_cuda` in `backends/cuda/ops.py`), and profiled on a CPU."""
    here = f"bitsandbytes {precision.name}, {device_words(place)}"
    if isinstance(precision, Int8):
        if place.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512":
            return Kernel(f"{here}: no int8 product without AVX-512, multiplied in fp32", True)
        product = "torch's int8 product (_int_mm)" if place.type == "cpu" else "bitsandbytes' int8 kernel"
        return Kernel(f"{here}: activations become int8 row by row, {product}, outlier columns once more in 16 bits")
    if place.type == "cpu":
        from bitsandbytes.functional import has_avx512bf16

        if not has_avx512bf16():
            return Kernel(f"{here}: no 4-bit kernel without AVX512-BF16, dequantised before each product", True)
        return Kernel(
            f"{here}: an AVX512-BF16 kernel that unpacks as it multiplies in bf16; at the first product it "
            "repacks the weights with a bf16 scale for each 64 of them (4.25 bits, double_quant or not)"
        )
    return Kernel(
        f"{here}: a kernel that unpacks as it multiplies for few rows (4 at the least, more by GPU and matrix), "
        f"otherwise dequantised to {precision.compute_dtype} before each product"
    )
