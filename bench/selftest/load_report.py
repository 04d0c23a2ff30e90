"""What the trials of the client say: whether its figures are true, and from what load on it distorts them.

Each figure is held against the server's log of the same requests. Where other work wants this machine's CPUs, both
processes are late for reasons that are no fault of the client: tolerances then grow with the time that they waited.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.client import calibration as stored
from bench.client.calibration import WARN_SHARE, Calibration
from bench.metrics.percentiles import TooFew, percentile
from bench.selftest import check, load
from bench.selftest.check import Check
from bench.selftest.load import MockProcess, Trial, Tried
from bench.sensors import environment

TTFT_P50_S, TTFT_TAIL_S, TPOT_SHARE = 0.001, 0.010, 0.01
"""Tolerances on a machine that does nothing else."""
QUIET_SHARE = 0.05
"""Of the time in which a process may wait for a CPU before other work is to blame."""
PER_SHARE = {"TTFT p50": 0.1, "TTFT tail": 0.5, "TPOT": 0.2}
"""What is added to a tolerance (seconds; TPOT: a share of it) for all of the time waited for a CPU."""
DISTORTED_S = 0.005
"""Error of a stamp, or delay of a dispatch, at the 99th percentile."""
TAILS = (99, 95, 90)
MOST_BUSY = 2
"""Loads that could not be judged, before no higher one is tried."""

Say = Callable[["Check | Level"], None]


@dataclass(frozen=True)
class Extent:
    """How much is tried."""

    streams: Sequence[int] = (16, 64, 256)
    seconds: float = 3.0
    tokens_per_s: Sequence[float] = (10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 80_000)
    requests_per_s: Sequence[float] = (500, 1000, 2000, 3000, 4000, 6000)
    level_seconds: float = 1.5
    tries: int = 3


@dataclass(frozen=True)
class Level:
    """A load and what became of it.

    `verdict`: clean; distorted, by the client; server: late itself; busy: late while other work had the CPUs.
    """

    what: str
    offered_per_s: float
    sent_per_s: float
    cpu_share: float
    cpu_s_per_token: float
    stamp_error_p99_s: float
    dispatch_p99_s: float | None
    waited_share: float | None
    verdict: str


@dataclass(frozen=True)
class Report:
    checks: list[Check]
    levels: list[Level]
    calibration: Calibration
    mock_cpu_s_per_token: float
    mock_late_p50_s: float
    """How late the mock sends a first token by its own plan, at the most streams of the accuracy trials."""
    mock_late_p99_s: float


def calibrate(say: Say, extent: Extent | None = None) -> Report:
    """Try it all, telling each check and level as it is there. Takes a minute. Raises RuntimeError without a mock."""
    extent = extent or Extent()
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="bench-selftest-") as folder, load.mock(Path(folder)) as server:
        for streams in extent.streams:
            tried, judged = _accuracy(streams, extent, server)
            checks += judged
            for one in judged:
                say(one)
        ceiling = load.attempt(Trial(extent.level_seconds, streams=16, ttft_s=0.0, itl_s=0.0), server)
        tokens = _rise("tok/s", extent.tokens_per_s, extent, server, say)
        requests = _rise("req/s", extent.requests_per_s, extent, server, say)
    late = sorted((truth.first_token_ns or 0) - (truth.planned_first_ns or 0) for _, truth in tried.pairs)
    errors = _errors_s(tried)
    clean = [one for one in tokens if one.verdict == "clean"]
    reached = any(one.verdict == "distorted" for one in tokens)
    calibration = Calibration(
        hardware=environment.detect().hardware(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tokens_per_s=max((one.sent_per_s for one in clean), default=None),
        requests_per_s=max((one.sent_per_s for one in requests if one.verdict == "clean"), default=None),
        ceiling_tokens_per_s=ceiling.tokens / ceiling.wall_s,
        cpu_s_per_token=tried.cpu_s / max(1, tried.tokens),
        cpu_share_limit=max((one.cpu_share for one in clean), default=None) if reached else None,
        limit_reached=reached,
        ttft_error_p50_s=errors[0],
        ttft_error_p99_s=errors[1],
        waited_share=tried.waited_share,
    )
    return Report(
        checks=checks,
        levels=tokens + requests,
        calibration=calibration,
        mock_cpu_s_per_token=tried.mock_cpu_s / max(1, tried.tokens),
        mock_late_p50_s=_at(late, 0.5) / 1e9,
        mock_late_p99_s=_at(late, 0.99) / 1e9,
    )


def is_busy(report: Report) -> bool:
    """Whether other work disturbed the trials."""
    shares = [report.calibration.waited_share, *(one.waited_share for one in report.levels)]
    known = [one for one in shares if one is not None]
    return (bool(known) and median(known) > QUIET_SHARE) or any(one.verdict == "busy" for one in report.levels)


def keep(report: Report) -> Path | None:
    """Store the calibration for runs under load to read. Not where a check failed, or no load could be judged: it would
    say nothing, and take the place of one that does.

    Raises InputError where it cannot be written.
    """
    of = report.calibration
    told = all(one.ok for one in report.checks) and (of.tokens_per_s is not None or of.requests_per_s is not None)
    return stored.save(of) if told else None


def warns_from(report: Report) -> float | None:
    """The share of a core from which on a run warns that its client may be what is slow."""
    limit = report.calibration.cpu_share_limit
    return None if limit is None else WARN_SHARE * limit


# Whether it is true ---------------------------------------------------------------------------------------------------


def _accuracy(streams: int, extent: Extent, server: MockProcess) -> tuple[Tried, list[Check]]:
    """Streams of 64 tokens, TTFT 50 ms, 10 ms a token, as they are after a warm-up: not in step with each other."""
    trial = Trial(extent.seconds, streams=streams, spread_s=0.68)
    for number in range(1, extent.tries + 1):
        tried = load.attempt(trial, server)
        judged = judge(tried, number)
        if all(one.ok for one in judged):
            break
    return tried, judged


def judge(tried: Tried, number: int = 1) -> list[Check]:
    """The client's figures beside those of the log."""
    name = f"{tried.trial.streams} streams"
    sent = len(tried.pairs) + len(tried.lost)
    checks = [
        check.equal(f"{name}: answers", sent, len(tried.pairs)),
        check.equal(
            f"{name}: tokens",
            sum(truth.tokens for _, truth in tried.pairs),
            sum(seen.tokens or 0 for seen, _ in tried.pairs),
        ),
    ]
    told, true = _ttft_s(tried)
    for p in (50, next((one for one in TAILS if not isinstance(percentile(told, one), TooFew)), TAILS[-1])):
        reported, truth = percentile(told, p), percentile(true, p)
        if isinstance(reported, float) and isinstance(truth, float):
            limit_s = TTFT_P50_S if p == 50 else TTFT_TAIL_S
            limit_s += PER_SHARE["TTFT p50" if p == 50 else "TTFT tail"] * _excess(tried)
            checks.append(check.near(f"{name}: TTFT p{p}", truth, reported, limit_s, "s"))
    pairs = [pair for pair in tried.pairs if pair[1].tokens > 1]
    if pairs:
        reported_tpot = median(
            ((seen.last_ns or 0) - (seen.first_ns or 0)) / 1e9 / (truth.tokens - 1) for seen, truth in pairs
        )
        true_tpot = median(
            ((truth.last_token_ns or 0) - (truth.first_token_ns or 0)) / 1e9 / (truth.tokens - 1) for _, truth in pairs
        )
        share = TPOT_SHARE + PER_SHARE["TPOT"] * _excess(tried)
        checks.append(check.near(f"{name}: TPOT p50", true_tpot, reported_tpot, share * true_tpot, "s"))
    return [Check(**{**vars(one), "tries": number}) for one in checks]


