"""The runner of OpenVINO GenAI on tiny files of its own making: what it reads, refuses and reports, and its stamps.

The built-in model takes it several seconds to read: what needs that is slow.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from pydantic import ValidationError

from bench.errors import UnsupportedError, extra
from bench.runners import Prepares, Schedules
from bench.runners.openvino import OpenVinoRunner, facts
from bench.runners.openvino.options import Options
from bench.schema import Checkpoint, FourBit, Int8, KvCache, Model, Packed, Plain, Precision
from bench.schema.precision import Gguf
from bench.sensors import environment

LAYERS, HIDDEN, HEADS, SHARED, INNER, VOCAB = 2, 256, 4, 2, 512, 288
AS_STORED = Checkpoint(name="checkpoint")
PROMPTS = [[(7 * row + 3 * place) % VOCAB for place in range(40)] for row in range(4)]


def write_tiny(path: Path, architecture: str = "llama", tokenizer: bool = True, matrices: Any = np.float16) -> Path:
    """A model of 1.3 M random weights with a vocabulary of bytes."""
    made = gguf.GGUFWriter(str(path), architecture)
    made.add_block_count(LAYERS)
    made.add_context_length(512)
    made.add_embedding_length(HIDDEN)
    made.add_feed_forward_length(INNER)
    made.add_head_count(HEADS)
    made.add_head_count_kv(SHARED)
    made.add_layer_norm_rms_eps(1e-5)
    made.add_rope_freq_base(10000.0)
    made.add_file_type(1)
    if tokenizer:
        letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
        words = ["<s>", "<start>", "<end>", *letters, "he"]
        words += [f"<extra{number}>" for number in range(VOCAB - len(words))]
        made.add_tokenizer_model("gpt2")
        made.add_tokenizer_pre("smollm")
        made.add_token_list(words)
        made.add_token_types([3, 3, 3, *[1] * 257, *[3] * (VOCAB - 260)])
        made.add_token_merges(["h e"])
        made.add_bos_token_id(1)
        made.add_eos_token_id(2)
    draw = np.random.default_rng(0)
    sizes = {"token_embd": (VOCAB, HIDDEN), "output_norm": (HIDDEN,)}
    for layer in range(LAYERS):
        sizes |= {f"blk.{layer}.{name}": (HIDDEN,) for name in ("attn_norm", "ffn_norm")}
        sizes |= {f"blk.{layer}.{name}": (HIDDEN, HIDDEN) for name in ("attn_q", "attn_output")}
        sizes |= {f"blk.{layer}.{name}": (HIDDEN * SHARED // HEADS, HIDDEN) for name in ("attn_k", "attn_v")}
        sizes |= {f"blk.{layer}.{name}": (INNER, HIDDEN) for name in ("ffn_gate", "ffn_up")}
        sizes[f"blk.{layer}.ffn_down"] = (HIDDEN, INNER)
    for name, size in sizes.items():
        values = np.ones(size, np.float32) if len(size) == 1 else (draw.standard_normal(size) * 0.05).astype(matrices)
        made.add_tensor(f"{name}.weight", values)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("openvino") / "tiny-f16.gguf")


@pytest.fixture(scope="module")
def folder(tiny: Path) -> Path:
    """The same model in OpenVINO's own format, as OpenVINO saves it."""
    import openvino_genai  # type: ignore[import-untyped]

    target = tiny.parent / "ir"
    target.mkdir()
    openvino_genai.LLMPipeline(str(shutil.copy(tiny, target)), "CPU", enable_save_ov_model=True)
    sizes = {
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": SHARED,
        "vocab_size": VOCAB,
        "tie_word_embeddings": True,
    }
    (target / "config.json").write_text(json.dumps(sizes))
    return target


def runner(source: Path | str, precision: Precision = AS_STORED, **options: Any) -> OpenVinoRunner:
    return OpenVinoRunner(Model(source=str(source)), precision, Options.model_validate(options))


@pytest.fixture(scope="module")
def exact(tiny: Path) -> OpenVinoRunner:
    """Computed in fp32 with plain keys and values, so that rows do not depend on their batch."""
    made = runner(tiny, execution_mode="accuracy")
    made.load()
    return made


