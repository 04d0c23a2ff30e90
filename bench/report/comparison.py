"""Cells of two runs beside each other: which are paired, their ratios, and those as text."""

import json
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.metrics.comparison import Ratio, compare
from bench.metrics.latency import Times
from bench.metrics.statistics import mean
from bench.metrics.verdict import Evidence
from bench.models import catalogue
from bench.report.render import escaped
from bench.report.table import GB, NONE, number, percent
from bench.schema import Cell, Environment
from bench.schema.precision import label

COMPARISON_SCHEMA_VERSION = 1
FORMATS = ("table", "md", "json")
MANY = 5
"""More intervals than this come with the note that some will look different by chance."""

HEADINGS = ("cells", "quantity", "A", "B", "B/A", "95% interval", "n", "outcome")
ALIGNED = ("left", "left", "right", "right", "right", "left", "right", "left")
WORDS = {"higher": "faster", "lower": "slower"}


@dataclass
class Measured:
    """What is kept of one cell's records on one machine. Replicates by their number, times of start in ISO 8601."""

    journal: str
    cell: Cell
    environment: Environment
    machine: str | None = None
    """Of a fleet: what its config calls the machine."""
    times: dict[int, Times] = field(default_factory=dict)
    started_at: dict[int, str] = field(default_factory=dict)
    peak_bytes: int | None = None
    evidence: Evidence = field(default_factory=Evidence)

    def words(self) -> dict[str, str]:
        """What the cell is called, a word for each of its dimensions."""
        cell, work = self.cell, self.cell.workload
        cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
        return {
            "model": catalogue.label(cell.model),
            "precision": label(cell.precision),
            "runner": cell.runner.name,
            "batch": work.label(),
            "lengths": f"{work.input_tokens}{cached}+{work.output_tokens}",
            "machine": "" if self.machine is None else f"on {self.machine}",
            "arm": f"arm {cell.arm}",
        }

    def name(self) -> str:
        """All of them, the arm where there are several."""
        return " ".join(word for word in self.words().values() if word not in ("", "arm 1"))


@dataclass(frozen=True)
class Line:
    """One quantity of a pair of cells, in tokens per second or bytes; memory has no interval."""

    quantity: str
    a: float
    b: float
    ratio: Ratio | None

    @property
    def value(self) -> float:
        return self.b / self.a if self.ratio is None else self.ratio.value


@dataclass(frozen=True)
class Compared:
    """Two cells, A the baseline. `caveats`: what else differs between them than what was asked."""

    a: Measured
    b: Measured
    paired: bool
    lines: tuple[Line, ...]
    caveats: tuple[str, ...]

    def name(self) -> str:
        """What both are, and what differs: `smollm2-135m bf16 → nf4 transformers batch 4 128+32`."""
        before, after = self.a.words(), self.b.words()
        words = [one if one == after[key] else f"{one} → {after[key]}" for key, one in before.items()]
        words = [word for word in words if word]
        if before["arm"] == after["arm"] == "arm 1":
            words.pop()
        options_a, options_b = self.a.cell.runner.told(), self.b.cell.runner.told()
        keys = sorted(key for key in options_a.keys() & options_b.keys() if options_a[key] != options_b[key])
        return ", ".join([" ".join(words), *(f"{key} {options_a[key]} → {options_b[key]}" for key in keys)])

    def rates(self) -> Iterator[tuple[str, Ratio]]:
        for line in self.lines:
            if line.ratio is not None:
                yield line.quantity, line.ratio


def compared(a: Measured, b: Measured, threshold: float) -> Compared:
    """All quantities of two cells. Paired where they were measured in turn, in one journal on one machine."""
    paired = _in_turn(a, b)
    both = sorted(set(a.times) & set(b.times))
    side_a, side_b = ([one.times[at] for at in (both if paired else sorted(one.times))] for one in (a, b))
    lines = []
    for name, of in _QUANTITIES.items():
        rates_a, rates_b = of(a.cell, side_a), of(b.cell, side_b)
        if rates_a and rates_b:
            ratio = compare(rates_a, rates_b, paired, threshold)
            lines.append(Line(name, _middle(rates_a), _middle(rates_b), ratio))
    if a.peak_bytes and b.peak_bytes:
        lines.append(Line("peak memory", a.peak_bytes, b.peak_bytes, None))
    return Compared(a, b, paired, tuple(lines), (*_caveats(a.environment, b.environment), *_doubts(a, b)))


