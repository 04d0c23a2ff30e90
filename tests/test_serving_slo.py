"""Objectives: as people write them, and held against requests that succeed, fail, are cut, or cannot be judged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.metrics.percentiles import TooFew
from bench.metrics.serving import Objective
from bench.metrics.serving.columns import fold
from bench.metrics.serving.objectives import all_of, judge, objective, pooled
from bench.metrics.serving.shares import beta_cdf, clopper_pearson, student_p
from bench.metrics.serving.slo import METRICS, parse
from bench.metrics.serving.times import times
from bench.schema import Request, Slo
from tests.serving_requests import cut, failed, request

TTFT = Slo(metric="ttft_s", percentile=90, at_most_s=0.1)
TPOT = Slo(metric="tpot_s", percentile=90, at_most_s=0.02)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ttft_s.p99<=0.5", "ttft_s.p99<=0.5"),
        ("ttft.p99<=500ms", "ttft_s.p99<=0.5"),
        (" TPOT <= 50 ms ", "tpot_s.p95<=0.05"),
        ("itl.p99.9<800us", "itl_s.p99.9<=0.0008"),
        ("e2el≤1.5s", "e2el_s.p95<=1.5"),
        ("e2el_s.p50<=2min", "e2el_s.p50<=120"),
    ],
)
def test_an_objective_is_read(text: str, wanted: str) -> None:
    assert parse(text).text() == wanted


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(METRICS), st.integers(1, 999), st.integers(1, 10**6))
def test_what_is_written_is_read_back(metric: str, tenths: int, micros: int) -> None:
    one = Slo(metric=metric, percentile=tenths / 10, at_most_s=micros / 1e6)
    assert parse(one.text()).text() == one.text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tfft<=1", "did you mean 'ttft'"),
        ("latency<=1", "unknown metric 'latency'"),
        ("ttft", "a metric, <= and a limit are needed"),
        ("ttft.p101<=1", "no percentile"),
        ("ttft.99<=1", "no percentile"),
        ("ttft<=soon", "no time"),
        ("ttft<=-1", "no time"),
        ("ttft<=0", "above 0"),
        ("ttft<=1e999", "above 0"),
        ("ttft<=1.2.3", "above 0"),
        ("ttft<=5sec", "unknown unit 'sec'"),
        ("", "a metric, <= and a limit are needed"),
    ],
)
def test_what_is_no_objective_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match="slo") as caught:
        parse(text)
    assert said in str(caught.value)
    assert len(caught.value.lines) == 1


def _judged(made: list[Request], slo: Slo) -> Objective:
    columns = fold(made)
    of, starts = times(columns), columns.start_s
    inside = np.ones(len(columns), dtype=bool)
    return objective(of, judge(of, starts, inside, slo), inside, np.argsort(starts), slo)


def test_a_failed_request_never_meets() -> None:
    made = [*(request(i, i) for i in range(90)), *(failed(100 + i, i) for i in range(10))]
    found = _judged(made, TTFT)
    assert (found.n, found.share) == (100, 0.9)
    assert found.met
    assert found.surely is None
    assert _judged([*made, failed(999, 1.0)], TTFT).met is False


def test_the_value_is_infinite_where_too_many_failed() -> None:
    made = [*(request(i, i, ttft_s=0.05 + i / 1e4) for i in range(60)), *(failed(100 + i, i + 0.5) for i in range(60))]
    assert _judged(made, TTFT).value_s is None
    assert isinstance(_judged(made[:20], TTFT).value_s, TooFew)
    assert _judged(made[:60], Slo(metric="ttft_s", percentile=50, at_most_s=1)).value_s == pytest.approx(
        0.053, abs=0.001
    )


def test_one_token_has_no_pace_and_counts_neither_way() -> None:
    """A peer gives it a TPOT of 0, which meets every objective."""
    made = [*(request(i, i, gap_s=0.03) for i in range(50)), *(request(50 + i, i, tokens=1) for i in range(50))]
    found = _judged(made, TPOT)
    assert (found.n, found.share, found.unjudged) == (50, 0.0, 50)
    columns = fold(made)
    of, inside = times(columns), np.ones(100, dtype=bool)
    together = all_of([judge(of, columns.start_s, inside, one) for one in (TTFT, TPOT)], of)
    assert int(together.counted.sum()) == 50
    assert not together.met.any()


def test_a_failed_request_is_not_met_where_no_pace_can_be_judged() -> None:
    columns = fold([request(0, 0.0, tokens=1), failed(1, 0.1)])
    of, inside = times(columns), np.ones(2, dtype=bool)
    together = all_of([judge(of, columns.start_s, inside, one) for one in (TTFT, TPOT)], of)
    assert together.counted.tolist() == [False, True]
    assert together.missed.tolist() == [False, True]


def test_a_request_cut_after_the_limit_did_not_meet_it() -> None:
    made = [*(request(i, i / 10) for i in range(50)), *(cut(100 + i, 1.0, 8.0) for i in range(50))]
    found = _judged(made, TTFT)
    assert (found.n, found.share) == (100, 0.5)


def test_those_too_young_to_be_decided_are_left_out_quick_or_not() -> None:
    """From 9.95 s on, only quick answers came back before all were cut at 10 s: counting those alone would flatter."""
    made = [request(i, i / 10, ttft_s=0.05 if i % 2 else 0.15) for i in range(99)]
    late = [request(200, 9.96, ttft_s=0.02), cut(201, 9.95, 10.0), request(202, 9.97, ttft_s=0.02)]
    found = _judged([*made, *late], TTFT)
    assert found.n == 99
    assert found.share == pytest.approx(49 / 99)


def test_itl_is_held_against_the_longest_gap() -> None:
    stalled = request(0, 0.0, tokens=4, gaps_us=[10_000, 500_000, 10_000])
    found = _judged([stalled], Slo(metric="itl_s", percentile=50, at_most_s=0.1))
    assert (found.n, found.share) == (1, 0.0)
    unknown = request(0, 0.0, gap_tokens=None)
    assert _judged([unknown], Slo(metric="itl_s", percentile=50, at_most_s=0.1)).unjudged == 1


def test_an_open_loop_is_judged_from_the_schedule() -> None:
    """Answered 50 ms after it was sent, which was a second after it was due."""
    assert _judged([request(0, 1.0, due_s=0.0)], TTFT).share == 0.0


def test_requests_in_one_queue_say_less_than_their_number() -> None:
    """One long stall of half the run is one event, not a hundred."""
    made = [request(i, i / 10, ttft_s=0.2 if 50 <= i < 150 else 0.05) for i in range(200)]
    found = _judged(made, TTFT)
    assert found.independent < 20
    assert found.high - found.low > 0.3


def test_replicates_are_pooled_by_their_requests() -> None:
    good = _judged([request(i, i) for i in range(100)], TTFT)
    bad = _judged([request(i, i, ttft_s=0.2) for i in range(100)], TTFT)
    both = pooled([good, bad])
    assert (both.n, both.share) == (200, 0.5)
    assert both.surely is False
    assert good.surely is True
    nothing = _judged([request(0, 0.0, tokens=1)], TPOT)
    assert (nothing.n, nothing.met, nothing.surely) == (0, False, None)


def test_exact_intervals_are_those_of_the_tables() -> None:
    """Clopper and Pearson's own: 3 of 10, and the rule of three's exact form, 1 - 0.025^(1/n)."""
    assert clopper_pearson(3, 10) == pytest.approx((0.06674, 0.65245), abs=1e-5)
    assert clopper_pearson(0, 100) == pytest.approx((0, 1 - 0.025 ** (1 / 100)), abs=1e-9)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert beta_cdf(0.3, 2.5, 1.5) + beta_cdf(0.7, 1.5, 2.5) == pytest.approx(1)
    assert student_p(12.706, 1) == pytest.approx(0.05, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.floats(0, 1))
def test_an_interval_holds_its_share(n: int, share: float) -> None:
    low, high = clopper_pearson(share * n, n)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
