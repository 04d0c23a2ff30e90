"""What `bench run` would do: how large it is, what of it cannot fit, and the list that a dry run shows."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.schema import Cell, Sweep


def check_size(sweep: "Sweep", config: Path, max_cells: int) -> None:
    from bench.cli.watch import duration
    from bench.errors import InputError
    from bench.plan import expand

    count = expand.size(sweep)
    if count > max_cells:
        # 5 s is what a child with a tiny model takes on a CPU, most of it for importing torch.
        least = duration(count * sweep.replicates * 5.0)
        raise InputError(
            f"{config}: {count} cells × {sweep.replicates} replicates would take about {least} with a tiny model; "
            f"shorten the lists, or pass --max-cells {count}"
        )


def check_fit(cells: list["Cell"]) -> None:
    """Say before anything is loaded what cannot fit. Raises InputError when nothing can."""
    from bench.cli import warn
    from bench.errors import InputError
    from bench.execute import fit
    from bench.models import catalogue
    from bench.schema.precision import label

    problems = []
    for cell in cells:
        problem = None if cell.traffic is not None else fit.problem(cell)
        if problem is not None and problem.of_runner:
            problems.append(f"runner {cell.runner.name}: {problem.failure.reason}: {problem.failure.remedy}")
        elif problem is not None:
            work = cell.workload
            name = f"{catalogue.label(cell.model)} {label(cell.precision)}, batch {work.batch_size}"
            problems.append(f"{name}: {problem.failure.reason}; {problem.failure.remedy}")
    lines = dict.fromkeys(problems)
    if problems and len(problems) == len(cells):
        raise InputError(*lines)
    for line in lines:
        warn(line)


def show_plan(cells: list["Cell"], sweep: "Sweep", target: Path, scored: list[str], to_score: int) -> None:
    from bench.cli import under_load
    from bench.models import catalogue
    from bench.schema.precision import label

    seen: dict[str, set[str]] = {}
    for cell in cells:
        for key, value in cell.runner.told().items():
            seen.setdefault(key, set()).add(str(value))
    differing = sorted(key for key, values in seen.items() if len(values) > 1)
    for cell in cells:
        work = cell.workload
        cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
        told = cell.runner.told()
        telling = [f"  {key}={told[key]}" for key in differing if key in told]
        telling += [f"  arm {cell.arm}"] if sweep.arms > 1 else []
        load = work.label() if cell.traffic is None else cell.traffic.label()
        print(
            f"{cell.cell_id}  {catalogue.label(cell.model)}  {cell.runner.name}  {label(cell.precision)}  "
            f"{load}  {work.input_tokens} in{cached}  {work.output_tokens} out{''.join(telling)}"
        )
    for line in [*scored, *under_load.bill_lines(cells, sweep)]:
        print(line)
    enough = sweep.sampling
    passes = "" if not to_score else f", and {to_score} quality {'pass' if to_score == 1 else 'passes'}"
    each = " on each machine" if len(sweep.machines) > 1 else ""
    print(
        f"{len(cells)} cells × {sweep.replicates} replicates = {len(cells) * sweep.replicates} processes at least"
        f"{each}{passes}, into {target}; then on until each is within ±{enough.target:.2%}, or has taken "
        f"{enough.budget_s:g} s or {enough.max_replicates} replicates"
    )
