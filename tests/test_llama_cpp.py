"""llama.cpp in process: its tokens are true, its counts exact, and its facts those of the file."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import UnsupportedError
from bench.gguf_files import header
from bench.models import builtin
from bench.runners import llama_cpp
from bench.runners.llama_cpp import engine, facts, library
from bench.schema import Checkpoint, Gguf, KvCache, ModelFacts, Plain
from tests.commands import bench, lines
from tests.llama import SIZES, generated, needs_wheel, prompts, runner_of, tiny_file

pytestmark = needs_wheel

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_file(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> llama_cpp.LlamaCppRunner:
    runner = runner_of(tiny)
    runner.load()
    return runner


@pytest.fixture(scope="module")
def real() -> tuple[llama_cpp.LlamaCppRunner, ModelFacts]:
    """The built-in model's own file."""
    runner = runner_of("builtin:smollm2-135m")
    return runner, runner.load()


def test_keys_and_values_of_layers_that_differ_are_not_guessed(tiny: Path) -> None:
    """A list with a number for each layer is none, and not that of all heads."""
    found = header.read(tiny)

    def kept(heads: object) -> int | None:
        keys = {**found.metadata, "llama.attention.head_count_kv": heads}
        return facts.kv_bytes_per_token(replace(found, metadata=keys), "f16")

    assert kept((2, 2)) == kept(2)
    assert kept((1, 2)) is None
    without = {key: value for key, value in found.metadata.items() if not key.endswith("head_count_kv")}
    assert facts.kv_bytes_per_token(replace(found, metadata=without), "f16") == kept(4)


def test_more_rows_than_a_step_takes_are_refused(tiny: Path) -> None:
    runner = runner_of(tiny, batch=32, ubatch=32)
    runner.load()
    with pytest.raises(UnsupportedError, match=r"33 rows .*batch: 32"):
        runner.generate([[1, 2]] * 33, 2, lambda _: None)


def weights(path: Path) -> dict[str, Array]:
    """Every tensor of an F32 file, the last dimension the fastest."""
    return {
        one.name: np.fromfile(path, np.float32, one.values, offset=one.offset).reshape(one.shape[::-1])
        for one in header.read(path).tensors
    }


