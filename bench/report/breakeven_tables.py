"""Self-hosting against APIs as people read it: a sentence first, then small tables with captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.cost.break_even import Threshold
from bench.metrics.statistics import Estimate
from bench.report import table
from bench.report.breakeven import Answer, Hour, outcome
from bench.report.table import NONE, number, percent, spread

NEVER = "never"


@dataclass(frozen=True)
class Section:
    """A small table. The first column is a name, the others are numbers."""

    caption: str
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]


def share(of: Estimate | None) -> str:
    """A break-even utilisation with its interval; an end above 100 % is "never".

    >>> share(Estimate(0.65, 0.61, 0.69, 5)), share(Estimate(1.2, 1.1, 1.3, 5)), share(Estimate(0.5, None, None, 1))
    ('65% (61–69%)', 'never', '50% ±?')
    >>> share(Estimate(0.96, 0.90, 1.02, 5)), share(Estimate(1.04, 0.98, 1.1, 5))
    ('96% (90%–never)', 'never (98%–never)')
    """
    if of is None or outcome(of) == "never":
        return NEVER
    value, low, high = (None if end is None else _end(end) for end in (of.value, of.low, of.high))
    if low is None or high is None:
        return f"{value} ±?"
    return f"{value} ({low if high == NEVER else low.removesuffix('%')}–{high})"


def _end(utilisation: float) -> str:
    return NEVER if utilisation > 1 else percent(utilisation)


def volume(of: Threshold) -> str:
    """A volume with its interval, three digits of each.

    >>> volume(Threshold(1_200_000, 1_234_567, 1_300_000)), volume(Threshold(1000, 1000, None))
    ('1,230,000 (1,200,000–1,300,000)', '1,000 (1,000–never)')
    >>> volume(Threshold(1000, 1000, 1000)), volume(Threshold(None, None, None)), volume(Threshold(12, 12, 12, False))
    ('1,000', 'never', '12.0 ±?')
    """
    low, value, high = (NEVER if end is None else rounded(end) for end in (of.low, of.value, of.high))
    if low == high == value:
        return value if of.known or value == NEVER else f"{value} ±?"
    return f"{value} ({low}–{high})"


def rounded(value: float) -> str:
    """Three significant digits.

    >>> rounded(1_234_567), rounded(0.01234)
    ('1,230,000', '0.0123')
    """
    return number(float(f"{value:.3g}"))


def name(of: Answer) -> str:
    """Which row it is: its number, model, precision, batch and lengths."""
    work = of.row.cell.workload
    cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
    return (
        f"#{of.number} {table.model(of.row)} {table.precision(of.row)}, {work.label()}, "
        f"{work.input_tokens} in{cached} + {work.output_tokens} out"
    )


def sentence(of: Answer) -> str:
    """The answer first: against the cheapest API, from what utilisation and volume on."""
    cheapest = min(of.same_requests, key=lambda one: one.api_usd_per_request)
    doubt = f" (verdict: {table.verdict(of.row)})" if of.row.verdict else ""
    said = (
        f"{name(of)}: ${number(cheapest.self_usd_per_request.value * 1000)}"
        f"{spread(cheapest.self_usd_per_request)} per 1,000 requests at {percent(_at(of))} utilisation{doubt}; "
        f"{cheapest.api}, the cheapest compared, asks ${number(cheapest.api_usd_per_request * 1000)}. "
    )
    verdict = outcome(cheapest.full_load_share)
    idles = of.priced.rate.kind != "serverless"
    if verdict == NEVER:
        why = "no utilisation makes up for it" if idles else "it is paid for only while it serves, at any volume"
        return f"{said}Self-hosting is never cheaper: {why}."
    if verdict == "doubt":
        return said + (
            "Whether self-hosting is ever cheaper cannot be told: the interval reaches to both sides, break-even "
            f"utilisation {share(cheapest.full_load_share)}."
        )
    if not idles:
        return said + "Self-hosting is cheaper at any volume: it is paid for only while it serves."
    said += f"Self-hosting is cheaper from {share(cheapest.full_load_share)} utilisation on"
    found = next((one for one in of.volumes if one.api == cheapest.api), None)
    if found is None:
        return said + "."
    if found.first_requests_per_month.value is None:
        return f"{said}, but never at the {percent(of.hosting.max_utilisation)} that a replica may be filled to."
    first, good = volume(found.first_requests_per_month), volume(found.for_good_requests_per_month)
    later = "" if good == first else f", for good from {good}"
    return f"{said}, or {first} requests a month{later}."


def _at(of: Answer) -> float:
    return of.same_requests[0].utilisation


def sections(of: Answer) -> Iterator[Section]:
    """The tables that have lines."""
    for make in (_same_requests, _same_text, _volumes, _at_volumes, _at_utilisations, _hours, _sleeping):
        found = make(of)
        if found.lines:
            yield found


def _usd(of: Estimate, factor: float = 1.0) -> str:
    return number(of.value * factor) + spread(of)


def _same_requests(of: Answer) -> Section:
    own = of.same_requests[0]
    headings = ("", "$ per 1,000 requests", "$/Mtok", "self over API", "break-even utilisation")
    lines = [("self-hosted", _usd(own.self_usd_per_request, 1000), _usd(own.self_usd_per_mtok), "", "")]
    for one in of.same_requests:
        prices = (number(one.api_usd_per_request * 1000), number(one.api_usd_per_mtok))
        lines.append((one.api, *prices, f"{number(one.ratio.value)}×{spread(one.ratio)}", share(one.full_load_share)))
    return Section(f"The same requests, at {percent(_at(of))} utilisation", headings, lines)


def _same_text(of: Answer) -> Section:
    headings = ("", "$ per million characters", "self over API", "API tokens for one of its own")
    if not of.same_text:
        return Section("", headings, ())
    own = of.same_text[0]
    lines = [("self-hosted", _usd(own.self_usd_per_mchar), "", "")]
    for one in of.same_text:
        tokens = "taken as equal" if one.api_tokens_per_own is None else number(one.api_tokens_per_own)
        lines.append((one.api, number(one.api_usd_per_mchar), f"{number(one.ratio.value)}×{spread(one.ratio)}", tokens))
    return Section(f"The same text ({own.text}), counted with each model's tokenizer", headings, lines)


def _volumes(of: Answer) -> Section:
    capacity = of.hosting.capacity_per_month
    caption = (
        f"From what volume on: a replica is ${number(of.hosting.usd_per_month)} a month and serves up to "
        f"{rounded(capacity.value)} requests{spread(capacity)} ({rounded(capacity.value * of.mtok_per_request)} Mtok)"
    )
    lines = []
    for one in of.volumes:
        first, good = one.first_requests_per_month, one.for_good_requests_per_month
        ways = [("at first", first, one.first_mtok_per_month, 1), ("for good", good, one.for_good_mtok_per_month, None)]
        if first == good:
            ways = [("" if first.low is None else "at once for good", *ways[0][1:])]
        for index, (how, requests, mtok, replicas) in enumerate(ways):
            count = replicas or one.for_good_replicas
            lines.append(
                (
                    one.api if index == 0 else "",
                    how,
                    volume(requests),
                    volume(mtok),
                    NONE if requests.value is None or count is None else f"{count:,}",
                )
            )
    return Section(caption, ("cheaper than", "", "from requests a month", "Mtok a month", "replicas"), lines)


def _at_volumes(of: Answer) -> Section:
    apis = [one.api for one in of.same_requests]
    lines = []
    for asked in dict.fromkeys(one.requests_per_month for one in of.at_volumes):
        here = {one.api: one for one in of.at_volumes if one.requests_per_month == asked}
        one = here[apis[0]]
        low, high = one.replicas_low, one.replicas_high
        between = "" if low == high else f" ({low:,}–{high:,})"
        replicas = NONE if one.replicas is None else f"{one.replicas:,}{between}"
        usd = one.self_usd_per_month
        ends = "" if usd.low is None or usd.low == usd.high else f" ({number(usd.low)}–{number(usd.high)})"
        lines.append(
            (
                number(asked),
                rounded(one.mtok_per_month),
                replicas,
                number(usd.value) + ends,
                *(number(here[api].api_usd_per_month) for api in apis),
            )
        )
    headings = ("requests a month", "Mtok", "replicas", "self-hosted", *map(broken, apis))
    return Section("A month, in USD", headings, lines)


def _at_utilisations(of: Answer) -> Section:
    apis = [one.api for one in of.same_requests]
    lines = []
    for at in dict.fromkeys(one.utilisation for one in of.at_utilisations):
        here = {one.api: one for one in of.at_utilisations if one.utilisation == at}
        own = here[apis[0]]
        costs = (number(own.self_usd_per_request.value * 1000), number(own.self_usd_per_mtok.value))
        lines.append((percent(at), *costs, *(f"{number(here[api].ratio.value)}×" for api in apis)))
    headings = ("utilisation", "$ per 1,000 requests", "$/Mtok", *map(broken, apis))
    return Section("By utilisation: self over API", headings, lines)


def _hours(of: Answer) -> Section:
    headings = ("price", "$/h", "$/Mtok", "self over API", "break-even utilisation", "as of")
    lines = [
        (
            _price(one),
            number(one.usd_per_hour),
            _usd(one.self_usd_per_mtok),
            f"{number(one.ratio.value)}×",
            share(one.full_load_share),
            NONE if one.as_of is None else one.as_of.isoformat(),
        )
        for one in of.hours
    ]
    return Section(f"What the hour may cost, against {of.hours[0].api}", headings, lines)


def _price(of: Hour) -> str:
    """What kind of price it is, and the doubts about it."""
    said = ", ".join((*(("used above",) if of.chosen else ()), *of.flags))
    return of.kind.replace("_", " ") + (f" ({said})" if said else "")


def _sleeping(of: Answer) -> Section:
    cold = f"{number(sum(of.cold_start_s.values()))} s" if of.cold_start_s else "an unknown time"
    headings = (
        *("on", "starts a month", "lost to starts", "$ a month", "$ per 1,000 requests"),
        *("break-even utilisation", "first from requests a month"),
    )
    lines = [
        (
            percent(one.duty_cycle),
            f"{one.starts_per_month:,g}",
            percent(one.cold_share),
            number(one.usd_per_month),
            _usd(one.self_usd_per_request, 1000),
            share(one.full_load_share),
            volume(one.first_requests_per_month),
        )
        for one in of.sleeping
    ]
    against = f", against {of.sleeping[0].api}" if of.sleeping else ""
    return Section(f"Not always on: a start takes {cold}{against}", headings, lines)


def broken(heading: str) -> str:
    """A provider above its model: names are long, columns are narrow."""
    return heading.replace("/", "/\n", 1)
