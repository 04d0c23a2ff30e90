"""Several devices: what is asked for and not there, what lies where, and memory, price and ceilings of all of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from bench.cost import hourly
from bench.execute import fit
from bench.hardware import ceiling, division
from bench.hardware.division import Division
from bench.metrics.roofline import roofline
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.report import places
from bench.runners.transformers import Options, TransformersRunner, devices
from bench.schema import (
    Accelerator,
    Ceiling,
    Cell,
    CostChoices,
    Environment,
    Model,
    ModelFacts,
    Plain,
    RunnerChoice,
    Workload,
)
from bench.sensors import energy, environment, nvidia
from tests import samples
from tests.commands import bench

H100 = samples.H100
L4 = Accelerator(name="NVIDIA L4", memory_bytes=24_000_000_000)
BF16 = Plain(name="bf16")
GB = 10**9


def machine(*accelerators: Accelerator, cpus: int = 16, torch: str = "2.13.0") -> Environment:
    return environment.detect().model_copy(
        update={
            "accelerators": accelerators,
            "cpu_usable": cpus,
            "packages": {"torch": torch},
            "memory_total_bytes": 64 * GB,
            "memory_limit_bytes": None,
        }
    )


def on(
    *accelerators: Accelerator, parallel: dict[str, int] | None = None, held: list[int] | None = None, **more: Any
) -> ModelFacts:
    """Facts of a model on these devices, as much of it on each as `held` says."""
    sizes = held or [GB] * len(accelerators)
    where = {f"cuda:{index}": size for index, size in enumerate(sizes)}
    return samples.facts(where or {"cpu": GB}).model_copy(
        update={"accelerators": accelerators, "parallel": parallel or {}, **more}
    )


# --- asked for, and not there


@pytest.mark.parametrize(
    ("options", "gpus", "cpus", "reason", "remedy"),
    [
        ({"device": "cuda:3"}, 2, 8, "device cuda:3 is not there (2 CUDA devices are visible)", "device: auto or cpu"),
        ({"device": "cuda"}, 0, 8, "device cuda is not there (no CUDA devices are visible)", "CUDA build of torch"),
        ({"device_map": {"": 1}}, 1, 8, "device_map names GPU 1, which is not there (1 CUDA device is", "0 alone"),
        ({"device_map": {"a": "cuda:5", "b": 0}}, 4, 8, "device_map names GPU 5", "name 0 to 3"),
        ({"device_map": {"a": "cuda"}}, 0, 8, "device_map names GPU 0", "name cpu and disk"),
        ({"device_map": "auto", "max_memory": {"2": "1GiB", "cpu": "1GiB"}}, 2, 8, "max_memory names GPU 2", "0 to 1"),
        ({"tensor_parallel": 8}, 2, 64, "tensor_parallel: 8 needs 8 GPUs (2 CUDA devices are", "tensor_parallel: 2"),
        ({"tensor_parallel": 2}, 1, 64, "tensor_parallel: 2 needs 2 GPUs (1 CUDA device is", "leave tensor_parallel"),
        ({"tensor_parallel": 2, "device": "cuda"}, 0, 64, "needs 2 GPUs (no CUDA devices are", "leave tensor_parallel"),
        ({"tensor_parallel": 8}, 0, 2, "needs 8 CPUs where there is no GPU, one a rank, and 2 are", "parallel: 2"),
        ({"tensor_parallel": 2}, 0, 1, "one a rank, and 1 is usable", "leave tensor_parallel out"),
        ({"tensor_parallel": 2, "threads": 4}, 0, 4, "needs 8 CPUs where there is no GPU, 4 threads a rank", "leave"),
        ({"tensor_parallel": 2, "device": "cpu"}, 2, 8, "need a process that sees no GPU", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_more_devices_than_there_are(options: dict[str, Any], gpus: int, cpus: int, reason: str, remedy: str) -> None:
    found = devices.lacking(Options.model_validate(options), gpus, cpus)
    assert found is not None
    assert reason in found[0]
    assert remedy in found[1]


@pytest.mark.parametrize(
    ("options", "gpus", "cpus"),
    [
        ({}, 0, 1),
        ({"device": "cuda:1"}, 2, 1),
        ({"device_map": "auto"}, 0, 1),
        ({"device_map": {"a": 0, "b": "cuda:1", "c": "cpu", "d": "disk"}, "max_memory": {"1": "1GiB"}}, 2, 1),
        ({"tensor_parallel": 2}, 2, 1),
        ({"tensor_parallel": 2}, 0, 2),
        ({"tensor_parallel": 2, "device": "cpu", "threads": 2}, 0, 4),
    ],
)
def test_as_many_devices_as_are_asked_for(options: dict[str, Any], gpus: int, cpus: int) -> None:
    assert devices.lacking(Options.model_validate(options), gpus, cpus) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tensor_parallel": 2, "device_map": "auto"}, "contradict each other"),
        ({"tensor_parallel": 2, "device": "cuda:1"}, "is one device, tensor_parallel takes several"),
        ({"tensor_parallel": 2, "device": "mps"}, "is one device"),
        ({"tensor_parallel": 2, "compile": True}, "use compile: false"),
        ({"tensor_parallel": 0}, "greater than or equal to 1"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Options.model_validate(options)


def test_the_parent_counts_the_devices_that_torch_will_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES hides devices; names that cannot be counted from outside of torch are left to it."""

    def lacking(visible: str | None, of: Environment, **options: Any) -> tuple[str, str] | None:
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return TransformersRunner.lacking(Options.model_validate(options), of)

    four = machine(H100, H100, H100, L4)
    assert lacking(None, four, tensor_parallel=4) is None
    assert "(2 CUDA devices are visible)" in str(lacking("1,3", four, tensor_parallel=4))
    assert "needs 32 CPUs where there is no GPU" in str(lacking("", four, tensor_parallel=32))
    assert lacking("GPU-5c1f", four, tensor_parallel=4) is None
    assert lacking(None, machine(H100, torch="2.13.0+rocm7"), tensor_parallel=4) is None
    assert "no GPU" in str(lacking(None, machine(H100, cpus=2, torch="2.13.0+cpu"), tensor_parallel=4))


