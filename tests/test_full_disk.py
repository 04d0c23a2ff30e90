"""A disk that fills up at any moment of a run: one line, exit code 2, and the same command completes later."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import bench, command, fake_config, lines
from tests.small_disk import fill, mounted_disk

FREE = 12 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of twelve mebibytes."""
    with mounted_disk(tmp_path / "disk", FREE) as place:
        if place is None:
            pytest.skip("this user may not mount a small disk")
        yield place


def _fill_while_measuring(disk: Path, config: Path) -> "subprocess.CompletedProcess[str]":
    """A run, on whose disk something else takes all the room as soon as its first child is there."""
    process = subprocess.Popen(
        command("run", config, "--out", disk / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not list((disk / "out" / "logs").glob("*.log")):
        assert time.monotonic() < end
        time.sleep(0.02)
    fill(disk)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _refused(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, done.stderr
    assert words in said[0]
    assert "free" in said[0]
    assert "Traceback" not in done.stderr


def _completes(disk: Path, config: Path, before: bytes, statuses: list[str]) -> None:
    """With room again: every record that was there, each cell once."""
    (disk / "filler").unlink()
    done = bench("run", config, "--out", disk / "out")
    assert done.returncode == 0, done.stderr
    assert (disk / "out" / "records.jsonl").read_bytes().startswith(before)
    assert "skipped" not in done.stderr
    found = lines(disk / "out")
    assert len({(one["cell"]["cell_id"], one["replicate"]) for one in found}) == len(found)
    assert sorted(one["status"] for one in found) == statuses
    assert {path.name for path in (disk / "out").iterdir() if path.name.startswith(".")} == set()


def test_full_before_the_run(disk: Path, tmp_path: Path) -> None:
    config = fake_config(tmp_path, precisions="[fp32, bf16]")
    fill(disk)
    _refused(bench("run", config, "--out", disk / "out"), "No space left")
    _completes(disk, config, b"", ["ok", "ok"])


def test_full_while_a_child_measures(disk: Path, tmp_path: Path) -> None:
    """Its record goes into the reserve; for the next one there is none."""
    config = fake_config(tmp_path, runners="{name: fake, load_s: 1.5}", precisions="[fp32, bf16]")
    done = _fill_while_measuring(disk, config)
    before = (disk / "out" / "records.jsonl").read_bytes()
    assert before.count(b'"status":"ok"') == 1
    # What the record left of the reserve is not enough for another one.
    _refused(done, "no space left for results")
    _completes(disk, config, before, ["ok", "ok"])


@pytest.mark.slow
def test_a_child_that_fails_on_a_full_disk_is_not_judged(disk: Path, tmp_path: Path) -> None:
    """It may have failed because of the disk: no record, and it is measured when there is room."""
    config = fake_config(tmp_path, runners="{name: fake, load_s: 1.5, trouble: [crash, exit]}", precisions="[fp32]")
    done = _fill_while_measuring(disk, config)
    _refused(done, "no space left for results")
    assert (disk / "out" / "records.jsonl").read_bytes() == b""
    (disk / "filler").unlink()
    bench("run", config, "--out", disk / "out")
    assert [one["status"] for one in lines(disk / "out")] == ["crashed", "crashed"]


def test_full_by_the_log_of_the_child_itself(disk: Path, tmp_path: Path) -> None:
    """The log is cut when the child has ended, so that there is room again: a failure of this cell alone."""
    runners = f"{{name: fake, trouble: [gigabyte, none], flood_bytes: {2 * FREE}}}"
    config = fake_config(tmp_path, runners=runners, precisions="[fp32, bf16]")
    done = bench("run", config, "--out", disk / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: ") == 2
    found = {(one["cell"]["runner"]["options"]["trouble"], one["status"]) for one in lines(disk / "out")}
    assert found == {("gigabyte", "crashed"), ("none", "ok")}
    assert len(lines(disk / "out")) == 4
    assert all("No space left" in one["error"]["reason"] for one in lines(disk / "out") if one["status"] != "ok")


FILL_AT_THE_END = """\
import sys
from pathlib import Path
from bench import store
from bench.cli import main
from tests.small_disk import fill

leave, disk = store.Journal.__exit__, Path(sys.argv.pop(1))

def full(journal, *error):
    leave(journal, *error)
    fill(disk)

store.Journal.__exit__ = full
main()
"""


def test_full_while_the_table_is_written(disk: Path, tmp_path: Path) -> None:
    config = fake_config(tmp_path, precisions="[fp32, bf16]")
    done = subprocess.run(
        [sys.executable, "-c", FILL_AT_THE_END, disk, "run", config, "--out", disk / "out"],
        capture_output=True,
        text=True,
    )
    _refused(done, "table.md: cannot write it (No space left on device)")
    assert "decode tok/s" in done.stdout, "the table itself was printed"
    before = (disk / "out" / "records.jsonl").read_bytes()
    assert before.count(b"\n") == 2
    _completes(disk, config, before, ["ok", "ok"])
    assert len(json.loads((disk / "out" / "table.json").read_text())["rows"]) == 2
