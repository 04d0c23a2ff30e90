"""Loads as people write them: each example of docs/loads.md is read, and each mistake gets one line."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml

from bench.cli import doctor, mock_server, selftest, under_load
from bench.errors import InputError
from bench.metrics.serving import Tokens
from bench.plan import expand, read
from bench.plan.json_schema import schema
from bench.report.serving import priced, table
from bench.schema import Lengths, Prompts, Ramp, SharedPrefix, Traffic, Until
from tests.commands import ROOT, bench

PAGE = (ROOT / "docs" / "loads.md").read_text()
CONFIGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CANARY = "sk-canary-0123456789abcdef"


def _read(folder: Path, text: str) -> list[str]:
    """The lines that a config is refused with."""
    path = folder / "load.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read.sweep(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.lines]


# --- what the page shows


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_each_example_is_a_whole_config(text: str, tmp_path: Path) -> None:
    """It is read, has cells, and an editor that has the schema underlines nothing in it."""
    for name in ("mooncake.jsonl", "burstgpt.csv", "prompts.jsonl", "sharegpt.json"):
        shutil.copy(ROOT / "tests" / "data" / "load" / name, tmp_path)
    path = tmp_path / "example.yaml"
    path.write_text(text)
    cells = list(expand.cells(read.sweep(path)))
    assert cells
    assert all(cell.traffic is not None for cell in cells)
    assert not list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text)))


def test_there_is_an_example_of_every_kind_of_load() -> None:
    shown = {work["load"] for text in CONFIGS for work in _entries(yaml.safe_load(text)["workloads"])}
    assert shown == {"closed", "constant", "poisson", "gamma", "burst", "trace"}


@pytest.mark.parametrize("noun", [Traffic, Until, Lengths, Prompts, Ramp, SharedPrefix])
def test_the_page_names_every_key(noun: type[Traffic]) -> None:
    missing = [key for key in noun.model_fields if not re.search(rf"`[^`]*\b{key}\b[^`]*`", PAGE)]
    assert not missing


def _entries(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else [value]  # type: ignore[list-item]


# --- what is wrong

LOAD = "{load: closed, concurrency: 2, input_tokens: 64, output_tokens: 8}"
RUNNER = 'base_url: "http://127.0.0.1:8000/v1"'
STARTED = "models: builtin:smollm2-135m\nprecisions: checkpoint\n"


def _config(runner: str = RUNNER, load: str = LOAD, more: str = "") -> str:
    return f"runners: {{name: openai, {runner}}}\nworkloads: {load}\n{more}"


def _with(keys: str) -> str:
    return LOAD.replace("}", f", {keys}}}")


WRONG = [
    # Keys inside of a distribution, and of a list that makes a matrix, are named, not only what they stand in.
    (
        _config(load=LOAD.replace("64", "{shape: normal, men: 3}")),
        "2: workloads.input_tokens.men: unknown key; did you",
    ),
    (
        _config(load=LOAD.replace("64", "{shape: normal, mean: 9, least: x}")),
        "2: workloads.input_tokens.least: must be a valid integer (got 'x')",
    ),
    (_config(load=_with("until: [{request: 5}]")), "2: workloads.until.request: unknown key; did you mean 'requests'?"),
    (_config(load=_with("until: [{requests: 0}]")), "2: workloads.until.requests: must be greater than or equal to 1"),
    # What stands a level too high is told where it belongs, and what is missing what it may be.
    (_config(load=_with("duration_s: 5")), "2: workloads.duration_s: unknown key; it stands inside of until, as in"),
    (_config(load=LOAD.replace("load: closed, ", "")), "2: workloads.load: missing; one of closed, constant, poisson"),
    (
        _config("server: {engine: vllm, args: [-c, 4]}", more=STARTED),
        "args[1]: must be a valid string (got 4); write it in",
    ),
    (
        _config(RUNNER + ", stream: false", more="slo: [e2el<=1, ttft<=1]"),
        "3: slo[1]: ttft_s.p95<=1: without streaming",
    ),
    # Numbers with which clocks or tables overflow in the middle of a run.
    (_config(load=_with("warmup_s: 1.0e+300")), "2: workloads.warmup_s: set 2592000 s (30 days) or less"),
    (_config(load=_with("until: {duration_s: 1.0e+300}")), "2: workloads.until.duration_s: set 2592000 s"),
    (_config(load=_with("ramp: {to: 9, over_s: 1.0e+300}")), "2: workloads.ramp.over_s: set 2592000 s"),
    (_config(load=_with("shared_prefix: {hit_rate: 0.5, pool: 10000000000}")), "pool: set 1,000,000 or less"),
    (_config(RUNNER + ", timeout_s: 1.0e+300"), "1: runners.timeout_s: must be 2592000 s (30 days) or less"),
    (
        _config(load=LOAD.replace("closed, concurrency: 2", "poisson, requests_per_s: 1.0e-300")),
        "2: workloads.requests_per_s: so slow that nothing would come for 30 days",
    ),
    (
        _config(load=_with('prompts: "a\\0b"').replace("input_tokens: 64, ", "")),
        "2: workloads.prompts.file: holds a char",
    ),
    (_config(load='{load: trace, trace: "a\\0b"}'), "2: workloads.trace: holds a character that no path can have"),
    # Endpoints and servers.
    (_config(RUNNER + ', model: ""'), "1: runners.model: must not be empty; leave it out"),
    (_config(RUNNER + ", ca_file: a.pem"), "1: runners.ca_file: does nothing for http://"),
    (_config(RUNNER + ", body: {top_p: .nan}"), "1: runners.body.top_p: nan is no JSON number"),
    (_config(RUNNER + ", body: {a: [{b: 2026-01-01}]}"), "1: runners.body.a: 2026-01-01 is no JSON value"),
    (
        _config("server: {engine: llama.cpp, health_path: health}", more=STARTED),
        "server.health_path: must be a path such",
    ),
    (
        _config("server: {engine: llama.cpp, metrics_path: ''}", more=STARTED),
        "server.metrics_path: must be a path such",
    ),
    (_config("server: {engine: vllm, command: []}", more=STARTED), "1: runners.server.command: empty list"),
    (_config("server: {engine: command}", more=STARTED), "server.command: must be a whole command with {port}"),
    (_config("server: {engine: command, command: [a]}"), "server.command: must be a whole command with {port}"),
    (_config("server: {engine: llama.cpp}"), "models: served names no weights, and this run is to start llama.cpp"),
    # A key beside a server would be stored with each cell.
    (
        _config(f"server: {{engine: vllm, env: {{VLLM_API_KEY: {CANARY}}}}}", more=STARTED),
        "server.env.VLLM_API_KEY: a key",
    ),
    (_config("server: {engine: vllm, env: {HF_TOKEN: abcdefgh}}", more=STARTED), "env.HF_TOKEN: a key must not stand"),
    (
        _config(f"server: {{engine: vllm, args: [--api-key, {CANARY}]}}", more=STARTED),
        "server.args: a key must not stand",
    ),
    (
        _config(f"server: {{engine: vllm, args: [--key={CANARY}, {CANARY}]}}", more=STARTED),
        "server.args: a key must not",
    ),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[:50] for _, said in WRONG])
def test_a_mistake_is_one_line_that_names_its_key(text: str, said: str, tmp_path: Path) -> None:
    lines = _read(tmp_path, text)
    assert len(lines) == 1
    assert said in lines[0]
    assert "\n" not in lines[0]
    assert CANARY not in lines[0]


def test_what_only_looks_like_a_key_is_let_through(tmp_path: Path) -> None:
    env = "{TOKENIZERS_PARALLELISM: 'false', VLLM_CPU_KVCACHE_SPACE: '1', MAX_TOKENS: '3'}"
    server = f"server: {{engine: vllm, env: {env}, args: [--max-num-batched-tokens, '2048', --tokenizer, x/y]}}"
    path = tmp_path / "load.yaml"
    path.write_text(_config(server, more=STARTED.replace("checkpoint", "bf16")))
    assert read.sweep(path).runners[0].options["server"]["env"]["MAX_TOKENS"] == "3"


@pytest.mark.parametrize(
    ("runner", "said"),
    [
        (
            RUNNER + ", key_env: BENCH_TEST_UNSET",
            "runners.key_env: the environment variable BENCH_TEST_UNSET is not set",
        ),
        (RUNNER + ', headers: {X-Key: "${BENCH_TEST_UNSET}"}', "runners.headers.X-Key: the environment variable"),
        ('base_url: "https://127.0.0.1:1/v1", ca_file: none.pem', "runners.ca_file: none.pem: no such file"),
    ],
)
def test_a_missing_key_is_said_before_anything_is_stored(
    runner: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored, it would be a failed measurement, which the same command does not try again."""
    monkeypatch.delenv("BENCH_TEST_UNSET", raising=False)
    path = tmp_path / "load.yaml"
    path.write_text(_config(runner))
    cells = list(expand.cells(read.sweep(path)))  # a dry run needs no key
    with pytest.raises(InputError) as caught:
        under_load.check_access(cells)
    assert len(caught.value.lines) == 1
    assert said in caught.value.lines[0]


