"""Lengths are whole tokens within their limits, and have the mean that is said of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.loads.lengths import mean_of, problems
from bench.loads.lots import draw
from bench.schema import Lengths


@pytest.mark.parametrize(
    ("lengths", "mean", "cv"),
    [
        (Lengths(shape="normal", mean=400, cv=0.2), 400, 0.2),
        (Lengths(shape="lognormal", mean=400, cv=1.5), 400, 1.5),
        (Lengths(shape="exponential", mean=400), 400, 1.0),
        (Lengths(shape="uniform", least=101, most=299), 200, 199 / np.sqrt(12) / 200),
        (Lengths(shape="normal", mean=64, cv=0), 64, 0.0),
    ],
)
def test_mean_and_cv_are_those_asked_for(lengths: Lengths, mean: float, cv: float) -> None:
    drawn = draw(lengths, np.random.default_rng(1), 400_000)
    assert drawn.mean() == pytest.approx(mean, rel=0.01)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.03, abs=1e-9)
    assert mean_of(lengths) == pytest.approx(mean, rel=0.01)


@given(
    shape=st.sampled_from(["uniform", "normal", "lognormal", "exponential"]),
    least=st.integers(1, 500),
    room=st.integers(0, 3000),
    where=st.floats(0, 1),
    cv=st.floats(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_limits_hold_and_the_clipped_mean_is_known(shape: str, least: int, room: int, where: float, cv: float) -> None:
    said: dict[str, object] = {"shape": shape, "least": least, "most": least + room}
    if shape != "uniform":
        said["mean"] = least + where * room
    if shape in ("normal", "lognormal"):
        said["cv"] = cv
    lengths = Lengths.model_validate(said)
    assert problems(lengths) is None
    drawn = draw(lengths, np.random.default_rng(2), 20_000)
    assert drawn.dtype == np.int64
    assert least <= drawn.min() <= drawn.max() <= least + room
    # Five standard errors, and half a token for rounding.
    assert abs(drawn.mean() - mean_of(lengths)) <= 5 * drawn.std() / np.sqrt(len(drawn)) + 0.5


def test_a_number_is_itself() -> None:
    assert draw(7, np.random.default_rng(0), 3).tolist() == [7, 7, 7]
    assert mean_of(7) == 7.0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"shape": "uniform", "least": 9, "most": 8}, "exchange them"),
        ({"shape": "uniform", "least": 9}, "uniform needs most"),
        ({"shape": "uniform", "most": 9, "mean": 5}, "leave mean out"),
        ({"shape": "uniform", "most": 9, "cv": 0.3}, "leave cv out"),
        ({"shape": "exponential", "mean": 5, "cv": 0.3}, "lognormal"),
        ({"shape": "normal"}, "needs its mean"),
        ({"shape": "lognormal", "mean": 500, "most": 100}, "move the limits"),
        ({"shape": "lognormal", "mean": 500, "most": 100_000_000}, "no context is so long"),
    ],
)
def test_contradictions_are_named_with_their_remedy(said: dict[str, object], words: str) -> None:
    problem = problems(Lengths.model_validate(said))
    assert problem is not None
    assert words in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "lengths", [Lengths(shape="uniform", least=10, most=90), Lengths(shape="exponential", mean=40)]
)
def test_lengths_are_no_contradiction_in_another_process(lengths: Lengths) -> None:
    """On its way to a load generator a load says its defaults too."""
    assert problems(Lengths.model_validate_json(lengths.model_dump_json())) is None
