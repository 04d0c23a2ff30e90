"""From how busy a machine on it is cheaper than an API."""

from bench.entries.entry import Entry, Report
from bench.entries.mixed import api_usd_per_mtok, break_even, cheapest, usd_per_mtok
from bench.entries.priced import ApiPrice, Asked, Priced
from bench.page.charts.chart import Chart, Point
from bench.page.charts.front import shares
from bench.page.charts.look import (
    DOLLAR_TIPS,
    DOLLARS,
    INK,
    MUTED,
    SURFACE,
    Spec,
    axis,
    halo,
    is_log,
    only,
    row_tips,
    scale,
    series_colour,
    series_dash,
    tips,
    upright,
    value,
    whole,
)
from bench.page.charts.naming import Naming, identity, of_many, sentences, shown

ID = "break-even"
MOST = 6
MOST_APIS = 6
NEAR = 0.055
"""Share of the vertical axis that a name takes."""
UTILISATIONS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
COLUMNS = (
    *("kind", "label", "detail", "api", "utilisation", "utilisation_low", "utilisation_high"),
    *("usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high", "verdict", "key"),
)


def chart(report: Report, naming: Naming, asked: Asked, api: str | None) -> Chart | None:
    """None where no row has dollars, or no API stands beside them."""
    made = points(report, naming, asked, api)
    if not {"row", "api"} <= {one["kind"] for one in made}:
        return None
    groups = {identity(one) for one in report.entries if one.is_believable and one.priced is not None}
    rows = len({one["key"] for one in made if one["kind"] == "row"})
    return Chart(
        ID,
        "Break-even over utilisation",
        _in_words(made),
        _spec(made, naming),
        made,
        COLUMNS,
        True,
        sentences(
            "Bands are 95\u00a0% intervals. Dashed: what APIs ask for the same tokens.",
            "A mark: from there on the machine is cheaper.",
            "One line for the cheapest row of each model and precision."
            if rows == len(groups)
            else of_many(rows, len(groups), "cheapest, one a group,").replace("rows", "groups"),
            _details(made),
        ),
    )


def _details(made: list[Point]) -> str:
    """At which batch or load the lines are, once for all where they agree."""
    found = {one["key"]: (one["curve"], one["detail"]) for one in made if one["kind"] == "row"}
    details = {detail for _, detail in found.values()}
    said = next(iter(details)) if len(details) == 1 else "; ".join(f"{name}: {at}" for name, at in found.values())
    return f"At the report's own prices: {said}."


def points(report: Report, naming: Naming, asked: Asked, api: str | None) -> list[Point]:
    """Lines of rows, APIs, and where they meet."""
    best = _best(report, asked)
    lines = [point for entry in best for point in _line(entry, naming, asked)]
    apis = _apis(best, asked, api)
    _label(lines, apis)
    return lines + apis + [one for entry in best for one in _meeting(entry, naming, asked, api)]


def _best(report: Report, asked: Asked) -> list[Entry]:
    """The cheapest row of each group, the cheapest first."""
    found: dict[tuple[str, ...], tuple[float, str, Entry]] = {}
    for entry in report.entries:
        usd = usd_per_mtok(entry.priced, asked) if entry.is_believable and entry.priced is not None else None
        if usd is None:
            continue
        one = (usd.value, entry.key, entry)
        if identity(entry) not in found or one[:2] < found[identity(entry)][:2]:
            found[identity(entry)] = one
    return [entry for _, _, entry in sorted(found.values(), key=lambda one: one[:2])[:MOST]]


def _line(entry: Entry, naming: Naming, asked: Asked) -> list[Point]:
    made = []
    for utilisation in UTILISATIONS:
        usd = usd_per_mtok(_priced(entry), Asked(asked.usd_per_hour, utilisation, asked.mix))
        if usd is not None:
            ends = {"usd_per_mtok_low": usd.low, "usd_per_mtok_high": usd.high}
            made.append(_point(entry, naming) | {"utilisation": utilisation, "usd_per_mtok": usd.value, **ends})
    return made


def _point(entry: Entry, naming: Naming) -> Point:
    return naming.point(entry) | {"curve": naming.name(entry)}


def _priced(entry: Entry) -> Priced:
    assert entry.priced is not None
    return entry.priced


def _apis(best: list[Entry], asked: Asked, api: str | None) -> list[Point]:
    """One line for each API; where rows differ in their tokens, its price for those of the cheapest row that has it."""
    found: dict[str, float] = {}
    for entry in best:
        for one in _priced(entry).apis:
            usd = api_usd_per_mtok(_priced(entry), one, asked)
            if usd is not None:
                found.setdefault(one.api, usd)
    kept = sorted(found, key=lambda name: (name != api, found[name], name))[:MOST_APIS]
    return [
        {"kind": "api", "api": name, "label": shown(name), "usd_per_mtok": found[name], "chosen": name == api}
        for name in sorted(kept, key=lambda name: (found[name], name))
    ]


def _label(lines: list[Point], apis: list[Point]) -> None:
    """On which side an API's name stands; on neither, where two others are already as near as its own height."""
    values = [one["usd_per_mtok"] for one in (*lines, *apis)]
    places = shares(values, is_log(values)) if values else []
    taken: dict[str, list[float]] = {"right": [], "left": []}
    for one, place in zip(apis, places[len(lines) :], strict=True):
        free = [side for side, others in taken.items() if all(abs(place - other) >= NEAR for other in others)]
        one["side"] = free[0] if free else ""
        if free:
            taken[free[0]].append(place)


