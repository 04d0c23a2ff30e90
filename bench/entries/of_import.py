"""Another tool's result as an entry: its figures under our names, its origin, what is against it, and its dollars.

A record is one run of another tool. Several runs of the same cell (the same test imported from several files) are
replicates, and make one entry with an interval over them, as replicates of ours do.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.entries.entry import FIGURES, Bytes, Distribution, Entry, Origin, Quality
from bench.entries.import_pricing import NO_HOUR, api_models, priced
from bench.entries.import_seconds import Tokens
from bench.entries.import_verdict import doubts
from bench.entries.of_batch import hardware, thinned
from bench.entries.priced import Priced
from bench.errors import InputError
from bench.metrics.percentiles import TooFew, percentile, samples_needed
from bench.metrics.statistics import Estimate, estimate
from bench.metrics.verdict import Reason
from bench.models import catalogue
from bench.report.table import number
from bench.schema import Checkpoint, CostChoices, Imported, ImportedFigure, Record, Served
from bench.schema.precision import label

SHOWN = ("ttft_s", "tpot_s")
"""Times of which an entry has distributions."""
PERCENTILES = (50, 90, 99)
UNKNOWN = "unknown"
NAMED_ELSEWHERE = ("tool", "engine", "precision", "input_tokens", "output_tokens")
"""Options of an import's cell that an entry has in fields of its own."""


@dataclass(frozen=True)
class Load:
    """Of a served cell: its words and its level. All None of a static batch, and where the file does not say it."""

    text: str | None = None
    level: float | None = None
    unit: str | None = None
    family: str | None = None


@dataclass(frozen=True)
class Lengths:
    """Tokens of one request, as far as they are known."""

    prompt: float | None
    cached: float
    output: float | None

    @property
    def tokens(self) -> Tokens | None:
        """None where one of them is not known."""
        if self.prompt is None or self.output is None:
            return None
        return Tokens(self.prompt, self.cached, self.output)


def entry(record: Record, choices: CostChoices, run: str) -> Entry:
    """One record alone. `run`: the name of the folder that it was imported to.

    Raises ValueError for a record that is no import, and InputError for choices that cannot be, such as an API that
    nobody knows: as every other row does.
    """
    return of_cell([record], choices, run)


def entries(records: Iterable[Record], choices: CostChoices, run: str) -> list[Entry]:
    """Of all imports of a run, replicates of one cell on one machine together. Raises as `entry` does."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for one in records:
        groups.setdefault((one.cell.cell_id, one.environment.fingerprint()), []).append(one)
    return [of_cell(each, choices, run) for each in groups.values()]


def of_cell(records: Sequence[Record], choices: CostChoices, run: str) -> Entry:
    """One entry of replicates of one cell. Raises as `entry` does."""
    first = records[0]
    every = [one.imported for one in records if one.imported is not None]
    if len(every) < len(records) or not every:
        raise ValueError(f"{first.record_id} is no other tool's result")
    of, cell, machine = every[0], first.cell, first.environment.fingerprint()
    figures, lengths, at = _figures(every), _lengths(records), _load(first)
    verdict = doubts(every, figures, lengths.tokens)
    dollars, why_not = _dollars(first, figures, lengths, verdict, choices)
    return Entry(
        key=f"{cell.cell_id}@{machine}",
        cell_id=cell.cell_id,
        kind="imported",
        origin=_origin(first, every),
        run=run,
        model=catalogue.label(cell.model),
        precision=_precision(first),
        runner=of.engine or of.tool,
        options=_options(first),
        machine=machine,
        hardware=_hardware(first, of),
        workload=_workload(at, lengths, _batch_size(first)),
        input_tokens=lengths.prompt,
        cached_tokens=lengths.cached,
        output_tokens=lengths.output,
        status=first.status,
        replicates=len(records),
        arm=cell.arm,
        batch_size=_batch_size(first),
        level=at.level,
        level_unit=at.unit,
        family=at.family,
        measured_at=min((one.measured_at for one in every if one.measured_at), default=None),
        verdict=verdict,
        failure=None if first.error is None else first.error.reason,
        remedy=None if first.error is None else first.error.remedy,
        figures=figures,
        distributions=_distributions(every),
        memory=_memory(every),
        quality=Quality(reason=f"not in a file of {of.tool}"),
        priced=dollars,
        no_dollars_because=why_not,
        command=first.command,
    )


def _origin(record: Record, every: Sequence[Imported]) -> Origin:
    of = every[0]
    files = ", ".join(dict.fromkeys(one.file for one in every))
    return Origin(of.tool, of.tool_version, files, schema_version=record.schema_version, remarks=_remarks(every))


def _remarks(every: Sequence[Imported]) -> tuple[str, ...]:
    """Sentences: what was assumed, and what was left out and why; each once. How figures were read the record says."""
    left = [f"{metric}: left out, {why}" for one in every for metric, why in one.left_out.items()]
    return tuple(dict.fromkeys([*(text for one in every for text in one.remarks), *left]))


# --- what was measured ----------------------------------------------------------------------------------------------


def _figures(every: Sequence[Imported]) -> dict[str, Estimate]:
    """Those that every replicate has. One alone keeps the interval that its own file gives it."""
    found: dict[str, Estimate] = {}
    for name in FIGURES:
        values = [one.figures[name] for one in every if name in one.figures]
        if len(values) < len(every):
            continue
        made = _alone(values[0]) if len(values) == 1 else estimate([one.value for one in values])
        if made is not None:
            found[name] = made
    return found


def _alone(of: ImportedFigure) -> Estimate | None:
    """Without an interval of its own a file is one replicate, however often it repeated in its process."""
    return None if of.value <= 0 else Estimate(of.value, of.low, of.high, 1 if of.low is None else of.n)


def _lengths(records: Sequence[Record]) -> Lengths:
    """The mean over the requests that were counted, else what the cell says; None where neither does."""
    first = records[0]
    every = [one.imported for one in records if one.imported is not None]
    work, said = first.cell.workload, first.cell.runner.options

    def mean(name: str, otherwise: float) -> float | None:
        totals = [getattr(one, name) for one in every]
        requests = sum(one.requests or 0 for one in every)
        if requests and all(one is not None for one in totals):
            return float(sum(totals)) / requests
        return None if said.get(name) == UNKNOWN else otherwise

    prompt = mean("input_tokens", work.input_tokens)
    cached = mean("cached_tokens", work.cached_tokens) or 0.0
    return Lengths(prompt, min(cached, prompt or 0.0), mean("output_tokens", work.output_tokens))


def _distributions(every: Sequence[Imported]) -> dict[str, Distribution]:
    """Of single requests where the file kept them, with our percentiles; else the percentiles that the file has, those
    that so few requests cannot show left out by the same rule."""
    found = {}
    for name in SHOWN:
        values = sorted(value for one in every for value in one.samples_s.get(name, ()))
        if values:
            shown = {f"{which}": percentile(values, which) for which in PERCENTILES}
            texts = {which: str(one) if isinstance(one, TooFew) else one for which, one in shown.items()}
            found[name] = Distribution(thinned(values), len(values), texts)
        elif len(every) == 1 and every[0].percentiles_s.get(name):
            n = every[0].requests or 0
            found[name] = Distribution((), n, dict(_percentiles(every[0].percentiles_s[name], n)))
    return found


def _percentiles(said: dict[str, float], n: int) -> Iterator[tuple[str, float | str]]:
    """By the file's own estimator, where it has enough requests; without a count of requests nobody knows."""
    for which, value in said.items():
        try:
            needed = samples_needed(float(which))
        except ValueError:
            continue  # the 0th and the 100th are extremes, not percentiles
        yield f"{float(which):g}", value if n >= needed else str(TooFew(n, needed))


