"""Joules through the real zeus, on a RAPL tree of our own and on counters that fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zeus.device.cpu
import zeus.device.cpu.rapl

from bench.measure import offline
from bench.schema import Cell, Model, Plain, RunnerChoice, Workload
from bench.sensors import energy
from bench.sensors.energy import EnergyMeter

RANGE_UJ = 262_143_328_850


class Rapl:
    """A powercap tree as the kernel shows it: one package with its memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "intel-rapl"
        self.package = self.folder / "intel-rapl:0"
        self.dram = self.package / "intel-rapl:0:0"
        for zone, name in ((self.package, "package-0"), (self.dram, "dram")):
            zone.mkdir(parents=True)
            (zone / "name").write_text(name + "\n")
            (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.count(0, 0)

    def count(self, package_j: float, dram_j: float) -> None:
        """Set the counters, in microjoules as the kernel does."""
        for zone, joules in ((self.package, package_j), (self.dram, dram_j)):
            (zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")

    def remove(self) -> None:
        (self.package / "energy_uj").unlink()


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rapl]:
    tree = Rapl(tmp_path)
    monkeypatch.setattr(zeus.device.cpu.rapl, "RAPL_DIR", str(tree.folder))
    monkeypatch.setattr(energy, "RAPL", (tree.folder,))
    monkeypatch.setattr(zeus.device.cpu, "_cpus", None)
    # Polling for a wrap-around needs a process of its own for each file; what it counts is zeus' own business.
    monkeypatch.setattr(zeus.device.cpu.rapl, "RaplWraparoundTracker", _NoWrap)
    zeus.device.cpu.rapl.rapl_is_available.cache_clear()
    yield tree
    zeus.device.cpu.rapl.rapl_is_available.cache_clear()


class _NoWrap:
    def __init__(self, *_: object) -> None: ...

    def get_num_wraparounds(self) -> int:
        return 0


def test_joules_are_the_difference_of_the_edges(rapl: Rapl) -> None:
    """What was counted before the window is not in it."""
    rapl.count(1000.0, 100.0)
    meter = EnergyMeter(())
    rapl.count(1500.0, 140.0)
    meter.start()
    rapl.count(1512.5, 142.25)
    found = meter.stop()
    assert found.cpu_energy_j == pytest.approx(12.5)
    assert found.dram_energy_j == pytest.approx(2.25)
    assert found.gpu_energy_j is None
    assert found.reasons == {"gpu_energy_j": "no GPU in use"}
    assert found.sources["cpu_energy_j"] == "zeus, RAPLCPUs, all packages"


def test_the_whole_platform_is_not_counted_on_top_of_its_package(rapl: Rapl) -> None:
    """Client parts have a zone `psys` beside the package, which holds the package's joules and more."""
    psys = rapl.folder / "intel-rapl:1"
    psys.mkdir()
    (psys / "name").write_text("psys\n")
    (psys / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (psys / "energy_uj").write_text("0\n")
    meter = EnergyMeter(())
    meter.start()
    rapl.count(30.0, 3.0)
    (psys / "energy_uj").write_text("45000000\n")
    found = meter.stop()
    assert found.cpu_energy_j == pytest.approx(30.0)
    assert found.dram_energy_j == pytest.approx(3.0)


def test_no_energy_at_all_is_zero_and_not_null(rapl: Rapl) -> None:
    meter = EnergyMeter(())
    meter.start()
    found = meter.stop()
    assert found.cpu_energy_j == 0.0
    assert "cpu_energy_j" not in found.reasons


def test_a_counter_that_goes_away_is_null_with_the_reason(rapl: Rapl) -> None:
    """Mid-run: what was measured besides stays."""
    meter = EnergyMeter(())
    meter.start()
    rapl.remove()
    found = meter.stop()
    assert (found.cpu_energy_j, found.dram_energy_j) == (None, None)
    assert "FileNotFoundError" in found.reasons["cpu_energy_j"] or "went away" in found.reasons["cpu_energy_j"]


def test_a_counter_that_goes_back_is_null_and_never_negative(rapl: Rapl) -> None:
    rapl.count(50.0, 5.0)
    meter = EnergyMeter(())
    meter.start()
    rapl.count(10.0, 6.0)
    found = meter.stop()
    assert found.cpu_energy_j is None
    assert found.reasons["cpu_energy_j"] == "the counter went back during the measurement"
    assert found.dram_energy_j == pytest.approx(1.0)


def test_counters_for_root_alone_say_so(rapl: Rapl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, which every file lets read: the kernel's refusal is planted."""

    def refused(*_: object) -> None:
        raise zeus.device.cpu.common.ZeusCPUNoPermissionError(
            "Can't read file due to permission error; RAPL requires root privileges."
        )

    monkeypatch.setattr(zeus.device.cpu.rapl, "RAPLFile", refused)
    found = EnergyMeter(()).stop()
    assert found.cpu_energy_j is None
    assert "root alone" in found.reasons["cpu_energy_j"]


def test_without_a_counter_or_a_gpu_each_has_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(energy, "RAPL", (tmp_path / "absent",))
    meter = EnergyMeter(("cuda:0",))
    found = meter.stop()
    assert (found.gpu_energy_j, found.cpu_energy_j, found.dram_energy_j) == (None, None, None)
    assert found.reasons["cpu_energy_j"] == "no RAPL counter (usual in a virtual machine)"
    assert found.reasons["gpu_energy_j"]


def test_without_zeus_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "find_spec", lambda _: None)
    found = EnergyMeter(("cuda:0",)).stop()
    assert found.reasons == dict.fromkeys(energy.FIELDS, energy.NOT_INSTALLED)


def test_an_engine_that_counts_for_itself_is_believed() -> None:
    totals = iter([{"cpu_energy_j": 1.0}, {"cpu_energy_j": 2.0}, {"cpu_energy_j": 5.5}])
    meter = EnergyMeter((), own=lambda: next(totals))
    meter.start()
    found = meter.stop()
    assert found.cpu_energy_j == pytest.approx(3.5)
    assert found.sources == {"cpu_energy_j": "the engine's own count"}


def test_a_measurement_carries_the_joules_of_its_timed_rounds(rapl: Rapl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real pass: the counter grows by one joule a generation, and three or more are timed."""
    from bench import runners

    kind = runners.find("fake")
    runner = kind(Model(source="shape:pythia-70m"), Plain(name="fp32"), kind.Options())
    generations = 0
    generate = runner.generate

    def counted(*arguments: object) -> object:
        nonlocal generations
        generations += 1
        rapl.count(float(generations), 0.0)
        return generate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "generate", counted)
    cell = Cell(
        cell_id="x",
        model=Model(source="shape:pythia-70m"),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=2, input_tokens=4, output_tokens=4),
    )
    found = offline.measure(cell, 0, runner, lambda *_: None)
    assert found.window is not None
    assert found.window.energy.cpu_energy_j == pytest.approx(len(found.rounds))
    assert found.window.energy.dram_energy_j == pytest.approx(0.0)
    assert found.window.duration_s >= sum(one.done_s for one in found.rounds)
