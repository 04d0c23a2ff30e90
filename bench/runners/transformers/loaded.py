"""What loading gives: a network ready to run, and what is to be said about it."""

from dataclasses import dataclass, field
from typing import Any

import torch

from bench.schema import KvCache, Precision


@dataclass
class Loaded:
    """A network ready to run, and what is to be said about it."""

    network: Any
    random_weights: bool
    notes: list[str] = field(default_factory=list)
    packed: bool = False
    kv_cache: KvCache | None = None


def notes(precision: Precision, place: torch.device) -> list[str]:
    if place.type == "cpu" and precision.name == "fp16":
        return ["fp16 has no fast kernel on a CPU: use bf16 or fp32"]
    return []
