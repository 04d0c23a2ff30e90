"""From a sweep to its cells."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from bench import runners
from bench.plan import traffic
from bench.schema import Cell, RunnerChoice, Sweep, Traffic, Workload


def cells(sweep: Sweep) -> Iterator[Cell]:
    """Every point of the matrix, once; models outermost, workloads innermost, so that the table reads well.

    A load goes with endpoints alone, and a static batch with all other runners.
    """
    changed = {index: _changed_options(choice) for index, choice in enumerate(sweep.runners)}
    for model in sweep.models:
        for index, choice in enumerate(sweep.runners):
            works = [work for work in sweep.workloads if traffic.fits(choice, work)]
            for precision, work, arm in product(sweep.precisions, works, range(1, sweep.arms + 1)):
                cell = Cell(model=model, precision=precision, runner=choice, **_asked(work, sweep), arm=arm)
                yield cell.identified(changed[index])


def _asked(work: Workload | Traffic, sweep: Sweep) -> dict[str, Any]:
    if isinstance(work, Traffic):
        return {"workload": traffic.nominal(work), "traffic": work}
    return {"workload": work, "protocol": sweep.protocol}


def size(sweep: Sweep) -> int:
    """How many cells the matrix has, without making them."""
    pairs = sum(traffic.fits(choice, work) for choice in sweep.runners for work in sweep.workloads)
    return len(sweep.models) * len(sweep.precisions) * pairs * sweep.arms


def _changed_options(choice: RunnerChoice) -> dict[str, object]:
    options = runners.find(choice.name).Options.model_validate(choice.options)
    return options.model_dump(mode="json", exclude_defaults=True)
