"""Every reason against a row: given where it holds, withheld just short of it."""

import math
import random

import pytest

from bench.metrics.verdict import (
    DRIFT,
    LOAD_PER_CPU,
    MAJOR_FAULTS,
    MEANINGLESS_STALLED_SHARE,
    SLOW_FIRST_ROUND,
    SPREAD_BETWEEN_REPLICATES,
    STALLED_SHARE,
    STOLEN_SHARE,
    SWAPPED_BYTES,
    WARMED_C,
    clock_disagrees,
    judge,
    tainted,
)
from bench.schema import DeviceState, Edge, Measurement, Round, Window
from tests.samples import a_round, facts, measurement


def _codes(replicates: list[Measurement]) -> list[str]:
    return [reason.code for reason in judge(replicates)]


def _first_round(factor: float) -> Measurement:
    return measurement(rounds=[a_round(factor=factor), a_round(), a_round()])


def _stalled(share: float | None) -> Measurement:
    done_s = a_round().done_s
    return measurement(rounds=[a_round(stalled_s=None if share is None else share * done_s) for _ in range(3)])


def test_quiet_equal_replicates_are_valid() -> None:
    """Nothing to say is an empty tuple."""
    assert judge([measurement(), measurement(), measurement()]) == ()


def test_one_replicate_is_said_and_two_are_not() -> None:
    """Two processes have an interval, wide as it may be."""
    assert _codes([measurement()]) == ["one-replicate"]
    assert _codes([measurement(), measurement()]) == []


@pytest.mark.parametrize(
    ("factor", "codes"),
    [(SLOW_FIRST_ROUND - 0.01, []), (SLOW_FIRST_ROUND + 0.01, ["slow-start"]), (0.5, [])],
)
def test_a_slow_first_round_asks_for_more_warm_up(factor: float, codes: list[str]) -> None:
    """Against the slowest of the later rounds, and only when it is slower."""
    assert _codes([measurement(), _first_round(factor)]) == codes


def test_a_slow_later_round_is_no_slow_start() -> None:
    """Noise that also hits a later round is not a missing warm-up."""
    noisy = measurement(rounds=[a_round(factor=1.3), a_round(factor=1.3), a_round()])
    assert "slow-start" not in _codes([noisy, noisy])


def test_two_rounds_cannot_tell_a_slow_start() -> None:
    """With one later round, slow first and noisy second look the same."""
    pair = measurement(rounds=[a_round(factor=3.0), a_round()])
    assert _codes([pair, pair]) == []


@pytest.mark.parametrize(
    ("share", "codes"),
    [(STALLED_SHARE - 0.01, []), (STALLED_SHARE + 0.01, ["busy"]), (None, [])],
)
def test_a_busy_machine_is_said_where_it_can_be_seen(share: float | None, codes: list[str]) -> None:
    """By the share of the time in which some task waited; no counter, no reason."""
    assert _codes([_stalled(share), _stalled(share)]) == codes


def test_one_stalled_round_is_not_a_busy_machine() -> None:
    """The median over all rounds decides."""
    once = measurement(rounds=[a_round(stalled_s=0.9), a_round(), a_round()])
    assert _codes([once, measurement()]) == []


@pytest.mark.parametrize(
    ("factor", "codes"),
    [(SPREAD_BETWEEN_REPLICATES - 0.01, []), (SPREAD_BETWEEN_REPLICATES + 0.01, ["unsteady"])],
)
def test_replicates_that_scatter_much_are_unsteady(factor: float, codes: list[str]) -> None:
    """By two standard deviations of the logarithms: of two values a factor f apart that is f to the power of √2."""
    assert _codes([measurement(), measurement(factor ** (1 / math.sqrt(2)))]) == codes


def test_more_replicates_do_not_make_a_row_unsteady() -> None:
    """The range of thirty is wider than that of five though the machine is the same; its scatter is not."""
    draw = random.Random(3)
    many = [measurement(draw.lognormvariate(0, 0.05)) for _ in range(30)]
    times = [one.rounds[0].done_s for one in many]
    assert max(times) / min(times) > 1.15
    assert "unsteady" not in _codes(many[:5])
    assert "unsteady" not in _codes(many)


@pytest.mark.parametrize(
    ("note", "codes"),
    [
        ("layers off-loaded to the CPU: 12 of 30", ["off-loaded"]),
        ("fp16 has no fast kernel on this CPU", ["slow-fp16"]),
        ("programmed delays, no model", []),
    ],
)
def test_what_the_engine_said_counts_once(note: str, codes: list[str]) -> None:
    """A note of every replicate is one reason; a note that is no reproach is none."""
    noted = measurement(of=facts(notes=[note]))
    assert _codes([noted, noted, noted]) == codes


