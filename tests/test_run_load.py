"""`bench run` with cells under load, as a person calls it: what is written, killed, interrupted, paid for and said."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.cli.live_view import LiveView
from bench.execute import under_load
from bench.execute.interrupts import interrupts
from bench.execute.worker import Message
from bench.measure.serving import marks
from bench.schema import Live
from tests.commands import ROOT, bench, command, lines
from tests.mocked import Mocked, mock
from tests.small_disk import fill, mounted_disk

CANARY = "sk-canary-9f8e7d6c5b4a39281706"
LLAMA = "groq/llama-3.1-8b-instant"
USD_IN, USD_OUT = 0.05e-6, 0.08e-6
"""Its prices."""

LOAD = "{{load: closed, concurrency: {streams}, input_tokens: 16, output_tokens: 8, warmup_s: 0.1, until: {until}}}"
ONCE = "replicates: 1\nsampling: {max_replicates: 1}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.005, itl_s=0.001) as running:
        yield running


def config(folder: Path, runner: str, until: str = "{duration_s: 0.5}", streams: str = "2", more: str = ONCE) -> Path:
    path = folder / "load.yaml"
    path.write_text(f"runners: {runner}\nworkloads: {LOAD.format(streams=streams, until=until)}\n{more}")
    return path


def at(server: Mocked, more: str = "") -> str:
    return f"{{name: openai, base_url: '{server.base_url}'{more}}}"


def begun(*words: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(command("run", *words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def under_way(process: "subprocess.Popen[str]", out: Path) -> list[psutil.Process]:
    """Its processes, when requests have been answered."""
    until = time.monotonic() + 30
    while not any(one.stat().st_size for one in out.glob("traces/*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    return psutil.Process(process.pid).children(recursive=True)


def module(processes: list[psutil.Process], name: str) -> psutil.Process:
    return next(one for one in processes if name in one.cmdline())


def ended(process: "subprocess.Popen[str]", children: list[psutil.Process]) -> tuple[str, str]:
    out, err = process.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert "Traceback" not in err
    return out, err


def usd(server: Mocked) -> float:
    return sum(one.prompt_tokens * USD_IN + one.tokens * USD_OUT for one in server.truth())


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Where the tests run in the background, a shell has Ctrl-C ignored, and every child inherits that."""
    interrupts.forget()  # what a test before this one in the same process has left held
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def test_offline_and_served_cells_of_one_config(tmp_path: Path, server: Mocked) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(
        f"models: shape:pythia-70m\nprecisions: fp32\nrunners: [fake, {at(server)}]\n"
        f"workloads:\n- {{batch_size: 2, input_tokens: 8, output_tokens: 4}}\n"
        f"- {LOAD.format(streams='2', until='{duration_s: 0.5}')}\n"
        f"protocol: {{rounds: 2, warmup_rounds: 1, memory_pass: false}}\n{ONCE}"
    )
    out = tmp_path / "out"
    done = bench("run", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "under load" in done.stdout
    assert {one.name for one in out.glob("table*")} == {
        *(f"table.{form}" for form in ("md", "csv", "json")),
        *(f"table-serving.{form}" for form in ("md", "csv", "json")),
    }
    served = [one for one in lines(out) if "serving" in one]
    assert len(served) == 1
    assert len(lines(out)) == 2
    assert (out / served[0]["serving"]["trace"]).is_file()
    assert not [one.name for one in (out / "traces").iterdir() if not one.name.endswith(".jsonl.gz")]
    before = (out / "records.jsonl").read_bytes()
    again = bench("run", path, "--out", out)
    assert "nothing is left to measure" in again.stderr
    assert (out / "records.jsonl").read_bytes() == before


@pytest.mark.slow
def test_the_command_of_a_record_under_load_measures_it_again(tmp_path: Path, server: Mocked) -> None:
    assert bench("run", config(tmp_path, at(server)), "--out", tmp_path / "out").returncode == 0
    (served,) = lines(tmp_path / "out")
    words = served["command"].split()
    once_more = bench(*words[1:], cwd=tmp_path)
    assert once_more.returncode == 0, once_more.stderr
    (own,) = lines(tmp_path / words[-1])
    assert own["cell"]["cell_id"] == served["cell"]["cell_id"]


@pytest.mark.parametrize("whom", ["run", pytest.param("conductor", marks=pytest.mark.slow)])
def test_kill_9_under_load_is_kept_and_counted_once(tmp_path: Path, server: Mocked, whom: str) -> None:
    out, path = tmp_path / "out", config(tmp_path, at(server), "{duration_s: 5}")
    process = begun(path, "--out", out)
    children = under_way(process, out)
    time.sleep(0.3)
    victim = process if whom == "run" else module(children, "bench.execute.worker")
    os.kill(victim.pid, signal.SIGKILL)
    ended(process, children)
    config(tmp_path, at(server))  # another cell: the killed one's record comes all the same
    done = bench("run", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert ("killed under load: 1" in done.stderr) is (whom == "run")
    killed = [one for one in lines(out) if one["status"] != "ok"]
    assert [one["status"] for one in killed] == ["crashed" if whom == "run" else "oom"]
    assert len(lines(out)) == 2
    (trace,) = (out / "traces").glob(f"{killed[0]['record_id']}*")
    assert trace.name in killed[0]["error"]["reason"]


def test_what_was_killed_between_its_trace_and_its_record(tmp_path: Path, server: Mocked) -> None:
    out, path = tmp_path / "out", config(tmp_path, at(server), "{requests: 20}")
    assert bench("run", path, "--out", out).returncode == 0
    (record,) = lines(out)
    draft = {key: record[key] for key in ("record_id", "replicate", "started_at", "cell", "environment")}
    note = out / "traces" / f"{record['record_id']}{under_load.NOTE}"
    note.write_text(json.dumps({**draft, "status": "crashed"}))
    (out / "records.jsonl").write_text("")
    assert "killed under load: 1" in bench("run", path, "--out", out).stderr
    (found,) = lines(out)
    assert found["status"] == "crashed"
    assert f"{record['serving']['requests']} requests were over" in found["error"]["reason"]
    note.write_text(json.dumps({**draft, "status": "crashed"}))
    again = bench("run", path, "--out", out, "--retry-failed")
    assert "killed under load" not in again.stderr
    assert [one["status"] for one in lines(out)] == ["crashed", "ok"], again.stderr
    assert not note.exists()


def test_ctrl_c_under_load_keeps_the_requests_and_goes_on(tmp_path: Path, server: Mocked) -> None:
    out, path = tmp_path / "out", config(tmp_path, at(server), "{requests: 300}")
    process = begun(path, "--out", out)
    children = under_way(process, out)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = ended(process, children)
    assert process.returncode == 130
    assert "the same command goes on" in err
    (stopped,) = lines(out)
    assert stopped["serving"]["ended"] == "interrupted"
    assert stopped["serving"]["requests"] > 0
    assert "stop" not in stopped
    done = bench("run", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert [(one["replicate"], one["serving"]["ended"]) for one in lines(out)] == [(0, "interrupted"), (0, "requests")]
    (row,) = json.loads((out / "table-serving.json").read_text())["rows"]
    assert row["replicates"] == 1


@pytest.mark.parametrize("slow", ["probe", "server"])
def test_ctrl_c_before_the_load_ends_at_once_and_leaves_nothing(tmp_path: Path, slow: str) -> None:
    with mock(ttft_s=30) as server:
        sleeper = "{name: openai, server: {engine: command, command: [sleep, '60', '{port}']}}"
        runner = at(server) if slow == "probe" else sleeper
        out, path = tmp_path / "out", config(tmp_path, runner)
        process = begun(path, "--out", out)
        until = time.monotonic() + 20
        log = "*.log" if slow == "probe" else "*.server.log"
        while not list(out.glob(f"logs/{log}")):
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(1.0)
        children = psutil.Process(process.pid).children(recursive=True)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        ended(process, children)
        assert time.monotonic() - start < 10
    assert process.returncode == 130
    assert lines(out) == []
    assert not list(out.glob("traces/*"))


@pytest.mark.slow
def test_a_limit_on_money_holds_over_calls_and_kills(tmp_path: Path) -> None:
    with mock(ttft_s=0.01, itl_s=0.005) as server:
        out, path = tmp_path / "out", config(tmp_path, at(server), "{duration_s: 20}", "8")
        paid = ("--out", out, "--billed-as", LLAMA, "--max-spend", "0.0006")
        process = begun(path, *paid)
        children = under_way(process, out)
        generator = module(children, "bench.measure.serving.process")
        for one in (psutil.Process(process.pid), generator, module(children, "bench.execute.worker")):
            one.kill()  # all at once: nobody writes what was on its way
        ended(process, children)
        (note,) = out.glob(f"traces/*{under_load.NOTE}")
        marked = marks.usd(out, note.name.removesuffix(under_load.NOTE))
        assert marked is not None
        assert usd(server) <= marked
        for _ in range(2):
            done = bench("run", path, *paid, "--retry-failed")
            assert done.returncode == 0, done.stderr
            assert "--max-spend: " in done.stderr
            assert "everything measured is kept" in done.stderr
            assert usd(server) <= 0.0006
        found = lines(out)
        assert found[0]["status"] == "crashed"
        assert found[0]["spent_usd"] == pytest.approx(marked)
        assert {one["serving"]["ended"] for one in found[1:]} == {"money"}
        assert sum(one.get("spent_usd") or one["serving"]["spent_usd"] for one in found) <= 0.0006
        assert "$" in done.stdout
        assert not list(out.glob(f"traces/*{marks.END}"))


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        ("{name: openai, base_url: 'http://127.0.0.1:1/v1'}", ("refused", "base_url")),
        ("{name: openai, server: {engine: command, command: [/no/such, '{port}']}}", ("no program", "command")),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_a_row_with_a_reason(
    tmp_path: Path, runner: str, words: tuple[str, ...]
) -> None:
    done = bench("run", config(tmp_path, runner), "--out", tmp_path / "out")
    assert done.returncode == 2
    (record,) = lines(tmp_path / "out")
    for word in words:
        assert word in done.stdout
    assert "Traceback" not in done.stderr
    assert "requests were over" not in record["error"]["reason"]


def test_the_key_is_nowhere(tmp_path: Path) -> None:
    with mock(key_env="MOCK_KEY", echo_key=True, environment={"MOCK_KEY": CANARY}, ttft_s=0.002, itl_s=0.001) as server:
        body = ", key_env: MOCK_KEY, body: {mock: {error_share: 0.3, error_status: 500}}"
        path = config(tmp_path, at(server, body), "{duration_s: 0.4, failed_share: 1.0}")
        done = bench("run", path, "--out", tmp_path / "out", MOCK_KEY=CANARY)
        wrong = bench("run", path, "--out", tmp_path / "wrong", MOCK_KEY=CANARY[::-1])
    assert wrong.returncode == 2
    told = [done.stdout, done.stderr, wrong.stdout, wrong.stderr]
    told += [one.read_bytes().decode("latin-1") for one in tmp_path.rglob("*") if one.is_file()]
    for text in told:
        assert CANARY not in text
        assert CANARY[::-1] not in text


@pytest.mark.slow
def test_a_full_disk_under_load_loses_nothing(tmp_path: Path, server: Mocked) -> None:
    with mounted_disk(tmp_path / "disk", 12 << 20) as disk:
        if disk is None:
            pytest.skip("this user may not mount a small disk")
        out, path = disk / "out", config(tmp_path, at(server), "{duration_s: 2}")
        process = begun(path, "--out", out)
        children = under_way(process, out)
        fill(disk)
        _, err = ended(process, children)
        assert process.returncode == 2, err
        assert err.count("error: ") == 1
        assert "no space left" in err
        assert (out / "records.jsonl").read_bytes() == b""
        (disk / "filler").unlink()
        kept = bench("run", path, "--out", out)
        assert "killed under load: 1" in kept.stderr
        assert [one["status"] for one in lines(out)] == ["crashed"]


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


class Gone(Screen):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_the_live_view_draws_on_a_terminal_and_survives_one_that_is_gone() -> None:
    standing = Live(phase="measuring", at_s=3, sent=41, succeeded=30, failed=1, in_flight=10, last_error="status 500")
    for stream in (Screen(), Gone()):
        view = LiveView(stream)
        view.show("closed 4", standing)
        view.show("closed 4", standing)
        view.clear()
    screen = Screen()
    LiveView(screen).show("closed 4", standing)
    for word in ("closed 4: measuring, 3 s", "41", "status 500"):
        assert word in screen.getvalue()


TALKS = """
import os, sys, time
out = os.fdopen(int(sys.argv[-1]), "w")
sys.stdin.readline()
out.write({said!r})
out.flush()
line = sys.stdin.readline()
out.write({result!r} if line.strip() == "stop" else "")
out.flush()
"""


def test_ctrl_c_while_the_load_is_announced_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the parent draws: what was read and not heard yet is heard, and "stop" is said."""
    from bench.execute import child
    from tests.underload import job, traffic

    said = Message(phase="load").model_dump_json() + "\n" + Message(phase="unheard").model_dump_json() + "\n"
    result = Message(status="invalid", error={"reason": "stopped"}).model_dump_json() + "\n"
    script = tmp_path / "child.py"
    script.write_text(TALKS.format(said=said, result=result))
    popen: Callable[..., Any] = subprocess.Popen

    def started(words: list[str], **more: Any) -> Any:
        return popen([words[0], str(script), words[-1]], **more)

    monkeypatch.setattr(subprocess, "Popen", started)
    heard: list[str] = []

    def progress(phase: str, _: float | None) -> None:
        heard.append(phase)
        if phase == "load":
            raise KeyboardInterrupt

    outcome = child.run(job(tmp_path, traffic()), tmp_path / "log", 20, progress)
    assert heard == ["load", "unheard"]
    assert outcome.error is not None
    assert outcome.error.reason == "stopped"
    with pytest.raises(KeyboardInterrupt):
        interrupts.let_through()
