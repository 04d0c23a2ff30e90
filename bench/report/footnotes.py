"""Assumptions, sources and reasons under a table: a dollar without them means nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bench.cost import api_prices
from bench.report import table
from bench.report.rows import Row


def footnotes(rows: Sequence[Row]) -> list[str]:
    """One sentence each, in reading order."""
    notes = [*_dollar_notes(rows), *_model_notes(rows)]
    against: dict[str, list[int]] = {}
    for number, row in enumerate(rows, 1):
        for text in _against(row):
            against.setdefault(_line(text), []).append(number)
    for text, numbers in against.items():
        notes.append(f"{text} [{_ranges(numbers, len(rows))}]")
    return list(dict.fromkeys(notes))


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


def _dollar_notes(rows: Sequence[Row]) -> list[str]:
    priced = [row.dollars for row in rows if row.dollars is not None]
    if not priced:
        return []
    first = priced[0]
    notes = ["Hardware price: " + "; ".join(dict.fromkeys(one.rate.basis for one in priced)) + "."]
    notes.append(
        f"Utilisation {first.utilisation:.0%}: the machine serves for that share of the hours it is paid for"
        + (" (nothing idle; at 50% every dollar here doubles)." if first.utilisation == 1 else ".")
    )
    notes.append(
        "$/Mtok in and out: the bill split by measured time, prefill to input and decode to output; "
        "the parts add up to the bill. Blended: the bill over all tokens of this row."
    )
    apis = ", ".join(_api(one.api) for one in first.apis)
    today = datetime.now(UTC).date().isoformat()
    notes.append(
        f"vs API and break-even: against the cheapest of {apis} for the same request; prices of {api_prices.source()}, "
        f"read {today}. Break-even is the utilisation from which self-hosting is cheaper; above 100% is never. "
        "Token counts are the measured model's (tokenizers differ); quality not compared."
    )
    return notes


def _api(name: str) -> str:
    found = api_prices.lookup(name)
    return f"{name} (${found.input_usd_per_mtok:g} in, ${found.output_usd_per_mtok:g} out)"


def _model_notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    counts = sorted({row.replicates for row in rows if row.figures is not None})
    if counts:
        shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        notes.append(f"Replicates (new processes, interleaved): {shown} a row; ± is a 95% interval over them.")
    if any(table.is_random(row) for row in rows):
        notes.append("Random weights: true shapes, so true speed and memory of a dense model; no quality.")
    for row in rows:
        if row.cell.model.source.startswith("builtin:"):
            notes.append(
                "The built-in model is dequantised from Q4_1: true for speed and cost, not the original's quality."
            )
    machines = {row.environment.fingerprint(): row.environment for row in rows}
    for machine in machines.values():
        devices = ", ".join(device.name for device in machine.accelerators) or "no accelerator"
        versions = ", ".join(
            f"{name} {version}"
            for name, version in machine.packages.items()
            if name in ("torch", "transformers", "bitsandbytes")
        )
        memory_gb = machine.memory_total_bytes / 1e9
        notes.append(
            f"Machine: {machine.cpu_model}, {machine.cpu_usable} CPUs, {memory_gb:.0f} GB, {devices}; {versions}."
        )
    return notes


def _ranges(numbers: Sequence[int], total: int) -> str:
    """Row numbers, shortened.

    >>> _ranges([1, 2, 3, 5], 9), _ranges([1, 2], 2), _ranges([4], 9)
    ('rows 1–3, 5', 'all rows', 'row 4')
    """
    if len(numbers) == total > 1:
        return "all rows"
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
