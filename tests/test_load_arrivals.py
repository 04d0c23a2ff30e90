"""Arrivals are what they are called: rate, independence and dispersion of the whole plan and of each worker's slice."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.loads import Vocabulary
from bench.loads.arrivals import STRATUM, Level, arrivals, erlang_cv
from bench.loads.plan import plan
from bench.loads.streams import stream
from bench.schema import Ramp, Traffic

Times = NDArray[np.float64]
WORDS = Vocabulary(source="tokenizer", words=[f" w{i}" for i in range(21_000)])
N = 10_000
RATE = 200.0


def traffic(load: str = "poisson", **more: object) -> Traffic:
    said = {"load": load, "requests_per_s": RATE, "input_tokens": 16, "output_tokens": 8, **more}
    return Traffic.model_validate(said)


def due(one: Traffic, n: int = N, replicate: int = 0) -> Times:
    blocks = (block for block in arrivals(one, stream(one, replicate, "arrivals")) if block is not None)
    return np.concatenate(list(itertools.islice(blocks, -(-n // STRATUM))))[:n]


def slices(one: Traffic, workers: int, n: int = N) -> list[Times]:
    """The due times of each worker, by the plan that the load generator processes walk."""
    whole = plan(one, WORDS, replicate=0)
    taken = []
    for worker in range(workers):
        sessions = itertools.islice(whole.slice(worker, workers), (n - worker + workers - 1) // workers)
        taken.append(np.array([session.due_s for session in sessions]))
    return taken


def lag_1(gaps: Times) -> float:
    return float(np.corrcoef(gaps[:-1], gaps[1:])[0, 1])


def dispersion(times: Times, window_s: float) -> float:
    """Variance over mean of the arrivals in windows; 1 for a Poisson process."""
    counts = np.bincount((times / window_s).astype(int))[:-1]
    return float(counts.var(ddof=1) / counts.mean())


@pytest.mark.parametrize("workers", [1, 4, 10])
def test_poisson_of_all_workers_together_is_poisson(workers: int) -> None:
    for seed in range(2):
        times = np.sort(np.concatenate(slices(traffic(seed=seed), workers)))
        gaps = np.diff(times, prepend=0.0)
        assert len(times) == N
        assert abs(lag_1(gaps)) < 0.05
        assert abs(gaps.var() / gaps.mean() ** 2 - 1) < 0.1
        assert abs(dispersion(times, 1 / RATE) - 1) < 0.1
        assert abs(dispersion(times, 10 / RATE) - 1) < 0.1
        assert N / times[-1] == pytest.approx(RATE, rel=0.005)


def test_poisson_over_many_seeds() -> None:
    lags, spreads, narrow, wide = [], [], [], []
    for seed in range(60):
        times = due(traffic(seed=seed))
        gaps = np.diff(times, prepend=0.0)
        lags.append(lag_1(gaps))
        spreads.append(gaps.var() / gaps.mean() ** 2)
        narrow.append(dispersion(times, 1 / RATE))
        wide.append(dispersion(times, 50 / RATE))
    # Standard errors over 10,000 arrivals: 0.01 and 0.03; over 60 seeds, those of the mean are eight times less.
    assert max(map(abs, lags)) < 0.05
    assert abs(np.mean(lags)) < 0.005
    assert max(abs(one - 1) for one in spreads) < 0.15
    assert abs(np.mean(spreads) - 1) < 0.015
    assert max(abs(one - 1) for one in narrow) < 0.1
    assert abs(np.mean(narrow) - 1) < 0.01
    # The price of an exact rate: windows of 50 arrivals of a stratum of 2,000 vary 2.5 % less than Poisson's.
    assert np.mean(wide) == pytest.approx(1 - 50 / STRATUM, abs=0.03)


def test_gaps_are_exponential() -> None:
    """Kolmogorov and Smirnov: the greatest distance stays below 1.95/√n (p = 0.001), here for 100,000 gaps."""
    gaps = np.sort(np.diff(due(traffic(), 100_000), prepend=0.0)) * RATE
    expected = 1 - np.exp(-gaps)
    assert np.abs(expected - np.arange(len(gaps)) / len(gaps)).max() < 1.95 / np.sqrt(len(gaps))


@pytest.mark.parametrize("workers", [4, 10])
def test_a_workers_slice_is_erlang(workers: int) -> None:
    for times in slices(traffic(), workers, 40_000):
        gaps = np.diff(times)
        assert gaps.std() / gaps.mean() == pytest.approx(erlang_cv(workers), rel=0.06)
        assert abs(lag_1(gaps)) < 4 / np.sqrt(len(gaps))
        assert gaps.mean() == pytest.approx(workers / RATE, rel=0.005)


def test_what_an_unconditioned_plan_would_do() -> None:
    """Why strata are scaled: of plain Poisson plans most miss the asked rate by more than 0.5 %; of these none does."""
    draw = np.random.default_rng(7)
    plain = [N / draw.exponential(1 / RATE, N).sum() for _ in range(200)]
    assert np.mean([abs(rate / RATE - 1) > 0.005 for rate in plain]) > 0.45
    ours = [N / due(traffic(seed=seed))[-1] for seed in range(50)]
    assert max(abs(rate / RATE - 1) for rate in ours) < 1e-9
    # A window that begins and ends within strata has their fluctuation, not the whole plan's.
    windows = [np.searchsorted(due(traffic(seed=seed), 3 * N), [33.3, 33.3 + N / RATE]) for seed in range(50)]
    assert np.std([(after - before) / N for before, after in windows]) < 0.005


@pytest.mark.parametrize("burstiness", [0.1, 0.25, 4.0])
def test_gamma_keeps_its_rate_and_spread(burstiness: float) -> None:
    times = due(traffic("gamma", burstiness=burstiness), 100_000)
    gaps = np.diff(times, prepend=0.0)
    assert gaps.std() / gaps.mean() == pytest.approx(1 / np.sqrt(burstiness), rel=0.04)
    assert abs(lag_1(gaps)) < 0.02
    assert len(times) / times[-1] == pytest.approx(RATE, rel=1e-9)


def test_constant_and_bursts_are_exact() -> None:
    np.testing.assert_allclose(due(traffic("constant"), 4_500), np.arange(4_500) / RATE)
    times = due(traffic("burst", burst_size=7), 4_500)
    np.testing.assert_allclose(times, np.arange(4_500) // 7 * 7 / RATE)


@pytest.mark.parametrize("load", ["constant", "poisson", "gamma", "burst"])
def test_a_ramp_follows_its_integrated_rate(load: str) -> None:
    shapes: dict[str, dict[str, object]] = {"gamma": {"burstiness": 0.5}, "burst": {"burst_size": 5}}
    times = due(traffic(load, ramp=Ramp(to=1000, over_s=20), **shapes.get(load, {})), 20_000)
    assert (np.diff(times) >= 0).all()
    for at_s, expected in ((5.0, 1500.0), (10.0, 4000.0), (20.0, 12_000.0), (25.0, 17_000.0)):
        # Three standard errors of a process with this spread, and a burst.
        assert abs(np.searchsorted(times, at_s) - expected) < (1 if load == "constant" else 3 * 1.5 * np.sqrt(STRATUM))
    if load == "constant":
        assert np.diff(times)[-1] == pytest.approx(1 / 1000)


def test_the_level_over_time() -> None:
    ramped = plan(traffic(ramp=Ramp(to=300, over_s=10)), WORDS, 0)
    assert [ramped.level(at_s) for at_s in (0, 5, 10, 1e6)] == [200, 250, 300, 300]
    closed = plan(traffic("closed", requests_per_s=None, concurrency=4, ramp=Ramp(to=8, over_s=2)), WORDS, 0)
    assert [closed.level(at_s) for at_s in (0, 1, 2, 3)] == [4, 6, 8, 8]
    assert plan(traffic(), WORDS, 0).level(50) == RATE


def test_a_closed_loop_has_no_times() -> None:
    sessions = plan(traffic("closed", requests_per_s=None, concurrency=2), WORDS, 0).slice(0, 1)
    assert [session.due_s for session in itertools.islice(sessions, 5)] == [None] * 5


def test_conversations_come_more_rarely_so_that_requests_keep_the_rate() -> None:
    times = slices(traffic("constant", turns=4), 1, 100)[0]
    np.testing.assert_allclose(times, np.arange(100) * 4 / RATE)


@given(
    load=st.sampled_from(["constant", "poisson", "gamma", "burst", "closed"]),
    workers=st.integers(1, 256),
    seed=st.integers(0, 2**70),
    replicate=st.integers(0, 2000),
)
@settings(max_examples=12, deadline=None)
def test_the_slices_of_any_number_of_workers_partition_the_plan(
    load: str, workers: int, seed: int, replicate: int
) -> None:
    shapes: dict[str, dict[str, object]] = {
        "closed": {"concurrency": 3, "requests_per_s": None},
        "burst": {"burst_size": 3},
        "gamma": {"burstiness": 0.3},
    }
    lengths = {"shape": "lognormal", "mean": 20, "least": 4, "most": 100}
    one = traffic(load, seed=seed, input_tokens=lengths, output_tokens=lengths, **shapes.get(load, {}))
    n = STRATUM + 300
    alone = list(itertools.islice(plan(one, WORDS, replicate).slice(0, 1), n))
    assert [session.index for session in alone] == list(range(n))
    for worker in {0, workers // 2, workers - 1}:
        share = itertools.islice(plan(one, WORDS, replicate).slice(worker, workers), len(alone[worker::workers]))
        assert list(share) == alone[worker::workers]


@given(first=st.floats(0.01, 1e5), more=st.floats(0, 1e5), over_s=st.floats(0.01, 1e5), at=st.floats(0, 1e7))
@settings(max_examples=200, deadline=None)
def test_when_is_the_inverse_of_what_is_expected(first: float, more: float, over_s: float, at: float) -> None:
    level = Level(first, first + more, over_s)
    at_s = float(level.when(np.array([at]))[0])
    inside = min(at_s, over_s)
    expected = (first + level.at(inside)) / 2 * inside + level.to * max(at_s - over_s, 0.0)
    assert expected == pytest.approx(at, rel=1e-6, abs=1e-6)


def test_an_hour_of_load_is_walked_in_constant_memory() -> None:
    """All arrivals of an hour at 500/s, and ten minutes of the plan as one of thirty workers walks it."""
    lengths = {"shape": "lognormal", "mean": 20, "least": 4, "most": 40}
    one = traffic(requests_per_s=500, input_tokens=lengths, output_tokens=lengths)
    hour = arrivals(one, stream(one, 0, "arrivals"))
    walk = plan(one, WORDS, 0).slice(3, 30)
    next(walk)
    tracemalloc.start()
    try:
        last = next(block for block in hour if block is not None and block[-1] >= 3600 - 1e-6)
        sessions = sum(1 for _ in itertools.islice(walk, 10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last[-1] == pytest.approx(3600)
    assert sessions == 10_000
    assert peak < 4 << 20
