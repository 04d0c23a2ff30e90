"""Loads, endpoints and objectives in a config: what is read, and how every mistake is answered."""

from pathlib import Path

import pytest

from bench.errors import InputError
from bench.plan import expand, read
from bench.plan.folder import read_plan, write_plan
from bench.schema import Cell, Lengths, Sweep, Traffic, Workload

GOOD = """\
runners:
  - {name: openai, base_url: "http://127.0.0.1:8000/v1", model: m}
workloads:
  - {load: closed, concurrency: [1, 4, 16], input_tokens: 128, output_tokens: 64, until: {requests: 50}}
  - {load: poisson, requests_per_s: 2, input_tokens: {shape: lognormal, mean: 200}, output_tokens: 64,
     shared_prefix: 0.5}
slo: ["ttft_s.p99<=0.5", tpot<=50ms]
"""
BATCH = "models: builtin:smollm2-135m\nprecisions: bf16\n"


def _sweep(tmp_path: Path, text: str) -> Sweep:
    path = tmp_path / "load.yaml"
    path.write_text(text, encoding="utf-8")
    return read.sweep(path)


def _lines(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        _sweep(tmp_path, text)
    return [line.removeprefix(f"{tmp_path / 'load.yaml'}:") for line in caught.value.lines]


def _cells(tmp_path: Path, text: str) -> list[Cell]:
    return list(expand.cells(_sweep(tmp_path, text)))


def test_an_endpoint_needs_no_model_and_no_precision(tmp_path: Path) -> None:
    """It runs what it runs; the cell says so."""
    cells = _cells(tmp_path, GOOD)
    assert {(cell.model.source, cell.precision.name) for cell in cells} == {("served", "served")}
    loads = [cell.traffic for cell in cells if cell.traffic is not None]
    assert [load.label() for load in loads] == ["closed 1", "closed 4", "closed 16", "poisson 2/s"]
    assert loads[3].input_tokens == Lengths(shape="lognormal", mean=200)
    assert loads[3].shared_prefix is not None
    assert loads[3].shared_prefix.hit_rate == 0.5
    assert cells[0].workload == Workload(batch_size=1, input_tokens=128, output_tokens=64)


def test_objectives_travel_with_the_run(tmp_path: Path) -> None:
    """A report finds them beside the journal."""
    sweep = _sweep(tmp_path, GOOD)
    assert [one.text() for one in sweep.slo] == ["ttft_s.p99<=0.5", "tpot_s.p95<=0.05"]
    write_plan(tmp_path, sweep, list(expand.cells(sweep)), tmp_path / "load.yaml")
    stored = read_plan(tmp_path, pytest.fail)
    assert stored is not None
    assert stored.slo == sweep.slo


def test_loads_go_to_endpoints_and_batches_to_engines(tmp_path: Path) -> None:
    """One config may hold both; neither is tried where it cannot work."""
    text = (
        f"{BATCH}runners: [transformers, {{name: openai, base_url: 'http://h/v1'}}]\n"
        "workloads:\n  - {batch_size: 2, input_tokens: 8, output_tokens: 4}\n"
        "  - {load: closed, concurrency: 2, input_tokens: 8, output_tokens: 4}\n"
    )
    cells = _cells(tmp_path, text)
    assert [(cell.runner.name, cell.traffic is not None) for cell in cells] == [
        ("transformers", False),
        ("openai", True),
    ]
    assert expand.size(_sweep(tmp_path, text)) == len(cells)


def test_an_offline_cell_keeps_its_id(tmp_path: Path) -> None:
    """The nouns of a load changed no cell that has none."""
    text = BATCH + "workloads: {batch_size: 4, input_tokens: 128, output_tokens: 32}\n"
    assert _cells(tmp_path, text)[0].cell_id == "031f2896621c"


def test_files_are_found_from_the_config(tmp_path: Path) -> None:
    """Not from the folder in which the command was typed."""
    (tmp_path / "mine.jsonl").write_text('{"prompt": "one two three"}\n{"prompt": "four five six"}\n')
    text = GOOD.partition("workloads")[0] + (
        "workloads: {load: closed, concurrency: 2, output_tokens: 4, prompts: mine.jsonl}\n"
    )
    load = _cells(tmp_path, text)[0].traffic
    assert isinstance(load, Traffic)
    assert load.prompts is not None
    assert load.prompts.file == str(tmp_path / "mine.jsonl")


BAD = {
    "runners: {name: openai}": "runners: needs base_url",
    'runners: {name: openai, base_url: "ftp://x"}': "runners.base_url: must begin with http",
    "runners: {name: openai, server: {engine: lama.cpp}}": "unknown engine 'lama.cpp'; did you mean 'llama.cpp' or",
    'runners: {name: openai, server: {engine: llama.cpp, args: [--port, "80"]}}': "--port is chosen by the run",
    'runners: {name: openai, base_url: "http://h/v1", key: sk-1234567890}': "with key_env",
    "workloads: {load: closed, concurency: 4, input_tokens: 8, output_tokens: 8}": "did you mean 'concurrency'?",
    "workloads: {load: poisson, input_tokens: 8, output_tokens: 8}": "workloads.requests_per_s: load: poisson needs",
    "workloads: {load: closed, concurrency: 2, output_tokens: 8, prompts: none.jsonl}": "No such file",
    "workloads: {load: trace, trace: none.jsonl}": "workloads.trace:",
    "workloads: {batch_size: 2, input_tokens: 8, output_tokens: 8}": "openai needs a workload with a `load`",
    "slo: [tft<=3]": "slo[0]: slo 'tft<=3': unknown metric 'tft'",
    "slo: 3": 'slo: must be a text such as "ttft_s.p99<=0.5"',
    "cost: {max_spend_usd: 3}": "cost.max_spend_usd: does nothing without billed_as",
    "cost: {billed_as: openai/gpt-99}": "cost.billed_as:",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:60])
def test_a_mistake_is_one_line_with_its_key(text: str, tmp_path: Path) -> None:
    """File, line, key and remedy; a key that was written into the file is not repeated."""
    section = text.partition(":")[0]
    good = {"runners": GOOD.partition("workloads")[0], "workloads": "workloads" + GOOD.partition("workloads")[2]}
    kept = "".join(part for name, part in good.items() if name != section)
    kept = kept.replace(kept[kept.find("slo:") :], "") if section == "slo" else kept
    lines = _lines(tmp_path, f"{kept}{text}\n")
    assert any(BAD[text] in line for line in lines), lines
    assert all("\n" not in line and line[0].isdigit() for line in lines)
    assert not any("sk-1234567890" in line for line in lines)


def test_what_an_endpoint_runs_is_nothing_that_an_engine_can_load(tmp_path: Path) -> None:
    text = GOOD.replace("workloads:", "  - transformers\nmodels: served\nprecisions: bf16\nworkloads:")
    assert any("models: served is what an endpoint runs" in line for line in _lines(tmp_path, text))


def test_a_load_without_an_endpoint_says_what_to_add(tmp_path: Path) -> None:
    text = BATCH + "workloads: {load: closed, concurrency: 1, input_tokens: 8, output_tokens: 4}\n"
    assert any("add a runner such as openai" in line for line in _lines(tmp_path, text))
