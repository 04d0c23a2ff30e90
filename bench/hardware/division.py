"""How several devices share a model, and what they can then do at most, taken together.

Devices that split every matrix (tensor parallel) read at the same time: their rates add up. Devices that hold whole
layers take turns within a step, and each byte is read at its own device's rate: bytes over Σ bytes / rate, which of
equal devices is the rate of one. Pipeline parallel engines let the stages work on several parts of a batch at once;
each part then reads the weights anew, so that a step's reading is bound as if they took turns, and only products gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.schema import Ceiling, ModelFacts


@dataclass(frozen=True)
class Division:
    """`stages`: device numbers that work at the same time, stage after stage. `shares`: of the weights, by stage.
    `overlapping`: whether the stages multiply at the same time, each for another part of the batch."""

    stages: tuple[tuple[int, ...], ...]
    shares: tuple[float, ...]
    overlapping: bool = False

    @property
    def in_turn(self) -> bool:
        return len(self.stages) > 1

    def said(self) -> str:
        """For people, after the source of a ceiling; empty for one device."""
        devices = sum(len(stage) for stage in self.stages)
        if devices < 2:
            return ""
        if not self.in_turn:
            return f"; {devices} devices work at once: their rates added"
        each = "" if devices == len(self.stages) else f" of {len(self.stages[0])} devices"
        stages = f"{len(self.stages)} stages{each}" if self.overlapping or each else f"{devices} devices"
        products = ", while the peaks for products are added" if self.overlapping else ""
        return (
            f"; the {stages} take turns, layer by layer: held against what those at work can read{products} (with "
            "tensor parallelism all could work at once)"
        )


def of(facts: ModelFacts) -> Division:
    """How the accelerators of a deployment share its model, by what its engine said of itself.

    An engine that names several devices and no way of sharing (`parallel`) put whole layers on each of them.
    """
    number = len(facts.accelerators)
    stages = facts.parallel.get("pipeline", 1) if facts.parallel else number
    if number < 2 or stages < 2 or number % stages:
        return Division((tuple(range(number)),), (1.0,))
    width = number // stages
    groups = tuple(tuple(range(first, first + width)) for first in range(0, number, width))
    held = [size for place, size in sorted(facts.placement.items(), key=_order) if place.startswith("cuda")]
    if len(held) != number or not all(held):
        held = [1] * number
    total = sum(held)
    return Division(groups, tuple(sum(held[one] for one in group) / total for group in groups), bool(facts.parallel))


def together(ceilings: Sequence[Ceiling], division: Division | None = None) -> Ceiling:
    """Several devices as one. A rate that one of them lacks is not known of all. Without a division: rates added."""
    if len(ceilings) == 1:
        return ceilings[0]
    if division is None or not division.in_turn:
        return _added(ceilings)
    stages = [_added([ceilings[one] for one in stage]) for stage in division.stages]
    shares = division.shares
    added = _added(stages)
    kinds = added.gemm_flops_per_s
    if not division.overlapping:
        kinds = {kind: _in_turn([one.gemm_flops_per_s[kind] for one in stages], shares) or 0.0 for kind in kinds}
    return Ceiling(
        device=added.device,
        read_bytes_per_s=_in_turn([one.read_bytes_per_s for one in stages], shares),
        copy_bytes_per_s=_in_turn([one.copy_bytes_per_s for one in stages], shares),
        gemm_flops_per_s=kinds,
    )


def of_alike(one: Ceiling, number: int, like: Division) -> Ceiling:
    """The ceiling of `number` devices of a kind that share a model in the same way, each stage as wide as there."""
    width = number // len(like.stages) if like.in_turn else number
    reading = max(1, min(width, len(like.stages[0]))) if like.in_turn else number
    products = number if like.overlapping else reading
    return Ceiling(
        device=one.device,
        read_bytes_per_s=None if one.read_bytes_per_s is None else one.read_bytes_per_s * reading,
        copy_bytes_per_s=None if one.copy_bytes_per_s is None else one.copy_bytes_per_s * reading,
        gemm_flops_per_s={kind: rate * products for kind, rate in one.gemm_flops_per_s.items()},
    )


def _added(ceilings: Sequence[Ceiling]) -> Ceiling:
    if len(ceilings) == 1:
        return ceilings[0]
    reads = [one.read_bytes_per_s for one in ceilings]
    copies = [one.copy_bytes_per_s for one in ceilings]
    kinds = [kind for kind in ceilings[0].gemm_flops_per_s if all(kind in one.gemm_flops_per_s for one in ceilings)]
    return Ceiling(
        device=" + ".join(one.device for one in ceilings),
        read_bytes_per_s=_sum(reads),
        copy_bytes_per_s=_sum(copies),
        gemm_flops_per_s={kind: sum(one.gemm_flops_per_s[kind] for one in ceilings) for kind in kinds},
    )


def _sum(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _in_turn(rates: Sequence[float | None], shares: Sequence[float]) -> float | None:
    known = [rate for rate in rates if rate]
    return 1 / sum(part / rate for part, rate in zip(shares, known, strict=True)) if len(known) == len(rates) else None


def _order(item: tuple[str, int]) -> tuple[int, str]:
    return len(item[0]), item[0]
