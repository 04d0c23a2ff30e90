"""Bytes, FLOPs, ratios and floors, against sums that a person can do. docs/roofline.md has the same examples."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import footprint
from bench.metrics.footprint import Shape
from bench.metrics.roofline import Roofline, experts_touched, product_type, read_bytes, roofline, work
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.schema import (
    Ceiling,
    Checkpoint,
    FourBit,
    Hqq,
    Int8,
    ModelFacts,
    Packed,
    Plain,
    Precision,
    Quanto,
    TorchAo,
    Workload,
)

BF16 = Plain(name="bf16")
LLAMA_8B = catalogue.shapes()["llama-3.1-8b"]
SMOLLM2 = catalogue.shapes()["smollm2-135m"]
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "sliding_window": None, "tie_word_embeddings": False,
}  # fmt: skip
"""mistralai/Mixtral-8x7B-v0.1"""

ATTENTION = 2 * 4096 * 4096 + 2 * 4096 * 1024  # query and output, key and value; Llama 3.1 8B and Mixtral alike
MLP = 3 * 4096 * 14336
HEAD_8B = 128256 * 4096
NORMS = (2 * 32 + 1) * 4096
LINEAR_8B = 32 * (ATTENTION + MLP)

H100 = Ceiling(
    device="NVIDIA H100 80GB HBM3", read_bytes_per_s=3.35e12, gemm_flops_per_s={"bf16": 989e12, "int8": 1979e12}
)
LONG = Workload(batch_size=1, input_tokens=1000, output_tokens=24)


def _shape(config: dict[str, Any]) -> Shape:
    found = footprint.shape(config)
    assert found is not None
    return found


def _facts(weights_bytes: int = 0, kv: int | None = None, dtype: str = "bfloat16") -> ModelFacts:
    return ModelFacts(
        parameters=0, weights_bytes=weights_bytes, kv_bytes_per_token=kv, vocab_size=1, dtype=dtype, device="cpu"
    )


def _one(value: float) -> Estimate:
    return Estimate(value, None, None, 1)


def _roof(
    ceiling: Ceiling | None = H100,
    work_: Workload = LONG,
    config: dict[str, Any] = LLAMA_8B,
    precision: Precision = BF16,
    ttft: Estimate | None = None,
    tpot: Estimate | None = None,
) -> Roofline:
    return roofline(config, _facts(), precision, work_, ttft or _one(0.02), tpot or _one(0.005), ceiling, "a test")


def test_llama_8b_step_bytes_and_flops() -> None:
    """GQA: 8 key-value heads of 128, 131,072 bytes of KV a token; the input embedding is not read."""
    assert LINEAR_8B == 6_979_321_856
    assert LINEAR_8B + NORMS + 2 * HEAD_8B == 8_030_261_248  # the publisher's count
    found = work(_shape(LLAMA_8B), _facts(), BF16, LONG)
    assert 2 * (LINEAR_8B + NORMS + HEAD_8B) == 15_009_849_344
    assert found.step_bytes == 15_009_849_344 + (1000 + 12) * 131_072 == 15_142_494_208
    assert found.step_flops == 2 * LINEAR_8B + 4 * 32 * 4096 * (1000 + 12) + 2 * HEAD_8B


def test_llama_8b_prefill_bytes_and_flops() -> None:
    """Every matrix for each prompt token, half of the attention square, and the head for one position a row."""
    found = work(_shape(LLAMA_8B), _facts(), BF16, LONG)
    assert found.prefill_flops == 2 * LINEAR_8B * 1000 + 4 * 32 * 4096 * 1000**2 / 2 + 2 * HEAD_8B
    assert found.prefill_flops == 14_221_838_385_152
    assert found.prefill_bytes == 15_009_849_344 + 1000 * 131_072


def test_rows_multiply_flops_and_kv_but_not_weights() -> None:
    """Three rows: three times the FLOPs and the KV, the weights once."""
    one = work(_shape(LLAMA_8B), _facts(), BF16, LONG)
    three = work(_shape(LLAMA_8B), _facts(), BF16, LONG.model_copy(update={"batch_size": 3}))
    assert three.step_flops == 3 * one.step_flops
    assert three.prefill_flops == 3 * one.prefill_flops
    assert three.step_bytes - one.step_bytes == 2 * 1012 * 131_072


def test_floors_of_llama_8b_on_an_h100() -> None:
    """A step is bound by memory, a prompt of 1000 tokens by compute; the batch takes one prefill and 23 steps."""
    found = _roof()
    assert found.limit == "memory"
    assert found.prefill_limit == "compute"
    assert found.floor_step_s == pytest.approx(15_142_494_208 / 3.35e12)
    assert found.floor_ttft_s == pytest.approx(14_221_838_385_152 / 989e12)
    assert found.floor_e2el_s == pytest.approx(0.0143800 + 23 * 0.00452015, rel=1e-4)
    assert found.reason is None
    assert found.basis == "a test"


def test_a_short_prompt_is_bound_by_memory() -> None:
    """Sixteen tokens need the weights once all the same."""
    found = _roof(work_=Workload(batch_size=1, input_tokens=16, output_tokens=8))
    assert found.prefill_limit == "memory"
    assert found.floor_ttft_s == pytest.approx((15_009_849_344 + 16 * 131_072) / 3.35e12)


def test_a_large_batch_is_bound_by_compute() -> None:
    """At a thousand rows with almost no context a step multiplies longer than it reads."""
    found = _roof(work_=Workload(batch_size=1000, input_tokens=1, output_tokens=2))
    assert found.limit == "compute"


def test_a_tied_table_is_read_by_the_head() -> None:
    """SmolLM2-135M: all of the 269,030,016 bytes that are measured in memory, and 23,040 of KV a token."""
    batch = Workload(batch_size=4, input_tokens=128, output_tokens=64)
    found = work(_shape(SMOLLM2), _facts(269_030_016, kv=2 * 30 * 3 * 64 * 2), BF16, batch)
    assert found.step_bytes == 269_030_016 + 4 * (128 + 32) * 23_040 == 283_775_616
    small_llama = _shape(catalogue.shapes()["llama-3.2-1b"])
    assert read_bytes(small_llama, _facts(), BF16, 1) == 2 * 1_235_814_400


def test_untied_and_tied_tables_of_other_families() -> None:
    """Pythia's head is a table of its own, BLOOM's is the embedding."""
    pythia = _shape(catalogue.shapes()["pythia-70m"])
    assert read_bytes(pythia, _facts(), Plain(name="fp16"), 1) == 2 * (70_426_624 - 50304 * 512)
    bloom = _shape(catalogue.shapes()["bloom-560m"])
    assert read_bytes(bloom, _facts(), Plain(name="fp32"), 1) == 4 * 559_214_592


def test_mixtral_has_12_9_billion_active_parameters() -> None:
    """Two of eight experts; 46.7 billion in all, as its publisher says."""
    of = _shape(MIXTRAL)
    active = 32 * (ATTENTION + 4096 * 8 + 2 * MLP)
    assert active == 12_617_515_008
    assert of.with_experts(of.top_k).linear_parameters == active
    assert active + NORMS + 2 * 32000 * 4096 == 12_879_925_248
    assert of.parameters == 46_702_792_704
    assert read_bytes(of, _facts(), BF16, 1) == 2 * (active + NORMS + 32000 * 4096)


def test_rows_share_experts() -> None:
    """One row touches 2 of 8; a second one misses each expert with probability 3/4; many touch all."""
    of = _shape(MIXTRAL)
    assert experts_touched(of, 1) == 2
    assert experts_touched(of, 2) == 8 * (1 - 0.75**2) == 3.5
    assert experts_touched(of, 1000) == pytest.approx(8)
    assert experts_touched(_shape(LLAMA_8B), 1) == 1
    two_rows = 32 * (ATTENTION + 4096 * 8 + 3.5 * MLP) + NORMS + 32000 * 4096
    assert read_bytes(of, _facts(), BF16, 2) == 2 * two_rows


def test_mixtral_prefill_reads_all_experts_and_multiplies_two() -> None:
    found = work(_shape(MIXTRAL), _facts(), BF16, LONG)
    assert found.prefill_bytes == pytest.approx(2 * (46_702_792_704 - 32000 * 4096) + 1000 * 131_072)
    assert found.prefill_flops == 2 * 12_617_515_008 * 1000 + 4 * 32 * 4096 * 500_000 + 2 * 4096 * 32000


@pytest.mark.parametrize(
    ("precision", "linear_bytes"),
    [
        (FourBit(name="nf4"), LINEAR_8B / 2 + 4 * LINEAR_8B / 64),
        (FourBit(name="nf4", double_quant=True), LINEAR_8B / 2 + LINEAR_8B / 64 + 4 * LINEAR_8B / (64 * 256)),
        # Outputs of a layer: query 4096, key and value 1024 each, output 4096, MLP 2 · 14336 and 4096.
        (Int8(name="int8"), LINEAR_8B + 4 * 32 * (4096 + 2048 + 4096 + 2 * 14336 + 4096)),
    ],
    ids=["nf4", "nf4 double", "int8"],
)
def test_quantised_weights_are_read_with_their_scales(precision: Precision, linear_bytes: float) -> None:
    expected = {"nf4": 4_977_074_176, "int8": 8_036_032_512}[precision.name]
    if isinstance(precision, FourBit) and precision.double_quant:
        expected = 4_651_622_400
    found = read_bytes(_shape(LLAMA_8B), _facts(), precision, 1)
    assert found == linear_bytes + 2 * (NORMS + HEAD_8B) == expected


def test_a_checkpoint_is_read_as_measured_less_the_table() -> None:
    """Its bits are not in the config; the tables are of the type that the engine computes in."""
    measured = 5_700_000_000
    found = read_bytes(_shape(LLAMA_8B), _facts(measured), Checkpoint(name="checkpoint"), 1)
    assert found == pytest.approx(measured - 2 * HEAD_8B, abs=2)
    tied = read_bytes(_shape(SMOLLM2), _facts(100_000_000), Checkpoint(name="checkpoint"), 1)
    assert tied == pytest.approx(100_000_000, abs=2)


def test_a_checkpoint_of_an_unnamed_type_has_its_table_packed_too() -> None:
    """Blocks of a GGUF file: the table's share of the parameters is its share of the bytes."""
    found = read_bytes(_shape(LLAMA_8B), _facts(4_500_000_000, dtype="q4_1"), Checkpoint(name="checkpoint"), 1)
    assert found == pytest.approx(4_500_000_000 * (1 - HEAD_8B / 8_030_261_248), abs=2)


