"""Whether to believe a cell that was served: reasons, each with what to do about it. docs/serving.md explains each one.

A reason is fatal where dollars would be made of something else than the server's work: of no answers, of a client that
could not send or read in time, or of a cache that nobody asked for. An over-saturated server is not among them: its
throughput is its capacity, and only its latency is that of a queue without end.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import median, stdev

from bench.metrics.serving import RunFigures
from bench.metrics.serving.bursts import dispersion
from bench.metrics.serving.client_health import client_reasons
from bench.metrics.verdict import LOAD_PER_CPU, SPREAD_BETWEEN_REPLICATES, Reason
from bench.schema import Cell, Environment, Serving, Traffic

FEWEST_REPLICATES = 2
FEWEST_REQUESTS = 46
"""What a p90 takes; a median takes 8."""

FAILED_SHARE = 0.01
MEANINGLESS_FAILED_SHARE = 0.5
CACHED_SHARE = 0.01
MEANINGLESS_CACHED_SHARE = 0.1
SHORT_SHARE = 0.01
SHORT_OF_RATE = 0.05
STANDARD_ERRORS = 3
HIT_RATE_OFF = 0.05
RESENT_SHARE = 0.01
CONNECTED_SHARE = 0.05
CUT_SHARE = 0.05
DRAINED_SHARE = 0.25
"""Answers as long as a quarter of the window. Their pace, after the load has begun to go, is that of half the load on
average: where that is a fifth quicker, the mean over all is 3 % too good."""

TREND_SHARE = 0.5


def judge_cell(
    runs: Sequence[RunFigures], servings: Sequence[Serving], cell: Cell, environment: Environment | None = None
) -> tuple[Reason, ...]:
    """Reasons against a cell; empty means VALID."""
    traffic = cell.traffic or Traffic(load="closed", concurrency=1)
    found = (
        *_of_the_answers(runs, servings, traffic),
        *client_reasons(runs, servings),
        *_of_the_load(runs, servings, traffic),
        *_of_the_counts(runs, servings, traffic),
        *_of_the_sampling(runs),
        *_of_the_machine(servings, environment),
    )
    return tuple(one for one in found if one is not None)


def _of_the_answers(
    runs: Sequence[RunFigures], servings: Sequence[Serving], traffic: Traffic
) -> Iterable[Reason | None]:
    succeeded, failed = sum(run.succeeded for run in runs), sum(run.failed for run in runs)
    worst = max((name for run in runs for name in run.statuses if name not in ("ok", "cancelled")), default=None,
                key=lambda name: sum(run.statuses.get(name, 0) for run in runs))  # fmt: skip
    if not succeeded:
        what = f"none of {failed} requests succeeded ({worst})" if failed else "no request was answered in the window"
        remedy = "look at the errors in the trace, then at the server's log" if failed else "run it for longer"
        yield Reason("no-answers", what, remedy, fatal=True)
        return
    share = failed / (succeeded + failed)
    if share > FAILED_SHARE:
        what = f"{share:.1%} of the requests failed (mostly {worst})"
        fatal = share > MEANINGLESS_FAILED_SHARE
        yield Reason("errors", what, "look at the errors in the trace, then at the server's log", fatal)
    short = sum(run.short_answers for run in runs)
    if short > SHORT_SHARE * succeeded:
        what = f"{short / succeeded:.1%} of the answers have fewer tokens than asked for, though all were to be exact"
        yield Reason("short-answers", what, "check the model's context, and whether the server honours ignore_eos")
    yield _few(succeeded, runs)
    unjudged = sum(run.unjudged for run in runs)
    if unjudged:
        what = f"{unjudged} of {succeeded} answers lack a time that an objective asks for, and count neither way"
        yield Reason("unjudged", what, "ask for more output tokens, stream, or leave the objective on pace out")
    yield _cached(runs, servings, traffic)


def _few(succeeded: int, runs: Sequence[RunFigures]) -> Reason | None:
    least = min(run.succeeded for run in runs)
    if succeeded >= FEWEST_REQUESTS and least >= 8:
        return None
    what = f"n too small ({succeeded} answers in the window)"
    return Reason("few-requests", what, "raise until.requests or until.duration_s")


def _cached(runs: Sequence[RunFigures], servings: Sequence[Serving], traffic: Traffic) -> Reason | None:
    read, cached = sum(run.tokens.input for run in runs), sum(run.tokens.cached for run in runs)
    # The chat template begins every prompt alike, and no prompt can help it; not all of it does, so this is a bound.
    template = sum(
        run.tokens.requests * (one.capabilities.overhead_tokens or 0) for run, one in zip(runs, servings, strict=True)
    )
    share, unavoidable = (cached / read, min(cached, template) / read) if read else (0.0, 0.0)
    wanted = traffic.shared_prefix.hit_rate if traffic.shared_prefix else 0.0
    if traffic.turns > 1 or traffic.prompts is not None or traffic.load == "trace":
        return None  # what they share is the conversations' and the file's own
    if wanted:
        is_said = cached > 0 or any(one.capabilities.cached_tokens for one in servings)
        if read and is_said and not wanted - HIT_RATE_OFF <= share <= wanted + unavoidable + HIT_RATE_OFF:
            what = f"{share:.0%} of the prompt tokens came from the cache instead of {wanted:.0%}"
            return Reason("hit-rate", what, "warm up for longer, or look at the server's cache size and block length")
        return None
    share -= unavoidable
    if share <= CACHED_SHARE:
        return None
    what = f"warm prefix cache: {share:.1%} of the prompt tokens were cached, though no prefix was to be shared"
    remedy = "restart the server or switch its prefix cache off, or ask for shared_prefix"
    return Reason("warm-cache", what, remedy, fatal=share > MEANINGLESS_CACHED_SHARE)


def _of_the_load(runs: Sequence[RunFigures], servings: Sequence[Serving], traffic: Traffic) -> Iterable[Reason | None]:
    endings = [one.ended for one in servings]
    if "interrupted" in endings:
        yield Reason("interrupted", "the run was interrupted; its window is shorter than asked for", "run it again")
    if "money" in endings:
        what = "sending stopped because the allowance of money was spent; its window is shorter than asked for"
        yield Reason("stopped-by-money", what, "raise --max-spend, or ask for less")
    if "errors" in endings:
        yield Reason(
            "stopped-by-errors", "sending stopped because too many requests failed", "look at the errors in the trace"
        )
    behind = _oversaturated(runs, endings, traffic)
    yield behind
    yield _trend(runs)
    notes = dict.fromkeys(run.steady.note for run in runs if run.steady.note)
    for note in notes:
        yield Reason("window", note, "raise warmup_s and until.duration_s")
    cut, all_of = sum(run.cut for run in runs), sum(run.cut + run.succeeded + run.failed for run in runs)
    if all_of and cut > CUT_SHARE * all_of:
        what = f"{cut / all_of:.0%} of the requests were still on their way when the load ended"
        yield Reason("cut", what, "lower the load, or raise until.duration_s")
    drained, answered = sum(run.drained for run in runs), sum(run.succeeded for run in runs)
    if behind is None and drained > DRAINED_SHARE * answered:  # the latency of a queue without end means nothing
        what = f"{drained / answered:.0%} of the answers ended after sending had stopped, under less than the load"
        yield Reason("drained", what, "raise until.duration_s; until then TPOT and E2EL look better than they are")
    for note in dict.fromkeys(note for one in servings for note in one.notes):
        if "restart" in note.lower():
            yield Reason("server-restarted", note, "look at the server's log; figures mix two servers", fatal=False)


def _trend(runs: Sequence[RunFigures]) -> Reason | None:
    """In at least half of the replicates: each of them calls noise a trend now and then."""
    slopes: dict[str, list[float]] = {}
    for run in runs:
        for one in run.steady.trends:
            if one.is_trend:
                slopes.setdefault(one.what, []).append(one.slope_share)
    if not slopes or sum(any(one.is_trend for one in run.steady.trends) for run in runs) < TREND_SHARE * len(runs):
        return None
    said = ", ".join(f"{what} {median(each):+.0%}" for what, each in slopes.items())
    what = f"not steady: a trend inside the window ({said})"
    return Reason("not-steady", what, "raise warmup_s or until.duration_s, or lower the load")


def _oversaturated(runs: Sequence[RunFigures], endings: Sequence[str], traffic: Traffic) -> Reason | None:
    """The rate asked for was not reached: by more than noise and 5 %, or because the load generator said so.

    What was asked for and not yet answered is what more is on its way at the end than at the beginning, and bursts make
    that waver as they make the arrivals.
    """
    behind = []
    spread = dispersion(traffic)
    for run in runs:
        if run.asked_per_s is None or run.asked_per_s <= 0:
            continue
        reached = run.flow.requests_per_s + run.failed / run.steady.length_s
        noise = STANDARD_ERRORS * math.sqrt(spread * run.asked_per_s / run.steady.length_s)
        if run.asked_per_s - reached > max(SHORT_OF_RATE * run.asked_per_s, noise):
            behind.append(reached / run.asked_per_s)
    if "oversaturated" not in endings and (not behind or 2 * len(behind) < len(runs)):
        return None
    how = f" ({median(behind):.0%} of the rate asked for was answered)" if behind else ""
    what = f"over-saturated: the queue grew without end{how}; throughput is the capacity, latency means nothing"
    return Reason("oversaturated", what, "lower requests_per_s, or find the most with --find-max")


def _of_the_counts(
    runs: Sequence[RunFigures], servings: Sequence[Serving], traffic: Traffic
) -> Iterable[Reason | None]:
    succeeded = sum(run.succeeded for run in runs)
    uncounted = sum(run.uncounted for run in runs)
    if succeeded and uncounted:
        what = f"the server gave no usage for {uncounted / succeeded:.0%} of the answers; tokens are counted here"
        yield Reason("no-usage", what, "have the server send usage, or name its tokenizer")
    if any(one.length_source == "estimate" for one in servings) and traffic.input_tokens is not None:
        yield Reason("estimated-length", "prompts have their length by estimate", "name the model's tokenizer")
    resent, connected = sum(run.resent for run in runs), sum(run.connected for run in runs)
    if resent > RESENT_SHARE * max(succeeded, 1):
        yield Reason(
            "resent",
            f"{resent} requests went out twice, because a connection was closing",
            "raise the server's keep-alive time",
        )
    if succeeded and connected > CONNECTED_SHARE * succeeded:
        what = f"{connected / succeeded:.0%} of the requests had to open a connection inside the window"
        yield Reason("reconnected", what, "raise the server's keep-alive time or its limit of connections")


def _of_the_sampling(runs: Sequence[RunFigures]) -> Iterable[Reason | None]:
    if len(runs) < FEWEST_REPLICATES:
        yield Reason("one-replicate", "one replicate: its interval is from inside one run", "raise replicates")
        return
    rates = [run.flow.output_tokens_per_s for run in runs]
    if min(rates) > 0:
        factor = math.exp(2 * stdev([math.log(rate) for rate in rates]))
        if factor > SPREAD_BETWEEN_REPLICATES:
            what = f"replicates scatter by a factor of {factor:.2f} (two standard deviations)"
            yield Reason("unsteady", what, "quieten the machine; more replicates narrow the interval all the same")


def _of_the_machine(servings: Sequence[Serving], environment: Environment | None) -> Iterable[Reason | None]:
    """Only what other work than the server's shows: on loopback the server itself is part of the load average."""
    cpus = environment.cpu_usable if environment is not None else None
    loads = [
        one.window.start.load_average
        for one in servings
        if one.window is not None and not one.loopback and one.window.start.load_average is not None
    ]
    if cpus and loads and median(loads) > LOAD_PER_CPU * cpus:
        what = f"the client's machine is busy (load {median(loads):.1f} on {cpus} CPUs)"
        yield Reason("busy", what, "stop other work, run again")
    throttled = [one for one in servings if one.loopback and one.window is not None and any(
        {*before.throttle_reasons, *after.throttle_reasons}
        for before, after in zip(one.window.start.devices, one.window.end.devices, strict=False))]  # fmt: skip
    if throttled and 2 * len(throttled) >= len(servings):
        yield Reason(
            "throttled",
            "clocks of the accelerator were held back",
            "cool it or raise its power limit, if it will serve so; otherwise this is its speed",
        )
