"""What the server's own counters say of the steady window: tokens, prefix cache, queue; by each engine's names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.schema import ServerSample

PROMPT = ("prompt_tokens_total",)
PROMPT_OF_REQUESTS = ("tgi_request_input_length_sum",)
GENERATED = ("generation_tokens_total", "tokens_predicted_total")
GENERATED_OF_REQUESTS = ("tgi_request_generated_tokens_sum",)
HITS = ("prefix_cache_hits_total", "gpu_prefix_cache_hits_total", "cached_tokens_total")
ASKED = ("prefix_cache_queries_total", "gpu_prefix_cache_queries_total", "prompt_tokens_total")
WAITING = ("num_requests_waiting", "num_queue_reqs", "requests_deferred", "tgi_queue_size")
RUNNING = ("num_requests_running", "num_running_reqs", "requests_processing", "tgi_batch_current_size")
"""Without the engine's prefix, such as `vllm:`, `sglang:` or `llamacpp:`."""


@dataclass(frozen=True)
class Counted:
    """By the server itself, between the samples that lie nearest to the edges of the window, `length_s` apart.

    None where it has no such counter. `queue_mean` is over the samples between.
    """

    length_s: float
    prompt_tokens: float | None
    generated_tokens: float | None
    prefix_hit_rate: float | None
    queue_mean: float | None
    queue_max: float | None
    running_mean: float | None
    deltas: dict[str, float]

    @property
    def generated_tokens_per_s(self) -> float | None:
        return None if self.generated_tokens is None else self.generated_tokens / self.length_s


def counted(samples: Sequence[ServerSample], start_s: float, end_s: float) -> Counted | None:
    """Differences of the counters over the steady window; None without two samples."""
    ordered = sorted((one for one in samples if one.values), key=lambda one: one.at_s)
    if len(ordered) < 2:
        return None
    first, last = (min(ordered, key=lambda one: abs(one.at_s - edge_s)) for edge_s in (start_s, end_s))
    if last.at_s <= first.at_s:
        return None
    deltas = {
        name: last.values[name] - first.values[name]
        for name in first.values
        if name in last.values and last.values[name] >= first.values[name] and _is_counter(name)
    }
    between = [one for one in ordered if first.at_s <= one.at_s <= last.at_s]
    waiting = [value for one in between if (value := _sum(one.values, WAITING)) is not None]
    running = [value for one in between if (value := _sum(one.values, RUNNING)) is not None]
    pairs = [(_sum(deltas, (one,)), _sum(deltas, (two,))) for one, two in zip(HITS, ASKED, strict=True)]
    hits, asked = next(((one, two) for one, two in pairs if one is not None and two), (None, None))
    return Counted(
        length_s=last.at_s - first.at_s,
        prompt_tokens=_first(deltas, PROMPT, PROMPT_OF_REQUESTS),
        generated_tokens=_first(deltas, GENERATED, GENERATED_OF_REQUESTS),
        prefix_hit_rate=None if hits is None or not asked else hits / asked,
        queue_mean=sum(waiting) / len(waiting) if waiting else None,
        queue_max=max(waiting, default=None),
        running_mean=sum(running) / len(running) if running else None,
        deltas=deltas,
    )


def _is_counter(name: str) -> bool:
    bare = name.partition("{")[0]
    return bare.endswith(("_total", "_sum", "_count"))


def _first(values: dict[str, float], *names: Iterable[str]) -> float | None:
    found = (_sum(values, some) for some in names)
    return next((one for one in found if one is not None), None)


def _sum(values: dict[str, float], names: Iterable[str]) -> float | None:
    """Over the labels of the first of these names that there is."""
    for wanted in names:
        own = [value for name, value in values.items() if name.partition("{")[0].rpartition(":")[2] == wanted]
        if own:
            return sum(own)
    return None