@pytest.mark.parametrize("place", ["runners.server", "workloads.until", "workloads.ramp", "workloads.input_tokens"])
def test_the_schema_refuses_a_misspelt_key_however_deep(place: str) -> None:
    data = yaml.safe_load(
        _config("server: {engine: llama.cpp}", _with("until: {requests: 5}, ramp: {to: 3, over_s: 1}"), STARTED)
    )
    data["workloads"]["input_tokens"] = {"shape": "normal", "mean": 9}
    check = jsonschema.Draft202012Validator(schema())
    assert check.is_valid(data)
    section, key = place.split(".")
    data[section][key]["misspelt"] = 1
    assert not check.is_valid(data)


def test_a_bill_says_what_precision_may_make_of_it(tmp_path: Path) -> None:
    """A cell goes on past its first replicates; who pays by the token must know how far."""
    path = tmp_path / "load.yaml"
    load = _with("until: {requests: 200}")
    path.write_text(_config(load=load, more="cost: {billed_as: openai/gpt-5-mini}\nreplicates: 2\n"))
    sweep = read.sweep(path)
    (line,) = under_load.bill_lines(list(expand.cells(sweep)), sweep)[-1:]
    most, all_of_them = (float(re.findall(one, line)[0]) for one in (r"at most \$([\d.]+)", r", \$([\d.]+) where"))
    assert "takes all 30" in line
    assert all_of_them == pytest.approx(15 * most, rel=0.01)


