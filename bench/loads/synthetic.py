"""Sessions made by formula: lengths from distributions, prompts from a vocabulary."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.loads import Content, Turn, Vocabulary, lengths
from bench.loads.arrivals import STRATUM
from bench.loads.lots import Lot, drawn_lengths, pauses
from bench.loads.prompts import writer
from bench.loads.streams import salt, stream
from bench.schema import Lengths, Traffic


class Synthetic:
    """Prompts by formula, of lengths by distribution."""

    notes: tuple[str, ...] = ()

    def __init__(self, traffic: Traffic, replicate: int, vocabulary: Vocabulary):
        self._traffic, self._replicate = traffic, replicate
        self._write = writer(vocabulary, salt(traffic), replicate)
        self.mean_turns = float(traffic.turns)
        assert traffic.input_tokens is not None, "said by problems()"
        assert traffic.output_tokens is not None, "said by problems()"
        self._input: int | Lengths = traffic.input_tokens
        self._output: int | Lengths = traffic.output_tokens
        mean = lengths.mean_of(self._input)
        self._write.check(mean, traffic.shared_prefix.hit_rate * mean if traffic.shared_prefix else 0.0)

    def lots(self) -> Iterator[Lot]:
        traffic = self._traffic
        ins = drawn_lengths(self._input, traffic, self._replicate, "input lengths")
        outs = drawn_lengths(self._output, traffic, self._replicate, "output lengths")
        think = pauses(traffic, self._replicate)
        picks = stream(traffic, self._replicate, "prefixes")
        first = 0
        while True:
            pool = picks.integers(0, traffic.shared_prefix.pool, STRATUM) if traffic.shared_prefix else None
            yield self._lot(first, next(ins), next(outs), next(think), pool)
            first += STRATUM

    def _lot(
        self,
        first: int,
        ins: NDArray[np.int64],
        outs: NDArray[np.int64],
        pauses: NDArray[np.float64],
        pool: NDArray[np.int64] | None,
    ) -> Lot:
        write, turns, shared = self._write, self._traffic.turns, self._traffic.shared_prefix

        def lot(i: int) -> list[Turn]:
            session = []
            for turn in range(turns):
                number, tokens = (first + i) * turns + turn, int(ins[i, turn])
                if turn == 0 and shared is not None and pool is not None:
                    content: Content
                    content, tokens = write.prefixed(number, tokens, int(pool[i]), shared.hit_rate)
                else:
                    content, tokens = write.fresh(number, tokens, opens=turn == 0)
                session.append(Turn(content, int(outs[i, turn]), tokens, float(pauses[i, turn])))
            return session

        return lot
