"""Bytes that a model needs, from its `config.json` alone: what can be said before anything is loaded.

Counts follow the architectures' own definitions (Llama and its relatives, GPT-NeoX, BLOOM) and are tested against the
parameter counts that the checkpoints' publishers state.
"""

from dataclasses import dataclass
from typing import Any

from bench.schema import FourBit, Int8, Precision, Workload

LLAMA_LIKE = ("llama", "mistral", "qwen2", "mixtral")
PLAIN_BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0}


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder. `linear_parameters` are the matrices inside the layers: what a quantiser packs."""

    linear_parameters: int
    linear_outputs: int
    other_parameters: int
    layers: int
    kv_width: int
    hidden: int
    intermediate: int
    vocab: int

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters


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
            return _llama(config)
        if kind == "gpt_neox":
            return _gpt_neox(config)
        if kind == "bloom":
            return _bloom(config)
    except (KeyError, TypeError, ZeroDivisionError):
        pass
    return None


def needed(of: Shape, precision: Precision, workload: Workload) -> Need:
    """Weights, KV cache and activations, in bytes; `checkpoint` is counted as if 4-bit, the least it could be.

    Activations are the widest moment of the prefill: the MLP's two intermediate tensors and four hidden ones for each
    prompt token, and the logits of one position a row.
    """
    kind = precision_bytes(precision)
    rows, tokens = workload.batch_size, workload.input_tokens + workload.output_tokens
    weights = weights_bytes(of, precision)
    kv = 2.0 * of.layers * of.kv_width * kind * rows * tokens
    activations = rows * workload.input_tokens * (2 * of.intermediate + 4 * of.hidden) * kind + rows * of.vocab * 4.0
    return Need(weights, kv, activations)


def precision_bytes(precision: Precision) -> float:
    """Bytes of one unquantised value: embeddings, norms, activations and KV cache at this precision."""
    if isinstance(precision, FourBit):
        return PLAIN_BYTES[precision.compute_dtype]
    return PLAIN_BYTES.get(precision.name, 2.0)


def weights_bytes(of: Shape, precision: Precision) -> float:
    """Bytes of all weights with their scales.

    bitsandbytes int8: one byte and an fp32 scale for each output row. nf4 and fp4: half a byte and an fp32 scale for
    each 64 weights (4.5 bits); double quantisation makes those scales 8-bit with an fp32 one for each 256 (4.127 bits).
    """
    plain = precision_bytes(precision)
    if isinstance(precision, Int8):
        linear = of.linear_parameters + 4.0 * of.linear_outputs
    elif isinstance(precision, FourBit):
        scales = 1 / 64 + 4 / (64 * 256) if precision.double_quant else 4 / 64
        linear = of.linear_parameters * (0.5 + scales)
    elif precision.name == "checkpoint":
        linear = of.linear_parameters * 0.5
    else:
        linear = of.linear_parameters * plain
    return linear + of.other_parameters * plain


def _llama(config: dict[str, Any]) -> Shape:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or hidden // heads
    vocab = config["vocab_size"]
    experts = config.get("num_local_experts", 1)
    attention = hidden * head * (2 * heads + 2 * kv_heads)
    bias = head * (heads + 2 * kv_heads) if config.get("attention_bias") or config["model_type"] == "qwen2" else 0
    router = hidden * experts if experts > 1 else 0
    tables = 1 if config.get("tie_word_embeddings", False) else 2
    return Shape(
        linear_parameters=layers * (attention + experts * 3 * hidden * inner + router),
        linear_outputs=layers * (head * (heads + 2 * kv_heads) + hidden + experts * (2 * inner + hidden)),
        other_parameters=layers * (2 * hidden + bias) + hidden + tables * vocab * hidden,
        layers=layers,
        kv_width=kv_heads * head,
        hidden=hidden,
        intermediate=inner,
        vocab=vocab,
    )


def _gpt_neox(config: dict[str, Any]) -> Shape:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layers, vocab = config["num_hidden_layers"], config["vocab_size"]
    tables = 1 if config.get("tie_word_embeddings", False) else 2
    biases = 3 * hidden + hidden + inner + hidden
    return Shape(
        linear_parameters=layers * (4 * hidden * hidden + 2 * hidden * inner),
        linear_outputs=layers * biases,
        other_parameters=layers * (4 * hidden + biases) + 2 * hidden + tables * vocab * hidden,
        layers=layers,
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
        layers=layers,
        kv_width=hidden,
        hidden=hidden,
        intermediate=inner,
        vocab=vocab,
    )
