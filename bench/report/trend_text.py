"""Price lines in words: the table, the sentences on falls, and what else a reader must know; CSV and JSON."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bench.cost.apis.quote import STALE_DAYS, Basis
from bench.cost.blend import Blend
from bench.report.table import NONE, number
from bench.report.trend import Fall, Line, changes, fall

FORMATS = ("table", "csv", "json")
HEADINGS = ("date", "model", "$/Mtok in", "out", "blended", "change", "since first", "basis", "source")


BASES: dict[Basis, str] = {
    "recorded": "the day is that on which somebody wrote the price down",
    "observed": "the day is that of the first release of the source that has the price; the change itself was earlier",
    "snapshot": "the source does not say since when; the day is that of its release",
}
"""What the day of a price means, where it is not the first day of that price."""


def table(lines: Sequence[Line], width: int) -> str:
    """One row a change, rules between lines; without source and basis where the screen is too narrow for them."""
    full = _table(lines, len(HEADINGS))
    if max(len(text) for text in full.splitlines()) <= width:
        return full
    short = _table(lines, len(HEADINGS) - 2)
    return f"{short}\nsources: {sources(lines)}"


def _table(lines: Sequence[Line], columns: int) -> str:
    from tabulate import SEPARATING_LINE, tabulate

    rows: list[object] = []
    for line in lines:
        if rows:
            rows.append(SEPARATING_LINE)
        for point, change, since in changes(line.points):
            prices = (plain(point.input_usd), plain(point.output_usd), number(float(point.blended_usd)))
            words = (str(point.day), point.name, *prices, sign(change), sign(since), point.basis, point.source)
            rows.append(words[:columns])
    aligned = ("left", "left", *("right",) * 5, "left", "left")[:columns]
    headings = HEADINGS[:columns]
    return tabulate(rows, headings, "simple", disable_numparse=True, colalign=aligned)  # type: ignore[arg-type]


def notes(lines: Sequence[Line], blend: Blend, today: date) -> list[str]:
    """A sentence on each line's fall, and what the prices are."""
    found = [sentence(line, fall(line)) for line in lines]
    found.append(
        f"blended: input and output tokens at {blend}, uncached, of the lowest tier; another blend, another change."
    )
    bases = {point.basis for line in lines for point in line.points}
    found += [f"{basis}: {BASES[basis]}." for basis in BASES if basis in bases]
    if any(len({point.name for point in line.points}) > 1 for line in lines):
        found.append("A succession swaps the product: the older models may still be sold at their own prices.")
    found += [note for line in lines if (note := _unconfirmed(line, today))]
    return found


def _unconfirmed(line: Line, today: date) -> str | None:
    """How long nobody vouched for the last price; nothing of one that another price followed. The window is the user's
    and says nothing of what sources know."""
    since = line.vouched_to or line.until
    age = (today - since).days
    if line.followed or age <= STALE_DAYS:
        return None
    return f"{line.points[-1].name}: nobody vouched for the last price since {since}, {age} days."


def sentence(line: Line, found: Fall) -> str:
    """From the first price to the last, in one line."""
    first, last = found.first, found.last
    if first is last:
        return f"{line.name}: {number(float(first.blended_usd))} since {first.day}, no change known to {line.until}."
    text = (
        f"{line.name}: {number(float(first.blended_usd))} to {number(float(last.blended_usd))} "
        f"from {first.day} to {last.day}, {sign(-found.total)} in all"
    )
    if found.yearly_by_months is None or found.yearly_by_days is None:
        return text + " (under a year: no yearly rate)."
    by_months, by_days = sign(-found.yearly_by_months), sign(-found.yearly_by_days)
    return f"{text}, {by_months} a year by calendar months ({by_days} by days)."


def sign(change: float | None) -> str:
    """A change with its sign; a factor where the price became more than tenfold.

    >>> sign(-0.8889), sign(0.25), sign(0.0), sign(299.0), sign(None)
    ('−88.9%', '+25.0%', '0%', '×300', '–')
    """
    if change is None:
        return NONE
    if change > 9:
        return f"×{number(1 + change)}"
    return "0%" if change == 0 else f"{'−' if change < 0 else '+'}{abs(change):.1%}"


def plain(price: Decimal) -> str:
    """All digits that there are, no exponent.

    >>> plain(Decimal("30.00")), plain(Decimal("0.0375"))
    ('30', '0.0375')
    """
    return f"{price.normalize():f}"


def sources(lines: Sequence[Line]) -> str:
    """Each source once, in order of appearance."""
    return "; ".join(dict.fromkeys(point.source for line in lines for point in line.points))


def as_csv(lines: Sequence[Line], blend: Blend) -> str:
    """Exact prices and shares, one row a change."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    prices = ("input_usd_per_mtok", "output_usd_per_mtok", "blend", "blended_usd_per_mtok")
    writer.writerow(("line", "date", "model", *prices, "change", "change_since_first", "basis", "source"))
    for line in lines:
        for point, change, since in changes(line.points):
            shares = ("" if share is None else repr(share) for share in (change, since))
            costs = (plain(point.input_usd), plain(point.output_usd), blend, plain(point.blended_usd))
            writer.writerow((line.name, point.day, point.name, *costs, *shares, point.basis, point.source))
    return out.getvalue()


def as_json(lines: Sequence[Line], blend: Blend) -> str:
    """The same with each line's fall."""
    return json.dumps({"blend": str(blend), "lines": [_plain_line(line) for line in lines]}, indent=2) + "\n"


def _plain_line(line: Line) -> dict[str, object]:
    found = fall(line)
    return {
        "name": line.name,
        "until": str(line.until),
        "total_fall": found.total,
        "yearly_fall_by_months": found.yearly_by_months,
        "yearly_fall_by_days": found.yearly_by_days,
        "points": [
            {
                "date": str(point.day),
                "model": point.name,
                "input_usd_per_mtok": float(point.input_usd),
                "output_usd_per_mtok": float(point.output_usd),
                "blended_usd_per_mtok": float(point.blended_usd),
                "change": change,
                "change_since_first": since,
                "basis": point.basis,
                "source": point.source,
            }
            for point, change, since in changes(line.points)
        ],
    }
