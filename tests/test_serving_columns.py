"""Columns: what a trace becomes, and that nothing of it is lost or counted twice."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.metrics.serving import gaps
from bench.metrics.serving.columns import BIN_S, BLOCK, fold
from bench.metrics.serving.times import times
from bench.schema import Request
from tests.serving_requests import cut, failed, request, steady_load

whole_ms = st.integers(0, 3000)


answers = st.lists(
    st.tuples(whole_ms, st.lists(st.tuples(whole_ms, st.integers(1, 5)), max_size=6)), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=60)
@given(answers)
def test_every_token_stands_in_the_bin_in_which_it_came(said: list[tuple[int, list[tuple[int, int]]]]) -> None:
    """The timeline against a count by hand, gaps of any length and events of any number of tokens."""
    made, wanted = [], np.zeros(2000)
    for index, (first_ms, events) in enumerate(said):
        at_us = first_ms * 1000
        wanted[at_us // 100_000] += 1
        for gap_ms, tokens in events:
            at_us += gap_ms * 1000
            wanted[at_us // 100_000] += tokens
        total = 1 + sum(tokens for _, tokens in events)
        said_of_events: dict[str, Any] = {
            "gaps_us": [gap * 1000 for gap, _ in events],
            "gap_tokens": [tokens for _, tokens in events],
            "chunks": 1 + len(events),
        }
        made.append(request(index, 0.0, output_tokens=total, first_token_s=first_ms / 1e3, **said_of_events))
    found = fold(made).tokens
    assert found == pytest.approx(wanted[: len(found)])
    assert found.sum() == pytest.approx(wanted.sum())


def test_the_servers_count_is_the_sum_and_events_say_when() -> None:
    """Per-chunk counts unknown: the 8 tokens of the usage are shared out evenly over 4 events."""
    one = request(0, 0.0, 0.05, 0.2, tokens=4, output_tokens=8, first_event_tokens=None, gap_tokens=None)
    found = fold([one])
    assert found.tokens.sum() == pytest.approx(8)
    assert found.tokens_between(0.0, 0.2) == pytest.approx(2)
    assert found.itl.between(0, 2).sum() == 0
    assert found.icl.between(0, 2).sum() == 3


def test_an_event_of_several_tokens_is_as_many_gaps() -> None:
    """Three tokens after 30 ms are three gaps of 10 ms; between events there is one of 30 ms."""
    one = request(0, 0.0, tokens=2, output_tokens=4, gaps_us=[30_000], gap_tokens=[3])
    found = fold([one])
    assert found.itl.between(0, 1).sum() == 3
    assert gaps.quantile(found.itl.between(0, 1), 0.5) == pytest.approx(0.010, rel=0.006)
    assert gaps.quantile(found.icl.between(0, 1), 0.5) == pytest.approx(0.030, rel=0.006)
    assert found.longest_gap_s[0] == pytest.approx(0.010, rel=1e-6)


def test_tokens_of_failed_requests_are_not_served_but_those_we_cut_are() -> None:
    broken = request(0, 0.0, status="cut", tokens=5)
    stopped = request(1, 0.0, status="cancelled", tokens=5, output_tokens=None, done_s=0.2, last_token_s=0.09)
    assert fold([broken]).tokens.sum() == 0
    assert fold([stopped]).tokens.sum() == 5


def test_an_answer_without_streaming_comes_when_it_is_over() -> None:
    one = Request(index=0, sent_s=0.0, done_s=1.25, output_tokens=7, count_source="usage", chunks=1)
    assert fold([one]).tokens_between(1.2, 1.3) == pytest.approx(7)


def test_requests_on_their_way_are_counted_by_the_moment() -> None:
    made = [request(0, 0.0, done_s=2.0), request(1, 1.0, done_s=4.0), cut(2, 3.5, 4.0)]
    assert fold(made).in_flight(np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == pytest.approx([1, 2, 1, 1.5])


def test_blocks_leave_no_seam() -> None:
    """More requests than a block holds: every one of them, and every token and gap, counted once."""
    made = steady_load(seconds=260.0)
    assert len(made) > BLOCK
    found = fold(made)
    assert len(found) == len(made)
    assert found.tokens.sum() == pytest.approx(8 * len(made))
    assert found.icl.counts.sum() == 7 * len(made)
    assert times(found).values["ttft_s"] == pytest.approx([one.first_token_s - one.sent_s for one in made])  # type: ignore[operator]


def test_an_empty_trace_and_one_of_nothing_but_failures() -> None:
    assert len(fold([])) == 0
    found = fold([failed(0, 1.0), Request(index=1, status="refused", done_s=2.0)])
    assert found.tokens.sum() == 0
    assert found.start_s.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("said", [{"done_s": 1e300}, {"sent_s": float("inf")}, {"gaps_us": [10**18] * 7}])
def test_stamps_that_no_run_has_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no trace of a run"):
        fold([request(0, 0.0, **said)])


def test_gaps_of_a_long_run_stay_bounded() -> None:
    """A day of gaps: slices grow longer, none is lost."""
    found = gaps.Gaps()
    stamps = np.linspace(0, 86_400, 5000)
    found.add(stamps, np.full(5000, 0.02), np.ones(5000))
    assert found.counts.sum() == 5000
    assert len(found.counts) <= gaps.SLICES
    assert gaps.quantile(found.between(0, 90_000), 0.5) == pytest.approx(0.02, rel=0.006)
    assert gaps.quantile(np.zeros(gaps.BINS), 0.5) is None


def test_a_request_takes_little_memory() -> None:
    """Not more with more tokens: the growth from one size of trace to twice of it, a request."""

    def peak(requests: int) -> int:
        tracemalloc.start()
        found = fold(request(index, index / 500, tokens=24) for index in range(requests))
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(found) == requests
        return used

    assert (peak(2 * BLOCK) - peak(BLOCK)) / BLOCK < 250


def test_the_timeline_begins_bins_at_their_edges() -> None:
    """0.3 is not 3 · 0.1 to a computer; a token at 0.3 s belongs to the fourth bin all the same."""
    assert np.flatnonzero(fold([request(0, 0.0, 0.3, tokens=1, gap_s=0)]).tokens).tolist() == [round(0.3 / BIN_S)]
