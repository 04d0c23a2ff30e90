"""Small GGUF files, written by llama.cpp's own Python package: what our reader and maker are held against."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

SHAPE: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def written(
    path: Path,
    matrices: str = "F16",
    *,
    tied: bool = True,
    split_from: int = 0,
    tokens: int = 0,
    more: dict[str, Any] | None = None,
) -> Path:
    """A Llama of two layers with random weights. `tokens`: of a vocabulary; `more`: texts under keys of their own."""
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split_from)
    writer.add_name("tiny")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(256)
    writer.add_feed_forward_length(512)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType[f"{'ALL' if matrices == 'F32' else 'MOSTLY'}_{matrices}"])
    writer.add_vocab_size(512)
    writer.add_tokenizer_model("no_vocab")
    for key, value in (more or {}).items():
        writer.add_string(key, value)
    if tokens:
        writer.add_token_list([f"token {number} ü" for number in range(tokens)])
        writer.add_token_types([1] * tokens)
    draw = np.random.default_rng(7)
    sizes = {"token_embd": (512, 256), **({} if tied else {"output": (512, 256)})}
    for layer in range(2):
        block = f"blk.{layer}."
        sizes |= {f"{block}attn_{name}": (256, 256) for name in ("q", "output")}
        sizes |= {f"{block}attn_{name}": (128, 256) for name in ("k", "v")}
        sizes |= {f"{block}ffn_gate": (512, 256), f"{block}ffn_up": (512, 256), f"{block}ffn_down": (256, 512)}
    kind = gguf.GGMLQuantizationType[matrices]
    for name, shape in sizes.items():
        values = (draw.standard_normal(shape) * 0.02).astype(np.float32)
        raw = None if matrices in ("F32", "F16") else kind
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=raw)
    norms = ["output_norm", *(f"blk.{layer}.{name}_norm" for layer in range(2) for name in ("attn", "ffn"))]
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
