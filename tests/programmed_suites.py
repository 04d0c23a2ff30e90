"""Suites whose processes are programmed: they take as long as their config says, and alone move the clock."""

import signal
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from bench.cli import main
from bench.execute.child import Outcome
from bench.schema import Failure, Job
from tests.samples import measurement

CONFIG = """\
models: shape:pythia-70m
precisions: [fp32]
runners: {runners}
workloads: {{batch_size: 2, input_tokens: 8, output_tokens: 11}}
replicates: 2
sampling: {{max_replicates: 2, budget_s: 1000}}
"""


class Said(NamedTuple):
    """What a command ended with and wrote."""

    code: int
    out: str
    errors: str


@dataclass
class Machine:
    """In the place of children: a process takes as many seconds as its fake runner's `step_s` says.

    `before` is called with each job; what it raises, the child's parent raises.
    """

    now_s: float = 1000.0
    jobs: list[Job] = field(default_factory=list)
    before: Callable[[Job], None] = lambda _: None

    def clock(self) -> float:
        return self.now_s

    def child(self, job: Job, *_: Any) -> Outcome:
        self.before(job)
        self.jobs.append(job)
        took_s = float(job.cell.runner.options["step_s"])
        self.now_s += took_s
        if job.cell.runner.options["trouble"] == "unsupported":
            return Outcome("unsupported", None, Failure(reason="not on this machine", remedy="another"), took_s)
        return Outcome("ok", measurement(), None, took_s)

    def seconds(self) -> list[float]:
        """Of the processes that ran, in their order."""
        return [float(job.cell.runner.options["step_s"]) for job in self.jobs]


@pytest.fixture
def machine() -> Iterator[Machine]:
    """The programmed machine, with Ctrl-C as it was before afterwards."""
    usual = signal.getsignal(signal.SIGINT)
    made = Machine()
    with mock.patch("bench.execute.child.run", made.child), mock.patch("bench.cli.suite.clock", made.clock):
        yield made
    signal.signal(signal.SIGINT, usual)


def config(folder: Path, name: str, runners: str = "{name: fake, step_s: 10}") -> Path:
    """A config with one cell for each of its runners, two replicates each."""
    path = folder / f"{name}.yaml"
    path.write_text(CONFIG.format(runners=runners), encoding="utf-8")
    return path


def suite(folder: Path, text: str, name: str = "all") -> Path:
    """A suite's file beside its configs; what costs an hour is $36 unless `text` says it."""
    path = folder / f"{name}.yaml"
    path.write_text(text if "cost:" in text else f"{text}cost: {{usd_per_hour: 36}}\n", encoding="utf-8")
    return path


def called(*words: str | Path) -> Said:
    """`bench` in this process."""
    out, errors = StringIO(), StringIO()
    code: Any = 0
    with (
        mock.patch("sys.argv", ["bench", *map(str, words)]),
        mock.patch.dict("os.environ", {"COLUMNS": "160"}),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
    return Said(code, out.getvalue(), errors.getvalue())


def row(text: str, member: str, table: int = -1) -> list[str]:
    """A member's line of the estimate (0) or the summary (-1), in words."""
    return [line for line in text.splitlines() if line.startswith(f"{member} ")][table].split()
