"""The command line as a person calls it, in a process of its own."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from bench.execute.interrupts import interrupts

ROOT = Path(__file__).resolve().parents[1]

FAKE = """\
models: shape:pythia-70m
precisions: {precisions}
runners: {runners}
workloads: {workloads}
protocol: {{rounds: 2, warmup_rounds: 1, memory_pass: false}}
replicates: {replicates}
sampling: {{max_replicates: {replicates}}}
timeout_s: {timeout_s}
"""


AT_HOME = (
    *("report", "requests", "compare", "breakeven", "project", "plan", "claims", "prices", "models", "schema"),
    *("publish", "leaderboard", "history", "import", "export", "run"),
)
"""Commands that are called in this process, because starting one takes longer than what they do. `run` still starts a
process for each measurement; what ends, kills or starves the run itself has `command` in a process of its own."""


def bench(*arguments: str | Path, cwd: Path | None = None, timeout_s: float = 240, **variables: str) -> Any:
    """Run `bench` to its end; the completed process with text output.

    In a process of its own, but for commands `AT_HOME` (where no `cwd`, variables or cluster are given).
    """
    if arguments and str(arguments[0]) in AT_HOME and cwd is None and not variables and "--on" not in arguments:
        return _in_this_process([str(one) for one in arguments])
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **variables},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )


def _in_this_process(words: list[str]) -> subprocess.CompletedProcess[str]:
    """What a person would see: the two streams, and the code that the process would end with."""
    from bench.cli import main

    out, errors = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        _signals_as_they_are(),
        mock.patch.object(sys, "argv", ["bench", *words]),
        mock.patch.dict(os.environ, {"COLUMNS": "160"}),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """A command that ends its process need not put them back."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        interrupts.forget()
        for one, handler in before.items():
            signal.signal(one, handler)


def command(*arguments: str | Path) -> list[str]:
    """The words of a call of `bench`."""
    return [sys.executable, "-m", "bench", *(str(one) for one in arguments)]


def fake_config(
    folder: Path,
    runners: str = "fake",
    precisions: str = "[fp32]",
    workloads: str = "{batch_size: 2, input_tokens: 8, output_tokens: 4}",
    replicates: int = 1,
    timeout_s: float = 60,
) -> Path:
    """A config file for the fake runner."""
    path = folder / "fake.yaml"
    path.write_text(
        FAKE.format(
            runners=runners, precisions=precisions, workloads=workloads, replicates=replicates, timeout_s=timeout_s
        )
    )
    return path


def lines(folder: Path) -> list[dict[str, Any]]:
    """The records of a run folder, as plain JSON."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
