"""Random weights at the true shapes, without ever holding the model twice.

Weights come from one seeded pool of normal values, tiled, so that billions of them need not be drawn. The work of a
dense model does not depend on the values; quality means nothing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import dispatch_model, infer_auto_device_map, init_empty_weights
from accelerate.utils import get_balanced_memory
from transformers import AutoModelForCausalLM

from bench.errors import UnsupportedError
from bench.runners.transformers import levels
from bench.schema import Precision

POOL_VALUES = 4 * 1024 * 1024
SEED = 20260101


def build(
    config: Any,
    precision: Precision,
    place: torch.device,
    device_map: Any,
    max_memory: dict[int | str, str] | None,
    attention: Mapping[str, str],
    compiled: bool = False,
    ranks: int = 1,
) -> Any:
    """The network of `config`, filled with random weights, quantised weight by weight where asked for.

    `ranks`: over how many processes its matrices are split; every one of them then calls this, and the same whole
    matrices are drawn on each, one after the other.
    """
    dtype = levels.dtype(precision)
    with init_empty_weights(include_buffers=False):
        # Buffers are made for real: rotary frequencies are not in any checkpoint and would be garbage otherwise.
        network = AutoModelForCausalLM.from_config(config, dtype=dtype, **attention)
    network.tie_weights()
    if ranks > 1:
        from bench.runners.transformers import sharded

        network = sharded.split(network, ranks)
    library = levels.library(precision)
    packed = [] if library is None else levels.check(network, precision, place, compiled)
    room = {} if library is None else {f"{name}.weight": library.room_type(precision) for name in packed}
    places = _places(network, place, device_map, max_memory, dtype, room)
    pool = torch.randn(POOL_VALUES, generator=torch.Generator().manual_seed(SEED)) * 0.02
    pools: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}
    done: dict[int, torch.nn.Parameter] = {}
    for module_name, module in list(network.named_modules()):
        target = _place_of(module_name, places)
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in done:
                module._parameters[name] = done[id(parameter)]
                continue
            values = _values(parameter, name, dtype, target, pool, pools)
            if ranks > 1:
                values = sharded.share(values, parameter.data)
            filled = torch.nn.Parameter(values, requires_grad=False)
            done[id(parameter)] = filled
            module._parameters[name] = filled
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = buffer.to(target)
        if module_name in packed:
            network.set_submodule(module_name, levels.layer_of(module, precision, target))
    network.tie_weights()
    if len(set(places.values())) > 1:
        network = dispatch_model(network, device_map=places)
    return network


def _places(
    network: Any,
    place: torch.device,
    device_map: Any,
    max_memory: dict[int | str, str] | None,
    dtype: torch.dtype,
    room: dict[str, Any],
) -> dict[str, Any]:
    if device_map is None:
        return {"": place}
    if isinstance(device_map, dict):
        return dict(device_map)
    keywords = {
        "no_split_module_classes": list(network._no_split_modules or []),
        "dtype": dtype,
        "special_dtypes": room,
    }
    if device_map.startswith("balanced") or device_map == "auto":
        max_memory = get_balanced_memory(
            network, max_memory=max_memory, low_zero=device_map == "balanced_low_0", **keywords
        )
    found: dict[str, Any] = infer_auto_device_map(network, max_memory=max_memory, **keywords)
    if "disk" in found.values():
        raise UnsupportedError(
            "this shape does not fit into the devices and the RAM", "use a smaller shape or precision"
        )
    return found


def _place_of(module_name: str, places: dict[str, Any]) -> torch.device:
    name = module_name
    while name not in places and name:
        name = name.rpartition(".")[0]
    found = places.get(name, next(iter(places.values())))
    return torch.device("cuda", found) if isinstance(found, int) else torch.device(found)


def _values(
    parameter: Any,
    name: str,
    dtype: torch.dtype,
    target: torch.device,
    pool: torch.Tensor,
    pools: dict[tuple[torch.device, torch.dtype], torch.Tensor],
) -> torch.Tensor:
    """Normal values for a matrix, ones for a norm's weight, zeros for a bias; shape and type of `parameter`."""
    kind = parameter.dtype if parameter.dtype.is_floating_point else dtype
    if parameter.dim() == 1:
        return torch.full(tuple(parameter.shape), 0.0 if name == "bias" else 1.0, dtype=kind, device=target)
    if (target, kind) not in pools:
        pools[target, kind] = pool.to(device=target, dtype=kind)
    source = pools[target, kind]
    values = torch.empty(tuple(parameter.shape), dtype=kind, device=target)
    flat = values.view(-1)
    for start in range(0, flat.numel(), POOL_VALUES):
        piece = flat[start : start + POOL_VALUES]
        piece.copy_(source[: piece.numel()])
    return values
