"""Assumptions, sources and reasons under a table: a dollar without them means nothing."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.cost.api_prices import usd
from bench.report import machines, places, quality_text, table
from bench.report.costs import ApiComparison, Dollars
from bench.report.rows import Row
from bench.schema import Workload

BUILTIN_TYPE = "Q4_1"
"""How an engine that computes on the built-in model's own GGUF file names its weights."""


def footnotes(rows: Sequence[Row]) -> list[str]:
    """One sentence each, in reading order; those that do not hold for every row name the rows."""
    found = grouped(rows)
    return [text if len(numbers) == len(rows) else f"{text} [{ranges(numbers)}]" for text, numbers in found.items()]


def grouped(rows: Sequence[Row], against: bool = True) -> dict[str, list[int]]:
    """The sentences in reading order, each with the numbers (from 1) of the rows that it is about.

    `against`: also what is to be said against single rows, and why they were measured no longer.
    """
    found: dict[str, list[int]] = {}
    cells = Counter(row.cell.cell_id for row in rows)
    for number, row in enumerate(rows, 1):
        for text in (
            *_dollar_notes(row),
            *_limit_notes(row),
            *_model_notes(row),
            *quality_text.notes(row),
            *(_sampling_notes(row) if against else ()),
            _machine_note(row),
            *machines.comparison(row, rows),
            *(_against(row) if against else ()),
            *(_twin_notes(row, rows) if cells[row.cell.cell_id] > 1 else ()),
        ):
            found.setdefault(_line(text), []).append(number)
    return found


def _against(row: Row) -> list[str]:
    """What is to be said against a row: its failure, or the reasons in its verdict."""
    if row.figures is None:
        failure = row.failure
        if failure is None:
            return [f"{row.status}: no reason was recorded"]
        return [f"{row.status}: {failure.reason}" + (f"; {failure.remedy}" if failure.remedy else "")]
    found = [f"{reason.code}: {reason.text()}" for reason in row.verdict]
    if row.no_dollars_because:
        found.append(f"no dollars: {row.no_dollars_because}")
    return found


def _limit_notes(row: Row) -> list[str]:
    """What the physical limit was taken from, or why there is none; the same for energy."""
    if row.figures is None:
        return []
    of, energy = row.figures.roofline, row.figures.energy
    if of.mbu is None and of.mfu is None:
        notes = [f"MBU and MFU: not available: {of.reason}."]
    else:
        notes = [
            f"MBU, MFU, floor: bytes of a decode step over the bandwidth, FLOPs of the prefill over the peak rate, and "
            f"$/Mtok blended at both limits; ceiling: {of.basis}. Decode limit: the resource that bounds decode here, "
            "and the share of that bound which was reached."
        ]
        if of.reason:
            notes.append(f"Not available: {of.reason}.")
    if energy.j_per_output_token is None:
        notes.append(f"Energy: not available: {'; '.join(dict.fromkeys(energy.reasons.values()))}.")
    else:
        counters = ", ".join(f"{name.removesuffix('_energy_j')}: {source}" for name, source in energy.sources.items())
        notes.append(
            f"J/token: joules of the timed rounds over output tokens, the prompt's share included; {counters}."
        )
        if row.dollars is not None and row.dollars.electricity_usd_per_mtok is not None:
            notes.append(
                "Electricity per million output tokens, for owned hardware: a cloud price has it in it already."
            )
    return notes


def _sampling_notes(row: Row) -> list[str]:
    """Why no more replicates were measured."""
    stop = row.stop
    if stop is None or row.figures is None:
        return []
    target = f"±{stop.target:.1%}"
    width = "" if stop.half_width is None else f" at {table.width(stop.half_width, 1)}"
    if stop.ending == "target":
        return [f"Sampling ended because prefill, decode and output rates were within {target}."]
    if stop.ending == "budget":
        return [f"Sampling ended{width}, before {target}, by the time budget (sampling.budget_s)."]
    if stop.ending == "max-replicates":
        return [f"Sampling ended{width}, before {target}, by the number of replicates (sampling.max_replicates)."]
    return []


def _twin_notes(row: Row, rows: Sequence[Row]) -> list[str]:
    """What tells rows of one cell apart: the weights (its revision moved, its file was replaced), or the machine."""
    twins = [other for other in rows if other.cell.cell_id == row.cell.cell_id and other is not row]
    if not twins:
        return []
    differs = sorted({name for other in twins for name in row.environment.differs_from(other.environment)})
    said = row.environment.model_dump(mode="json") | row.environment.packages
    notes = [f"Of several rows of this cell, this one had {name} {said.get(name)}." for name in differs]
    if row.figures is not None and row.figures.facts.weights_id is not None:
        notes.append(f"Weights {row.figures.facts.weights_id}.")
    return notes


