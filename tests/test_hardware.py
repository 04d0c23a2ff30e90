"""Ceilings: whose datasheet, what is kept, which one is taken, and one real measurement of this CPU."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.errors import InputError
from bench.execute import ceilings as execution
from bench.hardware import ceiling, datasheet, stored
from bench.schema import Accelerator, Ceiling, Ceilings, Environment
from bench.sensors import environment
from tests.commands import ROOT, bench

MIB = 2**20
H100 = Accelerator(name="NVIDIA H100 80GB HBM3", memory_bytes=81559 * MIB)
CPU = Ceiling(device="cpu", threads=2, read_bytes_per_s=30e9, copy_bytes_per_s=32e9, gemm_flops_per_s={"bf16": 4e11})
GPU = Ceiling(device=H100.name, read_bytes_per_s=3e12, gemm_flops_per_s={"bf16": 7e14, "int8": 1e15})


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def said() -> list[str]:
    return []


def _machine(*accelerators: Accelerator) -> Environment:
    return Environment(
        bench_version="1",
        python="3.11",
        system="Linux",
        cpu_model="a CPU",
        cpu_logical=4,
        cpu_usable=4,
        memory_total_bytes=2**34,
        accelerators=accelerators,
    )


def _ceilings(of: Environment, *devices: Ceiling, days: float = 1, **more: Any) -> Ceilings:
    measured_at = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    return Ceilings(hardware=of.hardware(), measured_at=measured_at, environment=of, devices=devices, **more)


@pytest.mark.parametrize(
    ("name", "mib", "part"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "NVIDIA H100 SXM 80GB"),
        ("NVIDIA H100 PCIe", 81559, "NVIDIA H100 PCIe 80GB"),
        ("NVIDIA H100 NVL", 95830, None),
        ("NVIDIA H100", 81559, None),  # of which form, the name does not tell
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9984, None),
        ("NVIDIA H100 80GB HBM3 MIG 7g.80gb", 81559, None),
        ("NVIDIA H200", 143771, "NVIDIA H200 SXM 141GB"),
        ("NVIDIA H200 NVL", 143771, None),
        ("NVIDIA A100-SXM4-40GB", 40960, "NVIDIA A100 40GB"),
        ("NVIDIA A100-PCIE-40GB", 40960, "NVIDIA A100 40GB"),
        ("NVIDIA A100-SXM4-80GB", 81920, "NVIDIA A100 80GB SXM"),
        ("NVIDIA A100 80GB PCIe", 81920, None),
        ("NVIDIA A100-SXM-64GB", 65536, None),
        ("NVIDIA A100-SXM4", None, None),  # 40 or 80 GB
        ("NVIDIA A10G", 22731, "NVIDIA A10G"),
        ("NVIDIA A10", 23028, None),
        ("Tesla T4", 15360, "NVIDIA T4"),
        ("NVIDIA L4", 23034, "NVIDIA L4"),
        ("NVIDIA L40", 46068, None),
        ("NVIDIA L40S", 46068, "NVIDIA L40S"),
        ("NVIDIA B200", 183359, "NVIDIA B200 SXM 180GB"),
        ("NVIDIA GH200 480GB", 97871, None),
        ("NVIDIA GeForce RTX 4090", 24564, "NVIDIA RTX 4090"),
        ("NVIDIA GeForce RTX 4090 D", 24564, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, None),
        ("NVIDIA GeForce RTX 3090 Ti", 24564, None),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887, "NVIDIA RTX PRO 6000 Blackwell WS"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, None),
        ("AMD Instinct MI300X", 196592, "AMD MI300X"),
        ("Quadro P4000", 8192, None),
    ],
)
def test_a_device_has_its_own_datasheet_or_none(name: str, mib: int | None, part: str | None) -> None:
    """Names and sizes as drivers report them; a part that is merely similar has no figures here."""
    found = datasheet.find(Accelerator(name=name, memory_bytes=None if mib is None else mib * MIB))
    assert (None if found is None else found.part) == part


def test_rates_of_a_datasheet() -> None:
    """H100 SXM: 3.35 TB/s, 989 TFLOP/s dense; a T4 has no bf16 and its fp16 rate stands in the note."""
    found = datasheet.find(H100)
    assert found is not None
    assert "InferenceX" in found.source
    rates = found.ceiling(H100)
    assert rates.read_bytes_per_s == 3.35e12
    assert rates.gemm_flops_per_s == {"bf16": 989e12, "fp16": 989e12, "int8": 1979e12}
    t4 = datasheet.find(Accelerator(name="Tesla T4", memory_bytes=15360 * MIB))
    assert t4 is not None
    assert t4.ceiling(H100).gemm_flops_per_s == {"fp16": 65e12}


def test_every_row_of_the_list_can_be_read() -> None:
    """A bandwidth and a source each."""
    assert len(datasheet.specs()) == 28
    assert all(spec.read_bytes_per_s and spec.memory_gb and spec.source for spec in datasheet.specs())


def test_ceilings_are_kept_and_found_again(said: list[str]) -> None:
    machine = _machine()
    kept = _ceilings(machine, CPU)
    path = stored.save(kept)
    assert path == stored.path_of(machine.hardware())
    assert stored.load(machine.hardware(), said.append) == kept
    assert [one.name for one in path.parent.iterdir()] == [path.name]  # nothing half-written beside it
    assert stored.load(_machine(H100).hardware(), said.append) is None
    assert said == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda text: text[:40], "broken"),
        (lambda _: "[]", "not ceilings of ours"),
        (lambda _: '{"schema_version": 2}', "schema 2 ignored"),
        (lambda text: text.replace('"measured_at"', '"when"'), "measured_at"),
        (lambda text: text.replace(_machine().hardware(), "0" * 12), "another machine"),
    ],
    ids=["cut off", "a list", "newer", "foreign", "other machine"],
)
def test_a_bad_file_is_a_warning_and_no_ceiling(change: Callable[[str], str], warning: str, said: list[str]) -> None:
    machine = _machine()
    path = stored.save(_ceilings(machine, CPU))
    path.write_text(change(path.read_text()))
    assert stored.load(machine.hardware(), said.append) is None
    assert len(said) == 1
    assert warning in said[0]
    assert str(path) in said[0]


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(InputError, match="cannot keep ceilings there"):
        stored.save(_ceilings(_machine(), CPU))


def test_a_run_folder_keeps_one_entry_a_machine(tmp_path: Path, said: list[str]) -> None:
    one, other = _machine(), _machine(H100)
    stored.into_run(tmp_path, _ceilings(one, CPU, days=9), said.append)
    stored.into_run(tmp_path, _ceilings(other, CPU, GPU), said.append)
    again = _ceilings(one, CPU.model_copy(update={"read_bytes_per_s": 40e9}))
    stored.into_run(tmp_path, again, said.append)
    found = stored.of_run(tmp_path, said.append)
    assert [entry.hardware for entry in found] == [other.hardware(), one.hardware()]
    assert found[1] == again
    assert isinstance(json.loads((tmp_path / "ceilings.json").read_text()), list)
    (tmp_path / "ceilings.json").write_text("{}")
    assert stored.of_run(tmp_path, said.append) == ()
    assert "not a list" in said[0]


def test_the_run_folder_comes_first_then_the_user_then_the_datasheet(tmp_path: Path) -> None:
    machine = _machine(H100)
    found, basis = ceiling.find(tmp_path, machine, [H100], "cuda:0")
    assert found is not None
    assert found.read_bytes_per_s == 3.35e12
    assert basis.startswith("datasheet of NVIDIA H100 SXM 80GB (")
    stored.save(_ceilings(machine, CPU, GPU, days=2))
    found, basis = ceiling.find(tmp_path, machine, [H100], "cuda:0")
    assert found == GPU
    assert "measured by `bench hardware` on 20" in basis
    faster = GPU.model_copy(update={"read_bytes_per_s": 3.1e12})
    stored.into_run(tmp_path, _ceilings(machine, CPU, faster, reasons={"busy": "it was"}), print)
    found, basis = ceiling.find(tmp_path, machine, [H100], "cuda:0")
    assert found == faster
    assert basis.endswith("perhaps too low: it was")
    assert ceiling.find(None, machine, [H100], "cuda:0")[0] == GPU
    assert ceiling.find(tmp_path, machine, [], "cpu")[0] == CPU
    assert ceiling.find(tmp_path, _machine(), [], "cpu")[0] is None  # another machine's are not taken


def test_without_any_ceiling_the_remedy_is_named() -> None:
    for used, device in (([], "cpu"), ([], "mps"), ([], "cuda:0"), ([Accelerator(name="Quadro P4000")], "cuda:0")):
        found, basis = ceiling.find(None, _machine(), used, device)
        assert found is None
        assert basis.endswith("run `bench hardware`")


def test_a_measurement_without_the_device_is_passed_over() -> None:
    """`bench hardware` with a CPU build of torch on a machine with a GPU saw the CPU alone."""
    machine = _machine(H100)
    stored.save(_ceilings(machine, CPU))
    found, basis = ceiling.find(None, machine, [H100], "cuda:0")
    assert found is not None
    assert basis.startswith("datasheet")


def test_devices_that_an_engine_does_not_name_are_the_machines() -> None:
    t4 = Accelerator(name="Tesla T4", memory_bytes=15360 * MIB)
    found, _ = ceiling.find(None, _machine(H100, t4), [], "cuda:1")
    assert found is not None
    assert found.device == "Tesla T4"


def test_several_devices_are_added_up() -> None:
    """Rates that one of them lacks are not known of all; the second of a name is held against the second measured."""
    machine = _machine(H100, H100)
    slower = GPU.model_copy(update={"read_bytes_per_s": 2e12, "gemm_flops_per_s": {"bf16": 5e14}})
    stored.save(_ceilings(machine, CPU, GPU, slower))
    found, _ = ceiling.find(None, machine, [H100, H100], "cuda:0")
    assert found is not None
    assert found.read_bytes_per_s == 5e12
    assert found.copy_bytes_per_s is None
    assert found.gemm_flops_per_s == {"bf16": 12e14}
    stored.save(_ceilings(machine, CPU, GPU))
    found, _ = ceiling.find(None, machine, [H100, H100], "cuda:0")
    assert found is not None
    assert found.read_bytes_per_s == 6e12


def test_ensure_takes_what_is_stored_and_says_when_it_is_old(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "measure", lambda *_: pytest.fail("measured although there were ceilings"))
    here = environment.detect()
    stored.save(_ceilings(here, CPU, days=3))
    assert execution.ensure(tmp_path, said.append) == stored.load(here.hardware(), print)
    assert said == []
    stored.save(_ceilings(here, CPU, days=91))
    (tmp_path / "ceilings.json").unlink()
    assert execution.ensure(tmp_path, said.append) is not None
    assert len(said) == 1
    assert "91 days old" in said[0]
    assert [one.hardware for one in stored.of_run(tmp_path, print)] == [here.hardware()]
    stored.save(_ceilings(here, CPU, days=0.5, reasons={"busy": "it was"}))
    execution.ensure(tmp_path, said.append)
    assert "while it was busy" in said[-1]


def test_ensure_measures_once_and_a_failure_does_not_stop_a_run(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = environment.detect()
    calls: list[float] = []

    def fail(seconds: float) -> Ceilings:
        calls.append(seconds)
        return _ceilings(here, reasons={"torch": "not installed"})

    monkeypatch.setattr(execution, "measure", fail)
    assert execution.ensure(tmp_path, said.append) is None
    assert not (tmp_path / "ceilings.json").exists()
    assert said[-1] == "no ceilings, so no MBU and MFU: not installed"
    monkeypatch.setattr(execution, "measure", lambda _: _ceilings(here, CPU))
    first = execution.ensure(tmp_path, said.append)
    monkeypatch.setattr(execution, "measure", fail)
    assert execution.ensure(tmp_path, said.append) == first
    assert len(calls) == 1
    (tmp_path / "data").rename(tmp_path / "away")
    assert execution.ensure(tmp_path, said.append) == first  # from the run folder


def test_a_child_that_hangs_or_dies_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = execution.measure(seconds=5, timeout_s=0.05)
    assert found.devices == ()
    assert found.reasons == {"measurement": "no result after 0.05 s"}
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "exit code 1" in execution.measure(seconds=1).reasons["measurement"]


def test_nothing_is_shown_where_nothing_is_stored(tmp_path: Path) -> None:
    done = bench("hardware", "--show", XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "run `bench hardware`" in done.stderr
    assert bench("hardware", "--format", "csv").stderr.startswith("error: --format")


@pytest.mark.alone
def test_this_cpu_is_measured_kept_and_shown(tmp_path: Path) -> None:
    """A real measurement, short: relations between figures and not the figures, which others on the machine move."""
    done = bench("hardware", "--seconds", "3", "--format", "json", XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = Ceilings.model_validate(json.loads(done.stdout)["ceilings"])
    assert found.hardware == environment.detect().hardware()
    (cpu,) = (one for one in found.devices if one.device == "cpu")
    for one in (*found.devices, *found.by_threads):
        assert (one.read_bytes_per_s or 0) > 1e8
        assert (one.copy_bytes_per_s or 0) > 1e8
        assert all(rate > 0 for rate in one.gemm_flops_per_s.values())
    assert max(cpu.gemm_flops_per_s["fp32"], cpu.gemm_flops_per_s["bf16"]) > 1e9
    assert cpu.threads == environment.detect().cpu_usable
    assert all(one.threads and one.threads < cpu.threads for one in found.by_threads)
    # The machine's row is the best over numbers of threads.
    assert all((one.read_bytes_per_s or 0) <= (cpu.read_bytes_per_s or 0) for one in found.by_threads)
    shown = bench("hardware", "--show", XDG_DATA_HOME=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert "read GB/s" in shown.stdout
    assert found.measured_at in shown.stdout


def test_the_parent_never_imports_the_engine(tmp_path: Path) -> None:
    """Not even to show, or to find a ceiling for a report."""
    stored.save(_ceilings(environment.detect(), CPU))
    code = (
        "import sys\nfrom bench.cli import main\nimport bench.execute.ceilings, bench.hardware.ceiling\n"
        "sys.argv = ['bench', 'hardware', '--show']\nmain_error = None\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert not error.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
