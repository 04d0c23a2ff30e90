"""Which levels nothing beats: cheaper, and closer to the reference."""

from bench.entries.entry import Entry, Report
from bench.entries.mixed import usd_per_mtok
from bench.entries.priced import Asked
from bench.page.charts.chart import Chart, Point
from bench.page.charts.front import Ends
from bench.page.charts.fronts import Seen, best_in_words, layers, points
from bench.page.charts.look import DOLLAR_TIPS, DOLLARS, axis, is_log, row_tips, scale, upright, value, whole
from bench.page.charts.naming import Naming, counted, of_many, sentences

ID = "cost-quality"
Z975 = 1.959964
"""Standard errors to either end of a 95 % interval."""
TITLES = {"delta_nll_nats": "loss of quality, ΔNLL in nats a token", "kl_nats": "KL divergence, nats a token"}


def chart(report: Report, naming: Naming, asked: Asked) -> Chart | None:
    """None where fewer than two rows have both dollars and a quality."""
    field = figure(report)
    seen = rows(report, asked, field)
    if len(seen) < 2:
        return None
    made = points(seen, naming, "usd_per_mtok", field)
    log = is_log([one["usd_per_mtok"] for one in made])
    x = value("usd_per_mtok", scale(log), axis("USD per million tokens", log, DOLLARS))
    y = value(field, {"type": "linear", "zero": True, "nice": True}, upright(f"{TITLES[field]}: less is better", False))
    tooltip = row_tips(*DOLLAR_TIPS, (field, TITLES[field], ".3~g"), ("same_top_1", "same top 1", ".1%"))
    positive = "datum.usd_per_mtok > 0" if log else "true"
    return Chart(
        ID,
        "Cost against quality",
        f"{counted(len(made), 'row')}. {best_in_words(made)}",
        whole(layers(x, y, naming, tooltip, "step-after", positive), 320),
        made,
        (
            *("label", "detail", "usd_per_mtok", "usd_per_mtok_low", "usd_per_mtok_high"),
            *(field, f"{field}_low", f"{field}_high", "same_top_1", "front", "verdict", "key"),
        ),
        True,
        sentences(
            _reference(seen, naming),
            "The line joins rows that nothing beats: no other is cheaper and closer to the reference.",
            "Bars are 95\u00a0% intervals, drawn where a row is on the front or may be."
            if any(one["bars"] for one in made)
            else "",
            of_many(len(made), len(seen), "cheapest (the front first)"),
        ),
    )


def _reference(seen: list[Seen], naming: Naming) -> str:
    names = list(dict.fromkeys(naming.name(one.entry) for one in seen if one.entry.quality.is_reference))
    return f"The reference, {' and '.join(names)}, stands at zero by definition." if 0 < len(names) < 4 else ""


def figure(report: Report) -> str:
    """ΔNLL where a row has it, else KL."""
    has = any(one.is_believable and one.quality.delta_nll is not None for one in report.entries)
    return "delta_nll_nats" if has else "kl_nats"


def rows(report: Report, asked: Asked, field: str) -> list[Seen]:
    """Believable rows with both figures. They are compared within a model, on one text, against one reference."""
    found = []
    for entry in report.entries:
        loss = _loss(entry, field)
        usd = usd_per_mtok(entry.priced, asked) if entry.is_believable and entry.priced is not None else None
        if usd is None or loss is None:
            continue
        middle, half = loss
        figures: Point = {field: middle, "same_top_1": 1.0 if entry.quality.is_reference else entry.quality.same_top_1}
        figures |= {f"{field}_low": None if half is None else middle - half}
        figures |= {f"{field}_high": None if half is None else middle + half}
        ends = Ends(middle, middle - (half or 0.0), middle + (half or 0.0))
        contest = (entry.model, *entry.quality.scored, entry.quality.reference or "")
        found.append(Seen(entry, usd, ends, contest, figures))
    return found


def _loss(entry: Entry, field: str) -> tuple[float, float | None] | None:
    """The figure and half of its interval; the reference has lost nothing, by definition."""
    of = entry.quality
    if of.reason:
        return None
    if of.is_reference:
        return 0.0, None
    middle, error = (of.delta_nll, of.delta_nll_se) if field == "delta_nll_nats" else (of.kl_mean, of.kl_mean_se)
    return None if middle is None else (middle, None if error is None else Z975 * error)
