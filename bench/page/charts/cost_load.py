"""What a million tokens cost as the load grows, and what those cost that met the objectives."""

from collections import Counter

from bench.entries.entry import Entry, Report
from bench.entries.mixed import usd_per_mtok
from bench.entries.priced import Asked, Priced
from bench.page.charts.chart import Chart, Point
from bench.page.charts.look import (
    DOLLAR_TIPS,
    DOLLARS,
    MUTED,
    SURFACE,
    Spec,
    axis,
    curve_colour,
    curve_shape,
    is_log,
    only,
    row_tips,
    scale,
    upright,
    value,
    whole,
)
from bench.page.charts.naming import Naming, counted, of_many, sentences, shown

ID = "cost-load"
MOST = 6
"""Families of loads."""
MOST_LEVELS = 60
MOST_TICKS = 12
COLUMNS = (
    *("kind", "curve", "detail", "level", "level_unit", "usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high"),
    *("objectives", "verdict", "key"),
)


def chart(report: Report, naming: Naming, asked: Asked) -> Chart | None:
    """None where no load has dollars."""
    made = points(report, naming, asked)
    if not made:
        return None
    unit, families = unit_of(report), _families(report)
    others = {one.level_unit for one in _loads(report)} - {unit}
    met = [one for one in made if one["kind"] == "row" and one["objectives"] == "met"]
    best = min(met or made, key=lambda one: float(one["usd_per_mtok"]))
    drawn = len({one["family"] for one in made})
    return Chart(
        ID,
        "Cost over the load",
        f"{counted(drawn, 'load')} at levels in {shown(unit)}; cheapest{' within the objectives' if met else ''}: "
        f"${best['usd_per_mtok']:.3g} per million tokens at {best['level']:g} ({best['curve']}).",
        _spec(made, unit, naming),
        made,
        COLUMNS,
        True,
        sentences(
            "Solid: all tokens. Dashed: the whole bill on those requests alone that met the objectives."
            if any(one["kind"] == "good" for one in made)
            else "",
            "Filled marks met the objectives, hollow ones did not."
            if any(one["objectives"] != "none" for one in made)
            else "",
            of_many(drawn, len(families), "cheapest").replace("rows", "loads"),
            f"Loads in {', '.join(sorted(shown(one or '') for one in others))} are not drawn." if others else "",
        ),
    )


def points(report: Report, naming: Naming, asked: Asked) -> list[Point]:
    """By family, the one with the cheapest level first; levels ascending, what met the objectives after the whole."""
    found: dict[str, list[Point]] = {}
    alike: Counter[str] = Counter()
    for family, entries in _families(report).items():
        made = [point for entry in entries for point in _points(entry, naming, asked)]
        if made:
            name = made[0]["curve"]
            alike[name] += 1
            # Loads of one model that differ in their lengths: the details are under the pointer.
            number = alike[name]
            found[family] = [point | {"curve": f"{name}, load {number}"} if number > 1 else point for point in made]
    kept = sorted(found.items(), key=lambda one: (min(point["usd_per_mtok"] for point in one[1]), one[0]))[:MOST]
    return [point | {"family": str(number + 1)} for number, (_, made) in enumerate(kept) for point in made]


def _loads(report: Report) -> list[Entry]:
    return [
        one
        for one in report.entries
        if one.is_believable and one.priced is not None and one.level is not None and one.family is not None
    ]


def unit_of(report: Report) -> str:
    """The unit that most levels are in: requests a second and users do not share an axis."""
    units = Counter(one.level_unit or "" for one in _loads(report))
    return min(units, key=lambda unit: (-units[unit], unit)) if units else ""


def _families(report: Report) -> dict[str, list[Entry]]:
    unit = unit_of(report)
    found: dict[str, list[Entry]] = {}
    for entry in sorted(_loads(report), key=lambda one: (one.level or 0.0, one.key)):
        if (entry.level_unit or "") == unit and len(found.setdefault(entry.family or "", [])) < MOST_LEVELS:
            found[entry.family or ""].append(entry)
    return found


def _points(entry: Entry, naming: Naming, asked: Asked) -> list[Point]:
    objectives = {True: "met", False: "missed", None: "none" if entry.slo is None else "undecided"}[entry.slo_met]
    base = naming.point(entry) | {"level": entry.level, "level_unit": entry.level_unit, "objectives": objectives}
    base["curve"] = naming.name(entry)
    made = [_dollars(base | {"kind": "row", "line": "all tokens"}, entry.priced, asked)]
    if entry.good is not None:
        made.append(_dollars(base | {"kind": "good", "line": "what met the objectives"}, entry.good, asked))
    return [one for one in made if one is not None]


def _dollars(point: Point, priced: Priced | None, asked: Asked) -> Point | None:
    usd = None if priced is None else usd_per_mtok(priced, asked)
    if usd is None:
        return None
    return point | {"usd_per_mtok": usd.value, "usd_per_mtok_low": usd.low, "usd_per_mtok_high": usd.high}


def _ticks(made: list[Point]) -> Spec:
    """At the levels themselves, where they are few."""
    levels = sorted({one["level"] for one in made})
    return {"values": levels} if len(levels) <= MOST_TICKS else {}


def _spec(made: list[Point], unit: str, naming: Naming) -> Spec:
    ends = ("usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high")
    dollars = [one[end] for one in made for end in ends if one[end] is not None]  # two replicates have wide intervals
    log, log_x = is_log(dollars), is_log([one["level"] for one in made])
    x = value("level", {**scale(log_x), "padding": 12}, axis(f"load, {shown(unit)}", False, **_ticks(made)))
    y = value("usd_per_mtok", scale(log), upright("USD per million tokens", log, DOLLARS))
    positive = "datum.usd_per_mtok > 0" if log else "true"
    both = {"field": "family", "type": "nominal"}
    curves = {one["curve"]: naming.colour(one["series"]) for one in made}
    stroke = curve_colour(curves, of_lines=False)
    dash = {
        "field": "line",
        "type": "nominal",
        "scale": {"domain": ["all tokens", "what met the objectives"], "range": [[1, 0], [5, 3]]},
        "legend": {"title": None, "columns": 2, "symbolType": "stroke"}
        if any(one["kind"] == "good" for one in made)
        else None,
    }
    filled = {"condition": {"test": "datum.objectives !== 'met' && datum.objectives !== 'none'", "value": SURFACE}}
    shape = curve_shape(curves)
    return whole(
        [
            {
                "transform": only(positive),
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"x": x, "y": y, "stroke": stroke, "strokeDash": dash, "detail": both},
            },
            {
                "transform": only(
                    f"datum.kind === 'row' && {positive} && isValid(datum.usd_per_mtok_low)"
                    " && isValid(datum.usd_per_mtok_high)"
                ),
                "mark": {"type": "rule", "color": MUTED},
                "encoding": {"x": x, "y": {**y, "field": "usd_per_mtok_low"}, "y2": {"field": "usd_per_mtok_high"}},
            },
            {
                "transform": only(positive),
                "mark": {"type": "point", "filled": True, "strokeWidth": 2, "opacity": 1, "size": 75},
                "encoding": {"x": x, "y": y, "stroke": stroke, "fill": filled | stroke, "shape": shape}
                | {
                    "tooltip": row_tips(
                        ("level", "level", ".4~g"), ("line", "counted"), *DOLLAR_TIPS, ("objectives", "objectives")
                    )
                },
            },
        ],
        320,
    )
