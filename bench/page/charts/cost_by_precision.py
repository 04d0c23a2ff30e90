"""What a million tokens cost, row by row, beside what APIs ask for the same tokens."""

from bench.entries.entry import Entry, Report
from bench.entries.mixed import api_usd_per_mtok, cheapest, usd_per_mtok
from bench.entries.priced import Asked, Priced
from bench.metrics.statistics import Estimate
from bench.page.charts.chart import Chart, Point
from bench.page.charts.lines import MOST, STEP, Line, across, interval, lines, names, y
from bench.page.charts.look import (
    DOLLAR_TIPS,
    DOLLARS,
    INK,
    Spec,
    axis,
    halo,
    is_log,
    marks,
    only,
    row_tips,
    scale,
    tips,
    value,
    whole,
)
from bench.page.charts.naming import Naming, counted, of_many, sentences, shown

ID = "cost-by-precision"
MOST_APIS = 6
COLUMNS = (
    *("kind", "label", "detail", "usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high"),
    *("chosen", "verdict", "key"),
)


def chart(report: Report, naming: Naming, asked: Asked, api: str | None) -> Chart | None:
    """None where no row has dollars."""
    made = points(report, naming, asked, api)
    rows = [one for one in made if one["kind"] == "row"]
    if not rows:
        return None
    count = sum(1 for entry in report.entries if entry.is_believable and _usd(entry, asked) is not None)
    best = min(rows, key=lambda one: float(one["usd_per_mtok"]))
    dearest = max(rows, key=lambda one: float(one["usd_per_mtok"]))
    return Chart(
        ID,
        "Dollars per million tokens",
        f"{counted(len(rows), 'row')} with 95\u00a0% intervals: from ${best['usd_per_mtok']:.3g} per million tokens "
        f"({_name(best)}) to ${dearest['usd_per_mtok']:.3g} ({_name(dearest)}){_apis_in_words(made)}",
        _spec(made, naming),
        made,
        COLUMNS,
        True,
        sentences(
            "Rules are 95\u00a0% intervals, vertical lines what APIs ask for the same tokens.",
            "Hollow: the verdict has doubts." if any(one["doubtful"] for one in rows) else "",
            of_many(len(rows), count, "cheapest"),
        ),
    )


def _name(point: Point) -> str:
    return f"{point['label']}, {point['detail']}"


def points(report: Report, naming: Naming, asked: Asked, api: str | None) -> list[Point]:
    """APIs first, the cheapest of them on top, then the rows by group."""
    priced = {
        id(entry): usd for entry in report.entries if entry.is_believable and (usd := _usd(entry, asked)) is not None
    }
    found = [(entry, priced[id(entry)].value) for entry in report.entries if id(entry) in priced]
    drawn = sorted(found, key=lambda one: (one[1], one[0].key))[:MOST]
    asks = _asks([entry for entry, _ in drawn], asked, api)
    made = lines(found, naming, len(asks))
    end = made[-1].order if made else 0
    above = [point for lane, name in enumerate(asks) for point in _of_api(name, lane, end, asks[name], made)]
    default = api if api in asks else _cheapest(drawn, asked)
    rows = [_of_row(line, priced[id(line.entry)], naming) for line in made]
    return [{**one, "chosen": one["api"] == default} for one in above] + rows


def _usd(entry: Entry, asked: Asked) -> Estimate | None:
    return None if entry.priced is None else usd_per_mtok(entry.priced, asked)


def _cheapest(drawn: list[tuple[Entry, float]], asked: Asked) -> str | None:
    """The API that the cheapest row is compared with."""
    found = cheapest(drawn[0][0].priced, asked) if drawn and drawn[0][0].priced is not None else None
    return None if found is None else found.api


def _asks(drawn: list[Entry], asked: Asked, api: str | None) -> dict[str, dict[str, float]]:
    """API → key of the row → $/Mtok for its tokens: the chosen one and the cheapest, ascending."""
    found: dict[str, dict[str, float]] = {}
    for entry in drawn:
        for one in _priced(entry).apis:
            usd = api_usd_per_mtok(_priced(entry), one, asked)
            if usd is not None:
                found.setdefault(one.api, {})[entry.key] = usd
    lowest = sorted(found, key=lambda name: (name != api, min(found[name].values()), name))[:MOST_APIS]
    return {name: found[name] for name in sorted(lowest, key=lambda name: (min(found[name].values()), name))}


