"""One child process: started, waited for without using the CPU, and accounted for whatever it does."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bench.execute.worker import Message
from bench.schema import Failure, Job, Measurement, Status

LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 16 * 1024
LONGEST_MESSAGE_BYTES = 256 * 1024 * 1024
GRACE_S = 3.0
LONGEST_POLL_MS = 2**31 - 1

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Outcome:
    """How a child ended; `status` "ok" has a measurement, every other one an error."""

    status: Status
    measurement: Measurement | None
    error: Failure | None
    elapsed_s: float


class Interrupts:
    """Ctrl-C, kept waiting while a measurement is on its way to the disk.

    By a handler and not by a signal mask: a mask is one thread's, and the signal would reach another one.
    """

    def __init__(self) -> None:
        self._usual: Any = None
        self._waiting = False

    def hold(self) -> None:
        """From now on only remember it."""
        if self._usual is None:
            self._usual = signal.signal(signal.SIGINT, self._remember) or signal.SIG_DFL

    def let_through(self) -> None:
        """Raises KeyboardInterrupt if one has come in the meantime."""
        if self._usual is None:
            return
        usual, self._usual = self._usual, None
        waiting, self._waiting = self._waiting, False
        signal.signal(signal.SIGINT, usual)
        if waiting and usual is not signal.SIG_IGN:
            raise KeyboardInterrupt

    def _remember(self, *_: object) -> None:
        self._waiting = True


interrupts = Interrupts()


def run(job: Job, log: Path, timeout_s: float, progress: Progress) -> Outcome:
    """Measure a job in a new process. Calls `progress` between the child's passes, while it waits for "go".

    Blocks in `poll` until the child speaks, ends, or its time is up. Raises KeyboardInterrupt after ending the child.
    """
    start = time.monotonic()
    read_end, write_end = os.pipe()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.execute.worker", str(write_end)],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            pass_fds=(write_end,),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child's whole group
            env={**os.environ, "PYTHONFAULTHANDLER": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"},
        )
    os.close(write_end)
    try:
        _tell(process, job.model_dump_json(exclude_defaults=True))
        last, timed_out = _listen(process, read_end, start + timeout_s, progress)
        if last is not None and last.status == "ok":
            interrupts.hold()
    finally:
        code = _end(process)
        os.close(read_end)
    elapsed_s = time.monotonic() - start
    return _outcome(last, timed_out, code, log, timeout_s, elapsed_s)


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it is already gone; its exit code and log say why


def _listen(
    process: subprocess.Popen[bytes], pipe: int, deadline: float, progress: Progress
) -> tuple[Message | None, bool]:
    """Messages until the result, the child's end, or the deadline. Returns the result and whether time ran out."""
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    # End of the pipe is not the end of the child: a grandchild may hold it open, so the process itself is watched too.
    ended = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    if ended is not None:
        poller.register(ended, select.POLLIN)
    buffer = b""
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None, True
            ready = {fd for fd, _ in poller.poll(min(left * 1000, LONGEST_POLL_MS))}
            if pipe in ready:
                piece = os.read(pipe, 1 << 20)
                if not piece:
                    return None, False
                buffer += piece
                if len(buffer) > LONGEST_MESSAGE_BYTES:
                    return None, False
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    message = _parsed(line)
                    if message is None:
                        continue
                    if message.phase is None:
                        return message, False
                    progress(message.phase, message.estimate_s)
                    _tell(process, "go")
            elif ended is not None and ended in ready:
                return None, False
    finally:
        if ended is not None:
            os.close(ended)


def _parsed(line: bytes) -> Message | None:
    try:
        return Message.model_validate_json(line)
    except ValidationError:
        return None


def _end(process: subprocess.Popen[bytes]) -> int:
    """End the child's whole process group: politely, then not. Returns the child's own exit code."""
    if process.stdin is not None:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
    try:
        # A child that has sent its result exits at once by itself.
        code = process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            code = process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            code = process.wait()
    _signal_group(process.pid, signal.SIGKILL)  # whatever it forked and left behind
    return code


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass


def _outcome(
    last: Message | None, timed_out: bool, code: int, log: Path, timeout_s: float, elapsed_s: float
) -> Outcome:
    if last is not None and last.status == "ok" and last.measurement is not None:
        return Outcome("ok", last.measurement, None, elapsed_s)
    tail = log_tail(log)
    if last is not None and last.error is not None and last.status in get_args(Status):
        error = last.error.model_copy(update={"log_tail": tail, "exit_code": code})
        return Outcome(last.status, None, error, elapsed_s)  # type: ignore[arg-type]
    if timed_out:
        reason = f"no result after {timeout_s:g} s"
        remedy = "raise timeout_s in the config, or make the cell smaller"
        return Outcome("timeout", None, Failure(reason=reason, remedy=remedy, exit_code=code, log_tail=tail), elapsed_s)
    if code == -signal.SIGKILL:
        reason = "killed by the system (signal 9), most likely because memory ran out"
        remedy = "smaller batch, shorter input, fewer bits a weight, or a machine with more memory"
        return Outcome("oom", None, Failure(reason=reason, remedy=remedy, exit_code=code, log_tail=tail), elapsed_s)
    what = f"died of {_signal_name(-code)}" if code < 0 else f"ended with exit code {code} and no result"
    remedy = f"see {log}"
    return Outcome("crashed", None, Failure(reason=what, remedy=remedy, exit_code=code, log_tail=tail), elapsed_s)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def log_tail(log: Path) -> tuple[str, ...]:
    """The last lines of a log, without reading the whole of it."""
    try:
        with log.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - LOG_TAIL_BYTES))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(line[:500] for line in text.splitlines()[-LOG_TAIL_LINES:])