def test_type_of_the_product() -> None:
    facts = _facts(dtype="float16")
    assert product_type(BF16, facts) == "bf16"
    assert product_type(Int8(name="int8"), facts) == "int8"
    assert product_type(FourBit(name="fp4", compute_dtype="fp32"), facts) == "fp32"
    assert product_type(Checkpoint(name="checkpoint"), facts) == "fp16"
    assert product_type(Packed(name="awq"), facts) == "fp16"
    assert product_type(Packed(name="awq"), facts.model_copy(update={"products": "bf16"})) == "bf16"
    # Weights alone are quantised: multiplied in the activations' type. Activations too: in that of both.
    assert product_type(TorchAo(name="torchao-int8wo"), facts) == "bf16"
    assert product_type(TorchAo(name="torchao-int8dq"), facts) == "int8"
    assert product_type(TorchAo(name="torchao-fp8dq"), facts) == "fp8"
    assert product_type(Hqq(name="hqq-int8", compute_dtype="fp32"), facts) == "fp32"
    assert product_type(Quanto(name="quanto-int4"), facts) == "bf16"


def test_ratios_at_the_floor_are_one() -> None:
    """Where the limit is memory MBU is 1 at the floor, where it is compute MFU is: neither can be more."""
    floor = _roof()
    assert floor.floor_ttft_s is not None
    assert floor.floor_step_s is not None
    found = _roof(ttft=_one(floor.floor_ttft_s), tpot=_one(floor.floor_step_s))
    assert found.mbu is not None
    assert found.mfu is not None
    assert found.mbu.value == pytest.approx(1)
    assert found.mfu.value == pytest.approx(1)


