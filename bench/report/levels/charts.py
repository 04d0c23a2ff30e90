"""Levels drawn as an SVG file (matplotlib): dollars against loss with the front, and the sweep over batch sizes.

Colours stay apart for colour-blind eyes, and every level has a mark of its own, so that they also do so in grey.
"""

import io
import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.report.levels.compare import named
from bench.report.levels.label_places import places
from bench.report.levels.level import Level, Levels, LevelTable, SweepLine
from bench.report.levels.sweep import DECODE
from bench.report.table import number
from bench.report.trend_chart import COLOURS

MARKERS = "osD^vP*Xhp<>d8H"
DASHES = ("solid", "dashed", "dotted", "dashdot")
SIZE_IN = (12.0, 5.2)
GREY = "#666666"
NEAR = 16.0
"""Points from a mark within which a name needs no line to it."""


def write(levels: Levels, path: Path) -> None:
    """Both charts of every table, below each other. Raises InputError where the file cannot be written."""
    try:
        path.write_text(svg(levels), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--chart: {path} cannot be written ({error.strerror}); name another file") from None


def svg(levels: Levels) -> str:
    """The document: the same levels give the same bytes. Text stays text, for readers and searches."""
    import matplotlib as mpl

    settings = {"svg.hashsalt": "llm-cost-bench", "svg.fonttype": "none", "font.size": 10}
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        out = io.StringIO()
        _figure(levels).savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Title": "levels"})
    return out.getvalue()


def _figure(levels: Levels) -> Any:
    """Both charts of each table beside each other, tables below each other."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    size = (SIZE_IN[0], SIZE_IN[1] * len(levels.tables))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    FigureCanvasSVG(figure)
    parts: Any = figure.subfigures(len(levels.tables), 1, squeeze=False)
    named_later = []
    for part, one in zip(parts[:, 0], levels.tables, strict=True):
        left, right = part.subplots(1, 2)
        part.suptitle("\n".join(textwrap.wrap(named(one), 130)), fontsize=10, x=0.01, ha="left")
        look = _looks(one)
        _sweep(right, one, look)
        named_later.append((left, one, _front(left, one, look)))
    # Where a name is free depends on the layout of the whole.
    figure.canvas.draw()
    for axes, one, placed in named_later:
        _names(axes, one, placed)
    return figure


def _looks(of: LevelTable) -> dict[str, dict[str, Any]]:
    """Colour and mark of each level, the same in both charts."""
    return {
        one.label: {
            "color": COLOURS[index % len(COLOURS)][0],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        }
        for index, one in enumerate(of.levels)
    }


def _front(axes: Any, of: LevelTable, look: dict[str, dict[str, Any]]) -> list[Level]:
    """Loss across, dollars up; bars are a standard error and a 95 % interval. Returns the levels that are drawn."""
    placed = [one for one in of.levels if one.standing is not None and _loss(one, of.loss_is) is not None]
    unit = "ΔNLL, nats a token more than" if of.loss_is == "ΔNLL" else "mean KL divergence in nats from"
    axes.set_title("Dollars against quality: down and left is better; filled: on the front", loc="left", fontsize=10)
    if not placed:
        _empty(axes, "no level has both dollars and quality")
        return []
    _plain(axes)
    on = _staircase(placed, of.loss_is)
    axes.plot([x for x, _ in on], [y for _, y in on], color=GREY, linewidth=1.2, zorder=1, linestyle="--")
    for one in placed:
        _place(axes, one, of.loss_is, look[one.label])
    axes.set_xlabel(f"{unit} {of.quality_reference} (± one standard error)")
    axes.set_ylabel("$ per million tokens (95 % interval)")
    axes.margins(x=0.16, y=0.16)
    return placed


def _names(axes: Any, of: LevelTable, placed: Sequence[Level]) -> None:
    """Each level's name beside its mark, bold on the front, with a line to it where it had to go further away."""
    spots = [_point(one, of.loss_is) for one in placed]
    found = places(axes, spots, [one.label for one in placed], _staircase(placed, of.loss_is))
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}
    for one, spot, (offset, align) in zip(placed, spots, found, strict=True):
        axes.annotate(
            one.label,
            spot,
            xytext=offset,
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=9,
            fontweight="bold" if one.standing == "on" else "normal",
            arrowprops=line if math.hypot(*offset) > NEAR else None,
        )