def test_the_room_of_ranks_is_as_many_times_the_smallest_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    options = Options(tensor_parallel=2)
    assert TransformersRunner.room_bytes(options, machine(H100, H100)) == 2 * 85 * GB
    assert TransformersRunner.room_bytes(options, machine(H100, L4)) == 2 * 24 * GB
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert TransformersRunner.room_bytes(options, machine()) == 64 * GB


def test_a_dry_run_says_it_before_anything_starts(tmp_path: Path) -> None:
    """One line each, also for a model whose config nobody has here."""
    config = tmp_path / "sweep.yaml"
    config.write_text(
        "models: shape:llama-3.1-8b\nprecisions: [bf16]\nrunners:\n  - {name: transformers, tensor_parallel: 4096}\n"
        "workloads: {batch_size: 1, input_tokens: 8, output_tokens: 2}\n"
    )
    done = bench("run", str(config), "--dry-run")
    assert done.returncode == 2
    assert "tensor_parallel: 4096 needs 4096" in done.stderr
    assert "nothing was loaded" in done.stderr
    assert "Traceback" not in done.stderr
    cell = Cell(
        model=Model(source="nobody/has-this"),
        precision=BF16,
        runner=RunnerChoice(name="transformers", options={"device_map": {"": 99}}),
        workload=samples.WORKLOAD,
    )
    found = fit.problem(cell)
    assert found is not None
    assert found.status == "unsupported"
    assert "device_map names GPU 99" in found.failure.reason


# --- what lies where


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (on(H100), None),
        (on(), None),
        (
            on(H100, H100, parallel={"tensor": 2}, held=[8_100_000_000, 8_050_000_000]),
            "Weights: cuda:0 8.1 GB, cuda:1 8.1 GB; tensor parallel over 2 devices.",
        ),
        (on(parallel={"tensor": 2}), "Weights: cpu 1.0 GB; tensor parallel over 2 processes on the CPU."),
        (
            on(*[L4] * 11).model_copy(update={"placement": {"cpu": 5_000_000, "cuda:10": GB, "cuda:2": 3 * GB}}),
            "Weights: cuda:2 3.0 GB, cuda:10 1.0 GB, cpu 5 MB; each holds whole layers, so that they take turns; what "
            "lies on cpu or disk is brought to a device for each use.",
        ),
        (
            on().model_copy(update={"placement": {"disk": GB, "cpu": GB}}),
            "Weights: cpu 1.0 GB, disk 1.0 GB; what lies on disk is read for each use.",
        ),
    ],
)
def test_the_footnote_says_what_lies_where(facts: ModelFacts, said: str | None) -> None:
    assert places.note(facts) == said


