"""The batch sweep drawn in a terminal (plotille): batch size across, decode rate over the reference's up."""

import math
import textwrap
from collections.abc import Sequence

from bench.report.levels.level import LevelTable
from bench.report.table import number

FEWEST_SIZES = 3
"""Two sizes are two columns of a table."""
ROWS = 10
MARGIN = 26
"""Columns of a terminal that plotille's axis and its last label take."""
WIDEST = 100
MARKS = "123456789abcdefghijklmnopqrstuvwxyz"


def sweep(of: LevelTable, columns: int) -> str:
    """The chart with its legend, both axes logarithmic; empty with fewer than `FEWEST_SIZES` batch sizes."""
    import plotille

    lines = [line for line in of.sweep.lines if line.decode]
    sizes = sorted({at for line in lines for at in line.decode})
    if len(sizes) < FEWEST_SIZES:
        return ""
    heights = [0.0, *(math.log2(one.value) for line in lines for one in line.decode.values())]
    room = 0.08 * (max(heights) - min(heights)) or 0.1
    figure = plotille.Figure()
    figure.width, figure.height = max(20, min(columns, WIDEST) - MARGIN), ROWS
    figure.origin, figure.with_colors = False, False
    figure.x_label, figure.y_label = "batch", f"× {of.reference}"
    first, last = math.log2(sizes[0]), math.log2(sizes[-1])
    side = 0.03 * (last - first)
    figure.set_x_limits(min_=first - side, max_=last + side)
    figure.set_y_limits(min_=min(heights) - room, max_=max(heights) + room)
    low, high = min(heights) - room, max(heights) + room
    figure.x_ticks_fkt = lambda at, _: f"{_nearest(sizes, at, 10 * (last - first + 2 * side) / figure.width):<9}"
    figure.y_ticks_fkt = lambda at, _: f"{_middle(at, low, high):>8}"
    across = [first + (last - first) * step / figure.width for step in range(figure.width + 1)]
    figure.scatter(across, [0.0] * len(across), marker="-")
    for mark, line in zip(MARKS, lines, strict=False):
        places = sorted(line.decode.items())
        figure.scatter([math.log2(at) for at, _ in places], [math.log2(one.value) for _, one in places], marker=mark)
    drawn = [text.rstrip() for text in figure.show().replace("⠀", " ").splitlines()]
    legend = ", ".join(f"{mark} {line.label}" for mark, line in zip(MARKS, lines, strict=False))
    said = f"{legend}; - is {of.reference}; both axes logarithmic"
    return "\n".join([*drawn, textwrap.fill(said, columns, initial_indent="  ", subsequent_indent="  ")])


def _nearest(sizes: Sequence[int], at: float, step: float) -> str:
    """The measured size that lies nearest to a tick, within half a step of it."""
    size = min(sizes, key=lambda one: abs(math.log2(one) - at))
    return f"{size}" if abs(math.log2(size) - at) <= step / 2 else ""


def _middle(at: float, low: float, high: float) -> str:
    """The ratio in the middle of the row that begins at `at`; nothing above the last row."""
    middle = at + (high - low) / ROWS / 2
    return number(2**middle, 2) if middle < high else ""
