"""Which rows nothing beats: cheaper, and faster for each user."""

from bench.entries.entry import Report
from bench.entries.mixed import usd_per_mtok
from bench.entries.priced import Asked
from bench.page.charts.chart import Chart
from bench.page.charts.front import Ends
from bench.page.charts.fronts import Seen, best_in_words, layers, points
from bench.page.charts.look import DOLLAR_TIPS, DOLLARS, axis, is_log, row_tips, scale, upright, value, whole
from bench.page.charts.naming import Naming, counted, of_many, sentences

ID = "cost-speed"
FIELD = "tokens_per_s_per_user"
COLUMNS = (
    *("label", "detail", FIELD, f"{FIELD}_low", f"{FIELD}_high"),
    *("usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high", "front", "verdict", "key"),
)


def chart(report: Report, naming: Naming, asked: Asked) -> Chart | None:
    """None where fewer than two rows have both dollars and a speed."""
    seen = rows(report, asked)
    if len(seen) < 2:
        return None
    made = points(seen, naming, FIELD, "usd_per_mtok")
    log_x, log_y = (is_log([one[field] for one in made]) for field in (FIELD, "usd_per_mtok"))
    x = value(FIELD, scale(log_x), axis("tokens/s of one user: more is better", log_x))
    y = value("usd_per_mtok", scale(log_y), upright("USD per million tokens", log_y, DOLLARS))
    tooltip = row_tips((FIELD, "tokens/s for one user", ".3~g"), *DOLLAR_TIPS)
    positive = "datum.usd_per_mtok > 0" if log_y else "true"
    return Chart(
        ID,
        "Cost against speed for one user",
        f"{counted(len(made), 'row')}. {best_in_words(made)}",
        whole(layers(x, y, naming, tooltip, "step-before", positive), 320),
        made,
        COLUMNS,
        True,
        sentences(
            "The line joins rows of one model that nothing beats: no other is cheaper and faster.",
            "Bars are 95\u00a0% intervals, drawn where a row is on the front or may be."
            if any(one["bars"] for one in made)
            else "",
            of_many(len(made), len(seen), "cheapest (the front first)"),
        ),
    )


def rows(report: Report, asked: Asked) -> list[Seen]:
    """Believable rows with both figures. They are compared within a model."""
    found = []
    for entry in report.entries:
        speed = entry.figures.get(FIELD)
        usd = usd_per_mtok(entry.priced, asked) if entry.is_believable and entry.priced is not None else None
        if usd is None or speed is None:
            continue
        figures = {FIELD: speed.value, f"{FIELD}_low": speed.low, f"{FIELD}_high": speed.high}
        found.append(Seen(entry, usd, Ends.of(speed).turned(), (entry.model,), figures))
    return found
