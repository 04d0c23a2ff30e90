"""What was really loaded: bytes counted in the tensors themselves, not taken from a formula."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import AutoModelForCausalLM

from bench.metrics import footprint
from bench.models import weight_files
from bench.runners.transformers import kv_cache
from bench.runners.transformers.loaded import Loaded
from bench.runners.transformers.loop import input_device
from bench.schema import Accelerator, Model, ModelFacts


def collect(loaded: Loaded, model: Model, cache: str, compiled: bool, named: bool = True) -> ModelFacts:
    """Facts about a loaded network, or about the share of it that this process holds.

    `named`: with what names the weights, which takes reading them once more.
    """
    network = loaded.network
    config = network.config.get_text_config()
    parameters = _dense_parameters(network.config) if loaded.packed else 0
    weights_bytes = 0
    placement: dict[str, int] = {}
    seen: set[int] = set()
    kept_beside = _kept_beside(network)
    for name, tensor in _weights(network):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        beside = kept_beside.get(id(tensor), {})
        parameters += 0 if loaded.packed else _values(tensor, beside.get("shape"))
        for part in (*_storages(tensor), *(one for one in beside.values() if isinstance(one, torch.Tensor))):
            size = part.numel() * part.element_size()
            weights_bytes += size
            place = str(part.device) if part.device.type != "meta" else _off_loaded_to(name, network.hf_device_map)
            placement[place] = placement.get(place, 0) + size
    named = named and not loaded.random_weights
    notes = list(loaded.notes)
    where = {str(place) for place in (getattr(network, "hf_device_map", None) or {}).values()}
    if where & {"cpu", "disk"} and len(where) > 1:
        notes.append("layers off-loaded to " + " and ".join(sorted(where & {"cpu", "disk"})))
    return ModelFacts(
        parameters=parameters,
        weights_bytes=weights_bytes,
        kv_bytes_per_token=kv_cache.bytes_per_token(network, config, loaded.kv_cache),
        vocab_size=config.vocab_size,
        max_positions=getattr(config, "max_position_embeddings", None),
        random_weights=loaded.random_weights,
        weights_id=weight_files.identity(model) if named else None,
        files=weight_files.checksums(model) if named else {},
        config=footprint.sizes(config.to_dict()),
        dtype=str(network.dtype).removeprefix("torch."),
        device=str(input_device(network)),
        placement=placement,
        accelerators=tuple(_accelerator(place) for place in _in_order(placement) if place.startswith("cuda")),
        threads=torch.get_num_threads(),
        attention=getattr(network.config, "_attn_implementation", None),
        cache=cache,
        compiled=compiled,
        kernel=loaded.kernel,
        kernel_falls_back=loaded.kernel_falls_back,
        notes=tuple(notes),
    )


def _in_order(places: Iterable[str]) -> list[str]:
    """By number: cuda:2 comes before cuda:10."""
    return sorted(places, key=lambda place: (len(place), place))


def _accelerator(place: str) -> Accelerator:
    """As torch sees it: its numbers follow CUDA_VISIBLE_DEVICES, the driver's do not."""
    found = torch.cuda.get_device_properties(place)
    return Accelerator(name=found.name, memory_bytes=found.total_memory)


def _weights(network: Any) -> Iterator[tuple[str, Any]]:
    yield from network.named_parameters()
    for name, buffer in network.named_buffers():
        # Packed checkpoints (GPTQ, compressed-tensors) keep their weights in buffers; rotary tables are not weights.
        if "inv_freq" not in name:
            yield name, buffer


def _off_loaded_to(name: str, device_map: dict[str, Any]) -> str:
    """Where the map put a weight that is brought to its device only when it is used."""
    while name and name not in device_map:
        name = name.rpartition(".")[0]
    return str(device_map.get(name, "cpu"))


def _dense_parameters(config: Any) -> int:
    """Parameters of the architecture: packed formats bring scales and shapes of their own that are no weights."""
    settings = {key: value for key, value in config.to_dict().items() if key != "quantization_config"}
    with init_empty_weights():
        network = AutoModelForCausalLM.from_config(type(config).from_dict(settings))
    network.tie_weights()
    return int(network.num_parameters())


def _kept_beside(network: Any) -> dict[int, dict[str, Any]]:
    """HQQ keeps scales, zero points and the true shape in a dict beside its packed weights, no part of the network."""
    return {id(module.W_q): module.meta for module in network.modules() if hasattr(module, "W_q")}


def _values(tensor: Any, shape: Any) -> int:
    """How many weights a tensor stands for; packed ones have their true shape beside them."""
    state = getattr(tensor, "quant_state", None)
    if state is not None:
        shape = state.shape
    if shape is not None:
        return int(torch.Size(shape).numel())
    if tensor.dim() == 0:
        return 0  # optimum-quanto's scales of activations, which are not quantised here
    return int(tensor.numel()) if tensor.dtype.is_floating_point or tensor.dtype == torch.int8 else 0


def _storages(tensor: Any) -> Iterator[torch.Tensor]:
    """The tensor and the scales that belong to it; of a tensor made of others, those."""
    if hasattr(tensor, "__tensor_flatten__"):
        parts = (getattr(tensor, name) for name in tensor.__tensor_flatten__()[0])
        for part in parts:
            if isinstance(part, torch.Tensor):  # a share of a split matrix also names the devices that hold the others
                yield from _storages(part)
        return
    yield tensor.data
    scales = getattr(tensor, "SCB", None)
    if scales is not None:
        yield scales
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        yield state.absmax
        yield state.code
        state = getattr(state, "state2", None)
