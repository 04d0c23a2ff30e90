"""What was measured of a cell, over its replicates: every figure derived anew from the records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.metrics import statistics
from bench.metrics.independence import grouped_percentiles
from bench.metrics.percentiles import TooFew
from bench.metrics.roofline import Roofline, roofline
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.report.gather import Gathered
from bench.report.joules import EnergyFigures
from bench.schema import Ceiling, Environment, Memory, Model, ModelFacts

CeilingOf = Callable[[Environment, ModelFacts], tuple[Ceiling | None, str]]
"""The ceiling of what a row ran on, and on whose word; None and the reason where nobody knows it."""

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Times:
    """Seconds of one replicate's median round, and of it the prefill with the first token and the steps after it.

    The parts are None for a batch that is scheduled continuously, which has no phases.
    """

    whole_s: float
    prefill_s: float | None
    decode_s: float | None


@dataclass(frozen=True)
class Figures:
    """What was measured, over the replicates of a cell. SI units."""

    facts: ModelFacts
    ttft_s: Estimate | None
    e2el_s: Estimate
    tpot_s: Estimate | None
    prefill_tokens_per_s: Estimate | None
    decode_tokens_per_s: Estimate | None
    output_tokens_per_s: Estimate
    total_tokens_per_s: Estimate
    prefill_share: float | None
    prefill_s: Estimate | None
    decode_s: Estimate | None
    import_s: Estimate | None
    load_s: Estimate | None
    first_generate_s: Estimate | None
    memory: Memory
    energy: EnergyFigures
    roofline: Roofline
    each: tuple[Times, ...]
    percentiles: dict[str, dict[float, float | TooFew]]
    samples: dict[str, Sequence[float]]
    """Of every round, in the order of the journal: ttft_s, tpot_s and e2el_s."""


def figures(group: Gathered, facts: ModelFacts, ceiling_of: CeilingOf) -> Figures:
    """The figures of a group that was measured. Raises InputError for times that no clock can have shown."""
    work = group.cell.workload
    prompt_tokens = work.batch_size * work.input_tokens
    new_tokens = work.batch_size * work.output_tokens
    phases = work.scheduling == "static"
    ttft = _needed(group.ttft_s) if phases else None
    e2el = _needed(group.e2el_s)
    tpot = statistics.estimate(group.tpot_s)
    shares = group.prefill_share
    each = (
        tuple(
            Times(whole, whole * share, whole * (1 - share)) for whole, share in zip(group.e2el_s, shares, strict=True)
        )
        if phases
        else tuple(Times(whole, None, None) for whole in group.e2el_s)
    )
    ceiling, basis = ceiling_of(group.environment, facts)
    config = facts.config or _config(group.cell.model)
    return Figures(
        facts=facts,
        ttft_s=ttft,
        e2el_s=e2el,
        tpot_s=tpot,
        prefill_tokens_per_s=None
        if ttft is None
        else ttft.into(work.batch_size * (work.input_tokens - work.cached_tokens)),
        decode_tokens_per_s=None if tpot is None else tpot.into(work.batch_size),
        output_tokens_per_s=e2el.into(new_tokens),
        total_tokens_per_s=e2el.into(prompt_tokens + new_tokens),
        # Of the sum of the parts, so that the two dollar figures add up to the bill exactly.
        prefill_share=sum(shares) / len(shares) if phases else None,
        each=each,
        prefill_s=_needed([one.prefill_s or 0.0 for one in each]) if phases else None,
        decode_s=statistics.estimate([one.decode_s or 0.0 for one in each]) if phases else None,
        import_s=statistics.estimate(group.import_s),
        load_s=statistics.estimate(group.load_s),
        first_generate_s=statistics.estimate(group.first_generate_s),
        memory=group.peaks(),
        energy=group.energy.figures(),
        roofline=roofline(config, facts, group.cell.precision, work, ttft, tpot, ceiling, basis),
        percentiles=_percentiles(group),
        samples=dict(zip(("ttft_s", "tpot_s", "e2el_s"), group.rounds, strict=True)),
    )


def _config(model: Model) -> dict[str, Any]:
    """The sizes of a model whose record does not hold them, where its name says enough; the files may be elsewhere."""
    try:
        return catalogue.config(model) or {}
    except InputError:
        return {}


def _needed(values: Sequence[float]) -> Estimate:
    found = statistics.estimate(values)
    if found is None:
        raise InputError("a record has a time of zero or less; it was not written by this program")
    return found


def _percentiles(group: Gathered) -> dict[str, dict[float, float | TooFew]]:
    """Over batches: the rows of one batch share their stamps, and rounds of one process are alike (so: effective n)."""
    found = {}
    for name, values in zip(("ttft_s", "tpot_s", "e2el_s"), group.rounds, strict=True):
        if values:
            found[name] = grouped_percentiles(values, [int(count) for count in group.rounds_each], PERCENTILES)
    return found
