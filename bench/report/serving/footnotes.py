"""Assumptions, sources and reasons under a table of cells under load: a dollar without them means nothing."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.cost.api_prices import usd
from bench.cost.billed import Bill
from bench.metrics.serving.billed import Billed
from bench.report.footnotes import merged, ranges
from bench.report.serving.counters import Counted
from bench.report.serving.row import ServingDollars, ServingRow, is_open
from bench.report.table import number, percent
from bench.schema import Serving

ENDED = {
    "requests": "by its number of requests",
    "duration": "by its duration",
    "precision": "because it was precise enough",
    "errors": "because too many requests failed",
    "oversaturated": "because the queue grew without end",
    "money": "because the money that it may spend was used up",
    "prompts": "because the prompts ran out",
    "trace": "at the end of the trace",
    "interrupted": "by a person",
}
LENGTHS = {
    "ids": "token ids of exact number",
    "tokenizer": "text that a local tokenizer counted",
    "estimate": "text of so many words, by the ratio that the probe saw",
    "file": "those of a file",
}


def footnotes(rows: Sequence[ServingRow]) -> list[str]:
    """One sentence each, in reading order; those that do not hold for every row name the rows."""
    return [_merged(frame, values, len(rows)) for frame, values in _framed(rows).items()]


def grouped(rows: Sequence[ServingRow], against: bool = True) -> dict[str, list[int]]:
    """The sentences in reading order, each with the numbers (from 1) of the rows that it is about.

    `against`: also what is to be said against single rows.
    """
    framed = _framed(rows, against).items()
    return {f"{before}{value}{after}": numbers for (before, after), of in framed for value, numbers in of.items()}


def _framed(rows: Sequence[ServingRow], against: bool = True) -> dict[tuple[str, str], dict[str, list[int]]]:
    """By what sentences have in common: their differing middles, each with its rows."""
    found: dict[tuple[str, str], dict[str, list[int]]] = {}
    for number_, row in enumerate(rows, 1):
        texts = [*_dollar_notes(row), *_load_notes(row), *_server_notes(row), _machine_note(row)]
        texts += _against(row) if against else ()
        for text in texts:
            before, value, after = (_line(part) for part in ((text, "", "") if isinstance(text, str) else text))
            found.setdefault((before, after), {}).setdefault(value, []).append(number_)
    return found


Note = str | tuple[str, str, str]
"""A sentence, or what stands before and after that of it in which rows differ."""


def _merged(frame: tuple[str, str], values: dict[str, list[int]], rows: int) -> str:
    before, after = frame
    if len(values) > 1:
        return before + "; ".join(f"{value} [{ranges(numbers)}]" for value, numbers in values.items()) + after
    ((value, numbers),) = values.items()
    text = f"{before}{value}{after}"
    return text if len(numbers) == rows else f"{text} [{ranges(numbers)}]"


def _line(text: str) -> str:
    """Without line breaks, whatever a server said."""
    return re.sub(r"\s+", " ", text)


def _against(row: ServingRow) -> list[Note]:
    """What is to be said against a row: its failure, or the reasons in its verdict."""
    if row.figures is None:
        failure = row.failure
        if failure is None:
            return [f"{row.status}: no reason was recorded"]
        spent = f"; ${number(row.failed_runs_usd)} were spent on it" if row.failed_runs_usd else ""
        return [f"{row.status}: {failure.reason}" + (f"; {failure.remedy}" if failure.remedy else "") + spent]
    found: list[Note] = [(f"{reason.code}: ", reason.what, f": {reason.remedy}") for reason in row.verdict]
    if row.no_dollars_because:
        found.append(f"no dollars: {row.no_dollars_because}")
    return found


def _load_notes(row: ServingRow) -> list[Note]:
    figures = row.figures
    if figures is None:
        return []
    notes: list[Note] = [
        "TTFT, TPOT, ITL and E2EL in ms, over requests sent in the steady window; n<… is how many it would take.",
    ]
    if is_open(row.traffic):
        notes.append("Open loop: TTFT and E2EL count from the schedule, so what waited to be sent has waited too.")
    if figures.times.get("icl_s") and not figures.times.get("itl_s"):
        notes.append("c: gaps between chunks (ICL), because nobody says how many tokens a chunk holds.")
    if figures.objectives:
        said = " and ".join(one.slo.text() for one in figures.objectives)
        notes.append(
            f"SLO: {said}. Attained: the share of requests, failed ones included, that met all of them; goodput counts "
            "those alone; '?' where the 95% interval of a share reaches to both sides."
        )
    for serving in row.servings[:1]:
        notes.append(("Prompts: ", LENGTHS.get(serving.length_source, serving.length_source), "."))
    ended = dict.fromkeys(ENDED.get(one.ended, one.ended) for one in row.servings)
    notes.append(("Sending ended ", " or ".join(ended), "."))
    odd = dict.fromkeys(run.steady.note for run in figures.runs if run.steady.note)
    notes += [("Steady window: ", "; ".join(odd), ".")] if odd else []
    notes.append("Whole run: output tok/s with ramp and drain, beside those of the steady window.")
    statuses: dict[str, int] = {}
    for run in figures.runs:
        for name, count in run.statuses.items():
            if name not in ("ok", "cancelled"):
                statuses[name] = statuses.get(name, 0) + count
    if statuses:
        told = ", ".join(f"{count} {name}" for name, count in sorted(statuses.items()))
        notes.append(("Failed requests: ", told, "."))
    interval = "replicates" if len(figures.runs) > 1 else "batch means of its one replicate"
    notes.append(("Replicates: ", str(row.replicates), f"; ± is a 95% interval over {interval}."))
    return notes


def _server_notes(row: ServingRow) -> list[Note]:
    notes: list[Note] = [f"Probe: {note}." for serving in row.servings[:1] for note in serving.capabilities.notes]
    notes += [f"{note.rstrip('.')}." for note in dict.fromkeys(note for one in row.servings for note in one.notes)]
    own = [one.server for one in row.servings if one.server is not None]
    if own:
        text = f"ready after {number(max(one.load_s for one in own))} s"
        first = [one.first_request_s for one in own if one.first_request_s is not None]
        notes.append(("Server: ", text + (f", first answer in {number(max(first))} s" if first else ""), "."))
    told = _counted_text(row.counted)
    if told:
        notes.append(("By the server's own counters: ", told, "."))
    return notes


def _counted_text(of: Sequence[Counted]) -> str:
    parts = []
    rates = [one.generated_tokens_per_s for one in of if one.generated_tokens_per_s is not None]
    hits = [one.prefix_hit_rate for one in of if one.prefix_hit_rate is not None]
    waiting = [one.queue_max for one in of if one.queue_max is not None]
    if rates:
        parts.append(f"{number(sum(rates) / len(rates))} output tok/s")
    if hits:
        parts.append(f"{percent(sum(hits) / len(hits))} of prompt tokens from its prefix cache")
    if waiting:
        parts.append(f"at most {number(max(waiting))} requests waiting")
    lengths = " and ".join(dict.fromkeys(f"{one.length_s:.3g} s" for one in of))
    return f"{', '.join(parts)} over {lengths} of the window" if parts else ""


def _dollar_notes(row: ServingRow) -> list[Note]:
    of, bill = row.dollars, row.bill
    notes = [] if bill is None else _bill_notes(bill, row)
    if of is None:
        return notes
    notes += _hour_notes(of, row.machine) if bill is None else [_check_text(of.checked)]
    return [*notes, *_api_notes(of)]


def _hour_notes(of: ServingDollars, machine: str | None) -> list[Note]:
    assert of.rate is not None
    idle = " (nothing idle; at 50% every dollar here doubles)" if of.utilisation == 1 else ""
    notes: list[Note] = [
        f"Hardware price{'' if machine is None else f' of {machine}'}: {of.rate.basis}; of {of.whose}.",
        f"Utilisation {percent(of.utilisation)}: the share of what the machine serves at this load that it does serve "
        f"in its paid hours{idle}.",
        "$/Mtok: the hour over all tokens served in it, input and output together. A server prefills and decodes at "
        f"once, so in and out are told apart by an assumed price ratio of {of.ratio:g} (out:in, cached as in); they "
        "add up to the bill. All-in is the whole bill over output tokens alone: nothing may be added to it.",
    ]
    if of.good is not None:
        notes.append("$/Mtok good: all of the time is paid, and only requests that met every objective count.")
    if of.one_off_usd_per_mtok:
        notes.append(f"One-off: ${number(of.one_off_usd_per_mtok)} per Mtok, in vs API and break-even alone.")
    if of.asleep is not None:
        duty = of.asleep.duty
        notes.append(
            (
                f"Asleep: on for {percent(duty.share)} of the month with {number(duty.starts_per_month)} starts that "
                f"serve nothing: ${number(of.asleep.usd_per_month)} a month; ",
                f"{number(duty.cold_start_s)} s a start, up to "
                f"{number(of.asleep.capacity_requests_per_month.value)} requests",
                ".",
            )
        )
    if of.not_asleep_because:
        notes.append(f"At the duty cycle: not available: {of.not_asleep_because}.")
    return notes


def _bill_notes(bill: Bill, row: ServingRow) -> list[Note]:
    probe = "" if bill.probe_usd is None else f", ${number(bill.probe_usd)} of them for the probe"
    runs = f", ${number(bill.failed_runs_usd)} for runs without figures" if bill.failed_runs_usd else ""
    limit = "" if bill.allowance_usd is None else f" A run might spend ${number(bill.allowance_usd)}."
    ours = [one.spent_usd for one in row.servings if one.spent_usd is not None]
    said = f" The runs counted at most ${number(sum(ours))} themselves." if ours else ""
    per_mtok = " $/Mtok: that of the requests over the tokens of those that succeeded."
    notes: list[Note] = [
        (
            f"Billed as {bill.api}: ",
            f"${number(bill.usd)} by the usage of {bill.counted:,} requests, warm-up and {bill.failed_counted:,} "
            f"failed or cancelled ones included{probe}{runs}.{limit}{said}",
            "" if row.dollars is None else per_mtok,
        )
    ]
    if bill.uncounted:
        notes.append(
            f"{bill.uncounted:,} requests came without usage, so nobody knows what was charged for them: about "
            f"${number(bill.estimated_usd)} more by our own counts."
        )
    return notes


def _check_text(found: Billed | None) -> str:
    if found is None:
        return "Billed usage was not checked: no request has a local count (tokenizer: of the endpoint names one)."
    parts = []
    for name, side in (("prompt", found.input), ("output", found.output)):
        share = "" if side.share is None else f" ({side.share:+.1%})"
        told = f"{side.billed:,} {name} tokens billed, {side.local:,} counted here"
        parts.append(f"{told}, {side.unexplained:+,}{share} unexplained")
    left = f"; {found.left_out:,} requests lack one of the counts" if found.left_out else ""
    return (
        f"Billed usage of {found.requests:,} requests: {'; '.join(parts)}: {_signed(found.usd_difference)} of "
        f"difference, {_signed(found.usd_unexplained)} of it unexplained by chat template, reasoning and ends of "
        f"answers{left}."
    )


def _signed(dollars: float | None) -> str:
    return "$?" if dollars is None else f"{'-' if dollars < 0 else ''}${number(abs(dollars))}"


def _api_notes(of: ServingDollars) -> list[Note]:
    apis = ", ".join(
        f"{one.api} ({usd(one.model.tariff.tiers[0].input)} in, {usd(one.model.tariff.tiers[0].output)} out)"
        for one in of.apis
    )
    days = f"on {of.day}" if of.day == datetime.now(UTC).date() else f"as of {of.day}"
    notes: list[Note] = [
        f"vs API{' and break-even' if of.bill is None else ''}: against the cheapest of {apis} for the measured tokens "
        "(uncached, cached, output with reasoning), each request at the prices of its own size, "
        f"{days}. Break-even is the utilisation from which self-hosting is cheaper; above 100% is never, and '?' says "
        "that the interval reaches to both sides. Quality not compared.",
    ]
    notes += merged([note for one in of.apis for note in one.model.notes(of.day)])
    known = [one for one in of.apis if one.tokens_per_own is not None]
    if known:
        said = ", ".join(f"{one.api} {number(one.tokens_per_own)}" for one in known)
        without = [one.api for one in of.apis if one.tokens_per_own is None]
        rest = f"; not known, taken as equal: {', '.join(without)}" if without else ""
        notes.append(
            f"Tokens are the measured model's. For the same prose an API charges so many for one of them: {said}{rest}."
        )
    else:
        notes.append("Tokens are the measured model's; an API may make more or fewer of the same text.")
    return notes


def _machine_note(row: ServingRow) -> str:
    machine = row.environment
    devices = ", ".join(device.name for device in machine.accelerators) or "no accelerator"
    where = _where(row.servings[0]) if row.servings else "Client's machine"
    memory_gb = machine.memory_total_bytes / 1e9
    return f"{where}: {machine.cpu_model}, {machine.cpu_usable} CPUs, {memory_gb:.0f} GB, {devices}."


def _where(serving: Serving) -> str:
    return "Machine of client and server" if serving.loopback else "Client's machine (the server's is not known)"
