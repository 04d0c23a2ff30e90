"""What groups of alike samples are worth."""

import random

import pytest

from bench.metrics.independence import effective_samples, grouped_percentiles
from bench.metrics.percentiles import TooFew


def _groups(groups: int, size: int, between: float, seed: str) -> list[float]:
    draw = random.Random(seed)
    found = []
    for _ in range(groups):
        own = draw.gauss(10, between)
        found += [own + draw.gauss(0, 1) for _ in range(size)]
    return found


def test_members_that_are_all_alike_count_once() -> None:
    assert effective_samples([1.0] * 5 + [2.0] * 5 + [3.0] * 5, [5, 5, 5]) == 3.0


def test_never_more_than_there_are_and_never_fewer_than_groups() -> None:
    for between in (0.0, 0.5, 5.0):
        for seed in range(50):
            found = effective_samples(_groups(6, 8, between, f"{between} {seed}"), [8] * 6)
            assert 6 <= found <= 48


def test_equal_means_are_no_reason_to_fail() -> None:
    """Groups more alike than chance would have them."""
    assert effective_samples([1.0, 3.0, 3.0, 1.0, 1.0, 3.0], [2, 2, 2]) == 6.0


@pytest.mark.parametrize("sizes", [[5], [3, 2], []])
def test_too_few_processes_say_nothing_about_others(sizes: list[int]) -> None:
    assert effective_samples([1.0, 2.0, 3.0, 4.0, 5.0][: sum(sizes)], sizes) == len(sizes)


def test_the_gate_is_not_passed_by_luck() -> None:
    """Three processes of twenty rounds, a fifth of the variance between them: worth 12.5 samples, so no p90."""
    passed = 0
    for seed in range(400):
        values = _groups(3, 20, 0.5, f"luck {seed}")
        passed += not isinstance(grouped_percentiles(values, [20] * 3, [90])[90], TooFew)
    assert passed / 400 <= 0.05


def test_many_processes_that_do_not_differ_count_almost_fully() -> None:
    found = [effective_samples(_groups(60, 5, 0.0, f"many {seed}"), [5] * 60) for seed in range(20)]
    assert sorted(found)[10] > 150
