"""Programs that a person named, and that hang."""

import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.errors import InputError
from bench.plan import interpreter


def test_what_hangs_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper that waits for something else: one line, and neither of the two goes on."""
    monkeypatch.setattr(interpreter, "LOOK_S", 0.3)
    hanging = tmp_path / "python"
    hanging.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path / 'pid'}; wait\n")
    hanging.chmod(0o755)
    with pytest.raises(InputError, match=r"no answer within 0\.3 s: .*python; name the Python"):
        interpreter.checked(str(hanging), tmp_path)
    number = int((tmp_path / "pid").read_text())
    with suppress(psutil.NoSuchProcess):
        left = psutil.Process(number)
        until = time.monotonic() + 10
        while left.status() != psutil.STATUS_ZOMBIE:  # killed, and gone as soon as it is given a turn
            assert time.monotonic() < until
            time.sleep(0.01)
