"""From a sweep to its cells."""

from collections.abc import Iterator

from bench import runners
from bench.schema import Cell, RunnerChoice, Sweep


def cells(sweep: Sweep) -> Iterator[Cell]:
    """Every point of the matrix, once; models outermost, workloads innermost, so that the table reads well."""
    changed = {index: _changed_options(choice) for index, choice in enumerate(sweep.runners)}
    for model in sweep.models:
        for index, choice in enumerate(sweep.runners):
            for precision in sweep.precisions:
                for workload in sweep.workloads:
                    for arm in range(1, sweep.arms + 1):
                        cell = Cell(
                            model=model,
                            precision=precision,
                            runner=choice,
                            workload=workload,
                            protocol=sweep.protocol,
                            arm=arm,
                        )
                        yield cell.identified(changed[index])


def size(sweep: Sweep) -> int:
    """How many cells the matrix has, without making them."""
    return len(sweep.models) * len(sweep.precisions) * len(sweep.runners) * len(sweep.workloads) * sweep.arms


def _changed_options(choice: RunnerChoice) -> dict[str, object]:
    options = runners.find(choice.name).Options.model_validate(choice.options)
    return options.model_dump(mode="json", exclude_defaults=True)
