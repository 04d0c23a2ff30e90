"""Every reason against a cell under load: seen where it is planted, silent where it is not."""

from dataclasses import replace
from typing import Any

import pytest

from bench.metrics.serving import RunFigures
from bench.metrics.serving.columns import fold
from bench.metrics.serving.figures import over, run_figures
from bench.metrics.serving.slo import parse
from bench.metrics.serving.verdict import judge_cell
from bench.metrics.verdict import Reason
from bench.schema import Capabilities, ClientFacts, Edge, Request, Serving, SharedPrefix, Window
from tests import samples
from tests.serving_requests import cut, failed, request, served_cell, serving, steady_load


def _reasons(
    made: list[Request], of: Serving | None = None, slo: str = "ttft<=1s", **traffic: Any
) -> dict[str, Reason]:
    """Of two equal replicates, so that their number is no reason."""
    cell, facts = served_cell(**traffic), of or serving()
    assert cell.traffic is not None
    run = run_figures(fold(made), facts, cell.traffic, (parse(slo),))
    return {one.code: one for one in over([run, run], [facts, facts], cell, samples.environment(cpus=4)).reasons}


def _client(**said: Any) -> Serving:
    facts = {"worker": 0, "requests": 1, "chunks": 8, "cpu_s": 1.0, "wall_s": 30.0}
    return serving(clients=(ClientFacts(**{**facts, **said}),))


def _window(load: float) -> Window:
    return Window(start=Edge(load_average=load), end=Edge(load_average=load), duration_s=28.0)


def test_a_quiet_run_is_valid() -> None:
    assert _reasons(steady_load()) == {}
    closed = steady_load(is_open=False)
    assert _reasons(closed, load="closed", requests_per_s=None, concurrency=4) == {}


@pytest.mark.parametrize(
    ("late_s", "fatal"),
    [(0.0001, None), (0.007, False), (0.004, False), (0.2, True)],
    ids=["quick", "5 ms", "5 %", "fatal"],
)
def test_a_client_that_sends_late(late_s: float, fatal: bool | None) -> None:
    found = _reasons([request(i, i / 20 + late_s, due_s=i / 20) for i in range(600)])
    assert (found["client-bound"].fatal if "client-bound" in found else None) == fatal


def test_a_client_that_stalls_once_is_seen_however_few_stalls_there_are() -> None:
    made = steady_load()
    for one in made:
        if 10 <= (one.due_s or 0) < 12:
            one.sent_s = max(one.sent_s or 0, 12.0)
    assert "client-bound" in _reasons(made)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"lag_p99_s": 0.02}, "client-lag"),
        ({"cpu_s": 25.0}, "client-cpu"),
        ({"cpu_s": 15.0, "cpu_share_limit": 0.4}, "client-cpu"),
    ],
)
def test_a_client_that_is_full(said: dict[str, float], code: str) -> None:
    assert code in _reasons(steady_load(), _client(**said))
    assert "client-cpu" not in _reasons(steady_load(), _client(cpu_s=15.0))


def test_a_cache_that_nobody_asked_for() -> None:
    warm = _reasons(steady_load(cached_tokens=50))
    assert warm["warm-cache"].fatal
    assert not _reasons(steady_load(cached_tokens=4))["warm-cache"].fatal
    assert "warm-cache" not in _reasons(steady_load(cached_tokens=50), turns=3)
    shared = SharedPrefix(hit_rate=0.5)
    assert not {"warm-cache", "hit-rate"} & set(_reasons(steady_load(cached_tokens=50), shared_prefix=shared))
    assert "hit-rate" in _reasons(steady_load(cached_tokens=20), shared_prefix=shared)
    says = Capabilities(served_model="m", cached_tokens=True)
    assert "hit-rate" in _reasons(steady_load(), serving(capabilities=says), shared_prefix=shared)
    assert "hit-rate" not in _reasons(steady_load(cached_tokens=None), shared_prefix=shared)  # nobody knows
    template = serving(capabilities=Capabilities(served_model="m", overhead_tokens=24, cached_tokens=True))
    assert "warm-cache" not in _reasons(steady_load(cached_tokens=24), template)  # every prompt begins with it
    assert not _reasons(steady_load(cached_tokens=32), template)["warm-cache"].fatal
    assert "hit-rate" not in _reasons(steady_load(cached_tokens=70), template, shared_prefix=shared)


