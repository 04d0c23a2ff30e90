"""How times spread over requests or batches: time to the first token, and time of each token after it."""

from bench.entries.entry import Distribution, Entry, Report
from bench.entries.mixed import usd_per_mtok
from bench.entries.priced import Asked
from bench.page.charts.chart import Chart, Point
from bench.page.charts.look import (
    NUMBER,
    SURFACE,
    Spec,
    axis,
    curve_colour,
    curve_dash,
    is_log,
    only,
    row_tips,
    scale,
    tips,
    upright,
    value,
    whole,
)
from bench.page.charts.naming import Naming, counted, identity, of_many, sentences, shown

MOST = 8
FEW = 20
"""Up to so many samples, each of them is a mark."""
MARKED = (50.0, 99.0)
TITLES = {"ttft_s": "Time to the first token", "tpot_s": "Time of each further token"}
COLUMNS = ("kind", "label", "detail", "time_s", "share", "n", "verdict", "key")


def chart(report: Report, naming: Naming, figure: str) -> Chart | None:
    """`figure`: "ttft_s" or "tpot_s". None where no samples were kept."""
    rows = [one for one in report.entries if one.is_believable and _values(one, figure)]
    if not rows:
        return None
    drawn = chosen(rows, figure)
    made = [point for entry in drawn for point in _points(entry, naming, figure)]
    middles = [one for one in made if one["kind"] == "p50"]
    told = "; ".join(f"{one['curve']} {one['time_s']:.3g} s" for one in middles)
    return Chart(
        figure.removesuffix("_s"),
        TITLES[figure],
        f"Distributions of {counted(len(drawn), 'row')}." + (f" Medians: {told}." if told else ""),
        _spec(made, figure, naming),
        made,
        COLUMNS,
        caption=sentences(
            f"Share of samples that took at most so long; each is a mark where there are {FEW} or fewer.",
            "Diamonds: p50 and p99, where there are enough samples for them."
            if any(one["kind"] in ("p50", "p99") for one in made)
            else "",
            of_many(len(drawn), len(rows), "that stand for most (the cheapest of each model and precision first)"),
        ),
    )


def _values(entry: Entry, figure: str) -> tuple[float, ...]:
    found = entry.distributions.get(figure)
    return () if found is None else found.values_s


def chosen(rows: list[Entry], figure: str) -> list[Entry]:
    """At most `MOST`: of each group the cheapest (without dollars: the fastest) first, then the next of each."""
    if len(rows) <= MOST:
        return rows
    groups: dict[tuple[str, ...], list[tuple[int, float, str, Entry]]] = {}
    for entry in rows:
        usd = None if entry.priced is None else usd_per_mtok(entry.priced, Asked())
        values = _values(entry, figure)
        rank = (1, values[len(values) // 2]) if usd is None else (0, usd.value)
        groups.setdefault(identity(entry), []).append((*rank, entry.key, entry))
    turns = [
        (turn, *one) for members in groups.values() for turn, one in enumerate(sorted(members, key=lambda one: one[:3]))
    ]
    return [one[4] for one in sorted(turns, key=lambda one: one[:4])[:MOST]]


def _points(entry: Entry, naming: Naming, figure: str) -> list[Point]:
    of = entry.distributions[figure]
    base = naming.point(entry)
    base |= {"curve": shown(f"{naming.name(entry)}, {base['detail']}"), "n": of.n}
    count = len(of.values_s)
    # A distribution has one share for each value, so the curve passes through the middles of the steps.
    curve = [
        {**base, "kind": "few" if of.n <= FEW else "curve", "time_s": time_s, "share": (place + 0.5) / count}
        for place, time_s in enumerate(of.values_s)
    ]
    return curve + [{**base, "kind": f"p{which:g}", "time_s": at, "share": which / 100} for which, at in _marks(of)]


def _marks(of: Distribution) -> list[tuple[float, float]]:
    """The percentiles that are known; where samples are too few there is a text instead."""
    known = [(float(name), at) for name, at in of.percentiles.items() if not isinstance(at, str)]
    return [(which, at) for which, at in known if which in MARKED]


def _spec(made: list[Point], figure: str, naming: Naming) -> Spec:
    log = is_log([one["time_s"] for one in made])
    largest = max(one["time_s"] for one in made)
    words = NUMBER if largest >= 1 else NUMBER.replace("datum.value", "(datum.value * 1000)")
    unit = "seconds" if largest >= 1 else "milliseconds"
    curves = {one["curve"]: naming.colour(one["series"]) for one in made}
    x_scale = scale(log) if log else {"type": "linear", "zero": False, "nice": True}
    x = value("time_s", x_scale, axis(f"{TITLES[figure].lower()}, {unit}", log, words))
    y = value("share", {"domain": [0, 1]}, upright("share of samples", False, "format(datum.value, '.0%')"))
    stroke = curve_colour(curves)
    few = only("datum.kind === 'few'")
    tooltip = tips(("curve", "row"), ("share", "share", ".1%"), ("time_s", "seconds", ".4~g"), ("n", "samples", ","))
    percentile = row_tips(("kind", "percentile"), ("time_s", "seconds", ".4~g"), ("n", "samples", ","))
    return whole(
        [
            {
                "transform": only("datum.kind === 'few' || datum.kind === 'curve'"),
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "y": y,
                    "stroke": stroke,
                    "strokeDash": curve_dash(curves),
                    "detail": {"field": "key"},
                }
                | {"order": {"field": "share", "type": "quantitative"}},
            },
            {
                "transform": few,
                "mark": {"type": "point", "size": 8, "strokeWidth": 4, "opacity": 1},
                "encoding": {"x": x, "y": y, "stroke": stroke, "tooltip": tooltip},
            },
            {
                "transform": only("datum.kind === 'p50' || datum.kind === 'p99'"),
                "mark": {
                    "type": "point",
                    "shape": "diamond",
                    "size": 100,
                    "fill": SURFACE,
                    "strokeWidth": 2.25,
                    "opacity": 1,
                },
                "encoding": {"x": x, "y": y, "stroke": stroke, "tooltip": percentile},
            },
        ],
        300,
    )
