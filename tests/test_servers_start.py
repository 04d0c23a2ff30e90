"""Starting and ending servers that misbehave: a small Python server stands in for an engine (`engine: command`)."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.errors import DoesNotFitError, InputError, UnsupportedError
from bench.schema import ManagedServer, Model, Served
from bench.servers import commands, server_log
from bench.servers import start as starting
from bench.servers.fetch import get
from bench.servers.running import Running
from bench.servers.start import NeverReadyError, ServerDiedError, start
from tests.commands import ROOT

SERVER = """
import os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS)
        self.end_headers()
    def log_message(self, *words):
        pass

STATUS = 200
port = int(sys.argv[1])
"""
SERVE = "ThreadingHTTPServer(('127.0.0.1', port), Answers).serve_forever()\n"

SHAPE = Model(source="shape:pythia-70m")  # no files: the command alone says what is served
SERVED = Served(name="served")


def choice(tmp_path: Path, code: str, **settings: object) -> ManagedServer:
    script = tmp_path / "server.py"
    script.write_text(SERVER + code)
    settings.setdefault("start_timeout_s", 20)
    return ManagedServer(
        engine="command",
        command=(sys.executable, "-S", str(script), "{port}"),
        **settings,
    )


def started(tmp_path: Path, code: str, **settings: object) -> Running:
    return start(choice(tmp_path, code, **settings), SHAPE, SERVED, tmp_path / "server.log", lambda _: None)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def until(true: Callable[[], bool], tries: int = 200) -> bool:
    for _ in range(tries):
        if true():
            return True
        time.sleep(0.05)
    return False


def test_a_server_of_ones_own_is_started_and_stopped(tmp_path: Path) -> None:
    with started(tmp_path, "print('hello from the server', flush=True)\n" + SERVE, args=("--extra",)) as server:
        assert server.is_alive()
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.base_url.endswith("/v1")
        assert server.facts.engine == "command"
        assert server.facts.load_s > 0
        assert server.facts.command[0] == Path(sys.executable).name
        assert server.facts.command[2:] == ("server.py", server.base_url.split(":")[2].removesuffix("/v1"), "--extra")
        assert not any(str(tmp_path) in word for word in server.facts.command)
        assert server.metrics_path is None
        assert server.facts.weights_id is None
        peak = server.rss_peak_bytes()
        assert peak is not None
        assert 4e6 < peak < 1e9
    assert gone(server.pid)
    assert not server.is_alive()
    assert server.rss_peak_bytes() == pytest.approx(peak, rel=0.5)
    assert "hello from the server" in (tmp_path / "server.log").read_text()
    server.stop()  # safe to call again


def test_a_server_that_ignores_sigterm_and_forks_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.servers.running.GRACE_S", 0.3)
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "asleep = [sys.executable, '-S', '-c', 'import signal, time; signal.signal(15, 1); time.sleep(60)']\n"
        "near = subprocess.Popen(asleep)\n"
        "far = subprocess.Popen(asleep, start_new_session=True)\n"
        "open(sys.argv[2], 'w').write(f'{near.pid} {far.pid}')\n"
    )
    said = tmp_path / "children"
    server = started(tmp_path, code + SERVE, args=(str(said),))
    children = [int(pid) for pid in said.read_text().split()]
    assert not any(gone(pid) for pid in children)
    server.stop()
    assert gone(server.pid)
    assert all(until(lambda pid=pid: gone(pid)) for pid in children)  # type: ignore[misc]


def test_a_server_that_dies_while_starting_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerDiedError) as caught:
        started(tmp_path, "print('warming up')\nraise ValueError('bad layer in /opt/secret/place/model.bin')\n")
    text = str(caught.value)
    assert "exit code 1" in text
    assert "ValueError: bad layer in model.bin" in text
    assert "/opt/secret" not in text
    assert "\n" not in text
    with pytest.raises(ServerDiedError, match=r"exit code 3\): it printed nothing"):
        started(tmp_path, "os._exit(3)\n")
    with pytest.raises(ServerDiedError, match="signal 11"):
        started(tmp_path, "os.kill(os.getpid(), 11)\n")


def test_causes_of_death_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFitError, match="CUDA out of memory"):
        started(tmp_path, "sys.exit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB')\n")
    with pytest.raises(DoesNotFitError, match="signal 9"):
        started(tmp_path, "os.kill(os.getpid(), 9)\n")
    with pytest.raises(UnsupportedError, match="No module named 'no_such_engine'"):
        started(tmp_path, "import no_such_engine\n")


def test_the_line_with_the_cause_is_told() -> None:
    """As llama.cpp's server ends: the cause first, and after it that there was one."""
    cause = "E llama_model_load: error loading model: unknown model architecture: 'lamax'"
    after = (
        "E srv load_model: failed to load model, 'x'",
        "llama.cpp: Failed to init server, please check the input params.",
    )
    assert server_log.reason((cause, *after)) == cause
    assert server_log.reason(after) == after[-1]


