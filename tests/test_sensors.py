"""Counters of the machine: what they say, and null with a reason where there is none."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.schema import Environment
from bench.sensors import busy, edges, environment, nvidia

STAT = "cpu  100 2 30 400 5 6 7 250 0 0\ncpu0 50 1 15 200 2 3 3 125 0 0\nintr 5\n"
VMSTAT = "nr_free_pages 5\npswpin 3\npswpout 7\npgfault 9\n"
PSI = "some avg10=0.02 avg60=0.09 avg300=1.11 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


def _file(folder: Path, text: str) -> Path:
    path = folder / "counter"
    path.write_text(text)
    return path


def test_counters_are_read_as_the_kernel_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks into seconds, pages into bytes, microseconds into seconds; the line of all CPUs, not of the first."""
    monkeypatch.setattr(busy, "_STAT", _file(tmp_path, STAT))
    assert busy.cpu_stolen_s() == pytest.approx(250 / os.sysconf("SC_CLK_TCK"))
    monkeypatch.setattr(busy, "_VMSTAT", _file(tmp_path, VMSTAT))
    assert busy.swapped_bytes() == 10 * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(busy, "_PSI", _file(tmp_path, PSI))
    monkeypatch.setattr(busy, "_OWN_PSI", tmp_path / "absent")
    assert busy.cpu_stalled_s() == pytest.approx(1.5)
    own = tmp_path / "own"
    own.write_text(PSI.replace("total=1500000", "total=250000"))
    monkeypatch.setattr(busy, "_OWN_PSI", own)
    assert busy.cpu_stalled_s() == pytest.approx(0.25), "a container's own count is asked first"


