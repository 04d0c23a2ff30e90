"""Keys and values: how many bytes a token takes, and the caches that pack them into fewer bits."""

from typing import Any

import torch

from bench.schema import KvCache


def bytes_per_token(network: Any, config: Any, kept: KvCache | None) -> int | None:
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None)
    layers = getattr(config, "num_hidden_layers", None)
    hidden = getattr(config, "hidden_size", None)
    if not (heads and layers and hidden):
        return None
    size = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    return int(2 * layers * heads * size * torch.empty((), dtype=network.dtype).element_size())
