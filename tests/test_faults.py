"""`kill -9` at random moments: nothing stored is lost, nothing is stored twice, and the same command completes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import bench, command, fake_config

REPLICATES = 2
MARK = "BENCH_TEST_KILLS"
LOST = b"killed by the system (signal 9)"


class Victim:
    """A run that is killed and started again, in one folder after another."""

    def __init__(self, folder: Path, seed: int, precisions: str) -> None:
        self.random = random.Random(seed)
        self.mark = f"{os.getpid()}-{seed}"
        self.folder = folder
        self.config = fake_config(
            folder,
            runners="{name: fake, prefill_s: 0.002, step_s: 0.001}",
            precisions=precisions,
            replicates=REPLICATES,
        )
        self.cells = precisions.count(",") + 1
        self.folders = 0
        self.hits: Counter[str] = Counter()
        self.life_s = 0.0
        self.before = b""
        self.next_folder()

    @property
    def journal(self) -> Path:
        return self.out / "records.jsonl"

    def next_folder(self) -> None:
        self.out = self.folder / f"out{self.folders}"
        self.folders += 1
        self.before = b""

    def killed(self, most: int) -> int:
        """Start the run and kill at random moments until it ends, `most` times at most. Returns how often."""
        process = subprocess.Popen(
            command("run", self.config, "--out", self.out),
            env={**os.environ, MARK: self.mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        kills = 0
        fresh = not self.before
        start = time.monotonic()
        while kills < most:
            try:
                process.wait(self.random.uniform(0, self.life_s))
                break
            except subprocess.TimeoutExpired:
                kills += self.kill(process)
                self.check(alive=process.poll() is None)
        _, said = process.communicate(timeout=120)
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, said.decode()
            assert b"Traceback" not in said
            if fresh and not kills:
                self.life_s = time.monotonic() - start
            self.check(alive=False)
            self.check_complete()
            self.next_folder()
        return kills

    def kill(self, process: subprocess.Popen[bytes]) -> int:
        """Kill the parent, its child, or both. Returns how many kills that makes."""
        whom = self.random.choice(["parent", "worker", "both"])
        workers = _children(process.pid)
        victims = [*(workers if whom != "parent" else []), *([process.pid] if whom != "worker" else [])]
        if not victims:
            return 0  # between two children: another moment
        self.random.shuffle(victims)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return 0  # it has just ended by itself
        self.hits[whom if workers else f"{whom}, no worker"] += 1
        if process.pid in victims:
            process.wait()
        return 1

    def check(self, alive: bool) -> None:
        """What has to hold at every moment."""
        text = self.journal.read_bytes() if self.journal.exists() else b""
        assert text.startswith(self.before), "a stored line has changed or is gone"
        self.before = text[: text.rfind(b"\n") + 1]
        keys = Counter((one["cell"]["cell_id"], one["replicate"]) for one in _records(text))
        assert set(keys.values()) <= {1}, "stored twice"
        if not alive:
            end = time.monotonic() + 10
            while left := [one for one in psutil.process_iter() if _mark(one) == self.mark]:
                assert time.monotonic() < end, f"left behind: {left}"
                time.sleep(0.02)

    def check_complete(self) -> None:
        """What has to hold when a run has completed."""
        found = _records(self.before)
        for status, error in ((one["status"], one.get("error")) for one in found):
            assert (status == "ok") == (error is None)
            assert error is None or error["reason"].encode().startswith(LOST), error
        failed = Counter(one["cell"]["cell_id"] for one in found if one["status"] != "ok")
        tried = Counter(one["cell"]["cell_id"] for one in found)
        assert len(tried) == self.cells
        assert {count for cell, count in tried.items() if failed[cell] < REPLICATES} <= {REPLICATES}


def _children(pid: int) -> list[int]:
    """Workers alone: a run that starts also calls git, for a moment."""
    try:
        return [one.pid for one in psutil.Process(pid).children() if "bench.execute.worker" in " ".join(one.cmdline())]
    except psutil.Error:
        return []


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:
        return None


def _records(text: bytes) -> list[dict[str, Any]]:
    """The whole records of a journal."""
    found = []
    for line in text.split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _kill_often(folder: Path, kills: int, seed: int, precisions: str) -> Counter[str]:
    victim = Victim(folder, seed, precisions)
    victim.killed(0)  # undisturbed: how long a run lives
    done = 0
    while done < kills:
        done += victim.killed(kills - done)
    victim.killed(0)
    last = folder / f"out{victim.folders - 2}"
    report = bench("report", last, "--format", "json")
    assert report.returncode == 0, report.stderr
    assert len(json.loads(report.stdout)["rows"]) == victim.cells
    return victim.hits


@pytest.mark.slow
def test_five_kills_at_random_moments(tmp_path: Path) -> None:
    hits = _kill_often(tmp_path, kills=5, seed=1, precisions="[fp32, bf16]")
    assert sum(hits.values()) >= 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills_at_random_moments(tmp_path: Path) -> None:
    hits = _kill_often(tmp_path, kills=200, seed=2, precisions="[fp32, bf16, nf4]")
    print(dict(hits))
    assert sum(hits.values()) >= 200
    assert {"parent", "worker", "both"} <= set(hits)


KILL_IN_WRITE = """\
import os, signal, sys
from bench import store
from bench.cli import main

share, count = float(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
write, written = store.Journal._write, 0

def torn(journal, line):
    global written
    written += 1
    if written == count:
        os.write(journal._fd, line[: round(len(line) * share)])
        os.kill(os.getpid(), signal.SIGKILL)
    write(journal, line)

store.Journal._write = torn
main()
"""


def test_a_kill_in_the_middle_of_writing_a_record(tmp_path: Path) -> None:
    """Half of it, all but the newline, all of it: each time the run goes on and completes."""
    config = fake_config(tmp_path, precisions="[fp32, bf16]", replicates=2)
    out = tmp_path / "out"
    before = b""
    for share in (0.5, 0.9999, 1.0):
        done = subprocess.run(
            [sys.executable, "-c", KILL_IN_WRITE, str(share), "1", "run", config, "--out", out], capture_output=True
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        text = (out / "records.jsonl").read_bytes()
        assert text.startswith(before)
        before = text
    done = bench("run", config, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("torn or broken line skipped") == 1, "said once, although the journal is read twice"
    text = (out / "records.jsonl").read_bytes()
    assert text.startswith(before)
    # The one that lost its newline alone is whole.
    keys = [(one["cell"]["cell_id"], one["replicate"]) for one in _records(text)]
    assert len(keys) == len(set(keys)) == 4
    assert {one["status"] for one in _records(text)} == {"ok"}


def test_a_killed_worker_is_a_record_and_sampling_goes_on(tmp_path: Path) -> None:
    config = fake_config(tmp_path, runners="{name: fake, load_s: 1}", replicates=3)
    process = subprocess.Popen(
        command("run", config, "--out", tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not (workers := _children(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    found = _records((tmp_path / "out" / "records.jsonl").read_bytes())
    assert [(one["replicate"], one["status"]) for one in found] == [(0, "oom"), (1, "ok"), (2, "ok")]
    assert "signal 9" in found[0]["error"]["reason"]
    assert "oom: killed by the system (signal 9)" in said
