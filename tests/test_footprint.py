"""Bytes before loading, against the numbers that the models' publishers state."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import footprint
from bench.models import catalogue
from bench.schema import (
    Checkpoint,
    FourBit,
    Fp8,
    Hqq,
    Int8,
    KvCache,
    ModelFacts,
    Packed,
    Plain,
    Precision,
    Quanto,
    TorchAo,
    TorchAoInt4,
    Workload,
)

PUBLISHED = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "tinyllama-1.1b": 1_100_048_384,
    "smollm2-135m": 134_515_008,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
}
"""Parameters by the publishers' model cards and safetensors indexes."""

BF16 = Plain(name="bf16")
ONE_TOKEN = Workload(batch_size=1, input_tokens=1, output_tokens=1)


def _shape(name: str) -> footprint.Shape:
    found = footprint.shape(catalogue.shapes()[name])
    assert found is not None
    return found


@pytest.mark.parametrize("name", catalogue.shapes())
def test_parameters_agree_with_the_publisher(name: str) -> None:
    """To the last parameter, for every shape that ships."""
    assert _shape(name).parameters == PUBLISHED[name]


def test_qwen3_has_norms_of_queries_and_keys() -> None:
    """Qwen3-8B, by its config.json and its safetensors index."""
    sizes = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "vocab_size": 151_936}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    found = footprint.shape({"model_type": "qwen3", "use_sliding_window": False, **sizes, **heads})
    assert found is not None
    assert found.parameters == 8_190_735_360
    assert found.window is None


def test_no_published_shape_was_left_out() -> None:
    """The table above and the shapes that ship name the same models."""
    assert set(PUBLISHED) == set(catalogue.shapes())


@pytest.mark.parametrize(
    ("name", "precision", "bytes_per_token"),
    [
        ("llama-3.1-8b", BF16, 2 * 32 * 8 * 128 * 2),  # 131,072
        ("llama-3.1-8b", Plain(name="fp32"), 2 * 32 * 8 * 128 * 4),
        ("llama-3.1-8b", FourBit(name="nf4"), 2 * 32 * 8 * 128 * 2),
        ("llama-3.1-8b", Int8(name="int8"), 2 * 32 * 8 * 128 * 2),
        ("llama-3.1-70b", BF16, 2 * 80 * 8 * 128 * 2),  # 327,680
        ("smollm2-135m", BF16, 2 * 30 * 3 * 64 * 2),  # 23,040
        ("pythia-1.4b", Plain(name="fp16"), 2 * 24 * 2048 * 2),
        ("bloom-560m", BF16, 2 * 24 * 1024 * 2),
    ],
)
def test_kv_bytes_of_a_token(name: str, precision: Precision, bytes_per_token: int) -> None:
    """Keys and values × layers × key-value heads × head size × bytes, for prompt and new tokens of every row."""
    two_tokens = footprint.needed(_shape(name), precision, ONE_TOKEN)
    assert two_tokens.kv_bytes == 2 * bytes_per_token
    batch = Workload(batch_size=3, input_tokens=100, output_tokens=28)
    assert footprint.needed(_shape(name), precision, batch).kv_bytes == 3 * 128 * bytes_per_token


def test_llama_8b_needs_131072_bytes_of_kv_a_token() -> None:
    """The number that everybody quotes."""
    batch = Workload(batch_size=1, input_tokens=1000, output_tokens=24)
    assert footprint.needed(_shape("llama-3.1-8b"), BF16, batch).kv_bytes == 1024 * 131_072