def test_a_server_that_is_never_ready(tmp_path: Path) -> None:
    with pytest.raises(NeverReadyError) as caught:
        started(tmp_path, "STATUS = 503\nprint('still loading', flush=True)\n" + SERVE, start_timeout_s=0.8)
    text = str(caught.value)
    assert "status 503" in text
    assert "still loading" in text
    assert "start_timeout_s" in text
    assert not [one for one in psutil.Process().children() if "server.py" in " ".join(one.cmdline())]
    with pytest.raises(NeverReadyError, match="did not answer"):
        started(tmp_path, "time.sleep(60)\n", start_timeout_s=0.5)


def test_ctrl_c_while_waiting_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "pid"

    def interrupted(*words: object, **settings: object) -> None:
        if said.exists() and said.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(starting, "get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        started(tmp_path, "open(sys.argv[2], 'w').write(str(os.getpid()))\n" + SERVE, args=(str(said),))
    assert gone(int(said.read_text()))


def test_ready_is_what_the_health_path_says(tmp_path: Path) -> None:
    code = (
        "class Answers(Answers):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200 if self.path == '/up' else 404)\n"
        "        self.end_headers()\n"
    )
    with started(tmp_path, code + SERVE, health_path="/up", metrics_path="/numbers") as server:
        assert server.metrics_path == "/numbers"
    with pytest.raises(NeverReadyError, match="status 404"):
        started(tmp_path, code + SERVE, start_timeout_s=0.5)


def test_a_port_that_was_taken_meanwhile_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    free = starting._free_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = int(other.getsockname()[1])
        ports = [taken, free()]
        monkeypatch.setattr(starting, "_free_port", lambda: ports.pop(0))
        with start(choice(tmp_path, SERVE), SHAPE, SERVED, tmp_path / "server.log", said.append) as server:
            assert f":{taken}/" not in server.base_url
        monkeypatch.setattr(starting, "_free_port", lambda: taken)
        with pytest.raises(ServerDiedError, match="3 ports were taken"):
            started(tmp_path, SERVE)
    assert any(f"port {taken} was taken" in line for line in said)


def test_another_server_on_the_port_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER + SERVE)
    port = starting._free_port()
    other = subprocess.Popen([sys.executable, "-S", str(script), str(port)])
    try:
        assert until(lambda: get("127.0.0.1", port, "/health") is not None)
        monkeypatch.setattr(starting, "_free_port", lambda: port)
        # A program in place of llama-server: it takes llama.cpp's arguments, and never listens.
        deaf = tmp_path / "deaf"
        deaf.write_text(f"#!{sys.executable} -S\nimport time\ntime.sleep(60)\n")
        deaf.chmod(0o755)
        gguf = tmp_path / "m.gguf"
        gguf.write_bytes(b"GGUF")
        asked = ManagedServer(engine="llama.cpp", command=(str(deaf),), start_timeout_s=0.8)
        monkeypatch.setattr("bench.servers.llama_cpp._has", lambda *_: False)
        with pytest.raises(NeverReadyError, match="status 200"):
            start(asked, Model(source=str(gguf)), SERVED, tmp_path / "server.log", lambda _: None)
    finally:
        other.kill()
        other.wait()


