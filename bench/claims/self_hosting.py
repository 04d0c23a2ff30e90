"""Claim: if developers can self-host at marginal cost, API pricing must reflect that."""

import math
from collections.abc import Iterator, Sequence
from datetime import date

from bench.claims.claim import QUALITY, Claim, Verdict, dated_sources, money, other_day, row_name
from bench.cost import api_prices, break_even, hardware_prices
from bench.cost.apis.quote import Quote
from bench.errors import InputError
from bench.report.breakeven import Outcome, outcome
from bench.report.costs import ApiComparison, Dollars
from bench.report.rows import Row
from bench.report.table import number, percent, spread

MACHINE = ("runpod", "Community Cloud H100 SXM")
INPUT_TOKENS_PER_S, OUTPUT_TOKENS_PER_S = 8000.0, 1000.0
"""Of the example: what an H100 might take in and give out. Assumed, not measured."""

EXAMPLE_APIS = ("groq/llama-3.1-8b-instant", "together/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo")

MEANINGS: dict[Outcome, str] = {
    "never": "the API asks less than this machine costs at full load, so its price reflects self-hosting",
    "from": "a machine that is busy enough is cheaper, and whether it is kept so decides",
    "doubt": "the interval reaches to both sides: measure those rows longer",
}
"""What so many comparisons of an outcome say of the claim."""