@pytest.mark.parametrize(
    ("precision", "bits"),
    [
        (FourBit(name="nf4"), 4.5),
        (FourBit(name="fp4"), 4.5),
        (FourBit(name="nf4", double_quant=True), 4 + 8 / 64 + 32 / (64 * 256)),
        (Checkpoint(name="checkpoint"), 4.0),
        (Packed(name="gptq"), 4.0),
        (TorchAoInt4(name="torchao-int4wo"), 4.5),
        (TorchAoInt4(name="torchao-int4wo", group_size=128, compute_dtype="fp32"), 4.5),
        (Hqq(name="hqq-int8"), 8.5),
        (Hqq(name="hqq-int3"), 3.7),
        (Hqq(name="hqq-int2", group_size=32), 3.0),
        (Quanto(name="quanto-int4"), 4.25),
        (Quanto(name="quanto-int2", compute_dtype="fp32"), 2.5),
        (Fp8(name="fp8"), 8.0),
        (Fp8(name="fp8", scales="block", compute_dtype="fp16"), 8 + 32 / 128**2),
        (BF16, 16.0),
        (Plain(name="fp32"), 32.0),
    ],
)
def test_bits_of_a_packed_weight(precision: Precision, bits: float) -> None:
    """Only the matrices inside the layers are packed; tables and norms stay at the computing type."""
    of = _shape("llama-3.1-8b")
    rest = of.other_parameters * footprint.precision_bytes(precision)
    packed = footprint.weights_bytes(of, precision) - rest
    assert packed * 8 / of.linear_parameters == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize(
    ("precision", "row_bytes"),
    [
        (TorchAo(name="torchao-int8wo"), 5),
        (TorchAo(name="torchao-int8dq"), 5),
        (TorchAo(name="torchao-fp8dq"), 4),
        (Quanto(name="quanto-int8"), 2),
        (Quanto(name="quanto-fp8", compute_dtype="fp32"), 4),
        (Fp8(name="fp8", scales="channel"), 4),
    ],
    ids=str,
)
def test_eight_bits_have_a_scale_a_row(precision: Precision, row_bytes: int) -> None:
    """Llama 3.1 8B: outputs of a layer are 4096, twice 1024 and 4096 of the attention, twice 14336 and 4096."""
    of = _shape("llama-3.1-8b")
    rows = 32 * (4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096)
    rest = of.other_parameters * footprint.precision_bytes(precision)
    assert footprint.weights_bytes(of, precision) - rest == of.linear_parameters + row_bytes * rows


def test_quanto_chooses_a_group_for_each_width() -> None:
    """SmolLM2: 96 of 576 inputs, 128 of 1536: a scale and a shift of two bytes each."""
    of = _shape("smollm2-135m")
    down = 30 * 576 * 1536
    scales = 4 * (down / 128 + (of.linear_parameters - down) / 96)
    found = footprint.weights_bytes(of, Quanto(name="quanto-int4")) - 2 * of.other_parameters
    assert found == pytest.approx(of.linear_parameters / 2 + scales)


