"""NVIDIA devices through NVML. Nothing here raises: without a driver there are no devices, and a reason."""

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
    driver = _text(library.nvmlSystemGetDriverVersion())
    found = []
    for index in range(library.nvmlDeviceGetCount()):
        handle = library.nvmlDeviceGetHandleByIndex(index)
        try:
            limit = library.nvmlDeviceGetPowerManagementLimit(handle) / 1000
        except library.NVMLError:
            limit = None
        found.append(
            Accelerator(
                name=_text(library.nvmlDeviceGetName(handle)),
                memory_bytes=library.nvmlDeviceGetMemoryInfo(handle).total,
                driver=driver,
                power_limit_w=limit,
            )
        )
    return tuple(found)


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
