"""A text as the model's own tokenizer has it, and the logits that the loaded network gives it."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoTokenizer

from bench.errors import UnsupportedError
from bench.runners import Encoded
from bench.runners.transformers import kv_cache, load
from bench.runners.transformers.loaded import Loaded
from bench.runners.transformers.loop import input_device
from bench.schema import Model

CHUNK_TOKENS = 64
"""Of a window that are read at once where keys and values are packed: later chunks attend to packed earlier ones."""


def tokenizer(model: Model) -> Any:
    """The tokenizer beside the model's weights. Raises UnsupportedError where there is none."""
    source, arguments = load.where(model)
    try:
        return AutoTokenizer.from_pretrained(source, **arguments)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UnsupportedError(
            f"no quality: no tokenizer that can be read beside the model ({text})",
            "put its tokenizer.json beside its weights",
        ) from error


def encode(model: Model, loaded: Loaded, text: str) -> Encoded:
    """Raises UnsupportedError where there is no tokenizer, or one that is not this network's."""
    made = tokenizer(model)
    tokens = list(made(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"])
    if not tokens:
        raise UnsupportedError("no quality: the tokenizer makes no tokens of the text", "put the model's own there")
    prefix = made.bos_token_id if made.bos_token_id is not None else made.eos_token_id
    known = loaded.network.config.get_text_config().vocab_size
    highest = max([*tokens, -1 if prefix is None else prefix])
    if highest >= known:
        raise UnsupportedError(
            f"the tokenizer is not this model's: it gives the token {highest}, the model knows {known}",
            "put the model's own tokenizer files beside its weights",
        )
    notes = []
    unknown = 0 if made.unk_token_id is None else tokens.count(made.unk_token_id)
    if unknown:
        notes.append(f"the tokenizer does not know {unknown} of {len(tokens)} tokens: bits per byte are too few")
    return Encoded(tokens, prefix, _first_bytes(made, text, tokens[0]), tuple(notes))


def _first_bytes(made: Any, text: str, first: int) -> int:
    """UTF-8 bytes that the first token stands for."""
    if made.is_fast:
        _, end = made(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"][0]
        return len(text[:end].encode("utf-8"))
    return len(made.decode([first]).encode("utf-8"))


def logits(loaded: Loaded, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (B, S, V) of rows of equal length, on the device that computed them.

    Where keys and values are packed, each row is fed in chunks, so that what a token attends to is packed as it would
    be while tokens are generated; otherwise each row is read whole.
    """
    network = loaded.network
    ids = torch.tensor([list(row) for row in rows], device=input_device(network))
    with torch.inference_mode() if loaded.inference_mode else torch.no_grad():
        if loaded.kv_cache is None:
            found: torch.Tensor = network(input_ids=ids, use_cache=False).logits
            return found
        cache = kv_cache.cache_for(network.config, loaded.kv_cache)
        return torch.cat(
            [
                network(input_ids=chunk, past_key_values=cache, use_cache=True).logits
                for chunk in ids.split(CHUNK_TOKENS, dim=1)
            ],
            dim=1,
        )
