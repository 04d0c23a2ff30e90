"""From a sweep to its cells, and to jobs in the order in which they run."""

from collections.abc import Iterator, Sequence

from bench import runners
from bench.schema import Cell, Job, RunnerChoice, Sweep


def cells(sweep: Sweep) -> Iterator[Cell]:
    """Every point of the matrix, once; models outermost, workloads innermost, so that the table reads well."""
    changed = {index: _changed_options(choice) for index, choice in enumerate(sweep.runners)}
    for model in sweep.models:
        for index, choice in enumerate(sweep.runners):
            for precision in sweep.precisions:
                for workload in sweep.workloads:
                    cell = Cell(
                        model=model, precision=precision, runner=choice, workload=workload, protocol=sweep.protocol
                    )
                    yield cell.identified(changed[index])


def size(sweep: Sweep) -> int:
    """How many cells the matrix has, without making them."""
    return len(sweep.models) * len(sweep.precisions) * len(sweep.runners) * len(sweep.workloads)


def interleaved(planned: Sequence[Cell], replicates: int) -> Iterator[Job]:
    """A B C A B C, never A A B B C C: a drift of the machine then hits all cells alike."""
    for replicate in range(replicates):
        for cell in planned:
            yield Job(cell=cell, replicate=replicate)


def _changed_options(choice: RunnerChoice) -> dict[str, object]:
    options = runners.find(choice.name).Options.model_validate(choice.options)
    return options.model_dump(mode="json", exclude_defaults=True)