def _dollar_notes(row: Row) -> list[str]:
    priced, work = row.dollars, row.cell.workload
    if priced is None:
        return []
    idle = " (nothing idle; at 50% every dollar here doubles)" if priced.utilisation == 1 else ""
    notes = [
        f"Hardware price{'' if row.machine is None else f' of {row.machine}'}: {priced.rate.basis}.",
        f"Utilisation {table.percent(priced.utilisation)}: the share of the tokens that the machine could serve in its "
        f"paid hours which it does serve{idle}.",
        f"$/Mtok in and out: the bill {priced.split}{_METHODS.get(priced.method, '')}; the parts add up to the bill. "
        "Blended: the bill over all tokens of this row.",
    ]
    parts = (priced.input_usd_per_mtok, priced.cached_usd_per_mtok, priced.output_usd_per_mtok)
    if priced.no_fit_because:
        notes.append(f"Split by measured time, because there is no fit: {priced.no_fit_because}.")
    if work.cached_tokens and priced.cached_usd_per_mtok is None:
        notes.append(
            "Cached tokens have no price of their own here: all of the prefill is charged to the uncached ones."
        )
    if parts == (None, None, None):
        notes.append("One output token has no decode time: its bill is not split.")
    if any(one is not None and one.low is None and one.high is not None for one in parts):
        notes.append("≤: the upper end of the interval; the value cannot be told from zero.")
    if priced.one_off is not None:
        notes.append(
            f"One-off: ${priced.one_off.usd:g} for {priced.one_off.what} over {priced.one_off.mtok:g} Mtok; it is in "
            "vs API and break-even, and not in the other dollars."
        )
    if "electricity" in priced.beside_usd_per_request:
        notes.append("Electricity of the measured joules is in vs API and break-even; the owner's rate has none in it.")
    return notes + _api_notes(row, priced)


_METHODS = {
    "time": ", prefill to input and decode to output",
    "fit": " of seconds to tokens, whose residual stands in each row",
    "ratio": ", which is an assumption",
}


def _api_notes(row: Row, priced: Dollars) -> list[str]:
    apis = ", ".join(_api(one) for one in priced.apis)
    quality = "quality" if row.quality is None else "quality of the APIs is"
    days = f"on {priced.day}" if priced.day == datetime.now(UTC).date() else f"as of {priced.day}"
    notes = [
        f"vs API and break-even: against the cheapest of {apis} for the same request, {days}. Break-even is the "
        "utilisation from which self-hosting is cheaper; above 100% is never, and '?' says that the interval reaches "
        "to both sides. Tokens are the measured model's (tokenizers differ: `bench breakeven` compares the same text); "
        f"{quality} not compared.",
    ]
    notes += merged([note for one in priced.apis for note in one.model.notes(priced.day)])
    return notes + cached_notes(row.cell.workload, priced)


def cached_notes(work: Workload, priced: Dollars) -> list[str]:
    """How much of a prompt each API is taken to have in its cache, and what it asks for that."""
    found = [one for one in priced.apis if one.cached_tokens]
    if not found:
        return []
    share = found[0].cached_tokens / work.input_tokens
    assumed = "as measured" if found[0].cached_tokens == work.cached_tokens else f"{share:.0%} assumed"
    tiers = [(one.api, one.model.tariff.at(work.input_tokens)) for one in found]
    prices = ", ".join(f"{name} {usd(tier.cached)}" for name, tier in tiers if tier.cached != tier.input)
    without = ", ".join(name for name, tier in tiers if tier.cached == tier.input)
    missing = f"; no cached price listed, so the input price: {without}" if without and prices else ""
    return [
        f"{found[0].cached_tokens} of {work.input_tokens} prompt tokens ({assumed}) are taken as cached at the API, in "
        f"USD per Mtok: {prices or 'no API lists a price of its own'}{missing}. Writing the cache is not priced."
    ]


def merged(notes: Sequence[str]) -> list[str]:
    """What is said of several names in the same words, said once.

    >>> merged(["a/x: old", "b/y: old", "b/y: new"])
    ['a/x, b/y: old.', 'b/y: new.']
    """
    said: dict[str, list[str]] = {}
    for note in notes:
        name, _, text = note.partition(": ")
        said.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}." for text, names in said.items()]


def _api(one: ApiComparison) -> str:
    tier = one.model.tariff.tiers[0]
    return f"{one.api} ({usd(tier.input)} in, {usd(tier.output)} out)"


def _model_notes(row: Row) -> list[str]:
    notes = []
    if row.figures is not None:
        interval = ""
        if row.replicates > 1:
            interval = "; ± is a 95% interval over them (TTFT has that of prefill, TPOT that of decode)"
        notes.append(f"Replicates (new processes, interleaved in random order): {row.replicates} a row{interval}.")
        placed = places.note(row.figures.facts)
        notes += [] if placed is None else [placed]
    if table.is_random(row):
        notes.append("Random weights: true shapes, so true speed and memory of a dense model; no quality.")
    if row.cell.model.source.startswith("builtin:"):
        is_own = row.figures is not None and row.figures.facts.dtype == BUILTIN_TYPE
        what = "used as it is, a Q4_1 file" if is_own else "dequantised from Q4_1"
        notes.append(f"The built-in model is {what}: true for speed and cost, not the original's quality.")
    return notes


def _machine_note(row: Row) -> str:
    machine = row.environment
    devices = ", ".join(device.name for device in machine.accelerators) or "no accelerator"
    versions = ", ".join(f"{name} {version}" for name, version in list(machine.packages.items())[:3])
    memory_gb = machine.memory_total_bytes / 1e9
    parts = [machine.cpu_model, f"{machine.cpu_usable} CPUs", f"{memory_gb:.0f} GB", devices]
    return f"Machine: {', '.join(parts)}{versions and '; ' + versions}."


def ranges(numbers: Sequence[int]) -> str:
    """Row numbers, shortened.

    >>> ranges([1, 2, 3, 5]), ranges([4])
    ('rows 1–3, 5', 'row 4')
    """
    parts: list[tuple[int, int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    text = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in parts)
    return ("row " if len(numbers) == 1 else "rows ") + text


def _line(text: str) -> str:
    return " ".join(text.split())
