"""A history for people: one line a cell and metric, then each run with its interval on one axis."""

import io
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.history.judged import Judgement
from bench.history.series import Series, differences
from bench.history.wording import causes, confidence, day, figure, name, result, short, size, sparkline
from bench.report.render import escaped, grid, on_screen

HEADINGS = ("cell", "what", "metric", "runs", "newest", "history", "result")
LEFT = (0, 1, 2, 5, 6)
AXIS = 40
"""Characters of the axis that runs are drawn on."""

FEW = 3
"""Up to so many series, each run is drawn without being asked for."""


def lines(found: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """What stands in the overview."""
    return [
        (
            short(one.series.newest),
            name(one.series.name, 60),
            f"{one.series.metric.name} [{one.series.metric.unit}]",
            str(len(one.series.points)),
            figure(one.series.points[-1].value, one.series.metric),
            sparkline(one.series),
            result(one),
        )
        for one in found
    ]


def terminal(found: Sequence[Judgement], notes: Sequence[str], width: int | None, points: bool) -> str:
    """Tables drawn for a terminal, one for each machine; `points`: also every run."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    for machine, ones in groupby(found, key=lambda one: _machine(one.series)):
        own = list(ones)
        console.print(f"{machine}\n", soft_wrap=True)
        console.print(grid(HEADINGS, lines(own), LEFT))
        console.print()
        for one in own if points else ():
            for text in drawn(one):
                console.print(text, soft_wrap=True)
            console.print()
    for note in notes:
        console.print(f"• {note}")
    return on_screen(buffer.getvalue())


def _machine(of: Series) -> str:
    instrument = of.newest.origin.instrument
    return name(of.newest.hardware) + ("" if instrument is None else f", instrument {instrument}")


def drawn(one: Judgement) -> Iterator[str]:
    """Every run of a series: its value, and its interval on one axis; between them what changed."""
    of = one.series
    yield f"{short(of.newest)} {name(of.name)}: {of.metric.title} [{of.metric.unit}]"
    changed = {change.at: change for change in of.found.changes}
    texts = [figure(point.value, of.metric) for point in of.points]
    names = [name(point.name, 32) for point in of.points]
    wide, long = max(map(len, texts)), max(map(len, names))
    low, high = _limits(of)
    for at, (point, text, run) in enumerate(zip(of.points, texts, names, strict=True)):
        if at in changed:
            other = differences(of.points[at - 1].environment, point.environment)
            said = ", ".join(name(each, 90) for each in other) or "nothing else that is recorded changed"
            yield f"  ── {size(of, changed[at])}, confidence {confidence(changed[at])}; {said}"
        left_out = " set aside" if at in of.found.lonely else ""
        left_out = " suspect" if of.found.suspect and at == len(of.points) - 1 else left_out
        values = [point.value.value, point.value.low, point.value.high]
        scaled = [_scaled(of, value) for value in values if value is not None and (value > 0 or not of.metric.is_log)]
        axis = bar(scaled, low, high)
        verdict = "" if point.verdict == "VALID" else f" {name(point.verdict, 40)}"
        yield f"  {day(point.when) or '?':<10} {run:<{long}} {text:>{wide}} {axis}{left_out}{verdict}"
    for lost in of.lost:
        yield f"  {day(lost.when) or '?':<10} {name(lost.run, 32)} no figure: {name(lost.why)}"


def _scaled(of: Series, value: float) -> float:
    return math.log(value) if of.metric.is_log else value


def _limits(of: Series) -> tuple[float, float]:
    """Of the axis: what the values span, and a quarter on either side, so that wide intervals of single runs do not
    press all the others together."""
    values = [of.metric.run_of(point.value).value for point in of.points]
    low, high = min(values), max(values)
    room = max((high - low) / 4, 0.02 if of.metric.is_log else of.metric.least)
    return low - room, high + room


def bar(values: Sequence[float], low: float, high: float) -> str:
    """The value as a dot and its interval as a line, cut at the ends of the axis.

    >>> bar([0.5], 0.0, 1.0).strip()
    '●'
    >>> bar([0.5, 0.0, 2.0], 0.0, 1.0)[0], bar([0.5, 0.0, 2.0], 0.0, 1.0)[-1]
    ('├', '→')
    """
    places = [round((value - low) / (high - low) * (AXIS - 1)) for value in values]
    signs = [" "] * AXIS
    if len(places) > 1:
        first, last = min(places), max(places)
        for at in range(max(first, 0), min(last, AXIS - 1) + 1):
            signs[at] = "─"
        for at, sign, beyond in ((first, "├", "←"), (last, "┤", "→")):
            signs[min(max(at, 0), AXIS - 1)] = sign if 0 <= at < AXIS else beyond
    signs[min(max(places[0], 0), AXIS - 1)] = "●"
    return "".join(signs)


def markdown(found: Sequence[Judgement], notes: Sequence[str]) -> str:
    """The overview and every run, as GitHub-flavoured tables."""
    parts = []
    for machine, ones in groupby(found, key=lambda one: _machine(one.series)):
        own = list(ones)
        parts += [f"**{escaped(machine)}**", pipes(HEADINGS, lines(own), LEFT)]
        for one in own:
            of = one.series
            parts.append(f"{escaped(f'{short(of.newest)} {name(of.name)}: {of.metric.name}')}")
            parts.append(pipes(*points_table(one), (0, 1, 3, 4, 5)))
    parts.append("\n".join(f"- {escaped(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def points_table(one: Judgement) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and lines: one a run, the change that begins with it, and what else changed then."""
    of = one.series
    changed = {change.at: change for change in of.found.changes}
    found: list[tuple[str, ...]] = []
    for at, point in enumerate(of.points):
        said = f"{size(of, changed[at])}, confidence {confidence(changed[at])}" if at in changed else ""
        if at in of.found.lonely:
            said = "set aside: alone far off both its neighbours"
        if of.found.suspect and at == len(of.points) - 1:
            said = "suspect: run again"
        before = of.points[at - 1].environment if at else None
        other = ", ".join(name(each, 90) for each in differences(before, point.environment))
        value = figure(point.value, of.metric)
        found.append((day(point.when) or "?", name(point.name, 60), value, name(point.verdict, 60), said, other))
    found += [(day(lost.when) or "?", name(lost.run, 60), "–", name(lost.why), "", "") for lost in of.lost]
    return ("day", "run", f"{of.metric.name} [{of.metric.unit}]", "verdict", "change", "environment changed"), found


def pipes(headings: Sequence[str], rows: Sequence[tuple[str, ...]], left: Sequence[int]) -> str:
    """A Markdown table of texts that become no markup."""
    from tabulate import tabulate

    align = ["left" if index in left else "right" for index in range(len(headings))]
    cells = [[escaped(text) for text in row] for row in rows]
    return tabulate(cells, [escaped(one) for one in headings], "pipe", colalign=align, disable_numparse=True)


def explained(found: Sequence[Judgement]) -> list[str]:
    """Notes on the changes of the overview: what else changed."""
    said = [one for one in found if one.change is not None and one.outcome not in ("suspect", "stopped")]
    return [
        f"{short(one.series.newest)} {one.series.metric.name}: confidence {confidence(one.change)}; {causes(one)}"
        for one in said
        if one.change is not None
    ]
