"""`bench selftest` passes, and would not if the instrument were broken."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli import selftest as command
from bench.cost import dollars
from bench.execute.child import Outcome
from bench.measure import offline
from bench.metrics import latency
from bench.metrics.statistics import Estimate
from bench.plan import read
from bench.runners.fake import FakeRunner, Options
from bench.schema import Cell, Edge, Energy, Measurement, Memory, ModelFacts, Round, Window
from bench.selftest import case, observer, planted, truth
from bench.selftest.check import Check, equal, near, once, rate, said, seconds
from tests.commands import bench

FACTS = ModelFacts(parameters=1000, weights_bytes=64_000_000, vocab_size=1000, dtype="fp32", device="fake")
CASES = {one.name: one for one in truth.cases()}


@pytest.mark.slow  # test_readme.py runs the same command, whose exit code says the same
def test_the_self_test_passes() -> None:
    """The whole of it in real processes, as data; a person's exit code and a program's `ok` agree."""
    done = bench("selftest", "--format", "json")
    found = json.loads(done.stdout)
    assert found["failed"] == [], done.stdout
    assert found["ok"] is True
    assert done.returncode == 0
    names = [check["name"] for check in found["checks"]]
    assert len(names) == len(set(names)) >= 40
    assert {defect.what for defect in planted.DEFECTS} <= set(names)
    for check in found["checks"]:
        assert set(check) >= {"name", "programmed", "measured", "unit", "tolerance", "relative_error", "ok", "tries"}


# --- what a perfect instrument would bring back, and what broken ones do


def perfect(cell: Cell) -> Measurement:
    """The programmed truth itself. Rounds differ by nanoseconds, as real ones do."""
    known, work, protocol, options = truth.Truth.of(cell), cell.workload, cell.protocol, cell.runner.options
    rounds = []
    for number in range(protocol.rounds):
        steps = tuple(known.ttft_s + number * 1e-9 + known.tpot_s * step for step in range(work.output_tokens))
        rounds.append(Round(step_s=steps, done_s=steps[-1], stalled_s=0.0, tokens_sha256=f"{number:016x}"))
    window_s = protocol.rounds * known.e2el_s
    joules = options["power_w"] * window_s or None
    window = Window(
        start=Edge(), end=Edge(), duration_s=window_s, other_clock_s=window_s, energy=Energy(cpu_energy_j=joules)
    )
    grown = (3 + protocol.rounds) * options["growth_bytes"]
    memory = Memory(
        weights_bytes=options["memory_bytes"],
        rss_load_peak_bytes=40_000_000 + options["memory_bytes"],
        rss_peak_bytes=41_000_000 + options["memory_bytes"] + grown,
    )
    return Measurement(
        facts=FACTS,
        load_s=options["load_s"] or 1e-6,
        first_generate_s=known.e2el_s + options["first_s"],
        warmup_s=(known.e2el_s,),
        rounds=tuple(rounds),
        window=window,
        memory=memory,
    )


def result(cell: Cell, measurement: Measurement | None = None) -> case.Result:
    return case.result(cell, Outcome("ok", measurement or perfect(cell), None, 1.0))


def failed(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


def judged(name: str, broken: Callable[[Measurement], Measurement] = lambda found: found) -> list[str]:
    """The failed checks of a case when the last of its cells is measured by a broken instrument."""
    of = CASES[name]
    results = [result(cell) for cell in of.cells[:-1]]
    return failed(of.judged([*results, result(of.cells[-1], broken(perfect(of.cells[-1])))]))


@pytest.mark.parametrize("name", sorted(set(CASES) - {"jitter"}))
def test_a_perfect_instrument_passes(name: str) -> None:
    assert judged(name) == []


def _stamps(found: Measurement, change: Callable[[float], float]) -> Measurement:
    rounds = [one.model_copy(update={"step_s": tuple(map(change, one.step_s))}) for one in found.rounds]
    return found.model_copy(update={"rounds": tuple(rounds)})


def _energy(found: Measurement, factor: float) -> Measurement:
    assert found.window is not None
    energy = Energy(cpu_energy_j=(found.window.energy.cpu_energy_j or 0) * factor)
    return found.model_copy(update={"window": found.window.model_copy(update={"energy": energy})})


def _memory(found: Measurement, **changes: int) -> Measurement:
    return found.model_copy(update={"memory": found.memory.model_copy(update=changes)})


def _short_round(found: Measurement) -> Measurement:
    last = found.rounds[-1]
    return found.model_copy(
        update={"rounds": (*found.rounds[:-1], last.model_copy(update={"step_s": last.step_s[1:]}))}
    )


def _hit_cache(found: Measurement) -> Measurement:
    hit = found.rounds[-1].model_copy(update={"step_s": (0.001, *found.rounds[-1].step_s[1:])})
    return found.model_copy(update={"rounds": (*found.rounds[:-1], hit)})


BROKEN: list[tuple[str, str, Callable[[Measurement], Measurement]]] = [
    ("batch 1", "batch 1: TTFT", lambda found: _stamps(found, lambda at: at + 0.001)),
    ("batch 1", "batch 1: TPOT", lambda found: _stamps(found, lambda at: at * 1.05)),
    ("batch 8", "batch 8: decode tokens", lambda found: _stamps(found, lambda at: at * 1.05)),
    ("batch 8", "the bill of a batch", lambda found: _stamps(found, lambda at: at * 1.05)),
    ("batch 8", "steps of each round", _short_round),
    ("batch 8", "timed rounds", lambda found: found.model_copy(update={"rounds": found.rounds[1:]})),
    ("batch 1", "loading", lambda found: found.model_copy(update={"load_s": 0.5})),
    (
        "batch 1",
        "first generation, compilation in it",
        lambda found: found.model_copy(update={"first_generate_s": found.warmup_s[0]}),
    ),
    (
        "batch 1",
        "second generation",
        lambda found: found.model_copy(update={"warmup_s": (found.first_generate_s,)}),
    ),
    ("batch 1", "energy of the timed rounds", lambda found: _energy(found, 9 / 7)),
    ("long prompt", "long prompt: TPOT", lambda found: _stamps(found, lambda at: at * 1.2)),
    ("one token", "one token: TTFT", lambda found: _stamps(found, lambda at: at / 500)),
    ("prefix cache", "prefix cache: fastest TTFT", _hit_cache),
    ("memory", "weights", lambda found: _memory(found, weights_bytes=32_000_000)),
    ("memory", "peak memory, loading", lambda found: _memory(found, rss_load_peak_bytes=40_000_000)),
    ("memory", "peak memory, generating", lambda found: _memory(found, rss_peak_bytes=170_000_000)),
]


@pytest.mark.parametrize(("name", "check", "broken"), BROKEN, ids=[check for _, check, _ in BROKEN])
def test_a_broken_instrument_fails(name: str, check: str, broken: Callable[[Measurement], Measurement]) -> None:
    assert check in judged(name, broken)


def test_a_mean_that_is_off_by_two_percent_fails() -> None:
    (cell,) = CASES["jitter"].cells
    right = _stamps(perfect(cell), lambda at: at * 1.0004501)
    assert failed(truth.of_jitter([result(cell, right)])) == []
    wrong = _stamps(perfect(cell), lambda at: at * 1.02)
    assert failed(truth.of_jitter([result(cell, wrong)])) == ["jitter: mean TPOT"]


def test_a_tpot_that_includes_ttft_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = latency.of_round

    def with_ttft(one: Round) -> latency.Times:
        times = honest(one)
        return replace(times, tpot_s=times.e2el_s / len(one.step_s))

    monkeypatch.setattr(latency, "of_round", with_ttft)
    assert "long prompt: TPOT" in judged("long prompt")
    assert "batch 8: decode tokens" in judged("batch 8")


def test_a_tpot_of_zero_for_one_token_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = latency.of_round
    monkeypatch.setattr(latency, "of_round", lambda one: replace(honest(one), tpot_s=1e-12))
    assert {"one token: TPOT", "one token: decode rate"} <= set(judged("one token"))


def _with_figures(of: case.Result, **changes: Any) -> case.Result:
    return replace(of, row=replace(of.row, figures=replace(of.figures(), **changes)))


def test_requests_in_the_place_of_tokens_fail() -> None:
    (cell,) = CASES["batch 8"].cells
    requests = Estimate(8 / 0.1956, None, None, 1)
    wrong = _with_figures(result(cell), output_tokens_per_s=requests)
    assert failed(truth.of_eight_rows([wrong])) == ["batch 8: output tokens", "output tokens of a batch, not requests"]


def test_a_percentile_of_a_few_samples_fails() -> None:
    (cell,) = CASES["batch 1"].cells
    wrong = _with_figures(result(cell), percentiles={"ttft_s": {99: 0.05}})
    assert failed(truth.of_one_row([wrong])) == ["p99 of 7 rounds"]


def test_two_dollar_figures_that_each_carry_the_whole_bill_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(bill: float, share: float, prompt: int, new: int) -> dollars.Split:
        whole = dollars.per_mtok(bill, prompt), dollars.per_mtok(bill, new), dollars.per_mtok(bill, prompt + new)
        return dollars.Split(*whole)

    monkeypatch.setattr(dollars, "split", twice)
    assert judged("batch 8") == ["input and output dollars add up to the bill", "the bill of a batch"]


@pytest.mark.parametrize("defect", planted.DEFECTS, ids=lambda defect: defect.trouble)
def test_a_defect_that_is_not_caught_fails(defect: planted.Defect) -> None:
    """The record of an instrument that notices nothing."""
    cell = case.cell("unnoticed", {**defect.options, "trouble": defect.trouble}, new=8, rounds=2)
    assert not planted.of_a_defect(defect, result(cell)).ok


def test_an_honest_engine_under_suspicion_fails() -> None:
    cell = case.cell("honest", planted.SLOW, new=8, rounds=4)
    assert failed(planted.of_an_honest_engine([result(cell)])) == []
    found = perfect(cell)
    assert found.window is not None
    wrong = found.model_copy(update={"window": found.window.model_copy(update={"other_clock_s": 9.0})})
    assert failed(planted.of_an_honest_engine([result(cell, wrong)])) == ["an honest engine"]


def test_a_misspelt_option_that_is_dropped_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed(planted.of_a_misspelt_option([])) == []
    monkeypatch.setattr(read, "sweep", lambda _: None)
    assert failed(planted.of_a_misspelt_option([])) == ["a misspelt option"]


def test_prompts_that_are_used_twice_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that repeats its warm-up prompt, against a runner that has a cache for it."""
    (cell,) = CASES["prefix cache"].cells
    monkeypatch.setattr(offline.Prompts, "next", lambda _: [[1] * 16])
    runner = FakeRunner(cell.model, cell.precision, Options.model_validate(cell.runner.options))
    found = offline.measure(cell, 0, runner, lambda _phase, _estimate: None)
    assert failed(truth.of_a_prefix_cache([result(cell, found)])) == ["prefix cache: fastest TTFT"]


