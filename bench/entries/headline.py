"""The answer first, over every kind of row: what self-hosting costs, what an API asks for the same, and who wins from
where on.

`bench/page/static/headline.js` makes the very same string in the browser, function by function.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.cost.break_even import in_doubt
from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import ApiPrice, Asked, Priced
from bench.metrics.statistics import Estimate
from bench.report.table import WIDEST, number, percent, width

LONGEST = 80
"""Characters of a name: what is longer is shown by its beginning, and whole in the table."""
SPACES = re.compile("[\t\n\x0b\x0c\r ]+")
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What a screen obeys instead of showing it: controls, directions and joiners."""


@dataclass(frozen=True)
class Candidate:
    """A row that can be the answer: its dollars, the API that it is held against, and the ratio of the two."""

    entry: Entry
    priced: Priced
    usd: Estimate
    api: ApiPrice | None
    ratio: Estimate | None

    @property
    def rank(self) -> Estimate:
        """Over the API where there is one: rows of other lengths have other dollars a token."""
        return self.usd if self.ratio is None else self.ratio


def headline(entries: Sequence[Entry], asked: Asked, api: str | None) -> str:
    """The answer in one sentence, on the cheapest row, held against `api` or the cheapest API (None) at what is asked;
    then what it holds for. Where no row has dollars, why not.
    """
    found = [one for entry in entries if (one := candidate(entry, asked, api)) is not None]
    if not found:
        return none_because(entries, asked)
    judged = [one.entry for one in found if one.entry.slo_met is not None]
    met = [one for one in found if one.entry.slo_met]
    among = met or [one for one in found if one.ratio is not None] or found
    best = min(among, key=lambda one: one.rank.value)
    missed = f" None of the loads here meets {shown(judged[0].slo or '')}." if judged and not met else ""
    answer = f"{costs(best, asked)}; {against(best, asked, api)}."
    return f"{answer} Measured with {terms(best, asked)}{alike(best, among)}; {quality(best.entry)}.{missed}"


def candidate(entry: Entry, asked: Asked, api: str | None) -> Candidate | None:
    """None where the row has no dollars at what is asked. Of a load that met its objectives, what met them."""
    priced = entry.good if entry.slo_met and entry.good is not None else entry.priced
    usd = None if priced is None else mixed.usd_per_mtok(priced, asked)
    if priced is None or usd is None:
        return None
    named = next((one for one in priced.apis if one.api == api), None)
    chosen = mixed.cheapest(priced, asked) if api is None else named
    ratio = None if chosen is None else mixed.ratio(priced, chosen, asked)
    return Candidate(entry, priced, usd, chosen, ratio)


def none_because(entries: Sequence[Entry], asked: Asked) -> str:
    """Why there is no dollar."""
    if not entries:
        return "Nothing was measured."
    unmixed = replace(asked, mix=None)
    if asked.mix is not None and any(candidate(one, unmixed, None) is not None for one in entries):
        return f"No dollars {mix_text(asked)}: the bill of no row can be split into input and output."
    why = list(dict.fromkeys(shown(one.no_dollars_because) for one in entries if one.no_dollars_because))
    if not why:
        counts: dict[str, int] = {}
        for one in entries:
            counts[one.status] = counts.get(one.status, 0) + 1
        why = ["of " + ", ".join(f"{count} {status}" for status, count in counts.items()) + " none was priced"]
    more = f"; and {len(why) - 3} more reasons" if len(why) > 3 else ""
    return f"No dollars: {'; '.join(why[:3])}{more}."


# --- here ----------------------------------------------------------------------------------------------------------


def costs(best: Candidate, asked: Asked) -> str:
    """What the row is, and what it costs."""
    one, priced = best.entry, best.priced
    of = " of requests within " + shown(one.slo or "") if priced is one.good else ""
    mix = "" if asked.mix is None else " " + mix_text(asked)
    if mixed.usd_per_hour(priced, asked) is None:
        return f"Paid by the token, {name(one)} costs ${number(best.usd.value)} per Mtok{mix}"
    return f"Self-hosting {name(one)} costs {range_text(best.usd)} per Mtok{of}{mix}"


def terms(best: Candidate, asked: Asked) -> str:
    """What the dollars hold for: workload, engine, machine, price of the hour, utilisation; and the row's doubts."""
    one, priced = best.entry, best.priced
    tool = "" if one.kind != "imported" else f", by {shown(one.origin.tool)}"
    where = f"{shown(one.workload)}, {shown(one.runner)} on {shown(one.hardware)}{tool}"
    doubt = f" (verdict: {one.verdict_text})" if one.verdict else ""
    paid = mixed.usd_per_hour(priced, asked) is None
    return f"{where}, {shown(priced.rate_basis) if paid else at(best, asked)}{doubt}"


def at(best: Candidate, asked: Asked) -> str:
    """The utilisation and the hourly price that the dollars hold for, and what is in them beside the hour."""
    priced = best.priced
    flags = shown(", ".join(priced.rate_flags)) if asked.usd_per_hour is None else ""
    per_hour = f"${number(mixed.usd_per_hour(priced, asked))} an hour{f' [{flags}]' if flags else ''}"
    extra = mixed.beside_usd_per_mtok(priced, asked)
    beside = "" if extra is None else f", ${number(extra.value)} beside the hour included"
    if not mixed.idles(priced, asked):
        return f"at {per_hour} while it serves{beside}"
    return f"at {percent(mixed.utilisation(priced, asked))} utilisation and {per_hour}{beside}"


