"""The strip under the headline: what the cheapest row costs, what an API asks, who wins from where on, what to believe.

`bench/page/static/keyfigures.js` says the same again when a control moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.headline import Candidate, candidate
from bench.entries.priced import Asked
from bench.metrics.statistics import Estimate
from bench.page.shown import cut, visible
from bench.report.table import NONE, number, percent

_NOTHING = Asked()


@dataclass(frozen=True)
class Key:
    """One figure of the strip; `lines` stand below it."""

    id: str
    name: str
    value: str
    lines: tuple[str, ...] = ()


def of(entries: Sequence[Entry]) -> list[Key]:
    """The strip; without dollars there are only the counts."""
    best = _best(entries)
    return ([] if best is None else _dollars(best)) + [_counts(entries)]


def _best(entries: Sequence[Entry]) -> Candidate | None:
    """The row that the headline is about."""
    found = [one for entry in entries if (one := candidate(entry, _NOTHING, None)) is not None]
    met = [one for one in found if one.entry.slo_met]
    among = met or [one for one in found if one.ratio is not None] or found
    return min(among, key=lambda one: one.rank.value, default=None)


def _dollars(best: Candidate) -> list[Key]:
    whose = cut(visible(f"{best.entry.model}, {best.entry.precision}, {best.entry.workload}"))
    here = Key("cheapest", "Cheapest here, per million tokens", f"${number(best.usd.value)}", (_range(best.usd), whose))
    asked = None if best.api is None else mixed.api_usd_per_mtok(best.priced, best.api, _NOTHING)
    even = None if best.api is None else mixed.break_even(best.priced, best.api, _NOTHING)
    share = percent(mixed.utilisation(best.priced, _NOTHING))
    said = () if best.ratio is None else (f"{number(best.ratio.value)}× the API's price at {share} utilisation",)
    api = "compared with none" if best.api is None else cut(visible(best.api.api))
    return [
        here,
        Key("api", "The same tokens at the API", NONE if asked is None else f"${number(asked)}", (api,)),
        Key("break-even", "Break-even utilisation", break_even_text(even), said),
    ]


def break_even_text(of: Estimate | None) -> str:
    """A utilisation, or never; a question mark where the interval holds both.

    >>> break_even_text(Estimate(0.65, 0.5, 1.2, 3)), break_even_text(Estimate(1.6, 1.5, 1.7, 3))
    ('65%?', 'never')
    """
    if of is None:
        return NONE
    doubt = of.low is not None and of.high is not None and of.low <= 1 < of.high
    return ("never" if of.value > 1 else percent(of.value)) + ("?" if doubt else "")


def _range(of: Estimate) -> str:
    if of.low is None or of.high is None:
        return "one replicate, so no interval" if of.n == 1 else "its interval is not known"
    return f"95 % interval ${number(of.low)}–{number(of.high)}"


def _counts(entries: Sequence[Entry]) -> Key:
    valid = sum(one.is_believable and not one.verdict for one in entries)
    doubtful = sum(one.is_believable and bool(one.verdict) for one in entries)
    failed = len(entries) - valid - doubtful
    lines = (f"{doubtful:,} doubtful", f"{failed:,} failed or without meaning")
    return Key("rows", "Rows that are VALID", f"{valid:,} of {len(entries):,}", lines)
