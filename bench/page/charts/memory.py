"""What fills the memory, row by row."""

from bench.entries.entry import Entry, Report
from bench.page.charts.chart import Chart, Point
from bench.page.charts.lines import STEP, height, lines, names, y
from bench.page.charts.look import INK, LEFT, PALETTE, Spec, axis, only, row_tips, whole
from bench.page.charts.naming import Naming, counted, of_many, sentences

ID = "memory"
PARTS = (("weights", "weights_bytes"), ("KV cache", "kv_cache_bytes"), ("the rest", "other_bytes"))
COLUMNS = ("label", "detail", "part", "part_bytes", "from_bytes", "to_bytes", "peak_bytes", "verdict", "key")


def chart(report: Report, naming: Naming) -> Chart | None:
    """None where no row has a part of its memory known."""
    found = [(one, float(_size(one))) for one in report.entries if one.is_believable and _size(one)]
    if not found:
        return None
    made_lines = lines(found, naming)
    made: list[Point] = []
    for line in made_lines:
        base = naming.point(line.entry) | {"order": line.order, "head": None, "head_order": None}
        parts = _parts(line.entry, base)
        parts[0] |= {"head": line.head, "head_order": line.head_order}
        made += parts
    least, most = (of(made, key=lambda one: float(one["size_bytes"])) for of in (min, max))
    return Chart(
        ID,
        "Memory by part",
        f"{counted(len(made_lines), 'row')}: from {_gb(least)} ({least['label']}, {least['detail']}) to {_gb(most)} "
        f"({most['label']}, {most['detail']}).",
        _spec(height(made_lines)),
        made,
        COLUMNS,
        caption=sentences(
            "The number is the peak: what is needed to run the row at all.",
            of_many(len(made_lines), len(found), "smallest"),
        ),
    )


def _gb(point: Point) -> str:
    return f"{point['size_bytes'] / 1e9:.3g} GB"


def _size(entry: Entry) -> int:
    """The peak, else the sum of the parts."""
    of = entry.memory
    if of is None:
        return 0
    return of.peak_bytes or sum(getattr(of, field) or 0 for _, field in PARTS)


def _parts(entry: Entry, base: Point) -> list[Point]:
    """Parts from the left, each beginning where the one before ends; a row without parts is its peak."""
    assert entry.memory is not None
    made, start = [], 0
    for number, (name, field) in enumerate(PARTS):
        size = getattr(entry.memory, field)
        if size:
            ends = {"part_bytes": size, "from_bytes": start, "to_bytes": start + size}
            made.append({**base, "part": name, "part_order": number, **ends})
            start += size
    whole_size = _size(entry)
    if not made:
        ends = {"part_bytes": whole_size, "from_bytes": 0, "to_bytes": whole_size}
        made.append({**base, "part": "not told apart", "part_order": len(PARTS), **ends})
    for one in made:
        one |= {"peak_bytes": entry.memory.peak_bytes, "size_bytes": whole_size, "last": False}
    made[-1]["last"] = True
    return made


def _spec(tall: int) -> Spec:
    gigabytes = "format(datum.value / 1e9, '.3~g')"
    x_scale: Spec = {"range": [LEFT, {"expr": "width - 70"}], "zero": True, "nice": False}
    x_axis = axis("GB", False, gigabytes, orient="top")
    x = {"field": "from_bytes", "type": "quantitative", "scale": x_scale, "axis": x_axis}
    named = [name for name, _ in PARTS] + ["not told apart"]
    fill = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": named[:3], "range": PALETTE[:3]},
        "legend": {"title": None, "orient": "bottom", "columns": 3, "symbolType": "square"},
    }
    tooltip = row_tips(("part", "part"), ("part_bytes", "bytes", ",.4~s"), ("peak_bytes", "peak, bytes", ",.4~s"))
    text = {"type": "text", "baseline": "middle", "align": "left", "dx": 6, "color": INK}
    last = [*only("datum.last"), {"calculate": "format(datum.size_bytes / 1e9, '.3~g') + ' GB'", "as": "words"}]
    at_end = {"x": {**x, "field": "size_bytes"}, "y": y(), "text": {"field": "words", "type": "nominal"}}
    tick = {"type": "tick", "thickness": 2.5, "size": STEP - 4, "color": INK, "orient": "vertical"}
    return whole(
        [
            *names(),
            {
                "mark": {"type": "bar", "height": {"band": 0.68}, "opacity": 1},
                "encoding": {"y": y(), "x": x, "x2": {"field": "to_bytes"}, "fill": fill, "tooltip": tooltip},
            },
            {
                "transform": only("datum.last && isValid(datum.peak_bytes)"),
                "mark": tick,
                "encoding": {"y": y(), "x": {**x, "field": "peak_bytes"}, "tooltip": tooltip},
            },
            {"transform": last, "mark": text, "encoding": at_end},
        ],
        tall,
    )
