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
    inference_mode: bool = True
    """Whether it may run under `torch.inference_mode`; some packed tensors only do under `torch.no_grad`."""
    kernel: str | None = None
    """How its products are computed on this device, in one sentence."""
    kernel_falls_back: bool = False
    """Whether that is for lack of a kernel of the level's own format."""


def notes(precision: Precision, place: torch.device) -> list[str]:
    if place.type == "cpu" and precision.name == "fp16":
        return ["fp16 has no fast kernel on a CPU: use bf16 or fp32"]
    return []