def told(generate: Callable[..., Any], prompts: Sequence[Sequence[int]], new: int) -> tuple[list[list[int]], list[int]]:
    steps: list[int] = []
    return [list(row) for row in generate(prompts, new, steps.append)], steps


def test_each_step_is_told_when_every_row_has_its_token(exact: OpenVinoRunner) -> None:
    for new in (9, 1):
        rows, steps = told(exact.generate, PROMPTS, new)
        assert [len(row) for row in rows] == [new] * 4
        assert steps == [4] * new


def test_a_row_has_the_same_tokens_alone_and_in_a_batch(exact: OpenVinoRunner) -> None:
    together, _ = told(exact.generate, PROMPTS, 12)
    alone = [told(exact.generate, [row], 12)[0][0] for row in PROMPTS]
    assert together == alone
    assert len({tuple(row) for row in together}) > 1


def test_a_callback_that_fails_leaves_nothing_behind(exact: OpenVinoRunner) -> None:
    before, _ = told(exact.generate, PROMPTS, 5)

    def fail(_: int) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        exact.generate(PROMPTS, 5, fail)
    assert told(exact.generate, PROMPTS, 5)[0] == before


def test_continuous_scheduling_mixes_prompts_and_tokens(tiny: Path) -> None:
    made = runner(tiny, execution_mode="accuracy", max_batched_tokens=64)
    made.load()
    static, _ = told(made.generate, PROMPTS, 8)
    rows, steps = told(made.generate_continuously, PROMPTS, 8)
    assert rows == static
    assert sum(steps) == 4 * 8
    assert len(steps) > 8
    assert max(steps) <= 4


def test_facts_are_those_of_the_file_and_the_device(tiny: Path) -> None:
    made = runner(tiny)
    found = made.load()
    matrices = VOCAB * HIDDEN + LAYERS * (3 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    norms = (2 * LAYERS + 1) * HIDDEN
    assert found.parameters == matrices + norms
    assert found.weights_bytes == found.placement["cpu"] == 2 * matrices + 4 * norms
    assert (found.vocab_size, found.max_positions, found.device) == (VOCAB, 512, "cpu")
    assert found.dtype == "float16"
    assert found.threads is not None
    assert 1 <= found.threads <= environment.usable_cpus()
    assert found.kernel is not None
    assert found.kernel.startswith("products in ")
    assert found.products in ("fp32", "bf16", "fp16")
    assert set(found.files) == {tiny.name}
    assert found.weights_id is not None
    assert made.count_tokens(["he", "hello there"]) == [1, 9]
    assert isinstance(made, Prepares)
    assert isinstance(made, Schedules)


@pytest.mark.parametrize("options", [{}, {"kv_cache": "u8"}, {"kv_cache": "bf16"}, {"execution_mode": "accuracy"}])
def test_bytes_of_a_cached_token_are_those_that_the_pipeline_holds(tiny: Path, options: dict[str, Any]) -> None:
    made = runner(tiny, **options)
    found = made.load()
    told(made.generate, PROMPTS, 2)
    blocks = 4 * 2  # 41 tokens a row
    held = made._pipeline.get_metrics().kv_cache_size_in_bytes
    assert found.kv_bytes_per_token == held / blocks / facts.BLOCK_TOKENS


def test_a_folder_in_its_own_format_is_read_as_it_is(folder: Path, exact: OpenVinoRunner) -> None:
    made = runner(folder, execution_mode="accuracy")
    assert not made.prepare()
    found = made.load()
    assert told(made.generate, PROMPTS, 8)[0] == told(exact.generate, PROMPTS, 8)[0]
    assert found.weights_bytes == (folder / "openvino_model.bin").stat().st_size
    assert found.parameters == pytest.approx(VOCAB * HIDDEN + LAYERS * 3 * HIDDEN * (HIDDEN + INNER), rel=0.01)
    assert found.dtype == "float16"
    assert runner(folder, Plain(name="fp16")).load().dtype == "float16"
    with pytest.raises(UnsupportedError, match="stored as fp16, not as fp32"):
        runner(folder, Plain(name="fp32")).load()


def test_a_folder_that_lacks_a_part_says_which(folder: Path, tmp_path: Path) -> None:
    for name in ("openvino_model.bin", "config.json"):
        other = tmp_path / name.partition(".")[0]
        shutil.copytree(folder, other)
        (other / name).unlink()
        with pytest.raises(UnsupportedError, match=name):
            runner(other).load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "TPU"}, "must be CPU, GPU, GPU.N"),
        ({"device": "GPU", "threads": 2}, "threads is for the CPU"),
        ({"streams": 2, "performance_hint": "latency"}, "leave it or streams out"),
        ({"execution_mode": "accuracy", "inference_precision": "bf16"}, "computes in fp32"),
        ({"execution_mode": "accuracy", "dynamic_quantization_group": 32}, "does not quantise activations"),
        ({"kv_cache": "u4"}, "Input should be 'u8'"),
        ({"treads": 2}, "Extra inputs"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Options.model_validate(options)


def test_options_reach_the_engine_in_its_own_words() -> None:
    options = Options(
        threads=3, inference_precision="fp16", kv_cache="u8", performance_hint="latency", cpu_pinning=False
    )
    assert options.properties() == {
        "INFERENCE_NUM_THREADS": 3,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f16",
        "KV_CACHE_PRECISION": "u8",
        "ENABLE_CPU_PINNING": False,
    }
    assert Options().properties() == {}


@pytest.mark.parametrize(
    ("precision", "options", "said"),
    [
        (AS_STORED, {"device": "NPU"}, "one row at a time"),
        (AS_STORED, {"device": "AUTO:GPU.7,CPU"}, r"no GPU\.7 that OpenVINO could use"),
        (Plain(name="bf16"), {}, "takes no BF16 matrices"),
        (Plain(name="fp32"), {}, "takes no F32 matrices"),
        (Int8(name="int8"), {}, "makes no int8"),
        (FourBit(name="nf4"), {}, "makes no nf4"),
        (Packed(name="gguf", kv_cache=KvCache(format="int4")), {}, "u4 corrupted"),
        (Packed(name="gguf", kv_cache=KvCache(format="int8")), {"kv_cache": "bf16"}, "contradict each other"),
    ],
)
def test_what_it_cannot_do_is_one_line(precision: Precision, options: dict[str, Any], said: str, tiny: Path) -> None:
    with pytest.raises(UnsupportedError, match=said) as caught:
        runner(tiny, precision, **options).load()
    assert "\n" not in str(caught.value)


def test_a_file_that_would_end_the_process_is_refused_beforehand(tiny: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:-200_000])
    for path, said in (
        (cut, "cut"),
        (write_tiny(tmp_path / "mamba.gguf", "mamba"), "architecture 'mamba'"),
        (write_tiny(tmp_path / "f32.gguf", matrices=np.float32), "tensors of type F32"),
        (write_tiny(tmp_path / "mute.gguf", tokenizer=False), "no tokenizer"),
    ):
        with pytest.raises(UnsupportedError, match=said):
            runner(path).load()


