"""What the same requests cost at APIs: the table under the results."""

from collections.abc import Sequence

from bench.models import catalogue
from bench.report.rows import Row
from bench.report.table import NONE, doubt, number, percent, precision, spread


def api_table(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and lines of the second table: each row's requests at every compared API.

    For each pair of lengths first the APIs' own price, then each row as a ratio to it and where it breaks even.
    """
    priced = [row for row in rows if row.dollars is not None]
    names = list(dict.fromkeys(one.api for row in priced for one in row.dollars.apis)) if priced else []  # type: ignore[union-attr]
    lines: list[tuple[str, ...]] = []
    lengths = list(dict.fromkeys(_lengths(row) for row in priced))
    place = {id(row): index for index, row in enumerate(rows, 1)}
    several = len({row.cell.runner.name for row in priced}) > 1
    for input_tokens, cached, output_tokens in lengths:
        here = [row for row in priced if _lengths(row) == (input_tokens, cached, output_tokens)]
        prices = {one.api: one.api_usd_per_request for row in here for one in row.dollars.apis}  # type: ignore[union-attr]
        request = f"{input_tokens} in{f' ({cached} cached)' if cached else ''} + {output_tokens} out, at the API"
        lines.append((request, "", *(number(prices[name] * 1000) if name in prices else NONE for name in names)))
        for row in here:
            who = f"#{place[id(row)]} {catalogue.label(row.cell.model)} {precision(row)}"
            who += f" {row.cell.runner.name}" if several else ""
            lines.append((f"{who}, {row.cell.workload.label()}", *_api_cells(row, names)))
    return ["$ per 1,000 requests", "self-hosted", *names], lines


def _lengths(row: Row) -> tuple[int, int, int]:
    """Prompt, how much of it an API has in its cache, and output: what its price of a request depends on."""
    cached = max((one.cached_tokens for one in row.dollars.apis), default=0) if row.dollars is not None else 0
    return row.cell.workload.input_tokens, cached, row.cell.workload.output_tokens


def _api_cells(row: Row, names: Sequence[str]) -> list[str]:
    assert row.dollars is not None
    found = {one.api: one for one in row.dollars.apis}
    own = row.dollars.all_usd_per_request
    texts = [number(own.value * 1000) + spread(own, 1000)]
    for name in names:
        one = found.get(name)
        texts.append(
            NONE if one is None else f"{number(one.ratio.value)}×, {_from(one.break_even_utilisation)}{doubt(one)}"
        )
    return texts


def _from(utilisation: float | None) -> str:
    return "never cheaper" if utilisation is None else f"from {percent(utilisation)}"
