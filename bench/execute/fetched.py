"""What can be fetched before anything is timed: the built-in model, and checkpoints of a hub."""

from collections.abc import Callable, Sequence

from bench.execute import fit
from bench.models import builtin, catalogue, hub
from bench.schema import Cell


def fetch(cells: Sequence[Cell], say: Callable[[str], None]) -> None:
    """Have the models of these cells on this machine. Raises InputError for one that cannot be had."""
    for model in dict.fromkeys(cell.model for cell in cells):
        what = catalogue.kind(model)
        if what == "builtin":
            builtin.ensure(model.source.removeprefix("builtin:"), say)
        elif what == "hub":
            own = [cell for cell in cells if cell.model == model]
            hub.fetch(model, lambda own=own: any(fit.problem(cell) is None for cell in own), say)  # type: ignore[misc]
