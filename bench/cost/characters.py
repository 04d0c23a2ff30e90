"""Dollars per million characters: tokenizers split the same text differently, so dollars per token do not compare.

A fixed text (`text_sample.txt`, 48,185 characters) was counted with every tokenizer that a package of a public registry
holds; `text_tokens.csv` has the counts, which models each is for, and where it came from. Tokens per character turn
dollars per million tokens into dollars per million characters of text, in and out alike.

The text is that of `bench/models/sample_text.py`. A ratio between two models depends on the kind of text as well, so
each of its parts has its own counts.

Anthropic publishes no tokenizer of Claude 3 and later: such a model is not found here, and is never guessed. Google's
own SDK counts Gemini 2.0 and 2.5 locally with Gemma 3's tokenizer, and so does this list. `scripts/count_text.py`
counts again.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from bench.models.sample_text import PARTS, sample_parts

UNKNOWN = "its tokenizer is not to be had; tokens taken as equal"
"""What is said of a model whose tokens cannot be counted, where its dollars stand beside another's."""


@dataclass(frozen=True)
class Count:
    """How many tokens a text of so many characters is."""

    tokens: int
    characters: int

    @property
    def tokens_per_character(self) -> float:
        """About 0.2 to 0.3 for English prose, above 1 for a script that the tokenizer does not know.

        >>> Count(250, 1000).tokens_per_character
        0.25
        """
        return self.tokens / self.characters


@dataclass(frozen=True)
class TextTokens(Count):
    """The sample's tokens with one tokenizer. `parts` are empty for a count of the whole text alone."""

    tokenizer: str
    source: str
    date: str = ""
    note: str = ""
    parts: Mapping[str, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class _Listed:
    tokens: TextTokens
    patterns: re.Pattern[str]


def known() -> tuple[TextTokens, ...]:
    """Every tokenizer that was counted with."""
    return tuple(one.tokens for one in _listed())


def find(model_name: str) -> TextTokens | None:
    """The tokenizer of an API's model, a hub id, a shape or a built-in model, by its name.

    None where no tokenizer of the list is known to be the model's, and where two would fit.

    >>> find("openai/gpt-5-nano").tokenizer, find("shape:llama-3.1-8b").tokenizer
    ('o200k_base', 'llama-3')
    >>> find("anthropic/claude-opus-4-5") is None
    True
    """
    name = _last_part(model_name)
    found = [one.tokens for one in _listed() if one.patterns.search(name)]
    return found[0] if len(found) == 1 else None


def same_text_ratio(api: Count, own: Count) -> float:
    """Tokens that the API charges for each token that one's own model takes for the same text.

    An API that needs 300 tokens where one's own model needs 250 charges 1.2 for each:

    >>> same_text_ratio(Count(300, 1000), Count(250, 1000))
    1.2
    """
    return float(Fraction(api.tokens, api.characters) / Fraction(own.tokens, own.characters))


def _last_part(model_name: str) -> str:
    """`provider/owner/name@variant` without what says nothing of the model.

    >>> _last_part("groq/openai/GPT-OSS-120B@batch"), _last_part("builtin:smollm2-135m"), _last_part("m/Llama-3.gguf")
    ('gpt-oss-120b', 'smollm2-135m', 'llama-3')
    """
    name = re.sub(r"^(?:builtin|shape):", "", model_name.strip().lower())
    name = name.removesuffix("/config.json").rstrip("/")
    if not name.startswith("@"):
        name = re.sub(r"(?<!/)@[^/]*$", "", name)
    return name.rpartition("/")[2].removesuffix(".gguf")


@cache
def _listed() -> tuple[_Listed, ...]:
    with (files("bench.data") / "text_tokens.csv").open(encoding="utf-8") as text:
        return tuple(_row(row) for row in csv.DictReader(text))


def _row(row: dict[str, str]) -> _Listed:
    lengths = {name: len(text) for name, text in sample_parts().items()}
    counts = TextTokens(
        tokens=int(row["tokens"]),
        characters=int(row["characters"]),
        tokenizer=row["tokenizer"],
        source=row["source"],
        date=row["date"],
        note=row["note"],
        parts=MappingProxyType({part: Count(int(row[f"{part}_tokens"]), lengths[part]) for part in PARTS}),
    )
    return _Listed(counts, re.compile(row["model_patterns"]))
