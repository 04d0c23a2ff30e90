"""How near to its physical limit each row decodes."""

from collections import Counter

from bench.entries.entry import Entry, Report
from bench.page.charts.chart import Chart, Point
from bench.page.charts.look import MUTED, Spec, is_log, marks, only, row_tips, scale, upright, value, whole
from bench.page.charts.naming import MOST_SERIES, Naming, counted, of_many, sentences

ID = "roofline"
MOST = 30
FIELD = "decode_tokens_per_s"
COLUMNS = (
    *("label", "detail", "batch_size", FIELD, f"{FIELD}_low", f"{FIELD}_high", "limit_tokens_per_s"),
    *("share_of_limit", "limited_by", "verdict", "key"),
)


def chart(report: Report, naming: Naming) -> Chart | None:
    """None where no row has a limit."""
    rows = [one for one in report.entries if _limit(one) is not None]
    if not rows:
        return None
    made = [_point(one, naming) for one in _kept(rows, naming)]
    beside: Counter[int] = Counter()
    for one in made:
        one["slot"] = beside[one["batch_size"]]
        beside[one["batch_size"]] += 1
    best = max(made, key=lambda one: float(one["share_of_limit"]))
    least = min(made, key=lambda one: float(one["share_of_limit"]))
    return Chart(
        ID,
        "Decode rate against the physical limit",
        f"{counted(len(made), 'row')}: from {least['share_of_limit']:.0%} of the device's limit ({least['label']}, "
        f"{least['detail']}) to {best['share_of_limit']:.0%} ({best['label']}, {best['detail']}).",
        _spec(made, naming),
        made,
        COLUMNS,
        caption=sentences(
            "The bar above each mark is the rate at which this device's memory and arithmetic would end; the number is "
            "the share of it that was reached.",
            of_many(len(made), len(rows), "nearest to their limit of the largest groups, out"),
        ),
    )


def _limit(entry: Entry) -> float | None:
    """The limit of a row that has a rate to hold against it."""
    if not entry.is_believable or entry.batch_size is None or FIELD not in entry.figures or entry.limits is None:
        return None
    return entry.limits.floor_tokens_per_s or None


def _kept(rows: list[Entry], naming: Naming) -> list[Entry]:
    """Of at most `MOST_SERIES` groups, those with the most rows first, the rows that come nearest to their limit; in
    the order of the report."""
    sizes = Counter(naming.group(one) for one in rows)
    groups = {name for name, _ in sizes.most_common(MOST_SERIES)}
    ranked = sorted((one for one in rows if naming.group(one) in groups), key=lambda one: (-_share(one), one.key))
    kept = {id(one) for one in ranked[:MOST]}
    return [one for one in rows if id(one) in kept]


def _share(entry: Entry) -> float:
    limit = _limit(entry)
    return entry.figures[FIELD].value / limit if limit else 0.0


def _point(entry: Entry, naming: Naming) -> Point:
    rate, limits = entry.figures[FIELD], entry.limits
    assert limits is not None
    return {
        **naming.point(entry),
        "batch_size": entry.batch_size,
        FIELD: rate.value,
        f"{FIELD}_low": rate.low,
        f"{FIELD}_high": rate.high,
        "limit_tokens_per_s": limits.floor_tokens_per_s,
        "share_of_limit": _share(entry),
        "limited_by": limits.decode_limit,
    }


def _spec(made: list[Point], naming: Naming) -> Spec:
    both = [one[FIELD] for one in made] + [one["limit_tokens_per_s"] for one in made]
    log = is_log(both)
    y_scale = scale(log, domainMin=min(both) * 0.8) if log else scale(log)
    # Room above the highest limit for its number.
    y_scale |= {"domainMax": max(both) * ((max(both) / min(both)) ** 0.14 if log else 1.16), "nice": False}
    x = {"field": "batch_size", "type": "ordinal", "axis": {"title": "batch size", "labelAngle": 0, "grid": False}}
    x["scale"] = {"paddingInner": 0.15, "paddingOuter": 0.1}
    aside = {"field": "slot", "type": "ordinal", "sort": "ascending"}
    y = value(FIELD, y_scale, upright("decoded tokens per second", log))
    limit = {**y, "field": "limit_tokens_per_s"}
    tooltip = row_tips(
        (FIELD, "decode, tokens/s", ".4~g"),
        (f"{FIELD}_low", "low end", ".4~g"),
        (f"{FIELD}_high", "high end", ".4~g"),
        ("limit_tokens_per_s", "limit, tokens/s", ".4~g"),
        ("share_of_limit", "share reached", ".1%"),
        ("limited_by", "limited by"),
    )
    across: Spec = {"x": x, "xOffset": aside}
    share = {"field": "share_of_limit", "type": "quantitative", "format": ".0%"}
    return whole(
        [
            {
                "mark": {"type": "rule", "color": MUTED, "strokeDash": [1, 3]},
                "encoding": {**across, "y": y, "y2": {"field": "limit_tokens_per_s"}},
            },
            {
                "mark": {"type": "tick", "thickness": 3, "size": 13, "color": MUTED, "orient": "horizontal"},
                "encoding": {**across, "y": limit, "tooltip": tooltip},
            },
            {
                "transform": only(f"isValid(datum.{FIELD}_low) && isValid(datum.{FIELD}_high)"),
                "mark": {"type": "rule", "color": MUTED, "strokeWidth": 2},
                "encoding": {**across, "y": {**y, "field": f"{FIELD}_low"}, "y2": {"field": f"{FIELD}_high"}},
            },
            marks(naming.series, tooltip, {**across, "y": y}),
            {
                "mark": {"type": "text", "angle": 270, "align": "left", "baseline": "middle", "dx": 5, "fontSize": 11},
                "encoding": {**across, "y": limit, "text": share},
            },
        ],
        340,
    )