def test_tokens_that_nobody_counted_are_none() -> None:
    """A server without usage, and no tokenizer: not zero tokens in, and not a window without an answer."""
    figures: Any = SimpleNamespace(tokens=Tokens(requests=88, input=0, cached=0, output=352))
    row: Any = SimpleNamespace(figures=figures)
    assert [table._mean(kind)(row) for kind in ("input", "output")] == ["–", "4.00"]
    assert "have the server send usage" in priced._without_tokens(figures)


# --- commands


def test_requests_says_what_to_do_without_traces(tmp_path: Path) -> None:
    done = bench("requests", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_doctor_says_which_engines_can_be_started(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.doctor()
    said = capsys.readouterr().out.partition("runner openai")[2].partition("\nrunner ")[0]
    assert [line.split()[1] for line in said.splitlines() if line.startswith("  server ")] == [
        *("llama.cpp", "ollama", "transformers", "vllm", "sglang", "tensorrt-llm", "tgi")
    ]
    assert "fp32" not in said  # an endpoint runs what it runs


def test_the_mock_servers_help_says_what_each_switch_does() -> None:
    listed = mock_server._listed()
    assert "--no-done                  turns off: [DONE] at the end" in listed
    assert "of one token [default: ' tok']" in listed


def test_an_option_of_another_test_is_refused() -> None:
    with pytest.raises(InputError, match="--pairs: only with --observer; leave it out"):
        selftest.selftest(load=True, pairs=3)