def test_ratios_carry_the_interval_of_the_time() -> None:
    """Twice the time is half the ratio: the interval turns around."""
    found = _roof(tpot=Estimate(0.010, 0.008, 0.0125, 3), ttft=Estimate(0.02, 0.016, 0.025, 3))
    assert found.mbu is not None
    assert found.mfu is not None
    bytes_s = 15_142_494_208 / 3.35e12
    assert (found.mbu.value, found.mbu.low, found.mbu.high) == pytest.approx(
        (bytes_s / 0.010, bytes_s / 0.0125, bytes_s / 0.008)
    )
    assert found.mbu.n == 3
    assert found.mfu.value == pytest.approx(14_221_838_385_152 / 989e12 / 0.02)


def test_twice_the_ceiling_is_half_the_ratio() -> None:
    faster = H100.model_copy(
        update={"read_bytes_per_s": 2 * 3.35e12, "gemm_flops_per_s": {"bf16": 2 * 989e12}},
    )
    one, two = _roof(), _roof(faster)
    assert one.mbu is not None
    assert one.mfu is not None
    assert two.mbu is not None
    assert two.mfu is not None
    assert two.mbu.value == pytest.approx(one.mbu.value / 2)
    assert two.mfu.value == pytest.approx(one.mfu.value / 2)
    assert two.floor_e2el_s == pytest.approx((one.floor_e2el_s or 0) / 2)


