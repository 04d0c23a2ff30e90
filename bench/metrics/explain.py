"""Why a level is as fast as it is: its decode step, taken apart from what was measured.

A step must read its bytes and do its products; the longer of the two at the device's ceiling is the floor (roofline).
What it takes beyond is told apart by how it grows with the batch, and by what the plain reference takes beyond its own
floor, which every level shares. Only a profile sees which operators it went to: without one, what cannot be told apart
is called unknown. docs/explain.md has every formula.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.metrics.statistics import Estimate
from bench.schema.quality import PhaseProfile, Profile

Bound = Literal["memory", "compute", "launch", "dequantisation", "kernel", "no-kernel", "unknown"]
"""What most of a decode step goes to. `memory`, `compute`: what the device's ceiling allows, `compute` also what grows
with the rows; `launch`: starting operators, not their work; `kernel`: products slower than the device could be;
`no-kernel`: the device has no kernel for the level and computes on something else."""

Packs = Literal["nothing", "weights", "products"]
"""What a level quantises: nothing, the weights alone (products are in a plain type), or the products' both sides."""

MOST = 0.6
"""A floor of this share of the step is its bound, whatever the rest is."""


@dataclass(frozen=True)
class Part:
    """A share of the decode step, in seconds; `how` says what it is, and as whose."""

    name: Bound
    seconds: float
    how: str


@dataclass(frozen=True)
class Explanation:
    """One level at one batch size. `parts` add up to `step_s` where they are known."""

    bound: Bound
    text: str
    """One sentence for a person, with the figures that it rests on."""
    step_s: float | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Step:
    """The decode step at one batch size, in seconds: as measured, and as its bytes and its FLOPs take at the ceiling.

    `memory_s` and `compute_s` are None where the ceiling, or the model's sizes, are not known.
    """

    measured: Estimate
    memory_s: float | None = None
    compute_s: float | None = None

    @property
    def floor_s(self) -> float | None:
        """The longer of the two, never more than was measured; one alone where the other is not known."""
        known = [one for one in (self.memory_s, self.compute_s) if one is not None]
        return min(max(known), self.measured.value) if known else None

    @property
    def limit(self) -> Literal["memory", "compute"]:
        return "compute" if (self.compute_s or 0.0) > (self.memory_s or 0.0) else "memory"


@dataclass(frozen=True)
class Steps:
    """A level's decode steps by batch size, and what else is known of it.

    `kernel` and `falls_back`: what computes its products, and whether for want of a kernel of its own.
    `accelerator`: whether it ran on one; there kernels come near the ceiling, and what is left is starting them.
    """

    label: str
    at: Mapping[int, Step] = field(default_factory=dict)
    packs: Packs = "nothing"
    kernel: str | None = None
    falls_back: bool = False
    accelerator: bool = False

    def beyond(self, batch_size: int) -> tuple[float, float | None] | None:
        """Seconds beyond the floor, and those of them that grow with the rows (None with one batch size).

        Growth is c·B of the least-squares line a + c·B through what lies beyond the floors, neither below zero.
        """
        rest = {size: step.measured.value - (step.floor_s or 0.0) for size, step in self.at.items()}
        if not rest or (len(rest) == 1 and batch_size not in rest):
            return None
        if len(rest) == 1:
            return rest[batch_size], None
        constant, slope = line(list(rest), list(rest.values()))
        whole = rest.get(batch_size, constant + slope * batch_size)
        return whole, min(slope * batch_size, whole)

    def has_floors(self) -> bool:
        return all(step.floor_s is not None for step in self.at.values())


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """a and c of the least-squares line a + c·x with a, c ≥ 0; x are not all equal."""
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((at - middle_x) * (value - middle_y) for at, value in zip(x, y, strict=True))
    slope = max(slope / sum((at - middle_x) ** 2 for at in x), 0.0)
    constant = middle_y - slope * middle_x
    if constant < 0:
        return 0.0, sum(at * value for at, value in zip(x, y, strict=True)) / sum(at * at for at in x)
    return constant, slope


