"""Start a server on loopback and wait until it is ready; it ends with the thread that started it.

The port is one that was free a moment ago; a server that finds it taken is started again on another. Its process leads
a session of its own, so that Ctrl-C does not reach it and `stop` reaches everything that it starts.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.errors import DoesNotFitError, InputError, UnsupportedError
from bench.schema import ManagedServer, Model, Precision, ServerFacts
from bench.servers import commands, engines, server_log, weights
from bench.servers.commands import bare
from bench.servers.engine import HOST, LONGEST_TOKENS, STREAMS, Engine, Launch
from bench.servers.fetch import get
from bench.servers.running import Running, end, listens
from bench.servers.server_log import ServerLog

ATTEMPTS = 3
"""Ports that are tried."""

SHORTEST_WAIT_S = 0.02
LONGEST_WAIT_S = 0.5
WAIT_SHARE = 0.02
"""Between two looks at a server: this share of the time it has taken so far, so that `load_s` is as exact."""

HEALTH_S = 1.0
"""For one look at a server; while it lasts, nobody sees that the server ended."""

LEASH = Path(__file__).with_name("leash.py")


class ServerDiedError(RuntimeError):
    """The server ended before it was ready. Says how, and the most telling line that it printed."""


class NeverReadyError(TimeoutError):
    """The server still ran but was not ready within `start_timeout_s`."""


class _PortTakenError(Exception):
    pass


def start(
    choice: ManagedServer,
    model: Model,
    precision: Precision,
    log: Path,
    say: Callable[[str], None],
    *,
    streams: int = STREAMS,
    longest_tokens: int = LONGEST_TOKENS,
) -> Running:
    """A server that is ready. Call it from a thread that lives as long as the server is needed.

    `log` is appended to; `say` hears what was unusual. `streams`: requests at once that it is made for;
    `longest_tokens`: of prompt and answer together. Raises InputError for an unknown engine, UnsupportedError for a
    combination that cannot work or an engine that is not installed, DoesNotFitError when memory ran out,
    NeverReadyError, and ServerDiedError for any other end.
    """
    engine = engines.find(choice.engine)
    found = weights.find(model, say)
    if engine.prepare is not None and not commands.is_whole(choice.command):
        found = engine.prepare(found, precision, say)
    try:
        kept = ServerLog(log)
    except OSError as error:
        raise InputError(f"{log}: cannot keep the server's log there ({error.strerror})") from None
    try:
        for attempt in range(1, ATTEMPTS + 1):
            own = commands.program(choice)
            launch = Launch(found, precision, _free_port(), own, choice.args, streams, longest_tokens)
            try:
                return _started(engine, choice, launch, kept, say)
            except _PortTakenError:
                say(f"port {launch.port} was taken meanwhile ({attempt} of {ATTEMPTS})")
        raise ServerDiedError(f"{engine.name}: {ATTEMPTS} ports were taken in a row before it could have them")
    except BaseException:
        kept.close()
        raise


def _started(
    engine: Engine, choice: ManagedServer, launch: Launch, log: ServerLog, say: Callable[[str], None]
) -> Running:
    command = commands.made(engine, choice, launch)
    extra = {**engine.env, **command.env, **choice.env}
    _write(command.files)
    since = time.perf_counter()
    process = _process(command.words, command.folder, extra, log)
    try:
        _Wait(process, engine, choice, launch.port, log).until_ready()
        load_s = time.perf_counter() - since
        _step(command.create, command.folder, extra, engine, choice, log)
        load_s += _step(command.load, command.folder, extra, engine, choice, log)
        weights_id, weights_bytes = commands.identity(launch, (*command.words, *command.files.values()))
        facts = ServerFacts(
            engine=engine.name,
            version=command.version or _version(engine, launch.port),
            command=commands.shown(command.words),
            load_s=load_s,
            weights_id=weights_id,
            weights_bytes=weights_bytes,
        )
    except BaseException:
        end(process)
        raise
    metrics = choice.metrics_path or engine.metrics_path
    base_url = f"http://{HOST}:{launch.port}/v1"
    return Running(process, log, base_url, facts, metrics, command.model, say)


def _write(files: Mapping[Path, str]) -> None:
    """Raises InputError for a place that cannot be written to."""
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}-{os.getpid()}")
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); set BENCH_CACHE to another folder"
            ) from None


def _step(
    words: tuple[str, ...],
    folder: Path | None,
    extra: Mapping[str, str],
    engine: Engine,
    choice: ManagedServer,
    log: ServerLog,
) -> float:
    """Run a command beside the server until it ends well; how long that took, in seconds.

    Raises ServerDiedError for another end, NeverReadyError where it takes longer than a server may to get ready.
    """
    if not words:
        return 0.0
    since = time.perf_counter()
    process = _process(words, folder, extra, log)
    shown = f"{engine.name}: {' '.join(commands.shown(words[:2]))}"
    try:
        code = process.wait(choice.start_timeout_s)
    except subprocess.TimeoutExpired:
        raise NeverReadyError(
            f"{shown} was not done after {choice.start_timeout_s:g} s; raise start_timeout_s in server"
        ) from None
    finally:
        end(process)
    if code:
        last = server_log.reason(log.last_lines())
        said = "it printed nothing" if last is None else bare(last)
        raise ServerDiedError(f"{shown} failed (exit code {code}): {said}; see {log.path.name}")
    return time.perf_counter() - since


def _process(
    words: tuple[str, ...], folder: Path | None, extra: Mapping[str, str], log: ServerLog
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log.fd,
            stderr=log.fd,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **extra},
        )
    except OSError as error:
        raise InputError(f"cannot start a process ({error.strerror}); raise the limit on processes or memory") from None


class _Wait:
    """The time between a server's start and its first answer that it is ready."""

    def __init__(
        self, process: subprocess.Popen[bytes], engine: Engine, choice: ManagedServer, port: int, log: ServerLog
    ) -> None:
        self._process = process
        self._engine = engine
        self._health = choice.health_path or engine.health_path
        self._timeout_s = choice.start_timeout_s
        self._port = port
        self._log = log
        # A container's port belongs to another process; only what we started ourselves can be held to its own.
        self._own_port = not commands.is_whole(choice.command)

    def until_ready(self) -> None:
        """Returns when it is. Raises what `start` says, and _PortTakenError."""
        since = time.perf_counter()
        status: int | None = None
        while True:
            elapsed_s = time.perf_counter() - since
            try:
                self._process.wait(min(max(SHORTEST_WAIT_S, WAIT_SHARE * elapsed_s), LONGEST_WAIT_S))
            except subprocess.TimeoutExpired:
                pass
            else:
                raise self._death()
            self._log.bound()
            answer = get(HOST, self._port, self._health, timeout_s=HEALTH_S)
            status = status if answer is None else answer.status
            if answer is not None and answer.status == 200 and self._is_its_own():
                return
            if elapsed_s > self._timeout_s:
                raise self._late(status)

    def _is_its_own(self) -> bool:
        """Whether it is our server that answered, and not another that took the port meanwhile."""
        return not self._own_port or listens(self._process.pid, self._port) is not False

    def _late(self, status: int | None) -> Exception:
        said = "it did not answer" if status is None else f"its last answer had status {status}"
        last = server_log.reason(self._log.last_lines())
        printed = "" if last is None else f"; it printed: {bare(last)}"
        return NeverReadyError(
            f"{self._engine.name}: {self._health} was not ready after {self._timeout_s:g} s ({said}{printed}); "
            "raise start_timeout_s in server, or set its health_path"
        )

    def _death(self) -> Exception:
        """What to raise for a server that ended while it was waited for."""
        lines = self._log.last_lines()
        code = self._process.returncode
        if server_log.first(server_log.PORT_TAKEN, lines):
            return _PortTakenError()
        memory = server_log.first(server_log.OUT_OF_MEMORY, lines)
        if memory is not None or code == -signal.SIGKILL:
            return DoesNotFitError(
                f"{self._engine.name} ran out of memory while starting ({bare(memory or 'killed by signal 9')})",
                "fewer bits a weight, a shorter context or fewer slots (args in server), or more memory",
            )
        missing = server_log.first(server_log.MISSING, lines)
        if missing is not None:
            return UnsupportedError(f"{self._engine.name} cannot start ({bare(missing)})", self._engine.install)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = server_log.reason(lines)
        said = "it printed nothing" if last is None else bare(last)
        return ServerDiedError(f"{self._engine.name} ended while starting ({how}): {said}; see {self._log.path.name}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _version(engine: Engine, port: int) -> str | None:
    if engine.version_path is None:
        return None
    answer = get(HOST, port, engine.version_path)
    try:
        said = json.loads(answer.body) if answer is not None and answer.status == 200 else {}
    except ValueError:
        return None
    found = [said[key] for key in engine.version_keys if key in said] if isinstance(said, dict) else []
    return str(found[0])[:100] if found else None
