"""`python -m bench.measure.ceilings FD SECONDS`: what this machine can do at most.

Bandwidths follow STREAM (McCalpin): the best of repeated passes over buffers of at least four times the last-level
cache; bytes read of a reduction, bytes read and written of a copy. FLOP/s are those of the fastest square product.
Products grow by what smaller ones took, so that a type without fast kernels costs its share of the time and no more.
Writes one JSON line to the descriptor FD; standard output and error belong to the engine.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from bench.schema import Ceiling, Ceilings
from bench.sensors import busy, environment

TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}
QUANTITIES = 2 + len(TYPES)
SIDES = tuple(2**power for power in range(7, 14))
"""Sides of the square matrices, smallest first: 4 MFLOP a product, up to 1.1 TFLOP."""
CPU_BUFFER_BYTES = 256 * 2**20
CUDA_BUFFER_BYTES = 2 * 2**30  # a pass must take far longer than the start of a kernel
SHARE_OF_MEMORY = 0.04
"""Of a device's memory, for one buffer; more only where four caches are more."""
LEAST_TRIALS = 3
BUSY = 0.1
"""Share of the time in which some task waited for a CPU, above which a ceiling is doubted (as for a timed round)."""


@dataclass
class _Place:
    """A device (with so many CPU threads), the size of a buffer on it, and how to wait until it is done."""

    torch: Any
    device: str
    name: str
    buffer_bytes: int
    threads: int | None = None

    def said(self) -> str:
        return self.device if self.threads is None else f"{self.device}, {self.threads} threads"

    def time_s(self, run: Callable[[], object]) -> float:
        """Seconds of one call, from an idle device to an idle device."""
        self.wait()
        start = time.perf_counter_ns()
        run()
        self.wait()
        return max(1, time.perf_counter_ns() - start) / 1e9

    def wait(self) -> None:
        if self.device != "cpu":
            self.torch.cuda.synchronize(self.device)


