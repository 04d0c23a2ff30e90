"""NVIDIA devices through NVML. Nothing here raises: without a driver there are no devices, and a reason."""

import os
import sys
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from bench.schema import Accelerator, DeviceState


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
                cuda_driver=_cuda_version(_asked(library.nvmlSystemGetCudaDriverVersion_v2)),
                power_limit_w=None if limit_mw is None else limit_mw / 1000,
            )
        )
    return tuple(found)


def states(devices: tuple[str, ...]) -> tuple[DeviceState, ...]:
    """The devices in use, named as torch names them (`cuda:1`), as they are now. Those unknown to NVML are left out."""
    library, why = _library()
    if why is not None:
        return ()
    handles = [_handle(library, device) for device in devices]
    return tuple(_state(library, handle) for handle in handles if handle is not None)


def _state(library: Any, handle: Any) -> DeviceState:
    mask = _asked(library.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
    processes = _asked(library.nvmlDeviceGetComputeRunningProcesses, handle)
    power_mw = _asked(library.nvmlDeviceGetPowerUsage, handle)
    limit_mw = _asked(library.nvmlDeviceGetEnforcedPowerLimit, handle)
    sm_mhz = _asked(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_SM)
    memory_mhz = _asked(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_MEM)
    return DeviceState(
        sm_clock_hz=None if sm_mhz is None else sm_mhz * 1e6,
        memory_clock_hz=None if memory_mhz is None else memory_mhz * 1e6,
        power_w=None if power_mw is None else power_mw / 1000,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        temperature_c=_asked(library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU),
        power_capped_s=_violated_s(library, handle, library.NVML_PERF_POLICY_POWER),
        heat_capped_s=_violated_s(library, handle, library.NVML_PERF_POLICY_THERMAL),
        throttle_reasons=tuple(name for name, bit in _throttles(library).items() if mask & bit),
        # One of them is ours; which one cannot be told, because in a container the driver names other process ids.
        other_processes=None if processes is None else max(0, len(processes) - 1),
    )


def _violated_s(library: Any, handle: Any, policy: int) -> float | None:
    """Total time for which a policy held the clocks back."""
    found = _asked(library.nvmlDeviceGetViolationStatus, handle, policy)
    return None if found is None else found.violationTime / 1e9


def _throttles(library: Any) -> dict[str, int]:
    """Reasons that slow a device under load (idle and application clocks are no such reasons)."""
    return {
        "power cap": library.nvmlClocksThrottleReasonSwPowerCap,
        "hardware slowdown": library.nvmlClocksThrottleReasonHwSlowdown,
        "thermal": library.nvmlClocksThrottleReasonSwThermalSlowdown
        | library.nvmlClocksThrottleReasonHwThermalSlowdown,
        "power brake": library.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    }


def uuid(device: str) -> str | None:
    """What NVML calls the device that torch names (`cuda:1`); None where torch does not say."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    found = getattr(torch.cuda.get_device_properties(int(device.partition(":")[2] or 0)), "uuid", None)
    return None if found is None else f"GPU-{found}"


def uuid_of(handle: Any) -> str | None:
    """The UUID behind an NVML handle, whoever opened it."""
    library, why = _library()
    found = None if why is not None else _asked(library.nvmlDeviceGetUUID, handle)
    return None if found is None else _text(found)


def _handle(library: Any, device: str) -> Any:
    """NVML numbers all devices by bus, torch the visible ones in CUDA's order: only the UUID is common to both."""
    index = int(device.partition(":")[2] or 0)
    own = uuid(device)
    if own is not None:
        return _asked(library.nvmlDeviceGetHandleByUUID, own)
    if os.environ.get("CUDA_VISIBLE_DEVICES") is None:
        return _asked(library.nvmlDeviceGetHandleByIndex, index)
    return None


def process_used_bytes(devices: tuple[str, ...], processes: Collection[int] | None = None) -> int | None:
    """Memory that `processes` (this one, where none are named) hold on the devices in use, as the driver counts it:
    contexts and kernels included.

    None where the driver does not say, or where it cannot be told which of several processes are these.
    """
    ours = {os.getpid()} if processes is None else processes
    library, why = _library()
    if why is not None:
        return None
    total = 0
    for device in devices:
        handle = _handle(library, device)
        running = None if handle is None else _asked(library.nvmlDeviceGetComputeRunningProcesses, handle)
        own = [one for one in running or () if one.pid in ours]
        if not own and len(running or ()) == 1:
            own = list(running or ())  # in a container the driver names other process ids
        if not own or any(one.usedGpuMemory is None for one in own):
            return None
        total += sum(int(one.usedGpuMemory) for one in own)
    return total or None


def _cuda_version(number: int | None) -> str | None:
    """NVML's 12040 is CUDA 12.4."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _asked(call: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers, None where it refuses."""
    try:
        return call(*arguments)
    except _library()[0].NVMLError:
        return None


def used_bytes(devices: tuple[str, ...]) -> int | None:
    """Memory in use on the devices that torch names, other processes included, None where there is no counter."""
    library, why = _library()
    if why is not None:
        return None
    total = 0
    for device in devices:
        handle = _handle(library, device)
        memory = None if handle is None else _asked(library.nvmlDeviceGetMemoryInfo, handle)
        if memory is None:
            return None
        total += int(memory.used)
    return total


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
