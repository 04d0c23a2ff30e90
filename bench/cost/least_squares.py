"""Least squares with two or three unknowns of which none may be negative, exactly and without a library.

So few unknowns have seven sets of positive ones at most: each set's own least squares is solved, and the best solution
that has no negative value is the answer. That is exact, because at the true optimum the positive values solve the plain
problem of their own set (Lawson and Hanson, Solving Least Squares Problems, chapter 23, find that set by steps).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Matrix = list[list[float]]

MOST_INFLATION = 1e4
"""Of a value's variance, over that with columns that have nothing in common: an error of 1 % becomes one of 100 %."""

TINY = 1e-12
"""Of a value in units of the target, or a pivot of scaled columns: what rounding leaves of a zero."""


@dataclass(frozen=True)
class Solved:
    """The values, and the inverse of XᵀX over all columns: the errors of the values for errors of 1 in the target."""

    values: tuple[float, ...]
    inverse: Matrix


def solve(table: Sequence[Sequence[float]]) -> Solved | None:
    """Values b ≥ 0 with the least Σ(1 − row·b)²; None where the columns cannot be told apart.

    The rows of the table are measurements, each divided by its own target.

    >>> solve([[1.0, 0.0], [0.0, 0.5]]).values
    (1.0, 2.0)

    With 1 for the first the second would be −1; at 0 it leaves (1 + 2) / (1² + 2²) for the first:

    >>> [round(one, 12) for one in solve([[1.0, 0.0], [2.0, 1.0]]).values]
    [0.6, 0.0]
    >>> solve([[1.0, 2.0], [2.0, 4.0]]) is None
    True
    """
    columns = range(len(table[0]))
    sizes = [math.sqrt(math.fsum(row[column] ** 2 for row in table)) for column in columns]
    if min(sizes) <= 0:
        return None
    scaled = [[one / size for one, size in zip(row, sizes, strict=True)] for row in table]
    products = gram(scaled)
    whole = inverse(products)
    if whole is None or max(whole[column][column] for column in columns) > MOST_INFLATION:
        return None
    target = [math.fsum(row[column] for row in scaled) for column in columns]
    candidates = [
        found
        for count in columns
        for chosen in combinations(columns, count + 1)
        if (found := _of_set(products, target, chosen)) is not None
    ]
    best = min(candidates, key=lambda values: _squares(scaled, values))
    return Solved(
        values=tuple(value / size for value, size in zip(best, sizes, strict=True)),
        inverse=[[whole[row][column] / sizes[row] / sizes[column] for column in columns] for row in columns],
    )


def gram(table: Sequence[Sequence[float]]) -> Matrix:
    """The sum over the rows of each row's outer product with itself."""
    columns = range(len(table[0]))
    return [[math.fsum(row[one] * row[other] for row in table) for other in columns] for one in columns]


def spread(matrix: Matrix, places: Sequence[int], size: int) -> Matrix:
    """The same among `size` rows and columns, at these places; zeros elsewhere.

    >>> spread([[1.0, 2.0], [2.0, 3.0]], [0, 2], 3)
    [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [2.0, 0.0, 3.0]]
    """
    found = [[0.0] * size for _ in range(size)]
    for line, row in zip(matrix, places, strict=True):
        for value, column in zip(line, places, strict=True):
            found[row][column] = value
    return found


def inverse(matrix: Matrix) -> Matrix | None:
    """By Gauss and Jordan with pivots; None for a matrix that has none, or none that is to be trusted.

    >>> inverse([[2.0, 1.0], [1.0, 1.0]])
    [[1.0, -1.0], [-1.0, 2.0]]
    """
    size = len(matrix)
    lines = [[*line, *(float(row == column) for column in range(size))] for row, line in enumerate(matrix)]
    for column in range(size):
        pivot = max(range(column, size), key=[abs(line[column]) for line in lines].__getitem__)
        lines[column], lines[pivot] = lines[pivot], lines[column]
        if abs(lines[column][column]) < TINY:
            return None
        lines[column] = [one / lines[column][column] for one in lines[column]]
        for row in range(size):
            if row != column:
                factor = lines[row][column]
                lines[row] = [one - factor * other for one, other in zip(lines[row], lines[column], strict=True)]
    return [line[size:] for line in lines]


def _of_set(products: Matrix, target: Sequence[float], chosen: Sequence[int]) -> list[float] | None:
    """The plain solution with these columns alone; None where a value of it is not above zero."""
    inverted = inverse([[products[row][column] for column in chosen] for row in chosen])
    if inverted is None:
        return None
    found = [0.0] * len(target)
    for place, line in zip(chosen, inverted, strict=True):
        found[place] = math.fsum(one * target[column] for one, column in zip(line, chosen, strict=True))
    return found if min(found[place] for place in chosen) > TINY else None


def _squares(table: Sequence[Sequence[float]], values: Sequence[float]) -> float:
    return math.fsum((1 - math.fsum(one * value for one, value in zip(row, values, strict=True))) ** 2 for row in table)
