"""The steady window: openings are left out, noise is left in peace, drifts are seen, intervals hold the truth."""

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from bench.metrics.serving import batches, steady
from bench.metrics.serving.columns import BIN_S, fold
from tests.commands import ROOT
from tests.serving_requests import request, steady_load


def _script() -> Any:
    """scripts/steady_coverage.py as a module."""
    spec = importlib.util.spec_from_file_location("script_steady_coverage", ROOT / "scripts" / "steady_coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


simulated = _script()
RUNS = 30


def test_the_window_is_what_the_run_intended_where_nothing_is_wrong() -> None:
    found = steady.window(fold(steady_load()), 2.0, 30.0)
    assert (found.start_s, found.end_s, found.note) == (2.0, 30.0, None)
    assert {one.what for one in found.trends} == {"output_tokens_per_s", "in_flight", "ttft_s"}
    assert not any(one.is_trend for one in found.trends)


def test_its_ends_are_edges_of_bins_inside_what_was_asked() -> None:
    found = steady.window(fold(steady_load()), 2.03, 29.97)
    assert found.start_s == pytest.approx(2.1)
    assert found.end_s == pytest.approx(29.9)


def test_an_opening_wave_is_left_out_and_said() -> None:
    """Six seconds at a quarter of the rate with ten times the TTFT, then steady."""
    slow = steady_load(8.0, per_s=5.0, seed=3)
    for one in slow:
        one.first_token_s = (one.first_token_s or 0) + 0.5
    later = [request(1000 + one.index, 8.0 + (one.sent_s or 0)) for one in steady_load(32.0)]
    found = steady.window(fold([*slow, *later]), 2.0, 40.0)
    assert 7.0 <= found.start_s <= 12.0
    assert found.note is not None
    assert "settled" in found.note


def test_a_run_that_never_got_warm_has_a_window_all_the_same() -> None:
    found = steady.window(fold(steady_load(3.0)), 10.0, 3.0)
    assert 0 < found.length_s <= 3.0
    assert found.note is not None
    assert steady.window(fold([]), 0.0, 0.0).length_s > 0


def test_a_stall_is_no_opening() -> None:
    """Ten good seconds, five of nothing, then good again: the stall counts, it is what users saw."""
    made = steady_load(40.0)
    for one in made:
        assert one.sent_s is not None
        assert one.first_token_s is not None
        if 10 <= one.sent_s < 15:
            one.first_token_s += 15 - one.sent_s
    found = steady.window(fold(made), 2.0, 40.0)
    assert found.start_s < 3.0


def test_mser_leaves_out_an_opening_and_nothing_of_noise() -> None:
    draw = np.random.default_rng(7)
    opening = np.concatenate([np.full(100, 3.0), np.zeros(400)]) + draw.normal(0, 0.5, 500)
    assert 95 <= steady.mser(opening) <= 120
    cut = [steady.mser(draw.normal(0, 1, 500)) for _ in range(100)]
    assert sum(each > 0 for each in cut) <= 10
    assert steady.mser(np.arange(20.0)) == 0


def test_a_trend_is_a_slope_that_slow_noise_does_not_explain() -> None:
    draw = np.random.default_rng(8)
    noise = draw.normal(0, 0.05, 200)
    risen = steady.trend("x", 1 + 0.2 * np.linspace(0, 1, 200) + noise)
    assert risen.is_trend
    assert risen.slope_share == pytest.approx(0.2 / 1.1, abs=0.04)
    assert not steady.trend("x", 1 + noise).is_trend
    assert not steady.trend("x", 1 + 0.02 * np.linspace(0, 1, 200) + noise / 100).is_trend  # sure, but too small
    assert not steady.trend("x", np.ones(200)).is_trend
    assert not steady.trend("x", np.arange(5.0)).is_trend
    doubled = steady.trend("x", np.log(np.linspace(1, 2, 200)) + noise, is_log=True)
    assert doubled.slope_share == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("name", ["Poisson", "bursty (gamma 0.25)", "queue at 70 %"])
def test_intervals_hold_the_truth_and_noise_is_no_trend(name: str) -> None:
    """A short run of scripts/steady_coverage.py, which does this at length: bounds are wide for 30 runs."""
    found = simulated.fared(simulated.SCENARIOS[name], RUNS, seed=11)
    assert found.covered >= 0.85
    assert found.called <= 0.13


@pytest.mark.parametrize("name", list(simulated.DRIFTS))
def test_real_drifts_are_seen(name: str) -> None:
    found = simulated.fared(simulated.DRIFTS[name], 10, seed=12, truth=1.0)
    assert found.noted >= 0.7


def test_a_rates_interval_is_around_the_whole_amount() -> None:
    draw = np.random.default_rng(9)
    amounts = draw.poisson(20, 600).astype(float)
    found = batches.of_rate(amounts, BIN_S)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(amounts.sum() / 60)
    assert found.low < found.value < found.high
    assert found.n == 1
    assert batches.of_rate(np.zeros(100), BIN_S) is None
    few = batches.of_rate(np.ones(5), BIN_S)
    assert few is not None
    assert few.low is None


def test_correlated_noise_has_wider_intervals_than_independent_replicates_would() -> None:
    """First-order noise with a memory of a twentieth of the run, against an interval of independent bins."""
    draw = np.random.default_rng(10)
    state, made = 0.0, []
    for _ in range(1000):
        state = 0.98 * state + draw.normal(0, 0.2)
        made.append(20 * np.exp(0.2 * state))
    found = batches.of_rate(np.array(made), BIN_S)
    assert found is not None
    independent = 1.96 * float(np.std(np.log(made))) / len(made) ** 0.5
    assert (found.spread() or 0) > 3 * independent


def test_a_medians_interval_is_over_batches_of_requests() -> None:
    found = batches.of_median(np.random.default_rng(13).lognormal(0, 0.3, 400))
    assert found is not None
    assert found.low is not None
    assert found.low < 1.0 < (found.high or 0)
    assert batches.of_median(np.zeros(0)) is None
