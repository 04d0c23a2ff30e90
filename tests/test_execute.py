"""Children that crash, hang, lie or run out of memory: exactly one record each, and the run goes on."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.execute import child, run
from bench.schema import Cell, Job, Live, Model, Plain, Record, RunnerChoice, Sweep, Workload
from bench.store import Journal
from tests.commands import bench, command, fake_config, lines

# What the fake is told to do, the status that must be recorded, and a word that its reason must hold.
TROUBLES = {
    "none": ("ok", ""),
    "garbage": ("ok", ""),
    "flood": ("ok", ""),
    "fork": ("ok", ""),
    "crash": ("crashed", "RuntimeError"),
    "exit": ("crashed", "exit code 7"),
    "oom": ("oom", "MemoryError"),
    "killed": ("oom", "signal 9"),
    "hang": ("timeout", "no result after 4 s"),
    "deaf": ("timeout", "no result after 4 s"),
    "unsupported": ("unsupported", "told not to work"),
    "short": ("invalid", "[3] tokens"),
}


MARK = f"troubled-{os.getpid()}"


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run in which every kind of trouble happens once."""
    folder = tmp_path_factory.mktemp("troubled")
    runners = "{name: fake, trouble: [" + ", ".join(TROUBLES) + "]}"
    config = fake_config(folder, runners=runners, timeout_s=4)
    return bench("run", config, "--out", folder / "out", BENCH_TEST_MARK=MARK), folder / "out"


def test_every_cell_has_exactly_one_record(troubled: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = troubled
    assert done.returncode == 0, done.stderr
    found = [(one["cell"]["runner"]["options"]["trouble"], one["status"]) for one in lines(folder)]
    assert sorted(found) == sorted((trouble, status) for trouble, (status, _) in TROUBLES.items())


def test_each_failure_says_why(troubled: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = troubled
    for one in lines(folder):
        status, word = TROUBLES[one["cell"]["runner"]["options"]["trouble"]]
        if status == "ok":
            assert one["measurement"]["rounds"]
            assert "error" not in one
        else:
            assert word in one["error"]["reason"]
            assert "measurement" not in one


def test_a_crash_keeps_the_last_lines_of_its_log(troubled: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = troubled
    crashed = next(one for one in lines(folder) if one["cell"]["runner"]["options"]["trouble"] == "crash")
    assert crashed["error"]["log_tail"][-1] == "RuntimeError: the fake crashed as it was told to"


def test_failed_cells_are_rows_with_their_reason(troubled: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = troubled
    for status, word in TROUBLES.values():
        assert word in done.stdout
        assert status == "ok" or status in done.stdout
    assert (folder / "table.md").read_text().count("timeout") >= 2


def test_no_process_is_left_behind(troubled: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Neither a child nor what a child forked: each carries the run's own mark in its environment."""
    assert [process for process in psutil.process_iter() if _marked(process)] == []


def _marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get("BENCH_TEST_MARK") == MARK
    except psutil.Error:
        return False


def test_a_second_replicate_of_a_hopeless_cell_is_not_tried(tmp_path: Path) -> None:
    config = fake_config(tmp_path, runners="{name: fake, trouble: unsupported}", replicates=3)
    done = bench("run", config, "--out", tmp_path / "out")
    found = lines(tmp_path / "out")
    assert [one["replicate"] for one in found] == [0]
    assert found[0]["stop"]["ending"] == "hopeless"
    assert done.returncode == 2
    assert "no cell could be measured" in done.stderr


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard here and in children: a shell starts background jobs with it ignored."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("heard")
def test_an_interrupt_ends_the_child_and_says_how_to_go_on(tmp_path: Path) -> None:
    config = fake_config(tmp_path, runners="{name: fake, trouble: [none, hang]}")
    process = subprocess.Popen(
        command("run", config, "--out", tmp_path / "out"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _wait_for_records(tmp_path / "out", 1)
    time.sleep(1.0)
    worker = psutil.Process(process.pid).children()
    assert len(worker) == 1
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not worker[0].is_running()
    assert len(lines(tmp_path / "out")) == 1


def _wait_for_records(folder: Path, count: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (folder / "records.jsonl").is_file() and len(lines(folder)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} records within a minute")


def test_a_run_killed_half_way_goes_on_to_the_same_table(tmp_path: Path) -> None:
    config = fake_config(tmp_path, precisions="[fp32, nf4]", replicates=2)
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("run", config, "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _wait_for_records(out, 2)
    worker = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(worker, timeout=10)
    assert alive == [], "the child outlived its parent"
    before = (out / "records.jsonl").read_bytes()
    (out / "records.jsonl").write_bytes(before + b'{"schema_version": 1, "record_id": "to')

    done = bench("run", config, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "torn or broken line skipped" in done.stderr
    after = (out / "records.jsonl").read_bytes()
    assert after.startswith(before)
    whole = [line for line in after.splitlines() if line.endswith(b"}")]
    keys = [(record["cell"]["cell_id"], record["replicate"]) for record in map(json.loads, whole)]
    assert len(keys) == len(set(keys)) == 4

    bench("run", config, "--out", tmp_path / "untouched")
    assert _rows(out) == _rows(tmp_path / "untouched")
    assert [row[1:] for row in _rows(out)] == [(name, "ok", 2) for name in ("fp32", "nf4")]

    again = bench("run", config, "--out", out)
    assert "4 measurements are already in" in again.stderr
    assert "nothing is left to measure" in again.stderr
    assert (out / "records.jsonl").read_bytes() == after


def _rows(folder: Path) -> list[tuple[object, ...]]:
    """What the table says of each row, less the measured figures: two runs never take exactly the same time."""
    table = json.loads((folder / "table.json").read_text())
    return [(row["cell_id"], row["precision"], row["status"], row["replicates"]) for row in table["rows"]]


def test_a_failure_is_kept_on_resume_and_retried_when_asked(tmp_path: Path) -> None:
    config = fake_config(tmp_path, runners="{name: fake, trouble: [none, crash]}")
    out = tmp_path / "out"
    for _ in range(2):
        bench("run", config, "--out", out)
        assert sorted(one["status"] for one in lines(out)) == ["crashed", "ok"]
    bench("run", config, "--out", out, "--retry-failed")
    assert sorted(one["status"] for one in lines(out)) == ["crashed", "crashed", "ok"]


@pytest.mark.usefixtures("heard")
def test_an_interrupt_waits_until_a_measurement_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between a child's result and its record: the record first, the interrupt after it."""
    cell = Cell(
        cell_id="x",
        model=Model(source="shape:pythia-70m"),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=1, input_tokens=1, output_tokens=2),
    )
    append = Journal.append

    def interrupted(journal: Journal, record: Record) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        append(journal, record)

    monkeypatch.setattr(Journal, "append", interrupted)
    # A thread that the signal could reach instead.
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    with Journal(tmp_path) as journal, pytest.raises(KeyboardInterrupt):
        run.run([cell], _sweep(cell, replicates=2), {"x": run.Measured()}, journal, Silent(), lambda _: "")
    assert [one["status"] for one in lines(tmp_path)] == ["ok"]


def _sweep(cell: Cell, **choices: Any) -> Sweep:
    return Sweep(
        name="x",
        models=(cell.model,),
        precisions=(cell.precision,),
        runners=(cell.runner,),
        workloads=(cell.workload,),
        timeout_s=60,
        **choices,
    )


class Silent:
    """A watcher that shows nothing."""

    def started(self, job: Job, standing: run.Standing) -> None: ...

    def phase(self, name: str, estimate_s: float | None) -> None: ...

    def live(self, standing: Live) -> None: ...

    def finished(self, record: Record) -> None: ...

    def say(self, message: str) -> None: ...


def test_records_of_a_runner_that_is_not_here_do_no_harm(tmp_path: Path) -> None:
    """A journal from another machine, where another engine was installed."""
    out = tmp_path / "out"
    bench("run", fake_config(tmp_path), "--out", out)
    (record,) = lines(out)
    record["record_id"] = "elsewhere"
    record["cell"] |= {"cell_id": "elsewhere", "runner": {"name": "nowhere", "options": {}}}
    with (out / "records.jsonl").open("a") as journal:
        journal.write(json.dumps(record) + "\n")
    done = bench("run", fake_config(tmp_path), "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 measurements are already in" in done.stderr
    assert "1 records of cells that left the config; --all-cells shows them" in done.stderr
    whole = bench("report", out, "--all-cells")
    assert "nowhere" in whole.stdout


def test_fresh_sets_the_old_results_aside(tmp_path: Path) -> None:
    config = fake_config(tmp_path)
    out = tmp_path / "out"
    bench("run", config, "--out", out)
    first = lines(out)[0]["record_id"]
    bench("run", config, "--out", out, "--fresh")
    assert lines(out)[0]["record_id"] != first
    aside = [path for path in tmp_path.iterdir() if path.name.startswith("out.")]
    assert [lines(path)[0]["record_id"] for path in aside] == [first]


@pytest.mark.alone
def test_the_parent_sleeps_while_a_child_is_timed(tmp_path: Path) -> None:
    """CPU time of the parent over two seconds of a timed round: at most one tick of the kernel's clock."""
    config = fake_config(
        tmp_path,
        runners="{name: fake, step_s: 0.2}",
        workloads="{batch_size: 1, input_tokens: 1, output_tokens: 30}",
    )
    process = subprocess.Popen(
        command("run", config, "--out", tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    parent = psutil.Process(process.pid)
    end = time.monotonic() + 60
    while not parent.children() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(3.0)  # the child's start is over; its first generation takes six seconds
    before = parent.cpu_times()
    time.sleep(2.0)
    after = parent.cpu_times()
    process.kill()
    process.wait()
    assert (after.user + after.system) - (before.user + before.system) <= 0.011


def test_a_child_waits_for_the_go_before_each_pass(tmp_path: Path) -> None:
    """Every pass is announced before it begins, the timed one with an estimate."""
    cell = Cell(
        cell_id="x",
        model=Model(source="shape:pythia-70m"),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=1, input_tokens=1, output_tokens=2),
    )
    heard: list[tuple[str, bool]] = []
    outcome = child.run(
        Job(cell=cell, replicate=0), tmp_path / "log", 60, lambda phase, estimate: heard.append((phase, bool(estimate)))
    )
    assert outcome.status == "ok"
    assert heard == [
        ("loading", False),
        ("first generation", False),
        ("warm-up", True),
        ("timing", True),
        ("memory", True),
    ]
