"""The answer first: which row is the cheapest, what an API costs for the same requests, and who wins from where on."""

from collections.abc import Sequence

from bench.report import table
from bench.report.rows import Row


def headline(rows: Sequence[Row]) -> str:
    """One sentence, empty where no row has dollars."""
    priced = [row for row in rows if row.dollars is not None]
    if not priced:
        return ""
    row = min(priced, key=_blended)
    api = table.cheapest(row)
    assert row.dollars is not None
    assert api is not None
    blended = row.dollars.blended_usd_per_mtok
    if blended.low is None or blended.high is None:
        cost = f"${table.number(blended.value)}"
    else:
        cost = f"${table.number(blended.low)}–{table.number(blended.high)}"
    work = row.cell.workload
    tokens = work.input_tokens + work.output_tokens
    price = table.number(api.api_usd_per_request * 1e6 / tokens)
    whose = f"{table.model(row)} {table.precision(row)}, batch {work.batch_size}"
    if api.break_even_utilisation is None:
        outcome = "which no utilisation makes up for"
    else:
        outcome = f"so self-hosting is cheaper from {table.percent(api.break_even_utilisation)} utilisation on"
    doubt = f" (verdict: {table.verdict(row)})" if row.verdict else ""
    return (
        f"Cheapest here: {whose}: {cost} per million tokens at {table.percent(row.dollars.utilisation)} "
        f"utilisation{doubt}. "
        f"{api.api} asks ${price} for the same requests, {outcome} (quality not compared)."
    )


def _blended(row: Row) -> float:
    assert row.dollars is not None
    return row.dollars.blended_usd_per_mtok.value
