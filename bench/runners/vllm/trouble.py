"""vLLM's errors, told apart by their texts: it raises ValueError and RuntimeError for nearly everything."""

import re

from bench.errors import DoesNotFitError, UnsupportedError

MEMORY = (
    r"out of memory",
    r"can't allocate memory",
    r"No available memory for the cache blocks",
    r"is larger than the (available KV cache memory|maximum number of tokens that can be stored)",
    r"KV cache is needed, which is larger than",
    r"(less than|larger than) (desired|requested) (GPU|CPU) memory",
    r"on kv cache allocation is less than requested",
    r"on startup is less than desired",
)
"""Of weights or KV cache that do not fit."""

REFUSED = (
    (r"must be divisible by tensor parallel size", "choose a tensor_parallel that divides the attention heads"),
    (r"Pipeline parallelism is not supported for this model", "leave pipeline_parallel at 1"),
    (r"[Qq]uantization method .* is not supported|Invalid quantization method", "use bf16, or another checkpoint"),
    (r"Unknown quantization method", "use bf16, or another checkpoint"),
    (r"Model architectures? .* (is|are) not supported", "use a model that this vLLM knows"),
    (r"has no vLLM implementation", "use a model that this vLLM knows"),
    (r"World size \(\d+\) is larger than the number of available GPUs", "fewer devices, or a machine that has them"),
    (r"Not enough allowed NUMA nodes", "write cpu_bind, one list of cores for each worker"),
    (r"torch\.float16 is not supported|dtype .* is not supported", "use bf16"),
    (r"is not supported (on|for|by) .*(cpu|CPU|capability|platform|device)", "use bf16"),
    (r"Minimum capability: \d+", "use bf16, or a newer GPU"),
    (r"not supported for quantization method", "use another plain type"),
)
"""What cannot be had, and what to do instead."""


def texts(error: BaseException) -> str:
    """What an error and those that caused it say, on one line."""
    said: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(said) < 5:
        said.append(f"{type(seen).__name__}: {' '.join(str(seen).split())}")
        seen = seen.__cause__ or seen.__context__
    return " | ".join(said)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in this process or in a worker's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = texts(error)
    return any(re.search(pattern, said) for pattern in MEMORY)


def typed(error: Exception) -> Exception:
    """What to raise for an error while an engine starts: the error itself where it is not known."""
    said = texts(error)
    for pattern in MEMORY:
        if re.search(pattern, said):
            return DoesNotFitError(
                f"vLLM: {_sentence(said, pattern)}",
                "fewer bits a weight, a shorter max_model_len, a smaller kv_cache_gib, or more devices",
            )
    for pattern, remedy in REFUSED:
        if re.search(pattern, said):
            return UnsupportedError(f"vLLM: {_sentence(said, pattern)}", remedy)
    return error


def _sentence(said: str, pattern: str) -> str:
    """The sentence that tells, without what came before and after it."""
    found = re.search(pattern, said)
    assert found is not None
    begin = max(said.rfind(mark, 0, found.start()) + len(mark) if mark in said[: found.start()] else 0
                for mark in (". ", "Error: ", "Value error, ", "| "))  # fmt: skip
    end = said.find(". ", found.end())
    return said[begin : end if end > 0 else None][:300].rstrip(". ")