def claim(rows: Sequence[Row], as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """Break-even of each measured row against each API it was compared with, beside an example in rates."""
    example, figures, sources = _example(as_of, files)
    found = [outcome(one.break_even) for row in rows if row.dollars is not None for one in row.dollars.apis]
    lines = [line for index, row in enumerate(rows, 1) for line in _of_row(index, row, as_of)]
    counts: dict[Outcome, int] = {"never": 0, "from": 0, "doubt": 0}
    for one in found:
        counts[one] += 1
    return Claim(
        title="Self-hosting at marginal cost",
        statement="If developers can self-host at marginal cost, API pricing must reflect that.",
        arithmetic=(*example, *lines),
        sources=tuple(dict.fromkeys((*sources, *_sources(rows)))),
        verdict=_verdict(counts),
        because=_because(counts, bool(rows), list(figures.values())),
        figures=figures
        | {"never": float(counts["never"]), "in_doubt": float(counts["doubt"]), "comparisons": float(len(found))},
    )


def _example(as_of: date | None, files: Sequence[str]) -> tuple[list[str], dict[str, float], list[str]]:
    """The break-even of a machine that nobody measured, at the prices of the lists on that day."""
    listed = (one for one in hardware_prices.listed(as_of) if (one.provider, one.instance) == MACHINE)
    machine = next(listed, None)
    if machine is None or machine.usd_per_hour is None:
        return [f"no example: no hourly price of {' '.join(MACHINE)} is known on or before {as_of}"], {}, []
    per_hour = machine.usd_per_hour
    lines = [
        f"example, not measured: an H100 at {money(per_hour)} per hour that takes in {INPUT_TOKENS_PER_S:,.0f} and "
        f"gives out {OUTPUT_TOKENS_PER_S:,.0f} tok/s"
    ]
    figures: dict[str, float] = {}
    quotes: list[Quote] = []
    for name in EXAMPLE_APIS:
        try:
            api = api_prices.lookup(name, as_of, files)
        except InputError as error:
            lines.append(f"  {error.lines[0]}")
            continue
        asked = (api.input_usd_per_mtok, api.output_usd_per_mtok)
        share = break_even.utilisation_of_rates(1, per_hour, INPUT_TOKENS_PER_S, OUTPUT_TOKENS_PER_S, *asked)
        lines.append(
            f"  against {name} (${asked[0]:g} in, ${asked[1]:g} out): u* = {per_hour:g}·10⁶ / (3600·"
            f"({INPUT_TOKENS_PER_S:.0f}·{asked[0]:g} + {OUTPUT_TOKENS_PER_S:.0f}·{asked[1]:g})) = {share:.2f}"
            + (": never" if share > 1 else f": from {percent(share)} on")
        )
        figures[f"example {name}"] = share
        quotes.append(api.quote)
    hourly = f"hourly price: {machine.provider} {machine.instance}, as of {machine.as_of}, grade {machine.letter}"
    return lines, figures, [hourly, *dated_sources(quotes, as_of)]


def _of_row(index: int, row: Row, as_of: date | None) -> Iterator[str]:
    """What a row costs at full load, and below it what that is against each API; or why it has no dollars."""
    if row.dollars is None:
        yield f"{row_name(index, row)}: no dollars ({row.no_dollars_because or row.status})"
        return
    full_load = row.dollars.usd_per_request.times(row.dollars.utilisation)
    verdict = f" (verdict: {', '.join(reason.code for reason in row.verdict)})" if row.verdict else ""
    yield (
        f"{row_name(index, row)}: ${number(full_load.value * 1000)}{spread(full_load, 1000)} per 1,000 requests at "
        f"full load{''.join(_beside(row.dollars))}{other_day(row, as_of)}{verdict}"
    )
    for one in row.dollars.apis:
        yield f"  against ${number(one.api_usd_per_request * 1000)} at {one.api}: {_break_even(one)}"
    yield from _electricity(row, row.dollars)


def _beside(dollars: Dollars) -> Iterator[str]:
    """What a request costs at any utilisation, by what for."""
    for key, usd in dollars.beside_usd_per_request.items():
        what = dollars.one_off.what if key == "one_off" and dollars.one_off is not None else ""
        said = key.replace("one_off", "one-off") + (f" ({what})" if what not in ("", "one-off") else "")
        yield f" + ${number(usd.value * 1000)} {said}"


def _break_even(one: ApiComparison) -> str:
    """u* with its interval, and what it says."""
    share = one.break_even
    if share is None:
        return "u* above 100%: what it costs beside the hour alone is more, never"
    interval = "±?" if share.low is None or share.high is None else f"{_share(share.low)} to {_share(share.high)}"
    said = outcome(share)
    says = {"never": "never", "doubt": "in doubt: the interval reaches to both sides"}
    return f"u* = {_share(share.value)} ({interval}), {says.get(said) or f'from {percent(share.value)} on'}"


def _share(of: float) -> str:
    """Without end where what a request costs beside the hour is as much as the API asks."""
    return number(of) if math.isfinite(of) else "∞"


def _electricity(row: Row, dollars: Dollars) -> Iterator[str]:
    """The marginal cost in the strict sense, electricity, where joules are known."""
    electricity = dollars.electricity_usd_per_mtok
    if electricity is None:
        return
    tokens = row.cell.workload.output_tokens
    per_request = electricity.value * tokens / 1e6
    shares = ", ".join(f"{percent(per_request / one.api_usd_per_request)} of {one.api}" for one in dollars.apis)
    yield (
        f"  electricity alone ${number(per_request * 1000)} per 1,000 requests "
        f"(${number(electricity.value)} per Mtok out · {tokens} tokens): {shares}"
    )


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    priced = [row.dollars for row in rows if row.dollars is not None]
    for basis in dict.fromkeys(dollars.rate.basis for dollars in priced):
        yield f"hourly price: {basis}"
    for day in dict.fromkeys(dollars.day for dollars in priced):
        yield from dated_sources([one.model.quote for of in priced if of.day == day for one in of.apis], day)


def _verdict(counts: dict[Outcome, int]) -> Verdict:
    """API prices reflect self-hosting where no utilisation makes up for them: they ask no more than it costs.

    Comparisons in doubt may turn out either way, so that with them only a mixture of the others is told.
    """
    if counts["never"] and counts["from"]:
        return "partly"
    if counts["doubt"] or not any(counts.values()):
        return "cannot be told here"
    return "holds" if counts["never"] else "does not hold"


def _because(counts: dict[Outcome, int], given: bool, example: Sequence[float]) -> str:
    compared = sum(counts.values())
    if not compared:
        asked = "no row has dollars" if given else "no measured row was given (name a RUN)"
        both = example and min(example) <= 1 < max(example)
        shown = "; the example shows that the same machine loses to one API and beats another" if both else ""
        return f"{asked}{shown}."
    said = [f"{counts[key]} {meaning}" for key, meaning in MEANINGS.items() if counts[key]]
    said[0] = said[0].replace(" ", f" of {compared} comparison{'' if compared == 1 else 's'} ", 1)
    return f"in {'; in '.join(said)}. The same requests, tokens taken as equal, {QUALITY}."
