"""One rank's share of a network: transformers' own tensor parallel plans, over torch.distributed.

A plan splits the matrices of attention by heads, those of the MLP by rows or columns, and both tables by the
vocabulary; norms are whole on every rank. Each layer ends with two sums over the ranks. The process group is made here
and not by transformers, whose collectives wait two hours for a rank that is stuck.
"""

import math
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.distributed import DistributedConfig

from bench.errors import UnsupportedError
from bench.runners.transformers import Options
from bench.schema import Precision
from bench.schema.precision import kv_cache

COLLECTIVE_S = 120.0
"""How long a rank waits for the others in one sum. They do the same work at the same time, so that more is a fault."""
PLAIN = ("fp32", "fp16", "bf16")


def check(options: Options, precision: Precision, settings: Mapping[str, Any] | None, gguf: bool) -> None:
    """Raises UnsupportedError for what cannot be split. `settings`: the model's config.json, None where not known."""
    ranks = options.tensor_parallel
    if precision.name not in PLAIN or kv_cache(precision) is not None:
        packed = precision.name if precision.name not in PLAIN else "quantised keys and values"
        raise UnsupportedError(
            f"tensor_parallel splits {', '.join(PLAIN)} only here, not {packed}", "leave tensor_parallel out"
        )
    if gguf:
        raise UnsupportedError("a GGUF file is read whole, not by ranks", "use safetensors, or one device")
    if settings is None:
        return
    heads = int(settings.get("num_attention_heads") or 0)
    keys = int(settings.get("num_key_value_heads") or heads)
    if not heads or (heads % ranks == 0 and keys % ranks == 0):
        return
    dividing = [number for number in range(2, math.gcd(heads, keys) + 1) if math.gcd(heads, keys) % number == 0]
    which = f"{heads} heads" if keys == heads else f"{heads} heads and {keys} key-value heads"
    would = f"use tensor_parallel: {' or '.join(map(str, dividing))}" if dividing else "leave tensor_parallel out"
    raise UnsupportedError(f"tensor_parallel: {ranks} does not divide the model's {which}", would)


def place(rank: int) -> torch.device:
    """The device of a rank: the GPU of its number, else the CPU."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def join(rank: int, ranks: int) -> torch.device:
    """Become one of the ranks, by the environment that torchrun sets; blocks until all are there."""
    own = place(rank)
    keywords: dict[str, Any] = {}
    if own.type == "cuda":
        torch.cuda.set_device(own)
        keywords["device_id"] = own
    dist.init_process_group(
        "nccl" if own.type == "cuda" else "gloo",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=COLLECTIVE_S),
        **keywords,
    )
    return own


def own_rank() -> int:
    return int(os.environ["RANK"])


def config(ranks: int) -> DistributedConfig:
    """What `from_pretrained` is asked for."""
    return DistributedConfig(tp_size=ranks)


def split(network: Any, ranks: int) -> Any:
    """A network on `meta` whose matrices are split by its own plan. Raises ValueError for a model without a plan."""
    seen: set[int] = set()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:  # transformers splits the tables before it ties them, and names each by its own
                module._parameters[name] = torch.nn.Parameter(torch.empty_like(parameter), requires_grad=False)
            seen.add(id(parameter))
    settings, _, meshes = type(network).prepare_distribute_model(config(ranks))
    found = type(network).maybe_distribute_model(network, settings, meshes)
    found.tie_weights()
    return found


def share(whole: torch.Tensor, like: Any) -> Any:
    """This rank's share of a tensor, placed as `like` is; all of it where that is not split."""
    if not isinstance(like, DTensor):
        return whole
    part = distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).to_local()
    # A copy: the share would else keep the whole tensor's memory.
    return DTensor.from_local(
        part.clone(), like.device_mesh, like.placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )
