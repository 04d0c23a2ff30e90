"""Whole runs with quality passes and profiles, and what may happen to them: nothing measured is lost or doubled."""

import errno
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.cli.finish import check_strictly
from bench.entries.runs import rows_of
from bench.errors import DoubtError
from bench.execute import child, worker
from bench.schema import CostChoices, Failure, Job
from tests.commands import _in_this_process, command, lines
from tests.small_disk import fill, mounted_disk

Said = subprocess.CompletedProcess[str]

CONFIG: dict[str, Any] = {
    "name": "q",
    "models": "builtin:smollm2-135m",
    "precisions": ["int8", "fp32"],
    "runners": {"name": "fake", "text": {}},
    "workloads": {"batch_size": 1, "input_tokens": 8, "output_tokens": 3},
    "protocol": {"rounds": 2, "warmup_rounds": 1, "memory_pass": False},
    "replicates": 1,
    "sampling": {"max_replicates": 1},
    "quality": {"window_tokens": 64, "max_bytes": 2000},
}


class Run:
    """A config, its folder, and the command, whose children run in this process: each would import torch anew.

    `faults`: (purpose, precision) → what the next such child ends with instead of a result.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "out"
        self.faults: dict[tuple[str, str], str] = {}

    def write(self, **changed: Any) -> None:
        (self.place / "q.yaml").write_text(yaml.safe_dump({**CONFIG, **changed}))

    def __call__(self, *words: str, code: int = 0) -> Said:
        found = _in_this_process(["run", str(self.place / "q.yaml"), "--out", str(self.folder), *words])
        assert found.returncode == code, found.stderr
        assert "Traceback" not in found.stderr
        return found

    def records(self, purpose: str | None = None) -> list[dict[str, Any]]:
        return [one for one in lines(self.folder) if purpose in (None, one.get("purpose", "time"))]

    def told(self, purpose: str) -> list[tuple[str, str]]:
        """Precision and status of each record, in the order of the journal."""
        return [(one["cell"]["precision"]["name"], one["status"]) for one in self.records(purpose)]

    def child(self, job: Job, *_: Any) -> child.Outcome:
        status = self.faults.pop((job.purpose, job.cell.precision.name), None)
        if status is not None:
            return child.Outcome(status, None, Failure(reason="as it was told to"), 1.0)  # type: ignore[arg-type]
        said = worker._measured(job, lambda *_: None)
        results = {name: getattr(said, name) for name in ("measurement", "scored", "profile", "unwritten")}
        return child.Outcome(said.status, error=said.error, elapsed_s=0.1, **results)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    made.write()
    monkeypatch.setattr(child, "run", made.child)
    return made


def kept(run: Run) -> list[Path]:
    return sorted((run.folder / "quality").iterdir())


def rows(run: Run) -> dict[str, dict[str, Any]]:
    """Of table.json, by precision."""
    return {one["precision"]: one for one in json.loads((run.folder / "table.json").read_text())["rows"]}


def test_the_reference_is_scored_first_and_the_same_command_adds_nothing(run: Run) -> None:
    run("--explain")
    assert [one["purpose"] for one in run.records()[:2]] == ["quality", "quality"]
    assert run.told("quality") == [("fp32", "ok"), ("int8", "ok")]
    assert sorted(run.told("profile")) == [("fp32", "ok"), ("int8", "ok")]
    base, level = run.records("quality")
    assert level["scored"]["against"]["reference_record_id"] == base["record_id"]
    before = (run.folder / "records.jsonl").read_bytes()
    assert "[1/" not in run("--explain").stderr
    assert (run.folder / "records.jsonl").read_bytes() == before


def test_only_a_quality_pass_and_the_reference_that_it_needs(run: Run) -> None:
    listed = run("--dry-run").stdout
    assert "and 2 quality passes" in listed
    own = next(line.split()[0] for line in listed.splitlines() if "against fp32" in line)
    done = run("--only", own)
    assert run.told("quality") == [("fp32", "ok"), ("int8", "ok")]
    assert run.told("time") == []
    assert "nothing was timed" in done.stdout
    assert own in run("--only", "nothing", code=2).stderr
    run.faults = {("quality", "fp32"): "oom", ("quality", "int8"): "oom"}
    assert "no quality pass came to a result" in run("--only", own, "--fresh", code=2).stderr


def gone(path: Path) -> None:
    path.unlink()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [gone, torn, flipped, empty])
def test_a_kept_file_that_is_lost_is_made_again_for_the_level_that_needs_it(
    run: Run, harm: Callable[[Path], None]
) -> None:
    run()
    harm(kept(run)[0])
    run()  # nothing needs it
    assert len(run.told("quality")) == 2
    run.write(precisions=["int8", "fp32", "nf4"])
    run()
    assert run.told("quality")[2:] == [("fp32", "ok"), ("nf4", "ok")]
    assert (
        run.records("quality")[-1]["scored"]["against"]["reference_record_id"] == run.records("quality")[2]["record_id"]
    )
    assert all(one["nll_nats_per_token"] for one in rows(run).values())


def test_a_text_that_changed_is_scored_anew(run: Run) -> None:
    text = run.place / "own.txt"
    run.write(quality={"window_tokens": 64, "text": "own.txt"})
    text.write_text("It was a bright cold day in April, and the clocks were striking thirteen. " * 20)
    run()
    first = rows(run)["int8"]["nll_nats_per_token"]
    text.write_text("It was a bright cold day in May, and the clocks were striking thirteen. " * 20)
    run()
    assert len(run.told("quality")) == 4
    assert len(run.told("time")) == 2
    assert rows(run)["int8"]["nll_nats_per_token"] not in (first, None)


def test_a_reference_that_failed_and_is_retried_gives_its_levels_what_they_missed(run: Run) -> None:
    run.faults = {("quality", "fp32"): "oom"}
    run()
    assert run.told("quality") == [("fp32", "oom"), ("int8", "ok")]
    assert "the reference's own pass failed" in run.records("quality")[1]["scored"]["no_comparison_because"]
    assert "1 of the stored quality passes failed; --retry-failed runs them again" in run().stderr
    assert len(run.told("quality")) == 2
    run("--retry-failed")
    assert run.told("quality")[2:] == [("fp32", "ok"), ("int8", "ok")]
    assert rows(run)["int8"]["delta_nll_nats"] is not None
    run("--retry-failed")
    assert len(run.told("quality")) == 4
    assert len(run.told("time")) == 2


def test_a_level_that_fails_leaves_the_others_alone_and_its_speed_stands(run: Run) -> None:
    run.write(precisions=["int8", "fp32", "nf4"])
    run.faults = {("quality", "int8"): "timeout", ("profile", "nf4"): "crashed"}
    assert "the quality pass failed (timeout)" in run("--explain").stdout
    assert run.told("quality") == [("fp32", "ok"), ("int8", "timeout"), ("nf4", "ok")]
    assert Counter(run.told("time")) == Counter({("fp32", "ok"): 1, ("int8", "ok"): 1, ("nf4", "ok"): 1})
    assert "1 of the stored profiles failed" in run("--explain").stderr
    doubtless = [replace(row, verdict=()) for row in rows_of(run.folder, CostChoices(), lambda _: None)]
    with pytest.raises(DoubtError) as found:  # strict mode wants the quality that was asked for
        check_strictly(doubtless)
    assert len(found.value.lines) == 2
    assert found.value.lines[0].endswith("int8: the quality pass failed (timeout): as it was told to")
    run("--explain", "--retry-failed")
    assert run.told("quality")[3:] == [("int8", "ok")]
    assert run.told("profile")[3:] == [("nf4", "ok")]
    assert len(run.told("time")) == 3


def test_a_torn_line_is_measured_anew_and_nothing_else(run: Run) -> None:
    run()
    journal = run.folder / "records.jsonl"
    one, two, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(one + two[: len(two) // 2] + b"\n" + b"".join(rest))
    assert "torn or broken line skipped" in run().stderr
    whole = [json.loads(line) for line in journal.read_bytes().splitlines() if line.endswith(b"}")]
    assert Counter(each["cell"]["cell_id"] for each in whole) == Counter(
        {json.loads(line)["cell"]["cell_id"]: 1 for line in (one, two, *rest)}
    )
    assert whole[-1]["scored"]["against"]["reference_record_id"] == json.loads(one)["record_id"]


def test_what_a_killed_pass_left_is_removed_and_nothing_else(run: Run) -> None:
    run()
    left = ["0123456789ab.0.01234567.npz", ".0123456789ab.0.01234567.npz.77.part"]
    for name in [*left, "notes.npz", "readme"]:
        (run.folder / "quality" / name).write_bytes(b"x")
    own = run.records("quality")[0]["scored"]["kept_file"]
    run()
    assert {one.name for one in kept(run)} == {own, "notes.npz", "readme"}


def test_a_disk_that_is_full_says_nothing_of_the_reference(run: Run) -> None:
    with mounted_disk(run.place / "disk", 12 << 20) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        run.write(quality={"window_tokens": 64, "max_bytes": 40000})  # 5 MB are to be kept
        run.folder = disk / "out"
        (disk / "room").write_bytes(bytes(7 << 20))
        fill(disk)
        (disk / "room").unlink()
        said = run(code=2).stderr
        assert "no space left for results; free some and run the same command to go on" in said
        assert run.records() == []
        assert kept(run) == []
        (disk / "filler").unlink()
        run()
        assert run.told("quality") == [("fp32", "ok"), ("int8", "ok")]


def test_a_folder_that_cannot_be_written_is_said_as_such(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(np, "savez", refused)
    assert "cannot write results (Read-only file system)" in run(code=2).stderr
    assert run.records() == []


def test_logits_that_are_nan_are_a_verdict(run: Run) -> None:
    run.write(runners={"name": "fake", "text": {"nan_every": 3}})
    done = run()
    assert run.told("quality") == [("fp32", "ok"), ("int8", "ok")]
    assert "nan-logits" in done.stdout
    assert all(one["quality_verdict"] == "nan-logits" for one in rows(run).values())
    assert all(one["bits_per_byte"] is one["blended_usd_per_mtok"] is None for one in rows(run).values())
    levels = _in_this_process(["compare", str(run.folder), "--by", "precision"])
    assert levels.returncode == 0
    assert "no level gave every token a finite probability" in " ".join(levels.stdout.split())


@pytest.mark.slow
def test_arms_and_several_models_share_one_pass_a_level(run: Run) -> None:
    other = run.place / "a|b <i>\"c',\n[bold]"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "x"}')
    run.write(arms=2, models=["builtin:smollm2-135m", "shape:pythia-70m", "./" + other.name])
    run()
    assert Counter(run.told("quality")) == Counter({("fp32", "ok"): 2, ("int8", "ok"): 2})
    assert len(run.told("time")) == 12
    found = json.loads((run.folder / "table.json").read_text())["rows"]
    assert Counter(one["no_quality_because"] for one in found) == {None: 8, "random weights: no quality": 4}
    for form in ("table", "md", "csv", "json"):
        levels = _in_this_process(["compare", str(run.folder), "--by", "precision", "--format", form])
        assert levels.returncode == 0, levels.stderr


def _started(run: Run, until: Callable[[], bool]) -> subprocess.Popen[str]:
    """A run with children of its own, as soon as `until` holds."""
    words = command("run", run.place / "q.yaml", "--out", run.folder)
    # A shell that started these tests in the background has them ignore Ctrl-C, and a child would inherit that.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, usual)
    end = time.monotonic() + 60
    while not until():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def test_interrupted_and_killed_in_the_middle_of_a_pass_the_same_command_goes_on(run: Run) -> None:
    run.write(runners={"name": "fake", "text": {}, "load_s": 0.3})
    journal, logs = run.folder / "records.jsonl", run.folder / "logs"

    def scores_the_second() -> bool:
        return journal.is_file() and journal.read_bytes().count(b"\n") == 1 and len(list(logs.glob("*.log"))) == 2

    process = _started(run, scores_the_second)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    before = journal.read_bytes()
    for log in logs.glob("*.log"):
        log.unlink()
    process = _started(run, lambda: bool(list(logs.glob("*.log"))))
    process.kill()
    process.communicate(timeout=30)
    assert journal.read_bytes() == before
    run()
    assert journal.read_bytes().startswith(before)
    assert run.told("quality") == [("fp32", "ok"), ("int8", "ok")]
    assert run.records("quality")[1]["scored"]["against"] is not None


def test_a_child_that_dies_while_it_scores(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With processes of their own."""
    monkeypatch.undo()
    run.write(
        precisions=["fp32", "int8"], runners={"name": "fake", "text": {"trouble": {"fp32": "killed", "int8": "oom"}}}
    )
    done = run()
    assert run.told("quality") == [("fp32", "oom"), ("int8", "oom")]
    assert len(run.told("time")) == 2
    assert "MemoryError: the fake ran out of memory" in " ".join(done.stdout.split())
    assert "killed by the system (signal 9)" in " ".join(done.stdout.split())