def test_every_reason_names_a_remedy() -> None:
    """A reproach without a way out is of no use."""
    noted = facts(notes=["layers off-loaded to the CPU: 1 of 30", "fp16 has no fast kernel on this CPU"])
    bad = measurement(rounds=[a_round(factor=2.0, stalled_s=1.0), a_round(stalled_s=1.0), a_round(stalled_s=1.0)])
    found = [*judge([bad, measurement(9.0)]), *judge([measurement(of=noted)])]
    codes = {reason.code for reason in found}
    assert codes == {"slow-start", "busy", "unsteady", "one-replicate", "off-loaded", "slow-fp16"}
    assert all(reason.remedy and reason.remedy in reason.text() for reason in found)


# --- what the edges of the timed window show -----------------------------------------------------------------------


def _window(start: Edge | None = None, end: Edge | None = None, other_clock_s: float | None = 3.0) -> Window:
    return Window(start=start or Edge(), end=end or Edge(), duration_s=3.0, other_clock_s=other_clock_s)


def _seen(window: Window) -> Measurement:
    return measurement().model_copy(update={"window": window})


def _fatal(replicates: list[Measurement]) -> list[str]:
    return [reason.code for reason in judge(replicates) if reason.fatal]


def test_a_quiet_window_is_valid() -> None:
    device = DeviceState(sm_clock_hz=1.9e9, temperature_c=50.0, other_processes=0)
    edge = Edge(load_average=0.5, swapped_bytes=7, cpu_throttled=3, cpu_temperature_c=40.0, devices=(device,))
    assert _codes([_seen(_window(edge, edge))] * 2) == []


@pytest.mark.parametrize(
    ("other_clock_s", "wrong"),
    [(3.0, False), (None, False), (3.02, False), (2.98, False), (3.05, True), (2.9, True), (5.0, True)],
)
def test_two_clocks_that_disagree_cost_the_dollars(other_clock_s: float | None, wrong: bool) -> None:
    """By over 0.5 % and 10 ms of a window of three seconds; no second clock, no reason."""
    window = _window(other_clock_s=other_clock_s)
    assert clock_disagrees(window) is wrong
    assert _fatal([measurement(), _seen(window)]) == (["clock"] if wrong else [])


@pytest.mark.parametrize(
    ("swapped", "faults", "codes"),
    [
        (SWAPPED_BYTES, 1000, []),
        (SWAPPED_BYTES + 1, MAJOR_FAULTS, []),
        (SWAPPED_BYTES + 1, MAJOR_FAULTS + 1, ["swap"]),
    ],
)
def test_swapping_while_timed_costs_the_dollars(swapped: int, faults: int, codes: list[str]) -> None:
    """Only where this process waited for a disk: a machine swaps for many reasons."""
    start = Edge(swapped_bytes=10**9, major_faults=500)
    end = Edge(swapped_bytes=10**9 + swapped, major_faults=500 + faults)
    assert _fatal([measurement(), _seen(_window(start, end))]) == codes
    assert list(tainted(_seen(_window(start, end)))) == codes


def test_another_process_on_the_accelerator_costs_the_dollars() -> None:
    alone, shared = DeviceState(other_processes=0), DeviceState(other_processes=2)
    found = judge([measurement(), _seen(_window(Edge(devices=(alone,)), Edge(devices=(shared,))))])
    assert [(reason.code, reason.fatal) for reason in found] == [("shared-device", True)]
    assert "another process" in found[0].what


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (DeviceState(), DeviceState(throttle_reasons=("power cap",)), "power cap"),
        (DeviceState(throttle_reasons=("thermal",)), DeviceState(), "thermal"),
        (DeviceState(power_capped_s=7.0), DeviceState(power_capped_s=7.5), "power cap"),
        (DeviceState(heat_capped_s=0.0), DeviceState(heat_capped_s=3.0), "thermal"),
    ],
)
def test_clocks_held_back_are_said_and_still_priced(before: DeviceState, after: DeviceState, word: str) -> None:
    """A capped device may well serve capped: its speed is what it is."""
    found = judge([measurement(), _seen(_window(Edge(devices=(before,)), Edge(devices=(after,))))])
    assert [(reason.code, reason.fatal) for reason in found] == [("throttled", False)]
    assert word in found[0].what


def test_a_moment_of_the_cap_or_a_cpu_that_was_hot_before_is_no_throttling() -> None:
    """Under 5 % of the window; a device that idles at an edge has a low clock, which says nothing."""
    start = Edge(cpu_throttled=9, devices=(DeviceState(sm_clock_hz=1.9e9, power_capped_s=7.0),))
    end = Edge(cpu_throttled=9, devices=(DeviceState(sm_clock_hz=0.3e9, power_capped_s=7.1),))
    assert _codes([measurement(), _seen(_window(start, end))]) == []
    assert _codes([measurement(), _seen(_window(start, end.model_copy(update={"cpu_throttled": 10})))]) == ["throttled"]


