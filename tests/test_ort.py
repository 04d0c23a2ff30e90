"""The runner of ONNX Runtime GenAI: options, refusals and what files say; with a folder of its own format, the rest.

Such a folder is made with packages that this project does not install (docs/openvino.md has the command). The tests
that need one are run where BENCH_TEST_ORT_FOLDER names one made of the built-in model, with its config.json.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.errors import UnsupportedError, extra
from bench.runners.ort import Options, OrtRunner
from bench.schema import Checkpoint, Int8, KvCache, Model, ModelFacts, Plain, Precision
from bench.sensors import environment

AS_STORED = Checkpoint(name="checkpoint")
SIZES = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
PARAMETERS = 100 * 64 * 2 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 64


def write_folder(folder: Path, graph: bytes = b"graph", bytes_a_weight: int = 4) -> Path:
    """What stands in a folder, with a graph that no engine could load."""
    folder.mkdir()
    decoder = {"filename": "model.onnx", "head_size": 16, "num_hidden_layers": 2, "num_key_value_heads": 2}
    told = {"model": {"type": "llama", "decoder": decoder, "context_length": 256, "vocab_size": 100}}
    (folder / "genai_config.json").write_text(json.dumps(told))
    (folder / "config.json").write_text(json.dumps(SIZES))
    (folder / "model.onnx").write_bytes(graph)
    (folder / "model.onnx.data").write_bytes(bytes(PARAMETERS * bytes_a_weight))
    return folder


def runner(source: Path | str, precision: Precision = AS_STORED, **options: Any) -> OrtRunner:
    return OrtRunner(Model(source=str(source)), precision, Options.model_validate(options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"provider": "cuda", "threads": 2}, "threads is for the CPU"),
        ({"provider": "webgpu", "spinning": True}, "spinning is for the CPU"),
        ({"provider": "tpu"}, "Input should be"),
        ({"treads": 2}, "Extra inputs"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Options.model_validate(options)


def test_options_change_what_the_folder_says_and_no_more() -> None:
    def session(found: dict[str, Any]) -> Any:
        return found["model"]["decoder"]["session_options"]

    assert session(Options().overlay(4)) == {"intra_op_num_threads": 4}
    assert session(Options(threads=2, spinning=False).overlay(4)) == {
        "intra_op_num_threads": 2,
        "session.intra_op.allow_spinning": "0",
    }
    assert Options(provider="cuda").overlay(4) == {}


@pytest.mark.parametrize(
    ("graph", "bytes_a_weight", "precision", "said"),
    [
        (b"..MatMul.weight_Q4..", 1, Plain(name="fp32"), "stored as int4, not as fp32"),
        (b"..MatMul.weight_Q8..", 1, Int8(name="int8"), "stored as int8, not as int8: use precision: checkpoint"),
        (b"graph", 4, Plain(name="fp16"), "stored as fp32, not as fp16"),
        (b"graph", 2, Plain(name="fp32"), "stored as fp16, not as fp32"),
        (b"graph", 4, Checkpoint(name="checkpoint", kv_cache=KvCache(format="int8")), "leave kv_cache out"),
        (b"graph", 4, AS_STORED, "ONNX Runtime cannot load tiny|ONNX Runtime GenAI is not installed"),
    ],
)
def test_a_folder_is_loaded_as_it_was_built(
    graph: bytes, bytes_a_weight: int, precision: Precision, said: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "tiny", graph, bytes_a_weight)
    with pytest.raises(UnsupportedError, match=said) as caught:
        runner(folder, precision).load()
    assert "\n" not in str(caught.value)


def test_what_is_no_folder_of_its_own(tmp_path: Path) -> None:
    for source in (tmp_path, "builtin:smollm2-135m", "shape:pythia-70m"):
        with pytest.raises(UnsupportedError, match=r"models\.builder"):
            runner(source).load()
    for name, text in (("config.json", "{"), ("genai_config.json", '{"model": {"decoder": {}}}')):
        folder = write_folder(tmp_path / name.partition(".")[0])
        (folder / name).write_text(text)
        with pytest.raises(UnsupportedError, match=f"{name} cannot be read"):
            runner(folder).load()
    folder = write_folder(tmp_path / "bare")
    (folder / "model.onnx").unlink()
    with pytest.raises(UnsupportedError, match=r"model\.onnx cannot be read"):
        runner(folder).load()


def test_weights_may_be_in_the_graph_itself(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tiny", bytes(PARAMETERS * 4))
    (folder / "model.onnx.data").unlink()
    with pytest.raises(UnsupportedError, match="stored as fp32, not as fp16"):
        runner(folder, Plain(name="fp16")).load()


def test_what_the_doctor_says() -> None:
    here = environment.detect().model_copy(update={"packages": {"onnxruntime-genai": "0.18.0"}})
    found = OrtRunner.precisions(here)
    assert found["checkpoint"] is found["fp32"] is None
    assert found["bf16"] is not None  # two bytes a weight are taken for fp16
    assert found["q8_0"] is not None
    without = OrtRunner.precisions(here.model_copy(update={"packages": {}}))
    assert without["checkpoint"] == f"needs onnxruntime-genai: {extra('ort')}"
    assert OrtRunner.room_bytes(Options(provider="cuda"), here) is None
    assert OrtRunner.room_bytes(Options(), here) == (here.memory_limit_bytes or here.memory_total_bytes)


@pytest.fixture(scope="module")
def real() -> tuple[OrtRunner, ModelFacts]:
    named = os.environ.get("BENCH_TEST_ORT_FOLDER")
    if named is None:
        pytest.skip("BENCH_TEST_ORT_FOLDER names no folder (docs/openvino.md says how to make one)")
    made = runner(named, threads=2)
    return made, made.load()


@pytest.mark.slow
def test_a_real_folder_generates_exactly_what_is_asked_for(real: tuple[OrtRunner, ModelFacts]) -> None:
    made, facts = real
    prompts = [[(7 * row + 3 * place) % facts.vocab_size for place in range(16)] for row in range(4)]
    steps: list[int] = []
    together = [list(row) for row in made.generate(prompts, 9, steps.append)]
    assert steps == [4] * 9
    assert [len(row) for row in together] == [9] * 4
    assert [list(made.generate([row], 9, lambda _: None)[0]) for row in prompts] == together
    assert (facts.parameters, facts.vocab_size, facts.max_positions) == (134_515_008, 49152, 8192)
    assert facts.kv_bytes_per_token == 2 * 30 * 3 * 64 * 4
    assert facts.weights_bytes == sum(facts.placement.values()) > 80e6
    assert made.count_tokens(["The capital of France is"]) == [5]


@pytest.mark.slow
def test_a_real_folder_in_fp32_says_what_transformers_says(real: tuple[OrtRunner, ModelFacts]) -> None:
    from bench.runners.transformers import TransformersRunner

    made, facts = real
    if facts.dtype != "float32":
        pytest.skip(f"the folder holds {facts.dtype}, whose tokens are other ones")
    text = [504, 3575, 282, 4649, 314]  # The capital of France is
    other = TransformersRunner(
        Model(source="builtin:smollm2-135m"), Plain(name="fp32"), TransformersRunner.Options.model_validate({})
    )
    other.load()
    assert list(made.generate([text], 8, lambda _: None)[0]) == list(other.generate([text], 8, lambda _: None)[0])
