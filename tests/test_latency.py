"""Times of a round and of a replicate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.latency import of_replicate, of_round
from bench.schema import Round
from tests.samples import STEP_S, TTFT_S, a_round, measurement

unhurried = settings(deadline=None, max_examples=60)
gaps = st.lists(st.floats(min_value=1e-5, max_value=10.0), min_size=2, max_size=40)


def _round(gap: list[float]) -> Round:
    stamps = [sum(gap[: index + 1]) for index in range(len(gap))]
    return Round(step_s=tuple(stamps), done_s=stamps[-1])


def test_a_round_worked_out_by_hand() -> None:
    """Eleven tokens: the first after 0.5 s, ten more 0.05 s apart."""
    times = of_round(a_round())
    assert times.ttft_s == TTFT_S
    assert times.decode_s == pytest.approx(0.5)
    assert times.e2el_s == pytest.approx(1.0)
    assert times.tpot_s == pytest.approx(STEP_S)


def test_one_token_has_no_time_per_output_token() -> None:
    """None and never 0: a zero would pass any limit."""
    times = of_round(a_round(tokens=1))
    assert times.tpot_s is None
    assert times.decode_s == 0
    assert times.e2el_s == times.ttft_s == TTFT_S
    assert of_replicate(measurement(tokens=1)).tpot_s is None


def test_two_tokens_have_one_gap() -> None:
    """The divisor is the number of steps after the first token, not the number of tokens."""
    assert of_round(Round(step_s=(0.5, 0.75), done_s=0.8)).tpot_s == 0.25


def test_time_after_the_last_token_is_not_latency() -> None:
    """`done_s` includes what the engine does once all tokens are out; the request does not wait for it."""
    assert of_round(Round(step_s=(0.5, 0.6), done_s=9.0)).e2el_s == 0.6


@unhurried
@given(gaps)
def test_the_parts_add_up_to_the_whole(gap: list[float]) -> None:
    """TTFT + decode = end to end, and TPOT × steps = decode, whatever the stamps."""
    times = of_round(_round(gap))
    assert times.tpot_s is not None
    assert times.ttft_s is not None
    assert times.decode_s is not None
    assert times.ttft_s + times.decode_s == pytest.approx(times.e2el_s, rel=1e-12)
    assert times.tpot_s * (len(gap) - 1) == pytest.approx(times.decode_s, rel=1e-9, abs=1e-9)


def test_a_replicate_is_the_median_of_its_rounds() -> None:
    """One slow round of three moves nothing."""
    times = of_replicate(measurement(rounds=[a_round(factor=1.0), a_round(factor=50.0), a_round(factor=1.0)]))
    assert times.ttft_s == TTFT_S
    assert times.e2el_s == pytest.approx(1.0)
    assert times.decode_s == pytest.approx(0.5)
    assert times.tpot_s == pytest.approx(STEP_S)


def test_two_rounds_meet_in_the_middle() -> None:
    """An even number of rounds has the mean of the middle two as its median."""
    times = of_replicate(measurement(rounds=[a_round(factor=1.0), a_round(factor=2.0)]))
    assert times.ttft_s == pytest.approx(1.5 * TTFT_S)