def test_answers_that_end_when_the_load_has_gone() -> None:
    """Of 10 s each in a window of 28 s: a third of them ends under less than the load."""
    assert "drained" in _reasons(steady_load(gap_s=1.4))
    assert "drained" not in _reasons(steady_load(gap_s=0.7))


def test_a_server_that_falls_behind() -> None:
    """Ten a second of twenty asked for: a queue without end, a trend, but no word against its throughput."""
    made = [request(i, i / 20, ttft_s=i / 20 + 0.05, due_s=i / 20) for i in range(600)]
    found = _reasons(made)
    assert {"oversaturated", "not-steady"} <= set(found)
    assert not any(one.fatal for one in found.values())
    assert "oversaturated" in _reasons(steady_load(), serving(ended="oversaturated"))


def test_a_burst_at_the_end_of_the_window_is_no_server_that_falls_behind() -> None:
    """Hundreds at once every nine seconds, each answered within four: those of 29 s are not over at 30 s."""
    made = [request(i, at, gap_s=0.5, due_s=at) for i in range(720) if (at := i // 180 * 9.0 + 2.0)]
    assert "oversaturated" in _reasons(made)  # of Poisson arrivals that would be no chance
    assert "oversaturated" not in _reasons(made, load="burst", burst_size=180)


@pytest.mark.parametrize(("every", "fatal"), [(1000, None), (10, False), (1, True)])
def test_failures(every: int, fatal: bool | None) -> None:
    made = steady_load()
    broken = [failed(5000 + i, one.due_s or 0, due_s=one.due_s) for i, one in enumerate(made) if i % every == 0 and i]
    broken += broken if every == 1 else []
    found = _reasons([*made, *broken])
    assert (found["errors"].fatal if "errors" in found else None) == fatal
    if fatal is not None:
        assert "mostly http" in found["errors"].what


def test_what_is_wrong_with_the_answers() -> None:
    assert "short-answers" in _reasons(steady_load(asked_output_tokens=9))
    assert "short-answers" not in _reasons(steady_load(asked_output_tokens=9), ignore_eos=False)
    assert "no-usage" in _reasons(steady_load(count_source="chunks"))
    assert "resent" in _reasons(steady_load(resent=True))
    assert "reconnected" in _reasons(steady_load(connect_s=0.001))
    assert "unjudged" in _reasons(steady_load(tokens=1), slo="tpot<=1s")
    few = [request(i, 2.5 + i) for i in range(10)]
    assert "few-requests" in _reasons(few, serving(2.0, 12.5), load="closed", requests_per_s=None, concurrency=1)


def test_what_the_run_itself_says() -> None:
    assert "interrupted" in _reasons(steady_load(), serving(ended="interrupted"))
    assert "stopped-by-money" in _reasons(steady_load(), serving(ended="money"))
    assert "stopped-by-errors" in _reasons(steady_load(), serving(ended="errors"))
    assert "server-restarted" in _reasons(steady_load(), serving(notes=("the server restarted at 12 s",)))
    estimated = serving(length_source="estimate")
    assert "estimated-length" in _reasons(steady_load(), estimated, input_tokens=100)
    assert "window" in _reasons(steady_load(), serving(warm_s=40.0))
    waiting = [cut(900 + i, 20.0, 31.0, due_s=20.0) for i in range(100)]
    assert "cut" in _reasons([*steady_load(), *waiting])


def test_a_busy_machine_of_the_client() -> None:
    assert "busy" in _reasons(steady_load(), serving(loopback=False, window=_window(9.0)))
    assert "busy" not in _reasons(steady_load(), serving(window=_window(9.0)))  # the server itself is that load


def test_replicates_that_scatter_and_one_alone() -> None:
    cell, facts = served_cell(), serving()
    assert cell.traffic is not None
    run: RunFigures = run_figures(fold(steady_load()), facts, cell.traffic)
    slow = replace(run, flow=replace(run.flow, output_tokens_per_s=run.flow.output_tokens_per_s / 2))
    assert "unsteady" in {one.code for one in judge_cell([run, slow], [facts, facts], cell)}
    assert [one.code for one in judge_cell([run], [facts], cell)] == ["one-replicate"]
