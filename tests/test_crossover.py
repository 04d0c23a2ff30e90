"""Where one level stops being better than another, and who is on the front: programmed truth, and properties."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.crossover import At, crossover
from bench.metrics.front import Place, standings

few = settings(deadline=None, max_examples=80)
SIZES = (1, 2, 4, 8, 16, 32)


def _sure(size: int, ratio: float) -> At:
    """Known to a tenth of a percent."""
    return At(size, ratio, ratio / 1.001, ratio * 1.001)


def _vague(size: int, ratio: float) -> At:
    """Known to a factor of two."""
    return At(size, ratio, ratio / 2, ratio * 2)


@pytest.mark.parametrize("at", [1.5, 3.0, 5.0, 12.0])
@pytest.mark.parametrize("slope", [-0.4, 0.7])
def test_a_power_law_crosses_where_it_does(at: float, slope: float) -> None:
    """ratio = (B / at)^slope is a straight line in both logarithms."""
    found = crossover([_sure(size, (size / at) ** slope) for size in SIZES])
    assert found.outcome == "crosses"
    (one,) = found.crossings
    assert one.batch_size == pytest.approx(at, rel=1e-9)
    assert one.between[0] < at < one.between[1]
    assert one.surely_between == one.between
    assert not one.in_doubt
    assert one.wins_above == (slope > 0)
    assert found.doubtful == ()


def test_between_two_sizes_the_logarithms_are_a_line() -> None:
    """From a ratio of 4 at batch 1 to 1/2 at batch 8: two of three equal steps down."""
    (one,) = crossover([_sure(1, 4.0), _sure(8, 0.5)]).crossings
    assert one.batch_size == pytest.approx(4.0)


@pytest.mark.parametrize(("ratio", "outcome"), [(1.2, "wins"), (0.8, "loses"), (1.0, "equal")])
def test_no_crossing(ratio: float, outcome: str) -> None:
    found = crossover([_sure(size, ratio) for size in SIZES])
    assert (found.outcome, found.crossings, found.sizes) == (outcome, (), SIZES)
    assert found.doubtful == (SIZES if outcome == "equal" else ())


def test_nothing_and_one_size() -> None:
    assert crossover([]).outcome == "unknown"
    assert crossover([_sure(4, 2.0)]).outcome == "wins"
    assert crossover([At(4, 2.0)]).doubtful == (4,)


def test_several_crossings_in_order() -> None:
    found = crossover([_sure(8, 2.0), _sure(1, 2.0), _sure(2, 0.5), _sure(16, 0.5)])
    assert [one.batch_size for one in found.crossings] == pytest.approx([math.sqrt(2), 4.0, math.sqrt(128)])
    assert [one.wins_above for one in found.crossings] == [False, True, False]


def test_a_size_at_exactly_one_is_the_crossing_and_a_touch_is_none() -> None:
    found = crossover([_sure(1, 2.0), _sure(4, 1.0), _sure(16, 0.5)])
    assert [(one.batch_size, one.between) for one in found.crossings] == [(4.0, (1, 16))]
    assert crossover([_sure(1, 2.0), _sure(4, 1.0), _sure(16, 2.0)]).outcome == "wins"
    several = crossover([_sure(1, 2.0), _sure(2, 1.0), _sure(4, 1.0), _sure(8, 1.0), _sure(16, 0.5)])
    assert [one.batch_size for one in several.crossings] == [4.0]  # the middle of those at one, on a scale of powers


@pytest.mark.parametrize(
    ("points", "surely", "doubtful"),
    [
        ([_sure(1, 2.0), _vague(4, 1.2), _vague(8, 0.9), _sure(16, 0.5)], (1, 16), (4, 8)),
        ([_vague(1, 1.5), _vague(4, 1.2), _sure(8, 0.9)], (None, 8), (1, 4)),
        ([_sure(1, 1.5), At(4, 0.5)], (1, None), (4,)),
        ([At(1, 1.5), At(4, 0.5)], (None, None), (1, 4)),
        # A size that is surely on the other side again is no witness of this crossing.
        ([_sure(1, 0.5), _vague(2, 1.2), _sure(4, 0.8)], (None, 4), (2,)),
    ],
)
def test_doubt_reaches_to_the_nearest_sure_sizes(
    points: Sequence[At], surely: tuple[int | None, int | None], doubtful: tuple[int, ...]
) -> None:
    found = crossover(points)
    assert found.crossings[-1].surely_between == surely
    assert found.crossings[-1].in_doubt
    assert found.doubtful == doubtful


@pytest.mark.parametrize("points", [[At(1, 0.0)], [At(1, math.inf)], [At(0, 1.0)], [At(2, 1.0), At(2, 2.0)]])
def test_what_is_no_ratio_is_refused(points: Sequence[At]) -> None:
    with pytest.raises(ValueError, match=r"twice|positive"):
        crossover(points)


ratios = st.floats(0.01, 100)


@few
@given(st.dictionaries(st.integers(1, 4096), ratios, min_size=2, max_size=8), st.floats(1.0, 3.0))
def test_a_crossing_lies_in_its_bracket_and_the_signs_change(of: dict[int, float], spread: float) -> None:
    points = [At(size, ratio, ratio / spread, ratio * spread) for size, ratio in of.items()]
    found = crossover(points)
    signs = [of[size] > 1 for size in sorted(of) if of[size] != 1]
    assert len(found.crossings) == sum(one != other for one, other in pairwise(signs))
    for one in found.crossings:
        low, high = one.between
        assert low <= one.batch_size <= high
        assert (of[low] > 1) != (of[high] > 1)
        assert one.wins_above == (of[high] > 1)
        assert one.surely_between[0] is None or one.surely_between[0] <= low
        assert one.surely_between[1] is None or one.surely_between[1] >= high


@few
@given(st.dictionaries(st.integers(1, 4096), ratios, min_size=1, max_size=8))
def test_the_other_one_crosses_at_the_same_sizes(of: dict[int, float]) -> None:
    one = crossover([At(size, ratio) for size, ratio in of.items()])
    other = crossover([At(size, 1 / ratio) for size, ratio in of.items()])
    sizes = [[each.batch_size for each in found.crossings] for found in (one, other)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-6)
    assert [each.wins_above for each in one.crossings] == [not each.wins_above for each in other.crossings]


# The front


def _stand(places: Sequence[tuple[float, float, float | None]], sure: bool = True) -> list[str]:
    made = [Place(*one) for one in places]
    return list(standings(made, lambda i, j: sure and made[i].usd < made[j].usd))


def test_a_level_is_on_the_front_when_none_beats_it() -> None:
    bf16, int8, nf4, fp4 = (2.0, 0.0, 0.0), (3.0, 0.01, 0.001), (1.0, 0.22, 0.02), (1.5, 0.34, 0.02)
    assert _stand([bf16, int8, nf4, fp4]) == ["on", "off", "on", "off"]


def test_who_is_beaten_within_the_uncertainty_alone_may_be_on_it() -> None:
    """0.03 ± 0.02 against 0.02 ± 0.02: no difference; nor where the costs overlap."""
    assert _stand([(1.0, 0.02, 0.02), (2.0, 0.03, 0.02)]) == ["on", "maybe"]
    assert _stand([(1.0, 0.02, 0.001), (2.0, 0.03, 0.001)]) == ["on", "off"]
    assert _stand([(1.0, 0.02, 0.001), (2.0, 0.03, 0.001)], sure=False) == ["on", "maybe"]
    assert _stand([(1.0, 0.02, 0.001), (2.0, 0.03, None)]) == ["on", "maybe"]


def test_a_level_is_no_better_than_its_reference() -> None:
    """A loss below zero counts as none: the dearer of the two is beaten, whichever it is; equals both stay."""
    assert _stand([(1.0, 0.0, 0.0), (2.0, -0.01, 0.02)]) == ["on", "maybe"]
    assert _stand([(2.0, 0.0, 0.0), (1.0, -0.01, 0.001)]) == ["off", "on"]
    assert _stand([(1.0, 0.0, 0.0), (1.0, 0.0, 0.0)]) == ["on", "on"]
    assert _stand([]) == []


@few
@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(-0.1, 1), st.floats(0, 0.1)), min_size=1, max_size=8))
def test_the_cheapest_is_never_beaten_but_by_an_equal_and_the_front_is_a_staircase(
    of: list[tuple[float, float, float]],
) -> None:
    stand = _stand(of)
    on = sorted((usd, max(0.0, loss)) for (usd, loss, _), one in zip(of, stand, strict=True) if one == "on")
    assert on
    assert on[0][0] == min(usd for usd, _, _ in of)
    losses = [loss for _, loss in dict.fromkeys(on)]
    assert losses == sorted(losses, reverse=True)
