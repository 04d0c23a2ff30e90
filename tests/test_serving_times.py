"""A request's own times: each definition against its own words, and None where there is none."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.serving.columns import fold
from bench.metrics.serving.times import times
from bench.schema import Request
from tests.serving_requests import cut, failed, request


def _of(one: Request) -> dict[str, float]:
    """The times that exist."""
    return {name: float(each[0]) for name, each in times(fold([one])).values.items() if np.isfinite(each[0])}


def test_definitions() -> None:
    one = request(0, 1.0, 0.05, 0.01, tokens=5, due_s=0.9, connect_s=0.002)
    assert _of(one) == pytest.approx(
        {
            "ttft_s": 0.05,
            "ttft_due_s": 0.15,
            "tpot_s": 0.01,
            "e2el_s": 0.09,
            "e2el_due_s": 0.19,
            "dispatch_delay_s": 0.1,
            "connect_s": 0.002,
            "longest_gap_s": 0.01,
        }
    )


def test_a_closed_loop_has_no_schedule() -> None:
    assert not {"ttft_due_s", "e2el_due_s", "dispatch_delay_s"} & set(_of(request(0, 1.0)))


def test_tpot_leaves_the_tokens_of_the_first_event_out() -> None:
    """Nine tokens, three of them at once at the beginning: six came in the 0.6 s after it."""
    one = request(0, 0.0, 0.1, 0.3, tokens=3, output_tokens=9, first_event_tokens=3, gap_tokens=[3, 3])
    assert _of(one)["tpot_s"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "said",
    [
        {"tokens": 1},
        {"chunks": 1, "gaps_us": [], "gap_tokens": [], "first_event_tokens": 8},
        {"first_event_tokens": None},
        {"output_tokens": None},
        {"output_tokens": 0, "first_event_tokens": 0},
    ],
    ids=["one token", "one chunk", "first event unknown", "tokens unknown", "no token"],
)
def test_tpot_is_none_and_never_zero(said: dict[str, Any]) -> None:
    found = _of(request(0, 0.0, **said))
    assert "tpot_s" not in found
    assert "ttft_s" in found


def test_a_failed_request_has_no_latency() -> None:
    assert set(_of(failed(0, 1.0, due_s=0.9))) == {"dispatch_delay_s"}
    broken = _of(request(0, 1.0, status="cut"))
    assert not {"ttft_s", "tpot_s", "e2el_s", "longest_gap_s"} & set(broken)


def test_what_we_cut_has_an_age_instead() -> None:
    found = times(fold([cut(0, 1.0, 4.0, due_s=0.5), request(1, 1.0, status="cancelled", done_s=4.0)]))
    assert found.age["ttft_due_s"][0] == pytest.approx(3.5)
    assert found.age["e2el_s"] == pytest.approx([3.0, 3.0])
    assert np.isnan(found.age["ttft_s"][1])
    assert found.values["ttft_s"][1] == pytest.approx(0.05)
    assert np.isnan(found.values["e2el_s"]).all()
    assert not found.failed.any()


def test_what_was_due_and_never_sent_is_older_than_nothing() -> None:
    """No coordinated omission: its age counts from the schedule to the end of the run."""
    found = times(fold([request(0, 0.0, done_s=9.0), Request(index=1, due_s=4.0, status="cancelled")]))
    assert found.age["ttft_due_s"][1] == pytest.approx(5.0)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 100), st.floats(0.001, 10), st.integers(0, 1_000_000), st.integers(2, 50))
def test_an_answer_is_its_beginning_and_its_pace(at_s: float, ttft_s: float, gap_us: int, tokens: int) -> None:
    """E2EL = TTFT + (tokens - 1) · TPOT where each event is a token."""
    found = _of(request(0, at_s, ttft_s, gap_us / 1e6, tokens))
    assert found["e2el_s"] == pytest.approx(found["ttft_s"] + (tokens - 1) * found["tpot_s"], abs=1e-9)
