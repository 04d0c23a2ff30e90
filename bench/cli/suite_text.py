"""What a suite says: the estimate before it starts, and the summary of what there is."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cli import COMMAND, warn
from bench.cli.suite_members import Planned
from bench.cli.watch import duration
from bench.errors import InputError
from bench.execute.estimate import Expected, Range
from bench.execute.spending import Spending, Tally
from bench.metrics.statistics import Estimate
from bench.plan.suite import Budget
from bench.report import table
from bench.report.rows import Row
from bench.report.serving import table as serving_table
from bench.report.serving.row import ServingRow, load_text
from bench.sensors import environment
from bench.store import JOURNAL

Line = tuple[str, ...]

BEFORE = ("member", "cells", "done", "failed", "left", "at least", "likely", "limit", "USD", "based on")
AFTER = ("member", "cells", "done", "failed", "left", "replicates", "time", "USD", "cheapest $/Mtok", "of")
LEFT = (0, 9)


@dataclass(frozen=True)
class Summed:
    """One member as it stands: its cells, what it took in all sessions, and its rows."""

    name: str
    folder: Path
    expected: Expected
    tally: Tally
    rows: "tuple[Row | ServingRow, ...]"

    @property
    def measured(self) -> bool:
        return any(row.figures is not None for row in self.rows)


# --- before


def estimate(members: Sequence[Planned], budget: Budget, taken: Tally, folder: Path) -> str:
    """A row a member and one for all, what the dollars are made of, and how that fits into the budget."""
    lines = [_expected(one.part.name, one.expected, one.usd()) for one in members]
    seconds, usd = Range(), Range()
    known = True
    for one in members:
        seconds += one.expected.seconds
        own = one.usd()
        known = known and own is not None
        usd += own or Range()
    if len(members) > 1:
        lines.append(_all([one.expected for one in members], seconds, usd if known else None))
    said = [*_rates(members), *_limits(members), *_passes(members)]
    said.append(_budget(budget, taken))
    said += _fits(budget, taken, seconds, usd if known else None)
    drawn = _drawn(BEFORE, lines)
    return f"{drawn}\n" + "".join(f"{line}\n" for line in said) + f"results: {folder}\n"


def _expected(name: str, of: Expected, usd: Range | None) -> Line:
    return (name, str(of.cells), str(of.done), str(of.failed), str(of.left), *_times(of.seconds), _usd(usd), of.based)


def _all(every: Sequence[Expected], seconds: Range, usd: Range | None) -> Line:
    counts = (str(sum(getattr(one, name) for one in every)) for name in ("cells", "done", "failed", "left"))
    return ("all", *counts, *_times(seconds), _usd(usd), "")


def _times(of: Range) -> tuple[str, str, str]:
    if not of.most:
        return "–", "–", "–"
    return duration(of.least), "?" if of.likely is None else duration(of.likely), duration(of.most)


def _usd(of: Range | None) -> str:
    if of is None:
        return "?"
    return "–" if not of.most else f"{table.number(of.least)}–{table.number(of.most)}"


def _rates(members: Sequence[Planned]) -> list[str]:
    """Where the price of the hour comes from, once each, with whose it is where there are several; why there is none,
    where there is none."""
    here = environment.detect()
    said: dict[str, dict[str, None]] = {}
    for one in members:
        cost = one.sweep.cost
        for cell in one.cells:
            try:
                if cell.traffic is not None and cost.billed_as is not None:
                    by = f"a paid endpoint's bill at {cost.billed_as}'s prices; hours of this machine are free"
                else:
                    by = one.rates.beforehand_by(cell, here).basis
            except InputError as error:
                by = f"not known: {error.lines[0]}"
            said.setdefault(by, {})[one.part.name] = None
    whose = {by: f" of {', '.join(names)}" if len(said) > 1 else "" for by, names in said.items()}
    return [f"dollars{whose[by]}: {by}" for by in said]


def _limits(members: Sequence[Planned]) -> list[str]:
    """What the limit of a cell is that nobody has measured yet."""
    if not any(one.expected.blind for one in members):
        return []
    return [
        "limit: the sampling.budget_s of each cell; one whose fewest replicates take longer goes past it, and nothing "
        "like it was measured yet"
    ]


def _passes(members: Sequence[Planned]) -> list[str]:
    count = sum(one.expected.passes for one in members)
    return [f"quality passes to come, counted by their time limit alone: {count}"] if count else []


def _budget(budget: Budget, taken: Tally) -> str:
    parts = [] if budget.hours is None else [f"{duration(taken.seconds)} of {duration(budget.hours * 3600)}"]
    parts += [] if budget.usd is None else [f"${table.number(taken.usd)} of ${budget.usd:g}"]
    return f"budget: {' and '.join(parts)} taken" if parts else "budget: none; --budget-hours and --budget-usd set one"


def _fits(budget: Budget, taken: Tally, seconds: Range, usd: Range | None) -> list[str]:
    """Whether the least of what is to come is more than what is left."""
    short = []
    if budget.hours is not None and taken.seconds + seconds.least > budget.hours * 3600:
        short.append("time")
    if budget.usd is not None and usd is not None and taken.usd + usd.least > budget.usd:
        short.append("dollars")
    if not short:
        return []
    return [f"the budget will not do for everything ({' and '.join(short)}); what fits runs, in this order"]


# --- after


def summed(folder: Path, members: Sequence[Planned], taken: Mapping[str, Tally]) -> list[Summed]:
    """Every member as its folder has it now."""
    from bench.entries.runs import rows_of_both

    found = []
    for one in members:
        own = folder / one.part.name
        rows: tuple[Row | ServingRow, ...] = ()
        if (own / JOURNAL).is_file():
            try:
                batches, loads = rows_of_both(own, one.sweep.cost, lambda _: None)
                rows = (*batches, *loads)
            except InputError as error:
                warn(f"{own}: {error.lines[0]}")
        found.append(Summed(one.part.name, own, one.expected, taken[one.part.name], rows))
    return found


def summary(folder: Path, found: Sequence[Summed], taken: Tally, budget: Budget, waits: Sequence[str]) -> str:
    """A row a member and one for all, the budget, and what to type next."""
    lines = _summed_lines(found)
    if len(found) > 1:
        every = [one.expected for one in found]
        counts = (str(sum(getattr(one, name) for one in every)) for name in ("cells", "done", "failed", "left"))
        replicates = str(sum(one.replicates for one in every))
        lines.append(("all", *counts, replicates, duration(taken.seconds), _spent(taken), "", ""))
    said = [*_of_all(found), _budget(budget, taken), *waits]
    if any(one.measured for one in found):
        said.append(f"to show: {COMMAND} report {folder} -o {folder}/report.html   (one page of all members)")
        said.append(f"one member: {COMMAND} report {next(one.folder for one in found if one.measured)}")
    return f"\n{_drawn(AFTER, lines)}\n" + "".join(f"{line}\n" for line in said)


def markdown(name: str, found: Sequence[Summed]) -> str:
    """The same rows, to be kept beside the members."""
    from tabulate import tabulate

    from bench.report.render import escaped

    align = ["left" if index in LEFT else "right" for index in range(len(AFTER))]
    cells = [[escaped(one) for one in line] for line in _summed_lines(found)]
    heads = [escaped(one) for one in AFTER]
    return f"# {escaped(name)}\n\n{tabulate(cells, heads, 'pipe', colalign=align, disable_numparse=True)}\n"


def waiting(names: Sequence[str], spending: Spending) -> list[str]:
    """That the budget is spent, for whom, and how to go on."""
    if not names:
        return []
    limits = (("hours", spending.limit_s), ("usd", spending.limit_usd))
    which = [f"--budget-{name}" for name, limit in limits if limit is not None and name in (spending.short or (name,))]
    spent = "spent" if spending.is_spent() else "too little for a further replicate"
    return [
        f"the budget is {spent}: {', '.join(names)} wait{'s' if len(names) == 1 else ''}; "
        f"the same command with a larger {' or '.join(which)} goes on"
    ]


def _summed_lines(found: Sequence[Summed]) -> list[Line]:
    lines = []
    for one in found:
        of = one.expected
        counts = (str(number) for number in (of.cells, of.done, of.failed, of.left, of.replicates))
        took = (duration(one.tally.seconds), _spent(one.tally)) if one.tally.seconds else ("–", "–")
        lines.append((one.name, *counts, *took, *_cheapest(one)))
    return lines


def _spent(tally: Tally) -> str:
    """Dollars; what is in them is not all where some hours have no price."""
    if tally.unpriced_s and not tally.usd:
        return "?"
    return table.number(tally.usd) + (" + ?" if tally.unpriced_s else "")


def _cheapest(one: Summed) -> tuple[str, str]:
    """The row of the fewest dollars a token, with its interval; why there is none."""
    priced = [(usd, row) for row in one.rows if (usd := _usd_per_mtok(row)) is not None]
    if not priced:
        why = dict.fromkeys(row.no_dollars_because for row in one.rows if row.no_dollars_because)
        failed = dict.fromkeys(row.failure.reason for row in one.rows if row.failure is not None)
        return "–", "; ".join([*why, *failed][:1])
    usd, row = min(priced, key=lambda pair: pair[0].value)
    text = table.number(usd.value) if usd.low is None or usd.high is None else _interval(usd.low, usd.high)
    doubt = f" ({table.verdict(row) if isinstance(row, Row) else serving_table.verdict(row)})" if row.verdict else ""
    return text, f"{_named(row)}{doubt}"


def _of_all(found: Sequence[Summed]) -> list[str]:
    """The cheapest of several members that asked the same of batches; dollars of other lengths are no comparison."""
    best: dict[str, Estimate] = {}
    lengths = set()
    for one in found:
        for row in one.rows:
            usd = _usd_per_mtok(row) if isinstance(row, Row) else None
            work = row.cell.workload
            lengths.add((work.input_tokens, work.cached_tokens, work.output_tokens, row.cell.traffic is None))
            if usd is not None and (one.name not in best or usd.value < best[one.name].value):
                best[one.name] = usd
    if len(best) < 2 or len(lengths) > 1 or not all(is_batch for *_, is_batch in lengths):
        return []
    name = min(best, key=lambda each: best[each].value)
    high = best[name].high
    others = [
        each for each, usd in best.items() if each != name and (high is None or usd.low is None or usd.low <= high)
    ]
    alike = f"; by the intervals it may as well be {' or '.join(others)}" if others else ""
    return [f"the cheapest of all: {name}{alike}"]


def _interval(low: float, high: float) -> str:
    return f"{table.number(low)}–{table.number(high)}"


def _usd_per_mtok(row: "Row | ServingRow") -> Estimate | None:
    """All that a million tokens cost, input and output together, at the assumed utilisation."""
    if row.dollars is None:
        return None
    if isinstance(row, Row):
        work = row.cell.workload
        return row.dollars.all_usd_per_request.times(1e6 / (work.input_tokens + work.output_tokens))
    return row.dollars.usd_per_mtok


def _named(row: "Row | ServingRow") -> str:
    if isinstance(row, Row):
        work = row.cell.workload
        load = f"batch {work.batch_size}, {work.input_tokens} in, {work.output_tokens} out"
        return f"{table.shortened(table.model(row))} {table.precision(row)}, {load}"
    return f"{serving_table.model(row)} {serving_table.precision(row)}, {load_text(row.traffic)}"


def _drawn(headings: Sequence[str], lines: Sequence[Line]) -> str:
    import io

    from rich.console import Console

    from bench.report.render import grid, on_screen

    buffer = io.StringIO()
    width = shutil.get_terminal_size((120, 24)).columns
    console = Console(file=buffer, width=width, highlight=False, markup=False, color_system=None)
    console.print(grid(headings, list(lines), left=LEFT))
    return on_screen(buffer.getvalue())