def _priced(entry: Entry) -> Priced:
    assert entry.priced is not None
    return entry.priced


def _of_api(name: str, lane: int, end: int, asks: dict[str, float], made: list[Line]) -> list[Point]:
    """One line through all rows where the price is the same for all, else a tick in each row's line."""
    low, high = min(asks.values()), max(asks.values())
    same = high - low <= 1e-9 * high and len(asks) == len(made)
    point: Point = {
        "kind": "api",
        "api": name,
        "label": shown(name),
        "order": lane,
        "order_end": end if same else lane,
        "usd_per_mtok": low,
        "usd_per_mtok_low": None if same else low,
        "usd_per_mtok_high": None if same else high,
    }
    if same:
        return [point]
    ticks = [
        {**point, "kind": "api for a row", "key": line.entry.key, "order": line.order, "order_end": line.order}
        | {"usd_per_mtok": asks[line.entry.key], "usd_per_mtok_low": None, "usd_per_mtok_high": None}
        for line in made
        if line.entry.key in asks
    ]
    return [point, *ticks]


def _of_row(line: Line, usd: Estimate, naming: Naming) -> Point:
    return {
        **naming.point(line.entry),
        "order": line.order,
        "head": line.head,
        "head_order": line.head_order,
        "usd_per_mtok": usd.value,
        "usd_per_mtok_low": usd.low,
        "usd_per_mtok_high": usd.high,
    }


def _apis_in_words(made: list[Point]) -> str:
    asks = [f"{one['label']} ${one['usd_per_mtok']:.3g}" for one in made if one["kind"] == "api"]
    return f"; APIs for the same tokens: {', '.join(asks)}." if asks else "."


def _spec(made: list[Point], naming: Naming) -> Spec:
    log = is_log([one["usd_per_mtok"] for one in made])
    x_scale, x_axis = across(**scale(log)), axis("USD per million tokens", log, DOLLARS, orient="top")
    x = value("usd_per_mtok", x_scale, x_axis)
    asks = "indexof(datum.kind, 'api') === 0" + (" && datum.usd_per_mtok > 0" if log else "")
    rows = "datum.kind === 'row'" + (" && datum.usd_per_mtok > 0" if log else "")
    heavy = {"condition": {"test": "datum.chosen", "value": 2.5}, "value": 1.25}
    # The label stands on the side that has more room: there are no names left of it.
    at = "scale('x', datum.usd_per_mtok)"
    right = f"{at} > width / 2"
    label = {
        "align": {"expr": f"{right} ? 'right' : 'left'"},
        "dx": {"expr": f"{right} ? -6 : 6"},
        "baseline": "middle",
        "limit": {"expr": f"max({at}, width - {at}) - 10"},
    }
    priced = [*only(f"datum.kind === 'api' && {asks}"), {"calculate": _LABEL, "as": "words"}]
    api_y = {"y": y(bandPosition=0), "y2": {"field": "order_end", "bandPosition": 1}}
    return whole(
        [
            *names(),
            {
                "transform": only(asks),
                "mark": {"type": "rule", "strokeDash": [5, 3], "color": INK, "opacity": 1},
                "encoding": {"x": x, "strokeWidth": heavy, "tooltip": _API_TIPS, **api_y},
            },
            {
                "transform": only(f"{asks} && isValid(datum.usd_per_mtok_low)"),
                "mark": {"type": "rule", "color": INK},
                "encoding": {"x": value("usd_per_mtok_low", x_scale, x_axis), "x2": {"field": "usd_per_mtok_high"}}
                | {"y": y()},
            },
            *halo(label, {"x": x, "y": y(), "text": {"field": "words", "type": "nominal"}}, priced),
            interval("usd_per_mtok_low", "usd_per_mtok_high", x_scale, x_axis),
            {"transform": only(rows)} | marks(naming.series, row_tips(*DOLLAR_TIPS), {"x": x, "y": y()}, legend=False),
        ],
        STEP * (1 + max(one["order"] for one in made)),
    )


_LABEL = (
    "'$' + format(datum.usd_per_mtok, '.3~g')"
    " + (isValid(datum.usd_per_mtok_high) ? '–$' + format(datum.usd_per_mtok_high, '.3~g') : '') + '  ' + datum.label"
)
_API_TIPS = tips(("label", "API"), ("usd_per_mtok", "$/Mtok for the same tokens", ".3~g"))
