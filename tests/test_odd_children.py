"""Children that do what no engine should: real processes with a runner from outside, one record each, none left."""

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import InputError
from bench.execute import child, logs
from bench.schema import Cell, Job, Model, Plain, RunnerChoice, Workload
from tests.commands import bench, fake_config, lines

ODD = """\
import ctypes, os, signal, sys, threading, time
from typing import ClassVar, Literal
from pydantic import BaseModel
from bench.runners.fake import FakeRunner, Options as FakeOptions

class Options(BaseModel):
    odd: Literal[
        "double_fork", "fork_tree", "closes_pipe", "half_message", "two_results", "result_then_crash", "ok_then_crash",
        "long_message", "exit_0", "empty_messages", "stopped", "never_listens", "result_twice_as_long"
    ]

class OddRunner(FakeRunner):
    Options: ClassVar = Options

    def __init__(self, model, precision, options):
        super().__init__(model, precision, FakeOptions())
        self.odd = options.odd

    def generate(self, prompts, output_tokens, on_step):
        odd, self.odd = self.odd, None
        if odd is not None:
            globals()[odd](int(sys.argv[1]))
        return super().generate(prompts, output_tokens, on_step)

def all_of(fd, data):
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left):]

def double_fork(fd):
    "A daemon as the books have it: its parent is gone, and its session is its own."
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        os._exit(0)
    os.wait()

def fork_tree(fd):
    "Every process in a session of its own, the ones above already gone."
    if os.fork() == 0:
        for _ in range(5):
            os.setsid() if os.getpid() != os.getsid(0) else None
            if os.fork() and os.fork():
                os._exit(0)
        time.sleep(3600)

def closes_pipe(fd):
    os.close(fd)
    time.sleep(3600)

def half_message(fd):
    os.write(fd, b'{"status": "ok", "measurement": {"facts"')
    time.sleep(3600)

def two_results(fd):
    for name in (b"first", b"second"):
        os.write(fd, b'{"status": "unsupported", "error": {"reason": "the %s"}}\\n' % name)

def result_then_crash(fd):
    os.write(fd, b'{"status": "unsupported", "error": {"reason": "said before"}}\\n')
    os.abort()

def ok_then_crash(fd):
    os._exit = lambda code: os.abort()

def long_message(fd):
    all_of(fd, b"x" * 300_000_000 + b"\\n")

def result_twice_as_long(fd):
    "A result, and behind it more than the pipe holds."
    all_of(fd, b'{"status": "unsupported", "error": {"reason": "said before"}}\\n' + b"x" * 10_000_000)

def exit_0(fd):
    os._exit(0)

def empty_messages(fd):
    all_of(fd, b'{}\\nnull\\n[]\\n{"status": "splendid"}\\n{"phase": 7}\\n\\n\\xff\\n')
    all_of(fd, b'{"phase": "x", "estimate_s": NaN}\\n')

def stopped(fd):
    os.kill(os.getpid(), signal.SIGSTOP)

def never_listens(fd):
    "Announces without end and reads no answer: the parent must not block in telling it to go on."
    while True:
        all_of(fd, b'{"phase": "again"}\\n' * 1000)
"""

# What the child does, the status that must be recorded, and words of its reason.
ODDITIES = {
    "double_fork": ("ok", ""),
    "fork_tree": ("ok", ""),
    "closes_pipe": ("crashed", "closed its pipe without a result"),
    "half_message": ("timeout", "no result after 3 s"),
    "two_results": ("unsupported", "the first"),
    "result_then_crash": ("unsupported", "said before"),
    "ok_then_crash": ("ok", ""),
    "long_message": ("crashed", "message of more than 63 MiB"),
    "result_twice_as_long": ("unsupported", "said before"),
    "exit_0": ("crashed", "ended with exit code 0 and no result"),
    "empty_messages": ("ok", ""),
    "stopped": ("timeout", "no result after 3 s"),
    "never_listens": ("timeout", "no result after 3 s"),
}
WAITS = [name for name, (status, _) in ODDITIES.items() if status == "timeout"]
LIMIT_S = 3
CELL = Cell(
    cell_id="x",
    model=Model(source="shape:pythia-70m"),
    precision=Plain(name="fp32"),
    runner=RunnerChoice(name="fake"),
    workload=Workload(batch_size=1, input_tokens=1, output_tokens=3),
)
MARK = f"odd-{os.getpid()}"


