"""What became of a claim, and how its figures are written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from bench.cost.apis.quote import Quote
from bench.report import table
from bench.report.rows import Row

Verdict = Literal["holds", "partly", "does not hold", "cannot be told here"]

_RELEASES = re.compile(r" \d\S*(?: to \d\S*)?$", re.ASCII)
QUALITY = "quality not compared"


@dataclass(frozen=True)
class Claim:
    """A claim of the market and what dated data say of it.

    `arithmetic` are lines that a reader can redo; `figures` are the numbers in them by name, unrounded: shares are of
    one, prices in USD per million tokens, speeds in tokens per second.
    """

    title: str
    statement: str
    arithmetic: tuple[str, ...]
    sources: tuple[str, ...]
    verdict: Verdict
    because: str
    figures: Mapping[str, float]


def money(usd: float | Decimal) -> str:
    """Two decimals, and more below a dollar until there are three digits.

    >>> money(36), money(Decimal("0.0540")), money(0.188), money(0.24), money(0.4299999)
    ('$36.00', '$0.054', '$0.188', '$0.24', '$0.43')
    """
    value = float(usd)
    if not value or abs(value) >= 1:
        return f"${value:,.2f}"
    text = f"{float(f'{value:.3g}'):.12f}".rstrip("0")
    return "$" + text.ljust(len("0.00"), "0")


def times(ratio: float) -> str:
    """Two digits for a ratio: one behind the point below 10.

    >>> times(9.327), times(15.92), times(0.697)
    ('9.3×', '16×', '0.70×')
    """
    return f"{ratio:.2f}×" if ratio < 1 else f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"


def percent(change: float) -> str:
    """A change in whole percent with its sign.

    >>> percent(-0.9775), percent(0.1)
    ('−98%', '+10%')
    """
    return f"{'−' if change < 0 else '+'}{abs(change):.0%}"


def row_name(number: int, row: Row) -> str:
    """A measured row in a line of arithmetic; its number is that of the report."""
    work = row.cell.workload
    cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
    return (
        f"#{number} {table.model(row)} {table.precision(row)}, batch {work.batch_size}, "
        f"{work.input_tokens}{cached} + {work.output_tokens}"
    )


def other_day(row: Row, as_of: date | None) -> str:
    """Said where a row's prices are not of the day of the claims (None: today)."""
    if row.dollars is None or row.dollars.day == (as_of or datetime.now(UTC).date()):
        return ""
    return f", at the prices of {row.dollars.day}"


def dated_sources(quotes: Iterable[Quote], as_of: date | None) -> tuple[str, ...]:
    """Each source once, with the last day for which it vouches for any of these prices; in a replay with its own day.

    What a source said later is no part of a replay. Of a package that held these prices in several spans of releases
    the spans are not told one by one.
    """
    named: dict[str, set[str]] = {}
    days: dict[str, date | None] = {}
    for one in quotes:
        package = _RELEASES.sub("", one.source)
        named.setdefault(package, set()).add(one.source)
        known = (days.get(package), one.confirmed)
        days[package] = max((day for day in known if day is not None), default=None)
    return tuple(
        f"{names.copy().pop() if len(names) == 1 else f'{package}, several releases'}, {_vouched(days[package], as_of)}"
        for package, names in named.items()
    )


def _vouched(day: date | None, as_of: date | None) -> str:
    if day is None:
        return "of unknown age"
    return f"last confirmed on {day}" if as_of is None or day <= as_of else f"confirmed for {as_of}"
