"""What a GGUF file of an architecture with random weights holds: its keys and tensors, from a config.json's sizes.

Llama and its relatives, GPT-NeoX and BLOOM, as llama.cpp's src/models/ create them. The vocabulary is made up: bytes,
and words that no text is tokenised to, so that texts can be sent to a server and come back; a token is a byte of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import UnsupportedError
from bench.gguf_files.mixture import Planned, Sizes

LLAMA_LIKE = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
BYTES = 256
CONTROL, NORMAL = 3, 1
"""Types of tokens in llama.cpp."""


@dataclass(frozen=True)
class Plan:
    """Keys with their values, tensors (all F32 until a precision is chosen), and what the mixture asks."""

    keys: dict[str, Any]
    tensors: tuple[Planned, ...]
    sizes: Sizes
    rope: dict[str, Any] | None = None
    """Settings of Llama 3's rope factors, for the tensor `rope_freqs.weight`."""
    head: int = 0


def plan(config: dict[str, Any]) -> Plan:
    """Raises UnsupportedError for an architecture that is not known here, and for sizes that a config lacks."""
    kind = config.get("model_type")
    makers: dict[str, Callable[[dict[str, Any]], Plan]] = {
        **dict.fromkeys(LLAMA_LIKE, _llama),
        "gpt_neox": _gpt_neox,
        "bloom": _bloom,
    }
    if kind not in makers:
        raise UnsupportedError(
            f"no GGUF file with random weights is made of the architecture {kind!r}",
            f"use one of {', '.join(sorted(makers))}, or the runner transformers",
        )
    try:
        return makers[str(kind)](config)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise UnsupportedError(f"the config.json of this {kind} lacks {error}", "complete it") from None


def vocabulary(size: int) -> dict[str, Any]:
    """Keys of a tokenizer with so many tokens: a byte each, words that no text has, and the ends of a text."""
    if size < BYTES + 4:
        return {"tokenizer.ggml.model": "no_vocab"}
    letters = byte_letters()
    words = [f"w{number}" for number in range(size - len(letters) - 2)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [*letters, *words, "<begin>", "<end>"],
        "tokenizer.ggml.token_type": [NORMAL] * (size - 2) + [CONTROL, CONTROL],
        "tokenizer.ggml.merges": ["w 0"],
        "tokenizer.ggml.bos_token_id": size - 2,
        "tokenizer.ggml.eos_token_id": size - 1,
        "tokenizer.ggml.add_bos_token": False,
    }


