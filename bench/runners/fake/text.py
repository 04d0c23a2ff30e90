"""Programmed predictions: logits by a formula, so that what a quality pass says of them is known beforehand.

A token is a few bytes of the text, and what comes next depends on the last token alone: its row of a fixed table of
normal draws, plus `perturbation` times its row of another one that each precision has for itself. Perplexity and
divergence of each level then follow from the two tables in closed form.
"""

import zlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UnsupportedError
from bench.runners import Encoded
from bench.runners.fake.trouble import Failing

VOCABULARY = 1000
PREFIX = VOCABULARY - 1
TOKEN_BYTES = 4
PERTURBATION = {"fp32": 0.0, "fp16": 0.01, "bf16": 0.02, "int8": 0.1, "fp4": 0.5, "nf4": 0.4}
USUAL_PERTURBATION = 0.2


class Text(BaseModel):
    """Programmed truth of the fake's predictions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spread: float = Field(2.0, ge=0, le=20, description="standard deviation of the logits; 0: all tokens alike")
    temperature: float = Field(1.0, gt=0, description="the logits are divided by it")
    perturbation: dict[str, float] = Field(
        default_factory=dict,
        description="precision → standard deviation of what is added to its logits; some have usual ones",
    )
    nan_every: int = Field(0, ge=0, description="no finite logits after tokens whose id this divides; 0: never; 1: all")
    tokenizer: Literal["own", "other", "foreign", "none"] = Field(
        "own", description="other: gives other tokens; foreign: gives tokens that the model does not know"
    )
    prefix: bool = Field(True, description="whether there is a token to read before a text's first one")
    trouble: dict[str, Failing] = Field(
        default_factory=dict, description="precision → what goes wrong, once, while it is scored"
    )


def encode(text: str, options: Text) -> Encoded:
    """Each four bytes of UTF-8 are a token, by their checksum."""
    if options.tokenizer == "none":
        raise UnsupportedError("no quality: no tokenizer (the fake was told to have none)", "set tokenizer: own")
    data = text.encode("utf-8")
    salt = 1 if options.tokenizer == "other" else 0
    pieces = [data[start : start + TOKEN_BYTES] for start in range(0, len(data), TOKEN_BYTES)]
    tokens = [zlib.crc32(piece, salt) % (VOCABULARY - 1) for piece in pieces]
    if options.tokenizer == "foreign":
        tokens[-1] = VOCABULARY
    return Encoded(tokens, PREFIX if options.prefix else None, len(pieces[0]))


def table(precision: str, options: Text) -> Any:
    """Logits after each token of the vocabulary: shape (V, V), float32. Rows of tokens index it: (B, S) → (B, S, V)."""
    import numpy as np

    found = np.random.default_rng(1).standard_normal((VOCABULARY, VOCABULARY), dtype=np.float32) * options.spread
    sd = options.perturbation.get(precision, PERTURBATION.get(precision, USUAL_PERTURBATION))
    if sd:
        own = np.random.default_rng(zlib.crc32(precision.encode()))
        found += sd * own.standard_normal((VOCABULARY, VOCABULARY), dtype=np.float32)
    found /= options.temperature
    if options.nan_every:
        found[:: options.nan_every] = np.nan
    return found
