"""What the self-test measures: cells of the fake, through the real child processes, records, rows and figures."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import runners
from bench.execute import child
from bench.report.measured import Figures
from bench.report.rows import Row, rows
from bench.schema import (
    Cell,
    CostChoices,
    Job,
    Measurement,
    Model,
    Plain,
    Protocol,
    Record,
    RunnerChoice,
    Workload,
)
from bench.selftest.check import Check
from bench.sensors import environment

RUNNER = "fake"
TIMEOUT_S = 60.0
TRIES = 3
PAUSE_S = 2.0
"""Before a further try: what disturbed the last one may be over."""

USD_PER_HOUR = 3.60


@dataclass(frozen=True)
class Result:
    """A cell, how its child ended, and the row that the report would print."""

    cell: Cell
    outcome: child.Outcome
    row: Row

    def measurement(self) -> Measurement:
        """Raises Unmeasured where there is none."""
        if self.outcome.measurement is None:
            raise Unmeasured(self)
        return self.outcome.measurement

    def figures(self) -> Figures:
        """Raises Unmeasured where there are none."""
        if self.row.figures is None:
            raise Unmeasured(self)
        return self.row.figures

    def text(self) -> str:
        """Status, and the reason or the verdict's codes."""
        if self.outcome.error is not None:
            return f"{self.outcome.status}: {self.outcome.error.reason}"
        return ", ".join([self.outcome.status, *(reason.code for reason in self.row.verdict)])


class Unmeasured(Exception):  # noqa: N818  it says what the child was, not what this program did wrong
    """A child that should have measured did not."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.text())
        self.result = result


@dataclass(frozen=True)
class Case:
    """Cells that are measured one after another, and what must come out of them."""

    name: str
    cells: tuple[Cell, ...]
    checks: Callable[[Sequence[Result]], list[Check]]

    def judged(self, results: Sequence[Result]) -> list[Check]:
        """The checks; a child without a measurement is a failed one."""
        try:
            return self.checks(results)
        except Unmeasured as error:
            return [Check(self.name, "a measurement", str(error), ok=False)]


def cell(
    name: str,
    options: dict[str, Any],
    rows: int = 1,
    prompt: int = 16,
    new: int = 16,
    rounds: int = 5,
    memory_pass: bool = False,
) -> Cell:
    """A cell of the fake with exactly so many timed rounds."""
    resolved = runners.find(RUNNER).Options.model_validate(options).model_dump(mode="json")
    return Cell(
        cell_id=name.replace(" ", "-"),
        model=Model(source="shape:pythia-70m"),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name=RUNNER, options=resolved),
        workload=Workload(batch_size=rows, input_tokens=prompt, output_tokens=new),
        protocol=Protocol(rounds=rounds, max_rounds=rounds, warmup_rounds=1, memory_pass=memory_pass),
    )


def measured(of: Cell, folder: Path) -> Result:
    """Measure a cell in a new child process, as `bench run` does."""
    log = folder / f"{of.cell_id}.log"
    outcome = child.run(Job(cell=of, replicate=0), log, TIMEOUT_S, lambda _phase, _estimate_s: None)
    child.interrupts.let_through()
    return result(of, outcome)


def result(of: Cell, outcome: child.Outcome) -> Result:
    """What the report makes of a child's outcome."""
    record = Record(
        record_id=f"{of.cell_id}.{uuid.uuid4().hex[:8]}",
        replicate=0,
        status=outcome.status,
        error=outcome.error,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_s=outcome.elapsed_s,
        cell=of,
        environment=environment.detect(),
        measurement=outcome.measurement,
    )
    (row,) = rows([record], CostChoices(usd_per_hour=USD_PER_HOUR))
    return Result(of, outcome, row)


def run(cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, list[Result], list[Check]]]:
    """Every case in turn, with its results and checks.

    One that fails is measured again, twice at most: a busy machine spoils a try, a broken instrument spoils them all.
    """
    for case in cases:
        for number in range(1, TRIES + 1):
            results = [measured(one, folder) for one in case.cells]
            checks = [replace(check, tries=number) for check in case.judged(results)]
            if all(check.ok for check in checks) or not case.cells:
                break
            if number < TRIES:
                time.sleep(PAUSE_S)
        yield case, results, checks