Odd = tuple[subprocess.CompletedProcess[str], Path]
"""A run and its folder."""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Odd]:
    """Every oddity once, by a runner that is installed like anybody's: in one run those that take all their time, and
    beside it the others, which have enough of it."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_runner.py").write_text(ODD)
    about = folder / "odd_runner-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-runner\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[bench.runners]\nodd = odd_runner:OddRunner\n")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))

    def run(names: list[str], limit_s: float) -> dict[str, Odd]:
        place = folder / names[0]
        place.mkdir()
        config = fake_config(place, runners=f"{{name: odd, odd: [{', '.join(names)}]}}", timeout_s=limit_s)
        done = bench("run", config, "--out", place / "out", PYTHONPATH=path, BENCH_TEST_MARK=MARK)
        return dict.fromkeys(names, (done, place / "out"))

    with ThreadPoolExecutor() as both:
        waiting = both.submit(run, WAITS, LIMIT_S)
        return run([name for name in ODDITIES if name not in WAITS], 60) | waiting.result()


def _record(folder: Path, name: str) -> Any:
    (found,) = [one for one in lines(folder) if one["cell"]["runner"]["options"]["odd"] == name]
    return found


@pytest.mark.parametrize("name", ODDITIES)
def test_each_oddity_is_one_record(odd: dict[str, Odd], name: str) -> None:
    done, folder = odd[name]
    assert done.returncode == (2 if name in WAITS else 0), done.stderr  # 2: no cell of that run could be measured
    assert "Traceback" not in done.stderr
    status, words = ODDITIES[name]
    found = _record(folder, name)
    assert found["status"] == status, found.get("error")
    assert words in found.get("error", {}).get("reason", "")
    assert ("measurement" in found) == (status == "ok")


def test_nothing_waits_longer_than_it_must(odd: dict[str, Odd]) -> None:
    """The limit of a child and the grace after it are all the time that any of them can take."""
    for name, (_, folder) in odd.items():
        assert _record(folder, name)["elapsed_s"] < LIMIT_S + child.EXIT_S + child.GRACE_S + 3, name


@pytest.mark.usefixtures("odd")
def test_no_process_hides_in_another_session() -> None:
    left = [one for one in psutil.process_iter() if _mark(one) == MARK]
    for one in left:
        one.kill()
    if sys.platform.startswith("linux"):
        assert left == []


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("BENCH_TEST_MARK")
    except psutil.Error:
        return None


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on processes is reached: one line, and nothing is recorded of a cell that was never tried."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(InputError, match=r"cannot start a process.*run the same command"):
        child.run(Job(cell=CELL, replicate=0), tmp_path / "log", 60, lambda *_: None)


# --- logs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [100 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)], ids=["100 MiB", "a gigabyte"]
)
def test_a_child_that_prints_without_end_leaves_a_short_log(tmp_path: Path, size: int) -> None:
    """Half of it to each stream. The log is cut, the person is told in one line, and the measurement stands."""
    if shutil.disk_usage(tmp_path).free < 3 * size:
        pytest.skip("the disk has too little room for this")
    config = fake_config(tmp_path, runners=f"{{name: fake, trouble: gigabyte, flood_bytes: {size // 2}}}")
    start = time.monotonic()
    done = bench("run", config, "--out", tmp_path / "out")
    print(f"{size / 2**20:.0f} MiB in {time.monotonic() - start:.1f} s")
    assert done.returncode == 0, done.stderr
    (record,) = lines(tmp_path / "out")
    assert record["status"] == "ok"
    (log,) = (tmp_path / "out" / "logs").iterdir()
    assert log.stat().st_size < logs.HEAD_BYTES + logs.TAIL_BYTES + 100
    text = log.read_bytes()
    assert text.count(b" bytes left out here]\n") == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(said) == 1
    assert str(log) in said[0]
    assert f"{size >> 20:,} MiB" in said[0]


def test_a_log_that_runs_away_is_bounded_while_the_child_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RUNAWAY_BYTES", 1 << 20)
    monkeypatch.setattr(child, "LOG_CHECK_S", 0.05)
    options = {"trouble": "gigabyte", "flood_bytes": 100 << 20, "step_s": 0.2}
    cell = CELL.model_copy(update={"runner": RunnerChoice(name="fake", options=options)})
    sizes: list[int] = []
    bound = logs.Log.bound

    def watched(log: logs.Log) -> None:
        bound(log)
        sizes.append(os.fstat(log.fd).st_size)

    monkeypatch.setattr(logs.Log, "bound", watched)
    outcome = child.run(Job(cell=cell, replicate=0), tmp_path / "log", 60, lambda *_: None)
    assert outcome.status == "ok"
    assert sizes[-1] <= 1 << 20, "still long after the flood"
    (note,) = outcome.notes
    assert 100 <= int(note.partition("printed at least ")[2].split()[0]) <= 200
    assert (tmp_path / "log").stat().st_size <= logs.HEAD_BYTES + logs.TAIL_BYTES + 100


@pytest.mark.parametrize("size", [0, 1, logs.LIMIT_BYTES])
def test_a_short_log_is_left_alone(tmp_path: Path, size: int) -> None:
    log = logs.Log(tmp_path / "log")
    os.write(log.fd, b"x" * size)
    log.bound()
    assert log.shorten() is None
    assert (tmp_path / "log").read_bytes() == b"x" * size
    log.close()


def test_a_log_that_cannot_be_cut_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.Log(tmp_path / "log")
    os.write(log.fd, b"x" * 2 * logs.LIMIT_BYTES)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "ftruncate", broken)
    note = log.shorten()
    log.close()
    assert note is not None
    assert "cannot be shortened" in note


def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = logs.Log(tmp_path / "log")
    text = b"".join(b"%08d\n" % number for number in range(400_000))
    os.write(log.fd, text)
    assert log.last_lines()[-1] == "00399999"
    note = log.shorten()
    log.close()
    assert note is not None
    left_out = len(text) - logs.HEAD_BYTES - logs.TAIL_BYTES
    middle = f"\n[{left_out} bytes left out here]\n".encode()
    assert (tmp_path / "log").read_bytes() == text[: logs.HEAD_BYTES] + middle + text[-logs.TAIL_BYTES :]
