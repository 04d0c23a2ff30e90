"""How much memory a cell needs at least."""

from bench.schema import Memory, ModelFacts


def peak_bytes(memory: Memory, facts: ModelFacts) -> int | None:
    """Reserved device memory on an accelerator, else the larger of the two resident peaks, loading included.

    None where the counter for where the weights lie is unknown: resident memory says nothing of a device's.
    """
    if memory.cuda_peak_reserved_bytes is not None:
        return memory.cuda_peak_reserved_bytes
    if any(place.partition(":")[0] not in ("cpu", "disk") for place in facts.placement):
        return None
    peaks = [size for size in (memory.rss_load_peak_bytes, memory.rss_peak_bytes) if size is not None]
    return max(peaks, default=None)
