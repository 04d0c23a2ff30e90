"""Synthetic prompts: exact in length, and never two that begin alike, so that no prefix cache answers unasked.

A prompt is a row of entries of the vocabulary: token ids, or words that are `tokens_per_word` tokens each. Its first
entries are a number, written in base V (the size of the vocabulary) with its fastest digit first:

    number = hash of the whole traffic + replicate · 2³³ + (session · turns + turn)   modulo Vᵏ

with k as small as Vᵏ ≥ 2⁴³ allows (3 entries of 21,000, 5 of 400). Within a cell and its 1,024 replicates these
numbers are all different, exactly; any V prompts in a row differ in their first entry already. Other seeds, and other
cells of a sweep, start elsewhere by their hash: that two of them overlap at all is as likely as 1 in 10⁵ for 50 runs
of 100,000 requests. After the number come entries drawn at random (SplitMix64 over a key of the number: no state, so
that each load generator process makes just its own prompts).

**Shared prefixes.** A prompt of n tokens takes the first round(hit_rate · n) from one of `pool` prefixes, drawn at
random, and the rest, with its number, is its own. A perfect cache then holds hit_rate of all prompt tokens, less the
first use of each prefix (so of N requests about hit_rate · (1 − pool/N)), and less what rounding takes: caches keep
whole blocks (vLLM 16 tokens, others up to 512), so that of a prefix of m tokens only the whole blocks count. Where
lengths are drawn, a prompt may need more of a prefix than any before it; that part is new as well. Each replicate has
prefixes of its own. In later turns everything said before is shared anyway, and the new content has no prefix.
"""

import math
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.loads import Vocabulary
from bench.loads.replay import BLOCK_TOKENS

_REQUESTS = 1 << 32
"""Numbers of requests of a replicate; as many more are for what is shared."""
_REPLICATES = 1 << 10
_NUMBERS = 2 * _REQUESTS * _REPLICATES
_KEPT_ENTRIES = 4_000_000
"""Shared pieces that are kept for the next request: some 40 MB of text."""
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

Piece = TypeVar("Piece", str, list[int])