def test_a_flood_of_output_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_log, "LIMIT_BYTES", 2**20)
    flood = (
        "import threading\n"
        "def flood():\n"
        "    for _ in range(400):\n"
        "        sys.stdout.write('x' * 99 + '\\n' * 1 + 'y' * 9900 + '\\n'); sys.stdout.flush(); time.sleep(0.001)\n"
        "    print('the last word', flush=True)\n"
        "print('the first word', flush=True)\n"
        "threading.Thread(target=flood).start()\n"
    )
    said: list[str] = []
    log = tmp_path / "server.log"
    with start(choice(tmp_path, flood + SERVE), SHAPE, SERVED, log, said.append) as server:
        assert until(lambda: server.is_alive() and "the last word" in "".join(server.last_lines()[-1:]))
        assert log.stat().st_size < 2 * 2**20
    assert "the first word" in log.read_text()
    assert "left out here" in log.read_text()
    assert sum("prints more than" in line for line in said) == 1


def test_a_server_ends_with_its_parent(tmp_path: Path) -> None:
    asked = choice(tmp_path, "open(sys.argv[2], 'w').write(str(os.getpid()))\n" + SERVE, args=(str(tmp_path / "pid"),))
    log = str(tmp_path / "log")
    parent = (
        "import sys, time\nfrom pathlib import Path\nfrom bench.schema import ManagedServer, Model, Served\n"
        "from bench.servers.start import start\n"
        f"asked = ManagedServer.model_validate_json({asked.model_dump_json()!r})\n"
        f"start(asked, Model(source='shape:pythia-70m'), Served(name='served'), Path({log!r}), print)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any("ready" in line for line in iter(process.stdout.readline, ""))
        pid = int((tmp_path / "pid").read_text())
        assert not gone(pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert until(lambda: gone(pid))


def test_what_cannot_be_started_is_said_first(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(InputError, match=r"unknown engine 'vlm'.*did you mean 'vllm'"):
        start(ManagedServer(engine="vlm"), SHAPE, SERVED, log, print)
    with pytest.raises(UnsupportedError, match="whole command"):
        start(ManagedServer(engine="command"), SHAPE, SERVED, log, print)
    with pytest.raises(UnsupportedError, match=r"server\.command: no program 'no-such-server' here"):
        start(ManagedServer(engine="command", command=("/x/no-such-server", "{port}")), SHAPE, SERVED, log, print)
    with pytest.raises(UnsupportedError, match=r"has no files for \{model\}"):
        start(ManagedServer(engine="command", command=("sleep", "{model}", "{port}")), SHAPE, SERVED, log, print)
    with pytest.raises(InputError, match="cannot keep the server's log"):
        start(ManagedServer(engine="command", command=("sleep", "{port}")), SHAPE, SERVED, Path("/dev/null/x"), print)


def test_keys_and_folders_stay_out_of_what_is_shown() -> None:
    words = (
        "/opt/bin/serve",
        "--api-key",
        "canary",
        "--hf-token=canary",
        "-m",
        "/home/John Doe/m.gguf",
        "--x=/a/b c/d",
    )
    shown = commands.shown(words)
    assert shown == ("serve", "--api-key", "***", "--hf-token=***", "-m", "m.gguf", "--x=d")


def test_environment_of_the_server(tmp_path: Path) -> None:
    code = "open(sys.argv[2], 'w').write(os.environ['OF_ITS_OWN'] + os.environ['HOME'])\n"
    with started(tmp_path, code + SERVE, args=(str(tmp_path / "told"),), env={"OF_ITS_OWN": "yes"}):
        assert (tmp_path / "told").read_text() == "yes" + os.environ["HOME"]
