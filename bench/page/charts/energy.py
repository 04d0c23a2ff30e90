"""How many joules an output token takes, row by row."""

from bench.entries.entry import Report
from bench.page.charts.chart import Chart
from bench.page.charts.lines import across, height, interval, lines, names, y
from bench.page.charts.look import axis, is_log, marks, row_tips, scale, value, whole
from bench.page.charts.naming import Naming, counted, of_many, sentences

ID = "energy"
FIELD = "energy_j_per_output_token"
LOW, HIGH = f"{FIELD}_low", f"{FIELD}_high"


def chart(report: Report, naming: Naming) -> Chart | None:
    """None where no joules were counted."""
    found = [(one, one.figures[FIELD].value) for one in report.entries if one.is_believable and FIELD in one.figures]
    if not found:
        return None
    made_lines = lines(found, naming)
    made = [
        {**naming.point(line.entry), "order": line.order, "head": line.head, "head_order": line.head_order}
        | {FIELD: line.value, LOW: line.entry.figures[FIELD].low, HIGH: line.entry.figures[FIELD].high}
        for line in made_lines
    ]
    ends = [one[field] for one in made for field in (FIELD, LOW, HIGH) if one[field] is not None]
    log = is_log(ends)
    x_scale, x_axis = across(**scale(log)), axis("joules per output token", log, orient="top")
    x = value(FIELD, x_scale, x_axis)
    tooltip = row_tips((FIELD, "J/token", ".3~g"), (LOW, "low end", ".3~g"), (HIGH, "high end", ".3~g"))
    least, most = (of(made, key=lambda one: float(one[FIELD])) for of in (min, max))
    return Chart(
        ID,
        "Energy of an output token",
        f"{counted(len(made), 'row')}: from {least[FIELD]:.3g} J ({least['label']}, {least['detail']}) "
        f"to {most[FIELD]:.3g} J ({most['label']}, {most['detail']}).",
        whole(
            [
                *names(),
                interval(LOW, HIGH, x_scale, x_axis),
                marks(naming.series, tooltip, {"x": x, "y": y()}, legend=False),
            ],
            height(made_lines),
        ),
        made,
        ("label", "detail", FIELD, LOW, HIGH, "verdict", "key"),
        caption=sentences("Rules are 95\u00a0% intervals.", of_many(len(made), len(found), "most frugal")),
    )
