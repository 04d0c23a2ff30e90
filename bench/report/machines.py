"""Rows of one cell on several machines: each at its own machine's price, the cheapest first, and by how much."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from bench.metrics.statistics import Estimate
from bench.schema import Cell

if TYPE_CHECKING:
    from bench.report.rows import Row


class OnMachine(Protocol):
    """A row of either table."""

    @property
    def cell(self) -> Cell: ...

    @property
    def machine(self) -> str | None: ...


R = TypeVar("R", bound=OnMachine)


def cheapest_first(rows: Sequence[R], price: "Sequence[float | None]") -> list[R]:
    """Rows of one cell on named machines by their dollars, those without any last; everything else as it stood."""
    first: dict[str, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row.cell.cell_id, index)

    def key(index: int) -> tuple[int, float, int]:
        row, usd = rows[index], price[index]
        own = usd if usd is not None and row.machine is not None else math.inf
        return (first[row.cell.cell_id] if row.machine is not None else index, own, index)

    return [rows[index] for index in sorted(range(len(rows)), key=key)]


def comparison(row: "Row", rows: "Sequence[Row]") -> list[str]:
    """Of the cheapest row of its cell on several machines: by how much, against each of the others."""
    own = [one for one in rows if one.cell.cell_id == row.cell.cell_id and one.machine and one.dollars is not None]
    if len(own) < 2 or own[0] is not row:
        return []
    mine = _usd(row)
    said = []
    for other in own[1:]:
        theirs = _usd(other)
        factor = theirs.value / mine.value if mine.value else math.inf
        apart = mine.high is not None and theirs.low is not None and mine.high < theirs.low
        doubt = "" if apart else " (their intervals overlap: perhaps not)"
        said.append(f"{_two(factor)} × cheaper than {other.machine} ({dollars_text(theirs)}){doubt}")
    return [f"By machine: {row.machine} {dollars_text(mine)} per million tokens is {', '.join(said)}."]


def _usd(row: "Row") -> Estimate:
    assert row.dollars is not None
    return row.dollars.blended_usd_per_mtok


def dollars_text(of: Estimate) -> str:
    """An amount with its interval.

    >>> dollars_text(Estimate(0.12, 0.11, 0.13, 3)), dollars_text(Estimate(2.0, None, None, 1))
    ('$0.12 (0.11 to 0.13)', '$2')
    """
    ends = "" if of.low is None or of.high is None else f" ({_three(of.low)} to {_three(of.high)})"
    return f"${_three(of.value)}{ends}"


def _two(factor: float) -> str:
    """Two significant digits; of a CPU against a GPU it may be hundreds.

    >>> _two(1.54), _two(2.0), _two(99.6), _two(153.0)
    ('1.5', '2', '100', '150')
    """
    return f"{float(f'{factor:.2g}'):g}"


def _three(usd: float) -> str:
    """Three significant digits, no exponent."""
    return f"{float(f'{usd:.3g}'):.10f}".rstrip("0").rstrip(".")
