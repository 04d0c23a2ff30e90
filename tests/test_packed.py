"""Checkpoints that are already quantised, under the names of their formats: what loads, and what each refuses."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import AwqConfig, GPTQConfig

from bench.errors import UnsupportedError
from bench.models import builtin
from bench.runners.transformers import packed, stored
from bench.schema import Packed, Plain
from bench.schema.precision import STORED
from tests.gguf_samples import written
from tests.test_transformers import load, quantised, tiny, tokens

__all__ = ["tiny"]  # a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("gptq", "awq", "compressed-tensors", "gguf")


def named(name: Any, backend: str = "auto") -> Packed:
    return Packed(name=name, backend=backend)


def said_to_be(method: str, source: Path, target: Path) -> Path:
    """A checkpoint whose config names a format; nobody gets as far as its weights."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 128}
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_compressed_tensors_loads_under_its_own_name(tiny: Path, tmp_path: Path) -> None:
    folder = quantised(tiny, tmp_path / "packed")
    runner, facts = load(folder, named("compressed-tensors"))
    assert len(tokens(runner)[0]) == 8
    assert any(note.startswith("packed weights are unpacked") for note in facts.notes)
    with pytest.raises(UnsupportedError, match="quantised with compressed-tensors, not with gptq") as refused:
        load(folder, named("gptq"))
    assert refused.value.remedy == "use precision: compressed-tensors"


@pytest.mark.parametrize("precision", METHODS)
@pytest.mark.parametrize("stored", METHODS)
def test_a_name_refuses_every_other_format(precision: str, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "installed", lambda _: True)
    config = None if stored == "gguf" else {"quant_method": stored, "bits": 4}
    if precision == stored:
        packed.check(named(precision), config, stored == "gguf")
        return
    with pytest.raises(UnsupportedError, match=f"quantised with {stored}, not with {precision}") as refused:
        packed.check(named(precision), config, stored == "gguf")
    assert refused.value.remedy == f"use precision: {stored}"


@pytest.mark.parametrize("precision", METHODS)
def test_a_dense_checkpoint_and_an_unknown_format(precision: str) -> None:
    with pytest.raises(UnsupportedError, match="not quantised"):
        packed.check(named(precision), None, False)
    with pytest.raises(UnsupportedError, match="quantised with quark") as refused:
        packed.check(named(precision), {"quant_method": "quark"}, False)
    assert refused.value.remedy == "use precision: checkpoint"


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_missing_library_is_named_before_anything_is_loaded(
    method: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "installed", lambda _: False)
    folder = said_to_be(method, tiny, tmp_path / method)
    with pytest.raises(UnsupportedError, match=f"transformers loads {method} checkpoints with gptqmodel") as refused:
        load(folder, named(method))
    assert refused.value.remedy == ("pip install gptqmodel optimum" if method == "gptq" else "pip install gptqmodel")
    with pytest.raises(UnsupportedError, match=f"already quantised \\({method}\\)"):
        load(folder, Plain(name="bf16"))


def test_packed_gguf_without_a_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "installed", lambda _: False)
    with pytest.raises(UnsupportedError, match="no kernel here that computes on packed GGUF blocks") as refused:
        packed.check(named("gguf"), None, True)
    assert "use bf16, which unpacks the file" in refused.value.remedy


def test_a_gguf_file_of_an_architecture_that_transformers_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(written(tmp_path / "old.gguf").read_bytes().replace(b"llama", b"lamax"))
    with pytest.raises(UnsupportedError, match=r"architecture lamax is not supported.*: use the runner llama\.cpp"):
        load(path, Plain(name="bf16"))


def test_a_backend_goes_to_transformers() -> None:
    config = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    assert packed.settings(named("gptq"), config) == {}
    gptq = packed.settings(named("gptq", "gptq_torch"), config)["quantization_config"]
    assert isinstance(gptq, GPTQConfig)
    assert gptq.get_loading_attributes()["backend"] == "gptq_torch"
    awq = packed.settings(named("awq", "gemm"), config)["quantization_config"]
    assert isinstance(awq, AwqConfig)
    assert awq.get_loading_attributes()["backend"] == "gemm"
    with pytest.raises(UnsupportedError, match="Must be one of") as refused:
        packed.settings(named("awq", "no_such_kernel"), config)
    assert "leave backend out" in refused.value.remedy
    with pytest.raises(UnsupportedError, match="no choice of kernels"):
        packed.check(named("compressed-tensors", "marlin"), {"quant_method": "compressed-tensors"}, False)


@pytest.mark.parametrize("error", [RuntimeError("GPU is required"), ValueError("no kernel"), KeyError("x")], ids=repr)
def test_what_a_library_raises_is_a_reason(error: Exception) -> None:
    found = packed.typed(named("gptq"), error)
    assert found is not None
    assert str(error.args[0]) in found.reason
    assert packed.typed(Plain(name="bf16"), error) is None
    assert packed.typed(named("gptq"), RuntimeError("CUDA out of memory")) is None


def test_all_stored_names_are_looked_after() -> None:
    assert set(STORED) == {"checkpoint", *stored.NEEDS}


MAKE = """
import sys
import gptqmodel
from gptqmodel import GPTQModel, QuantizeConfig
from gptqmodel.quantization.config import AWQConfig
from transformers import AutoTokenizer
source, target, method = sys.argv[1:]
gptqmodel._default_cpu_workers = lambda: 2  # 7.7.0 asks two loaders of a pool that has one on two cores
kind = QuantizeConfig if method == "gptq" else AWQConfig
model = GPTQModel.load(source, kind(bits=4, group_size=64, device="cpu", offload_to_disk=False))
model.quantize([" ".join(str(i * j) for j in range(200)) for i in range(8)], batch_size=1)
model.save(target)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what gptqmodel, optimum and torchao use is deprecated
@pytest.mark.skipif(
    find_spec("gptqmodel") is None, reason="gptqmodel is not installed: it builds from source and is no extra of ours"
)
@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_checkpoint_that_gptqmodel_made_is_loaded_packed(method: str, tmp_path: Path) -> None:
    """A random Llama of 14 M parameters, packed by the library itself, through our runner."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    source, target = tmp_path / "dense", tmp_path / method
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(source)
    AutoTokenizer.from_pretrained(builtin.folder("smollm2-135m")).save_pretrained(source)
    words = [sys.executable, "-c", MAKE, str(source), str(target), method]
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=900)  # it writes logs there
    assert made.returncode == 0, made.stderr[-2000:]
    runner, facts = load(target, named(method))
    assert len(tokens(runner)[0]) == 8
    linear, table = 2 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512), 49152 * 256
    assert facts.parameters == linear + table + 5 * 256
    bits = 8 * (facts.weights_bytes - 2 * (table + 5 * 256)) / linear
    assert 4.25 < bits < 5.5  # 4 and scales and zero points of 64, in the type that the kernel keeps them
    assert any("gptqmodel" in note for note in facts.notes)
    with pytest.raises(UnsupportedError):
        load(target, named(method, "no_such_kernel"))
