"""Programs that a person named, asked for a line: they may be anything, hang, or start others that hang."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress


def asked(
    words: Sequence[str], limit_s: float, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end, with nothing to read. Raises OSError where it cannot be started and
    `subprocess.TimeoutExpired` where it takes longer; what it started itself is ended with it.
    """
    process = subprocess.Popen(
        list(words),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            output, errors = process.communicate(timeout=limit_s)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
