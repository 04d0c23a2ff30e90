"""The instrument on the fake, whose truth is known."""

import pytest

from bench.errors import BrokenContractError, UnsupportedError
from bench.measure import offline
from bench.metrics import latency
from bench.runners import OnStep
from bench.runners.fake import FakeRunner, Options
from bench.schema import Cell, Model, ModelFacts, Plain, Protocol, Round, RunnerChoice, Workload

PRECISION = Plain(name="fp32")
MODEL = Model(source="shape:pythia-70m")


def cell(rows: int = 2, prompt: int = 4, new: int = 8, rounds: int = 3) -> Cell:
    return Cell(
        cell_id="x",
        model=MODEL,
        precision=PRECISION,
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=rows, input_tokens=prompt, output_tokens=new),
        protocol=Protocol(rounds=rounds),
    )


def fake(**options: object) -> FakeRunner:
    return FakeRunner(MODEL, PRECISION, Options.model_validate(options))


def silent(phase: str, estimate_s: float | None) -> None:
    pass


@pytest.mark.alone
def test_programmed_delays_come_out() -> None:
    """Within 1 % or 0.3 ms of the truth, whichever is larger; the median of rounds bears one late wake-up."""
    found = offline.measure(cell(new=16, rounds=9), 0, fake(prefill_s=0.05, step_s=0.01), silent)
    times = latency.of_replicate(found)
    assert times.ttft_s == pytest.approx(0.05, rel=0.01, abs=0.0003)
    assert times.tpot_s == pytest.approx(0.01, rel=0.01, abs=0.0003)
    assert times.e2el_s == pytest.approx(0.05 + 15 * 0.01, rel=0.01, abs=0.0003)


@pytest.mark.alone
def test_load_and_first_generation_are_apart_from_the_rounds() -> None:
    found = offline.measure(cell(), 0, fake(load_s=0.2), silent)
    assert found.load_s == pytest.approx(0.2, abs=0.05)
    assert len(found.warmup_s) == 1
    assert len(found.rounds) >= 3
    assert all(len(one.step_s) == 8 for one in found.rounds)
    assert all(list(one.step_s) == sorted(one.step_s) for one in found.rounds)


def test_no_prompt_is_used_twice_and_precisions_of_a_replicate_see_the_same_ones() -> None:
    first = offline.Prompts(cell(), 0, 50_000)
    drawn = [tuple(row) for _ in range(20) for row in first.next()]
    assert len(set(drawn)) == len(drawn) == 40
    assert all(len(row) == 4 and all(0 <= token < 50_000 for token in row) for row in drawn)
    other = offline.Prompts(cell().model_copy(update={"precision": Plain(name="bf16")}), 0, 50_000)
    assert [tuple(row) for row in other.next()] == drawn[:2]
    assert offline.Prompts(cell(), 1, 50_000).next() != offline.Prompts(cell(), 0, 50_000).next()


def test_memory_has_a_value_or_a_reason() -> None:
    size = 64 * 1024 * 1024
    memory = offline.measure(cell(), 0, fake(memory_bytes=size), silent).memory
    assert memory.weights_bytes == size
    assert memory.kv_cache_bytes == 16 * 2 * (4 + 8)
    assert memory.rss_load_peak_bytes is not None
    assert memory.rss_peak_bytes is not None
    assert memory.rss_peak_bytes > size
    for name in type(memory).model_fields:
        if name != "reasons":
            assert (getattr(memory, name) is None) == (name in memory.reasons), name


def test_memory_without_its_pass_says_so() -> None:
    quiet = cell().model_copy(update={"protocol": Protocol(memory_pass=False)})
    memory = offline.measure(quiet, 0, fake(), silent).memory
    assert memory.rss_peak_bytes is None
    assert memory.reasons["rss_peak_bytes"] == "protocol.memory_pass is off"
    assert memory.weights_bytes is not None


@pytest.mark.alone
def test_peak_memory_is_of_this_cell_not_of_an_earlier_one() -> None:
    size = 256 * 1024 * 1024
    large = offline.measure(cell(), 0, fake(memory_bytes=size), silent).memory.rss_load_peak_bytes
    small = offline.measure(cell(), 0, fake(memory_bytes=1), silent).memory.rss_load_peak_bytes
    assert large is not None
    assert small is not None
    assert large - small > 0.9 * size


class _Odd(FakeRunner):
    """Breaks one promise of the contract."""

    def __init__(self, how: str) -> None:
        super().__init__(MODEL, PRECISION, Options())
        self.how = how

    def load(self) -> ModelFacts:
        facts = super().load()
        return facts.model_copy(update={"max_positions": 8}) if self.how == "positions" else facts

    def generate(self, prompts: object, output_tokens: int, on_step: OnStep) -> list[list[int]]:
        rows = 2
        for _ in range(output_tokens - (self.how == "steps")):
            on_step(rows - (self.how == "partial"))
        return [[1] * (output_tokens - (self.how == "tokens"))] * (rows - (self.how == "rows"))


@pytest.mark.parametrize("how", ["steps", "partial", "tokens", "rows"])
def test_a_broken_promise_is_no_measurement(how: str) -> None:
    with pytest.raises(BrokenContractError, match="asked for"):
        offline.measure(cell(), 0, _Odd(how), silent)


def test_more_tokens_than_the_model_has_positions_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="12 tokens a row exceed the model's 8 positions"):
        offline.measure(cell(), 0, _Odd("positions"), silent)


def _steps(gaps: list[float]) -> Round:
    at, steps = 0.5, [0.5]
    for gap in gaps:
        at += gap
        steps.append(at)
    return Round(step_s=tuple(steps), done_s=at)


def test_tokens_that_are_a_step_late_are_caught_on_a_busy_machine_too() -> None:
    """The last two come together; a hiccup before makes another short gap, which hides nothing."""
    late = [0.02] * 6 + [0.00001]
    hiccup = [0.02, 0.02, 0.039, 0.001, 0.02, 0.02, 0.00001]
    for rounds in ([late, [gap * 1.001 for gap in late]], [late, hiccup, [gap * 0.999 for gap in late]]):
        with pytest.raises(BrokenContractError, match="one step late"):
            offline.check_rounds([_steps(gaps) for gaps in rounds])


def test_honest_stamps_are_not_called_late() -> None:
    """A hiccup just before the end of one round; tokens in bunches; steps that take no time."""
    honest = [0.02] * 7
    offline.check_rounds([_steps(honest), _steps([*honest[:5], 0.039, 0.001]), _steps([0.021] * 7)])
    offline.check_rounds([_steps([0.08, 1e-5, 1e-5, 1e-5] * 3), _steps([0.081, 1e-5, 1e-5, 1e-5] * 3)])
    offline.check_rounds([_steps([1e-6] * 7), _steps([2e-6] * 7)])


def test_a_round_that_is_reported_twice_is_caught() -> None:
    with pytest.raises(BrokenContractError, match="reported twice"):
        offline.check_rounds([_steps([0.02] * 4), _steps([0.021] * 4), _steps([0.02] * 4)])


def test_rounds_are_worth_their_time() -> None:
    """√(start / round), between the least and the most."""
    protocol = Protocol(rounds=3, max_rounds=20)
    assert offline.worthwhile_rounds(protocol, 10.0, 1.0) == 4
    assert offline.worthwhile_rounds(protocol, 1.0, 10.0) == 3
    assert offline.worthwhile_rounds(protocol, 1000.0, 0.1) == 20
    assert offline.worthwhile_rounds(protocol, 1.0, 0.0) == 20
    assert offline.worthwhile_rounds(Protocol(rounds=30), 1.0, 1.0) == 30
