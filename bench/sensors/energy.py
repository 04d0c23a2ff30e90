"""Joules between two moments. Null and a reason where there is no counter, or where one went away.

The counters are read by zeus (NVML, AMD SMI, RAPL), an optional dependency: `pip install 'llm-cost-bench[energy]'`.
They count the whole device: whatever else runs on it is in the figure. zeus watches RAPL counters for wrap-arounds in
processes of its own; `helpers` names them, so that their memory is not taken for the model's.
"""

import importlib
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from bench.schema import Energy
from bench.sensors import nvidia

FIELDS = ("gpu_energy_j", "cpu_energy_j", "dram_energy_j")
POWERCAP = Path("/sys/class/powercap/intel-rapl")
RAPL = (POWERCAP, Path("/zeus_sys/class/powercap/intel-rapl"))
"""Where zeus looks for counters of CPUs: the second is a container's, as its documentation has it mounted."""

NOT_INSTALLED = "zeus is not installed: pip install 'llm-cost-bench[energy]'"
NO_RAPL = "no RAPL counter (usual in a virtual machine)"

Totals = Callable[[], Mapping[str, float]]
"""Joules so far, by name of the field."""


class EnergyMeter:
    """Counters that are there, opened once; `start` and `stop` read them."""

    def __init__(self, devices: tuple[str, ...], own: Totals | None = None) -> None:
        """`devices`: accelerators in use as torch names them. `own`: totals that the engine itself knows."""
        self._counters: list[tuple[str, Totals]] = []
        self._reasons: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self._before: dict[str, float] = {}
        earlier = _children()
        if own is not None:
            self._counters.append(("the engine's own count", own))
        else:
            self._open_gpus(devices)
            self._open_cpus()
        self.start()  # opens files and starts processes now, not at the edge of the window
        self.helpers = frozenset(_children() - earlier)

    def start(self) -> None:
        """Begin a window."""
        self._before = self._read()

    def stop(self) -> Energy:
        """Joules since `start`."""
        after = self._read()
        found: dict[str, float | None] = {}
        reasons = dict(self._reasons)
        for name in FIELDS:
            found[name] = None
            if name in self._before and name in after:
                used = after[name] - self._before[name]
                # A counter that was reset in between says nothing; zero is kept for what really used nothing.
                if used >= 0:
                    found[name] = used
                else:
                    reasons[name] = "the counter went back during the measurement"
            elif name in self._before:
                reasons[name] = "the counter went away during the measurement"
            else:
                reasons.setdefault(name, "no such counter")
        return Energy(
            **found,
            sources={name: self._sources[name] for name in FIELDS if found[name] is not None},
            reasons={name: why for name, why in reasons.items() if found[name] is None},
        )

    def _read(self) -> dict[str, float]:
        totals: dict[str, float] = {}
        for source, read in self._counters:
            try:
                found = read()
            except Exception as error:  # noqa: BLE001  a counter may fail in any way; the measurement goes on
                for name in FIELDS:
                    self._reasons.setdefault(name, f"{source}: {type(error).__name__}: {error}")
                continue
            for name, joules in found.items():
                totals[name] = joules
                self._sources[name] = source
        return totals

    def _open_gpus(self, devices: tuple[str, ...]) -> None:
        if not devices:
            self._reasons["gpu_energy_j"] = "no GPU in use"
            return
        gpus = self._opened("gpu_energy_j", "zeus.device.gpu", "get_gpus")
        if gpus is None:
            return
        indexes = [_index(gpus, device) for device in devices]
        if None in indexes:
            self._reasons["gpu_energy_j"] = "which of the driver's devices is in use is not known"
        else:
            self._counters.append((f"zeus, {type(gpus).__name__}", lambda: _gpu_joules(gpus, indexes)))

    def _open_cpus(self) -> None:
        # Importing zeus takes an eighth of a second, in each process, and is worth it only where it has what to read.
        if find_spec("zeus") is not None and not any(place.exists() for place in RAPL):
            self._reasons["cpu_energy_j"] = self._reasons["dram_energy_j"] = NO_RAPL
            return
        cpus = self._opened("cpu_energy_j", "zeus.device.cpu", "get_cpus")
        if cpus is None:
            self._reasons["dram_energy_j"] = self._reasons["cpu_energy_j"]
        else:
            self._counters.append((f"zeus, {type(cpus).__name__}, all packages", lambda: _cpu_joules(cpus)))

    def _opened(self, name: str, module: str, function: str) -> Any:
        if find_spec("zeus") is None:
            self._reasons[name] = NOT_INSTALLED
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return getattr(importlib.import_module(module), function)()
        except Exception as error:  # noqa: BLE001  no driver, no permission, no such file: each has its own class
            self._reasons[name] = _plain(error)
            return None


def _children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def _index(gpus: Any, device: str) -> int | None:
    """zeus' number of a device that torch names: they count in other orders, so the UUID decides where there is one."""
    uuid = nvidia.uuid(device)
    if uuid is None:
        return int(device.partition(":")[2] or 0) if len(gpus) == 1 else None
    return next((index for index, gpu in enumerate(gpus.gpus) if nvidia.uuid_of(gpu.handle) == uuid), None)


def _gpu_joules(gpus: Any, indexes: list[int | None]) -> Mapping[str, float]:
    return {"gpu_energy_j": sum(gpus.get_total_energy_consumption(index) for index in indexes) / 1000}


def _cpu_joules(cpus: Any) -> Mapping[str, float]:
    """Packages and their memory. On client parts RAPL also has the zone `psys`, the whole platform: counted twice."""
    packages = [cpu for cpu in cpus.cpus if _zone(cpu).startswith("package")]
    readings = [cpu.get_total_energy_consumption() for cpu in packages]
    if not readings:
        return {}
    found = {"cpu_energy_j": sum(one.cpu_mj for one in readings) / 1000}
    if all(one.dram_mj is not None for one in readings):
        found["dram_energy_j"] = sum(one.dram_mj for one in readings) / 1000
    return found


def _zone(cpu: Any) -> str:
    """The kernel's name of a RAPL zone; world-readable also where its counter is not."""
    known = getattr(cpu, "rapl_file", None)
    if known is not None:
        return str(known.name)
    try:
        return (POWERCAP / f"intel-rapl:{cpu.cpu_index}" / "name").read_text(encoding="ascii").strip()
    except OSError:
        return "package"


def _plain(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "RAPL" in text:
        if "permission" in text.lower():
            return "RAPL counters can be read by root alone here; make /sys/class/powercap readable, or use zeusd"
        return NO_RAPL
    return f"{type(error).__name__}: {text[:160]}"
