"""Bytes that a model needs, from its `config.json` alone: what can be said before anything is loaded.

Counts follow the architectures' own definitions (Llama and its relatives, GPT-NeoX, BLOOM) and are tested against the
parameter counts that the checkpoints' publishers state.
"""

from dataclasses import dataclass, replace
from typing import Any

from bench.metrics.gguf_bits import BLOCK_BITS, HEAD_BITS, MIXTURE_BITS
from bench.metrics.kv import kv_bytes_per_value
from bench.schema import (
    FourBit,
    Fp8,
    Gguf,
    Hqq,
    Int8,
    KvCache,
    ModelFacts,
    Precision,
    Quanto,
    TorchAo,
    TorchAoInt4,
    Workload,
)
from bench.schema.precision import STORED, kv_cache

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "mixtral")
COUNT_TOLERANCE = 0.01
"""Share of a file by which an engine's count of its bytes may differ."""
PLAIN_BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0}

ARCHITECTURE_KEYS = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
    "attention_bias",
    "num_local_experts",
    "num_experts_per_tok",
    "sliding_window",
    "use_sliding_window",
    "n_layer",
    "gguf_bytes",
    "gguf_table_bytes",
    "gguf_other_bytes",
)
"""The keys of a config.json that are read here, over all architectures: what a record keeps of it."""


