"""One child process: started, waited for without using the CPU, and accounted for whatever it does."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import psutil
from pydantic import ValidationError

from bench.errors import InputError
from bench.execute import interpreters
from bench.execute.interrupts import interrupts as interrupts  # whoever calls `run` lets them through afterwards
from bench.execute.logs import Log
from bench.execute.strays import Strays
from bench.execute.worker import Message
from bench.schema import Failure, Job, Live, Measurement, Profile, Scored, Serving, Status
from bench.store import LONGEST_LINE_BYTES

LONGEST_MESSAGE_BYTES = LONGEST_LINE_BYTES - 2**20
"""A record is a message with little around it, and has to be readable."""

EXIT_S = 0.5
GRACE_S = 3.0
LOG_CHECK_S = 10.0
"""How often the parent wakes to look at the length of the log (one `fstat`)."""

STOP_S = 20.0
"""For a run under load to bring what it has, after Ctrl-C."""

LOAD = "load"
"""The phase in which there is something to bring."""

LOOK_S = 0.02

Progress = Callable[[str, float | None], None]
OnLive = Callable[[Live], None]


@dataclass(frozen=True)
class Outcome:
    """How a child ended; `status` "ok" has one result, of whatever kind the job was for; every other one an error."""

    status: Status
    measurement: Measurement | None
    error: Failure | None
    elapsed_s: float
    notes: tuple[str, ...] = ()
    """What to tell the person besides, a line each."""
    serving: Serving | None = None
    scored: Scored | None = None
    profile: Profile | None = None
    unwritten: int | None = None
    """Errno, where the child could not write a file of the results: that says nothing of the cell."""


@dataclass(frozen=True)
class Heard:
    """What the parent heard of a child: a result, or why it stopped listening."""

    result: Message | None = None
    timed_out: bool = False
    fault: str | None = None


def run(job: Job, log: Path, timeout_s: float, progress: Progress, live: OnLive | None = None) -> Outcome:
    """Measure a job in a new process. Calls `progress` between the child's passes, while it waits for "go", and `live`
    with what a run under load says of itself meanwhile.

    Blocks in `poll` until the child speaks, ends, or its time is up. Raises KeyboardInterrupt after ending the child,
    InputError when no process can be started. A run under load that is interrupted is asked for what it has measured:
    that is returned, and the interrupt is raised by `interrupts.let_through`.
    """
    start = time.monotonic()
    kept = Log(log)
    try:
        with Strays() as strays:
            heard, code = _listened(job, kept, start + timeout_s, Ears(progress, live or (lambda _: None)))
            elapsed_s = time.monotonic() - start
        return _outcome(heard, code, kept, timeout_s, elapsed_s, strays.left)
    except BaseException:
        interrupts.forget()
        raise
    finally:
        kept.close()


@dataclass
class Ears:
    """Who hears what a child says before its result, and what was read and not heard yet: Ctrl-C may come between."""

    progress: Progress
    live: OnLive
    phase: str = ""
    unheard: bytearray = field(default_factory=bytearray)


def _listened(job: Job, log: Log, deadline: float, ears: Ears) -> tuple[Heard, int]:
    """What the child said and its exit code, after its end."""
    read_end, write_end = os.pipe()
    try:
        process = _started(job.cell.runner.python, write_end, log)
    except OSError as error:
        os.close(read_end)
        if isinstance(error, FileNotFoundError | PermissionError) and job.cell.runner.python is not None:
            what = f"{job.cell.runner.python}: cannot be started any more ({error.strerror})"
            raise InputError(f"{what}; put that environment back, and run the same command to go on") from None
        raise InputError(
            f"cannot start a process ({error.strerror}); raise the limit on processes or memory, and run the same "
            "command to go on"
        ) from None
    finally:
        os.close(write_end)
    try:
        _tell(process, job.model_dump_json(exclude_defaults=True))
        # From here on a child that does not listen must not keep us waiting.
        os.set_blocking(process.stdin.fileno(), False)  # type: ignore[union-attr]
        heard = _heard(job, process, read_end, deadline, ears, log)
    except BaseException:
        interrupts.hold()  # a second Ctrl-C must not leave a process behind
        _end(process)
        raise
    else:
        if heard.result is not None and heard.result.status == "ok":
            interrupts.hold()
        elif job.cell.traffic is not None and process.poll() is not None:
            _await_group(process.pid)
        return heard, _end(process)
    finally:
        os.close(read_end)


def _heard(job: Job, process: subprocess.Popen[bytes], pipe: int, deadline: float, ears: Ears, log: Log) -> Heard:
    """What the child says until its end. A load that is interrupted has been paid for: it may bring what it has."""
    try:
        return _listen(process, pipe, deadline, ears, log)
    except KeyboardInterrupt:
        if job.cell.traffic is None or ears.phase != LOAD:
            raise
        interrupts.remember()
        _tell(process, "stop")
        heard = _listen(process, pipe, min(deadline, time.monotonic() + STOP_S), ears, log)
        if heard.result is None:
            raise
        return heard


def _started(python: str | None, write_end: int, log: Log) -> subprocess.Popen[bytes]:
    said = {"PYTHONFAULTHANDLER": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        interpreters.command(python, write_end),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=log.fd,
        stderr=log.fd,
        pass_fds=(write_end,),
        start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child's whole group
        env={**interpreters.variables(python), **said},
    )


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    try:
        left = memoryview(line.encode() + b"\n")
        while left and (taken := process.stdin.write(left)):
            left = left[taken:]
    except BrokenPipeError:
        pass  # it is already gone; its exit code and log say why


def _listen(process: subprocess.Popen[bytes], pipe: int, deadline: float, ears: Ears, log: Log) -> Heard:
    """Messages until the result, the child's end, or the deadline."""
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    # End of the pipe is not the end of the child: a grandchild may hold it open, so the process itself is watched too.
    ended = _end_of(process)
    if ended is not None:
        poller.register(ended, select.POLLIN)
    pieces = ears.unheard
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return Heard(timed_out=True)
            ready = {fd for fd, _ in poller.poll(min(left, LOG_CHECK_S) * 1000)}
            log.bound()
            if pipe in ready:
                piece = os.read(pipe, 1 << 20)
                if not piece:
                    return Heard(fault="closed its pipe without a result" if _runs(process) else None)
                pieces += piece
                if len(pieces) > LONGEST_MESSAGE_BYTES:
                    return Heard(fault=f"sent a message of more than {LONGEST_MESSAGE_BYTES // 2**20} MiB")
                if b"\n" not in piece:
                    continue
                while (end := pieces.find(b"\n")) >= 0:
                    message = _parsed(bytes(pieces[:end]))
                    del pieces[: end + 1]
                    if message is None:
                        continue
                    if message.live is not None:
                        ears.live(message.live)
                    elif message.phase is not None:
                        ears.phase = message.phase
                        ears.progress(message.phase, message.estimate_s)
                        _tell(process, "go")
                    else:
                        return Heard(message)
            elif ended in ready if ended is not None else process.poll() is not None:
                return Heard()
    finally:
        if ended is not None:
            os.close(ended)


