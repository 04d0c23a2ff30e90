"""Peak memory of this process, its children and their devices. Bytes; null and a reason where there is no counter.

An engine may be several processes: the kernel's peaks are then added over them, each at its own moment, which is the
most that all can have held at once. torch knows what it allocated in its own process alone, so that a runner whose
devices are filled by others says it for them (`bench.runners.CountsDeviceMemory`).
"""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import psutil

from bench.schema import Memory
from bench.sensors import nvidia

INTERVAL_S = 0.02
_PROCESSES = Path("/proc")


class OthersPeaks(Protocol):
    """Who knows of the device memory of processes other than this one: a runner whose engine has several."""

    def reset_device_peaks(self) -> None: ...

    def device_peaks(self) -> Mapping[str, int]: ...


def reset_peak_rss(without: frozenset[int] = frozenset()) -> bool:
    """Start a new peak of this process and its children; whether the kernel could for this one.

    (`ru_maxrss` cannot be reset, and a child inherits its parent's.)
    """
    done = False
    for process in reversed(_tree(psutil.Process(), without)):
        try:
            (_PROCESSES / str(process.pid) / "clear_refs").write_text("5")
            done = True
        except OSError:
            done = False
    return done


def peak_rss_bytes(without: frozenset[int] = frozenset()) -> int | None:
    """Peak resident memory of this process since the last reset, and those of its children that live, added.

    None where the kernel does not say it of this process. `without`: children that are not counted.
    """
    me = psutil.Process()
    own = _peak_of(me.pid)
    if own is None:
        return None
    return own + sum(_peak_of(child.pid) or 0 for child in _tree(me, without)[1:])


def _peak_of(pid: int) -> int | None:
    try:
        for line in (_PROCESSES / str(pid) / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, UnicodeDecodeError):
        pass
    return None


class MemorySampler:
    """Samples the process tree (and the device) while a round runs; peaks that the kernel keeps are read at the end."""

    def __init__(
        self, devices: tuple[str, ...], without: frozenset[int] = frozenset(), others: OthersPeaks | None = None
    ) -> None:
        """`devices`: accelerators in use as torch names them, empty on a CPU. `without`: processes that are not the
        engine's, though they were started here. `others`: who knows what other processes allocate on the devices."""
        self._without = without
        self._others = others
        self._devices = devices
        self._on_cuda = bool(devices)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._rss = 0
        self._pss: int | None = None
        self._device_used: int | None = None
        self._device_process: int | None = None
        self._kernel_peak = False
        self._reading: Memory | None = None

    def __enter__(self) -> "MemorySampler":
        self._kernel_peak = reset_peak_rss(self._without)
        if self._others is not None:
            self._others.reset_device_peaks()
        torch = self._cuda()
        if torch is not None:
            for index in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(index)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def reading(self) -> Memory:
        """The peaks since the sampler was entered."""
        if self._reading is None:
            self._reading = self._read()
        return self._reading

    def _read(self) -> Memory:
        reasons: dict[str, str] = {}
        # Without a reset the kernel's peak may be that of the loading; the samples are of this round.
        peak = max(self._rss, (peak_rss_bytes(self._without) or 0) if self._kernel_peak else 0)
        if self._pss is None:
            reasons["pss_peak_bytes"] = "this kernel has no smaps_rollup"
        torch = self._cuda()
        allocated = reserved = None
        if torch is None:
            for name in ("cuda_peak_allocated_bytes", "cuda_peak_reserved_bytes"):
                reasons[name] = "no CUDA device in use"
        else:
            devices = range(torch.cuda.device_count())
            elsewhere = {} if self._others is None else self._others.device_peaks()
            allocated = sum(torch.cuda.max_memory_allocated(index) for index in devices) + elsewhere.get("allocated", 0)
            reserved = sum(torch.cuda.max_memory_reserved(index) for index in devices) + elsewhere.get("reserved", 0)
        if self._device_used is None:
            reasons["device_used_peak_bytes"] = nvidia.reason() or "no CUDA device in use"
        if self._device_process is None:
            reasons["device_process_peak_bytes"] = nvidia.reason() or (
                "the driver does not say which process is this one" if self._on_cuda else "no CUDA device in use"
            )
        if not peak:
            reasons["rss_peak_bytes"] = "the process could not be sampled"
        return Memory(
            rss_peak_bytes=peak or None,
            pss_peak_bytes=self._pss,
            cuda_peak_allocated_bytes=allocated,
            cuda_peak_reserved_bytes=reserved,
            device_used_peak_bytes=self._device_used,
            device_process_peak_bytes=self._device_process,
            reasons=reasons,
        )

    def _cuda(self) -> Any:
        """torch, if the engine in this process brought it and runs on CUDA. Never imported for its own sake."""
        torch = sys.modules.get("torch")
        return torch if torch is not None and self._on_cuda else None

    def _sample(self) -> None:
        me = psutil.Process()
        while True:
            self._rss = max(self._rss, _tree_rss(me, self._without))
            pss = _pss(me, self._without)
            if pss is not None:
                self._pss = max(self._pss or 0, pss)
            if self._on_cuda:
                used = nvidia.used_bytes(self._devices)
                if used is not None:
                    self._device_used = max(self._device_used or 0, used)
                held = nvidia.process_used_bytes(self._devices, {one.pid for one in _tree(me, self._without)})
                if held is not None:
                    self._device_process = max(self._device_process or 0, held)
            if self._stop.wait(INTERVAL_S):
                return


def _tree(me: psutil.Process, without: frozenset[int]) -> list[psutil.Process]:
    return [me, *(child for child in me.children(recursive=True) if child.pid not in without)]


def _tree_rss(me: psutil.Process, without: frozenset[int]) -> int:
    total = 0
    for process in _tree(me, without):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def _pss(me: psutil.Process, without: frozenset[int]) -> int | None:
    """Proportional set size of the tree: pages that are shared count once."""
    total = 0
    for process in _tree(me, without):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            if process.pid == me.pid:
                return None
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
