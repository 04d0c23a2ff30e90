"""Runs that sample until they know enough: order, endings, resume, and what a record keeps to repeat itself."""

import json
from pathlib import Path

import pytest

from bench.execute import run
from bench.execute.run import shuffled
from bench.schema import (
    Edge,
    Record,
    Sampling,
    Sweep,
    Window,
    Workload,
)
from tests.commands import ROOT, bench, fake_config, lines
from tests.samples import cell, failed_record, measurement, record


def _sampled(tmp_path: Path, sampling: str, **options: str) -> tuple[list[dict[str, object]], str]:
    config = fake_config(tmp_path, runners="{name: fake, prefill_s: 0.02, step_s: 0.005}", replicates=2)
    text = config.read_text().replace("sampling: {max_replicates: 2}", f"sampling: {sampling}")
    config.write_text(text)
    done = bench("run", config, "--out", tmp_path / "out", "--usd-per-hour", "1")
    assert done.returncode == 0, done.stderr
    return lines(tmp_path / "out"), done.stdout + done.stderr


def test_sampling_ends_at_the_target_and_the_record_says_so(tmp_path: Path) -> None:
    found, said = _sampled(tmp_path, "{target: 0.9, max_replicates: 20}")
    assert found[-1]["stop"]["ending"] == "target"  # type: ignore[index]
    assert found[-1]["stop"]["half_width"] <= 0.9  # type: ignore[index]
    assert all("stop" not in one for one in found[:-1])
    assert "is within ±90.0%" in said
    assert "Sampling ended because prefill, decode and output rates were within ±90.0%" in said


def test_sampling_ends_at_the_budget_and_the_record_says_so(tmp_path: Path) -> None:
    found, said = _sampled(tmp_path, "{target: 0.0001, budget_s: 2, max_replicates: 500}")
    assert found[-1]["stop"]["ending"] == "budget"  # type: ignore[index]
    spent = [one["elapsed_s"] for one in found]
    assert sum(spent) >= 2 > sum(spent[:-1])  # type: ignore[arg-type]
    assert "by the time budget (sampling.budget_s)" in said


def test_a_wider_budget_goes_on_where_the_narrower_ended(tmp_path: Path) -> None:
    """Sampling is no part of a cell: what was measured counts."""
    found, _ = _sampled(tmp_path, "{target: 0.0001, max_replicates: 3}")
    more, _ = _sampled(tmp_path, "{target: 0.0001, max_replicates: 5}")
    assert [one["replicate"] for one in more] == [0, 1, 2, 3, 4]
    assert more[: len(found)] == found
    assert more[-1]["stop"]["ending"] == "max-replicates"  # type: ignore[index]


def test_failures_that_a_retry_made_good_do_not_end_the_sampling() -> None:
    """Five times out of memory, five times well: a wider budget goes on."""
    known = run.Measured()
    for replicate in range(5):
        known.add(failed_record("oom", replicate=replicate), Path())
    sweep = _sweep(Sampling(target=0.001, budget_s=10_000))
    stop = known.stop(sweep)
    assert stop is not None
    assert stop.ending == "failures"
    known.forget_failures()
    assert known.stop(sweep) is None
    for replicate in range(5):
        known.add(record(replicate, measured=measurement(1 + replicate / 100)), Path())
    assert known.stop(sweep) is None
    assert known.failures == {}


def test_a_worthless_replicate_is_no_measurement_to_count() -> None:
    window = Window(start=Edge(), end=Edge(), duration_s=3.0, other_clock_s=9.0)
    jumped = measurement().model_copy(update={"window": window})
    known = run.Measured()
    known.add(record(0, measured=jumped), Path())
    assert (known.times, known.failures) == ([], {0: "tainted"})


def test_one_refusal_after_good_replicates_is_not_hopeless() -> None:
    known = run.Measured()
    for replicate in range(4):
        known.add(record(replicate, measured=measurement(1 + replicate / 100)), Path())
    known.add(failed_record("invalid", replicate=4), Path())
    assert known.stop(_sweep(Sampling(target=0.001))) is None