def _ttft_s(tried: Tried) -> tuple[list[float], list[float]]:
    told = [((seen.first_ns or 0) - (seen.sent_ns or 0)) / 1e9 for seen, _ in tried.pairs]
    true = [((truth.first_token_ns or 0) - truth.received_ns) / 1e9 for _, truth in tried.pairs]
    return told, true


def _errors_s(tried: Tried) -> tuple[float, float]:
    """Reported minus true TTFT at the median and the 99th percentile."""
    told, true = (sorted(one) for one in _ttft_s(tried))
    return _at(told, 0.5) - _at(true, 0.5), _at(told, 0.99) - _at(true, 0.99)


def _excess(tried: Tried) -> float:
    return max(0.0, (tried.waited_share or 0.0) - QUIET_SHARE)


# From what load on it is not ----------------------------------------------------------------------------------------


def _rise(what: str, offered: Sequence[float], extent: Extent, server: MockProcess, say: Say) -> list[Level]:
    """Loads, each higher than the one before, up to the first that is distorted twice or that the mock cannot serve,
    or to the second that could not be judged."""
    levels: list[Level] = []
    for rate in offered:
        for _ in range(2):
            level = _level(what, rate, load.attempt(_trial(what, rate, extent.level_seconds), server))
            if level.verdict == "clean":
                break
        levels.append(level)
        say(level)
        if level.verdict in ("distorted", "server") or [one.verdict for one in levels].count("busy") == MOST_BUSY:
            break
    return levels


def _trial(what: str, rate: float, seconds: float) -> Trial:
    if what == "req/s":
        return Trial(seconds, requests_per_s=rate, tokens=4, ttft_s=0.005, itl_s=0.0)
    usual = Trial(seconds)
    answer_s = usual.ttft_s + usual.itl_s * (usual.tokens - 1)
    return Trial(seconds, streams=max(1, round(rate * answer_s / usual.tokens)), spread_s=answer_s)


def _level(what: str, rate: float, tried: Tried) -> Level:
    seconds = tried.trial.seconds  # a stream starts as much later as it ends later
    errors = sorted(
        max((seen.first_ns or 0) - (truth.first_token_ns or 0), (seen.last_ns or 0) - (truth.last_token_ns or 0)) / 1e9
        for seen, truth in tried.pairs
    )
    delays = sorted((seen.sent_ns - seen.due_ns) / 1e9 for seen, _ in tried.pairs if seen.due_ns and seen.sent_ns)
    late = sorted(truth.late_max_ns / 1e9 for _, truth in tried.pairs)
    error_s, delay_s = _at(errors, 0.99), _at(delays, 0.99)
    verdict = "clean"
    if error_s > DISTORTED_S or delay_s > DISTORTED_S or tried.lost:
        verdict = "busy" if (tried.waited_share or 0.0) > QUIET_SHARE and not tried.lost else "distorted"
    elif _at(late, 0.99) > 10 * DISTORTED_S:
        verdict = "server"
    return Level(
        what=what,
        offered_per_s=rate,
        sent_per_s=(tried.tokens if what == "tok/s" else len(tried.pairs)) / seconds,
        cpu_share=tried.cpu_s / seconds,
        cpu_s_per_token=tried.cpu_s / max(1, tried.tokens),
        stamp_error_p99_s=error_s,
        dispatch_p99_s=delay_s if delays else None,
        waited_share=tried.waited_share,
        verdict=verdict,
    )


def _at(ordered: Sequence[float], share: float) -> float:
    """The sample at a share of them: two rows of the same samples are compared, nothing is inferred from them."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