def test_what_cannot_be_said_has_a_reason() -> None:
    """No ceiling, no peak for the type, no decode step, no known sizes, a window: null, and why."""
    none = _roof(None)
    assert [none.mbu, none.mfu, none.floor_step_s] == [None] * 3
    assert none.work is not None
    assert none.reason == "a test"
    fp32 = _roof(precision=Plain(name="fp32"))
    assert fp32.mbu is not None
    assert [fp32.mfu, fp32.limit, fp32.floor_ttft_s, fp32.floor_e2el_s] == [None] * 4
    assert fp32.reason == "the fp32 peak of NVIDIA H100 80GB HBM3 is not known"
    unread = _roof(H100.model_copy(update={"read_bytes_per_s": None}))
    assert [unread.mbu, unread.floor_step_s] == [None] * 2
    assert unread.mfu is not None
    unknown = _roof(config={"model_type": "mamba"})
    assert [unknown.work, unknown.mbu] == [None] * 2
    assert unknown.reason == "the model's sizes are not known"


def test_one_output_token_has_no_step() -> None:
    work_ = Workload(batch_size=1, input_tokens=1000, output_tokens=1)
    found = roofline(LLAMA_8B, _facts(), BF16, work_, _one(0.02), None, H100, "a test")
    assert [found.mbu, found.limit, found.floor_step_s] == [None] * 3
    assert found.mfu is not None
    assert found.floor_e2el_s == found.floor_ttft_s
    assert found.reason == "one output token has no decode step"


@pytest.mark.parametrize(
    ("changes", "modelled"),
    [
        ({"model_type": "mistral", "sliding_window": 1000}, False),
        ({"model_type": "mistral", "sliding_window": 4096}, True),
        ({"model_type": "qwen2", "sliding_window": 1000, "use_sliding_window": False}, True),
        ({"model_type": "qwen2", "sliding_window": 1000, "use_sliding_window": True}, False),
        ({"model_type": "qwen2", "sliding_window": 1000}, True),
    ],
)
def test_a_window_shorter_than_the_text_is_not_modelled(changes: dict[str, Any], modelled: bool) -> None:
    found = _roof(config={**LLAMA_8B, **changes})
    assert (found.mbu is not None) == modelled
    assert ("look back" in (found.reason or "")) != modelled


@pytest.mark.parametrize("name", catalogue.shapes())
def test_the_stored_sizes_say_all_that_the_config_does(name: str) -> None:
    """A record keeps these keys alone."""
    config = catalogue.shapes()[name]
    kept = footprint.sizes(config)
    assert set(kept) <= set(footprint.ARCHITECTURE_KEYS)
    assert footprint.shape(kept) == footprint.shape(config)


def test_sizes_of_mixtral_keep_its_experts() -> None:
    assert footprint.shape(footprint.sizes(MIXTRAL)) == _shape(MIXTRAL)
    assert footprint.sizes({"model_type": "mamba", "state_size": 16}) == {"model_type": "mamba"}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([*catalogue.shapes().values(), MIXTRAL]),
    st.integers(min_value=1, max_value=512),
    st.integers(min_value=1, max_value=4096),
    st.integers(min_value=2, max_value=512),
)
def test_no_more_than_all_weights_are_read_and_more_rows_never_need_less(
    config: dict[str, Any], rows: int, prompt: int, new: int
) -> None:
    """Also: neither ratio exceeds 1 at the floor, whatever the limit is."""
    of = _shape(config)
    assert read_bytes(of, _facts(), BF16, rows) <= footprint.weights_bytes(of, BF16) + 1
    batch = Workload(batch_size=rows, input_tokens=prompt, output_tokens=new)
    found = _roof(work_=batch, config=config)
    assert found.floor_ttft_s is not None
    assert found.floor_step_s is not None
    at = _roof(work_=batch, config=config, ttft=_one(found.floor_ttft_s), tpot=_one(found.floor_step_s))
    assert at.mbu is not None
    assert at.mfu is not None
    assert max(at.mbu.value, at.mfu.value) <= 1 + 1e-9
    larger = _roof(work_=batch.model_copy(update={"batch_size": rows + 1}), config=config)
    assert (larger.floor_step_s or 0) >= found.floor_step_s
