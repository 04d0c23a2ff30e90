"""At which precision weights, and keys and values, are kept: one noun for each way, with its own options.

A precision is a level that can be compared with others: `bf16`, `nf4`, `torchao-int4wo`. Names say the library where
several know the same format, because their kernels, and so speed and quality, differ.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from bench.schema.noun import Noun

Dtype = Literal["bf16", "fp16", "fp32"]
GgufName = Literal[
    "q2_k",
    "q3_k_s",
    "q3_k_m",
    "q3_k_l",
    "q4_0",
    "q4_1",
    "q4_k_s",
    "q4_k_m",
    "q5_0",
    "q5_1",
    "q5_k_s",
    "q5_k_m",
    "q6_k",
    "q8_0",
    "iq1_s",
    "iq1_m",
    "iq2_xxs",
    "iq2_xs",
    "iq2_s",
    "iq2_m",
    "iq3_xxs",
    "iq3_xs",
    "iq3_s",
    "iq3_m",
    "iq4_nl",
    "iq4_xs",
    "tq1_0",
    "tq2_0",
    "mxfp4",
]
"""llama.cpp's file types, as their names are written, in small letters; F32, F16 and BF16 are fp32, fp16 and bf16."""
KvFormat = Literal["int8", "int4", "int3", "int2", "fp8"]


class KvCache(Noun):
    """Keys and values kept in fewer bits; the newest tokens stay at full precision."""

    format: KvFormat = Field(description="what a key or value is kept as")
    backend: Literal["auto", "hqq", "quanto"] = Field(
        "auto", description="library that packs integers; auto is the first that is installed and knows the format"
    )
    group_size: int = Field(64, ge=8, description="values that share a scale and a zero point; not for fp8")
    residual_tokens: int = Field(128, ge=1, description="newest tokens that stay at full precision; not for fp8")


class Weights(Noun):
    """What all precisions share."""

    kv_cache: KvCache | None = Field(None, description="quantise keys and values too; as a name: bf16+kv-int4")


class Plain(Weights):
    """Weights in one floating-point type, computed in it."""

    name: Literal["fp32", "fp16", "bf16"]


WIDEST = ("fp32", "bf16", "fp16")
"""Plain precisions in the order in which one is the reference: fp16 has more digits, and a range that may not do."""


class Int8(Weights):
    """bitsandbytes LLM.int8(): int8 weights and activations, outlier columns kept in 16 bits."""

    name: Literal["int8"]
    threshold: float = Field(
        6.0, ge=0, allow_inf_nan=False, description="activations above this are computed in 16 bits"
    )


class FourBit(Weights):
    """bitsandbytes 4-bit weights, dequantised block by block before each product."""

    name: Literal["nf4", "fp4"]
    double_quant: bool = Field(False, description="quantise the scales too")
    compute_dtype: Dtype = Field("bf16", description="type of the product")


class TorchAo(Weights):
    """torchao: int8 or fp8 weights with a scale a row; `wo` are weights only, `dq` also activations, as they come."""

    name: Literal["torchao-int8wo", "torchao-int8dq", "torchao-fp8wo", "torchao-fp8dq"]
    compute_dtype: Dtype = Field("bf16", description="type of what is not quantised")


class TorchAoInt4(Weights):
    """torchao: int4 weights with a scale and a zero point a group."""

    name: Literal["torchao-int4wo"]
    group_size: Literal[32, 64, 128, 256] = Field(64, description="weights that share a scale and a zero point")
    compute_dtype: Dtype = Field("bf16", description="type of the product")


class Hqq(Weights):
    """HQQ: integer weights whose zero points are fitted without data (half-quadratic quantisation)."""

    name: Literal["hqq-int8", "hqq-int4", "hqq-int3", "hqq-int2"]
    group_size: int = Field(64, ge=8, le=1024, description="weights that share a scale and a zero point")
    axis: Literal[0, 1] = Field(1, description="along which groups lie; most kernels need 1")
    compute_dtype: Dtype = Field("bf16", description="type of the product")


class Quanto(Weights):
    """optimum-quanto: int8 and fp8 with a scale a row, int4 and int2 with a scale and a shift a group."""

    name: Literal["quanto-int8", "quanto-int4", "quanto-int2", "quanto-fp8"]
    compute_dtype: Dtype = Field("bf16", description="type of the product")


