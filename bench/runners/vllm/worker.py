"""What each worker says of its share of the model. vLLM adds this class to its own worker and calls it by name.

Only plain values cross the process: numbers, names and lists of them.
"""

from typing import Any

import torch

ROTARY = ("cos_sin_cache", "inv_freq")
SCALES = ("_k_scale", "_v_scale", "_q_scale", "_prob_scale")


class Counts:
    """Mixed into vLLM's worker, whose attributes it reads."""

    model_runner: Any
    vllm_config: Any

    def bench_ready(self) -> None:
        """Give a later stage of a pipeline the tensors that it receives into.

        vLLM makes them while it warms up, and on a CPU without torch.compile it does not warm up (0.32).
        """
        runner = self.model_runner
        if getattr(runner, "intermediate_tensors", self) is None:
            runner.intermediate_tensors = runner.model.make_empty_intermediate_tensors(
                batch_size=runner.max_num_tokens, dtype=self.vllm_config.model_config.dtype, device=runner.device
            )

    def bench_reset_peaks(self) -> None:
        if self.model_runner.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model_runner.device)

    def bench_peaks(self) -> dict[str, int]:
        """Bytes at most since the last reset."""
        device = self.model_runner.device
        if device.type != "cuda":
            return {"allocated": 0, "reserved": 0}
        return {
            "allocated": torch.cuda.max_memory_allocated(device),
            "reserved": torch.cuda.max_memory_reserved(device),
        }

    def bench_counts(self) -> dict[str, Any]:
        """Bytes of the weights by device, bytes of a token's keys and values, and what computes them."""
        network = self.model_runner.get_model()
        placement: dict[str, int] = {}
        values, packed_away, seen = 0, 0, set()
        for owner, name, tensor in _weights(network):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            size = _bytes(tensor)
            if size == 0 and name == "weight":
                # On a CPU oneDNN's own copy of a linear layer is all that is left; its tensor is emptied.
                count = _values_of(owner)
                size, values, packed_away = count * tensor.element_size(), values + count, packed_away + 1
            else:
                values += tensor.numel()
            place = str(tensor.device)
            placement[place] = placement.get(place, 0) + size
        return {
            "placement": placement,
            "values": values,
            "packed_away": packed_away,
            "kv_bytes_per_token": _kv_bytes_per_token(self),
            "device": str(self.model_runner.device),
            "accelerator": _accelerator(self.model_runner.device),
            "dtype": str(self.vllm_config.model_config.dtype).removeprefix("torch."),
            "attention": _attention(self.vllm_config),
            "quantised": _methods(network),
            "threads": torch.get_num_threads(),
        }


def _weights(network: Any) -> Any:
    for module in network.modules():
        for name, tensor in module.named_parameters(recurse=False):
            yield module, name, tensor
        for name, tensor in module.named_buffers(recurse=False):
            if not name.endswith(ROTARY) and name not in SCALES:
                yield module, name, tensor


def _bytes(tensor: Any) -> int:
    """Of a tensor, or of those that one of torchao's is made of; with the scales that bitsandbytes keeps beside it."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    size = int(tensor.numel() * tensor.element_size())
    states = getattr(tensor, "bnb_quant_state", None)
    for state in states.values() if isinstance(states, dict) else ():
        while state is not None:
            size += _bytes(state.absmax) + _bytes(state.code)
            state = getattr(state, "state2", None)
    return size


def _values_of(layer: Any) -> int:
    return int(layer.input_size_per_partition * layer.output_size_per_partition)


def _kv_bytes_per_token(worker: Any) -> int | None:
    """Summed over the layers of this worker, from the pages that it really allocates."""
    specs: list[Any] = list(worker.get_kv_cache_spec().values())
    if not specs or any(not getattr(spec, "block_size", 0) for spec in specs):
        return None
    total: float = sum(spec.page_size_bytes / spec.block_size for spec in specs)
    return round(total)


def _attention(settings: Any) -> str | None:
    for layer in settings.compilation_config.static_forward_context.values():
        backend = getattr(layer, "attn_backend", None)
        if backend is not None:
            return str(backend.get_name())
    return None


def _methods(network: Any) -> list[str]:
    """How the linear layers are computed: the names of vLLM's classes, each once."""
    found: dict[str, None] = {}
    for module in network.modules():
        if not hasattr(module, "input_size_per_partition") or hasattr(module, "num_embeddings"):
            continue  # no linear layer
        method = getattr(module, "quant_method", None)
        kernel = getattr(method, "kernel", None) or getattr(getattr(module, "scheme", None), "kernel", None)
        names = [type(part).__name__ for part in (method, kernel) if part is not None]
        found[" with ".join(names)] = None
    return sorted(name for name in found if name)


def _accelerator(device: Any) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    about = torch.cuda.get_device_properties(device)
    return {"name": about.name, "memory_bytes": about.total_memory}
