"""A prefix cache as engines have them: whole blocks, known when all blocks before them are."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence

BLOCK = 16
"""Tokens; vLLM's usual size."""


class PrefixCache:
    """Remembers prompts by their leading blocks; the blocks used longest ago are forgotten first."""

    def __init__(self, most_blocks: int = 1_000_000) -> None:
        self._most = most_blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def take(self, words: Sequence[Hashable]) -> int:
        """How many leading tokens were known (never all: the last one must be computed); now all of them are.

        >>> cache = PrefixCache()
        >>> [cache.take([*range(40)]), cache.take([*range(40)]), cache.take([*range(32)]), cache.take([1, *range(40)])]
        [0, 32, 16, 0]
        """
        chain, hits, broken = 0, 0, False
        for start in range(0, len(words) - BLOCK + 1, BLOCK):
            chain = hash((chain, tuple(words[start : start + BLOCK])))
            if chain in self._known:
                self._known.move_to_end(chain)
                hits += not broken
            else:
                broken = True
                self._known[chain] = None
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return min(hits, (len(words) - 1) // BLOCK) * BLOCK if words else 0
