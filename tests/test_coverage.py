"""Intervals and comparisons against a programmed truth: small versions of what the two scripts run at length."""

import importlib.util
import math
import random
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from bench.metrics.comparison import compare
from bench.metrics.enough import LOOKS, MARGIN, stop
from bench.metrics.latency import Times
from bench.metrics.statistics import estimate, t975
from bench.runners.fake.noise import Machine, Noise, Process, of_process
from bench.schema import Sampling
from tests.commands import ROOT


def _script(name: str) -> Any:
    """A file of scripts/ as a module; under another name, because a package is called `coverage` too."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[Any, Any, Any]]:
    """coverage, false_alarms and simulated; the first two import the third as scripts do."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(ROOT / "scripts")
    yield _script("coverage"), _script("false_alarms"), sys.modules["simulated"]
    patch.undo()


@pytest.mark.parametrize("scenario", ["quiet", "heavy tails", "drift"])
def test_intervals_cover_the_truth(scripts: tuple[Any, Any, Any], scenario: str) -> None:
    """60 runs of three cells: wide limits, because 180 intervals that share a drift scatter by 3 points."""
    coverage, _, simulated = scripts
    found = coverage.coverage(simulated.SCENARIOS[scenario], f"test {scenario}", runs=60, replicates=600, workers=0)
    for rate, share in found.covered.items():
        assert 0.86 <= share <= 1, (rate, found)
    assert found.endings.total() == 180
    assert (found.endings["target"] == 180) == (scenario == "quiet")


def test_quiet_runs_stop_early_and_within_the_target(scripts: tuple[Any, Any, Any]) -> None:
    _, _, simulated = scripts
    cells, end_s = simulated.run(simulated.SCENARIOS["quiet"], "test")
    for cell in cells:
        assert cell.stop.ending == "target"
        assert cell.stop.half_width <= Sampling().target
        assert len(cell.times) < 10
    assert end_s == pytest.approx(sum(cell.spent_s for cell in cells))


def test_paired_comparisons_raise_few_false_alarms(scripts: tuple[Any, Any, Any]) -> None:
    """120 A/A pairs: 5 % ± 2 % of intervals exclude 1."""
    _, false_alarms, _ = scripts
    rates, _ = false_alarms.rates(True, pairs=120, workers=0)
    for share in rates.excluded.values():
        assert 0 < share <= 0.12


# --- the noise


def test_without_options_there_is_no_noise() -> None:
    durations = list(of_process(Noise()).durations(0.5, 0.1, 4, 100.0))
    assert durations == pytest.approx([0.5, 0.1, 0.1, 0.1])


def test_the_machine_noise_is_a_function_of_time_alone() -> None:
    """Two processes that look at the same time, in any order, see the same machine; another machine is another."""
    noise = Noise(drift_sd=0.05, burst_slowdown=0.3)
    one, other, foreign = Machine(noise, 1), Machine(noise, 1), Machine(noise, 2)
    times = [float(at) for at in range(0, 20_000, 37)]
    forwards = [one.factor(at) for at in times]
    assert forwards == list(reversed([other.factor(at) for at in reversed(times)]))
    assert forwards != [foreign.factor(at) for at in times]


def test_drift_has_the_programmed_spread_and_correlation_time() -> None:
    """Standard deviation 5 %; after one correlation time 1/e of it is still known."""
    machine = Machine(Noise(drift_sd=0.05, drift_s=10), 3)
    logs = [math.log(machine.factor(at * 10.0)) for at in range(8000)]
    variance = sum(one * one for one in logs) / len(logs)
    assert math.sqrt(variance) == pytest.approx(0.05, rel=0.05)
    lagged = sum(a * b for a, b in pairwise(logs)) / len(logs) / variance
    assert lagged == pytest.approx(math.exp(-1), abs=0.05)


def test_a_neighbour_is_busy_for_its_share_of_the_time() -> None:
    machine = Machine(Noise(burst_slowdown=0.5, burst_s=20, calm_s=60), 4)
    factors = [machine.factor(float(at)) for at in range(200_000)]
    assert set(factors) == {1.0, 1.5}
    assert factors.count(1.5) / len(factors) == pytest.approx(0.25, abs=0.02)
    changes = sum(a != b for a, b in pairwise(factors))
    assert 200_000 / (changes / 2) == pytest.approx(80, rel=0.15)


def test_jitter_tails_and_process_factors() -> None:
    """Jitter: the programmed spread. Tails: their share. Processes: a factor each, the same for all of its steps."""
    draw = random.Random(5)

    def logs(noise: Noise) -> list[float]:
        steps = Process(noise, Machine(noise, 1), draw).durations(1.0, 1.0, 5000, 0.0)
        return [math.log(one) for one in steps]

    spread = math.sqrt(sum(one * one for one in logs(Noise(jitter_sd=0.1))) / 5000)
    assert spread == pytest.approx(0.1, rel=0.05)
    tails = [one for one in logs(Noise(tail_share=0.1)) if one > 0]
    assert len(tails) / 5000 == pytest.approx(0.1, abs=0.02)
    speeds = [set(logs(Noise(process_sd=0.1))) for _ in range(20)]
    assert all(len(one) == 1 for one in speeds)
    assert len({speed for one in speeds for speed in one}) == 20


