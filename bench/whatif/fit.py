"""Whether a model with its batch fits into devices, and how many of them it takes."""

from dataclasses import dataclass

from bench.metrics import footprint, roofline
from bench.metrics.footprint import Shape
from bench.schema import Gguf, ModelFacts, Precision, Workload
from bench.schema.precision import STORED

MOST = 1024
"""More devices than this are no answer."""


@dataclass(frozen=True)
class Fit:
    """Bytes needed in all, bytes usable on one device (None where its memory is not known), and how many it takes.

    `devices` is None where it does not fit.
    """

    needed_bytes: float
    usable_bytes: float | None
    devices: int | None


def needed_bytes(of: Shape, facts: ModelFacts, precision: Precision, batch: Workload) -> float:
    """Weights, KV cache and activations (docs/metrics.md), with what the engine said of its own cache and weights.

    The bits of a stored precision are not in its config: its weights count as they were measured in memory, GGUF's too.
    """
    need = footprint.needed(of, precision, batch)
    is_measured = precision.name in STORED or isinstance(precision, Gguf)
    weights = float(facts.weights_bytes) if is_measured else need.weights_bytes
    tokens = batch.batch_size * (batch.input_tokens + batch.output_tokens)
    return weights + tokens * roofline.kv_bytes_per_token(of, facts, precision) + need.activation_bytes


def fit(needed: float, memory_bytes: float | None, share: float, wanted: int | None, most: int | None) -> Fit:
    """The least power of two of devices whose memory, `share` of it, holds everything; or `wanted`, if that does.

    Where the memory is not known, one device (or `wanted`) is taken for enough: the caller says so.

    >>> fit(30e9, 24e9, 0.9, None, None)
    Fit(needed_bytes=30000000000.0, usable_bytes=21600000000.0, devices=2)
    >>> fit(30e9, 24e9, 0.9, 1, None).devices is None
    True
    """
    if memory_bytes is None:
        return Fit(needed, None, wanted or 1)
    usable = memory_bytes * share
    if wanted is not None:
        return Fit(needed, usable, wanted if needed <= wanted * usable else None)
    devices = 1
    while needed > devices * usable and devices <= (most or MOST):
        devices *= 2
    return Fit(needed, usable, devices if devices <= (most or MOST) else None)