def _in_turn(a: Measured, b: Measured) -> bool:
    """Whether replicates of equal number are neighbours in time: a cell that was added to a run on another day has the
    same numbers but another time."""
    if a.journal != b.journal or a.environment.fingerprint() != b.environment.fingerprint():
        return False
    if not set(a.times) & set(b.times):
        return False
    starts_a, starts_b = a.started_at.values(), b.started_at.values()
    return max(min(starts_a), min(starts_b)) <= min(max(starts_a), max(starts_b))


def _prefill(cell: Cell, times: Sequence[Times]) -> list[float]:
    """Of the prompt tokens that were processed: those in the cache before the clock started were not."""
    work = cell.workload
    tokens = work.batch_size * (work.input_tokens - work.cached_tokens)
    return [tokens / one.ttft_s for one in times if tokens and one.ttft_s]


def _decode(cell: Cell, times: Sequence[Times]) -> list[float]:
    return [cell.workload.batch_size / one.tpot_s for one in times if one.tpot_s]


def _output(cell: Cell, times: Sequence[Times]) -> list[float]:
    return [cell.workload.batch_size * cell.workload.output_tokens / one.e2el_s for one in times if one.e2el_s > 0]


_QUANTITIES: Mapping[str, Callable[[Cell, Sequence[Times]], list[float]]] = {
    "prefill tok/s": _prefill,
    "decode tok/s": _decode,
    "output tok/s": _output,
}


def _middle(rates: Sequence[float]) -> float:
    """The geometric mean, as in the table."""
    return math.exp(mean([math.log(one) for one in rates]))


def _caveats(a: Environment, b: Environment) -> Iterator[str]:
    if a.hardware() != b.hardware():
        yield f"A ran on {_machine(a)}, B on {_machine(b)}: the difference is the machines' too, no regression of one"
    if a.instrument != b.instrument:
        yield f"measured by instrument {a.instrument} and {b.instrument}, which may differ on the same machine"
    for name in sorted(set(a.packages) | set(b.packages)):
        one, other = a.packages.get(name, "none"), b.packages.get(name, "none")
        if one != other:
            yield f"{name} {one} against {other}"
    if a.hardware() == b.hardware() and a.fingerprint() != b.fingerprint() and a.packages == b.packages:
        yield "the machine was set up differently (Python, driver, power limit or governor)"


def _doubts(a: Measured, b: Measured) -> Iterator[str]:
    """What the verdict says against either side."""
    for side, one in (("A", a), ("B", b)):
        for reason in one.evidence.reasons():
            yield f"{side} is {reason.code}: {reason.text()}"


def _machine(of: Environment) -> str:
    devices = ", ".join(device.name for device in of.accelerators)
    return devices or f"{of.cpu_model} ({of.cpu_usable} CPUs)"


def notes(found: Sequence[Compared], threshold: float) -> list[str]:
    """What has to be known to read the ratios."""
    said = [f"ratios are B over A with 95% intervals; within ±{percent(threshold)} counts as equal"]
    if any(one.paired for one in found):
        said.append("paired: the two cells were measured in turn, so a drift of the machine cancels")
    if any(not one.paired for one in found):
        said.append("unpaired: measured apart, so a drift of the machine between the runs counts as a difference")
    if any(side.cell.workload.cached_tokens for one in found for side in (one.a, one.b)):
        said.append("prefill tok/s counts the prompt tokens that were not in the cache")
    intervals = sum(ratio.low is not None for one in found for _, ratio in one.rates())
    if intervals > MANY:
        said.append(f"{intervals} intervals: one in twenty equal pairs looks different by chance")
    for one in found:
        said += [f"{one.name()}: {caveat}" for caveat in one.caveats]
    return said


