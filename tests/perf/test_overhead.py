"""What the harness adds to a step, as a ratio. Run by `scripts/perf`; each figure is printed, none is asserted on."""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import offline
from bench.runners.fake import FakeRunner, Options
from bench.schema import Model, Plain

PRECISION = Plain(name="fp32")
MODEL = Model(source="shape:pythia-70m")
STEPS = 200


def nothing(rows: int) -> None:
    """A callback that does nothing: the loop alone."""


def arms(step_s: float, rows: int) -> dict[str, Callable[[], object]]:
    runner = FakeRunner(MODEL, PRECISION, Options(prefill_s=step_s, step_s=step_s))
    prompts = [[1]] * rows
    return {
        "alone": lambda: runner.generate(prompts, STEPS, nothing),
        "harness": lambda: runner.generate(prompts, STEPS, offline.Stamps().on_step),
    }


@pytest.mark.parametrize("arm", ["alone", "harness"])
@pytest.mark.parametrize("rows", [1, 256])
def test_step_of_one_millisecond(benchmark: BenchmarkFixture, arm: str, rows: int) -> None:
    """200 programmed steps of 1 ms: compare `harness` with `alone`; the target is at most 1.01."""
    benchmark.group = f"200 steps of 1 ms, {rows} rows"
    benchmark(arms(0.001, rows)[arm])


@pytest.mark.parametrize("arm", ["alone", "harness"])
def test_step_of_no_time(benchmark: BenchmarkFixture, arm: str) -> None:
    """200 steps without any delay: the difference is the harness's whole cost."""
    benchmark.group = "200 steps of no time, 1 row"
    benchmark(arms(0.0, 1)[arm])
