"""Records as a file of pytest-benchmark: its own statistics, and its own commands on it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from bench.entries import load
from bench.errors import InputError
from bench.publish import pytest_benchmark
from bench.schema import Edge, Record, Window, Workload
from tests import levels_samples, samples, serving_samples
from tests.commands import bench

COMPARE = (
    str(Path(sys.executable).with_name("pytest-benchmark")),
    *("compare", "--group-by=fullname", "--columns=min,median,rounds"),
)


def exported(folder: Path, metric: str = "e2el_s") -> tuple[dict[str, Any], list[str]]:
    """The file's content, and what was said to be left out."""
    said: list[str] = []
    report = load.report([folder], lambda planned: planned, said.append)
    text = pytest_benchmark.text(pytest_benchmark.document(report, folder, metric, said.append))
    content: dict[str, Any] = json.loads(text)
    return content, said


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [*levels_samples.speed(sizes=(1, 4)), *levels_samples.quality(), samples.failed_record()]
    return levels_samples.run(tmp_path_factory.mktemp("export") / "levels", records)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40))
def test_statistics_are_pytest_benchmarks_own(seconds: list[float]) -> None:
    theirs: Any = Stats()  # type: ignore[no-untyped-call]
    for one in seconds:
        theirs.update(one)
    ours = pytest_benchmark.stats(seconds)
    expected = theirs.as_dict()
    assert ours.keys() == {*expected, "data", "iterations"}
    for name, value in expected.items():
        assert ours[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-12, abs=1e-300)), name


def test_every_timed_round_is_there(stored: Path) -> None:
    content, said = exported(stored)
    assert said == ["1 row left out: not measured (unsupported)"]
    assert len(content["benchmarks"]) == 6
    first = content["benchmarks"][0]
    assert first["name"] == "e2el_s[smollm2-135m-bf16-transformers-b1-64in-9out]"
    assert first["fullname"] == f"llm-cost-bench::{first['name']}"
    assert first["params"]["batch_size"] == 1
    assert first["stats"]["rounds"] == len(first["stats"]["data"]) == 4 * 3
    assert first["stats"]["data"][0] == pytest.approx(0.046 * 13 * 1.0)
    extra = first["extra_info"]
    assert extra["usd_per_mtok_low"] < extra["usd_per_mtok"] < extra["usd_per_mtok_high"]
    assert extra["verdict"] == "VALID"
    assert extra["replicates"] == 4
    assert content["datetime"].startswith("2026-11-21T12:0")
    assert content["commit_info"]["id"] == "0123456789ab"
    assert content["machine_info"]["cpu"]["brand_raw"] == "Sample CPU"


