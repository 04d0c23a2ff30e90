"""find-max: the highest load within the objectives, found from noisy and sometimes lying measurements."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from bench.metrics.serving.search import Search
from bench.metrics.serving.shares import clopper_pearson


def _run(search: Search, verdict: Callable[[float], bool | None]) -> list[float]:
    """Measure until it ends; the levels in order."""
    levels = []
    while (level := search.next()) is not None:
        levels.append(level)
        met = verdict(level)
        search.tell(level, met, *((0.96, 1.0) if met else (0.8, 0.9)))
        assert len(levels) < 200
    return levels


def test_it_doubles_then_halves_on_the_logarithm() -> None:
    search = Search(1, 1000, tolerance=0.05)
    levels = _run(search, lambda level: level <= 37)
    assert levels[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert levels[7] == pytest.approx(math.sqrt(32 * 64), rel=0.01)
    found = search.found()
    assert found.met is not None
    assert found.not_met is not None
    assert found.met <= 37 < found.not_met
    assert found.not_met / found.met <= 1.06
    assert (found.ended, found.boundary) == ("tolerance", ())


def test_it_goes_down_from_a_start_that_was_too_high() -> None:
    search = Search(1, None, start=100)
    levels = _run(search, lambda level: level <= 9)
    assert levels[:4] == [100, 50, 25, 12.5]
    assert (search.found().met or 0) == pytest.approx(9, rel=0.06)


def test_streams_are_whole_numbers() -> None:
    search = Search(1, 64, integer=True, tolerance=0.01)
    levels = _run(search, lambda level: level <= 21)
    assert all(level == int(level) for level in levels)
    assert (search.found().met, search.found().not_met) == (21, 22)


def test_nothing_met_and_everything_met() -> None:
    never = Search(2, 100, start=8)
    assert _run(never, lambda _: False) == [8, 4, 2]
    assert (never.found().met, never.found().not_met, never.found().ended) == (None, 2, "never-met")
    always = Search(2, 100)
    assert _run(always, lambda _: True)[-1] == 100
    assert (always.found().met, always.found().not_met, always.found().ended) == (100, None, "always-met")


def test_a_budget_ends_it_with_what_is_known() -> None:
    search = Search(1, None, most_runs=5)
    _run(search, lambda level: level <= 1000)
    assert (search.found().met, search.found().runs, search.found().ended) == (16, 5, "budget")


def test_an_undecided_level_is_measured_again_and_then_is_the_boundary() -> None:
    search = Search(1, None, again=3, tolerance=0.2)
    levels = _run(search, lambda level: True if level < 10 else False if level > 20 else None)
    assert levels[:7] == [1, 2, 4, 8, 16, 16, 16]
    found = search.found()
    assert found.met is not None
    assert found.met < 10
    assert 16 in found.boundary
    assert found.ended == "tolerance"
    assert max(levels) == 16  # nothing above the boundary is worth a try


def test_a_single_lie_at_a_low_level_does_not_decide() -> None:
    """8 is called not met once, by bad luck, and 16 is met. More load cannot help, so both are asked again."""
    search = Search(1, 1000)
    for level in (1, 2, 4, 16):
        search.tell(level, True, 0.96, 1.0)
    search.tell(8, False, 0.8, 0.9)
    levels = _run(search, lambda level: level <= 37)
    assert 8 in levels
    assert (search.found().met or 0) == pytest.approx(37, rel=0.06)


def test_results_may_be_told_in_any_order() -> None:
    """A resume replays what is stored: it then asks for what the first run would have asked next."""
    first = Search(1, 500)
    levels = _run(first, lambda level: level <= 90)
    stored = [(level, level <= 90) for level in levels]
    random.Random(1).shuffle(stored)
    again = Search(1, 500)
    for level, met in stored:
        again.tell(level, met, *((0.96, 1.0) if met else (0.8, 0.9)))
    assert again.next() is None
    assert again.found() == first.found()
    partly = Search(1, 500)
    for level in levels[:-2]:
        partly.tell(level, level <= 90)
    assert partly.next() == levels[-2]


LESS_THAN_ONE = {"lowest": 1.2, "highest": 1.5, "integer": True}


@pytest.mark.parametrize(
    "said", [{"lowest": 0}, {"lowest": 5, "highest": 2}, {"lowest": 1, "tolerance": 0}, LESS_THAN_ONE]
)
def test_a_range_without_levels_is_refused(said: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="lowest"):
        Search(**said)  # type: ignore[arg-type]


def test_the_found_maximum_is_near_the_truth_and_its_interval_holds_it() -> None:
    """150 noisy servers: 500 requests a run, the share that meets falls as a logistic curve through the objective."""
    draw, target, width = np.random.default_rng(3), 0.95, 0.1
    off = math.log(target / (1 - target))
    errors, held = [], 0
    for _ in range(150):
        truth = math.exp(draw.uniform(math.log(3), math.log(200)))
        search = Search(1)
        while (level := search.next()) is not None:
            met = int(draw.binomial(500, 1 / (1 + math.exp(math.log(level / truth) / width - off))))
            low, high = _interval(met)
            search.tell(level, True if low >= target else False if high < target else None, low, high)
        found = search.found()
        assert found.met is not None
        errors.append(found.met / truth - 1)
        held += found.met <= truth <= (found.not_met or math.inf)
    assert held / 150 >= 0.95
    assert -0.10 <= float(np.median(errors)) <= 0
    assert float(np.percentile(errors, 95)) <= 0.02  # what is promised is hardly ever too much


_KNOWN: dict[int, tuple[float, float]] = {}


def _interval(met: int) -> tuple[float, float]:
    if met not in _KNOWN:
        _KNOWN[met] = clopper_pearson(met, 500)
    return _KNOWN[met]
