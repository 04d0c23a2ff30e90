"""What goes wrong with the fake on request: failures of a process, and lies that the instrument has to catch."""

import os
import signal
import sys
import time
from typing import Literal, get_args

from bench.runners import OnStep
from bench.runners.fake.clocks import Fault

Failing = Literal[
    "none", "crash", "exit", "oom", "killed", "hang", "deaf", "unsupported", "garbage", "flood", "gigabyte", "fork"
]
"""Once, during the first generation."""

Lying = Literal["short", "late", "dropped", "extra", "empty_step", "same", "sensor_gone"]
"""In every generation. `late`: each token is reported one step late, the last two together; `dropped`, `extra`: one
step fewer or more than tokens; `empty_step`: a step without a token before the first; `short`: one token fewer;
`same`: the same tokens whatever the prompt; `sensor_gone`: the energy counter fails."""

Trouble = Literal[Failing, Lying, Fault]

CLOCKS: dict[Trouble, Fault] = {fault: fault for fault in get_args(Fault)}


def fail(trouble: Trouble, flood_bytes: int) -> None:
    """Whatever goes wrong with the process itself; comes back where the process lives on."""
    if trouble == "crash":
        raise RuntimeError("the fake crashed as it was told to")
    if trouble == "exit":
        os._exit(7)
    if trouble == "oom":
        raise MemoryError("the fake ran out of memory as it was told to")
    if trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if trouble in ("hang", "deaf"):
        time.sleep(3600)
    if trouble == "garbage":
        os.write(1, b'{"measurement": null}\n\x00\xff not json\n')
    if trouble in ("flood", "gigabyte"):
        for stream in (1, 2) if trouble == "gigabyte" else (2,):
            _flood(stream, flood_bytes)
    if trouble == "fork" and os.fork() == 0:
        # An orphan that outlives the worker and keeps its pipes open must not keep the run waiting.
        time.sleep(3600)
        sys.exit(0)


def _flood(stream: int, size: int) -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(size // len(line)):
        os.write(stream, line)


def misreported(trouble: Trouble, on_step: OnStep, steps: int) -> OnStep:
    """`on_step` as a lying engine would call it, to be called honestly once for each of `steps` steps."""
    seen = 0

    def late(rows: int) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            on_step(rows)
        if seen == steps:
            on_step(rows)

    def dropped(rows: int) -> None:
        nonlocal seen
        seen += 1
        if seen < steps:
            on_step(rows)

    def extra(rows: int) -> None:
        nonlocal seen
        seen += 1
        on_step(rows)
        if seen == steps:
            on_step(rows)

    return {"late": late, "dropped": dropped, "extra": extra}.get(trouble, on_step)