@dataclass(frozen=True)
class Stored:
    """Bytes of a GGUF file: all tensors, the input embedding, and everything but the matrices inside the layers."""

    total_bytes: int
    table_bytes: int
    other_bytes: int

    @property
    def layer_bytes(self) -> int:
        return self.total_bytes - self.other_bytes


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder. `linear_parameters` are the matrices inside the layers: what a quantiser packs.

    `linear_*` count all experts of all layers, `expert_*` one expert of one layer. `table_parameters` is the input
    embedding; a tied one is the output head too. `query_width` is heads × head size, `kv_width` the same of the keys.
    `window` is the number of tokens that a layer looks back, None for all of them.
    `stored` are the bytes of a GGUF file, where the sizes are from one.
    """

    linear_parameters: int
    linear_outputs: int
    other_parameters: int
    table_parameters: int
    tied: bool
    layers: int
    query_width: int
    kv_width: int
    hidden: int
    intermediate: int
    vocab: int
    experts: int = 1
    top_k: int = 1
    expert_parameters: int = 0
    expert_outputs: int = 0
    window: int | None = None
    stored: "Stored | None" = None

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters

    def with_experts(self, number: float) -> "Shape":
        """The same model with so many experts a layer (a mean need not be whole): what some tokens touch of it."""
        fewer = self.layers * (self.experts - number) if self.expert_parameters else 0.0
        return replace(
            self,
            linear_parameters=round(self.linear_parameters - fewer * self.expert_parameters),
            linear_outputs=round(self.linear_outputs - fewer * self.expert_outputs),
        )

    def without_table(self) -> "Shape":
        """The same model less an input embedding that only a row a token is read of; a tied one is read as a whole."""
        fewer = 0 if self.tied else self.table_parameters
        return replace(self, other_parameters=self.other_parameters - fewer, table_parameters=0)


@dataclass(frozen=True)
class Need:
    """Bytes for one cell."""

    weights_bytes: float
    kv_bytes: float
    activation_bytes: float

    @property
    def total_bytes(self) -> float:
        return self.weights_bytes + self.kv_bytes + self.activation_bytes


def shape(config: dict[str, Any]) -> Shape | None:
    """The sizes of a known architecture, None for an unknown or incomplete config."""
    try:
        kind = config["model_type"]
        if kind in LLAMA_LIKE:
            return _with_stored(_llama(config), config)
        if kind == "gpt_neox":
            return _with_stored(_gpt_neox(config), config)
        if kind == "bloom":
            return _with_stored(_bloom(config), config)
    except (KeyError, TypeError, ZeroDivisionError):
        pass
    return None


def _with_stored(of: Shape, config: dict[str, Any]) -> Shape:
    found = [config.get(f"gguf_{part}") for part in ("bytes", "table_bytes", "other_bytes")]
    if not all(isinstance(one, int) for one in found):
        return of
    return replace(of, stored=Stored(*(int(one) for one in found if one is not None)))


def sizes(config: dict[str, Any]) -> dict[str, Any]:
    """What a config says of `ARCHITECTURE_KEYS`: enough for `shape`, and small enough to stand in every record."""
    return {key: config[key] for key in ARCHITECTURE_KEYS if config.get(key) is not None}


def needed(of: Shape, precision: Precision, workload: Workload, at_once: int | None = None) -> Need:
    """Weights, KV cache and activations, in bytes; stored levels are counted as if 4-bit, the least they could be, but
    for GGUF files, whose headers say it.

    Activations are the widest moment of the prefill: the MLP's two intermediate tensors and four hidden ones for each
    prompt token, and the logits of one position a row. Cached tokens have a pass of their own beforehand: the longer of
    the two is the widest. `at_once`: the most prompt tokens that the engine computes together, if it divides prompts.
    Of a batch that is scheduled continuously one row, because an engine begins no more than it has room for.
    """
    kind = precision_bytes(precision)
    rows = 1 if workload.scheduling == "continuous" else workload.batch_size
    tokens = workload.input_tokens + workload.output_tokens
    weights = weights_bytes(of, precision)
    if precision.name in STORED and of.stored is not None:
        weights = float(of.stored.total_bytes)
    kv = of.layers * of.kv_width * _kv_bytes(kv_cache(precision), kind, tokens) * rows
    widest = rows * max(workload.cached_tokens, workload.input_tokens - workload.cached_tokens)
    if at_once is not None:
        widest = min(widest, at_once)
    activations = widest * (2 * of.intermediate + 4 * of.hidden) * kind + rows * of.vocab * 4.0
    return Need(weights, kv, activations)


def _kv_bytes(kept: KvCache | None, kind: float, tokens: int) -> float:
    """Bytes of a key and a value, one number of each, over so many tokens. Integers leave the newest ones plain."""
    if kept is None:
        return 2.0 * kind * tokens
    plain = 0 if kept.format == "fp8" else min(tokens, kept.residual_tokens)
    return 2.0 * (plain * kind + (tokens - plain) * kv_bytes_per_value(kept, kind))


def precision_bytes(precision: Precision) -> float:
    """Bytes of one unquantised value: embeddings, norms, activations and KV cache at this precision."""
    return PLAIN_BYTES.get(getattr(precision, "compute_dtype", precision.name), 2.0)


def level_bits(of: Shape, facts: ModelFacts, precision: Precision) -> float | None:
    """Bits of a quantised weight as they were measured: scales, zero points and padding included.

    8 · (bytes of all weights − what is not quantised at its plain type) / weights of the matrices inside the layers.
    Of a GGUF file 8 · bytes of those matrices / their weights, as its header has them.
    None where a stored level keeps its tables at no plain type, so that the two cannot be told apart, and where the
    weights are smaller than their tables alone would be.
    """
    if of.stored is not None and is_packed_file(of, facts, precision):
        return 8.0 * of.stored.layer_bytes / of.linear_parameters
    if isinstance(precision, Gguf):
        return None
    plain = precision_bytes(precision)
    if precision.name in STORED:
        known = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}.get(facts.dtype)
        if known is None:
            return None
        plain = known
    bits = 8.0 * (facts.weights_bytes - plain * of.other_parameters) / of.linear_parameters
    return bits if bits > 0 else None


def is_packed_file(of: Shape, facts: ModelFacts, precision: Precision) -> bool:
    """Whether an engine computed on the very GGUF file that the sizes are from, and not on what it unpacked."""
    if of.stored is None or not (isinstance(precision, Gguf) or precision.name in STORED):
        return False
    # Engines also count what follows from the sizes alone, such as factors of rotary frequencies.
    return abs(of.stored.total_bytes - facts.weights_bytes) <= COUNT_TOLERANCE * of.stored.total_bytes


def weights_bytes(of: Shape, precision: Precision) -> float:
    """Bytes of all weights with their scales; quantised are the matrices inside the layers alone, but for GGUF's types.

    Those quantise tables too: block formats as llama-quantize has them, mixtures by the mean that llama.cpp states.
    """
    if isinstance(precision, Gguf):
        return _gguf_bytes(of, precision.name)
    plain = precision_bytes(precision)
    return _linear_bytes(of, precision, plain) + of.other_parameters * plain


def _linear_bytes(of: Shape, precision: Precision, plain: float) -> float:
    """Each formula as the library's source has it; `plain` are the bytes of the computing type.

    bitsandbytes int8: one byte and an fp32 scale for each output row. nf4 and fp4: half a byte and an fp32 scale for
    each 64 weights (4.5 bits); double quantisation makes those scales 8-bit with an fp32 one for each 256 (4.127 bits).
    torchao int8 (`Int8Tensor.from_hp`): a byte, and an fp32 scale and an int8 zero point a row; fp8 (`Float8Tensor`): a
    byte and an fp32 scale a row; int4 (`pack_tinygemm_scales_and_zeros`): half a byte, and a scale and a zero point of
    the computing type a group (4.5 bits at 64). On GPUs its inputs are padded to a multiple of 1024.
    HQQ (`Quantizer.quantize`, `BitPack`): so many bits, ten 3-bit weights in 32, and a scale and a zero point of the
    computing type a group (4.5 bits at 64).
    optimum-quanto int8 and fp8 (`AbsmaxOptimizer`): a byte, and a scale of the computing type a row; int4 and int2
    (`QModuleMixin`): so many bits, and a scale and a shift of that type a group, whose size follows from the width.
    vLLM's fp8 (`Fp8PerTensorOnlineLinearMethod`, `Fp8PtpcOnlineLinearMethod`, `Fp8PerBlockOnlineLinearMethod`): a byte,
    and an fp32 scale a matrix (left out here), an output, or 128 × 128 weights.
    """
    weights, rows = of.linear_parameters, of.linear_outputs
    if isinstance(precision, Int8):
        return weights + 4.0 * rows
    if isinstance(precision, FourBit):
        scales = 1 / 64 + 4 / (64 * 256) if precision.double_quant else 4 / 64
        return weights * (0.5 + scales)
    if isinstance(precision, TorchAo):
        return weights + (5.0 if "int8" in precision.name else 4.0) * rows
    if isinstance(precision, TorchAoInt4):
        return weights * (0.5 + 2 * plain / precision.group_size)
    if isinstance(precision, Hqq):
        bits = {"hqq-int8": 8.0, "hqq-int4": 4.0, "hqq-int3": 3.2, "hqq-int2": 2.0}[precision.name]
        return weights * (bits / 8 + 2 * plain / precision.group_size)
    if isinstance(precision, Quanto):
        if precision.name in ("quanto-int8", "quanto-fp8"):
            return weights + plain * rows
        bits = 4.0 if precision.name == "quanto-int4" else 2.0
        groups = sum(part / quanto_group(width) for width, part in _by_inputs(of).items())
        return weights * bits / 8 + 2 * plain * groups
    if isinstance(precision, Fp8):
        return weights + {"tensor": 0.0, "channel": 4.0 * rows, "block": 4.0 * weights / 128**2}[precision.scales]
    return weights * (0.5 if precision.name in STORED else plain)


def _gguf_bytes(of: Shape, name: str) -> float:
    """Norms and biases stay in 32 bits; what is left of `other_parameters` without them are tables."""
    block = BLOCK_BITS.get(name)
    if block is None:
        return of.parameters * MIXTURE_BITS[name] / 8
    table = float(of.table_parameters)
    head = float(of.vocab * of.hidden)
    vectors = of.other_parameters - (table if of.tied else table + head)
    head_bits = block if name == "q8_0" else HEAD_BITS
    untied = 0.0 if of.tied else table * block
    return (of.linear_parameters * block + head * head_bits + untied) / 8 + 4.0 * vectors


def quanto_group(inputs: int) -> int:
    """Weights that share a scale in optimum-quanto's 4- and 2-bit layers of so many inputs (`QModuleMixin.__init__`).

    >>> [quanto_group(inputs) for inputs in (4096, 576, 320, 100)]
    [128, 96, 64, 100]
    """
    fits = [size for size in (128, 96, 64, 32) if inputs > 128 and inputs % size == 0]
    return fits[0] if fits else inputs


def _by_inputs(of: Shape) -> dict[int, float]:
    """Weights of the matrices by their number of inputs: hidden size, all heads together, the MLP's inner size."""
    heads = of.layers * of.query_width * of.hidden
    mlp = of.linear_parameters - of.layers * of.hidden * (2 * of.query_width + 2 * of.kv_width)
    down = mlp / 3 if of.expert_parameters else of.layers * of.hidden * of.intermediate
    found: dict[int, float] = {}
    for width, part in (
        (of.query_width, heads),
        (of.intermediate, down),
        (of.hidden, of.linear_parameters - heads - down),
    ):
        found[width] = found.get(width, 0.0) + part
    return found


