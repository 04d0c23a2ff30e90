"""Defects found in other tools, one test each: none of them is here.

Those of serving benchmarks (arrivals, connections, streams) are in test_peer_defects_serving.py.
"""

import ast
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from bench import runners
from bench.cost import dollars
from bench.errors import BrokenContractError, InputError, UnsupportedError
from bench.execute import child
from bench.measure import offline
from bench.metrics import latency, percentiles
from bench.plan import read
from bench.runners.fake import FakeRunner, Options
from bench.schema import Cell, Job, Measurement, Model, Plain, Round
from bench.selftest import case
from tests.commands import ROOT, fake_config


def measured(cell: Cell) -> Measurement:
    """A cell of the fake, measured in this process."""
    runner = FakeRunner(cell.model, cell.precision, Options.model_validate(cell.runner.options))
    return offline.measure(cell, 0, runner, lambda _phase, _estimate_s: None)


@pytest.mark.alone
def test_times_of_tokens_start_anew_in_each_round() -> None:
    """optimum-benchmark never resets its per-token times between iterations: p99 of 2 ms a token came out as 50 ms."""
    found = measured(case.cell("x", {"prefill_s": 0.02, "step_s": 0.002}, new=8, rounds=10))
    assert [len(one.step_s) for one in found.rounds] == [8] * 10
    gaps = [later - earlier for one in found.rounds for earlier, later in pairwise(one.step_s)]
    assert len(gaps) == 70
    assert median(gaps) == pytest.approx(0.002, abs=0.0003)
    assert sorted(gaps)[-7] < 0.015


def test_rates_of_tokens_come_from_tokens_and_prices_of_requests_from_requests() -> None:
    """optimum-benchmark prints samples per second that it computed from tokens."""
    cell = case.cell("x", {"prefill_s": 0.02, "step_s": 0.002}, rows=4, new=8, rounds=2)
    one = Round(step_s=tuple(0.3 + 0.1 * step for step in range(8)), done_s=1.0)
    other = one.model_copy(update={"done_s": 1.1})
    found = measured(cell).model_copy(update={"rounds": (one, other)})
    row = case.result(cell, child.Outcome("ok", found, None, 1.0)).row
    assert row.figures is not None
    assert row.figures.output_tokens_per_s.value == pytest.approx(4 * 8 / 1.0)
    if row.dollars is not None:  # none on a machine that is too busy to say
        assert row.dollars.usd_per_request.value == pytest.approx(case.USD_PER_HOUR / 3600 / 4)


@pytest.mark.alone
def test_the_first_generation_is_the_first() -> None:
    """optimum-benchmark's "first generate" is the second one, after the compilation that it was to show."""
    found = measured(case.cell("x", {"first_s": 0.3}, new=4, rounds=2))
    assert found.first_generate_s > 0.3
    assert max(found.warmup_s) < 0.3
    assert max(one.done_s for one in found.rounds) < 0.3


def test_threads_are_those_of_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """optimum-benchmark swaps intra-op and inter-op threads."""
    import torch

    from bench.runners.transformers import Options as TransformersOptions
    from bench.runners.transformers import TransformersRunner, load

    called: list[tuple[str, int]] = []
    monkeypatch.setattr(torch, "set_num_threads", lambda count: called.append(("intra-op", count)))
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda count: called.append(("inter-op", count)))

    def stop(*_: object) -> None:
        raise UnsupportedError("far enough", "")

    monkeypatch.setattr(load, "load", stop)
    runner = TransformersRunner(Model(source="shape:pythia-70m"), Plain(name="fp32"), TransformersOptions(threads=3))
    with pytest.raises(UnsupportedError, match="far enough"):
        runner.load()
    assert called == [("intra-op", 3)]


def test_decode_is_timed_and_not_subtracted() -> None:
    """optimum-benchmark's decode time is a generation's less the mean of other runs' prefills: it can be negative."""
    rounds = [
        Round(step_s=tuple(ttft + 0.125 * step for step in range(5)), done_s=ttft + 0.5) for ttft in (1.0, 2.0, 9.0)
    ]
    found = measured(case.cell("x", {"step_s": 0.0}, new=2, rounds=1)).model_copy(update={"rounds": tuple(rounds)})
    times = latency.of_replicate(found)
    assert times.decode_s == 0.5
    assert times.tpot_s == 0.125


@pytest.mark.alone
def test_the_parent_does_not_spin(tmp_path: Path) -> None:
    """optimum-benchmark's parent spins a whole core beside the model that it times."""
    cell = case.cell("x", {"prefill_s": 0.5}, new=1, rounds=2)
    before, start = time.process_time(), time.monotonic()
    outcome = child.run(Job(cell=cell, replicate=0), tmp_path / "log", 60, lambda _phase, _estimate_s: None)
    child.interrupts.let_through()
    used, took = time.process_time() - before, time.monotonic() - start
    assert outcome.status == "ok"
    assert took > 2
    assert used < 0.1 * took


