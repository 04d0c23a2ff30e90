"""A text by the model's own tokenizer, the one in its GGUF file, and the logits that it gives."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.errors import UnsupportedError
from bench.runners import Encoded
from bench.runners.llama_cpp.engine import Context, Model

NO_VOCABULARY = 0


def tokens(model: Model, text: str) -> list[int] | None:
    """A text's tokens, none added for its begin or end, no mark in it taken for a special token; None without a
    tokenizer."""
    call, vocabulary = model.library.call, model.vocabulary
    if call.llama_vocab_type(vocabulary) == NO_VOCABULARY:
        return None
    data = text.encode("utf-8")
    most = len(data) + 16
    found = (ctypes.c_int32 * most)()
    count = call.llama_tokenize(vocabulary, data, len(data), found, most, False, False)
    if count < 0:
        most = -count
        found = (ctypes.c_int32 * most)()
        count = call.llama_tokenize(vocabulary, data, len(data), found, most, False, False)
    return list(found[:count])


def encode(model: Model, text: str) -> Encoded:
    """Raises UnsupportedError where the file has no tokenizer."""
    found = tokens(model, text)
    if not found:
        raise UnsupportedError("no quality: no tokenizer in this GGUF file", "use a file with its vocabulary")
    call, vocabulary = model.library.call, model.vocabulary
    ends = (call.llama_vocab_bos(vocabulary), call.llama_vocab_eos(vocabulary))
    prefix = next((token for token in ends if token >= 0), None)
    return Encoded(found, prefix, _first_bytes(model, text, found[0]))


def _first_bytes(model: Model, text: str, first: int) -> int:
    """UTF-8 bytes that the first token stands for; a blank that the tokenizer puts before a text is none of them."""
    buffer = ctypes.create_string_buffer(512)
    size = model.library.call.llama_token_to_piece(model.vocabulary, first, buffer, len(buffer), 0, False)
    piece = buffer.raw[: max(size, 0)]
    data = text.encode("utf-8")
    return len(piece if data.startswith(piece) else piece.removeprefix(b" "))


def logits(context: Context, rows: Sequence[Sequence[int]]) -> Any:
    """A torch tensor (B, S, V): each row read by itself, part by part, through the cache as it is kept."""
    import torch  # what scores a text wants it, and nothing else here

    context.clear()
    return torch.from_numpy(np.stack([context.every_logit(np.asarray(row, np.int32)) for row in rows]))
