"""Every runner keeps the contract of `bench.runners.Runner`; the one in docs/adding-a-runner.md too."""

import importlib
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bench import runners
from bench.errors import UnsupportedError
from bench.runners import Runner
from bench.schema import Checkpoint, Model, ModelFacts, Plain, Precision, Served
from bench.sensors import environment
from tests.commands import ROOT, bench, lines

# What each runner is tried on: a real checkpoint where the engine loads one.
MODELS = {
    **dict.fromkeys(("transformers", "llama.cpp", "openvino"), "builtin:smollm2-135m"),
    **dict.fromkeys(("fake", "bigram"), "shape:pythia-70m"),
}
PRECISION: dict[str, Precision] = {
    "openvino": Checkpoint(name="checkpoint"),
    "llama.cpp": Checkpoint(name="checkpoint"),
}
OPTIONS = {"fake": {"step_s": 0.002}, "openvino": {"execution_mode": "accuracy"}}
# Runners whose engine has an environment or a model of its own: tests/test_vllm.py and test_ort.py run those.
ELSEWHERE = ("vllm", "ort")
# Runners whose engine is behind HTTP: they are under no batch contract, and under one of their own.
ENDPOINTS = {"openai": {"base_url": "http://127.0.0.1:8000/v1"}}
ROWS, PROMPT, NEW = 2, 16, 12


@pytest.fixture(scope="module")
def bigram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The documented runner, installed as a package of its own on the path."""
    page = (ROOT / "docs" / "adding-a-runner.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(code) == len(names) == 1
    site = tmp_path_factory.mktemp("site")
    (site / "bigram_runner.py").write_text(code[0])
    info = site / "bigram_runner-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bigram-runner\nVersion: 1.0\n")
    name, target = re.findall(r'(\w+) = "(.+)"', names[0])[0]
    (info / "entry_points.txt").write_text(f"[bench.runners]\n{name} = {target}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        yield site


@pytest.fixture(scope="module", params=sorted(MODELS))
def loaded(request: pytest.FixtureRequest, bigram: Path) -> tuple[Runner, ModelFacts]:
    """A runner with its model loaded."""
    kind = runners.find(request.param)
    options = kind.Options.model_validate(OPTIONS.get(request.param, {}))
    precision = PRECISION.get(request.param, Plain(name="fp32"))
    runner = kind(Model(source=MODELS[request.param]), precision, options)
    return runner, runner.load()


def prompts(facts: ModelFacts) -> list[list[int]]:
    return [[(7 * row + place) % facts.vocab_size for place in range(PROMPT)] for row in range(ROWS)]


def test_the_list_of_models_covers_every_runner(bigram: Path) -> None:
    assert set(runners.names()) == {*MODELS, *ENDPOINTS, *ELSEWHERE}
    assert {name for name in runners.names() if runners.serves(runners.find(name))} == set(ENDPOINTS)


@pytest.mark.alone
def test_exact_tokens_and_complete_steps(loaded: tuple[Runner, ModelFacts]) -> None:
    runner, facts = loaded
    for new in (NEW, 1):
        steps: list[int] = []
        tokens = runner.generate(prompts(facts), new, steps.append)
        assert [len(row) for row in tokens] == [new] * ROWS
        assert steps == [ROWS] * new
        assert all(0 <= token < facts.vocab_size for row in tokens for token in row)


@pytest.mark.alone
def test_the_same_prompt_gives_the_same_tokens(loaded: tuple[Runner, ModelFacts]) -> None:
    """Greedy, and nothing kept from one generation to the next."""
    runner, facts = loaded
    first = [list(row) for row in runner.generate(prompts(facts), NEW, lambda _: None)]
    runner.generate([[1] * PROMPT] * ROWS, NEW, lambda _: None)
    assert [list(row) for row in runner.generate(prompts(facts), NEW, lambda _: None)] == first


@pytest.mark.alone
def test_no_token_is_reported_a_step_late(loaded: tuple[Runner, ModelFacts]) -> None:
    """A stream that runs a step behind reports its last two tokens at once."""
    runner, facts = loaded
    if facts.device == "cpu" and facts.parameters < 1_000_000:
        return  # a table look-up takes no time that could be compared
    shortest = []
    for _ in range(3):
        stamps: list[int] = []
        runner.generate(prompts(facts), NEW, lambda _, stamps=stamps: stamps.append(time.perf_counter_ns()))  # type: ignore[misc]
        gaps = [after - before for before, after in itertools.pairwise(stamps)]
        shortest.append(gaps[-1] / sorted(gaps)[len(gaps) // 2])
    assert max(shortest) > 0.3


@pytest.mark.alone
def test_facts_are_complete(loaded: tuple[Runner, ModelFacts]) -> None:
    _, facts = loaded
    assert facts.parameters > 0
    assert facts.weights_bytes > 0
    assert sum(facts.placement.values()) == facts.weights_bytes


@pytest.mark.parametrize("name", sorted([*MODELS, *ENDPOINTS, *ELSEWHERE]))
def test_a_misspelt_option_is_refused(name: str, bigram: Path) -> None:
    options: type[BaseModel] = runners.find(name).Options
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        options.model_validate({"treads": 2}, extra="forbid")


@pytest.mark.parametrize("name", sorted([*MODELS, *ELSEWHERE]))
def test_doctor_can_ask_every_runner(name: str, bigram: Path) -> None:
    kind = runners.find(name)
    found = kind.precisions(environment.detect())
    assert "fp32" in found
    room = kind.room_bytes(kind.Options(), environment.detect(tuple(kind.PACKAGES)))
    assert room is None if name == "fake" else room is None or room > 1_000_000


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_an_endpoint_says_where_requests_go_and_runs_no_batch(name: str) -> None:
    kind = runners.find(name)
    options = kind.Options.model_validate(ENDPOINTS[name], extra="forbid", strict=True)
    assert kind.Options.model_validate(options.model_dump(mode="json")) == options  # as the child reads it
    assert not kind.ENGINE
    assert kind.room_bytes(options, environment.detect(tuple(kind.PACKAGES))) is None
    assert kind.precisions(environment.detect())["served"] is None
    runner = kind(Model(source="served"), Served(name="served"), options)
    assert isinstance(runner, runners.Serves)
    assert runner.endpoint() == options
    with pytest.raises(UnsupportedError, match="load"):
        runner.load()
    with pytest.raises(UnsupportedError, match="load"):
        runner.generate([[1] * PROMPT] * ROWS, NEW, lambda _: None)


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_an_endpoint_is_light_to_import(name: str) -> None:
    code = f"import sys; from bench import runners; runners.find({name!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"torch", "transformers", "httpx", "httptools"} & set(done.stdout.split())


def test_the_documented_runner_runs_from_a_config(bigram: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "adding-a-runner.md").read_text()
    config = tmp_path / "bigram.yaml"
    config.write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0] + "sampling: {max_replicates: 1}\n")
    path = os.pathsep.join([str(bigram), str(ROOT)])
    done = bench("run", config, "--out", tmp_path / "out", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert [one["status"] for one in lines(tmp_path / "out")] == ["ok"]
    config.write_text(config.read_text().replace("vocabulary", "vocabulry"))
    done = bench("run", config, "--out", tmp_path / "out", PYTHONPATH=path)
    assert done.returncode == 2
    assert "unknown key; did you mean 'vocabulary'?" in done.stderr