def _loss(one: Level, loss_is: str) -> tuple[float, float] | None:
    """Value and standard error in nats a token; 0 for an error that is not known."""
    if loss_is == "KL":
        kl = one.kl_mean_nats
        return None if kl is None else (kl, (0.0 if one.divergence is None else one.divergence.kl_mean_se or 0.0))
    found = one.delta_nll
    return None if found is None else (found.value, found.se or 0.0)


def _point(one: Level, loss_is: str) -> tuple[float, float]:
    loss, usd = _loss(one, loss_is), one.usd_per_mtok
    assert loss is not None
    assert usd is not None
    return loss[0], usd.value


def _staircase(placed: Sequence[Level], loss_is: str) -> list[tuple[float, float]]:
    """The corners of the front: a level's dollars hold until the next one's loss may be allowed."""
    on = sorted(_point(one, loss_is) for one in placed if one.standing == "on")
    corners = on[:1]
    for (_, before), (x, y) in pairwise(on):
        corners += [(x, before), (x, y)]
    return corners


def _place(axes: Any, one: Level, loss_is: str, look: dict[str, Any]) -> None:
    loss, usd = _loss(one, loss_is), one.usd_per_mtok
    assert loss is not None
    assert usd is not None
    low = usd.value - (usd.value if usd.low is None else usd.low)
    high = (usd.value if usd.high is None else usd.high) - usd.value
    axes.errorbar(
        loss[0],
        usd.value,
        xerr=loss[1],
        yerr=[[low], [high]],
        marker=look["marker"],
        color=look["color"],
        markerfacecolor=look["color"] if one.standing == "on" else "white",
        markersize=7,
        capsize=2,
        linewidth=1,
        zorder=3,
    )


def _sweep(axes: Any, of: LevelTable, look: dict[str, dict[str, Any]]) -> None:
    """Batch sizes across, the ratio of the decode rates up."""
    axes.set_title(f"Decode rate over {of.reference}'s: up is better", loc="left", fontsize=10)
    lines = [line for line in of.sweep.lines if line.decode]
    sizes = sorted({at for line in lines for at in line.decode})
    if len(sizes) < 2:
        _empty(axes, "fewer than two batch sizes were measured")
        return
    _plain(axes)
    _logarithmic(axes, sizes)
    axes.axhline(1.0, color="black", linewidth=1, zorder=1)
    for line in lines:
        _line(axes, line, look[line.label])
    _crossings(axes, of)
    axes.set_xlabel("batch size" + ("; × where it crosses 1" if _crossing_places(of) else ""))
    axes.set_ylabel(f"× {of.reference} (95 % interval)")
    columns = 1 if len(lines) < 9 else 2
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, ncols=columns)


def _line(axes: Any, line: SweepLine, look: dict[str, Any]) -> None:
    places = sorted(line.decode.items())
    values = [one.value for _, one in places]
    down = [one.value - (one.value if one.low is None else one.low) for _, one in places]
    up = [(one.value if one.high is None else one.high) - one.value for _, one in places]
    axes.errorbar(
        [at for at, _ in places],
        values,
        yerr=[down, up],
        markersize=6,
        capsize=2,
        linewidth=1.6,
        label=line.label,
        **look,
    )


def _crossing_places(of: LevelTable) -> list[float]:
    crossed = [one for one in of.sweep.crossed if one.quantity == DECODE and one.other == of.reference]
    return [crossing.batch_size for one in crossed for crossing in one.found.crossings]


def _crossings(axes: Any, of: LevelTable) -> None:
    """The sizes stand above the frame, each a little higher than one that is too near to its left."""
    last, step = -math.inf, 0
    for at in sorted(_crossing_places(of)):
        near = last > 0 and math.log2(at / last) < 0.35
        step = (step + 1) % 3 if near else 0
        axes.plot([at], [1.0], marker="x", color="black", markersize=8, linestyle="none", zorder=4)
        axes.annotate(
            number(at, 2),
            (at, 1.0),
            xytext=(0, -14 - 11 * step),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
        last = at


def _logarithmic(axes: Any, sizes: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(at) for at in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(axes: Any) -> None:
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _empty(axes: Any, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=axes.transAxes)
