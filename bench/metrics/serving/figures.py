"""From columns to figures: one run, then all replicates of a cell.

Times and counts are of requests that began inside the steady window: were due in open loops, were sent in closed
ones. Rates are of what happened inside it: tokens that came, answers that were over.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.metrics import statistics
from bench.metrics.percentiles import TooFew, samples_needed
from bench.metrics.serving import PERCENTILES, Flow, RunFigures, ServingFigures, Spread, Steady, Tokens, batches
from bench.metrics.serving import gaps as gap_counts
from bench.metrics.serving.columns import BIN_S, SOURCES, STATUSES, Columns, Flags, Floats, Ints, bin_of
from bench.metrics.serving.objectives import Judged, all_of, from_schedule, judge, objective, pooled
from bench.metrics.serving.samples import Sample, quantile, sample, spread
from bench.metrics.serving.steady import window
from bench.metrics.serving.times import NAMES, Times, times
from bench.metrics.serving.verdict import judge_cell
from bench.metrics.statistics import Estimate
from bench.schema import Cell, Environment, Serving, Slo, Traffic

USAGE = SOURCES.index("usage")
GAPS = ("itl_s", "icl_s")


def run_figures(columns: Columns, serving: Serving, traffic: Traffic, slo: Sequence[Slo] = ()) -> RunFigures:
    """What one run shows, held against these objectives."""
    steady = window(columns, serving.warm_s, serving.stopped_s)
    of, starts = times(columns), columns.start_s
    # The window ends at an edge of bins; requests that began after that edge were sent under the same load.
    began = (starts >= steady.start_s) & (starts <= max(steady.end_s, serving.stopped_s))
    over = (columns.done_s >= steady.start_s) & (columns.done_s < steady.end_s)
    order = np.argsort(starts, kind="stable")
    judged = [judge(of, starts, began, one) for one in slo]
    together = all_of(judged, of) if judged else None
    # Of what was over inside the window all is decided, whenever it began.
    good = all_of([judge(of, starts, over, one) for one in slo], of).met & over & of.answered if slo else None
    kept = _samples(columns, of, began, order, traffic.turns > 1)
    counts = {"itl_s": columns.itl, "icl_s": columns.icl}
    gaps = {name: each.between(steady.start_s, steady.end_s) for name, each in counts.items()}
    paced = min(kept["tpot_s"].independent, kept["tpot_s"].n) if kept["tpot_s"].n else kept["e2el_s"].independent
    inside = _inside(columns, of, steady, began, over, good, order)
    rate = inside.get("output_tokens_per_s") or Estimate(0.0, None, None, 1)
    answered = began & of.answered
    return RunFigures(
        steady=steady,
        flow=_flow(columns, of, steady.start_s, steady.end_s, good),
        whole=_flow(columns, of, *_extent(columns, serving), None),
        output_tokens_per_s=rate,
        tokens=_tokens(columns, over & of.answered),
        succeeded=int(answered.sum()),
        failed=int((began & of.failed).sum()),
        statuses=dict(Counter(STATUSES[code] for code in columns.status[began].tolist())),
        times={name: spread([one]) for name, one in kept.items()}
        | {name: _of_gaps([each], paced) for name, each in gaps.items()},
        medians=_medians(kept, gaps),
        objectives=tuple(objective(of, each, began, order, one) for each, one in zip(judged, slo, strict=True)),
        attainment=_attainment(together),
        asked_per_s=_asked(columns, traffic, steady),
        short_answers=int((answered & _short(columns, serving, traffic)).sum()),
        engine=_engine(columns, answered),
        is_open=columns.is_open,
        drained=int((answered & (columns.done_s > serving.stopped_s)).sum()),
        cut=int((began & of.cut).sum()),
        unjudged=int((began & of.answered & ~(together.met | together.missed)).sum()) if together else 0,
        judged=float(together.counted.sum()) if together else 0.0,
        resent=int((began & (columns.resent > 0)).sum()),
        connected=int((began & np.isfinite(columns.connect_s)).sum()),
        uncounted=int((answered & (columns.count_source != USAGE)).sum()),
        inside=inside,
        samples=kept,
        gaps=gaps,
    )


def over(
    runs: Sequence[RunFigures], servings: Sequence[Serving], cell: Cell, environment: Environment | None = None
) -> ServingFigures:
    """A cell over its replicates, in order of time; at least one. `servings` are theirs, in the same order."""
    kept = {name: [run.samples[name] for run in runs if name in run.samples] for name in NAMES}
    is_open = any(run.is_open for run in runs)
    if is_open:
        for name in ("ttft_s", "e2el_s"):
            kept[name] = [
                run.samples[name.replace("_s", "_due_s") if run.is_open else name] for run in runs if run.samples
            ]
    gaps = {name: [run.gaps[name] for run in runs if name in run.gaps] for name in GAPS}
    paced = sum(run.samples["tpot_s"].independent or run.samples["e2el_s"].independent for run in runs if run.samples)
    judged = sum(run.judged for run in runs)
    tpot = _estimate(runs, "tpot_s", lambda run: run.medians.get("tpot_s"))
    anything = Estimate(0.0, None, None, len(runs))
    return ServingFigures(
        runs=tuple(runs),
        output_tokens_per_s=_estimate(runs, "output_tokens_per_s", lambda run: run.flow.output_tokens_per_s)
        or anything,
        requests_per_s=_estimate(runs, "requests_per_s", lambda run: run.flow.requests_per_s) or anything,
        total_tokens_per_s=_estimate(runs, "total_tokens_per_s", lambda run: run.flow.total_tokens_per_s) or anything,
        goodput_requests_per_s=_estimate(runs, "goodput_requests_per_s", lambda run: run.flow.goodput_requests_per_s),
        tokens_per_s_per_user=None if tpot is None else tpot.into(1.0),
        ttft_s=_estimate(runs, "ttft_s", lambda run: _headline(run, "ttft_s")),
        tpot_s=tpot,
        e2el_s=_estimate(runs, "e2el_s", lambda run: _headline(run, "e2el_s")),
        times={name: spread(each) for name, each in kept.items()}
        | {name: _of_gaps(each, paced) for name, each in gaps.items()},
        tokens=_summed([run.tokens for run in runs]),
        objectives=tuple(pooled(each) for each in zip(*(run.objectives for run in runs), strict=True)),
        attainment=sum((run.attainment or 0.0) * run.judged for run in runs) / judged if judged else None,
        reasons=judge_cell(runs, servings, cell, environment),
    )


def _estimate(runs: Sequence[RunFigures], name: str, value: Callable[[RunFigures], float | None]) -> Estimate | None:
    """Over replicates; of a single one, its own interval by batch means. None where a replicate has no such value.

    Two replicates may agree by chance to the last request: the interval is never narrower than what was seen inside of
    the runs allows for their mean.
    """
    if len(runs) == 1:
        return runs[0].inside.get(name)
    values = [value(run) for run in runs]
    found = [one for one in values if one is not None]
    if len(found) < len(values):
        return None
    between = statistics.estimate(found)
    if between is None:
        return Estimate(sum(found) / len(found), None, None, len(found)) if found else None
    spreads = [each.spread() for run in runs if (each := run.inside.get(name)) is not None]
    known = [one for one in spreads if one is not None]
    if len(known) < len(runs) or between.low is None or between.high is None:
        return between
    factor = math.exp(math.sqrt(sum(math.log1p(one) ** 2 for one in known)) / len(known))
    low, high = min(between.low, between.value / factor), max(between.high, between.value * factor)
    return Estimate(between.value, low, high, between.n)


def _headline(run: RunFigures, name: str) -> float | None:
    return run.medians.get(name.replace("_s", "_due_s") if run.is_open else name)


def _samples(columns: Columns, of: Times, began: Flags, order: Ints, talks: bool) -> dict[str, Sample]:
    sessions = columns.session[order].astype(np.int64) if talks else None
    inside = began[order]
    found = {}
    for name in NAMES:
        values = of.values[name][order]
        seen = inside & np.isfinite(values)
        waited = of.age[name][began & np.isfinite(of.age[name])] if name in of.age else np.zeros(0)
        found[name] = sample(values[seen], waited, None if sessions is None else sessions[seen])
    return found


def _medians(kept: dict[str, Sample], gaps: dict[str, Floats]) -> dict[str, float]:
    found = {name: quantile([one], 0.5) for name, one in kept.items()}
    found |= {name: gap_counts.quantile(each, 0.5) for name, each in gaps.items()}
    return {name: value for name, value in found.items() if value is not None}


def _of_gaps(counts: Sequence[Floats], independent: float) -> Spread:
    """Percentiles over gaps, where as many requests as for a percentile over requests stand behind them."""
    whole = gap_counts.pooled(counts)
    found: Spread = {}
    for p in PERCENTILES:
        value = gap_counts.quantile(whole, p / 100)
        needed = samples_needed(p)
        enough = math.floor(independent) if whole.any() else 0
        found[p] = TooFew(enough, needed) if enough < needed or value is None else value
    return found


def _inside(
    columns: Columns, of: Times, steady: Steady, began: Flags, over_inside: Flags, good: Flags | None, order: Ints
) -> dict[str, Estimate]:
    """Intervals by batch means, by the names of ServingFigures."""
    begin, end = bin_of(steady.start_s), bin_of(steady.end_s)
    done = columns.done_s
    output = _binned(columns.tokens, begin, end)
    prompts = (columns.first_token_s >= steady.start_s) & (columns.first_token_s < steady.end_s) & of.answered
    read = _counted(columns.first_token_s[prompts], begin, end, np.maximum(columns.input_tokens[prompts], 0))
    amounts = {
        "output_tokens_per_s": output,
        "total_tokens_per_s": output + read,
        "requests_per_s": _counted(done[over_inside & of.answered], begin, end),
    }
    if good is not None:
        amounts["goodput_requests_per_s"] = _counted(done[good], begin, end)
    found = {name: batches.of_rate(each, BIN_S) for name, each in amounts.items()}
    for name in ("ttft_s", "tpot_s", "e2el_s"):
        values = from_schedule(of.values, name)[order]
        found[name] = batches.of_median(values[began[order] & np.isfinite(values)])
    if good is not None and found["goodput_requests_per_s"] is None:
        found["goodput_requests_per_s"] = Estimate(0.0, None, None, 1)
    return {name: each for name, each in found.items() if each is not None}


def _binned(tokens: Floats, begin: int, end: int) -> Floats:
    part = tokens[begin:end]
    return np.concatenate([part, np.zeros(end - begin - len(part))])


def _counted(stamps: Floats, begin: int, end: int, weights: Any = None) -> Floats:
    bins = np.clip(np.floor(stamps / BIN_S + 1e-9).astype(np.int64) - begin, 0, end - begin - 1)
    return np.bincount(bins, weights, minlength=end - begin).astype(np.float64)


def _flow(columns: Columns, of: Times, start_s: float, end_s: float, good: Flags | None) -> Flow:
    length = end_s - start_s

    def within(stamps: Floats) -> Flags:
        return (stamps >= start_s) & (stamps < end_s)

    output = columns.tokens_between(start_s, end_s)
    read = np.maximum(columns.input_tokens[within(columns.first_token_s) & of.answered], 0).sum()
    answered = within(columns.done_s) & of.answered
    return Flow(
        length_s=length,
        output_tokens_per_s=output / length,
        total_tokens_per_s=(output + float(read)) / length,
        requests_per_s=int(answered.sum()) / length,
        sent_per_s=int(within(columns.sent_s).sum()) / length,
        goodput_requests_per_s=None if good is None else int(good.sum()) / length,
        goodput_tokens_per_s=None if good is None else float(np.maximum(columns.output_tokens[good], 0).sum()) / length,
        concurrency=float(columns.in_flight(np.array([start_s, end_s]))[0]),
    )


def _extent(columns: Columns, serving: Serving) -> tuple[float, float]:
    """From the first request sent to the last one over, outwards to edges of bins."""
    sent, done = columns.sent_s[np.isfinite(columns.sent_s)], columns.done_s[np.isfinite(columns.done_s)]
    first = float(sent.min()) if len(sent) else 0.0
    last = float(done.max()) if len(done) else serving.finished_s
    begin = math.floor(first / BIN_S)
    return begin * BIN_S, max(begin + 1, math.floor(last / BIN_S) + 1) * BIN_S


def _tokens(columns: Columns, of: Flags) -> Tokens:
    def summed(name: str) -> int:
        return int(np.maximum(getattr(columns, name)[of], 0).sum(dtype=np.int64))

    return Tokens(
        requests=int(of.sum()),
        input=summed("input_tokens"),
        cached=summed("cached_tokens"),
        output=summed("output_tokens"),
        reasoning=summed("reasoning_tokens"),
    )


def _summed(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(
        requests=sum(one.requests for one in parts),
        input=sum(one.input for one in parts),
        cached=sum(one.cached for one in parts),
        output=sum(one.output for one in parts),
        reasoning=sum(one.reasoning for one in parts),
    )


def _attainment(together: Judged | None) -> float | None:
    if together is None or not together.counted.any():
        return None
    return float(together.met[together.counted].mean())


def _asked(columns: Columns, traffic: Traffic, steady: Steady) -> float | None:
    """Requests a second that the plan wanted inside the window; None of a closed loop."""
    if traffic.load == "closed" or not columns.is_open:
        return None
    due = columns.due_s
    return int(((due >= steady.start_s) & (due < steady.end_s)).sum()) / steady.length_s


def _short(columns: Columns, serving: Serving, traffic: Traffic) -> Flags:
    exact = traffic.ignore_eos and serving.capabilities.exact_length is not None
    asked, got = columns.asked_output_tokens, columns.output_tokens
    return (got >= 0) & (asked > 0) & (got < asked) if exact else np.zeros(len(columns), bool)


def _engine(columns: Columns, of: Flags) -> dict[str, float]:
    found = {}
    for name in ("engine_prefill_s", "engine_decode_s"):
        values = getattr(columns, name)[of]
        values = values[np.isfinite(values)]
        if len(values):
            found[name] = float(np.median(values))
    return found
