"""Contradictions of a load are named with key and remedy; plans are reproducible; means name the cell."""

import itertools

import pytest

from bench.errors import InputError
from bench.loads import Vocabulary
from bench.loads.plan import nominal, plan, problems
from bench.schema import Traffic

IDS = Vocabulary(source="ids", ids=range(5, 21_005))
CLOSED = {"load": "closed", "concurrency": 4, "input_tokens": 64, "output_tokens": 32}
OPEN = {"load": "poisson", "requests_per_s": 4, "input_tokens": 64, "output_tokens": 32}
TRACE = {"load": "trace", "trace": "trace.csv"}


@pytest.mark.parametrize(
    "said",
    [
        CLOSED,
        OPEN,
        TRACE,
        {**OPEN, "load": "gamma", "burstiness": 0.3},
        {**OPEN, "load": "gamma"},
        {**OPEN, "load": "burst", "burst_size": 10},
        {**OPEN, "ramp": {"to": 9, "over_s": 3}},
        {**CLOSED, "ramp": {"to": 9, "over_s": 3}},
        {**CLOSED, "turns": 3, "think_time_s": 2},
        {**CLOSED, "shared_prefix": {"hit_rate": 0.5, "pool": 3}},
        {**CLOSED, "shared_prefix": {"hit_rate": 0}},
        {"load": "closed", "concurrency": 4, "prompts": {"file": "p.jsonl"}},
        {**TRACE, "speed": 3, "trace_format": "burstgpt"},
    ],
)
def test_sound_loads_have_no_problems(said: dict[str, object]) -> None:
    assert problems(Traffic.model_validate(said)) == []


@pytest.mark.parametrize(
    ("said", "key", "words"),
    [
        ({**CLOSED, "concurrency": None}, "concurrency", "such as concurrency: 8"),
        ({**CLOSED, "requests_per_s": 3}, "requests_per_s", "load: poisson"),
        ({**OPEN, "requests_per_s": None}, "requests_per_s", "such as requests_per_s: 4"),
        ({**OPEN, "concurrency": 3}, "concurrency", "load: closed"),
        ({**OPEN, "burst_size": 3}, "burst_size", "load: burst"),
        ({**OPEN, "load": "burst"}, "burst_size", "set 2 or more"),
        ({**OPEN, "load": "burst", "burst_size": 9000}, "burst_size", "max_in_flight"),
        ({**OPEN, "burstiness": 0.5}, "burstiness", "load: gamma"),
        ({**OPEN, "load": "gamma", "burstiness": 1e-9}, "burstiness", "load: burst"),
        ({**OPEN, "load": "gamma", "burstiness": 1e300}, "burstiness", "load: constant"),
        ({"load": "trace"}, "trace", "Mooncake or BurstGPT"),
        ({**TRACE, "requests_per_s": 3}, "requests_per_s", "speed"),
        ({**TRACE, "concurrency": 3}, "concurrency", "max_in_flight"),
        ({**TRACE, "ramp": {"to": 3, "over_s": 3}}, "ramp", "leave it out"),
        ({**TRACE, "turns": 2}, "turns", "leave it out"),
        ({**TRACE, "input_tokens": 2}, "input_tokens", "leave it out"),
        ({**TRACE, "output_tokens": 2}, "output_tokens", "leave it out"),
        ({**TRACE, "prompts": {"file": "p"}}, "prompts", "leave it out"),
        ({**TRACE, "shared_prefix": {"hit_rate": 0.5}}, "shared_prefix", "leave it out"),
        ({**TRACE, "think_time_s": 1}, "think_time_s", "leave it out"),
        ({**OPEN, "trace": "x"}, "trace", "load: trace"),
        ({**OPEN, "trace_format": "burstgpt"}, "trace_format", "load: trace"),
        ({**OPEN, "speed": 2}, "speed", "requests_per_s"),
        ({**OPEN, "ramp": {"to": 4, "over_s": 3}}, "ramp.to", "set it over 4"),
        ({**CLOSED, "ramp": {"to": 3, "over_s": 3}}, "ramp.to", "set it over 4"),
        ({**CLOSED, "ramp": {"to": 1e9, "over_s": 3}}, "ramp.to", "set less"),
        ({**CLOSED, "input_tokens": None}, "input_tokens", "name a file in prompts"),
        ({**CLOSED, "output_tokens": None}, "output_tokens", "such as output_tokens: 64"),
        ({**CLOSED, "input_tokens": 0}, "input_tokens", "set 1 to"),
        ({**CLOSED, "output_tokens": 10**9}, "output_tokens", "set 1 to"),
        ({**CLOSED, "input_tokens": {"shape": "normal"}}, "input_tokens", "needs its mean"),
        ({**CLOSED, "prompts": {"file": "p"}}, "input_tokens", "leave one of the two out"),
        (
            {**CLOSED, "input_tokens": None, "prompts": {"file": "p"}, "shared_prefix": {"hit_rate": 0.5}},
            "shared_prefix",
            "leave one of the two out",
        ),
        ({**CLOSED, "shared_prefix": {"hit_rate": 0.001}}, "shared_prefix.hit_rate", "less than one"),
        ({**CLOSED, "shared_prefix": {"hit_rate": 0.999}}, "shared_prefix.hit_rate", "set less"),
        ({**CLOSED, "think_time_s": 1}, "think_time_s", "set turns"),
    ],
)
def test_each_contradiction_has_key_and_remedy(said: dict[str, object], key: str, words: str) -> None:
    traffic = Traffic.model_validate(said)
    found = problems(traffic)
    assert [name for name, _ in found] == [key]
    assert words in found[0][1]
    assert "\n" not in found[0][1]
    with pytest.raises(InputError, match=key):
        plan(traffic, IDS, 0)


