"""A row under load as an entry."""

from bench.entries import pricing
from bench.entries.entry import Distribution, Entry, Quality
from bench.entries.of_batch import KEPT, hardware, origin
from bench.metrics.serving import ServingFigures
from bench.metrics.serving.samples import quantile
from bench.metrics.statistics import Estimate
from bench.report.serving import table
from bench.report.serving.row import ServingRow, engine_text, family, level, load_text
from bench.report.table import number
from bench.schema import Accelerator

RATES = (
    *("output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "goodput_requests_per_s"),
    *("tokens_per_s_per_user", "ttft_s", "tpot_s", "e2el_s"),
)


def entry(row: ServingRow, run: str) -> Entry:
    """`run`: the name of its folder."""
    at, (input_tokens, cached_tokens, output_tokens) = level(row.traffic), _tokens(row)
    dollars, good = pricing.of_load(row)
    lengths = f"{_count(input_tokens)} in, {_count(output_tokens)} out"
    return Entry(
        key=f"{row.cell.cell_id}@{row.environment.fingerprint()}",
        cell_id=row.cell.cell_id,
        kind="load",
        origin=origin(row.environment),
        run=run,
        model=table.model(row),
        precision=table.precision(row),
        runner=engine_text(row),
        machine=row.environment.fingerprint(),
        hardware=hardware(row.environment, _devices(row), row.machine),
        workload=f"{load_text(row.traffic)}, {lengths}",
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        status=row.status,
        replicates=row.replicates,
        arm=row.cell.arm,
        level=None if at is None else at[0],
        level_unit=None if at is None else at[1],
        family=family(row),
        slo=" and ".join(one.text() for one in row.slo) or None,
        slo_met=row.meets,
        measured_at=row.measured_at,
        revision=row.environment.bench_revision,
        verdict=row.verdict,
        failure=None if row.failure is None else row.failure.reason,
        remedy=None if row.failure is None else row.failure.remedy,
        figures={} if row.figures is None else _figures(row.figures),
        distributions={} if row.figures is None else _distributions(row.figures),
        quality=Quality(reason="not measured under load"),
        priced=dollars,
        good=good,
        no_dollars_because=row.no_dollars_because,
        command=row.command,
    )


def _tokens(row: ServingRow) -> tuple[float | None, float | None, float | None]:
    """Of a request: the mean over those that were counted, else what the config asks for, where it is one number."""
    counted = None if row.figures is None else row.figures.tokens
    if counted is None or not counted.requests:
        asked = (row.traffic.input_tokens, row.traffic.output_tokens)
        first, last = (float(one) if isinstance(one, int) else None for one in asked)
        return first, None, last
    return tuple(one / counted.requests for one in (counted.input, counted.cached, counted.output))  # type: ignore[return-value]


def _count(tokens: float | None) -> str:
    """A whole number without its point: mean lengths often are.

    >>> _count(64.0), _count(64.53), _count(None)
    ('64', '64.5', '–')
    """
    return f"{tokens:,.0f}" if tokens is not None and tokens == round(tokens) else number(tokens)


def _devices(row: ServingRow) -> tuple[Accelerator, ...]:
    """A server is taken to use every accelerator of its machine: nobody tells which."""
    return row.environment.accelerators


def _figures(of: ServingFigures) -> dict[str, Estimate]:
    found = {name: getattr(of, name) for name in RATES}
    return {name: one for name, one in found.items() if isinstance(one, Estimate)}


def _distributions(of: ServingFigures) -> dict[str, Distribution]:
    """Over the requests of all replicates; where some were cut, only as far as the others show."""
    found = {}
    for name in ("ttft_s", "tpot_s"):
        samples = [run.samples[name] for run in of.runs if name in run.samples]
        n = sum(one.n for one in samples)
        count = min(KEPT, n)
        values = [quantile(samples, (place + 0.5) / count) for place in range(count)]
        seen = tuple(value for value in values if value is not None)
        if seen:
            shown = {
                f"{which:g}": value if isinstance(value, float) else str(value)
                for which, value in of.times.get(name, {}).items()
            }
            found[name] = Distribution(seen, n, shown)
    return found
