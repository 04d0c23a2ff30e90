"""One trace at a time: read whole, checked against its record, folded, and let go of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import traces
from bench.cost.api_prices import ApiModel
from bench.cost.mix import Mix, Sums
from bench.errors import InputError
from bench.metrics.serving import RunFigures, Steady
from bench.metrics.serving.billed import Billed
from bench.metrics.serving.columns import OK, SOURCES, Columns, Flags, fold
from bench.metrics.serving.figures import run_figures
from bench.metrics.serving.objectives import all_of, judge
from bench.metrics.serving.times import times
from bench.report.serving.check import compared
from bench.report.serving.trace import trace_of
from bench.schema import Record, Slo

USAGE = SOURCES.index("usage")


@dataclass(frozen=True)
class Run:
    """A replicate: its figures, and the tokens that dollars are made of.

    `mix` are of requests that succeeded and were over inside the steady window, as `figures.tokens` counts them, `good`
    those of them that met every objective. Of the whole run: `succeeded` and `failed` with the
    server's usage, warm-up included, and `uncounted` where there is none but our own counts.
    """

    figures: RunFigures
    mix: Mix
    good: Mix
    succeeded: Mix
    failed: Mix
    uncounted: Mix
    checked: Billed | None


def read_run(
    record: Record, folder: Path, slo: Sequence[Slo], bounds: tuple[int, ...], paid_to: ApiModel | None
) -> Run:
    """Everything about one replicate. `bounds`: sizes of prompts at which prices change; `paid_to`: what is
    paid by the token, and is checked against local counts.

    Raises InputError where its trace is not there, or is not the one that was measured.
    """
    serving, traffic = record.serving, record.cell.traffic
    if serving is None or traffic is None:
        raise InputError(f"{record.record_id}: not a run under load")
    path = trace_of(serving, folder)
    columns = fold(traces.read(path))
    figures = run_figures(columns, serving, traffic, tuple(slo))
    if not len(columns):
        raise InputError(f"{serving.trace}: no request stands in it; measure the cell again")
    return Run(
        figures,
        **_mixes(columns, figures.steady, slo, bounds),
        checked=None if paid_to is None else compared(traces.read(path), serving, paid_to),
    )


def _mixes(columns: Columns, steady: Steady, slo: Sequence[Slo], bounds: tuple[int, ...]) -> dict[str, Mix]:
    answered = columns.status == OK
    over = (columns.done_s >= steady.start_s) & (columns.done_s < steady.end_s)
    inside = answered & over
    said = (columns.input_tokens >= 0) & (columns.output_tokens >= 0)
    usage = (columns.count_source == USAGE) & said
    # Refused before it was served: no tokens, no bill. Anything else that had tokens may have been charged for.
    guessed = ~usage & (columns.output_tokens > 0)
    masks = {
        "mix": inside & said,
        "good": inside & said & met(columns, over, slo),
        "succeeded": answered & usage,
        "failed": ~answered & usage,
        "uncounted": guessed,
    }
    return {name: mix_of(columns, mask, bounds) for name, mask in masks.items()}


def met(columns: Columns, over: Flags, slo: Sequence[Slo]) -> Flags:
    """Which requests of those that were over inside the window met every objective; none without objectives.

    As goodput counts them, so that its rate and these tokens are of the same requests.
    """
    if not slo:
        return np.zeros(len(columns), dtype=np.bool_)
    of = times(columns)
    found: Flags = all_of([judge(of, columns.start_s, over, one) for one in slo], of).met & over & of.answered
    return found


def mix_of(columns: Columns, mask: Flags, bounds: tuple[int, ...]) -> Mix:
    """The tokens of some of the requests, by the size of their prompts."""
    prompt = np.maximum(columns.input_tokens[mask].astype(np.int64), 0)
    cached = np.minimum(np.maximum(columns.cached_tokens[mask].astype(np.int64), 0), prompt)
    output = np.maximum(columns.output_tokens[mask].astype(np.int64), 0)
    place = np.searchsorted(np.array(bounds, dtype=np.int64), prompt, side="left")
    parts = []
    for index in range(len(bounds) + 1):
        own = place == index
        parts.append(
            Sums(int(own.sum()), int((prompt - cached)[own].sum()), int(cached[own].sum()), int(output[own].sum()))
        )
    return Mix(bounds, tuple(parts))
