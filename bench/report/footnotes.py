"""Assumptions, sources and reasons under a table: a dollar without them means nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bench.cost import api_prices
from bench.report import table
from bench.report.rows import Row


def footnotes(rows: Sequence[Row]) -> list[str]:
    """One sentence each, in reading order."""
    notes = [*_dollar_notes(rows), *_model_notes(rows)]
    for row in rows:
        name = _name(row)
        if row.figures is None:
            failure = row.failure
            reason = failure.reason if failure is not None else "no reason was recorded"
            remedy = f"; {failure.remedy}" if failure is not None and failure.remedy else ""
            notes.append(f"{name}: {row.status}: {_line(reason)}{_line(remedy)}")
        for reason_against in row.verdict:
            notes.append(f"{name}: {_line(reason_against.text())}")
        if row.no_dollars_because:
            notes.append(f"{name}: no dollars: {_line(row.no_dollars_because)}")
    return list(dict.fromkeys(notes))


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
    if any(row.figures is not None and row.figures.facts.random_weights for row in rows):
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


def _name(row: Row) -> str:
    work = row.cell.workload
    return (
        f"{table.model(row)} {table.precision(row)}, batch {work.batch_size}, "
        f"{work.input_tokens} in, {work.output_tokens} out"
    )


def _line(text: str) -> str:
    return " ".join(text.split())