def byte_letters() -> list[str]:
    """How a byte-level vocabulary writes each byte: printable ones as they are, others from U+0100 on (GPT-2)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(BYTES, 2 * BYTES))
    return [chr(byte if byte in printable else next(others)) for byte in range(BYTES)]


def _llama(config: dict[str, Any]) -> Plan:
    arch = LLAMA_LIKE[config["model_type"]]
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or hidden // heads
    experts = config.get("num_local_experts") or 0
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    keys = {
        **_sizes(arch, config, layers, hidden, inner, heads, vocab),
        f"{arch}.attention.head_count_kv": kv_heads,
        f"{arch}.attention.key_length": head,
        f"{arch}.attention.value_length": head,
        f"{arch}.attention.layer_norm_rms_epsilon": float(config.get("rms_norm_eps", 1e-5)),
        f"{arch}.rope.dimension_count": head,
        f"{arch}.rope.freq_base": float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
    }
    if experts:
        keys |= {f"{arch}.expert_count": experts, f"{arch}.expert_used_count": config.get("num_experts_per_tok", 2)}
    stretched = rope.get("rope_type") == "llama3"
    found = [*_ends(hidden, vocab, bool(config.get("tie_word_embeddings", False)), bias=False)]
    if stretched:
        found.append(Planned("rope_freqs.weight", (head // 2,), "F32"))
    has_bias = config.get("attention_bias") or arch == "qwen2"
    for layer in range(layers):
        block = f"blk.{layer}."
        found += [_vector(f"{block}{name}.weight", hidden) for name in ("attn_norm", "ffn_norm")]
        found += [
            _matrix(f"{block}attn_q.weight", hidden, heads * head),
            _matrix(f"{block}attn_k.weight", hidden, kv_heads * head),
            _matrix(f"{block}attn_v.weight", hidden, kv_heads * head),
            _matrix(f"{block}attn_output.weight", heads * head, hidden),
        ]
        if has_bias:
            widths = {"q": heads * head, "k": kv_heads * head, "v": kv_heads * head}
            found += [_vector(f"{block}attn_{name}.bias", width) for name, width in widths.items()]
        if arch == "qwen3":
            found += [_vector(f"{block}attn_{name}_norm.weight", head) for name in ("q", "k")]
        many = (experts,) if experts else ()
        ending = "_exps" if experts else ""
        if experts:
            found.append(_matrix(f"{block}ffn_gate_inp.weight", hidden, experts))
        found += [
            Planned(f"{block}ffn_gate{ending}.weight", (hidden, inner, *many), "F32"),
            Planned(f"{block}ffn_up{ending}.weight", (hidden, inner, *many), "F32"),
            Planned(f"{block}ffn_down{ending}.weight", (inner, hidden, *many), "F32"),
        ]
    scaling = {"rope_theta": keys[f"{arch}.rope.freq_base"], **rope} if stretched else None
    return Plan(keys, tuple(found), Sizes(arch, layers, heads, kv_heads, experts), scaling, head)


def _gpt_neox(config: dict[str, Any]) -> Plan:
    arch, hidden, heads = "gptneox", config["hidden_size"], config["num_attention_heads"]
    layers, inner, vocab = config["num_hidden_layers"], config["intermediate_size"], config["vocab_size"]
    rope = config.get("rope_parameters") or {}
    share = rope.get("partial_rotary_factor") or config.get("rotary_pct") or 0.25
    keys = {
        **_sizes(arch, config, layers, hidden, inner, heads, vocab),
        f"{arch}.rope.dimension_count": int(hidden // heads * share),
        f"{arch}.rope.freq_base": float(rope.get("rope_theta") or config.get("rotary_emb_base") or 10000.0),
        f"{arch}.attention.layer_norm_epsilon": float(config.get("layer_norm_eps", 1e-5)),
        f"{arch}.use_parallel_residual": bool(config.get("use_parallel_residual", True)),
    }
    found = [*_ends(hidden, vocab, tied=False, bias=True), *_packed_layers(layers, hidden, inner)]
    return Plan(keys, tuple(found), Sizes(arch, layers, heads, heads))


def _bloom(config: dict[str, Any]) -> Plan:
    arch, hidden, heads = "bloom", config["hidden_size"], config["n_head"]
    layers, vocab = config["n_layer"], config["vocab_size"]
    keys = {
        **_sizes(arch, config, layers, hidden, 4 * hidden, heads, vocab),
        f"{arch}.attention.layer_norm_epsilon": float(config.get("layer_norm_epsilon", 1e-5)),
    }
    norm = [_vector(f"token_embd_norm.{part}", hidden) for part in ("weight", "bias")]
    found = [*_ends(hidden, vocab, tied=True, bias=True), *norm, *_packed_layers(layers, hidden, 4 * hidden)]
    return Plan(keys, tuple(found), Sizes(arch, layers, heads, heads))


def _sizes(
    arch: str, config: dict[str, Any], layers: int, hidden: int, inner: int, heads: int, vocab: int
) -> dict[str, Any]:
    return {
        "general.architecture": arch,
        f"{arch}.vocab_size": vocab,
        f"{arch}.context_length": config.get("max_position_embeddings") or config.get("seq_length") or 2048,
        f"{arch}.embedding_length": hidden,
        f"{arch}.block_count": layers,
        f"{arch}.feed_forward_length": inner,
        f"{arch}.attention.head_count": heads,
    }


def _ends(hidden: int, vocab: int, tied: bool, bias: bool) -> Iterator[Planned]:
    """Tables and the final norm."""
    yield _matrix("token_embd.weight", hidden, vocab)
    if not tied:
        yield _matrix("output.weight", hidden, vocab)
    yield _vector("output_norm.weight", hidden)
    if bias:
        yield _vector("output_norm.bias", hidden)


def _packed_layers(layers: int, hidden: int, inner: int) -> Iterator[Planned]:
    """Layers with query, key and value in one matrix, an MLP of two, and a bias everywhere."""
    for layer in range(layers):
        block = f"blk.{layer}."
        widths = {"attn_qkv": (hidden, 3 * hidden), "attn_output": (hidden, hidden)}
        widths |= {"ffn_up": (hidden, inner), "ffn_down": (inner, hidden)}
        for name in ("attn_norm", "ffn_norm"):
            yield _vector(f"{block}{name}.weight", hidden)
            yield _vector(f"{block}{name}.bias", hidden)
        for name, (inputs, outputs) in widths.items():
            yield _matrix(f"{block}{name}.weight", inputs, outputs)
            yield _vector(f"{block}{name}.bias", outputs)


def _matrix(name: str, inputs: int, outputs: int) -> Planned:
    return Planned(name, (inputs, outputs), "F32")


def _vector(name: str, width: int) -> Planned:
    return Planned(name, (width,), "F32")