def test_a_seed_makes_processes_equal() -> None:
    noise = Noise(process_sd=0.1, jitter_sd=0.1, seed=7)
    one, other = (list(of_process(noise).durations(1, 1, 5, 0)) for _ in range(2))
    assert one == other
    unseeded = noise.model_copy(update={"seed": None})
    assert list(of_process(unseeded).durations(1, 1, 5, 0)) != list(of_process(unseeded).durations(1, 1, 5, 0))


# --- the method


def test_up_to_six_replicates_have_student_s_interval() -> None:
    """Five cosines hold all of the variance of six values."""
    values = [1.0, 1.2, 0.9, 1.1, 1.3, 1.0]
    found = estimate(values)
    assert found is not None
    logs = [math.log(value) for value in values]
    mean = sum(logs) / 6
    half = t975(5) * math.sqrt(sum((one - mean) ** 2 for one in logs) / 5 / 6)
    assert found.high == pytest.approx(math.exp(mean + half))


def test_a_drift_widens_the_interval_and_jitter_does_not() -> None:
    """The same twenty values in order of size (a trend), and alternating high and low."""
    trend = [1 + 0.01 * step for step in range(20)]
    alternating = [trend[(step // 2) if step % 2 else 19 - step // 2] for step in range(20)]
    wide, narrow = estimate(trend), estimate(alternating)
    assert wide is not None
    assert narrow is not None
    assert (wide.spread() or 0) > 2 * (narrow.spread() or 0) > 0


def _stopped(values: list[float], target: float) -> bool:
    found = stop([Times(one, one, one, one) for one in values], (), 1.0, 5, Sampling(target=target))
    return found is not None and found.ending == "target"


def test_the_target_needs_a_margin() -> None:
    """Twelve replicates, high and low in turn: a width just within the target is not enough."""
    values = [1.0, 1.04] * 6
    found = estimate(values)
    assert found is not None
    width = found.spread() or 0
    assert not _stopped(values, width * 1.01)
    assert _stopped(values, width * 2)


def test_the_target_must_hold_at_three_looks() -> None:
    """High and low in turn: the interval narrows with each replicate, and the first narrow look is not the end."""
    values = [1.0, 1.04] * 6

    def is_narrow(n: int) -> bool:
        found = estimate(values[:n])
        assert found is not None
        return (found.spread() or 0) * math.sqrt(1 + MARGIN / n) <= 0.04

    first_narrow = next(n for n in range(5, 13) if is_narrow(n))
    first_end = next(n for n in range(5, 13) if _stopped(values[:n], 0.04))
    assert first_end == first_narrow + LOOKS - 1


def test_student_s_t_between_whole_degrees_of_freedom() -> None:
    """It meets the table at both ends and falls in between; beyond 30 it goes on smoothly."""
    for whole in (1, 2, 5, 29):
        assert t975(whole + 1e-9) == pytest.approx(t975(whole), abs=1e-3)
        assert t975(whole) > t975(whole + 0.5) > t975(whole + 1)
    assert t975(30.5) == pytest.approx((t975(30) + t975(31)) / 2, abs=1e-3)
    with pytest.raises(ValueError, match="at least 1"):
        t975(0.5)


def test_welch_by_hand() -> None:
    """Logs 0, 2 and 0, 1, 2: variances 2 and 1, squared errors 1 and 1/3; freedom (4/3)²/(1 + 1/18)."""
    a, b = [1.0, math.exp(2)], [1.0, math.e, math.exp(2)]
    found = compare(a, b, paired=False)
    assert found.value == pytest.approx(1)
    assert found.freedom == pytest.approx((4 / 3) ** 2 / (1 + 1 / 18))
    assert found.high == pytest.approx(math.exp(t975((4 / 3) ** 2 / (1 + 1 / 18)) * math.sqrt(4 / 3)))


def test_pairs_cancel_what_both_sides_share() -> None:
    """A drift of a factor of ten, and B 10 % above A: paired it is plain to see, unpaired it drowns."""
    a = [1.0, 2.0, 5.0, 10.0]
    b = [one * factor for one, factor in zip(a, (1.10, 1.11, 1.09, 1.10), strict=True)]
    assert compare(a, b, paired=True).outcome == "higher"
    assert compare(b, a, paired=True).outcome == "lower"
    assert compare(a, b, paired=False).outcome == "no difference seen"


def test_outcomes() -> None:
    assert compare([1.0, 1.001], [1.0, 1.001], paired=True).outcome == "equal"
    assert compare([1.0], [2.0, 2.1], paired=False).outcome == "too few replicates"
    small = compare([1.0, 1.001, 1.0], [1.01, 1.011, 1.01], paired=True)
    assert small.outcome == "equal"
    assert small.excludes(1.0)
    with pytest.raises(ValueError, match="positive"):
        compare([], [1.0], paired=False)
    with pytest.raises(ValueError, match="pairs of 1 and 2"):
        compare([1.0], [1.0, 2.0], paired=True)