def test_an_instrument_with_a_wrong_clock_fails_in_a_real_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every try, and how many there were is said."""
    monkeypatch.setattr(case, "PAUSE_S", 0)
    cell = case.cell("wrong", {"prefill_s": 0.1, "step_s": 0.05, "trouble": "clock_fast"}, new=8, rounds=2)
    of = case.Case("wrong", (cell,), lambda results: truth.timing(results[0]))
    ((_, _, checks),) = case.run([of], tmp_path)
    assert {"wrong: TTFT", "wrong: TPOT", "wrong: end to end"} <= set(failed(checks))
    assert {check.tries for check in checks} == {case.TRIES}


def test_a_child_that_crashes_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "PAUSE_S", 0)
    cell = case.cell("crash", {"trouble": "crash"})
    of = case.Case("crash", (cell,), lambda results: truth.timing(results[0]))
    ((_, _, checks),) = case.run([of], tmp_path)
    assert failed(checks) == ["crash"]
    assert "RuntimeError" in str(checks[0].measured)


# --- tolerances


def test_tolerances_hold_to_the_letter() -> None:
    assert seconds("x", 0.1, 0.1009).ok
    assert not seconds("x", 0.1, 0.1011).ok
    assert seconds("x", 0.001, 0.00129).ok
    assert not seconds("x", 0.001, 0.00131).ok
    assert once("x", 1.0, 1.049).ok
    assert not once("x", 1.0, 1.051).ok
    assert rate("x", 8, 0.1, 80.7).ok
    assert not rate("x", 8, 0.1, 80.9).ok
    assert not near("x", 1.0, None, 5.0).ok
    assert not equal("x", 5, None).ok
    assert said("x", "ok, … clock", "ok, clock").ok
    assert not said("x", "ok, … clock", "ok, busy").ok


# --- the command


@pytest.mark.parametrize("as_data", [False, True])
def test_a_failed_check_is_named_and_ends_with_code_1(
    as_data: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [near("good", 1.0, 1.001, 0.01, "s"), near("bad", 1.0, 2.0, 0.01, "s"), equal("wrong", "null", 0.0)]
    one = case.Case("x", (), lambda _: checks)
    monkeypatch.setattr(case, "run", lambda *_: [(one, [], checks)])
    with pytest.raises(typer.Exit) as ended:
        command.selftest(form="json" if as_data else "table")
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    if as_data:
        assert json.loads(said.out)["failed"] == ["bad", "wrong"]
    else:
        assert "FAILED: bad\nFAILED: wrong\n" in said.err
        assert "1 of 3 checks passed" in said.out
        assert "largest error of times: +100.000%, 10000% of its tolerance (bad)" in said.out


def test_a_model_without_the_observer_is_refused() -> None:
    done = bench("selftest", "--model", "builtin:smollm2-135m")
    assert done.returncode == 2
    assert "--model: only with --observer" in done.stderr


# --- what measuring costs


def test_the_observer_compares_pairs() -> None:
    seen = observer.Seen(
        alone_s=[1.0, 2.0, 4.0], readings_s=[1.0, 2.0, 4.0], sampler_s=[1.1, 2.2, 4.4], around_s=[0.0], edges_s=[0.0]
    )
    around, sampler = observer.compare(seen)
    assert (around.ratio, around.low, around.high, around.pairs) == (1.0, 1.0, 1.0, 3)
    assert "cannot be told from none" in around.text()
    assert sampler.ratio == pytest.approx(1.1)
    assert "slower, by 10.0%" in sampler.text()


@pytest.mark.alone
def test_the_observer_runs_without_a_model(tmp_path: Path) -> None:
    """Nothing is fetched: with no built-in model at hand an empty loop is watched."""
    done = bench("selftest", "--observer", "--pairs", "3", "--format", "json", BENCH_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "an empty loop"
    assert [one["pairs"] for one in found["compared"]] == [3, 3]
    assert all(0.2 < one["ratio"] < 5 for one in found["compared"])


def test_an_observer_that_cannot_load_says_why(tmp_path: Path) -> None:
    cell = observer.watched_cell(None).model_copy(update={"runner": case.cell("x", {"trouble": "unsupported"}).runner})
    with pytest.raises(Exception, match="told not to work"):
        observer.watch(cell, 2, tmp_path)
