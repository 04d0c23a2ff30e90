"""Processes that a child started and left behind, in whatever session they hide.

A process that forks twice and calls `setsid` leaves its group and loses its parents. On Linux it is then handed to this
process, which asked for orphans (a "child subreaper"), and is found among our own children. Elsewhere such a process
belongs to the system, and only the child's own group is ended.
"""

import ctypes
import sys
from contextlib import suppress
from types import TracebackType

import psutil

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 10
ROUND_S = 0.3


class Strays:
    """Inside, orphans come to this process; at the end those that came are ended. `left`: those that cannot be."""

    def __init__(self) -> None:
        self.left: list[int] = []
        self._ours: set[psutil.Process] = set()

    def __enter__(self) -> "Strays":
        self._ours = set(psutil.Process().children())
        _adopt(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(ROUNDS):
            found = self._found()
            if not found:
                break
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(found, timeout=ROUND_S)  # which also buries those that are dead
        else:
            self.left = [process.pid for process in self._found()]
        _adopt(False)

    def _found(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children():
            if process not in self._ours:
                found.append(process)
                with suppress(psutil.Error):
                    found += process.children(recursive=True)
        return found


def _adopt(orphans: bool) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(orphans), 0, 0, 0)
