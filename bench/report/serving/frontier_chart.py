"""The frontier drawn in a terminal (plotille): a user's tokens per second across, dollars per million tokens up."""

import math

from bench.report.serving.frontier import Family
from bench.report.table import number

ROWS = 12
MARGIN = 32
"""Columns of a terminal that plotille's axis and its last label take."""
LOG_FROM = 10
"""Dollars are drawn by their logarithm where the dearest level is over so many times the cheapest."""


def drawn(of: Family, columns: int) -> str:
    """The chart: o on the front, x off it, and * the cheapest level that met every objective."""
    import plotille

    cheapest = of.cheapest_met
    places = {point.number: point.drawn for point in of.points if point.drawn is not None}
    costs = [usd for _, usd in places.values()]
    log = min(costs) > 0 and max(costs) > LOG_FROM * min(costs)
    figure = plotille.Figure()
    figure.width, figure.height = max(20, min(columns, 120) - MARGIN), ROWS
    figure.origin, figure.with_colors = False, False
    figure.x_label, figure.y_label = "tok/s/user", "$/Mtok"
    widest = max(speed for speed, _ in places.values())
    figure.set_x_limits(min_=0.0, max_=1.05 * widest)
    heights = [math.log10(usd) if log else usd for usd in costs]
    room = 0.08 * (max(heights) - min(heights)) or 0.1
    low = min(heights) - room if log else 0.0
    figure.set_y_limits(min_=low, max_=max(heights) + room)
    figure.x_ticks_fkt = lambda at, _: f"{number(at):<9}"
    figure.y_ticks_fkt = lambda at, _: f"{number(10**at if log else at):>10}"
    for mark in ("x", "o", "*"):
        own = [
            place
            for point in of.points
            if (place := places.get(point.number)) is not None
            and mark == ("*" if point is cheapest else "o" if point.on_front else "x")
        ]
        if own:
            figure.scatter([x for x, _ in own], [math.log10(y) if log else y for _, y in own], marker=mark)
    lines = [text.rstrip() for text in figure.show().replace("⠀", " ").splitlines()]
    legend = "  o on the front, x off it" + (", * the cheapest that met every objective" if cheapest else "")
    return "\n".join([*lines, legend])
