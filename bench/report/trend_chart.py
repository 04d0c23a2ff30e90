"""Price lines drawn: in the terminal (plotille) and as an SVG file (matplotlib). In steps: a price holds until changed.

A logarithmic axis where the dearest price is over ten times the cheapest: equal falls are then equally high.
"""

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from bench.report.table import number
from bench.report.trend import Line

COLOURS = (
    *(("#0072B2", 25), ("#D55E00", 166), ("#009E73", 36), ("#CC79A7", 175)),
    *(("#E69F00", 178), ("#56B4E9", 74), ("#000000", 245)),
)
"""Colours that stay apart for colour-blind eyes (Okabe and Ito), each with the nearest of a terminal's 256."""

LEGEND: dict[str, Any] = {
    "frameon": False,
    "alignment": "left",
    "borderaxespad": 0,
    "title_fontproperties": {"weight": "bold"},
}
"""Title and names stand above the axes, where no line goes through them."""

DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
LOG_FROM = 10
ROWS = 14
MARGIN = 23
"""Columns of a terminal that plotille's axis and its last label take."""


def is_log(lines: Sequence[Line]) -> bool:
    """Whether the highest price of all lines is over ten times the lowest."""
    prices = [float(point.blended_usd) for line in lines for point in line.points]
    return max(prices) > LOG_FROM * min(prices)


def terminal(lines: Sequence[Line], columns: int, colour: bool) -> str:
    """The chart with its legend; without `colour` in plain characters, one for each line."""
    import plotille

    log = is_log(lines)
    low, high = _limits(lines, log)
    first = min(line.points[0].day for line in lines).toordinal()
    last = max(first + 1, *(line.until.toordinal() for line in lines))
    figure = plotille.Figure()
    figure.width, figure.height = max(20, columns - MARGIN), ROWS
    figure.origin, figure.with_colors, figure.color_mode = False, colour, "byte"
    figure.x_label, figure.y_label = "date", "$/Mtok"
    figure.set_x_limits(min_=float(first), max_=float(last))
    figure.set_y_limits(min_=low, max_=high)
    figure.x_ticks_fkt = _day_text(last - first)
    figure.y_ticks_fkt = _price_text(lines, log, low, high)
    if colour:
        for index, line in enumerate(lines):
            across = [day.toordinal() for day, _ in line.corners()]
            up = _heights([usd for _, usd in line.corners()], log)
            figure.plot(across, up, lc=COLOURS[index % len(COLOURS)][1])
    else:
        cells = _cells(lines, log, (figure.width, first, last), (low, high))
        for index in range(len(lines)):
            own = [cell for cell, owner in cells.items() if owner == index]
            days = [first + (column + 0.5) * (last - first) / figure.width for column, _ in own]
            figure.scatter(days, [low + (row + 0.5) * (high - low) / ROWS for _, row in own], marker=_mark(index))
    drawn = "\n".join(text.rstrip() for text in figure.show().replace("⠀", " ").splitlines())
    return drawn + "\n" + "\n".join(_legend(index, line, colour) for index, line in enumerate(lines))


def _mark(index: int) -> str:
    return MARKS[index % len(MARKS)]


def _legend(index: int, line: Line, colour: bool) -> str:
    import plotille

    if not colour:
        return f"  {_mark(index)} {line.name}"
    return str(plotille.color("  ⠤⠤", fg=COLOURS[index % len(COLOURS)][1], mode="byte")) + f" {line.name}"


def _heights(prices: Sequence[Any], log: bool) -> list[float]:
    return [math.log10(price) if log else float(price) for price in prices]


def _limits(lines: Sequence[Line], log: bool) -> tuple[float, float]:
    heights = _heights([point.blended_usd for line in lines for point in line.points], log)
    low, high = (min(heights), max(heights)) if log else (0.0, max(heights))
    return (low - 0.05 * (high - low) if log else low), high + 0.05 * (high - low)


