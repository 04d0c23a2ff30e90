"""Two charts of one kind: $/Mtok against something that a person wants more or less of, with the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.entries.entry import Entry
from bench.metrics.statistics import Estimate
from bench.page.charts.chart import Point
from bench.page.charts.front import MOST, Ends, labelled, shares, standing
from bench.page.charts.look import INK, MUTED, Spec, halo, is_log, marks, only
from bench.page.charts.naming import Naming, short

MOST_BARS = 60
"""Rows whose intervals are drawn; where more may be on the front, only those of what is; where that are more, none."""
MOST_ON_FRONTS = 1200
"""Marks of so many fronts (one a model) that not even they can all be drawn."""


@dataclass(frozen=True)
class Seen:
    """A row with both of its figures. Rows of one `contest` are compared, since their figures mean the same."""

    entry: Entry
    usd: Estimate
    against: Ends
    contest: tuple[object, ...]
    figures: Point


def points(seen: Sequence[Seen], naming: Naming, x: str, y: str) -> list[Point]:
    """The front whole and the cheapest of the others, ascending by dollars; `x` and `y`: the fields on the axes."""
    made = [_point(one, naming) for one in seen]
    contests: dict[tuple[object, ...], list[int]] = {}
    for place, one in enumerate(seen):
        contests.setdefault(one.contest, []).append(place)
    for number, places in enumerate(contests.values()):
        judged = standing([(Ends.of(seen[place].usd), seen[place].against) for place in places])
        for place, front in zip(places, judged, strict=True):
            made[place]["front"], made[place]["contest"] = front, f"front {number + 1}"
    rank = {"yes": 0, "perhaps": 1, "no": 2}
    kept = sorted(made, key=lambda one: (rank[one["front"]], one["usd_per_mtok"], one["key"]))
    on_front = sum(one["front"] == "yes" for one in made)
    most = min(max(MOST, on_front), MOST_ON_FRONTS)
    kept = sorted(kept[:most], key=lambda one: (one["usd_per_mtok"], one["key"]))
    _label(kept, x, y)
    with_bars = _with_bars([point["front"] for point in kept])
    for point in kept:
        point["bars"] = point["front"] in with_bars
    return kept


def _point(one: Seen, naming: Naming) -> Point:
    return {
        **naming.point(one.entry),
        "usd_per_mtok": one.usd.value,
        "usd_per_mtok_low": one.usd.low,
        "usd_per_mtok_high": one.usd.high,
        **one.figures,
        "mark_text": short(one.entry),
    }


def _with_bars(fronts: Sequence[str]) -> tuple[str, ...]:
    for shown in (("yes", "perhaps"), ("yes",)):
        if sum(front in shown for front in fronts) <= MOST_BARS:
            return shown
    return ()


def _label(kept: list[Point], x: str, y: str) -> None:
    """Only marks on the front are labelled, and those that have room."""
    front = [one for one in kept if one["front"] == "yes"]
    if not front:
        return
    axes = []
    for field in (x, y):
        values = [float(one[field]) for one in kept]
        log = is_log(values)
        span = dict(zip(map(id, kept), shares(values, log), strict=True))
        axes.append([span[id(one)] for one in front])
    free = labelled(list(zip(*axes, strict=True)))
    named = {id(one) for one, has_room in zip(front, free, strict=True) if has_room}
    for one in kept:
        if id(one) not in named:
            one["mark_text"] = ""


def layers(x: Spec, y: Spec, naming: Naming, tooltip: list[Spec], step: str, positive: str) -> list[Spec]:
    """The front's line, intervals of what is on it or may be, marks, labels. `positive`: a test of what has a place."""
    on_front = f"datum.bars && {positive}"
    line = {"type": "line", "color": MUTED, "strokeWidth": 1.5, "interpolate": step, "opacity": 0.8}
    faint = {"condition": {"test": "datum.front === 'no'", "value": 0.45}, "value": 1}
    size = {"condition": {"test": "datum.front === 'yes'", "value": 110}, "value": 45}
    beyond = f"scale('x', datum.{x['field']}) > width / 2"
    aside = {"align": {"expr": f"{beyond} ? 'right' : 'left'"}, "dx": {"expr": f"{beyond} ? -8 : 8"}}
    text = {**aside, "baseline": "bottom", "dy": -4, "color": INK}
    words = {"x": x, "y": y, "text": {"field": "mark_text", "type": "nominal"}}
    return [
        {
            "transform": only(f"datum.front === 'yes' && {positive}"),
            "mark": line,
            "encoding": {"x": x, "y": y, "detail": {"field": "contest", "type": "nominal"}},
        },
        _bars(x, y, "x", on_front),
        _bars(x, y, "y", on_front),
        {"transform": only(positive)} | marks(naming.series, tooltip, {"x": x, "y": y, "opacity": faint, "size": size}),
        *halo(text, words, only(f"datum.mark_text !== '' && {positive}")),
    ]


def _bars(x: Spec, y: Spec, along: str, test: str) -> Spec:
    of = x if along == "x" else y
    low, high = f"{of['field']}_low", f"{of['field']}_high"
    encoding: Spec = {"x": x, "y": y} | {along: {**of, "field": low}, f"{along}2": {"field": high}}
    return {
        "transform": only(f"{test} && isValid(datum.{low}) && isValid(datum.{high})"),
        "mark": {"type": "rule", "color": MUTED, "strokeWidth": 1.25},
        "encoding": encoding,
    }


def best_in_words(made: Sequence[Point]) -> str:
    """The front for a screen reader: at most six rows of it."""
    front = [one for one in made if one["front"] == "yes"]
    named = [f"{one['label']}, {one['detail']} (${one['usd_per_mtok']:.3g})" for one in front[:6]]
    more = f" and {len(front) - 6} more" if len(front) > 6 else ""
    return f"On the front: {'; '.join(named)}{more}."
