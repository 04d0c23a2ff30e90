"""Whether the load generator, and not the server, was slow.

A client that is late sends less than asked, and reads tokens later than they came: both look like a slow server.
"""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.metrics.serving import RunFigures
from bench.metrics.serving.samples import quantile
from bench.metrics.verdict import Reason
from bench.schema import ClientFacts, Serving

LATE_S = 0.005
LATE_SHARE = 0.05
"""Of the median time to the first token."""

MEANINGLESS_LATE_SHARE = 0.5
BUSY_SHARE = 0.7
"""Of what it can do: a load generator is one thread, and a queue before it at 70 % is already two tokens long on
average."""

NEAR_LIMIT = 1.0


def client_reasons(runs: Sequence[RunFigures], servings: Sequence[Serving]) -> Iterable[Reason]:
    """At most one for each of: sent late, a loop that lags, a core that is full."""
    late = [each for run in runs if (each := _late_s(run)) is not None]
    ttft = [run.medians["ttft_s"] for run in runs if "ttft_s" in run.medians]
    if late:
        worst, usual = median(late), median(ttft) if ttft else None
        if worst > LATE_S or (usual is not None and worst > LATE_SHARE * usual):
            what = f"client-bound: requests went out late (99 of 100 within {worst * 1e3:.1f} ms of their time)"
            fatal = usual is not None and worst > max(LATE_S, MEANINGLESS_LATE_SHARE * usual)
            yield Reason("client-bound", what, "raise clients, or use a machine of its own for the load", fatal)
    clients = [one for serving in servings for one in serving.clients]
    lags = [one.lag_p99_s for one in clients if one.lag_p99_s is not None]
    if lags and max(lags) > LATE_S:
        what = f"client-bound: its loop came up to {max(lags) * 1e3:.1f} ms late to what was due (99 of 100)"
        yield Reason("client-lag", what, "raise clients, or use a machine of its own for the load")
    full = max(clients, key=_fullness, default=None)
    if full is not None and _fullness(full) > NEAR_LIMIT:
        share, limit = full.cpu_s / full.wall_s, _limit(full)
        what = f"client-bound: a load generator used {share:.0%} of a core; past {limit:.0%} it may distort its figures"
        yield Reason("client-cpu", what, "raise clients, or use a machine of its own for the load")


def _late_s(run: RunFigures) -> float | None:
    """The p99 of the dispatch delay, however few independent ones there are: a client stalls seldom, and for long."""
    delays = run.samples.get("dispatch_delay_s")
    return None if delays is None else quantile([delays], 0.99)


def _limit(one: ClientFacts) -> float:
    """The share of a core from which a row says so: 70 % of what this machine's client was found to bear, else of all
    of it."""
    return BUSY_SHARE * (1.0 if one.cpu_share_limit is None else min(1.0, one.cpu_share_limit))


def _fullness(one: ClientFacts) -> float:
    return one.cpu_s / one.wall_s / _limit(one) if one.wall_s > 0 else 0.0
