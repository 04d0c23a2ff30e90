"""Changes of level are found where they were put, and not where there are none. Long simulations: scripts/."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import changes
from bench.metrics.changes import Found, Run, find

STEP = math.log(1.1)


def noisy(levels: Sequence[float], sd: float, seed: int) -> list[Run]:
    rng = random.Random(seed)
    return [Run(level + rng.gauss(0, sd)) for level in levels]


def squares(values: Sequence[float], ends: Sequence[int]) -> float:
    """The plain sum of squares of a division, worked out in another way."""
    total = 0.0
    for start, end in zip((0, *ends[:-1]), ends, strict=True):
        own = values[start:end]
        total += sum((one - sum(own) / len(own)) ** 2 for one in own)
    return total


def test_a_step_is_found_with_its_size_and_place() -> None:
    found = find(noisy([0.0] * 10 + [STEP] * 10, 0.01, 1))
    (change,) = found.changes
    assert change.at == 10
    assert abs(change.step - STEP) <= change.half < 0.02
    assert change.earliest <= 10 <= change.latest
    assert change.p == 0.001
    assert [(one.start, one.end) for one in found.segments] == [(0, 10), (10, 20)]
    assert found.noise == pytest.approx(0.01, rel=0.4)
    assert not found.suspect


def test_where_a_faint_change_began_is_a_span_that_holds_the_truth() -> None:
    spans = []
    for seed in range(40):
        found = find(noisy([0.0] * 15 + [STEP] * 15, 0.05, seed))
        spans += [(one.earliest, one.latest) for one in found.changes if len(found.changes) == 1]
    assert len(spans) > 30
    assert sum(first <= 15 <= last for first, last in spans) >= 0.9 * len(spans)
    assert max(last - first for first, last in spans) > 3


def test_a_dip_that_comes_back_is_two_changes() -> None:
    """A greedy search sees nothing here: either change alone explains little."""
    found = find(noisy([0.0] * 8 + [-0.12] * 4 + [0.0] * 8, 0.02, 4))
    assert [one.at for one in found.changes] == [8, 12]
    assert found.changes[0].step < 0 < found.changes[1].step


def test_the_division_is_the_best_of_all() -> None:
    """Every division into two and three levels, tried one by one."""
    runs = noisy([0.0] * 4 + [0.3] * 3 + [0.1] * 5, 0.03, 5)
    values = [one.value for one in runs]
    n = len(values)
    two = [(a, n) for a in range(2, n - 1)]
    three = [(a, b, n) for a in range(2, n - 3) for b in range(a + 2, n - 1)]
    four = [(a, b, c, n) for a in range(2, n - 5) for b in range(a + 2, n - 3) for c in range(b + 2, n - 1)]

    def score(ends: Sequence[int]) -> float:
        return n * math.log(squares(values, ends) + n * changes.FLOOR**2) + (len(ends) - 1) * changes.critical(n)

    best = min([(n,), *two, *three, *four], key=score)
    found = find(runs)
    assert tuple(one.end for one in found.segments) == best
    assert len(best) == 3


@pytest.mark.parametrize("n", [6, 12, 25])
def test_false_alarms_are_as_rare_as_said(n: int) -> None:
    """Of 300 series at 5 %, 27 are more than a fair share by 3.2 standard deviations."""
    alarms = sum(bool(find(noisy([0.0] * n, 0.03, 1000 * n + seed)).changes) for seed in range(300))
    assert alarms <= 27


def test_a_step_of_ten_per_cent_in_noise_of_three_is_seen() -> None:
    """The share that scripts/change_power.py prints for 10 runs on either side is over 95 %."""
    seen = 0
    for seed in range(100):
        found = find(noisy([0.0] * 10 + [STEP] * 10, 0.03, seed))
        seen += any(abs(one.at - 10) <= 1 for one in found.changes)
    assert seen >= 90


def test_the_size_of_the_noise_does_not_matter() -> None:
    """The same series, a hundred times larger, is divided alike."""
    runs = noisy([0.0] * 9 + [0.08] * 5, 0.03, 3)
    larger = [Run(one.value * 100) for one in runs]
    assert [one.at for one in find(larger).changes] == [one.at for one in find(runs).changes] == [9]


def test_one_run_that_is_off_at_the_end_is_suspect_and_no_change() -> None:
    found = find([*noisy([0.0] * 12, 0.01, 6), Run(0.2)])
    assert found.suspect
    assert found.changes == ()
    assert found.segments[-1].end == 12
    assert found.segments[-1].level == pytest.approx(0.0, abs=0.01)


def test_a_second_run_on_the_new_level_makes_it_a_change() -> None:
    found = find([*noisy([0.0] * 12, 0.01, 6), Run(0.2), Run(0.205)])
    assert not found.suspect
    assert [one.at for one in found.changes] == [12]


def test_a_second_run_back_on_the_old_level_sets_the_first_aside() -> None:
    found = find([*noisy([0.0] * 12, 0.01, 6), Run(0.2), Run(0.004)])
    assert found.lonely == (12,)
    assert found.changes == ()
    assert not found.suspect


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_few_runs_tell_nothing(n: int) -> None:
    found = find([Run(float(k)) for k in range(n)])
    assert found.changes == ()
    assert found.why_not == f"too few runs to tell: {n}, of at least {changes.FEWEST_POINTS}"


def test_what_repeats_to_the_last_digit_has_no_noise_and_a_clear_step() -> None:
    steady = find([Run(3.0)] * 8)
    assert steady.changes == ()
    assert steady.noise == pytest.approx(changes.FLOOR, rel=0.2)
    tiny = find([Run(3.0)] * 8 + [Run(3.0001)] * 8)
    assert tiny.changes == ()
    real = find([Run(3.0)] * 8 + [Run(3.05)] * 2)
    assert [one.at for one in real.changes] == [8]


def test_a_run_that_knows_little_counts_for_less() -> None:
    """Two runs of wild replicates at the end move the level less than two exact ones."""
    steady = [Run(one.value, 0.0001, 5) for one in noisy([0.0] * 10, 0.01, 2)]
    vague = find([*steady, Run(0.06, 0.01, 5), Run(0.05, 0.01, 5)])
    exact = find([*steady, Run(0.06, 0.0001, 5), Run(0.05, 0.0001, 5)])
    assert vague.changes == ()
    assert [one.at for one in exact.changes] == [10]


def test_the_interval_is_never_narrower_than_the_replicates_allow() -> None:
    """Runs that agree by luck: their own scatter is what is known."""
    lucky = find([Run(0.0, 0.04, 3)] * 6)
    assert lucky.segments[0].half > 0.1


def test_only_the_newest_runs_are_looked_at() -> None:
    values = noisy([0.5] * 60 + [0.0] * changes.MOST_POINTS, 0.01, 8)
    found = find(values)
    assert found.skipped == 60
    assert found.changes == ()
    assert found.segments[0].start == 60


def test_critical_values_lie_between_those_of_the_table() -> None:
    sizes = sorted(changes._CRITICAL)
    for size in sizes:
        assert changes.critical(size) == changes._CRITICAL[size][0]
    low, high = sorted((changes.critical(20), changes.critical(25)))
    assert low <= changes.critical(22) <= high
    assert changes.critical(3) == changes.critical(sizes[0])
    assert changes.critical(10_000, 2) == changes.critical(sizes[-1], 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-20, 20), max_size=25), st.lists(st.integers(0, 4), max_size=25))
def test_any_series_is_divided_whole(values: list[float], counts: list[int]) -> None:
    """Levels follow each other without gaps but for runs that were set aside, each of two runs or more."""
    counts = [*counts, *[1] * len(values)]
    runs = [Run(v, 0.01 if n > 1 else None, max(1, n)) for v, n in zip(values, counts, strict=False)]
    found: Found = find(runs)
    if found.why_not is not None:
        assert len(runs) - len(found.lonely) < changes.FEWEST_POINTS
        return
    left_out = {*found.lonely, *([len(runs) - 1] if found.suspect else [])}
    inside = [at for one in found.segments for at in range(one.start, one.end) if at not in left_out]
    assert sorted({*inside, *left_out}) == list(range(len(runs)))
    assert len(inside) == len(set(inside))
    assert [one.at for one in found.changes] == [one.start for one in found.segments[1:]]
    assert all(math.isfinite(one.step) and one.half > 0 and 0 < one.p <= 0.05 for one in found.changes)
    assert all(one.earliest <= one.at <= one.latest for one in found.changes)
