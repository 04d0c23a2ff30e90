"""What this machine can do at most, measured in a child process: the parent stays free of the engine."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from bench.errors import InputError
from bench.hardware import stored
from bench.schema import Ceilings
from bench.sensors import environment

SECONDS = 20.0
STALE_DAYS = 90
STARTING_S = 120.0
"""For importing the engine and for what a trial takes beyond its share, many devices and a busy disk included."""


def measure(seconds: float = SECONDS, timeout_s: float | None = None) -> Ceilings:
    """Measure for about `seconds`. What fails is a reason in the result, which then has no devices; nothing is raised.

    `timeout_s` bounds the child, four times `seconds` and its start unless given.
    """
    limit_s = timeout_s if timeout_s is not None else 4 * seconds + STARTING_S
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.measure.ceilings", str(out.fileno()), str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(out.fileno(),),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child's whole group
        )
        try:
            code = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return _nothing(f"no result after {limit_s:g} s")
        finally:
            _end(process)
        out.seek(0)
        try:
            return Ceilings.model_validate_json(out.read())
        except ValidationError:
            return _nothing(f"ended with exit code {code} and no result: {_last_line(log)}")


def ensure(run_folder: Path, say: Callable[[str], None], seconds: float = SECONDS) -> Ceilings | None:
    """The ceilings of this machine, in the run folder too; measured now if they never were. None when that fails.

    Never raises: a run goes on without ceilings. `say` gets a line about all that takes time or went wrong.
    """
    hardware = environment.detect().hardware()
    found = _known(run_folder, hardware, say)
    if found is None:
        with stored.measuring():
            found = _known(run_folder, hardware, say)  # by a run beside this one, while this one waited
            if found is None:
                say(f"measuring what this machine can do at most (once, about {seconds:.0f} s)")
                found = measure(seconds)
                if not found.devices:
                    say(f"no ceilings, so no MBU and MFU: {'; '.join(found.reasons.values())}")
                    return None
                _kept(lambda kept=found: stored.save(kept), say)  # type: ignore[misc]
    elif stored.age_days(found) > STALE_DAYS:
        say(f"this machine's ceilings are {stored.age_days(found):.0f} days old; bench hardware measures them anew")
    if "busy" in found.reasons:
        say("this machine's ceilings were measured while it was busy and may be too low; run bench hardware when idle")
    _kept(lambda: stored.into_run(run_folder, found, say), say)
    return found


def _known(run_folder: Path, hardware: str, say: Callable[[str], None]) -> Ceilings | None:
    """The newer of what the user keeps and what the run folder holds."""
    in_run = [one for one in stored.of_run(run_folder, say) if one.hardware == hardware]
    return stored.newest([stored.load(hardware, say), *in_run])


def _kept(write: Callable[[], object], say: Callable[[str], None]) -> None:
    try:
        write()
    except InputError as error:
        say(error.lines[0])


def _nothing(why: str) -> Ceilings:
    found = environment.detect()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    reasons = {"measurement": why}
    return Ceilings(hardware=found.hardware(), measured_at=now, environment=found, devices=(), reasons=reasons)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended by itself, with all that it started
    process.wait()


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
