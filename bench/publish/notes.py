"""What stands under a table: whose price, which day, what ± means, why rows failed, and who measured the others."""

from collections.abc import Sequence

from bench.entries.entry import Entry, Report
from bench.entries.priced import Priced
from bench.metrics.statistics import Estimate
from bench.publish.columns import Column
from bench.publish.digits import plain
from bench.publish.values import finite

MOST = 12
"""Sentences of a kind; a table of a thousand failures needs no thousand lines under it."""

INTERVALS = (
    "± is half of the 95 % interval over replicates (new processes); where its halves are unlike, its ends stand in "
    "brackets; a figure without either is of one replicate, or of no replicates at all."
)
INTERVALS_OF_QUALITY = "Of quality, ± is 1.96 standard errors over blocks of the text."


API_COLUMNS = {"cheapest_api", "api_usd_per_mtok", "ratio_to_api", "break_even_utilisation"}


def notes(report: Report, rows: Sequence[Entry], columns: Sequence[Column], left_out: int) -> list[str]:
    """Sentences, foreign text in them as it is: every format makes it harmless in its own way."""
    found = [*_prices(report, rows), *(_apis(rows) if API_COLUMNS & {one.name for one in columns} else ())]
    shown = [finite(column.get(one)) for column in columns for one in rows]
    if any(isinstance(value, Estimate) and value.n > 1 for value in shown):
        found.append(INTERVALS)
    if any("quality" in column.sets and len(column.sets) == 1 for column in columns):
        found.append(INTERVALS_OF_QUALITY)
    found += _reasons(rows)
    found += _failures(rows)
    if left_out:
        found.append(f"{left_out} failed row{'s are' if left_out > 1 else ' is'} left out.")
    found += _origins(rows)
    return found


def _prices(report: Report, rows: Sequence[Entry]) -> list[str]:
    """The hourly prices and the assumed utilisation: what every dollar is made of."""
    priced = [one.priced for one in rows if one.priced is not None and _has_dollars(one.priced)]
    said = dict.fromkeys(_price(one) for one in priced)
    found = [f"Dollars: {one}." for one in list(said)[:MOST]]
    if len(said) > MOST:
        found.append(f"{len(said) - MOST} more hourly prices: the column usd_per_hour of the CSV has them.")
    reasons = dict.fromkeys(
        one.no_dollars_because
        for one in rows
        if one.status == "ok" and one.no_dollars_because and (one.priced is None or not _has_dollars(one.priced))
    )
    found += [f"Rows without dollars: {reason}." for reason in list(reasons)[:MOST]]
    return [*found, f"Prices of {report.day.isoformat()}."] if priced else found


def _has_dollars(of: Priced) -> bool:
    """A machine whose price nobody knows is priced at the hour that is asked for alone, and a table asks for none."""
    return of.usd_per_hour is not None or of.billed_usd_per_mtok is not None


def _price(of: Priced) -> str:
    if of.usd_per_hour is None:
        return of.rate_basis or "paid by the token"
    day = f", as of {of.rate_as_of.isoformat()}" if of.rate_as_of is not None else ""
    flags = f" ({', '.join(of.rate_flags)})" if of.rate_flags else ""
    share = f"{plain(of.utilisation * 100)} % utilisation" if of.idles else "nothing idles"
    basis = of.rate_basis or f"${plain(of.usd_per_hour)} per hour"
    return f"{basis}{day}{flags}; {share}; in and out {of.split}"


def _apis(rows: Sequence[Entry]) -> list[str]:
    """Sources and days of the API prices that were compared with."""
    said: dict[str, dict[str, None]] = {}
    for one in rows:
        for api in () if one.priced is None else one.priced.apis:
            day = f", confirmed {api.confirmed.isoformat()}" if api.confirmed is not None else ""
            old = ", over 90 days old" if api.stale else ""
            said.setdefault(f"{api.source}{day}{old}", {})[api.api] = None
    return [f"API prices of {', '.join(names)}: {source}." for source, names in list(said.items())[:MOST] if source]


def _reasons(rows: Sequence[Entry]) -> list[str]:
    """One sentence for each code of a verdict: the first row's, where others have other figures."""
    said: dict[str, list[str]] = {}
    for one in rows:
        for reason in one.verdict:
            said.setdefault(reason.code, []).append(reason.text())
    found = []
    for code, texts in list(said.items())[:MOST]:
        more = f" (the first of {len(texts)} such rows)" if len(set(texts)) > 1 else ""
        found.append(f"{code}: {texts[0]}{more}.")
    return found


def _failures(rows: Sequence[Entry]) -> list[str]:
    said: dict[str, list[str]] = {}
    for one in rows:
        if one.status != "ok":
            why = "; ".join(part for part in (one.failure, one.remedy) if part) or "no reason was stored"
            said.setdefault(f"{one.status}: {why}", []).append(f"{one.label}, {one.workload}")
    found = [
        f"{who[0]}{f' and {len(who) - 1} more' if len(who) > 1 else ''}: {why}."
        for why, who in list(said.items())[:MOST]
    ]
    if len(said) > MOST:
        found.append(f"{len(said) - MOST} more reasons of failures: the column failure of the CSV has them.")
    return found


def _origins(rows: Sequence[Entry]) -> list[str]:
    """Another tool's rows say so, with what was assumed of them."""
    said: dict[str, dict[str, None]] = {}
    for one in rows:
        if one.kind == "imported":
            who = " ".join(part for part in (one.origin.tool, one.origin.version) if part)
            remarks = "; ".join(one.origin.remarks)
            said.setdefault(who + (f": {remarks}" if remarks else ""), {})[one.origin.file or "a file"] = None
    return [
        f"Not measured by llm-cost-bench but read from {', '.join(files)}, a result of {who}."
        for who, files in list(said.items())[:MOST]
    ]