def _price_text(lines: Sequence[Line], log: bool, low: float, high: float) -> Callable[[float, float], str]:
    """A row's label: the price that is drawn in it, of several the one nearest to its middle, else its middle. Above
    the last row nothing is drawn, and nothing is said."""
    exact: dict[int, list[float]] = {}
    for height in _heights([point.blended_usd for line in lines for point in line.points], log):
        exact.setdefault(_row(height, low, high), []).append(height)

    def text(at: float, _: float) -> str:
        row = round((at - low) / (high - low) * ROWS)
        if row >= ROWS:
            return " " * 10
        middle = low + (row + 0.5) * (high - low) / ROWS
        height = min(exact.get(row, [middle]), key=lambda one: abs(one - middle))
        return f"{number(10**height if log else height):>10}"

    return text


def _row(height: float, low: float, high: float) -> int:
    """From below."""
    return min(ROWS - 1, int((height - low) / (high - low) * ROWS))


def _day_text(days: int) -> Callable[[float, float], str]:
    """Months over a long time, days over a short one."""
    form = "%Y-%m" if days > 600 else "%y-%m-%d"
    return lambda at, _: f"{date.fromordinal(int(at)).strftime(form):<9}"


def _cells(
    lines: Sequence[Line], log: bool, width: tuple[int, int, int], height: tuple[float, float]
) -> dict[tuple[int, int], int]:
    """Which line has which cell (column, row from below). Lines that share cells take turns from column to column."""
    columns, first, last = width
    low, high = height
    wanted: dict[tuple[int, int], list[int]] = {}
    for index, line in enumerate(lines):
        corners = line.corners()
        places = [min(columns - 1, (day.toordinal() - first) * columns // (last - first)) for day, _ in corners]
        rows = [_row(at, low, high) for at in _heights([usd for _, usd in corners], log)]
        for (here, there), (low_row, high_row) in zip(pairwise(places), pairwise(rows), strict=True):
            for column in range(here, there + 1):
                for row in range(min(low_row, high_row), max(low_row, high_row) + 1):
                    owners = wanted.setdefault((column, row), [])
                    if index not in owners:
                        owners.append(index)
    return {cell: owners[cell[0] % len(owners)] for cell, owners in wanted.items()}


def svg(lines: Sequence[Line], title: str, unit: str, caption: str) -> str:
    """The chart as an SVG document: the same input gives the same bytes. Text stays text, for readers and searches."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": "llm-cost-bench", "svg.fonttype": "none", "font.size": 10}
    wrapped = textwrap.wrap(caption, 125)
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(9, 4.6 + 0.17 * len(wrapped) + 0.22 * len(lines)), facecolor="white")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for index, line in enumerate(lines):
            _draw(axes, line, COLOURS[index % len(COLOURS)][0], DASHES[index // len(COLOURS) % len(DASHES)])
        _label(axes, title, unit, is_log(lines))
        figure.autofmt_xdate(rotation=0, ha="center")
        bottom = 0.17 * (len(wrapped) + 1) / figure.get_figheight()
        figure.tight_layout(rect=(0, bottom, 1, 1))
        figure.text(0.02, 0.02, "\n".join(wrapped), fontsize=8, color="#444444", va="bottom")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return out.getvalue()


def _draw(axes: Any, line: Line, colour: str, dashes: str) -> None:
    days = [*(point.day for point in line.points), line.until]
    prices = [float(point.blended_usd) for point in line.points]
    axes.step(
        days,
        [*prices, prices[-1]],
        where="post",
        color=colour,
        linestyle=dashes,
        linewidth=2,
        label=textwrap.fill(line.name, 100),
    )
    axes.plot(days[:-1], prices, linestyle="none", marker="o", markersize=4, color=colour)


def _label(axes: Any, title: str, unit: str, log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    axes.set_xlabel("date")
    axes.set_ylabel(unit)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(title=title, loc="lower left", bbox_to_anchor=(0, 1.01), **LEGEND)