@pytest.mark.parametrize(("rise", "codes"), [(WARMED_C, ["drift"]), (WARMED_C + 1, ["drift", "warming"])])
def test_growing_warmer_and_slower_asks_for_more_warm_up(rise: float, codes: list[str]) -> None:
    """Warmth alone is what load does; with rounds that slow down it is their reason."""
    on_cpu = _window(Edge(cpu_temperature_c=40.0), Edge(cpu_temperature_c=40.0 + rise))
    on_gpu = _window(
        Edge(devices=(DeviceState(temperature_c=40.0),)), Edge(devices=(DeviceState(temperature_c=40.0 + rise),))
    )
    for window in (on_cpu, on_gpu):
        slowing = _growing(1.3).model_copy(update={"window": window})
        assert _codes([slowing, slowing]) == codes
        assert _codes([_seen(window)] * 2) == []


def test_load_is_asked_only_where_nothing_counts_waiting() -> None:
    """PSI knows better: a load of our own threads is no other work."""
    loaded = Edge(load_average=2 * LOAD_PER_CPU + 0.1)
    blind = [_stalled(None).model_copy(update={"window": _window(loaded)})] * 2
    seeing = [_stalled(0.0).model_copy(update={"window": _window(loaded)})] * 2
    assert [reason.code for reason in judge(blind, cpus=2)] == ["busy"]
    assert [reason.code for reason in judge(blind, cpus=4)] == []
    assert [reason.code for reason in judge(seeing, cpus=2)] == []


def test_a_machine_that_was_busy_most_of_the_time_has_no_dollars() -> None:
    assert _fatal([_stalled(MEANINGLESS_STALLED_SHARE - 0.01)] * 2) == []
    assert _fatal([_stalled(MEANINGLESS_STALLED_SHARE + 0.01)] * 2) == ["busy"]


@pytest.mark.parametrize(("share", "codes"), [(STOLEN_SHARE - 0.01, []), (STOLEN_SHARE + 0.01, ["stolen"])])
def test_stolen_time_counts_against_all_cpus(share: float, codes: list[str]) -> None:
    """Counted over all CPUs: half of one of two is a quarter of the machine."""
    stolen = share * 2 * a_round().done_s
    one = measurement(rounds=[a_round().model_copy(update={"stolen_s": stolen}) for _ in range(3)])
    assert [reason.code for reason in judge([one, one], cpus=2)] == codes


# --- what the rounds show ------------------------------------------------------------------------------------------


def _growing(factor: float, rounds: int = 6) -> Measurement:
    steps = [1 + (factor - 1) * index / (rounds - 1) for index in range(rounds)]
    return measurement(rounds=[a_round(factor=one) for one in steps])


@pytest.mark.parametrize(
    ("factors", "codes"),
    [((1.2, 1.2), ["drift"]), ((0.8, 0.8), ["drift"]), ((1.02, 1.02), []), ((1.2, 0.85), []), ((1.2,), [])],
)
def test_rounds_that_slide_in_every_process_are_a_drift(factors: tuple[float, ...], codes: list[str]) -> None:
    """The later half against the earlier, over 5 %, always the same way; one process may have been unlucky."""
    assert DRIFT == 1.05
    assert [code for code in _codes([_growing(one) for one in factors]) if code == "drift"] == codes


def test_tokens_that_come_in_bunches_are_said() -> None:
    """Four at once: the mean gap is right, and no user ever sees it."""
    steps = tuple(0.5 + 0.2 * (index // 4) + 1e-5 * (index % 4) for index in range(32))
    bunched = Round(step_s=steps, done_s=steps[-1])
    assert "bunched" in _codes([measurement(rounds=[bunched, bunched])] * 2)
    assert "bunched" not in _codes([measurement()] * 2)


def test_the_same_tokens_for_every_prompt_are_said_unless_weights_are_random() -> None:
    same = [a_round() for _ in range(3)]
    assert {one.tokens_sha256 for one in same} == {"0123456789abcdef"}
    found = measurement().model_copy(update={"rounds": tuple(same)})
    random = found.model_copy(update={"facts": facts(random_weights=True)})
    assert _codes([found, found]) == ["same-output"]
    assert _codes([random, random]) == []


def test_what_one_replicate_of_many_shows_is_no_property_of_the_row() -> None:
    """A slow start, one capped process: said where at least half of the replicates show it."""
    capped = _seen(_window(Edge(), Edge(devices=())))
    hot = _seen(_window(Edge(cpu_throttled=1), Edge(cpu_throttled=2)))
    assert _codes([hot, *[capped] * 2]) == []
    assert _codes([hot, capped]) == ["throttled"]
    assert _codes([_first_round(1.5), measurement(), measurement()]) == []


def test_few_tokens_may_well_be_the_same() -> None:
    """Three prompts that share their next token are no cache."""
    few = measurement(tokens=2).model_copy(update={"rounds": tuple(a_round(tokens=2) for _ in range(3))})
    assert _codes([few, few]) == []
    assert [reason.code for reason in judge([few, few], batch_size=4)] == ["same-output"]