def test_what_was_measured_elsewhere_is_named(tmp_path: Path) -> None:
    """Another governor: the records stay, do not count, and the table tells the rows apart."""
    out = tmp_path / "out"
    bench("run", fake_config(tmp_path), "--out", out)
    (line,) = lines(out)
    line["environment"]["cpu_governor"] = "powersave"
    (out / "records.jsonl").write_text(json.dumps(line) + "\n")
    done = bench("run", fake_config(tmp_path), "--out", out)
    assert "1 stored measurements of another machine or version are kept and not counted (other cpu_governor)" in (
        done.stderr
    )
    assert len(lines(out)) == 2
    assert "this one had cpu_governor powersave. [row" in done.stdout


def _sweep(sampling: Sampling) -> Sweep:
    return Sweep(name="x", models=(), precisions=(), runners=(), workloads=(), sampling=sampling)


def test_each_sweep_has_another_order_and_the_same_in_every_call() -> None:
    cells = [cell(workload=Workload(batch_size=size, input_tokens=8, output_tokens=4)) for size in range(1, 9)]
    orders = [[one.workload.batch_size for one in shuffled(cells, sweep)] for sweep in range(20)]
    assert all(sorted(order) == list(range(1, 9)) for order in orders)
    assert len({tuple(order) for order in orders}) > 15
    assert orders == [[one.workload.batch_size for one in shuffled(cells, sweep)] for sweep in range(20)]
    firsts = {order[0] for order in orders}
    assert len(firsts) > 3, "no cell always goes first"


def test_replicates_are_interleaved(tmp_path: Path) -> None:
    """Every sweep measures every cell once before any is measured again."""
    config = fake_config(tmp_path, precisions="[fp32, bf16, nf4]", replicates=3)
    bench("run", config, "--out", tmp_path / "out")
    found = [(one["replicate"], one["cell"]["precision"]["name"]) for one in lines(tmp_path / "out")]
    assert [replicate for replicate, _ in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for sweep in range(3):
        assert {name for replicate, name in found if replicate == sweep} == {"fp32", "bf16", "nf4"}


@pytest.mark.slow
def test_one_cell_can_be_measured_alone_by_the_command_in_its_record(tmp_path: Path) -> None:
    config = fake_config(tmp_path, precisions="[fp32, bf16]")
    bench("run", config, "--out", tmp_path / "out")
    for one in lines(tmp_path / "out"):
        words = one["command"].split()
        assert words[:3] == ["bench", "run", "fake.yaml"]
        again = bench(*words[1:], cwd=tmp_path, PYTHONPATH=str(ROOT))
        assert again.returncode == 0, again.stderr
        (repeated,) = lines(tmp_path / words[words.index("--out") + 1])
        assert repeated["cell"] == one["cell"]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--target", "0", "--target: must be greater than 0"),
        ("--target", "1.5", "--target: must be less than 1"),
        ("--budget-s", "-3", "--budget-s: must be greater than 0"),
        ("--only", "zzzz", "--only: no cell 'zzzz' in this config"),
        ("--usd-per-kwh", "0", "--usd-per-kwh: must be greater than 0"),
    ],
)
def test_bad_options_name_themselves(tmp_path: Path, option: str, value: str, words: str) -> None:
    done = bench("run", fake_config(tmp_path), "--out", tmp_path / "out", option, value)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_records_keep_what_repeats_them(tmp_path: Path) -> None:
    """The harness' commit, machine, affinity, flags, and the window's readings or their reasons."""
    bench("run", fake_config(tmp_path), "--out", tmp_path / "out")
    found = Record.model_validate(lines(tmp_path / "out")[0])
    assert found.environment.cpu_affinity
    assert found.measurement is not None
    window = found.measurement.window
    assert window is not None
    assert window.other_clock_s == pytest.approx(window.duration_s, abs=0.05)
    assert set(window.energy.reasons) | set(window.energy.sources) == {"gpu_energy_j", "cpu_energy_j", "dram_energy_j"}
    assert found.stop is not None
