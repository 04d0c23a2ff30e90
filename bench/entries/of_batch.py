"""A static batch's row as an entry."""

from collections.abc import Sequence

from bench.entries import pricing
from bench.entries.entry import Bytes, Distribution, Entry, Limits, Origin, Quality
from bench.metrics.memory import peak_bytes
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.report import table
from bench.report.measured import Figures
from bench.report.rows import Row
from bench.schema import Accelerator, Environment, Workload

KEPT = 101
"""Values of a distribution: a curve needs no more."""


def entry(row: Row, run: str, telling: table.Telling) -> Entry:
    """`run`: its folder's name; `telling`: runner options in which rows differ (`table.telling_options`)."""
    work, figures = row.cell.workload, row.figures
    return Entry(
        key=f"{row.cell.cell_id}@{row.environment.fingerprint()}",
        cell_id=row.cell.cell_id,
        kind="batch",
        origin=origin(row.environment),
        run=run,
        model=catalogue.label(row.cell.model),
        precision=table.precision(row),
        runner=row.cell.runner.name,
        options=table.runner(row, telling).removeprefix(row.cell.runner.name).strip(),
        random_weights=table.is_random(row),
        machine=row.environment.fingerprint(),
        hardware=hardware(row.environment, () if figures is None else figures.facts.accelerators, row.machine),
        workload=workload_text(work),
        input_tokens=float(work.input_tokens),
        cached_tokens=float(work.cached_tokens),
        output_tokens=float(work.output_tokens),
        status=row.status,
        replicates=row.replicates,
        arm=row.cell.arm,
        batch_size=work.batch_size,
        measured_at=row.measured_at,
        revision=row.environment.bench_revision,
        verdict=row.verdict,
        failure=None if row.failure is None else row.failure.reason,
        remedy=None if row.failure is None else row.failure.remedy,
        figures={} if figures is None else _figures(figures, work),
        distributions={} if figures is None else _distributions(figures),
        memory=None if figures is None else _memory(figures, work),
        limits=None if figures is None else _limits(figures, work),
        quality=_quality(row),
        priced=pricing.of_batch(row),
        no_dollars_because=row.no_dollars_because,
        command=row.command,
    )


def origin(of: Environment) -> Origin:
    """Measured by this program."""
    return Origin("llm-cost-bench", of.bench_version, instrument=of.instrument)


def hardware(of: Environment, used: Sequence[Accelerator], machine: str | None = None) -> str:
    """The devices that computed, else the CPU, with their number; before them what a fleet's config calls them."""
    if machine is not None:
        return f"{catalogue.one_line(machine)}: {hardware(of, used)}"
    names = [device.name for device in used]
    if names:
        return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    return f"{of.cpu_model}, {of.cpu_usable} CPU{'s' if of.cpu_usable != 1 else ''}"


def workload_text(of: Workload) -> str:
    """The batch and its lengths.

    >>> workload_text(Workload(batch_size=4, input_tokens=128, output_tokens=64))
    'batch 4, 128 in, 64 out'
    """
    cached = f" ({of.cached_tokens} cached)" if of.cached_tokens else ""
    return f"{of.label()}, {of.input_tokens} in{cached}, {of.output_tokens} out"


def _figures(of: Figures, work: Workload) -> dict[str, Estimate]:
    found = {
        "prefill_tokens_per_s": of.prefill_tokens_per_s,
        "decode_tokens_per_s": of.decode_tokens_per_s,
        "output_tokens_per_s": of.output_tokens_per_s,
        "total_tokens_per_s": of.total_tokens_per_s,
        "requests_per_s": of.e2el_s.into(work.batch_size),
        "tokens_per_s_per_user": None if of.tpot_s is None else of.tpot_s.into(1.0),
        "ttft_s": of.ttft_s,
        "tpot_s": of.tpot_s,
        "e2el_s": of.e2el_s,
        "mbu": of.roofline.mbu,
        "mfu": of.roofline.mfu,
        "energy_j_per_output_token": of.energy.j_per_output_token,
        "load_s": of.load_s,
        "first_generate_s": of.first_generate_s,
    }
    return {name: one for name, one in found.items() if one is not None}


def _distributions(of: Figures) -> dict[str, Distribution]:
    found = {}
    for name in ("ttft_s", "tpot_s"):
        values = sorted(of.samples.get(name, ()))
        if values:
            shown = {
                str(which): value if isinstance(value, float) else str(value)
                for which, value in of.percentiles.get(name, {}).items()
            }
            found[name] = Distribution(thinned(values), len(values), shown)
    return found


def thinned(ascending: Sequence[float]) -> tuple[float, ...]:
    """At most `KEPT` of them, each in the middle of an equal share.

    >>> thinned([1.0, 2.0]), len(thinned([float(k) for k in range(5000)]))
    ((1.0, 2.0), 101)
    """
    if len(ascending) <= KEPT:
        return tuple(ascending)
    return tuple(ascending[int((place + 0.5) * len(ascending) / KEPT)] for place in range(KEPT))


def _memory(of: Figures, work: Workload) -> Bytes:
    """By part; the cache as counted, else by its size for a token."""
    peak = peak_bytes(of.memory, of.facts)
    weights = of.memory.weights_bytes if of.memory.weights_bytes is not None else of.facts.weights_bytes
    cache = of.memory.kv_cache_bytes
    if cache is None and of.facts.kv_bytes_per_token is not None:
        cache = of.facts.kv_bytes_per_token * work.batch_size * (work.input_tokens + work.output_tokens)
    rest = None if peak is None else max(0, peak - weights - (cache or 0))
    return Bytes(weights, cache, rest, peak)


def _limits(of: Figures, work: Workload) -> Limits:
    line = of.roofline
    return Limits(
        basis=line.basis,
        decode_limit=line.limit,
        floor_ttft_s=line.floor_ttft_s,
        floor_tpot_s=line.floor_step_s,
        floor_tokens_per_s=work.batch_size / line.floor_step_s if line.floor_step_s else None,
        reason=line.reason,
    )


def _quality(row: Row) -> Quality:
    of = row.quality
    if of is None:
        return Quality(reason=row.no_quality_because or "not measured")
    codes = ", ".join(one.code for one in of.reasons if one.fatal)
    far = of.divergence
    return Quality(
        reference=of.reference,
        bits_per_byte=of.bits_per_byte,
        perplexity=of.perplexity,
        delta_nll=None if far is None else far.delta_nll.value,
        delta_nll_se=None if far is None else far.delta_nll.se,
        kl_mean=None if far is None else far.kl_mean,
        kl_mean_se=None if far is None else far.kl_mean_se,
        same_top_1=None if far is None else far.same_top_1,
        same_top_1_se=None if far is None else far.same_top_1_se,
        reason=codes or None,
        is_reference=of.is_reference,
        text=of.text,
        text_sha256=of.text_sha256,
        window_tokens=of.window_tokens,
        context_tokens=of.context_tokens,
    )
