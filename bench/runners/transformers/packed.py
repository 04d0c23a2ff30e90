"""Checkpoints that are already quantised: GPTQ, AWQ, compressed-tensors, and the blocks of GGUF files."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GgufConfig

from bench.errors import UnsupportedError
from bench.runners.transformers import random_weights
from bench.runners.transformers.loaded import Loaded, notes
from bench.schema import Precision


def check(precision: Precision, stored: Any, gguf: bool) -> None:
    if precision.name == "served":
        raise UnsupportedError("served is what an endpoint runs, no precision to load weights in", "name one: bf16, …")
    if precision.name == "checkpoint":
        if stored is None and not gguf:
            raise UnsupportedError("this checkpoint is not quantised", "name a precision: bf16, int8, nf4, …")
    elif stored is not None:
        settings = stored if isinstance(stored, dict) else stored.to_dict()
        method = str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))
        raise UnsupportedError(
            f"this checkpoint is already quantised ({method}) and cannot be loaded as {precision.name}",
            "use precision: checkpoint",
        )


def from_gguf(source: str | Path, keywords: dict[str, Any], precision: Precision, place: torch.device) -> Loaded:
    if precision.name == "checkpoint":
        # Blocks stay packed only where a kernel exists; transformers would silently unpack them otherwise.
        keywords["dtype"] = torch.float32
        network = AutoModelForCausalLM.from_pretrained(source, **keywords)
        if not any(type(module).__name__.startswith("Gguf") for module in network.modules()):
            raise UnsupportedError(
                "transformers has no kernel here that computes on packed GGUF blocks",
                "pip install kernels (GPU), or use bf16, which unpacks the file",
            )
        return Loaded(network.eval(), random_weights=False, packed=True)
    bitsandbytes = keywords.pop("quantization_config", None)
    if bitsandbytes is not None and keywords["device_map"] != {"": place}:
        raise UnsupportedError(
            "a GGUF file that is quantised again goes to one device", "leave device_map out, or use bf16"
        )
    keywords["quantization_config"] = GgufConfig(dequantize=True)
    network = AutoModelForCausalLM.from_pretrained(source, **keywords)
    network.hf_quantizer = None
    said = ["weights unpacked from GGUF"]
    if bitsandbytes is not None:
        random_weights.quantise(network, bitsandbytes, place)
        said.append(f"then quantised to {precision.name}")
    return Loaded(network.eval(), random_weights=False, notes=said + notes(precision, place))