class Fp8(Weights):
    """vLLM's own: fp8 (e4m3) weights, activations in fp8 too as they come where the device multiplies them."""

    name: Literal["fp8"]
    scales: Literal["tensor", "channel", "block"] = Field(
        "tensor", description="weights that share a scale: a matrix, an output, or a block of 128 × 128"
    )
    compute_dtype: Dtype = Field("bf16", description="type of what is not quantised")


class Checkpoint(Weights):
    """A checkpoint that is already quantised, whatever its format, loaded as it is stored."""

    name: Literal["checkpoint"]


class Packed(Weights):
    """A checkpoint that is already quantised in this very format; any other is refused."""

    name: Literal["gptq", "awq", "compressed-tensors", "gguf"]
    backend: str = Field("auto", pattern=r"^[a-z0-9_]+$", description="kernel of GPTQ and AWQ; auto is the library's")


class Gguf(Weights):
    """One of llama.cpp's mixtures of block formats: a GGUF file of that type, or one made from the model's own file."""

    name: GgufName


class Served(Noun):
    """Whatever the server at an endpoint runs; nothing is asked of it."""

    name: Literal["served"]


Precision = Annotated[
    Plain | Int8 | FourBit | TorchAo | TorchAoInt4 | Hqq | Quanto | Fp8 | Checkpoint | Packed | Gguf | Served,
    Field(discriminator="name"),
]

GGUF_NAMES: tuple[str, ...] = get_args(GgufName)

PRECISIONS: dict[str, type[Noun]] = {
    "fp32": Plain,
    "fp16": Plain,
    "bf16": Plain,
    "int8": Int8,
    "nf4": FourBit,
    "fp4": FourBit,
    "torchao-int8wo": TorchAo,
    "torchao-int8dq": TorchAo,
    "torchao-int4wo": TorchAoInt4,
    "torchao-fp8wo": TorchAo,
    "torchao-fp8dq": TorchAo,
    "hqq-int8": Hqq,
    "hqq-int4": Hqq,
    "hqq-int3": Hqq,
    "hqq-int2": Hqq,
    "quanto-int8": Quanto,
    "quanto-int4": Quanto,
    "quanto-int2": Quanto,
    "quanto-fp8": Quanto,
    "fp8": Fp8,
    "gptq": Packed,
    "awq": Packed,
    "compressed-tensors": Packed,
    "gguf": Packed,
    "checkpoint": Checkpoint,
    **dict.fromkeys(GGUF_NAMES, Gguf),
    "served": Served,
}

KV_MARK = "+kv-"
STORED = ("checkpoint", "gptq", "awq", "compressed-tensors", "gguf")
"""Precisions that a checkpoint brings along, instead of being made while it loads."""


def spelt_out(said: dict[str, Any]) -> dict[str, Any]:
    """A precision as it is written in a config, with a name such as `nf4+kv-int4` taken apart.

    >>> spelt_out({"name": "nf4+kv-int4", "double_quant": True})
    {'name': 'nf4', 'double_quant': True, 'kv_cache': {'format': 'int4'}}
    """
    name, mark, kept = str(said.get("name")).partition(KV_MARK)
    if not mark:
        return said
    return {**said, "name": name, "kv_cache": {"format": kept, **(said.get("kv_cache") or {})}}


def kv_cache(precision: Precision) -> KvCache | None:
    """How keys and values are quantised; None where they are kept as they are computed."""
    return precision.kv_cache if isinstance(precision, Weights) else None


def label(precision: Precision) -> str:
    """The level's name, with the options that differ from its defaults: what tells it from the others.

    >>> label(FourBit(name="nf4", double_quant=True)), label(Plain(name="bf16", kv_cache=KvCache(format="int4")))
    ('nf4 double_quant=True', 'bf16+kv-int4')
    """
    kept = kv_cache(precision)
    changed = precision.model_dump(exclude_defaults=True, exclude={"name", "kv_cache"})
    if kept is not None:
        own = kept.model_dump(exclude_defaults=True, exclude={"format"})
        changed |= {f"kv_{key}": value for key, value in own.items()}
    mark = "" if kept is None else f"{KV_MARK}{kept.format}"
    return precision.name + mark + "".join(f" {key}={value}" for key, value in changed.items() if value is not None)