class Writer(Generic[Piece]):
    """Writes the prompts of one replicate. Pure: the same number gives the same prompt."""

    def __init__(self, entries: Sequence[str] | Sequence[int], vocabulary: Vocabulary, salt: int, replicate: int):
        self._entries = list(dict.fromkeys(entries))
        self._size = len(self._entries)
        self._per_entry = vocabulary.tokens_per_word if not vocabulary.ids else 1.0
        self._overhead = vocabulary.overhead_tokens
        self.unique_entries = 1  # at the start of each prompt
        while self._size**self.unique_entries < _NUMBERS:
            self.unique_entries += 1
        self._space: int = self._size**self.unique_entries
        self._first = _mixed(salt) * _mixed(~salt & _MASK) + replicate % _REPLICATES * 2 * _REQUESTS
        self._key = _mixed(salt ^ _mixed(replicate))
        self._steps = _steps(1024)
        self._kept: dict[tuple[int, int], Piece] = {}
        self._kept_entries = 0

    def check(self, input_tokens: float, shared: float = 0.0) -> None:
        """Raises InputError where prompts of this length, of which `shared` are a prefix, cannot all differ."""
        least = math.ceil(self.unique_entries * self._per_entry)
        own = input_tokens - self._overhead - shared
        if own >= least:
            return
        parts = [f"{least} to make each prompt another one"]
        parts += [f"{self._overhead} for the chat template"] if self._overhead else []
        parts += [f"{shared:.0f} for the shared prefix"] if shared else []
        key = "shared_prefix.hit_rate" if shared and input_tokens - self._overhead >= least else "input_tokens"
        needed = math.ceil(least + self._overhead + shared)
        remedy = "a lower hit rate or longer prompts" if shared else f"at least {needed}, or prompts from a file"
        raise InputError(f"{key}: {input_tokens:g} input tokens are too few ({', '.join(parts)}); take {remedy}")

    def fresh(self, number: int, tokens: int, opens: bool = True) -> tuple[Piece, int]:
        """A prompt of this many tokens, and how many its content has: the template's are taken off what `opens`.

        Never shorter than the number that makes it unique, even where a distribution draws less.
        """
        entries = self._count(tokens, opens)
        return self._piece(number, entries), self._tokens(entries)

    def prefixed(self, number: int, tokens: int, prefix: int, hit_rate: float) -> tuple[Piece, int]:
        """As `fresh`, with round(hit_rate · tokens) of it from the prefix of this number."""
        entries = self._count(tokens, True)
        shared = min(round(hit_rate * tokens / self._per_entry), entries - self.unique_entries)
        if shared <= 0:
            return self._piece(number, entries), self._tokens(entries)
        return self._shared(prefix, shared) + self._piece(number, entries - shared), self._tokens(entries)

    def blocks(self, number: int, tokens: int, ids: Sequence[int]) -> tuple[Piece, int]:
        """A prompt whose blocks of 512 tokens are told by their ids; what they do not cover is the request's own."""
        entries = self._count(tokens, True)
        a_block = max(round(BLOCK_TOKENS / self._per_entry), 1)
        pieces: list[Piece] = []
        left = entries
        for block in ids:
            pieces.append(self._shared(block, min(a_block, left)))
            left -= min(a_block, left)
            if not left:
                break
        if left:
            pieces.append(self._piece(number, left))
        return self._joined(pieces), self._tokens(entries)

    def _count(self, tokens: int, opens: bool) -> int:
        content = tokens - self._overhead if opens else tokens
        return max(round(content / self._per_entry), self.unique_entries)

    def _tokens(self, entries: int) -> int:
        return round(entries * self._per_entry)

    def _shared(self, number: int, entries: int) -> Piece:
        """A piece that stands in several prompts; those that were used are kept while there is room."""
        known = self._kept.get((number, entries))
        if known is not None:
            return known
        piece = self._piece(_REQUESTS + number % _REQUESTS, entries)
        if self._kept_entries + entries > _KEPT_ENTRIES:
            self._kept.clear()
            self._kept_entries = 0
        self._kept[number, entries] = piece
        self._kept_entries += entries
        return piece

    def _piece(self, number: int, entries: int) -> Piece:
        """The number in base V, then entries at random."""
        rest = (self._first + number) % self._space
        digits = []
        for _ in range(min(self.unique_entries, entries)):
            rest, digit = divmod(rest, self._size)
            digits.append(digit)
        if entries > self.unique_entries:
            digits += self._random(_mixed(self._key ^ number), entries - self.unique_entries)
        return self._spelt(digits)

    def _random(self, key: int, count: int) -> list[int]:
        """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as a counter: the i-th value of the stream that key seeds."""
        if count > len(self._steps):
            self._steps = _steps(2 * count)
        x = self._steps[:count] + np.uint64(key)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x >>= np.uint64(32)
        x *= np.uint64(self._size)
        x >>= np.uint64(32)
        return x.tolist()  # type: ignore[no-any-return]

    def _spelt(self, digits: list[int]) -> Piece:
        raise NotImplementedError

    def _joined(self, pieces: list[Piece]) -> Piece:
        raise NotImplementedError


class TextWriter(Writer[str]):
    def _spelt(self, digits: list[int]) -> str:
        return "".join(map(self._entries.__getitem__, digits))  # type: ignore[arg-type]

    def _joined(self, pieces: list[str]) -> str:
        return "".join(pieces)


class IdsWriter(Writer[list[int]]):
    def _spelt(self, digits: list[int]) -> list[int]:
        return list(map(self._entries.__getitem__, digits))  # type: ignore[arg-type]

    def _joined(self, pieces: list[list[int]]) -> list[int]:
        return [token for piece in pieces for token in piece]


def writer(vocabulary: Vocabulary, salt: int, replicate: int) -> TextWriter | IdsWriter:
    """The one for this vocabulary: token ids where it has them, else text. Raises InputError where it has neither."""
    if len(set(vocabulary.ids)) >= 2:
        return IdsWriter(vocabulary.ids, vocabulary, salt, replicate)
    if len(set(vocabulary.words)) >= 2:
        return TextWriter(vocabulary.words, vocabulary, salt, replicate)
    raise InputError("prompts: there are no words to make synthetic prompts of; name a tokenizer, or a file of prompts")


def _steps(count: int) -> NDArray[np.uint64]:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)


def _mixed(number: int) -> int:
    """SplitMix64's finaliser: 64 bits that share nothing visible with those of the next number."""
    x = (number + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
