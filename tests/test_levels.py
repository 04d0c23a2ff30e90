"""Every level that is made while a model loads, on the first layers of the built-in model: what it loads as, that its
bytes are those of its formula, that it still is the same model, and what it refuses."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from bench.errors import UnsupportedError
from bench.metrics import footprint
from bench.models import builtin
from bench.runners.transformers import Options, TransformersRunner, levels
from bench.runners.transformers.levels import quanto, torchao
from bench.schema import PRECISIONS, FourBit, Hqq, Model, ModelFacts, Precision, Quanto, TorchAo, TorchAoInt4
from bench.sensors import environment

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = 1
PROMPTS = [[11 + 7 * row + 3 * place for place in range(24)] for row in range(2)]
CPU = torch.device("cpu")

BITS = {
    # Measured bits of a quantised weight, scales included; rows of SmolLM2 have 576 or 1536 weights.
    "bf16": 16.0,
    "int8": 8.05,
    "nf4": 4.5,
    "fp4": 4.5,
    "torchao-int8wo": 8.06,
    "torchao-int8dq": 8.06,
    "torchao-int4wo": 4.5,
    "torchao-fp8wo": 8.05,
    "hqq-int8": 8.5,
    "hqq-int4": 4.5,
    "hqq-int3": 3.7,
    "hqq-int2": 2.5,
    "quanto-int8": 8.02,
    "quanto-int4": 4.31,
    "quanto-int2": 2.31,
    "quanto-fp8": 8.02,
}
KL_NATS = {"2": 20.0, "3": 8.0, "4": 4.0, "8": 0.5}
"""Bits of a weight → KL divergence from bf16 that a broken layer exceeds and a quantised one does not."""


@dataclass
class Short:
    """The built-in model's first layers: real weights, in a fraction of the time."""

    folder: Path
    logits: torch.Tensor


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Short:
    folder = tmp_path_factory.mktemp("short")
    network = AutoModelForCausalLM.from_pretrained(builtin.folder("smollm2-135m"), dtype=torch.bfloat16)
    network.model.layers = network.model.layers[:LAYERS]
    network.config.num_hidden_layers = LAYERS
    network.config.layer_types = None
    network.save_pretrained(folder)
    runner, _ = load(folder, PRECISIONS["bf16"](name="bf16"))
    return Short(folder, _logits(runner))


def load(source: object, precision: Any, **options: Any) -> tuple[TransformersRunner, ModelFacts]:
    runner = TransformersRunner(Model(source=str(source)), precision, Options.model_validate(options))
    return runner, runner.load()


def _logits(runner: TransformersRunner) -> torch.Tensor:
    loaded = runner._loaded
    with torch.inference_mode() if loaded.inference_mode else torch.no_grad():
        found: torch.Tensor = loaded.network(torch.tensor(PROMPTS)).logits.float()
    return found.reshape(-1, found.shape[-1])


def _level(name: str) -> Any:
    return PRECISIONS[name](name=name)


def _shape(facts: ModelFacts) -> footprint.Shape:
    found = footprint.shape(facts.config)
    assert found is not None
    return found


@pytest.mark.parametrize("name", BITS)
def test_a_level_loads_runs_and_has_the_bytes_of_its_formula(short: Short, name: str) -> None:
    precision = _level(name)
    runner, facts = load(short.folder, precision)
    of = _shape(facts)
    assert facts.parameters == of.parameters
    assert facts.weights_bytes == pytest.approx(footprint.weights_bytes(of, precision), rel=0.01)
    assert facts.placement == {"cpu": facts.weights_bytes}
    assert facts.dtype == "bfloat16"
    assert footprint.level_bits(of, facts, precision) == pytest.approx(BITS[name], abs=0.01)
    steps: list[int] = []
    first = runner.generate(PROMPTS, 4, steps.append)
    assert [len(row) for row in first] == [4, 4]
    assert steps == [2, 2, 2, 2]
    assert runner.generate(PROMPTS, 4, lambda _: None) == first
    assert facts.kernel is not None
    _is_near(_logits(runner), short.logits, name)


def _is_near(logits: torch.Tensor, reference: torch.Tensor, name: str) -> None:
    """Not the reference itself, and not another model either."""
    assert torch.isfinite(logits).all()
    target, found = reference.log_softmax(-1), logits.log_softmax(-1)
    kl = (target.exp() * (target - found)).sum(-1).mean().item()
    if name == "bf16":
        assert kl == 0.0
    else:
        bits = "4" if name in ("nf4", "fp4") else next(digit for digit in reversed(name) if digit.isdigit())
        assert 1e-6 < kl < KL_NATS[bits]


@pytest.mark.parametrize(
    ("precision", "bits"),
    [
        (FourBit(name="nf4", double_quant=True), 4 + 8 / 64 + 32 / (64 * 256)),
        (TorchAoInt4(name="torchao-int4wo", group_size=32), 5.0),
        (Hqq(name="hqq-int4", group_size=192, axis=0), 4 + 32 / 192),
        (Hqq(name="hqq-int4", compute_dtype="fp32"), 5.0),
        (Quanto(name="quanto-int8", compute_dtype="fp32"), 8 + 32 / 620),
        (TorchAo(name="torchao-int8wo", compute_dtype="fp32"), 8.06),
    ],
    ids=lambda value: value if isinstance(value, float) else str(value),
)
def test_options_change_the_bits_as_the_formula_says(short: Short, precision: Any, bits: float) -> None:
    runner, facts = load(short.folder, precision)
    of = _shape(facts)
    assert facts.weights_bytes == pytest.approx(footprint.weights_bytes(of, precision), rel=0.01)
    assert footprint.level_bits(of, facts, precision) == pytest.approx(bits, abs=0.02)
    assert len(runner.generate(PROMPTS, 2, lambda _: None)[0]) == 2


