"""Figures of a run and of a cell: against counts by hand, and against what peers get wrong."""

import numpy as np
import pytest

from bench.metrics.percentiles import TooFew
from bench.metrics.serving import RunFigures
from bench.metrics.serving.columns import fold
from bench.metrics.serving.figures import over, run_figures
from bench.metrics.serving.samples import independent_samples, percentile, quantile, sample
from bench.metrics.serving.slo import parse
from bench.schema import Request, Serving
from tests.serving_requests import cut, failed, request, served_cell, serving, steady_load


def _figures(made: list[Request], *slo: str, of: Serving | None = None, **traffic: object) -> RunFigures:
    load = served_cell(**traffic).traffic
    assert load is not None
    return run_figures(fold(made), of or serving(), load, tuple(parse(one) for one in slo))


def test_rates_are_of_what_happened_inside_the_window() -> None:
    made = steady_load()
    found = _figures(made, "ttft<=100ms")
    done = [one for one in made if 2.0 <= (one.done_s or 0) < 30.0]
    assert found.flow.length_s == pytest.approx(28)
    assert found.flow.requests_per_s == pytest.approx(len(done) / 28)
    assert found.flow.output_tokens_per_s == pytest.approx(8 * len(done) / 28, rel=0.02)
    assert found.flow.total_tokens_per_s == pytest.approx(108 * len(done) / 28, rel=0.02)
    assert found.tokens.requests == len(done)
    assert found.tokens.input == 100 * len(done)
    assert found.succeeded == sum(2.0 <= (one.due_s or 0) < 30.0 for one in made)
    assert found.attainment == pytest.approx(found.objectives[0].share)
    assert found.flow.goodput_requests_per_s is not None
    assert found.flow.goodput_requests_per_s <= found.flow.requests_per_s
    assert found.flow.concurrency == pytest.approx(20 * 0.121, rel=0.15)  # Little's law
    assert found.asked_per_s == pytest.approx(20, rel=0.2)
    assert found.output_tokens_per_s.value == pytest.approx(found.flow.output_tokens_per_s)


def test_the_whole_run_stands_beside_it() -> None:
    """A ramp and a drain: a third of the requests, in twice the time."""
    made = [request(i, i / 20) for i in range(400)] + [request(900, 39.0)]
    found = _figures(made, of=serving(1.0, 20.0))
    assert found.whole.length_s == pytest.approx(39.2, abs=0.1)
    assert found.whole.output_tokens_per_s < 0.6 * found.flow.output_tokens_per_s


def test_open_loops_count_from_the_schedule() -> None:
    """No coordinated omission: a server that stands still for 5 s delays all that were due, not one per stream."""
    made = steady_load()
    for one in made:
        assert one.due_s is not None
        assert one.first_token_s is not None
        late = max(0.0, 15.0 - one.due_s) if one.due_s > 10 else 0.0
        one.sent_s = one.due_s + late
        one.first_token_s, one.last_token_s, one.done_s = one.sent_s + 0.05, one.sent_s + 0.12, one.sent_s + 0.121
    found = _figures(made, "ttft.p90<=100ms")
    assert found.is_open
    assert found.medians["ttft_s"] == pytest.approx(0.05)
    assert found.objectives[0].share == pytest.approx(23 / 28, abs=0.06)
    cell = over([found], [serving()], served_cell())
    assert cell.times["ttft_s"] == found.times["ttft_due_s"]


def test_percentiles_need_independent_requests() -> None:
    found = _figures([request(i, 2.0 + i / 4) for i in range(100)], of=serving(2.0, 27.0))
    assert isinstance(found.times["ttft_s"][95.0], float)
    assert isinstance(found.times["ttft_s"][99.0], TooFew)
    assert isinstance(found.times["itl_s"][95.0], float)
    assert isinstance(found.times["itl_s"][99.0], TooFew)  # 700 gaps, but of 100 requests
    assert found.times["ttft_due_s"][50.0] == TooFew(0, 8)


def test_independence() -> None:
    draw = np.random.default_rng(1)
    assert np.mean([independent_samples(draw.normal(size=200)) for _ in range(50)]) > 185
    walk = np.cumsum(draw.normal(size=2000))
    assert independent_samples(np.exp(walk)) < 100
    talks = np.repeat(draw.lognormal(0, 1, 50), 10)
    order = draw.permutation(500)
    assert independent_samples(talks[order]) > 300
    assert sample(talks[order], np.zeros(0), np.repeat(np.arange(50), 10)[order]).independent < 120