@pytest.mark.parametrize("text", [None, "", "cpu  1 2 3\n", "nothing of ours\n"])
def test_a_counter_that_is_absent_is_null(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file, an empty one, an old kernel's shorter line: never zero."""
    path = tmp_path / "absent" if text is None else _file(tmp_path, text)
    for name in ("_STAT", "_VMSTAT", "_PSI", "_OWN_PSI"):
        monkeypatch.setattr(busy, name, path)
    assert (busy.cpu_stolen_s(), busy.swapped_bytes(), busy.cpu_stalled_s()) == (None, None, None)


def test_switches_grow_and_never_shrink() -> None:
    first = busy.involuntary_switches()
    second = busy.involuntary_switches()
    assert first is not None
    assert second is not None
    assert second >= first >= 0


def test_an_edge_on_a_cpu_has_a_figure_or_a_reason_for_each_reading() -> None:
    edge = edges.read(())
    for name in ("cpu_clock_hz", "cpu_temperature_c", "cpu_throttled", "swapped_bytes"):
        assert (getattr(edge, name) is None) == (name in edge.reasons), name
    assert edge.devices == ()
    assert "devices" not in edge.reasons
    assert edge.load_average is None or edge.load_average >= 0
    if edge.cpu_clock_hz is not None:
        assert 1e8 < edge.cpu_clock_hz < 1e10


def test_an_edge_says_why_a_device_is_not_in_it() -> None:
    if nvidia.accelerators():
        assert len(edges.read(("cuda:0",)).devices) == 1
    else:
        assert edges.read(("cuda:0",)).reasons["devices"]


def test_sensors_of_the_cpu_are_read_where_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hot = {
        "coretemp": [SimpleNamespace(current=51.0), SimpleNamespace(current=63.5)],
        "nvme": [SimpleNamespace(current=99)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: hot, raising=False)
    for core, count in (("cpu0", "4"), ("cpu1", "5")):
        folder = tmp_path / core / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(count + "\n")
    monkeypatch.setattr(edges, "_CPUS", tmp_path)
    edge = edges.read(())
    assert edge.cpu_temperature_c == 63.5
    assert edge.cpu_throttled == 9


class Driver:
    """NVML as its documentation describes it: two devices, of which the second is throttled and shared."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1
    nvmlClocksThrottleReasonSwPowerCap = 4  # noqa: N815  the library's own names
    nvmlClocksThrottleReasonHwSlowdown = 8  # noqa: N815
    nvmlClocksThrottleReasonSwThermalSlowdown = 32  # noqa: N815
    nvmlClocksThrottleReasonHwThermalSlowdown = 64  # noqa: N815
    nvmlClocksThrottleReasonHwPowerBrakeSlowdown = 128  # noqa: N815

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 1:
            raise self.NVMLError
        return index

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:  # noqa: N802
        return 0 if handle == 0 else 1 | 4 | 64  # idle is no reason of ours

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        mine = SimpleNamespace(pid=os.getpid(), usedGpuMemory=5 * 2**30)
        return [mine] if handle == 0 else [mine, SimpleNamespace(pid=1, usedGpuMemory=2**30)]

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 350_500

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        raise self.NVMLError  # not every device has one

    def nvmlDeviceGetClockInfo(self, handle: int, which: int) -> int:  # noqa: N802
        return {1: 1980, 2: 2619}[which]

    def nvmlDeviceGetViolationStatus(self, handle: int, policy: int) -> Any:  # noqa: N802
        if policy == self.NVML_PERF_POLICY_THERMAL:
            raise self.NVMLError
        return SimpleNamespace(referenceTime=1, violationTime=2_500_000_000)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return 61


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_library", lambda: (Driver(), None))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("driver")
def test_the_state_of_a_device_in_si_units() -> None:
    """Hertz and watts; what the driver refuses is null; one of the processes is this one."""
    quiet, shared = nvidia.states(("cuda:0", "cuda:1"))
    assert (quiet.sm_clock_hz, quiet.memory_clock_hz, quiet.power_w) == (1.98e9, 2.619e9, 350.5)
    assert (quiet.power_limit_w, quiet.temperature_c) == (None, 61)
    assert (quiet.throttle_reasons, quiet.other_processes) == ((), 0)
    assert (quiet.power_capped_s, quiet.heat_capped_s) == (2.5, None)
    assert (shared.throttle_reasons, shared.other_processes) == (("power cap", "thermal"), 1)


@pytest.mark.usefixtures("driver")
def test_a_device_that_the_driver_does_not_know_is_left_out_with_a_reason() -> None:
    edge = edges.read(("cuda:0", "cuda:7"))
    assert len(edge.devices) == 1
    assert edge.reasons["devices"]


@pytest.mark.usefixtures("driver")
def test_memory_of_this_process_is_told_from_that_of_others() -> None:
    assert nvidia.process_used_bytes(("cuda:0",)) == 5 * 2**30
    assert nvidia.process_used_bytes(("cuda:1",)) == 5 * 2**30


def test_the_environment_names_what_moves_numbers() -> None:
    found = environment.detect(("numpy", "absent-package"))
    assert found.cpu_model
    assert found.cpu_affinity is None or len(found.cpu_affinity) >= found.cpu_usable
    assert set(found.cpu_flags) <= environment.KERNEL_FLAGS
    assert "numpy" in found.packages
    assert "absent-package" not in found.packages
    assert found.instrument == environment.INSTRUMENT


def test_flags_are_read_on_both_kinds_of_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """x86 says `flags`, Arm says `Features`; names that no kernel asks for are left out."""
    cpuinfo = {"text": "processor : 0\nflags : fpu avx2 avx512_bf16 hypervisor sse4_2\n"}
    monkeypatch.setattr(environment, "_read", lambda path: cpuinfo["text"] if path == "/proc/cpuinfo" else None)
    assert environment._cpu_flags() == ("avx2", "avx512_bf16", "sse4_2")
    assert environment._virtual() is True
    cpuinfo["text"] = "processor : 0\nFeatures : fp asimd i8mm bf16 crc32\n"
    assert environment._cpu_flags() == ("asimd", "bf16", "i8mm")
    assert environment._virtual() is None


def test_the_hardware_is_the_same_whatever_software_runs() -> None:
    """A measured ceiling outlives an upgrade; a row does not pool over one."""
    here = environment.detect(("numpy",))
    newer = here.model_copy(update={"packages": {"numpy": "99"}, "python": "3.99", "system": "Linux 99"})
    bigger = here.model_copy(update={"cpu_usable": here.cpu_usable + 1})
    assert newer.hardware() == here.hardware()
    assert newer.fingerprint() != here.fingerprint()
    assert bigger.hardware() != here.hardware()
    assert Environment.model_validate_json(here.model_dump_json()).hardware() == here.hardware()
