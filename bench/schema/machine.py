"""Detected: the machine, its state at the edges of a measurement, and what it can do at most."""

import hashlib
import json
from typing import Any

from pydantic import Field

from bench.schema.noun import Noun


class Accelerator(Noun):
    """One device as the driver names it."""

    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    cuda_driver: str | None = Field(None, description="the newest CUDA that the driver serves")
    power_limit_w: float | None = None


class Environment(Noun):
    """Where a cell ran. No host name, user name or serial number: records are published."""

    bench_version: str
    bench_revision: str | None = None
    instrument: int = Field(1, description="raised when a change of the harness can move a figure")
    python: str
    packages: dict[str, str] = Field(default_factory=dict)
    system: str
    cpu_model: str
    cpu_logical: int
    cpu_physical: int | None = None
    cpu_usable: int
    cpu_affinity: tuple[int, ...] | None = Field(None, description="CPUs that the process may be scheduled on")
    cpu_flags: tuple[str, ...] = Field((), description="instruction sets that matrix kernels choose by")
    cpu_smt: bool | None = Field(None, description="whether two hardware threads share a core")
    cpu_governor: str | None = None
    numa_nodes: int | None = None
    virtual_machine: bool | None = None
    memory_total_bytes: int
    memory_limit_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()

    def fingerprint(self) -> str:
        """Equal for two runs whose numbers may stand in one interval: same machine, same engine versions."""
        return hashlib.sha256(json.dumps(self._telling(), sort_keys=True).encode()).hexdigest()[:12]

    def differs_from(self, other: "Environment") -> tuple[str, ...]:
        """Names of what keeps the numbers of two runs apart, packages by their own names."""
        mine, others = self._telling(), other._telling()
        for said in (mine, others):
            said |= said.pop("packages")
        return tuple(sorted(name for name in {*mine, *others} if mine.get(name) != others.get(name)))

    def _telling(self) -> dict[str, Any]:
        # Not: what a reboot or a kernel update changes by a little, and the version of what moves no number.
        volatile = {
            "bench_version",
            "bench_revision",
            "memory_limit_bytes",
            "memory_total_bytes",
            "system",
            "cpu_affinity",  # which CPUs, not how many: a cluster's scheduler gives other ones each time
        }
        said = self.model_dump(mode="json", exclude=volatile)
        said["memory_gib"] = round(self.memory_total_bytes / 2**30)
        return said

    def hardware(self) -> str:
        """Equal for two runs on the same kind of machine, whatever software ran: what a measured ceiling belongs to."""
        keys = ("cpu_model", "cpu_logical", "cpu_usable", "numa_nodes")
        said = {key: getattr(self, key) for key in keys}
        said["memory_gib"] = round(self.memory_total_bytes / 2**30)
        said["accelerators"] = [device.name for device in self.accelerators]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


class DeviceState(Noun):
    """One accelerator at an edge of the timed window; null where the driver does not say."""

    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    power_capped_s: float | None = Field(None, description="total time for which a power limit held its clocks back")
    heat_capped_s: float | None = Field(None, description="total time for which heat did")
    throttle_reasons: tuple[str, ...] = ()
    other_processes: int | None = Field(None, description="processes on it that are not of this measurement")


class Edge(Noun):
    """The machine at one edge of the timed window. Counters are totals since boot."""

    load_average: float | None = Field(None, description="runnable tasks over the last minute")
    cpu_clock_hz: float | None = None
    cpu_temperature_c: float | None = None
    cpu_throttled: int | None = Field(None, description="times that a core was slowed for its heat")
    swapped_bytes: int | None = Field(None, description="read from and written to swap, whole machine")
    major_faults: int | None = Field(None, description="pages that this process had to wait for a disk for")
    devices: tuple[DeviceState, ...] = ()
    reasons: dict[str, str] = Field(default_factory=dict, description="why a reading is null")


class Ceiling(Noun):
    """What one device can do at most, as measured on it by `bench hardware`."""

    device: str = Field(description="cpu, or the accelerator's name")
    threads: int | None = Field(None, description="CPU threads that reached it")
    read_bytes_per_s: float | None = None
    copy_bytes_per_s: float | None = Field(None, description="bytes read and bytes written, added")
    gemm_flops_per_s: dict[str, float] = Field(default_factory=dict, description="type of the product → FLOP/s")


class Ceilings(Noun):
    """All devices of a machine, measured together at one time."""

    schema_version: int = 1
    hardware: str = Field(description="Environment.hardware() of the machine")
    measured_at: str
    environment: Environment
    devices: tuple[Ceiling, ...] = Field(description="the best of each device")
    by_threads: tuple[Ceiling, ...] = Field((), description="the CPU again, with fewer threads")
    reasons: dict[str, str] = Field(default_factory=dict)