def test_what_was_cut_counts_as_longer_than_it_was_waited_for() -> None:
    """Kaplan and Meier against the truth: exponential times, each seen up to its own limit only."""
    draw = np.random.default_rng(2)
    times, limits = draw.exponential(1.0, 4000), draw.uniform(0, 3, 4000)
    seen = times <= limits
    found = sample(times[seen], limits[~seen])
    assert quantile([found], 0.5) == pytest.approx(np.log(2), rel=0.06)
    assert np.median(times[seen]) < 0.75 * np.log(2)  # what leaving them out would say
    assert isinstance(percentile([sample(times[seen], np.full(8000, 9.0))], 90), TooFew)


def test_long_samples_are_thinned_without_moving_a_percentile() -> None:
    values = np.random.default_rng(3).lognormal(0, 1, 100_000)
    found = sample(values, np.zeros(0))
    assert len(found.values) == 20_000
    for share in (0.5, 0.99):
        assert quantile([found], share) == pytest.approx(np.quantile(values, share), rel=0.01)


def test_a_pause_of_all_streams_is_no_pause_of_the_schedule() -> None:
    made = [
        *(request(i, i / 10, due_s=i / 10) for i in range(200)),
        *(cut(900 + i, 15.0, 31.0, due_s=15.0 + i / 9) for i in range(90)),
    ]
    made += [Request(index=2000 + i, due_s=25.0 + i / 9, status="cancelled") for i in range(40)]
    found = _figures(made, "ttft.p90<=1s")
    assert found.cut == 130
    assert found.failed == 0
    assert found.objectives[0].share < 0.75


def test_one_token_answers_do_not_pass_an_objective_on_pace() -> None:
    found = _figures([request(i, 2 + i / 10, tokens=1) for i in range(200)], "tpot<=50ms", of=serving(2.0, 22.0))
    assert found.attainment is None
    assert found.unjudged == 200
    assert found.flow.goodput_requests_per_s == 0
    assert "tpot_s" not in found.medians


def test_replicates_are_the_unit() -> None:
    runs = [_figures(steady_load(seed=seed), "ttft<=100ms") for seed in (1, 2, 3)]
    cell = over(runs, [serving()] * 3, served_cell())
    assert cell.output_tokens_per_s.n == 3
    assert cell.output_tokens_per_s.low is not None
    assert cell.tokens.requests == sum(run.tokens.requests for run in runs)
    assert cell.objectives[0].n == sum(run.objectives[0].n for run in runs)
    assert cell.tpot_s is not None
    assert cell.tokens_per_s_per_user is not None
    assert cell.tpot_s.value == pytest.approx(0.01, rel=1e-3)
    assert cell.tokens_per_s_per_user.value == pytest.approx(100, rel=1e-3)
    assert isinstance(cell.times["ttft_s"][99.0], float)  # 1600 requests
    assert cell.reasons == ()


def test_one_replicate_has_the_interval_from_inside() -> None:
    run = _figures(steady_load(), "ttft<=100ms")
    cell = over([run], [serving()], served_cell())
    assert cell.output_tokens_per_s == run.output_tokens_per_s
    assert cell.output_tokens_per_s.low is not None
    assert [one.code for one in cell.reasons] == ["one-replicate"]


def test_a_run_of_nothing_but_failures_has_no_figures_and_says_so() -> None:
    run = _figures([failed(i, i / 10) for i in range(300)], "ttft<=1s")
    cell = over([run], [serving()], served_cell())
    assert cell.output_tokens_per_s.value == 0
    assert cell.ttft_s is None
    assert cell.attainment == 0
    assert run.statuses == {"http": run.failed}
    assert [one.code for one in cell.reasons if one.fatal] == ["no-answers"]


def test_an_empty_trace_is_no_crash() -> None:
    run = _figures([], "ttft<=1s", "itl<=1s")
    cell = over([run], [serving()], served_cell())
    assert cell.attainment is None
    assert [one.code for one in cell.reasons if one.fatal] == ["no-answers"]