def explain(
    level: Steps,
    batch_size: int,
    reference: Steps | None = None,
    profile: Profile | None = None,
    beside: Profile | None = None,
) -> Explanation:
    """The decode step of `level` at `batch_size`, one that it was measured at.

    `reference` is the plain precision that the level computes in, on the same machine with the same options; None for
    the reference itself and where there is none. With a profile the parts come from the operators' own times; `beside`
    is the reference's own at this batch size, without which no slow product is laid to the format.
    """
    step = level.at[batch_size]
    phase = None if profile is None else profile.decode
    if phase is not None and phase.busy_s > 0:
        parts, said = _from_profile(level, step, phase, _slow_beside(reference, batch_size, beside)), list[str]()
    else:
        parts, said = _by_exclusion(level, batch_size, reference)
        if any(part.name == "unknown" and part.seconds > 0 for part in parts):
            said.append("--explain tells them apart")
    parts = [part for part in parts if part.seconds > 0]
    step_s = step.measured.value
    what = ", ".join(f"{ms(part.seconds)} {part.how}" for part in parts)
    if level.falls_back:
        said.append(level.kernel or f"no kernel for {level.label} here")
    text = "; ".join([f"{ms(step_s)} ms a step at batch {batch_size}: {what}", *said])
    return Explanation(_bound(step, parts), text, step_s, tuple(parts))


def ms(seconds: float) -> str:
    """Milliseconds in three figures.

    >>> ms(0.0330), ms(0.0081), ms(1.2)
    ('33.0', '8.10', '1200')
    """
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bound(step: Step, parts: Sequence[Part]) -> Bound:
    floor_s = step.floor_s
    if floor_s is not None and floor_s >= MOST * step.measured.value:
        return step.limit
    totals: dict[Bound, float] = {}
    for part in parts:
        totals[part.name] = totals.get(part.name, 0.0) + part.seconds
    return max(totals, key=lambda name: totals[name], default="unknown")


def _floor(step: Step, seconds: float) -> Part:
    share = seconds / step.measured.value
    if step.limit == "compute":
        return Part("compute", seconds, f"multiplying at the device's peak ({share:.0%} of the step)")
    mbu = share if step.memory_s is None else step.memory_s / step.measured.value
    return Part("memory", seconds, f"reading weights and cache (MBU {mbu:.0%})")


def _by_exclusion(level: Steps, batch_size: int, reference: Steps | None) -> tuple[list[Part], list[str]]:
    """The parts without a profile, and what could not be said."""
    step = level.at[batch_size]
    floor_s = step.floor_s or 0.0
    beyond = level.beyond(batch_size)
    assert beyond is not None
    rest, rows = beyond
    said = [] if rows is not None else ["one batch size: how it grows is not known"]
    if step.floor_s is None:
        said.append("no ceiling is known (bench hardware), so reading is not told apart")
    if level.packs == "nothing":
        parts = _shared(level, rest - (rows or 0.0), rows, None)
        return [_floor(step, floor_s), *parts], said
    base = None
    if reference is not None and reference.has_floors() == (step.floor_s is not None):
        base = reference.beyond(batch_size)
    if reference is None or base is None:
        said.append("no plain level beside it, so its own cost is not told apart")
        return [_floor(step, floor_s), Part("unknown", rest, "beyond that")], said
    own = min(max(rest - base[0], 0.0), rest)
    other = reference.at.get(batch_size)
    if other is None or is_within(step.measured, other.measured):
        if own > 0:
            said.append(f"what it takes beyond {reference.label} is within the intervals")
        own = 0.0
    if rows is not None:
        rows = min(rows, base[1] if base[1] is not None else rows, rest - own)
    shared = _shared(level, rest - own - (rows or 0.0), rows, reference.label)
    return [_floor(step, floor_s), *shared, _own(level, own, reference.label)], said


def is_within(one: Estimate, other: Estimate) -> bool:
    """Whether two independent estimates differ by no more than half of the 95 % interval of their difference.

    A single replicate has no interval, and its difference is taken as it is.
    """
    halves = [each.value * (each.spread() or 0.0) for each in (one, other)]
    return abs(one.value - other.value) <= math.sqrt(sum(half * half for half in halves))


def _shared(level: Steps, constant: float, rows: float | None, reference: str | None) -> list[Part]:
    """What lies beyond the floor and is not the format's: `rows` of it grow with the batch."""
    as_whose = "" if reference is None else f" (as {reference} spends them)"
    if level.accelerator and level.has_floors():
        first = Part("launch", constant, f"starting operators{as_whose}")
    else:
        what = "starting operators or kernels below the ceiling" if level.has_floors() else "the same at any batch"
        first = Part("unknown", constant, f"beyond that, {what}{as_whose}")
    return [first, *([] if rows is None else [Part("compute", rows, "growing with the rows")])]


def _own(level: Steps, seconds: float, reference: str) -> Part:
    if level.falls_back:
        return Part("no-kernel", seconds, f"beyond {reference}, for want of a kernel")
    if level.packs == "products":
        return Part("kernel", seconds, f"beyond {reference}, quantising rows and in products of its own")
    return Part("dequantisation", seconds, f"dequantising {level.label} (beyond {reference})")


