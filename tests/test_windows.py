"""Windows over a text: every token is scored exactly once, every row is full, and lm-eval cuts the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.metrics.windows import Window, windows

PREFIX = -1


@st.composite
def _cuts(draw: st.DrawFn) -> tuple[int, int, int, bool]:
    """Tokens, window, context, prefix; at least one window."""
    window = draw(st.integers(1, 40))
    context = draw(st.integers(1, window))
    prefixed = draw(st.booleans())
    return draw(st.integers(window + (not prefixed), 400)), window, context, prefixed


def _scored(found: list[Window]) -> list[int]:
    return [place for one in found for place in range(one.stop - one.scored + 1, one.stop + 1)]


@given(_cuts())
@settings(deadline=None)
def test_each_token_is_scored_exactly_once_in_full_windows(cut: tuple[int, int, int, bool]) -> None:
    tokens, window, context, prefixed = cut
    found = windows(tokens, window, context, prefixed)
    last = tokens if prefixed else tokens - 1
    assert _scored(found) == list(range(1, last + 1))
    assert all(one.stop - one.start == window and one.start >= 0 and one.stop <= last for one in found)
    assert all(one.scored <= window - context + 1 for one in found[1:])


@given(_cuts())
@settings(deadline=None)
def test_the_windows_are_those_of_lm_eval(cut: tuple[int, int, int, bool]) -> None:
    lm_eval = pytest.importorskip("lm_eval.utils")
    tokens, window, context, prefixed = cut
    text = list(range(100, 100 + tokens))
    sequence = [PREFIX, *text] if prefixed else text
    theirs = [
        lm_eval.make_disjoint_window(pair)
        for pair in lm_eval.get_rolling_token_windows(sequence[1:], sequence[0], window, context)
    ]
    ours = [
        (
            sequence[one.start : one.stop - one.scored + 1],
            sequence[one.stop - one.scored + 1 : one.stop + 1],
        )
        for one in windows(tokens, window, context, prefixed)
    ]
    assert ours == theirs


def test_the_last_window_reaches_back_and_scores_only_what_is_new() -> None:
    assert windows(10, 4, 1, True) == [Window(0, 4, 4), Window(4, 8, 4), Window(6, 10, 2)]
    assert windows(10, 4, 3, True)[1] == Window(2, 6, 2)


def test_without_a_prefix_the_first_token_is_read_and_not_scored() -> None:
    assert _scored(windows(9, 4, 1, False)) == list(range(1, 9))


@pytest.mark.parametrize(("tokens", "prefixed", "fits"), [(8, True, True), (7, True, False), (8, False, False)])
def test_a_text_shorter_than_one_window_is_refused(tokens: int, prefixed: bool, fits: bool) -> None:
    if fits:
        assert len(windows(tokens, 8, 1, prefixed)) == 1
        return
    with pytest.raises(InputError, match=rf"{tokens} tokens, fewer than one window of 8.*smaller window_tokens"):
        windows(tokens, 8, 1, prefixed)


@pytest.mark.parametrize("context", [0, 9])
def test_a_context_that_leaves_nothing_to_score_is_refused(context: int) -> None:
    with pytest.raises(InputError, match="context_tokens"):
        windows(100, 8, context, True)