def name(of: Entry) -> str:
    """Model and precision; what serves an endpoint's weights, nobody knows."""
    random = " (random weights)" if of.random_weights and "random weights" not in of.model else ""
    precision = "" if of.precision in ("", "served") else f" at {shown(of.precision)}"
    return f"{shown(of.model)}{random}{precision}"


def mix_text(asked: Asked) -> str:
    """The mix that was asked for, in words."""
    assert asked.mix is not None
    return f"at {part_text(asked.mix[0])} in : {part_text(asked.mix[1])} out"


def part_text(part: float) -> str:
    """A whole number without a point.

    >>> part_text(3.0), part_text(0.5)
    ('3', '0.500')
    """
    return str(int(part)) if part == int(part) and part < 1e6 else number(part)


def range_text(of: Estimate) -> str:
    """The interval, or the value and why it has none.

    >>> range_text(Estimate(0.14, 0.13, 0.15, 3)), range_text(Estimate(0.14, None, None, 1))
    ('$0.130–$0.150', 'about $0.140 (one replicate, so no interval)')
    """
    half = of.spread()
    if of.low is None and of.high is not None:
        return f"at most ${number(of.high)}"
    if of.low is None or of.high is None or half is None:
        why = "one replicate, so no interval" if of.n == 1 else "its interval is not known"
        return f"about ${number(of.value)} ({why})"
    if half >= WIDEST:
        return f"about ${number(of.value)} ({width(half)})"
    low, high = number(of.low), number(of.high)
    return f"${low}" if low == high else f"${low}–${high}"


# --- and there -----------------------------------------------------------------------------------------------------


def against(best: Candidate, asked: Asked, api: str | None) -> str:
    """What the API asks for the same, and from where on it is cheaper here."""
    usd = None if best.api is None else mixed.api_usd_per_mtok(best.priced, best.api, asked)
    if best.api is None or usd is None or best.ratio is None:
        return f"it is compared with no API{'' if api is None else f', {shown(api)} neither'}"
    stale = ", a price that nobody has confirmed for 90 days" if best.api.stale else ""
    own = best.api.tokens_per_own
    counted = "" if own is None or abs(own - 1) < 0.01 else f" (it counts {number(own)} for each of ours)"
    same = "the same tokens" if asked.mix is None else "that mix"
    return f"{shown(best.api.api)} costs ${number(usd)} for {same}{counted}{stale}; {outcome(best, best.api, asked)}"


def outcome(best: Candidate, api: ApiPrice, asked: Asked) -> str:
    """Who wins, and from what utilisation on."""
    ratio, doubt = best.ratio, "the interval reaches to both sides"
    assert ratio is not None
    if mixed.usd_per_hour(best.priced, asked) is None:
        return f"this endpoint costs {number(ratio.value)} times that"
    if not mixed.idles(best.priced, asked):
        if in_doubt(ratio):
            return f"whether self-hosting is cheaper cannot be told: {doubt}"
        return f"self-hosting is {'dearer' if ratio.value > 1 else 'cheaper'}, and nothing idles"
    share = mixed.break_even(best.priced, api, asked)
    if share is None:
        return "self-hosting is never cheaper: what tokens cost beside the hour is more"
    if in_doubt(share):
        return f"whether self-hosting is ever cheaper cannot be told: {doubt}"
    if share.value > 1:
        return "self-hosting is never cheaper, at no utilisation"
    return f"self-hosting is cheaper from {percent(share.value)} utilisation on"


def alike(best: Candidate, among: Sequence[Candidate]) -> str:
    """Other rows that may as well be the cheapest."""
    others = [one for one in among if one is not best]
    top = best.rank.high
    if top is None:
        return "; without an interval nobody can tell it from the other rows" if others else ""
    near = [one for one in others if one.rank.low is not None and one.rank.low < top]
    names = [f"{name(one.entry)} ({shown(one.entry.workload)})" for one in near[:2]]
    if len(near) > 2:
        names.append(f"{len(near) - 2} more row{'s' if len(near) > 3 else ''}")
    listed = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])
    return f"; by the intervals it may as well be {listed}" if near else ""


def quality(of: Entry) -> str:
    """What was compared and what was not."""
    found, theirs = of.quality, "the API's quality is not compared"
    if found.kl_mean is not None:
        reference = f" against {shown(found.reference)}" if found.reference else ""
        return f"at KL {number(found.kl_mean)}{reference}; {theirs}"
    if found.bits_per_byte is not None:
        itself = ", the reference itself" if found.is_reference else ""
        return f"at {number(found.bits_per_byte, 4)} bits per byte{itself}; {theirs}"
    return "quality not compared"


def shown(text: str) -> str:
    """A name that others wrote, in one line, with nothing in it that changes the line, and not without end.

    >>> shown("a\\n b"), len(shown("x" * 10_000))
    ('a b', 80)
    """
    line = UNSEEN.sub("\ufffd", SPACES.sub(" ", text))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