def llama(tensors: dict[str, Array], tokens: Sequence[int]) -> Array:
    """Logits of every position: the architecture written down once more, in numpy."""
    heads, kept, size = 4, 2, 16
    place = np.arange(len(tokens))[:, None]
    angle = place * 10000.0 ** (-np.arange(0, size, 2) / size)

    def norm(x: Array, name: str) -> Array:
        found: Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * tensors[name]
        return found

    def turned(x: Array) -> Array:
        even, odd, cos, sin = x[..., ::2], x[..., 1::2], np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape).astype(np.float32)

    x = tensors["token_embd.weight"][list(tokens)]
    for layer in range(2):
        own = {name.removeprefix(f"blk.{layer}."): one for name, one in tensors.items()}
        h = norm(x, f"blk.{layer}.attn_norm.weight")
        q = turned((h @ own["attn_q.weight"].T).reshape(-1, heads, size))
        k = turned((h @ own["attn_k.weight"].T).reshape(-1, kept, size)).repeat(heads // kept, 1)
        v = (h @ own["attn_v.weight"].T).reshape(-1, kept, size).repeat(heads // kept, 1)
        score = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(size) + np.where(place < place.T, -np.inf, 0)
        share = np.exp(score - score.max(-1, keepdims=True))
        seen = np.einsum("hij,jhd->ihd", share / share.sum(-1, keepdims=True), v).reshape(len(tokens), -1)
        x = x + seen @ own["attn_output.weight"].T
        h = norm(x, f"blk.{layer}.ffn_norm.weight")
        gate = h @ own["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ own["ffn_up.weight"].T)) @ own["ffn_down.weight"].T
    found: Array = norm(x, "output_norm.weight") @ tensors["output.weight"].T
    return found


def test_tokens_and_logits_are_those_of_the_architecture(loaded: llama_cpp.LlamaCppRunner, tiny: Path) -> None:
    """llama.cpp keeps keys and values in 16 bits: the likeliest token may differ where two are as good as equal."""
    rows, tensors = prompts(3, 9), weights(tiny)
    for prompt, row in zip(rows, generated(loaded, rows, 12), strict=True):
        expected = llama(tensors, [*prompt, *row])
        choices = expected[len(prompt) - 1 : -1]
        missed = choices.max(-1) - choices[np.arange(len(row)), row]
        assert (choices.argmax(-1) == row).mean() > 0.8
        assert missed.max() < 0.01 * expected.std()
    context = engine.Context(loaded._loaded(), 1, 64, "f16", 1)
    found = context.every_logit(np.asarray(rows[0], np.int32))
    context.close()
    np.testing.assert_allclose(found, llama(tensors, rows[0]), atol=0.01 * float(found.std()))


def test_a_row_has_the_same_tokens_alone_and_beside_others(loaded: llama_cpp.LlamaCppRunner) -> None:
    rows = prompts(4, 20)
    assert generated(loaded, rows, 8) == [generated(loaded, [row], 8)[0] for row in rows]


@pytest.mark.parametrize(("rows", "length"), [(1, 100), (3, 50), (5, 32), (2, 1)])
def test_prompts_may_be_longer_than_what_goes_in_at_once(
    rows: int, length: int, tiny: Path, loaded: llama_cpp.LlamaCppRunner
) -> None:
    """Rows end within a part, at its end, and after many."""
    small = runner_of(tiny, batch=32, ubatch=8)
    small.load()
    assert generated(small, prompts(rows, length), 6) == generated(loaded, prompts(rows, length), 6)


def test_exact_counts_and_one_report_a_step(loaded: llama_cpp.LlamaCppRunner) -> None:
    for new in (1, 7):
        steps: list[int] = []
        found = loaded.generate(prompts(3, 5), new, steps.append)
        assert [len(row) for row in found] == [new] * 3
        assert steps == [3] * new


def test_a_step_is_reported_when_its_tokens_are_there(loaded: llama_cpp.LlamaCppRunner, tiny: Path) -> None:
    """Whoever looks at the context's logits when a step is reported finds the ones that give its token."""
    seen: list[int] = []

    def on_step(rows: int) -> None:
        assert loaded._context is not None
        seen.append(int(loaded._context.logits(rows)[0].argmax()))

    assert loaded.generate(prompts(1, 5), 6, on_step) == [seen]


@pytest.mark.parametrize("cached", [1, 8, 19])
def test_a_prefix_in_the_cache_changes_no_token(cached: int, loaded: llama_cpp.LlamaCppRunner) -> None:
    rows = prompts(2, 20)
    plain = generated(loaded, rows, 6)
    loaded.keep_prefix(rows, cached)
    assert generated(loaded, rows, 6) == plain
    loaded.keep_prefix(rows, cached)
    other = [[(token + 1) % 300 for token in row] for row in rows]
    held_for_others = generated(loaded, other, 6)
    assert held_for_others == generated(loaded, other, 6)


def test_a_prefix_survives_a_context_that_is_too_small(
    tiny: Path, loaded: llama_cpp.LlamaCppRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is carried into the larger one, and not computed again while the clock runs."""
    read: list[tuple[tuple[int, ...], int]] = []
    plain = engine.Context.read

    def counted(self: engine.Context, tokens: engine.Ints, begin: int, *, answer: bool = True) -> engine.Ints:
        read.append((tokens.shape, begin))
        return plain(self, tokens, begin, answer=answer)

    fresh = runner_of(tiny)
    fresh.load()
    rows = prompts(2, 250)
    expected = generated(loaded, rows, 20)
    monkeypatch.setattr(engine.Context, "read", counted)
    fresh.keep_prefix(rows, 100)
    assert fresh._context is not None
    assert not fresh._context.fits(2, 270)
    assert generated(fresh, rows, 20) == expected
    assert read == [((2, 100), 0), ((2, 150), 100)]


def test_facts_are_what_the_file_holds(real: tuple[llama_cpp.LlamaCppRunner, ModelFacts]) -> None:
    _, found = real
    head = header.read(builtin.gguf_file("smollm2-135m"))
    assert found.parameters == head.parameters == 134_515_008
    assert found.weights_bytes == head.weights_bytes == sum(found.placement.values())
    assert found.kv_bytes_per_token == 30 * 3 * (64 + 64) * 2
    assert (found.vocab_size, found.max_positions) == (49_152, 8_192)
    assert (found.dtype, found.device, found.threads, found.cache) == ("Q4_1", "cpu", 1, "f16")
    assert found.attention == "flash"
    assert found.notes[0].startswith(f"xllamacpp {library.wheel_version()} (")
    assert found.kernel is not None
    assert found.kernel.startswith("CPU: ")
    assert found.weights_id is not None
    assert found.weights_id.startswith("sha256:b179c9523d0e6a0f")
    assert found.config["num_key_value_heads"] == 3


def test_the_tokenizer_is_the_models_own(real: tuple[llama_cpp.LlamaCppRunner, ModelFacts]) -> None:
    from tokenizers import Tokenizer  # type: ignore[import-untyped, unused-ignore]

    runner, _ = real
    texts = ["The capital of France is", "naïve café — 42 ½ <|im_end|>!\n\n  x", "日本語"]
    truth = Tokenizer.from_file(str(builtin.folder("smollm2-135m") / "tokenizer.json"))
    plain = texts[0]
    assert list(runner.encode(plain).tokens) == truth.encode(plain, add_special_tokens=False).ids
    assert runner.encode(texts[2]).first_bytes <= 9
    counted = runner.count_tokens(texts)
    assert counted is not None
    assert counted[0] == 5
    assert counted[2] == len(truth.encode(texts[2], add_special_tokens=False).ids)


def test_it_knows_the_capital_of_france(real: tuple[llama_cpp.LlamaCppRunner, ModelFacts]) -> None:
    runner, _ = real
    prompt = list(runner.encode("The capital of France is").tokens)
    assert list(runner.encode(" Paris").tokens) == generated(runner, [prompt], 1)[0]


def test_keys_and_values_in_8_bits(tiny: Path) -> None:
    packed = KvCache(format="int8")
    runner = runner_of(tiny, Checkpoint(name="checkpoint", kv_cache=packed))
    with pytest.raises(UnsupportedError, match="block size 32"):
        runner.load()  # heads of 16 values
    runner = runner_of("builtin:smollm2-135m", Checkpoint(name="checkpoint", kv_cache=packed))
    found = runner.load()
    assert found.cache == "q8_0"
    assert found.kv_bytes_per_token == 30 * 3 * (64 + 64) * 34 // 32
    assert len(generated(runner, [[1, 2, 3]], 2)[0]) == 2
    with pytest.raises(UnsupportedError, match="kv-int8 or kv-int4"):
        runner_of(tiny, Checkpoint(name="checkpoint", kv_cache=KvCache(format="fp8"))).load()


def test_where_layers_went() -> None:
    sizes = facts.placed({"CPU_Mapped": 100.0, "CUDA0": 300.0, "CUDA1": 200.0, "CUDA_Host": 1.0}, 1_000_003)
    assert sum(sizes.values()) == 1_000_003
    assert list(sizes) == ["cuda:0", "cuda:1", "cpu"]


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    return tmp_path / "config.json"


def test_a_run_from_a_config(shape: Path, tmp_path: Path) -> None:
    """Random weights of a shape, made once, at one of GGUF's precisions; another is none of them."""
    config = tmp_path / "run.yaml"
    config.write_text(
        f"models: shape:{shape}\nprecisions: [q8_0, nf4]\nrunners:\n  - {{name: llama.cpp, threads: 1}}\n"
        "workloads: {batch_size: 2, input_tokens: 8, output_tokens: 8}\n"
        "sampling: {max_replicates: 1}\nprotocol: {rounds: 2, warmup_rounds: 1, memory_pass: false}\n"
    )
    done = bench("run", config, "--out", tmp_path / "out", BENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    records = {one["cell"]["precision"]["name"]: one for one in lines(tmp_path / "out")}
    assert {name: one["status"] for name, one in records.items()} == {"q8_0": "ok", "nf4": "unsupported"}
    assert "nf4" in records["nf4"]["error"]["reason"]
    assert records["q8_0"]["measurement"]["prepare_s"] > 0
    assert records["q8_0"]["environment"]["packages"]["xllamacpp"] == library.wheel_version()


@pytest.mark.slow
def test_tokens_are_those_of_transformers_over_the_same_weights(
    real: tuple[llama_cpp.LlamaCppRunner, ModelFacts],
) -> None:
    """The built-in model, dequantised by each: the likeliest tokens of a text, and a greedy continuation."""
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    own, _ = real
    runner = runner_of("builtin:smollm2-135m", Plain(name="fp32"))
    runner.prepare()
    runner.load()
    prompt = list(own.encode("Rivers carry sand and mud to the sea, where they settle and, over a long time,").tokens)
    network = AutoModelForCausalLM.from_pretrained(builtin.folder("smollm2-135m"), dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = network(torch.tensor([prompt])).logits[0]
        truth = network.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
    found = runner.logits([prompt])[0]
    kl = torch.nn.functional.kl_div(
        found.log_softmax(-1), expected.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert float(kl) < 2e-3
    assert float((found.argmax(-1) == expected.argmax(-1)).float().mean()) > 0.9
    assert generated(runner, [prompt], 12)[0][:6] == truth[:6]


@pytest.mark.slow
def test_made_files_load_and_answer(
    real: tuple[llama_cpp.LlamaCppRunner, ModelFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Precisions that are made of the built-in model's file without another tool."""
    prompt = list(real[0].encode("The capital of France is").tokens)
    paris = list(real[0].encode(" Paris").tokens)
    for level in (Gguf(name="q8_0"), Plain(name="bf16"), Plain(name="fp16")):
        runner = runner_of("builtin:smollm2-135m", level)
        runner.prepare()
        found = runner.load()
        assert found.weights_id == real[1].weights_id
        assert "not for quality" in " ".join(found.notes)
        assert generated(runner, [prompt], 1)[0] == paris


@pytest.mark.slow
def test_a_build_of_ones_own() -> None:
    """Set LLAMA_LIBRARY to a build's folder to try it."""
    folder = os.environ.get("LLAMA_LIBRARY")
    if folder is None:
        pytest.skip("LLAMA_LIBRARY names no build of llama.cpp")
    runner = runner_of("builtin:smollm2-135m", library=folder)
    found = runner.load()
    assert found.notes[1].startswith("library edges-sha256:")
    assert len(generated(runner, [[1, 2, 3]], 4)[0]) == 4