def _meeting(entry: Entry, naming: Naming, asked: Asked, api: str | None) -> list[Point]:
    """Where the row's line meets the chosen API, or the cheapest; nothing where it never does."""
    priced = _priced(entry)
    against = _against(priced, asked, api)
    found = None if against is None else break_even(priced, against, asked)
    usd = None if against is None else api_usd_per_mtok(priced, against, asked)
    if against is None or found is None or usd is None or not UTILISATIONS[0] <= found.value <= 1:
        return []
    high = None if found.high is None else min(found.high, 1.0)
    low = None if found.low is None else max(found.low, UTILISATIONS[0])
    ends = {"utilisation": found.value, "utilisation_low": low, "utilisation_high": high, "usd_per_mtok": usd}
    return [{**_point(entry, naming), "kind": "break-even", "api": shown(against.api), **ends}]


def _against(priced: Priced, asked: Asked, api: str | None) -> ApiPrice | None:
    return cheapest(priced, asked) if api is None else next((one for one in priced.apis if one.api == api), None)


def _in_words(made: list[Point]) -> str:
    met = [one for one in made if one["kind"] == "break-even"]
    told = [f"{one['curve']}, {one['detail']} from {one['utilisation']:.2%} on against {one['api']}" for one in met]
    apis = [f"{one['label']} ${one['usd_per_mtok']:.3g}" for one in made if one["kind"] == "api"]
    first = (
        f"Cheaper than the API: {'; '.join(told)}." if told else "No row is cheaper than the API at any utilisation."
    )
    return f"{first} APIs: {', '.join(apis)}."


def _spec(made: list[Point], naming: Naming) -> Spec:
    log = is_log([one["usd_per_mtok"] for one in made])
    x_scale = {"type": "log", "domain": [UTILISATIONS[0], 1], "nice": False}
    percent = axis("utilisation", False, "format(datum.value, '~%')", values=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    x = value("utilisation", x_scale, percent)
    y = value("usd_per_mtok", scale(log), upright("USD per million tokens", log, DOLLARS))
    row, api, met = (f"datum.kind === '{kind}' && datum.usd_per_mtok > 0" for kind in ("row", "api", "break-even"))
    line_colour = series_colour(naming.series, of_lines=True)
    # Vega-Lite merges legends of one domain: the bands' has a name more, so that only the lines have a legend.
    band_colour = series_colour([*naming.series, ""], legend=False)
    # Where a colour is a precision of many models, dashes tell the lines apart.
    dash = series_dash(None if naming.by_precision else naming.series)
    detail = {"field": "key", "type": "nominal"}
    band = {"y": {**y, "field": "usd_per_mtok_low"}, "y2": {"field": "usd_per_mtok_high"}}
    ends = {"x": {**x, "field": "utilisation_low"}, "x2": {"field": "utilisation_high"}, "y": y}
    heavy = {"condition": {"test": "datum.chosen", "value": 2.5}, "value": 1.25}
    name = {
        "baseline": "bottom",
        "dy": -3,
        "color": INK,
        "limit": {"expr": "width * (datum.side === 'right' ? 0.56 : 0.42)"},
        "align": {"expr": "datum.side"},
        "x": {"expr": "datum.side === 'right' ? width - 2 : 2"},
    }
    text = "'$' + format(datum.usd_per_mtok, '.3~g') + '  ' + datum.label"
    words = [*only(f"{api} && datum.side !== ''"), {"calculate": text, "as": "words"}]
    shape = {"type": "point", "shape": "diamond", "size": 110, "strokeWidth": 2.25, "opacity": 1}
    shape |= {"fill": SURFACE, "stroke": INK}
    return whole(
        [
            {
                "transform": only(f"{row} && isValid(datum.usd_per_mtok_low) && isValid(datum.usd_per_mtok_high)"),
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {"x": x, "detail": detail, "fill": band_colour, **band},
            },
            {
                "transform": only(row),
                "mark": {"type": "line", "strokeWidth": 2.25},
                "encoding": {"x": x, "y": y, "detail": detail, "stroke": line_colour, "strokeDash": dash}
                | {"tooltip": row_tips(("utilisation", "utilisation", ".3~p"), *DOLLAR_TIPS)},
            },
            {
                "transform": only(api),
                "mark": {"type": "rule", "strokeDash": [5, 3], "color": INK},
                "encoding": {"y": y, "strokeWidth": heavy}
                | {"tooltip": tips(("label", "API"), ("usd_per_mtok", "$/Mtok for the same tokens", ".3~g"))},
            },
            *halo(name, {"y": y, "text": {"field": "words", "type": "nominal"}}, words),
            {
                "transform": only(f"{met} && isValid(datum.utilisation_low) && isValid(datum.utilisation_high)"),
                "mark": {"type": "rule", "strokeWidth": 4, "color": MUTED},
                "encoding": ends,
            },
            {
                "transform": only(met),
                "mark": shape,
                "encoding": {"x": x, "y": y}
                | {
                    "tooltip": row_tips(
                        ("api", "cheaper than"),
                        ("utilisation", "from a utilisation of", ".3~p"),
                        ("utilisation_low", "low end", ".3~p"),
                        ("utilisation_high", "high end", ".3~p"),
                    )
                },
            },
        ],
        340,
    )
