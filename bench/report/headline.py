"""The answer first: which row is the cheapest, what an API costs for the same requests, and who wins from where on."""

from collections.abc import Sequence

from bench.report import quality_text, table
from bench.report.rows import Row

_BESIDE = {"one_off": "one-off costs", "electricity": "electricity"}


def headline(rows: Sequence[Row]) -> str:
    """One sentence; where no row has dollars, why not, and nothing where nothing was measured."""
    priced = [row for row in rows if row.dollars is not None]
    if not priced:
        why = dict.fromkeys(row.no_dollars_because for row in rows if row.no_dollars_because)
        return f"No dollars: {'; '.join(map(str, why))}." if why else ""
    row = min(priced, key=_against_the_api)
    api = table.cheapest(row)
    assert row.dollars is not None
    assert api is not None
    work = row.cell.workload
    of = row.dollars.all_usd_per_request.times(1e6 / (work.input_tokens + work.output_tokens))
    if of.low is None or of.high is None:
        cost = f"${table.number(of.value)}"
    else:
        cost = f"${table.number(of.low)}–{table.number(of.high)}"
    beside = " and ".join(_BESIDE[name] for name in row.dollars.beside_usd_per_request)
    tokens = work.input_tokens + work.output_tokens
    price = table.number(api.api_usd_per_request * 1e6 / tokens)
    cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
    whose = (
        f"{table.model(row)} {table.precision(row)}, {work.label()}, "
        f"{work.input_tokens} in{cached}, {work.output_tokens} out"
    )
    if table.doubt(api):
        outcome = "and whether self-hosting is ever cheaper cannot be told: the interval reaches to both sides"
    elif api.break_even_utilisation is None:
        outcome = "which no utilisation makes up for"
    else:
        outcome = f"so self-hosting is cheaper from {table.percent(api.break_even_utilisation)} utilisation on"
    number_of = {id(one): index for index, one in enumerate(rows, 1)}
    alike = [number_of[id(one)] for one in _not_told_apart(row, priced)]
    if alike:
        outcome += f"; by the intervals it may as well be {'row' if len(alike) == 1 else 'rows'} " + ", ".join(
            map(str, alike)
        )
    doubt = f" (verdict: {table.verdict(row)})" if row.verdict else ""
    return (
        f"Cheapest here: {whose}: {cost} per million tokens at {table.percent(row.dollars.utilisation)} "
        f"utilisation{f', {beside} included' if beside else ''}{doubt}. "
        f"{api.api} asks ${price} for the same requests, {outcome} ({quality_text.for_headline(row)})."
    )


def _against_the_api(row: Row) -> float:
    """Dollars for the same requests over the cheapest API's: rows of other lengths have other dollars a token."""
    api = table.cheapest(row)
    assert api is not None
    return api.ratio.value


def _not_told_apart(best: Row, rows: Sequence[Row]) -> list[Row]:
    """Rows of the same lengths whose interval reaches below the best one's upper end."""
    assert best.dollars is not None
    top = best.dollars.blended_usd_per_mtok.high
    found = []
    for row in rows:
        if row is best or row.dollars is None or _lengths(row) != _lengths(best):
            continue
        low = row.dollars.blended_usd_per_mtok.low
        if top is not None and low is not None and low < top:
            found.append(row)
    return found


def _lengths(row: Row) -> tuple[int, int, int]:
    work = row.cell.workload
    return work.input_tokens, work.cached_tokens, work.output_tokens
