"""What `bench run` does before and after the timing: quality passes where the config asks for them, and profiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.execute.run import Bench, Measured
    from bench.plan.quality import Inputs
    from bench.schema import Cell, Record, Sweep


@dataclass(frozen=True)
class QualityPasses:
    """All passes of a config, and those of them that are to run."""

    planned: "list[Cell]" = field(default_factory=list)
    chosen: "list[Cell]" = field(default_factory=list)
    inputs: "Inputs | None" = None

    def run(self, bench: "Bench", retry_failed: bool, warn: Callable[[str], None]) -> None:
        """Score what is not stored. Raises KeyboardInterrupt and InputError as timing does."""
        from bench.execute import passes

        if self.inputs is None or not self.chosen:
            return
        found = passes.stored(bench.journal.folder, self.chosen, warn)
        passes.clear(bench.journal.folder, found.kept)
        _say_failed(bench, found.scored, "quality passes", retry_failed)
        passes.score(self.chosen, found.scored, bench, self.inputs.text_path, self.inputs.task_paths, retry_failed)

    def any_is_stored(self, folder: Path, warn: Callable[[str], None]) -> bool:
        """Whether one of the chosen passes has a result in a run's folder."""
        from bench.execute import passes

        return any(one.status == "ok" for one in passes.stored(folder, self.chosen, warn).scored.values())


def quality_passes(sweep: "Sweep", only: list[str] | None) -> QualityPasses:
    """Of a sweep: all, or those that `--only` names and the references that they need."""
    from bench.plan import quality

    if sweep.quality is None:
        return QualityPasses()
    inputs = quality.inputs(sweep.quality)
    planned = quality.cells(sweep, inputs)
    if not only:
        return QualityPasses(planned, planned, inputs)
    named = [cell for cell in planned if cell.cell_id.startswith(tuple(only))]
    families = {_family(cell) for cell in named}
    chosen = [
        cell
        for cell in planned
        if cell in named or (cell.quality is not None and cell.quality.reference is None and _family(cell) in families)
    ]
    return QualityPasses(planned, chosen, inputs)


def _family(cell: "Cell") -> tuple[str, str]:
    """Equal for all levels of one model on one runner."""
    return cell.model.model_dump_json(), cell.runner.model_dump_json()


def profiles(
    cells: "Sequence[Cell]",
    measured: "Mapping[str, Measured]",
    bench: "Bench",
    retry_failed: bool,
    warn: Callable[[str], None],
) -> None:
    """Profile what has no profile yet, after everything is timed."""
    from bench.execute import passes

    known = passes.stored(bench.journal.folder, cells, warn).profiled
    _say_failed(bench, known, "profiles", retry_failed)
    passes.profile(cells, known, measured, bench, retry_failed)


def _say_failed(bench: "Bench", known: "Mapping[str, Record]", what: str, retry_failed: bool) -> None:
    failed = sum(record.status != "ok" for record in known.values())
    if failed and not retry_failed:
        bench.watcher.say(f"{failed} of the stored {what} failed; --retry-failed runs them again")


def lines(passes: QualityPasses) -> list[str]:
    """What a dry run says of the quality passes."""
    from bench.models import catalogue
    from bench.schema.precision import label

    if passes.inputs is not None and not passes.planned:
        return ["quality: no pass, because random weights and endpoints have no quality"]
    said = []
    for cell in passes.chosen:
        asked = cell.quality
        assert asked is not None
        role = "reference, or by itself" if asked.reference is None else f"against {label(asked.reference)}"
        tasks = "".join(f", task {one.name}" for one in asked.tasks)
        said.append(
            f"{cell.cell_id}  {catalogue.label(cell.model)}  {cell.runner.name}  {label(cell.precision)}  quality on "
            f"{asked.text} ({asked.text_bytes:,} bytes{tasks}), {role}"
        )
    return said
