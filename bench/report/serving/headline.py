"""The answers first: what a million tokens cost at which load, against which API, and at the objectives."""

from collections.abc import Sequence

from bench.metrics.percentiles import TooFew
from bench.metrics.statistics import Estimate
from bench.report.serving import table
from bench.report.serving.frontier import ALIKE, Family, Point, families, good_usd
from bench.report.serving.row import ServingRow, engine_text, is_open, load_text
from bench.report.table import WIDEST, number, percent, width
from bench.schema import Slo


def headline(rows: Sequence[ServingRow]) -> str:
    """One or two sentences; where no row has dollars, why not, and nothing where nothing was measured."""
    priced = [row for row in rows if row.dollars is not None and row.dollars.cheapest is not None]
    if not priced:
        why = dict.fromkeys(row.no_dollars_because for row in rows if row.no_dollars_because)
        return f"No dollars: {'; '.join(map(str, why))}." if why else ""
    met = [row for row in priced if row.meets]
    row = min(met or priced, key=_cost)
    if met:
        return _cheapest(row, f"Cheapest here within {slo_text(row.slo)}")
    missed = next((row for row in rows if row.meets is not None), None)
    if missed is None:
        return _cheapest(row, "Cheapest here")
    return f"Within {slo_text(missed.slo)}: none of the loads measured here. {_cheapest(row, 'Cheapest without it')}"


def _cost(row: ServingRow) -> float:
    """What a row is ranked by: dollars over the cheapest API's, made of the requests that met the objectives alone
    where there are any and the row meets them."""
    good = good_usd(row) if row.meets else None
    assert row.dollars is not None
    return _against(row) * (1.0 if good is None else good.value / row.dollars.usd_per_mtok.value)


def _against(row: ServingRow) -> float:
    """Dollars for the same tokens over the cheapest API's: rows of other mixes have other dollars a token."""
    best = None if row.dollars is None else row.dollars.cheapest
    assert best is not None
    return best.ratio.value


def _cheapest(row: ServingRow, first: str) -> str:
    of = row.dollars
    assert of is not None
    assert of.cheapest is not None
    best = of.cheapest
    tokens = of.mix.whole
    whose = (
        f"{table.model(row)} {table.precision(row)} on {engine_text(row)} under {load_text(row.traffic)}, "
        f"{number(tokens.prompt / tokens.requests)} in and {number(tokens.output / tokens.requests)} out"
    )
    doubt = f" (verdict: {table.verdict(row)})" if row.verdict else ""
    asks = f"{best.api} asks ${number(best.usd_per_mtok)} for the same tokens"
    if of.bill is not None:
        return (
            f"{first.replace('Cheapest', 'Billed', 1)}: {whose}: ${number(of.usd_per_mtok.value)} per million tokens "
            f"as {of.bill.api} charged{doubt}; {asks} (quality not compared)."
        )
    if table.doubt(best):
        outcome = "and whether self-hosting is ever cheaper cannot be told: the interval reaches to both sides"
    elif best.break_even_utilisation is None:
        outcome = "which no utilisation makes up for"
    else:
        outcome = f"so self-hosting is cheaper from {percent(best.break_even_utilisation)} utilisation on"
    return (
        f"{first}: {whose}: ${range_text(of.usd_per_mtok)} per million tokens{_good(row)} at "
        f"{percent(of.utilisation)} utilisation{_seen(row)}{doubt}. {asks}, {outcome} "
        "(quality not compared)."
    )


def _good(row: ServingRow) -> str:
    """Beside it, what those cost that met the objectives, where not all did."""
    good = good_usd(row) if row.meets else None
    assert row.dollars is not None
    if good is None or good.value < row.dollars.usd_per_mtok.value * (1 + ALIKE):
        return ""
    return f" (${range_text(good)} of requests that met it)"


def _seen(row: ServingRow) -> str:
    """What users wait for at that load."""
    if row.figures is None:
        return ""
    for which in (95.0, 50.0):
        value = row.figures.times.get("ttft_s", {}).get(which)
        if value is not None and not isinstance(value, TooFew):
            since = " from the schedule" if is_open(row.traffic) else ""
            return f", with a p{which:g} TTFT of {number(value * 1e3)} ms{since}"
    return ""


def range_text(of: Estimate) -> str:
    """The interval where there is one, else the value."""
    half = of.spread()
    if of.low is None or of.high is None or half is None:
        return number(of.value)
    if half >= WIDEST:
        return f"{number(of.value)} {width(half)}"
    low, high = number(of.low), number(of.high)
    return low if low == high else f"{low}–{high}"


def slo_text(slo: Sequence[Slo]) -> str:
    """As on the command line."""
    return " and ".join(one.text() for one in slo)


def find_max_lines(rows: Sequence[ServingRow]) -> list[str]:
    """For each load at several levels, the highest one that met every objective and the lowest that did not."""
    found = []
    for of in families(rows):
        if of.judged:
            found.append(_highest(of))
    return found


def _highest(of: Family) -> str:
    met, missed, undecided = of.highest_met, of.lowest_missed, of.undecided
    first = of.points[0].row
    text = f"Highest load within {slo_text(first.slo)}, {table.model(first)} {table.precision(first)}: "
    if met is not None:
        text += f"{load_text(met.row.traffic)} ({_shares(met)})"
        usd = good_usd(met.row)
        text += "" if usd is None else f", ${range_text(usd)} per million tokens of requests that met it"
    elif missed is not None and not undecided:
        return f"{text}none: {_shares(missed)} even at {load_text(missed.row.traffic)}."
    else:
        text += "cannot be told"
    if undecided:
        several = ", ".join(f"{load_text(one.row.traffic)} ({_shares(one)})" for one in undecided)
        text += f"; by the intervals perhaps also at {several}: more requests or replicates tell"
    if missed is not None:
        return f"{text}; not met at {load_text(missed.row.traffic)} ({_shares(missed)})."
    return f"{text}; no load that surely misses it was measured."


def _shares(point: Point) -> str:
    """Share of the requests within each objective, with its interval."""
    figures = point.row.figures
    assert figures is not None
    return ", ".join(
        f"{percent(one.share)} ({percent(one.low)}–{percent(one.high)}) within {one.slo.metric}<={one.slo.at_most_s:g}"
        for one in figures.objectives
    )