def test_what_the_doctor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    here = environment.detect(tuple(OpenVinoRunner.PACKAGES))
    found = OpenVinoRunner.precisions(here)
    assert found["q8_0"] is found["checkpoint"] is found["fp16"] is None
    assert found["int8"] is not None
    without = OpenVinoRunner.precisions(here.model_copy(update={"packages": {}}))
    assert without["q8_0"] == f"needs openvino-genai: {extra('openvino')}"
    assert OpenVinoRunner.room_bytes(Options(), here) == (here.memory_limit_bytes or here.memory_total_bytes)
    assert OpenVinoRunner.room_bytes(Options(device="GPU"), here) is None


@pytest.mark.slow
@pytest.mark.parametrize("precision", [AS_STORED, Gguf(name="q8_0")])
def test_the_built_in_model_says_what_llama_cpp_says(precision: Precision) -> None:
    """Greedy, after one text: two engines on one file; later tokens may part where two are nearly equal."""
    from bench.runners.llama_cpp import LlamaCppRunner
    from bench.runners.llama_cpp.options import Options as LlamaOptions

    model = Model(source="builtin:smollm2-135m")
    text = [504, 3575, 282, 4649, 314]  # The capital of France is
    other = LlamaCppRunner(model, precision, LlamaOptions())
    other.prepare()
    other.load()
    made = OpenVinoRunner(model, precision, Options(execution_mode="accuracy"))
    made.prepare()
    made.load()
    assert told(made.generate, [text], 4)[0] == told(other.generate, [text], 4)[0]
