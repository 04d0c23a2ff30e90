"""The machine at an edge of the timed window: clocks, power, temperature, throttling, swap, neighbours.

Read just before the first timed round and just after the last one, never during: reading costs milliseconds.
"""

from pathlib import Path

import psutil

from bench.schema import Edge
from bench.sensors import busy, nvidia

_CPUS = Path("/sys/devices/system/cpu")
_CORE_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


def read(devices: tuple[str, ...]) -> Edge:
    """One reading. `devices`: the accelerators in use as torch names them (`cuda:0`), empty on a CPU."""
    reasons: dict[str, str] = {}
    # First: a device that has just ended its work falls back to idle clocks within milliseconds.
    states = nvidia.states(devices)
    clock = _cpu_clock_hz()
    if clock is None:
        reasons["cpu_clock_hz"] = "this system does not say"
    temperature = _cpu_temperature_c()
    if temperature is None:
        reasons["cpu_temperature_c"] = "no sensor (usual in a virtual machine)"
    throttled = _cpu_throttled()
    if throttled is None:
        reasons["cpu_throttled"] = "this kernel does not count it"
    swapped = busy.swapped_bytes()
    if swapped is None:
        reasons["swapped_bytes"] = "this kernel does not count it"
    if len(states) < len(devices):
        reasons["devices"] = nvidia.reason() or "the driver does not know the devices in use"
    return Edge(
        load_average=busy.load_average(),
        cpu_clock_hz=clock,
        cpu_temperature_c=temperature,
        cpu_throttled=throttled,
        swapped_bytes=swapped,
        major_faults=busy.major_faults(),
        devices=states,
        reasons=reasons,
    )


def _cpu_clock_hz() -> float | None:
    try:
        found = psutil.cpu_freq()
    except (AttributeError, OSError, NotImplementedError, RuntimeError):
        return None  # psutil raises what the platform's own reader raises
    return found.current * 1e6 if found is not None and found.current else None


def _cpu_temperature_c() -> float | None:
    try:
        found = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    readings = [one.current for name in _CORE_SENSORS for one in found.get(name, [])]
    return max(readings) if readings else None


def _cpu_throttled() -> int | None:
    counts = []
    for path in _CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"):
        try:
            counts.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return sum(counts) if counts else None
