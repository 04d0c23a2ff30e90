"""A server that was started: whether it lives, what memory it took, and its end, whatever it does against it."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from bench.schema import ServerFacts
from bench.servers.server_log import LIMIT_BYTES, ServerLog

GRACE_S = 5.0
"""Between being asked to end and being ended."""

BURY_S = 0.1
BURY_ROUNDS = 20


class Running:
    """A server that answers at `base_url`. Ends with `stop`, at the end of a `with`, or with its parent."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: ServerLog,
        base_url: str,
        facts: ServerFacts,
        metrics_path: str | None,
        model: str | None,
        say: Callable[[str], None],
    ) -> None:
        self.base_url = base_url
        self.facts = facts
        self.metrics_path = metrics_path
        self.model = model
        """The name by which requests must call the model; None: ask the server for its list."""
        self.pid = process.pid
        self._process = process
        self._log = log
        self._say = say
        self._rss: int | None = None
        self._told = False

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def is_alive(self) -> bool:
        """Whether its own process runs. Looks at the length of its log as well: one `fstat`."""
        self._check_log()
        return self._process.poll() is None

    def _check_log(self) -> None:
        if self._log.bound() and not self._told:
            self._told = True
            self._say(
                f"{self._log.path.name}: the server prints more than {LIMIT_BYTES >> 20} MiB; the middle is dropped"
            )

    def last_lines(self) -> tuple[str, ...]:
        """The end of its log."""
        return self._log.last_lines()

    def rss_peak_bytes(self) -> int | None:
        """Peaks of its process tree that the kernel kept (VmHWM), added up; after the end, as they last were.

        An upper bound where there are several processes: pages that they share count in each, and their peaks need
        not have come at the same moment.
        """
        peaks = [peak for one in _tree(self.pid) if (peak := _peak_bytes(one)) is not None]
        if peaks:
            self._rss = sum(peaks)
        return self._rss

    def stop(self) -> None:
        """End it and all that it started: asked first, ended 5 s later, waited for. Safe to call again."""
        if self._process.returncode is None:
            self.rss_peak_bytes()
        end(self._process)
        self._check_log()
        self._log.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and every process that it started, in whatever session those are."""
    left = _tree(process.pid)
    try:
        if process.poll() is None:
            _signal(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:
        # What was forked meanwhile is found too; a group whose leader is gone lives on while it has members.
        left = list({*left, *_tree(process.pid)})
        _signal(process.pid, signal.SIGKILL)
        for one in left:
            with suppress(psutil.Error):
                one.kill()
        process.wait()
        for _ in range(BURY_ROUNDS):
            # Orphans are buried by another process, or by none: a dead one is gone for us.
            left = [one for one in left if not _is_dead(one)]
            if not left:
                break
            psutil.wait_procs(left, BURY_S)


def _signal(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return []


def _is_dead(one: psutil.Process) -> bool:
    try:
        return not one.is_running() or one.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _peak_bytes(one: psutil.Process) -> int | None:
    try:
        for line in Path(f"/proc/{one.pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    with suppress(psutil.Error):
        return int(one.memory_info().rss)
    return None


def listens(pid: int, port: int) -> bool | None:
    """Whether a process of this tree listens on a port; None where the system does not say."""
    try:
        for one in _tree(pid):
            for connection in one.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                    return True
    except (psutil.Error, OSError):
        return None
    return False
