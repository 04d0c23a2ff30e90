"""What measuring costs: the same rounds with and without the instrument's own readings, in one child process.

The parent imports no engine and sleeps until the child is done. Ratios are paired, one of each arm beside the other, so
that a drift of the machine hits both; the arms of a pair run in random order.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from bench.errors import InputError
from bench.metrics.statistics import Estimate, estimate
from bench.models import builtin
from bench.schema import Cell, Model, Plain, RunnerChoice, Workload
from bench.selftest.case import RUNNER

BUILTIN = "smollm2-135m"
BURN = 500_000
"""Turns of an empty loop: a step of some milliseconds."""

TIMEOUT_S = 1200.0
WORKLOAD = Workload(batch_size=1, input_tokens=64, output_tokens=16)


class Watch(BaseModel):
    """What the child is asked to do."""

    cell: Cell
    pairs: int


class Seen(BaseModel):
    """Seconds, one of each a pair; `edges_s` are single readings, `stalled` shares of rounds in which a task waited."""

    alone_s: list[float]
    readings_s: list[float]
    sampler_s: list[float]
    around_s: list[float]
    edges_s: list[float]
    stalled: list[float] = []


class Compared(BaseModel):
    """Time with the instrument over time without it, with a 95 % interval."""

    what: str
    ratio: float
    low: float
    high: float
    pairs: int

    def text(self) -> str:
        """One line of numbers and one of words."""
        if self.low <= 1 <= self.high:
            said = f"cannot be told from none; more than {max(self.high - 1, 0):+.1%} is ruled out"
        elif self.low > 1:
            said = f"slower, by {self.ratio - 1:.1%}"
        else:
            said = "faster, which measuring cannot make it: the machine was not quiet, or pairs are too few"
        return f"{self.what:<44} {self.ratio:.4f}  [{self.low:.4f}, {self.high:.4f}]  n={self.pairs}   {said}"


def watched_cell(model: Model | None) -> Cell:
    """What is run: the named model, else the built-in one if it is ready, else the fake's empty loop."""
    if model is None and builtin.is_ready(BUILTIN):
        model = Model(source=f"builtin:{BUILTIN}")
    if model is not None:
        return Cell(model=model, precision=Plain(name="bf16"), runner=RunnerChoice(), workload=WORKLOAD)
    options = {"prefill_s": 0.0, "step_s": 0.0, "burn": BURN}
    return Cell(
        model=Model(source="shape:pythia-70m"),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name=RUNNER, options=options),
        workload=WORKLOAD,
    )


def watch(cell: Cell, pairs: int, folder: Path) -> Seen:
    """Run the child to its end. Raises InputError with the end of its log when it fails."""
    out, log = folder / "seen.json", folder / "observer.log"
    command = [sys.executable, "-m", "bench.selftest.observer_child", str(out)]
    with log.open("wb") as stream:
        try:
            subprocess.run(
                command,
                input=Watch(cell=cell, pairs=pairs).model_dump_json().encode(),
                stdout=stream,
                stderr=stream,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"--observer: not done after {TIMEOUT_S:g} s; lower --pairs") from None
    if not out.is_file():
        last = (log.read_text(encoding="utf-8", errors="replace").splitlines() or ["no output"])[-1]
        raise InputError(f"--observer: {cell.model.source} could not be run: {last}")
    return Seen.model_validate_json(out.read_text(encoding="utf-8"))


def compare(seen: Seen) -> list[Compared]:
    """The two ratios that matter: what is on in timed rounds, and what is on in the memory pass alone."""
    return [
        _compared("readings around a round (every timed one)", seen.readings_s, seen.alone_s),
        _compared("memory sampler (the memory pass alone)", seen.sampler_s, seen.readings_s),
    ]


def _compared(what: str, with_it: Sequence[float], without: Sequence[float]) -> Compared:
    found: Estimate | None = estimate([one / other for one, other in zip(with_it, without, strict=True)])
    if found is None or found.low is None or found.high is None:
        raise InputError("--pairs: at least 2, for an interval")
    return Compared(what=what, ratio=found.value, low=found.low, high=found.high, pairs=found.n)