def test_measured_bits_are_what_the_tables_leave() -> None:
    of = _shape("llama-3.1-8b")
    facts = ModelFacts(
        parameters=of.parameters, weights_bytes=16_060_522_496, vocab_size=1, dtype="bfloat16", device="cpu"
    )
    assert footprint.level_bits(of, facts, BF16) == 16.0
    packed = facts.model_copy(update={"weights_bytes": 2 * of.other_parameters + of.linear_parameters // 2})
    assert footprint.level_bits(of, packed, Checkpoint(name="checkpoint")) == 4.0
    unnamed = packed.model_copy(update={"dtype": "q4_1"})
    assert footprint.level_bits(of, unnamed, Packed(name="gguf")) is None


def test_packed_keys_and_values_need_less() -> None:
    """Llama 3.1 8B, 1024 tokens a row: 128 stay at 16 bits, the others have 4 + 32/64."""
    kept = Plain(name="bf16", kv_cache=KvCache(format="int4"))
    batch = Workload(batch_size=2, input_tokens=1000, output_tokens=24)
    pairs = 2 * 32 * 8 * 128 * 2
    found = footprint.needed(_shape("llama-3.1-8b"), kept, batch).kv_bytes
    assert found == pairs * (128 * 2 + 896 * 4.5 / 8)
    fp8 = Plain(name="bf16", kv_cache=KvCache(format="fp8"))
    assert footprint.needed(_shape("llama-3.1-8b"), fp8, batch).kv_bytes == pairs * 1024


def test_int8_counts_a_byte_a_weight_and_a_scale_a_row() -> None:
    """One layer of hidden 4, two heads: outputs 4+4+4+4 of the attention and 8+8+4 of the MLP."""
    config = {
        "model_type": "llama", "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 10, "tie_word_embeddings": True,
    }  # fmt: skip
    of = footprint.shape(config)
    assert of is not None
    assert of.linear_parameters == 4 * 4 * 4 + 3 * 4 * 8
    assert of.other_parameters == 2 * 4 + 4 + 10 * 4
    assert footprint.weights_bytes(of, Int8(name="int8")) == 160 + 4 * (16 + 20) + 2 * 52


def test_the_type_of_the_product_is_the_type_of_the_rest() -> None:
    """4-bit with fp32 products keeps embeddings and cache in four bytes."""
    assert footprint.precision_bytes(FourBit(name="nf4", compute_dtype="fp32")) == 4
    assert footprint.precision_bytes(FourBit(name="fp4")) == 2
    assert footprint.precision_bytes(Int8(name="int8")) == 2


def test_qwen2_has_biases_and_mixtral_has_experts() -> None:
    """Hand-counted on one tiny layer each."""
    tiny: dict[str, Any] = {
        "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 10,
    }  # fmt: skip
    llama = footprint.shape({**tiny, "model_type": "llama"})
    qwen = footprint.shape({**tiny, "model_type": "qwen2"})
    mixtral = footprint.shape({**tiny, "model_type": "mixtral", "num_local_experts": 2})
    assert llama is not None
    assert qwen is not None
    assert mixtral is not None
    assert llama.parameters == (16 + 8 + 8 + 16) + 3 * 32 + 2 * 4 + 4 + 2 * 40
    assert qwen.parameters - llama.parameters == 2 * (2 + 2 * 1)
    assert mixtral.parameters - llama.parameters == 3 * 32 + 4 * 2


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "mamba", "hidden_size": 64},
        {"model_type": ["llama"]},
        {"model_type": "llama"},
        {"model_type": "gpt_neox", "hidden_size": 64},
        {"model_type": "bloom", "hidden_size": 64, "n_layer": None, "vocab_size": 10},
        {**catalogue.shapes()["smollm2-135m"], "hidden_size": None},
        {**catalogue.shapes()["smollm2-135m"], "num_attention_heads": 0, "head_dim": None},
    ],
    ids=["empty", "mamba", "list", "llama", "neox", "bloom", "no hidden size", "no heads"],
)
def test_an_unknown_or_broken_config_has_no_shape(config: dict[str, Any]) -> None:
    """None, so that nobody is told that a model fits, or does not, on a guess."""
    assert footprint.shape(config) is None


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(PUBLISHED)),
    st.integers(min_value=1, max_value=64),
    st.integers(min_value=1, max_value=4096),
    st.integers(min_value=1, max_value=4096),
)
def test_fewer_bits_and_fewer_rows_never_need_more(name: str, rows: int, prompt: int, new: int) -> None:
    """double-quantised ≤ 4-bit ≤ 8-bit ≤ 16-bit ≤ 32-bit, and one more row needs more."""
    of = _shape(name)
    work = Workload(batch_size=rows, input_tokens=prompt, output_tokens=new)
    order: list[Precision] = [
        FourBit(name="nf4", double_quant=True), FourBit(name="nf4"), Int8(name="int8"), BF16, Plain(name="fp32"),
    ]  # fmt: skip
    totals = [footprint.needed(of, precision, work).total_bytes for precision in order]
    assert totals == sorted(totals)
    larger = work.model_copy(update={"batch_size": rows + 1})
    assert footprint.needed(of, BF16, larger).total_bytes > footprint.needed(of, BF16, work).total_bytes


def test_a_batch_that_is_scheduled_continuously_needs_room_for_a_row() -> None:
    """The engine begins as many rows as it has room for; the others wait."""
    work = Workload(batch_size=4096, input_tokens=1024, output_tokens=256, scheduling="continuous")
    one = work.model_copy(update={"batch_size": 1, "scheduling": "static"})
    assert footprint.needed(_shape("llama-3.1-8b"), BF16, work) == footprint.needed(_shape("llama-3.1-8b"), BF16, one)


def test_prompts_that_are_divided_need_the_activations_of_a_part() -> None:
    of, work = _shape("llama-3.1-8b"), Workload(batch_size=8, input_tokens=1024, output_tokens=256)
    whole, part = footprint.needed(of, BF16, work), footprint.needed(of, BF16, work, 512)
    assert (part.weights_bytes, part.kv_bytes) == (whole.weights_bytes, whole.kv_bytes)
    assert part.activation_bytes == 512 * (2 * 14336 + 4 * 4096) * 2 + 8 * 128_256 * 4
    assert footprint.needed(of, BF16, work, 1_000_000) == whole
