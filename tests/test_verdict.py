"""Every reason against a row: given where it holds, withheld just short of it."""

import pytest

from bench.metrics.verdict import SLOW_FIRST_ROUND, SPREAD_BETWEEN_REPLICATES, STALLED_SHARE, judge
from bench.schema import Measurement
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
def test_replicates_that_differ_much_are_unsteady(factor: float, codes: list[str]) -> None:
    """The slowest process against the fastest."""
    assert _codes([measurement(), measurement(factor), measurement()]) == codes


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