def _llama(config: dict[str, Any]) -> Shape:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or hidden // heads
    vocab = config["vocab_size"]
    experts = config.get("num_local_experts", 1)
    attention = hidden * head * (2 * heads + 2 * kv_heads)
    bias = head * (heads + 2 * kv_heads) if config.get("attention_bias") or config["model_type"] == "qwen2" else 0
    head_norms = 2 * head if config["model_type"] == "qwen3" else 0  # of queries and keys
    router = hidden * experts if experts > 1 else 0
    tied = bool(config.get("tie_word_embeddings", False))
    tables = 1 if tied else 2
    # Qwen2 states a window that only `use_sliding_window` turns on.
    looks_back = config.get("use_sliding_window", config["model_type"] in ("mistral", "mixtral"))
    return Shape(
        linear_parameters=layers * (attention + experts * 3 * hidden * inner + router),
        linear_outputs=layers * (head * (heads + 2 * kv_heads) + hidden + experts * (2 * inner + hidden)),
        other_parameters=layers * (2 * hidden + head_norms + bias) + hidden + tables * vocab * hidden,
        table_parameters=vocab * hidden,
        tied=tied,
        layers=layers,
        query_width=heads * head,
        kv_width=kv_heads * head,
        hidden=hidden,
        intermediate=inner,
        vocab=vocab,
        experts=experts,
        top_k=config.get("num_experts_per_tok", 2) if experts > 1 else 1,  # 2 is Mixtral's own default
        expert_parameters=3 * hidden * inner if experts > 1 else 0,
        expert_outputs=2 * inner + hidden if experts > 1 else 0,
        window=config.get("sliding_window") if looks_back else None,
    )


