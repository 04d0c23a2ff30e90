"""Which operators the time of one generation goes to, under torch.profiler.

The generation goes through the same loop as a timed one. Ranges of the profiler itself mark the prefill, the decode
steps and the quantised layers, so that no clock is read here: `wall_s` is the ranges' own length.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, record_function

from bench.runners.transformers import operators
from bench.runners.transformers.loop import Loop
from bench.schema import ModelFacts
from bench.schema.quality import Operator, OpKind, PhaseProfile, Profile

PREFILL, DECODE, LAYER = "bench:prefill", "bench:decode", "bench:quantised layer"
SHOWN = 12
MUCH = 0.10
"""Operators of unknown kind are named in the notes where they take more than this share."""

NOT_WEIGHTS = frozenset({torch.bool, torch.int64})


def profile(
    network: Any, loop: Loop, prompts: Sequence[Sequence[int]], output_tokens: int, facts: ModelFacts
) -> Profile:
    """One prefill and `output_tokens` − 1 decode steps. No stacks, no shapes: a few tens of megabytes while it runs."""
    device = "cuda" if facts.device.startswith("cuda") and torch.cuda.is_available() else "cpu"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    if device == "cuda":
        with torch.profiler.profile(activities=activities):
            torch.zeros(1, device=facts.device).sum().item()  # the first profile of a process sets CUPTI up
    ranges = _Ranges(output_tokens)
    with (
        _marked([] if loop.compiled else quantised_layers(network)),
        torch.profiler.profile(activities=activities) as profiler,
        ranges,
    ):
        loop.generate(prompts, output_tokens, ranges.on_step)
    events = profiler.events() or []
    prefill, unknown = phase(events, PREFILL, 1, device)
    notes = list(_unknown_notes("prefill", unknown, prefill))
    decode = None
    if output_tokens > 1:
        decode, unknown = phase(events, DECODE, output_tokens - 1, device)
        notes += _unknown_notes("decode", unknown, decode)
    if device != facts.device.partition(":")[0]:
        notes.append(f"the profiler does not see into {facts.device}: times are those of the calls on the CPU")
    if loop.compiled:
        notes.append("compiled steps show as few operators: their fused kernels are not told apart")
    return Profile(facts=facts, device=device, prefill=prefill, decode=decode, notes=tuple(notes))


class _Ranges:
    """The profiler's range around the prefill, which the first `on_step` ends, and the one around all other steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._open: record_function | None = None

    def __enter__(self) -> None:
        self._begin(PREFILL)

    def __exit__(self, *_: object) -> None:
        self._end()  # where a generation failed half-way

    def on_step(self, _: int) -> None:
        self._left -= 1
        ends_prefill = self._open is not None and self._open.name == PREFILL
        if ends_prefill or not self._left:
            self._end()
        if ends_prefill and self._left:
            self._begin(DECODE)

    def _begin(self, name: str) -> None:
        self._open = record_function(name)
        self._open.__enter__()

    def _end(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None


def quantised_layers(network: Any) -> list[Any]:
    """Layers whose own weights are not plain tensors: another class, or integers that stand for weights."""
    return [module for module in network.modules() if any(map(_is_packed, _own(module)))]


def _own(module: Any) -> Iterator[Any]:
    yield from module.parameters(recurse=False)
    yield from (one for one in module.buffers(recurse=False) if not one.dtype.is_floating_point)


def _is_packed(weight: Any) -> bool:
    if type(weight) not in (torch.Tensor, torch.nn.Parameter):
        return True  # torchao, quanto and bitsandbytes have classes of their own
    return not weight.dtype.is_floating_point and weight.dtype not in NOT_WEIGHTS and weight.ndim > 1


@contextmanager
def _marked(layers: Sequence[Any]) -> Iterator[None]:
    """Each call of these layers is a range of the profiler's."""
    ranges: list[record_function] = []

    def begin(*_: Any) -> None:
        ranges.append(record_function(LAYER))
        ranges[-1].__enter__()

    def end(*_: Any) -> None:
        ranges.pop().__exit__(None, None, None)

    hooks = [layer.register_forward_pre_hook(begin) for layer in layers]
    hooks += [layer.register_forward_hook(end) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def phase(events: Sequence[Any], name: str, steps: int, device: str) -> tuple[PhaseProfile, float]:
    """What lies within the range `name`, and the seconds that went to operators of unknown kind.

    `events` are the profiler's: operators on the CPU, which know their parent, and kernels on the GPU, which know the
    operator that started them (those of a CUDA graph know none).
    """
    around = [one for one in events if one.name == name and one.device_type == DeviceType.CPU]
    seen = _on_the_gpu(events, around) if device == "cuda" else _on_the_cpu(events, around)
    time_us: dict[tuple[str, OpKind], float] = defaultdict(float)
    calls: dict[tuple[str, OpKind], int] = defaultdict(int)
    by_kind: dict[OpKind, float] = defaultdict(float)
    unknown_us = 0.0
    for operator, kind, own_us in seen:
        if kind is None:
            unknown_us += own_us
        key = (operator[:100], kind or "other")
        time_us[key] += own_us
        calls[key] += 1
        by_kind[key[1]] += own_us
    most = sorted(time_us, key=lambda key: -time_us[key])[:SHOWN]
    found = PhaseProfile(
        steps=steps,
        wall_s=sum(one.time_range.elapsed_us() for one in around) / 1e6,
        busy_s=sum(by_kind.values()) / 1e6,
        calls=sum(calls.values()),
        by_kind_s={kind: spent / 1e6 for kind, spent in sorted(by_kind.items(), key=lambda item: -item[1])},
        operators=tuple(
            Operator(name=key[0], kind=key[1], calls=calls[key], self_s=time_us[key] / 1e6) for key in most
        ),
    )
    return found, unknown_us / 1e6


Seen = tuple[str, OpKind | None, float]
"""An operator's name, its kind where it is known, and microseconds of its own."""


def _on_the_cpu(events: Sequence[Any], around: Sequence[Any]) -> Iterator[Seen]:
    for one in events:
        if one.device_type == DeviceType.CPU and not one.name.startswith("bench:") and _within(one, around):
            yield one.name, _kind(one), max(one.self_cpu_time_total, 0.0)


def _on_the_gpu(events: Sequence[Any], around: Sequence[Any]) -> Iterator[Seen]:
    """By the operator that started each kernel where it is known, by the kernel's own name where it is not."""
    starters = {one.id: one for one in events if one.device_type == DeviceType.CPU and not getattr(one, _LINK, 0)}
    for one in events:
        if one.device_type == DeviceType.CPU or one.name.startswith("bench:") or not _during(one, around):
            continue
        if getattr(one, "is_user_annotation", False):
            continue  # the shadow that a range on the CPU throws on the GPU's timeline
        starter = starters.get(getattr(one, _LINK, 0) or None)
        kind = None if starter is None else _kind(starter)
        if starter is None or kind in (None, "other"):
            yield one.name, operators.kernel_kind(one.name), one.time_range.elapsed_us()
        else:
            yield starter.name, kind, one.time_range.elapsed_us()


_LINK = "linked_correlation_id"


def _within(event: Any, around: Sequence[Any]) -> bool:
    """Whether one of the ranges is an ancestor."""
    while event is not None:
        if any(event is one for one in around):
            return True
        event = event.cpu_parent
    return False


def _during(event: Any, around: Sequence[Any]) -> bool:
    return any(one.time_range.start <= event.time_range.start < one.time_range.end for one in around)


def _kind(event: Any) -> OpKind | None:
    """By its name, and by what it was called from."""
    own = operators.kind(event.name)
    parent = event.cpu_parent
    while parent is not None:
        around: OpKind | None = "dequantise" if parent.name == LAYER else operators.kind(parent.name)
        if around in ("attention", "dequantise"):
            return operators.placed(own, around)
        parent = parent.cpu_parent
    return own


def _unknown_notes(where: str, unknown_s: float, found: PhaseProfile) -> Iterator[str]:
    if found.busy_s > 0 and unknown_s > MUCH * found.busy_s:
        yield f"{unknown_s / found.busy_s:.0%} of the {where} went to operators whose kind is not known here"
