"""Where the names of points go so that none covers another name or a point: the first free of a few offsets."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

OFFSETS = tuple(
    (across * step, up * step)
    for step in (8, 16, 26, 38, 52, 68)
    for across, up in ((1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (0.2, 1), (0.2, -1))
)
"""Points (1/72 inch) from a mark to its name, the nearest first."""
LETTER = (5.4, 11.0)
"""Width and height of a letter of 9 points."""
MARK = 6.0

Box = tuple[float, float, float, float]


def places(
    axes: Any,
    spots: Sequence[tuple[float, float]],
    names: Sequence[str],
    line: Sequence[tuple[float, float]] = (),
) -> Iterator[tuple[tuple[float, float], str]]:
    """For each spot the offset of its name in points, and which side of the name is there.

    The figure has been laid out. `line`: corners of a line of level and upright pieces, which names keep off too.
    """
    scale = 72 / axes.figure.dpi
    frame = axes.get_window_extent()
    inside = (frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    marks = [tuple(value * scale for value in axes.transData.transform(spot)) for spot in spots]
    taken: list[Box] = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    corners = [axes.transData.transform(corner) * scale for corner in line]
    for (x1, y1), (x2, y2) in pairwise(corners):
        taken.append((min(x1, x2), min(y1, y2) - 1, max(x1, x2), max(y1, y2) + 1))
    for (x, y), name in zip(marks, names, strict=True):
        tried = [(_box(x, y, offset, name), offset) for offset in OFFSETS]
        free = [one for one in tried if _within(one[0], inside) and not any(_touch(one[0], box) for box in taken)]
        box, offset = (free or tried)[0]
        taken.append(box)
        yield offset, "left" if offset[0] > 0 else "right"


def _box(x: float, y: float, offset: tuple[float, float], name: str) -> Box:
    wide, high = LETTER[0] * len(name), LETTER[1]
    left = x + offset[0] - (0 if offset[0] > 0 else wide)
    return left, y + offset[1] - high / 2, left + wide, y + offset[1] + high / 2


def _within(one: Box, frame: Box) -> bool:
    return one[0] >= frame[0] and one[1] >= frame[1] and one[2] <= frame[2] and one[3] <= frame[3]


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