def _memory(every: Sequence[Imported]) -> Bytes | None:
    weights = max((one.weights_bytes for one in every if one.weights_bytes is not None), default=None)
    peak = max((one.peak_memory_bytes for one in every if one.peak_memory_bytes is not None), default=None)
    if weights is None and peak is None:
        return None
    return Bytes(weights, None, None if peak is None or weights is None else max(0, peak - weights), peak)


# --- of what ------------------------------------------------------------------------------------------------------


def _precision(record: Record) -> str:
    of = record.cell.precision
    if isinstance(of, Checkpoint | Served):
        said = record.cell.runner.options.get("precision")
        return str(said) if said else UNKNOWN
    return label(of)


def _options(record: Record) -> str:
    said = record.cell.runner.options
    return ", ".join(f"{name} {value}" for name, value in said.items() if name not in NAMED_ELSEWHERE)


def _hardware(record: Record, of: Imported) -> str:
    environment = record.environment
    if environment.accelerators or environment.cpu_usable:
        return hardware(environment, environment.accelerators)
    return of.hardware or UNKNOWN


def _batch_size(record: Record) -> int | None:
    """None of a load, and of a run over a window of time whose load the file does not say."""
    of = record.imported
    is_batch = record.cell.traffic is None and of is not None and of.window_s is None
    return record.cell.workload.batch_size if is_batch else None


def _load(record: Record) -> Load:
    cell = record.cell
    if cell.traffic is None:
        return Load()
    from bench.metrics.serving import frontier  # numpy is behind these, which a batch does without
    from bench.report.serving.row import level, load_text

    at = level(cell.traffic)
    family = json.dumps([frontier.family(cell), record.environment.fingerprint()])
    return Load(load_text(cell.traffic), None if at is None else at[0], None if at is None else at[1], family)


def _workload(at: Load, lengths: Lengths, batch_size: int | None) -> str:
    load = at.text or ("load not said" if batch_size is None else f"batch {batch_size}")
    cached = f" ({_count(lengths.cached)} cached)" if lengths.cached else ""
    return f"{load}, {_count(lengths.prompt)} in{cached}, {_count(lengths.output)} out"


def _count(tokens: float | None) -> str:
    return "?" if tokens is None else f"{tokens:g}" if tokens == round(tokens) else number(tokens)


# --- dollars ------------------------------------------------------------------------------------------------------


def _dollars(
    record: Record,
    figures: dict[str, Estimate],
    lengths: Lengths,
    verdict: Sequence[Reason],
    choices: CostChoices,
) -> tuple[Priced | None, str | None]:
    """The dollars, or why there are none. Seconds without an hourly price are kept: a page can still ask for one.

    Raises InputError for an API that is not known: that is no fault of the record.
    """
    api_models(choices)
    if record.status != "ok":
        return None, record.status
    fatal = ", ".join(one.code for one in verdict if one.fatal)
    if fatal:
        return None, fatal
    try:
        found = priced(record, figures, lengths.tokens, _batch_size(record), choices)
    except InputError as error:
        return None, error.lines[0]
    return found, None if found.usd_per_hour is not None else found.rate_basis or NO_HOUR