def measure(seconds: float) -> Ceilings:
    """Every quantity of every device within about `seconds`; what cannot be measured is a reason, never an error."""
    found = environment.detect(("torch",))
    reasons: dict[str, str] = {}
    stalled_before_s, start = busy.cpu_stalled_s(), time.perf_counter_ns()
    places: list[_Place] = []
    with _noted(reasons, "torch"):
        import torch

        memory = found.memory_limit_bytes or found.memory_total_bytes
        places += _cpu_places(torch, found.cpu_usable, memory)
        places += _cuda_places(torch)
    limit_s = seconds / max(1, len(places) * QUANTITIES)
    measured = [_ceiling(place, limit_s, reasons) for place in places]
    stalled_s, took_s = busy.cpu_stalled_s(), (time.perf_counter_ns() - start) / 1e9
    if stalled_s is not None and stalled_before_s is not None and stalled_s - stalled_before_s > BUSY * took_s:
        share = (stalled_s - stalled_before_s) / took_s
        reasons["busy"] = f"for {share:.0%} of the time some task of the machine waited for a CPU"
    on_cpu = [one for one in measured if one.device == "cpu"]
    devices = [_best(on_cpu)] if on_cpu else []
    devices += [one for one in measured if one.device != "cpu"]
    return Ceilings(
        hardware=found.hardware(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=found,
        devices=tuple(one for one in devices if one.read_bytes_per_s or one.gemm_flops_per_s),
        by_threads=tuple(on_cpu[1:]),
        reasons=reasons,
    )


def _cpu_places(torch: Any, usable: int, memory_bytes: int) -> list[_Place]:
    """All usable threads first, then half of them and one."""
    size = max(4 * last_level_cache_bytes(), min(CPU_BUFFER_BYTES, int(SHARE_OF_MEMORY * memory_bytes)))
    counts = sorted({usable, max(1, usable // 2), 1}, reverse=True)
    return [_Place(torch, "cpu", "cpu", size, threads) for threads in counts]


def _cuda_places(torch: Any) -> list[_Place]:
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        size = max(4 * device.L2_cache_size, min(CUDA_BUFFER_BYTES, int(SHARE_OF_MEMORY * device.total_memory)))
        found.append(_Place(torch, f"cuda:{index}", device.name, size))
    return found


def last_level_cache_bytes() -> int:
    """All third-level caches of the CPUs that this process may use, added up; 0 where the kernel does not say."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:
        allowed = set(range(os.cpu_count() or 1))
    sizes: dict[str, int] = {}
    for cpu in allowed:
        folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/cache/index3")
        try:
            shared = (folder / "shared_cpu_list").read_text(encoding="ascii").strip()
            sizes[shared] = int((folder / "size").read_text(encoding="ascii").strip().removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    return sum(sizes.values())


def _ceiling(place: _Place, limit_s: float, reasons: dict[str, str]) -> Ceiling:
    """All quantities of one place, each within about `limit_s`."""
    rates: dict[str, float] = {}
    if place.threads is not None:
        place.torch.set_num_threads(place.threads)
    for name, rate in (("read", _read_bytes_per_s), ("copy", _copy_bytes_per_s)):
        with _noted(reasons, f"{place.said()}, {name}"):
            rates[name] = rate(place, limit_s)
    for kind in TYPES:
        with _noted(reasons, f"{place.said()}, {kind}"):
            rates[kind] = _gemm_flops_per_s(place, kind, limit_s)
    return Ceiling(
        device=place.name,
        threads=place.threads,
        read_bytes_per_s=rates.pop("read", None),
        copy_bytes_per_s=rates.pop("copy", None),
        gemm_flops_per_s=rates,
    )


def _read_bytes_per_s(place: _Place, limit_s: float) -> float:
    buffer = _buffer(place, 1)
    # Which reduction a device reads fastest with differs; the ceiling is that of the best.
    halves = buffer.view(place.torch.float64)
    return place.buffer_bytes / _best_s(place, [buffer.sum, halves.sum, buffer.amax], limit_s)


def _copy_bytes_per_s(place: _Place, limit_s: float) -> float:
    source, target = _buffer(place, 2), _buffer(place, 2)
    return 2 * place.buffer_bytes / _best_s(place, [lambda: target.copy_(source)], limit_s)


def _buffer(place: _Place, number: int) -> Any:
    """Ones, because untouched zeros are one page of memory. Raises MemoryError where `number` of them do not fit."""
    if place.device == "cpu":
        room = psutil.virtual_memory().available
        room = min(room, environment.memory_limit_bytes() or room)
    else:
        room = place.torch.cuda.mem_get_info(place.device)[0]
    if number * place.buffer_bytes > room / 2:
        raise MemoryError(f"{number} buffers of {place.buffer_bytes} bytes would take over half of the free memory")
    return place.torch.ones(place.buffer_bytes // 8 * 2, dtype=place.torch.float32, device=place.device)


def _gemm_flops_per_s(place: _Place, kind: str, limit_s: float) -> float:
    """The best over square products, ever larger while twice the next one's expected time is left; then the best's."""
    deadline = time.perf_counter_ns() + int(limit_s * 1e9)
    best, best_run, best_flops = 0.0, None, 0.0
    took_s = 0.0
    for side in SIDES:
        if best_run is not None and 2 * 8 * took_s > (deadline - time.perf_counter_ns()) / 1e9:
            break
        run = _product(place, kind, side)
        flops = 2.0 * side**3
        run()  # the first of a size chooses its kernels
        took_s = place.time_s(run)
        if flops / took_s > best:
            best, best_run, best_flops = flops / took_s, run, flops
    assert best_run is not None
    left_s = (deadline - time.perf_counter_ns()) / 1e9
    return max(best, best_flops / _best_s(place, [best_run], left_s, least=1))


def _product(place: _Place, kind: str, side: int) -> Callable[[], object]:
    torch = place.torch
    if kind == "int8":
        whole = [torch.randint(-128, 128, (side, side), dtype=torch.int8, device=place.device) for _ in range(2)]
        return lambda: torch._int_mm(whole[0], whole[1].t())  # as a layer multiplies by its stored rows
    left, right = (torch.randn(side, side, device=place.device).to(getattr(torch, TYPES[kind])) for _ in range(2))
    return lambda: left @ right.t()


def _best_s(place: _Place, runs: Sequence[Callable[[], object]], limit_s: float, least: int = LEAST_TRIALS) -> float:
    """Seconds of the fastest call, each of `runs` in turn until the time is up, and at least so often."""
    deadline = time.perf_counter_ns() + int(limit_s * 1e9)
    best = float("inf")
    for number, run in enumerate(cycle(runs), 1):
        best = min(best, place.time_s(run))
        if number >= least * len(runs) and time.perf_counter_ns() > deadline:
            break
    return best


def _best(on_cpu: Sequence[Ceiling]) -> Ceiling:
    """The CPU's best of each quantity: where threads share cores or memory, fewer can do more."""

    def most(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    kinds = [kind for kind in TYPES if any(kind in one.gemm_flops_per_s for one in on_cpu)]
    return Ceiling(
        device="cpu",
        threads=on_cpu[0].threads,
        read_bytes_per_s=most([one.read_bytes_per_s for one in on_cpu]),
        copy_bytes_per_s=most([one.copy_bytes_per_s for one in on_cpu]),
        gemm_flops_per_s={kind: max(one.gemm_flops_per_s.get(kind, 0.0) for one in on_cpu) for kind in kinds},
    )


@contextmanager
def _noted(reasons: dict[str, str], what: str) -> Iterator[None]:
    """An error inside becomes the reason for what is missing."""
    try:
        yield
    except (ImportError, RuntimeError, MemoryError, AttributeError, TypeError, ValueError, OSError) as error:
        reasons[what] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main(fd: int, seconds: float) -> None:
    """Measure and write one JSON line to `fd`."""
    line = measure(seconds).model_dump_json(exclude_none=True) + "\n"
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        out.write(line)
    sys.stdout.flush()
    os._exit(0)  # an engine's exit hooks can hang


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
