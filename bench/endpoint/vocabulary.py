"""What synthetic prompts are made of, so that they have the length that was asked for by the server's own count."""

from statistics import mean, stdev

from bench.endpoint.probe import IDS, LONG, SHORT
from bench.endpoint.tokenizer import LocalTokenizer
from bench.endpoint.words import WORDS
from bench.errors import InputError
from bench.loads import Vocabulary
from bench.schema import Capabilities, Endpoint

FEWEST_WORDS = 200
"""Of a tokenizer, for rows that do not repeat themselves soon."""
AGREES = 0.02
"""Tokens a word that two counts may differ by, and be by the same tokenizer."""
DRAWN = LONG - SHORT
"""Words that the probe drew from the list, by which it counted."""


def vocabulary(
    endpoint: Endpoint, capabilities: Capabilities, tokenizer: LocalTokenizer | None, turns: int = 1
) -> Vocabulary:
    """Token ids where the server takes them; else words of the local tokenizer; else common words.

    Conversations (`turns` over 1) are text, because answers come back as text. Raises InputError where token ids are
    asked for and cannot be had.
    """
    trusted = tokenizer if tokenizer is not None and agrees(capabilities, tokenizer) else None
    if endpoint.prompt_form == "ids":
        if not capabilities.token_ids:
            raise InputError(f"prompt_form: this server takes no token ids; set it to text ({_why(capabilities)})")
        if turns > 1:
            raise InputError("prompt_form: conversations hold answers, which are text; set it to text, or turns to 1")
    if endpoint.prompt_form != "text" and endpoint.api == "completions" and capabilities.token_ids and turns == 1:
        return Vocabulary(source="ids", ids=trusted.ids if trusted is not None else range(min(IDS), max(IDS) + 1))
    overhead = capabilities.overhead_tokens or 0
    if trusted is not None and len(trusted.words) >= FEWEST_WORDS:
        return Vocabulary(source="tokenizer", words=trusted.words, overhead_tokens=overhead)
    per_word = capabilities.tokens_per_word or 1.0
    words = tuple(f" {word}" for word in WORDS)
    return Vocabulary(source="estimate", words=words, tokens_per_word=per_word, overhead_tokens=overhead)


def agrees(capabilities: Capabilities, tokenizer: LocalTokenizer) -> bool:
    """Whether a tokenizer counts common words as the server does; another model's tokenizer often does not.

    True where the server gave no count to compare with.
    """
    if capabilities.tokens_per_word is None:
        return True
    counts = [tokenizer.count(f" {word}") for word in WORDS]
    drawn_at_random = 3 * stdev(counts) / DRAWN**0.5
    return bool(abs(mean(counts) - capabilities.tokens_per_word) <= AGREES + 1 / DRAWN + drawn_at_random)


def _why(capabilities: Capabilities) -> str:
    return next((note for note in capabilities.notes if "token ids" in note), "it was not tried")