@dataclass(frozen=True)
class _Worked:
    """Seconds a step that a profile saw operators work, in all and by what it was for.

    A profiler makes starting slower and the work hardly: so the rest is of the step as it was measured. Where the work
    took longer under the profiler than the whole step without, all of it is scaled down to the step.
    """

    whole: float
    products: float
    dequantising: float
    small: float
    calling: float

    def slow(self, step: Step) -> float:
        """Of products and attention, what is beyond the floor."""
        return max(self.products - (step.floor_s or 0.0), 0.0)


def _worked(step: Step, phase: PhaseProfile) -> _Worked:
    each = {kind: seconds / phase.steps for kind, seconds in phase.by_kind_s.items()}
    calling = each.pop("other", 0.0)
    work = sum(each.values())
    scale = min(1.0, step.measured.value / work) if work > 0 else 1.0
    return _Worked(
        whole=scale * work,
        products=scale * (each.get("product", 0.0) + each.get("attention", 0.0)),
        dequantising=scale * each.get("dequantise", 0.0),
        small=scale * (each.get("elementwise", 0.0) + each.get("cast-copy", 0.0)),
        calling=calling,
    )


def _slow_beside(reference: Steps | None, batch_size: int, profile: Profile | None) -> tuple[str, float] | None:
    """The reference's label, and what its own products and attention take beyond its floor; None where not profiled."""
    step = None if reference is None else reference.at.get(batch_size)
    phase = None if profile is None else profile.decode
    if reference is None or step is None or step.floor_s is None or phase is None or phase.busy_s <= 0:
        return None
    return reference.label, _worked(step, phase).slow(step)


def _from_profile(level: Steps, step: Step, phase: PhaseProfile, beside: tuple[str, float] | None) -> list[Part]:
    """The operators' own times a step. What is left of the measured step is starting them.

    Products below the ceiling are the format's doing only by what they are slower than those of the plain level
    `beside`: on a CPU those are below it too.
    """
    seen, step_s = _worked(step, phase), step.measured.value
    own: Bound = "no-kernel" if level.falls_back else "dequantisation"
    parts = []
    if step.floor_s is None:
        parts.append(Part("unknown", seen.products, "in products and attention (no ceiling to hold them against)"))
    else:
        slow, more = seen.slow(step), 0.0
        parts.append(_floor(step, seen.products - slow))
        if beside is not None and level.packs == "weights":
            more = max(slow - beside[1], 0.0)
            inside = "more in them" if level.falls_back else f"dequantising {level.label} inside its products"
            parts.append(Part(own, more, f"{inside} (beyond {beside[0]})"))
        what = "products of unpacked matrices" if level.falls_back else "products"
        parts.insert(1, Part("kernel", slow - more, f"in {what} and attention below the ceiling"))
    what = "quantising rows and scaling back" if level.packs == "products" else f"dequantising {level.label}"
    parts.append(Part(own, seen.dequantising, what))
    parts.append(Part("launch", seen.small, "in small operators between"))
    left = max(step_s - seen.whole, 0.0)
    share = f", {ms(seen.calling)} of views and calls seen" if seen.calling > 0 and left > seen.calling else ""
    calls = phase.calls / phase.steps
    parts.append(Part("launch", left, f"starting {calls:.0f} operators{share}"))
    return parts


def explain_prefill(
    level: Steps,
    ttft: Estimate,
    mfu: float | None,
    reference: tuple[str, Estimate] | None = None,
    profile: Profile | None = None,
) -> str:
    """One sentence: what share of the peak the prefill reaches, and whether dequantisation weighs in it.

    `reference` is the plain level's label and time to the first token, at the same batch size and lengths.
    """
    said = [f"prefill {ms(ttft.value)} ms" + ("" if mfu is None else f" (MFU {mfu:.0%})")]
    if profile is not None and profile.prefill.busy_s > 0:
        spent = profile.prefill.by_kind_s
        whole = max(profile.prefill.wall_s, profile.prefill.busy_s)
        shares = [f"{name} {spent.get(kind, 0.0) / whole:.0%}" for kind, name in _PREFILL.items() if kind in spent]
        said.append("of it " + ", ".join(shares))
    if level.packs != "nothing" and reference is not None:
        label, base = reference
        more = ttft.value - base.value
        if is_within(ttft, base):
            said.append(f"not told apart from {label}'s {ms(base.value)} (within the intervals)")
        elif more > 0:
            said.append(f"{ms(more)} ms more than {label}'s {ms(base.value)}, the cost of its format")
        else:
            said.append(f"{ms(-more)} ms less than {label}'s {ms(base.value)}")
    return "; ".join(said)


_PREFILL = {
    "product": "products",
    "dequantise": "dequantising",
    "attention": "attention",
    "elementwise": "elementwise",
    "cast-copy": "copies",
}