def render(found: Sequence[Compared], form: str, said: Sequence[str], width: int | None = None) -> str:
    """The comparison in one of `FORMATS`, with its notes; `width` is the terminal's, for `table` alone."""
    if form == "json":
        return as_json(found, said)
    rows = [row for one in found for row in _rows(one)]
    if form == "md":
        grid = _grid([tuple(escaped(text) for text in row) for row in rows], HEADINGS, "pipe")
        return grid + "\n\n" + "\n".join(f"- {escaped(note)}" for note in said) + "\n"
    grid = _grid(rows, HEADINGS, "simple")
    if not _fits(grid, width):
        grid = "\n\n".join(_narrow(one, width or 0) for one in found)
    return grid + "\n\n" + "\n".join(_wrapped(f"• {note}", width, "  ") for note in said) + "\n"


def _narrow(one: Compared, width: int) -> str:
    """A pair of cells with its name above the table, and where that is too wide a line for each quantity."""
    rows = [row[1:] for row in _rows(one)]
    name, grid = _wrapped(one.name(), width, "  "), _grid(rows, HEADINGS[1:], "simple")
    if _fits(grid, width):
        return f"{name}\n\n{grid}"
    lines = []
    for quantity, a, b, ratio, interval, count, outcome in rows:
        details = [text for text in (interval, count, outcome) if text != NONE]
        lines.append(f"{quantity}: {a} → {b}, {ratio}×" + (f" ({'; '.join(details)})" if details else ""))
    return "\n".join([name, *(_wrapped(f"  {line}", width, "    ") for line in lines)])


def _grid(rows: Sequence[tuple[str, ...]], headings: Sequence[str], style: str) -> str:
    from tabulate import tabulate

    aligned = ALIGNED[-len(headings) :]
    return tabulate(rows, headings, style, colalign=aligned, disable_numparse=True)


def _fits(grid: str, width: int | None) -> bool:
    return width is None or max(len(line) for line in grid.splitlines()) <= width


def _wrapped(text: str, width: int | None, indent: str) -> str:
    """Lines of a terminal; a long path or id stays whole."""
    if width is None:
        return text
    return textwrap.fill(text, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _rows(one: Compared) -> Iterator[tuple[str, ...]]:
    for index, line in enumerate(one.lines):
        unit = 1 if line.ratio is not None else GB
        quantity = line.quantity if line.ratio is not None else f"{line.quantity} GB"
        ratio = line.ratio
        interval = NONE if ratio is None or ratio.low is None else f"{ratio.low:.3f} – {ratio.high:.3f}"
        count, outcome = NONE, NONE
        if ratio is not None:
            count = f"{ratio.n_a} pairs" if ratio.paired else f"{ratio.n_a}, {ratio.n_b}"
            outcome = WORDS.get(ratio.outcome, ratio.outcome)
        name = one.name() if index == 0 else ""
        values = (number(line.a / unit), number(line.b / unit), f"{line.value:.3f}")
        yield name, quantity, *values, interval, count, outcome


def as_json(found: Sequence[Compared], said: Sequence[str]) -> str:
    """For programs: nothing rounded, bytes and tokens per second."""
    pairs: list[dict[str, Any]] = [
        {
            "a": one.a.cell.cell_id,
            "b": one.b.cell.cell_id,
            "name": one.name(),
            "paired": one.paired,
            "caveats": list(one.caveats),
            "quantities": [
                {
                    "quantity": line.quantity,
                    "a": line.a,
                    "b": line.b,
                    "ratio": line.value,
                    **({} if line.ratio is None else {k: v for k, v in asdict(line.ratio).items() if k != "value"}),
                }
                for line in one.lines
            ],
        }
        for one in found
    ]
    whole = {"schema_version": COMPARISON_SCHEMA_VERSION, "pairs": pairs, "notes": list(said)}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