def test_several_contradictions_are_said_together() -> None:
    found = problems(Traffic.model_validate({"load": "closed", "requests_per_s": 3, "speed": 2}))
    assert [key for key, _ in found] == ["concurrency", "requests_per_s", "speed", "input_tokens", "output_tokens"]


def test_a_plan_is_reproducible_and_replicates_differ() -> None:
    traffic = Traffic.model_validate({**OPEN, "input_tokens": {"shape": "lognormal", "mean": 40, "least": 4}})
    first, again, other = (
        list(itertools.islice(plan(traffic, IDS, replicate).slice(1, 2), 50)) for replicate in (3, 3, 4)
    )
    assert first == again
    assert [session.due_s for session in first] != [session.due_s for session in other]
    assert [session.turns[0].input_tokens for session in first] != [session.turns[0].input_tokens for session in other]


def test_two_rates_meet_the_same_requests_in_the_same_order() -> None:
    """Common random numbers: what differs between two levels of a load is the level."""
    slow, fast = (
        list(itertools.islice(plan(Traffic.model_validate({**OPEN, "requests_per_s": rate}), IDS, 0).slice(0, 1), 50))
        for rate in (4, 8)
    )
    assert [2 * (one.due_s or 0) for one in fast] == pytest.approx([one.due_s for one in slow])
    assert all(a.turns[0].content != b.turns[0].content for a, b in zip(slow, fast, strict=True))


def test_means_of_synthetic_loads() -> None:
    assert nominal(Traffic.model_validate(CLOSED)) == (64, 32)
    # Requests of a conversation carry 64, 64 + 32 + 64, and once more 96 tokens.
    assert nominal(Traffic.model_validate({**CLOSED, "turns": 3})) == (160, 32)
    lengths = {"shape": "uniform", "least": 10, "most": 30}
    assert nominal(Traffic.model_validate({**CLOSED, "input_tokens": lengths})) == (20, 32)


def test_workers_count_from_zero() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        next(plan(Traffic.model_validate(CLOSED), IDS, 0).slice(2, 2))