def test_keys_are_those_of_a_file_that_pytest_benchmark_wrote(stored: Path, tmp_path: Path) -> None:
    """A session of the person's own writes one, and takes ours as what to compare with."""
    content, _ = exported(stored)
    (tmp_path / "ours.json").write_text(json.dumps(content))
    (tmp_path / "test_it.py").write_text("def test_it(benchmark):\n    benchmark.pedantic(sum, ([1],), rounds=3)\n")
    quick = "def pytest_benchmark_generate_machine_info(config):\n    return {'node': 'here'}\n"
    (tmp_path / "conftest.py").write_text(quick)  # theirs asks every CPU
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={
            # A worker of pytest-xdist tells its children too, and pytest-benchmark then writes nothing.
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "--benchmark-json=own.json --benchmark-compare=ours.json",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Comparing against benchmarks from: ours.json" in done.stdout + done.stderr
    own = json.loads((tmp_path / "own.json").read_text())
    assert content.keys() == own.keys()
    assert content["benchmarks"][0].keys() == own["benchmarks"][0].keys()
    assert content["benchmarks"][0]["stats"].keys() == own["benchmarks"][0]["stats"].keys()
    assert content["commit_info"].keys() == own["commit_info"].keys()


def test_its_compare_command_reads_two_runs(stored: Path, tmp_path: Path) -> None:
    slower = {level: {size: 2.0 * ms for size, ms in of.items()} for level, of in levels_samples.STEP_MS.items()}
    other = levels_samples.run(tmp_path / "later", levels_samples.speed(sizes=(1, 4), table=slower))
    for name, folder in (("first", stored), ("later", other)):
        done = bench("export", folder, "--format", "pytest-benchmark", "-o", tmp_path / f"{name}.json")
        assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [*COMPARE, "first.json", "later.json", "--csv=both.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    name = "e2el_s[smollm2-135m-nf4-transformers-b4-64in-9out]"
    assert f"benchmark 'llm-cost-bench::{name}': 2 tests" in done.stdout
    assert f"{name} (first)" in done.stdout
    assert f"{name} (later)" in done.stdout
    lines = [line for line in (tmp_path / "both.csv").read_text().splitlines() if name in line]
    medians = sorted(float(line.split(",")[-2]) for line in lines)
    assert medians[1] / medians[0] == pytest.approx(2.0)


def test_the_command_says_what_it_leaves_out_and_refuses(stored: Path, tmp_path: Path) -> None:
    done = bench("export", stored, "--metric", "ttft_s")
    assert done.returncode == 0
    assert json.loads(done.stdout)["benchmarks"][0]["name"].startswith("ttft_s[")
    assert "1 row left out: not measured (unsupported)" in done.stderr
    for words, line in (
        (("--metric", "tttf_s"), "error: --metric: unknown time 'tttf_s'; did you mean 'ttft_s'"),
        (("--format", "pytest"), "error: --format: unknown format 'pytest'; did you mean 'pytest-benchmark'?"),
    ):
        done = bench("export", stored, *words)
        assert (done.returncode, done.stderr.startswith(line)) == (2, True), done.stderr
    done = bench("export", tmp_path / "nowhere")
    assert (done.returncode, "no records.jsonl here" in done.stderr) == (2, True)


def test_loads_and_meaningless_rows_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "load").mkdir()
    load_records = [serving_samples.served(tmp_path / "load")]
    under_load = serving_samples.stored(tmp_path / "load", load_records)
    with pytest.raises(InputError, match="no static batch with a timed round; nothing to export"):
        exported(under_load)
    wrong = Window(start=Edge(), end=Edge(), duration_s=10.0, other_clock_s=20.0)
    measured = samples.measurement().model_copy(update={"window": wrong})
    folder = levels_samples.run(tmp_path / "wrong", [samples.record(measured=measured), *_one_token(tmp_path)])
    content, said = exported(folder)
    assert len(content["benchmarks"]) == 1
    assert any("left out: the figures mean nothing (clock" in one for one in said)
    with pytest.raises(InputError, match="nothing to export"):
        exported(folder, "tpot_s")  # one token has no time between tokens


def _one_token(_: Path) -> Sequence[Record]:
    work = Workload(batch_size=1, input_tokens=64, output_tokens=1)
    of = samples.cell(workload=work)
    return [samples.record(index, of, samples.measurement(tokens=1), name=f"one.{index}") for index in range(2)]


def test_a_replicate_that_was_set_aside_is_no_round(tmp_path: Path) -> None:
    wrong = Window(start=Edge(), end=Edge(), duration_s=10.0, other_clock_s=20.0)
    measured = samples.measurement(factor=9.0).model_copy(update={"window": wrong})
    records = [*(samples.record(index) for index in range(2)), samples.record(2, measured=measured)]
    content, _ = exported(levels_samples.run(tmp_path / "aside", records))
    assert content["benchmarks"][0]["stats"]["data"] == pytest.approx([1.0] * 6)


def test_hostile_names_and_several_machines(tmp_path: Path) -> None:
    cell = samples.cell("someone/<b>]\n[\u202ename" + "x" * 300)
    there = samples.environment(cpu_model="Other CPU")
    records = [samples.record(of=cell), samples.record(of=cell, where=there, name="there")]
    content, _ = exported(levels_samples.run(tmp_path / "hostile", records))
    names = [one["name"] for one in content["benchmarks"]]
    assert len(set(names)) == 2
    for name in names:
        assert name.isprintable()
        assert name.count("[") == name.count("]") == 1
        assert "…" in name
    assert "Other_CPU" in names[1]
