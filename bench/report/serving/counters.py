"""What a server's own counters say of the steady window: tokens, prefix hits, and how long its queue was."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.schema import ServerSample
from bench.servers import metrics


@dataclass(frozen=True)
class Counted:
    """By the server itself, between the samples that lie nearest to the edges of the window, `length_s` apart.

    None where it has no such counter, or is no engine whose counters are known. `queue_mean` is over the samples
    between; `deltas` are all counters, by how much each grew.
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
    did = metrics.work(first, last)
    standing = [metrics.standing(one) for one in ordered if first.at_s <= one.at_s <= last.at_s]
    waiting = [one["waiting"] for one in standing if "waiting" in one]
    running = [one["running"] for one in standing if "running" in one]
    prompt, cached = did.get("prompt_tokens"), did.get("cached_tokens")
    return Counted(
        length_s=last.at_s - first.at_s,
        prompt_tokens=prompt,
        generated_tokens=did.get("generation_tokens"),
        prefix_hit_rate=None if cached is None or not prompt else cached / prompt,
        queue_mean=sum(waiting) / len(waiting) if waiting else None,
        queue_max=max(waiting, default=None),
        running_mean=sum(running) / len(running) if running else None,
        deltas=metrics.delta(first, last),
    )