# --- memory and energy


class Driver:
    """NVML of three devices. This process and its child 11 have 5 GiB each on the first two, a stranger the rest."""

    NVMLError = RuntimeError

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 2:
            raise RuntimeError
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=(6, 7, 40)[handle] * 2**30)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        used = 5 * 2**30
        stranger = SimpleNamespace(pid=99, usedGpuMemory=2**30)
        return [SimpleNamespace(pid=10 + handle, usedGpuMemory=used), stranger] if handle < 2 else [stranger, stranger]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_library", lambda: (Driver(), None))
    monkeypatch.setattr(nvidia, "uuid", lambda _: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("driver")
def test_memory_is_that_of_the_devices_in_use_and_of_all_processes_of_the_engine() -> None:
    assert nvidia.used_bytes(("cuda:0", "cuda:1")) == 13 * 2**30, "the third device is somebody else's"
    assert nvidia.used_bytes(("cuda:1",)) == 7 * 2**30
    assert nvidia.used_bytes(("cuda:0", "cuda:7")) is None
    assert nvidia.process_used_bytes(("cuda:0", "cuda:1"), {10, 11}) == 10 * 2**30
    assert nvidia.process_used_bytes(("cuda:0", "cuda:1"), {10}) is None, "which of the second one's is ours?"
    assert nvidia.process_used_bytes(("cuda:2",), {10, 11}) is None


def test_energy_is_of_every_device_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """zeus counts millijoules a device, in the driver's order; torch's first may be the driver's third."""
    handles = [SimpleNamespace(handle=index) for index in range(4)]
    used_mj = {0: 1e3, 1: 20e3, 2: 300e3, 3: 4000e3}

    class Gpus(list[SimpleNamespace]):
        gpus = handles

        def get_total_energy_consumption(self, index: int) -> float:
            return used_mj[index]

    monkeypatch.setattr(nvidia, "uuid", lambda device: {"cuda:0": "GPU-c", "cuda:1": "GPU-a"}.get(device))
    monkeypatch.setattr(nvidia, "uuid_of", lambda handle: f"GPU-{'abcd'[handle]}")
    gpus = Gpus(handles)
    indexes = [energy._index(gpus, device) for device in ("cuda:0", "cuda:1")]
    assert indexes == [2, 0]
    assert energy._gpu_joules(gpus, indexes) == {"gpu_energy_j": 301.0}
    assert energy._index(gpus, "cuda:9") is None, "four devices, and which one is meant is not known"


# --- price


def usd(facts: ModelFacts, here: Environment) -> float:
    return hourly.rate(CostChoices(), here, facts).usd_per_hour


@pytest.mark.parametrize("number", [1, 2, 4, 8])
def test_the_devices_that_were_used_are_paid_for_and_no_others(number: int) -> None:
    here = machine(*[H100] * 8)
    one = usd(on(H100), here)
    assert one > 0
    for parallel in ({"tensor": number}, {"tensor": 1, "pipeline": number}, {}):
        assert usd(on(*[H100] * number, parallel=parallel), here) == pytest.approx(number * one)
    # Facts that name no device, as older records have them.
    unnamed = on(*[H100] * number).model_copy(update={"accelerators": ()})
    assert usd(unnamed, here) == pytest.approx(number * one)


def test_two_kinds_of_device_are_paid_each_at_its_price() -> None:
    here = machine(H100, L4, L4)
    found = hourly.rate(CostChoices(), here, on(H100, L4, L4))
    assert found.usd_per_hour == pytest.approx(usd(on(H100), here) + 2 * usd(on(L4), here))
    assert "1 × NVIDIA H100" in found.basis
    assert "2 × NVIDIA L4" in found.basis


def test_ranks_on_the_cpu_are_paid_as_the_cpus_of_the_machine() -> None:
    here = machine(cpus=16)
    assert usd(on(parallel={"tensor": 4}), here) == usd(on(), here) > 0
    off_loaded = on(H100).model_copy(update={"placement": {"cuda:0": GB, "cpu": GB, "disk": GB}})
    assert usd(off_loaded, machine(H100)) == usd(on(H100), machine(H100))


# --- ceilings


FAST = Ceiling(
    device="fast", read_bytes_per_s=3e12, copy_bytes_per_s=2e12, gemm_flops_per_s={"bf16": 1e15, "fp32": 1e13}
)
SLOW = Ceiling(device="slow", read_bytes_per_s=1e12, gemm_flops_per_s={"bf16": 5e14})


def test_devices_that_split_every_matrix_are_added_up() -> None:
    shared = division.of(on(H100, L4, parallel={"tensor": 2}))
    found = division.together([FAST, SLOW], shared)
    assert (found.read_bytes_per_s, found.copy_bytes_per_s) == (4e12, None)
    assert found.gemm_flops_per_s == {"bf16": 1.5e15}
    assert "their rates added" in shared.said()


def test_devices_with_whole_layers_take_turns() -> None:
    """Three quarters of the bytes at 3 TB/s and a quarter at 1 TB/s: 0.25 + 0.25 ps a byte, 2 TB/s."""
    shared = division.of(on(H100, L4, held=[3 * GB, GB]))
    found = division.together([FAST, SLOW], shared)
    assert shared.shares == (0.75, 0.25)
    assert found.read_bytes_per_s == pytest.approx(2e12)
    assert found.gemm_flops_per_s["bf16"] == pytest.approx(1 / (0.75 / 1e15 + 0.25 / 5e14))
    assert division.together([FAST, FAST], division.of(on(H100, H100))).read_bytes_per_s == pytest.approx(3e12)
    assert "take turns" in shared.said()


def test_stages_of_a_pipeline_read_in_turn_and_multiply_at_once() -> None:
    shared = division.of(on(*[H100] * 4, parallel={"tensor": 2, "pipeline": 2}))
    found = division.together([FAST] * 4, shared)
    assert shared.stages == ((0, 1), (2, 3))
    assert found.read_bytes_per_s == pytest.approx(6e12)
    assert found.gemm_flops_per_s["bf16"] == pytest.approx(4e15)
    assert "the 2 stages of 2 devices take turns" in shared.said()


def test_one_device_is_itself() -> None:
    for facts in (on(), on(H100), on(parallel={"tensor": 2})):
        shared = division.of(facts)
        assert not shared.in_turn
        assert shared.said() == ""
        assert division.together([FAST], shared) == FAST


def test_more_of_a_kind_share_as_the_measured_ones_did() -> None:
    at_once, turns = Division(((0, 1),), (1.0,)), Division(((0,), (1,)), (0.5, 0.5))
    pipeline = Division(((0, 1), (2, 3)), (0.5, 0.5), overlapping=True)
    assert [division.of_alike(FAST, number, at_once).read_bytes_per_s for number in (1, 2, 8)] == [3e12, 6e12, 24e12]
    assert [division.of_alike(FAST, number, turns).read_bytes_per_s for number in (1, 2, 8)] == [3e12, 3e12, 3e12]
    assert [division.of_alike(FAST, number, pipeline).read_bytes_per_s for number in (1, 4, 8)] == [3e12, 6e12, 6e12]
    assert division.of_alike(FAST, 8, pipeline).gemm_flops_per_s["bf16"] == 8e15


def test_mbu_is_of_what_the_devices_can_reach_as_they_share_the_model(tmp_path: Path) -> None:
    """The same step on two H100: half of what both could read together, all that they can in turn."""
    config = catalogue.shapes()["llama-3.1-8b"]
    work = Workload(batch_size=1, input_tokens=1000, output_tokens=24)
    step_s = 15_142_494_208 / 3.35e12  # docs/roofline.md: the bytes of a step over what one of them reads
    seconds = Estimate(step_s, step_s, step_s, 1)
    found = {}
    for name, parallel in (("tensor", {"tensor": 2}), ("turns", {})):
        facts = on(H100, H100, parallel=parallel, kv_bytes_per_token=131_072)
        limit, basis = ceiling.of(tmp_path, machine(H100, H100), facts)
        found[name] = roofline(config, facts, BF16, work, seconds, seconds, limit, basis)
    assert found["tensor"].mbu is not None
    assert found["turns"].mbu is not None
    assert found["tensor"].mbu.value == pytest.approx(0.5)
    assert found["turns"].mbu.value == pytest.approx(1.0)
    assert found["tensor"].basis.endswith("2 devices work at once: their rates added")
    assert "the 2 devices take turns, layer by layer" in found["turns"].basis
