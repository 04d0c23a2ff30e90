"""Bits per weight of a level, from what its engine really loaded."""

from collections.abc import Sequence

from bench.errors import InputError
from bench.metrics import footprint
from bench.models import catalogue
from bench.report.levels.level import Bits
from bench.report.rows import Row
from bench.schema import Cell, ModelFacts


def bits(rows: Sequence[Row]) -> Bits:
    """Of the first row that was measured: bytes do not depend on the batch."""
    row = next((one for one in rows if one.figures is not None), None)
    if row is None or row.figures is None:
        return Bits()
    facts = row.figures.facts
    mean = 8 * facts.weights_bytes / facts.parameters if facts.parameters else None
    return Bits(_in_matrices(row.cell, facts), mean)


def _in_matrices(cell: Cell, facts: ModelFacts) -> float | None:
    """None where the sizes of the model are not known."""
    try:
        shape = footprint.shape(facts.config or catalogue.config(cell.model) or {})
    except InputError:
        return None
    if shape is None or not shape.linear_parameters:
        return None
    return footprint.level_bits(shape, facts, cell.precision)