def _gpt_neox(config: dict[str, Any]) -> Shape:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layers, vocab = config["num_hidden_layers"], config["vocab_size"]
    tied = bool(config.get("tie_word_embeddings", False))
    tables = 1 if tied else 2
    biases = 3 * hidden + hidden + inner + hidden
    return Shape(
        linear_parameters=layers * (4 * hidden * hidden + 2 * hidden * inner),
        linear_outputs=layers * biases,
        other_parameters=layers * (4 * hidden + biases) + 2 * hidden + tables * vocab * hidden,
        table_parameters=vocab * hidden,
        tied=tied,
        layers=layers,
        query_width=hidden,
        kv_width=hidden,
        hidden=hidden,
        intermediate=inner,
        vocab=vocab,
    )


def _bloom(config: dict[str, Any]) -> Shape:
    hidden = config["hidden_size"]
    layers, vocab = config["n_layer"], config["vocab_size"]
    inner = 4 * hidden
    biases = 3 * hidden + hidden + inner + hidden
    return Shape(
        linear_parameters=layers * (4 * hidden * hidden + 2 * hidden * inner),
        linear_outputs=layers * biases,
        # Embedding with its own norm, a final norm; the output head is the embedding.
        other_parameters=layers * (4 * hidden + biases) + 4 * hidden + vocab * hidden,
        table_parameters=vocab * hidden,
        tied=True,
        layers=layers,
        query_width=hidden,
        kv_width=hidden,
        hidden=hidden,
        intermediate=inner,
        vocab=vocab,
    )