def test_a_device_that_is_not_there_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """optimum-benchmark raises IndexError for `cuda:0`."""
    import torch

    from bench.runners.transformers import load

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UnsupportedError, match="device cuda:0 is not there"):
        load.device("cuda:0")


def test_ten_runs_have_no_99th_percentile() -> None:
    """optimum-benchmark prints the p99 of ten runs."""
    refused = percentiles.percentile([float(value) for value in range(10)], 99)
    assert isinstance(refused, percentiles.TooFew)


def test_an_engine_is_named_in_its_own_folder_alone() -> None:
    """optimum-benchmark names a backend in 14 files outside of its folder."""
    known = {
        # Defaults, named once; the server that comes with the engine; words that are no user's name; and the library
        # that another tool says it ran.
        "transformers": {
            *("bench/schema/noun.py", "bench/servers/transformers_serve.py", "bench/publish/identity.py"),
            *("bench/imports/optimum_benchmark.py", "bench/runners/vllm/__init__.py"),
        },
        "fake": {"bench/selftest/case.py"},
        # A host of models, a package that a server needs, and what vLLM calls this protocol have the same name.
        "openai": {
            *("bench/claims/hosts.py", "bench/cost/apis/timeline.py", "bench/servers/transformers_serve.py"),
            *("bench/imports/vllm.py", "bench/publish/identity.py"),
        },
        # Its server, by what it says of itself and by the files that it takes.
        "llama.cpp": {
            *("bench/servers/commands.py", "bench/servers/gguf.py", "bench/endpoint/listing.py"),
            "bench/imports/llama_settings.py",
        },
        "openvino": {"bench/imports/optimum_benchmark.py"},
        "vllm": {"bench/endpoint/listing.py", "bench/imports/__init__.py", "bench/publish/identity.py"},
    }
    names, found = runners.shipped(), defaultdict(set)
    for path in sorted((ROOT / "bench").rglob("*.py")):
        place = path.relative_to(ROOT)
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        for name in names:
            if name in words and name.replace(".", "_") not in place.with_suffix("").parts:
                found[name].add(str(place))
    for name in names:
        assert found[name] <= known.get(name, set())


def test_one_token_has_no_tpot() -> None:
    """vLLM gives one-token outputs a TPOT of 0, which meets every limit."""
    cell = case.cell("x", {}, new=1, rounds=2)
    found = measured(cell)
    assert latency.of_replicate(found).tpot_s is None
    figures = case.result(cell, child.Outcome("ok", found, None, 1.0)).figures()
    assert figures.tpot_s is None
    assert figures.decode_tokens_per_s is None


def test_an_event_without_a_token_is_not_the_first_token() -> None:
    """vLLM's client takes any event with `choices` for the first token, a role without text too."""
    with pytest.raises(BrokenContractError, match=r"steps of \[0, 2\] rows"):
        measured(case.cell("x", {"trouble": "empty_step"}, rows=2, new=4, rounds=2))


def test_no_prompt_is_warmed_up_with() -> None:
    """vLLM's warm-up repeats prompt 1, so that the prefix cache answers for the model."""
    found = measured(case.cell("x", {"prefill_s": 0.05, "prefix_cache": True}, rows=2, new=2, rounds=4))
    assert min(one.step_s[0] for one in found.rounds) > 0.0497


@pytest.mark.alone
def test_tpot_is_without_ttft() -> None:
    """GuideLLM's TPOT and llmperf's inter-token latency include the time to the first token."""
    times = latency.of_replicate(measured(case.cell("x", {"prefill_s": 0.3, "step_s": 0.002}, new=11, rounds=3)))
    assert times.tpot_s == pytest.approx(0.002, abs=0.0003)
    assert times.ttft_s == pytest.approx(0.3, rel=0.01)


def test_input_and_output_share_one_bill() -> None:
    """InferenceX prices input alone and output alone with the whole bill each."""
    parts = dollars.split(0.01, 0.3, 1000, 500)
    assert parts.input_usd_per_mtok is not None
    assert parts.output_usd_per_mtok is not None
    assert (parts.input_usd_per_mtok * 1000 + parts.output_usd_per_mtok * 500) / dollars.MTOK == pytest.approx(0.01)
    assert max(parts.input_usd_per_mtok * 1000, parts.output_usd_per_mtok * 500) / dollars.MTOK < 0.01


@pytest.mark.parametrize("name", runners.shipped())
def test_a_misspelt_option_is_not_dropped(name: str, tmp_path: Path) -> None:
    """nano-vllm drops options it does not know: the default's number is then published under the wrong name."""
    option = sorted(runners.find(name).Options.model_fields)[0]
    config = fake_config(tmp_path, runners=f"{{name: {name}, {option}x: 1}}")
    with pytest.raises(InputError, match=f"unknown key; did you mean .*'{option}'"):
        read.sweep(config)
