"""Claim: if developers can self-host at marginal cost, API pricing must reflect that."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from bench.claims.claim import QUALITY, Claim, Verdict, money, row_name
from bench.cost import api_prices, break_even, hardware_prices
from bench.errors import InputError
from bench.report.costs import ApiComparison
from bench.report.rows import Row
from bench.report.table import number, percent

MACHINE = ("runpod", "Community Cloud H100 SXM")
INPUT_TOKENS_PER_S, OUTPUT_TOKENS_PER_S = 8000.0, 1000.0
"""Of the example: what an H100 might take in and give out. Assumed, not measured."""

EXAMPLE_APIS = ("groq/llama-3.1-8b-instant", "together/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo")


def claim(rows: Sequence[Row], as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """Break-even of each measured row against each API it was compared with, beside an example in rates."""
    example, figures, sources = _example(as_of, files)
    compared = [(index, row, one) for index, row in enumerate(rows, 1) if row.dollars for one in row.dollars.apis]
    never = sum(_never(one) for _, _, one in compared)
    lines = [_line(index, row, one) for index, row, one in compared]
    lines += [line for index, row in enumerate(rows, 1) for line in _beside(index, row)]
    return Claim(
        title="Self-hosting at marginal cost",
        statement="If developers can self-host at marginal cost, API pricing must reflect that.",
        arithmetic=(*example, *lines),
        sources=tuple(dict.fromkeys((*sources, *_sources(rows)))),
        verdict=_verdict(never, len(compared)),
        because=_because(never, len(compared), bool(rows), list(figures.values())),
        figures=figures | {"never": float(never), "comparisons": float(len(compared))},
    )


def _example(as_of: date | None, files: Sequence[str]) -> tuple[list[str], dict[str, float], list[str]]:
    """The break-even of a machine that nobody measured, at the prices of the lists."""
    machine = next(one for one in hardware_prices.rows() if (one.provider, one.instance) == MACHINE)
    per_hour = machine.usd_per_hour or 0.0
    lines = [
        f"example, not measured: an H100 at {money(per_hour)} per hour that takes in {INPUT_TOKENS_PER_S:,.0f} and "
        f"gives out {OUTPUT_TOKENS_PER_S:,.0f} tok/s"
    ]
    figures: dict[str, float] = {}
    sources = [f"hourly price: {machine.provider} {machine.instance}, as of {machine.as_of}, grade {machine.letter}"]
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
        sources.append(f"{name}: {api_prices.dated(api.quote, as_of or datetime.now(UTC).date())}")
    return lines, figures, sources


def _never(of: ApiComparison) -> bool:
    return of.break_even_utilisation is None


def _line(index: int, row: Row, one: ApiComparison) -> str:
    assert row.dollars is not None
    per_request = row.dollars.usd_per_request.value * row.dollars.utilisation
    share = one.break_even.value if one.break_even is not None else None
    outcome = "never" if _never(one) else f"from {percent(share or 0.0)} on"
    return (
        f"{row_name(index, row)}: ${number(per_request * 1000)} per 1,000 requests at full load against "
        f"${number(one.api_usd_per_request * 1000)} at {one.api}: u* = {number(share)}, {outcome}"
    )


def _beside(index: int, row: Row) -> Iterator[str]:
    """Why a row has no dollars; and the marginal cost in the strict sense, electricity, where joules are known."""
    if row.dollars is None:
        yield f"{row_name(index, row)}: no dollars ({row.no_dollars_because or row.status})"
        return
    electricity = row.dollars.electricity_usd_per_mtok
    if electricity is None:
        return
    tokens = row.cell.workload.output_tokens
    per_request = electricity.value * tokens / 1e6
    shares = ", ".join(f"{percent(per_request / one.api_usd_per_request)} of {one.api}" for one in row.dollars.apis)
    yield (
        f"{row_name(index, row)}: electricity alone ${number(per_request * 1000)} per 1,000 requests "
        f"(${number(electricity.value)} per Mtok out · {tokens} tokens): {shares}"
    )


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    for dollars in (row.dollars for row in rows if row.dollars is not None):
        yield f"hourly price: {dollars.rate.basis}"
        yield from (f"{one.api}: {api_prices.dated(one.model.quote, dollars.day)}" for one in dollars.apis)


def _verdict(never: int, compared: int) -> Verdict:
    """API prices reflect self-hosting where no utilisation makes up for them: they ask no more than it costs."""
    if not compared:
        return "cannot be told here"
    return "holds" if never == compared else "partly" if never else "does not hold"


def _because(never: int, compared: int, given: bool, example: Sequence[float]) -> str:
    if not compared:
        asked = "no row has dollars" if given else "no measured row was given (name a RUN)"
        both = example and min(example) <= 1 < max(example)
        shown = "; the example shows that the same machine loses to one API and beats another" if both else ""
        return f"{asked}{shown}."
    return (
        f"in {never} of {compared} comparisons the API asks less than this machine costs at full load, so its price "
        "reflects self-hosting; in the others a machine that is busy enough is cheaper, and whether it is kept so "
        f"decides. The same requests, tokens taken as equal, {QUALITY}."
    )
