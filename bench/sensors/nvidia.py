"""NVIDIA devices through NVML. Nothing here raises: without a driver there are no devices, and a reason."""

from collections.abc import Callable
from functools import cache
from typing import Any

from bench.schema import Accelerator


@cache
def _library() -> tuple[Any, str | None]:
    try:
        import pynvml
    except ImportError:
        return None, "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None, "no NVIDIA driver"
    return pynvml, None


def reason() -> str | None:
    """Why there is no NVIDIA counter, None where there is one."""
    return _library()[1]


def accelerators() -> tuple[Accelerator, ...]:
    """Every NVIDIA device of the machine."""
    library, why = _library()
    if why is not None:
        return ()
    found = []
    for index in range(_asked(library.nvmlDeviceGetCount) or 0):
        handle = _asked(library.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            continue
        memory = _asked(library.nvmlDeviceGetMemoryInfo, handle)  # not offered where CPU and GPU share one memory
        limit_mw = _asked(library.nvmlDeviceGetPowerManagementLimit, handle)
        driver = _asked(library.nvmlSystemGetDriverVersion)
        found.append(
            Accelerator(
                name=_text(_asked(library.nvmlDeviceGetName, handle) or "NVIDIA device"),
                memory_bytes=None if memory is None else int(memory.total),
                driver=None if driver is None else _text(driver),
                power_limit_w=None if limit_mw is None else limit_mw / 1000,
            )
        )
    return tuple(found)


def _asked(call: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers, None where it refuses."""
    try:
        return call(*arguments)
    except _library()[0].NVMLError:
        return None


def used_bytes() -> int | None:
    """Memory in use on all NVIDIA devices, other processes included, None where there is no counter."""
    library, why = _library()
    if why is not None:
        return None
    try:
        handles = [library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())]
        return sum(int(library.nvmlDeviceGetMemoryInfo(handle).used) for handle in handles)
    except library.NVMLError:
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