@pytest.mark.parametrize("name", ["int8", "torchao-int8dq", "torchao-int4wo", "hqq-int4", "quanto-int4"])
def test_only_the_layers_matrices_are_quantised(short: Short, name: str) -> None:
    """Embedding and head stay as they were, tied or not."""
    runner, _ = load(short.folder, _level(name))
    network = runner._loaded.network
    assert network.lm_head.weight is network.model.embed_tokens.weight
    assert type(network.lm_head.weight.data) is torch.Tensor
    assert network.lm_head.weight.dtype == torch.bfloat16
    assert not levels.plain(network)


@pytest.mark.parametrize("name", ["int8", "nf4", "torchao-int4wo", "torchao-fp8wo", "hqq-int3", "quanto-int2"])
def test_random_weights_are_quantised_too(tmp_path: Path, name: str) -> None:
    config = {
        "model_type": "llama", "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    precision = _level(name)
    runner, facts = load(f"shape:{tmp_path / 'config.json'}", precision)
    assert facts.random_weights
    assert facts.parameters == _shape(facts).parameters
    assert facts.weights_bytes == pytest.approx(footprint.weights_bytes(_shape(facts), precision), rel=0.01)
    assert len(runner.generate([[1, 2, 3]], 3, lambda _: None)[0]) == 3


@pytest.mark.parametrize(
    ("precision", "reason", "remedy"),
    [
        (TorchAoInt4(name="torchao-int4wo", group_size=128), "do not divide the 576 inputs of", "32 or 64"),
        (TorchAoInt4(name="torchao-int4wo", group_size=256), "no groups of 256", "32, 64 or 128"),
        (Hqq(name="hqq-int4", group_size=128), "do not divide the 576 inputs of", "32 or 64"),
        (Hqq(name="hqq-int4", group_size=128, axis=0), "do not divide the 576 outputs of", "32 or 64"),
        (Hqq(name="hqq-int4", group_size=36), "takes groups in eights", "group_size"),
        (TorchAo(name="torchao-fp8dq"), "no fp8 product on this CPU", "torchao-fp8wo"),
        (Quanto(name="quanto-int4"), "torch.compile cannot", "compile: false"),
    ],
    ids=str,
)
def test_what_cannot_be_made_here_says_why(short: Short, precision: Any, reason: str, remedy: str) -> None:
    with pytest.raises(UnsupportedError, match=reason) as refused:
        load(short.folder, precision, device="cpu", compile="torch.compile" in reason)
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("nf4", "bitsandbytes", "bitsandbytes"),
        ("torchao-int8wo", "torchao", "torchao"),
        ("hqq-int4", "hqq", "hqq"),
        ("quanto-int4", "optimum.quanto", "optimum-quanto"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    short: Short, monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(levels, "find_spec", lambda one: None if one == module else real(one))
    with pytest.raises(UnsupportedError, match=f"{name} needs {package}, which is not installed") as refused:
        load(short.folder, _level(name))
    assert f"pip install {package}" in refused.value.remedy


def test_a_librarys_own_error_is_the_reason(short: Short, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("no such   packing")

    monkeypatch.setattr(torchao, "settings", broken)
    with pytest.raises(UnsupportedError, match="torchao cannot make torchao-int8wo here: 'no such packing'"):
        load(short.folder, _level("torchao-int8wo"))


def test_the_doctor_knows_every_level_without_importing_a_library() -> None:
    machine = environment.detect()
    packages = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "accelerate": "1.15.0", "torchao": "0.18.0"}
    found = TransformersRunner.precisions(machine.model_copy(update={"packages": packages, "accelerators": ()}))
    assert set(found) == set(PRECISIONS)
    assert "BENCH_EXTRAS=hqq" in (found["hqq-int4"] or "")
    assert "pip install optimum-quanto" in (found["quanto-int8"] or "")
    assert "GPU" in (found["torchao-fp8dq"] or "")
    assert found["torchao-int4wo"] is None


@pytest.fixture
def build_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "lock").touch()
    return folder


def test_a_dead_builds_lock_goes_away(build_folder: Path) -> None:
    """What a killed build of optimum-quanto's extension leaves would be waited for without end."""
    with quanto._alone(build_folder):
        assert not (build_folder / "lock").exists()


def test_a_living_builds_lock_stays(build_folder: Path) -> None:
    """A compiler works in the folder that it writes to."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=build_folder) as builder:
        assert os.path.realpath(f"/proc/{builder.pid}/cwd") == str(build_folder) or sys.platform != "linux"
        with quanto._alone(build_folder):
            assert (build_folder / "lock").exists()
        builder.communicate(b"\n")


@pytest.mark.slow  # reads the GGUF file twice and fits the whole model
@pytest.mark.parametrize("name", ["torchao-int4wo", "hqq-int4", "quanto-int4"])
def test_a_gguf_file_is_quantised_like_its_conversion(name: str) -> None:
    precision: Precision = _level(name)
    from_file, file_facts = load(builtin.gguf_file("smollm2-135m"), precision)
    from_folder, folder_facts = load("builtin:smollm2-135m", precision)
    assert file_facts.weights_bytes == folder_facts.weights_bytes
    assert f"then quantised to {name}" in file_facts.notes
    assert from_file.generate(PROMPTS, 4, lambda _: None) == from_folder.generate(PROMPTS, 4, lambda _: None)