def _end_of(process: subprocess.Popen[bytes]) -> int | None:
    """A descriptor that tells the child's end; None where the kernel or a sandbox has none to give."""
    try:
        return os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child goes on, a moment after its pipe was closed."""
    try:
        process.wait(timeout=EXIT_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _parsed(line: bytes | bytearray) -> Message | None:
    """A message; None for anything else that came through the pipe."""
    try:
        message = Message.model_validate_json(line)
    except ValidationError:
        return None
    if message.phase is None and message.live is None and message.status not in get_args(Status):
        return None
    return message


def _await_group(leader: int) -> None:
    """Give what a child left in its group a moment: load generators whose conductor died write what they have."""
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and any(_is_of(one, leader) for one in psutil.Process().children(recursive=True)):
        time.sleep(LOOK_S)


def _is_of(one: psutil.Process, leader: int) -> bool:
    with suppress(psutil.Error, OSError):
        return one.pid != leader and os.getpgid(one.pid) == leader and one.status() != psutil.STATUS_ZOMBIE
    return False


def _end(process: subprocess.Popen[bytes]) -> int:
    """End the child's whole process group: politely, then not. Returns the child's own exit code."""
    if process.stdin is not None:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
    try:
        # A child that has sent its result exits at once by itself.
        code = process.wait(timeout=EXIT_S)
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


def _outcome(heard: Heard, code: int, log: Log, timeout_s: float, elapsed_s: float, left: list[int]) -> Outcome:
    result = heard.result
    tail = log.last_lines()
    cut = log.shorten()
    notes: tuple[str, ...] = () if cut is None else (cut,)
    if left:
        notes += (f"processes {', '.join(map(str, left))} that the child started cannot be ended; they may disturb",)
    if result is not None and result.status == "ok" and result.measurement is not None:
        return Outcome("ok", result.measurement, None, elapsed_s, notes)
    if result is not None and result.status == "ok" and result.serving is not None:
        return Outcome("ok", None, None, elapsed_s, notes, result.serving)
    if result is not None and result.status == "ok" and (result.scored or result.profile) is not None:
        return Outcome("ok", None, None, elapsed_s, notes, scored=result.scored, profile=result.profile)
    if result is not None and result.error is not None:
        error = result.error.model_copy(update={"log_tail": tail, "exit_code": code})
        status = cast(Status, result.status)  # `_parsed` lets no other through
        return Outcome(status, None, error, elapsed_s, notes, unwritten=result.unwritten)
    status, reason, remedy = _end_without_result(heard, code, log.path, timeout_s)
    error = Failure(reason=reason, remedy=remedy, exit_code=code, log_tail=tail)
    return Outcome(status, None, error, elapsed_s, notes)


def _end_without_result(heard: Heard, code: int, log: Path, timeout_s: float) -> tuple[Status, str, str]:
    """Status, reason and remedy."""
    if heard.timed_out:
        return "timeout", f"no result after {timeout_s:g} s", "raise timeout_s in the config, or make the cell smaller"
    if heard.fault is not None:
        return "crashed", heard.fault, f"see {log}"
    if code == -signal.SIGKILL:
        reason = "killed by the system (signal 9), most likely because memory ran out"
        return "oom", reason, "smaller batch, shorter input, fewer bits a weight, or a machine with more memory"
    what = f"died of {_signal_name(-code)}" if code < 0 else f"ended with exit code {code} and no result"
    return "crashed", what, f"see {log}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
