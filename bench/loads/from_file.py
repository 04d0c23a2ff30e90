"""Sessions from a file of prompts."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.loads import Content, Turn
from bench.loads.arrivals import STRATUM
from bench.loads.datasets import Dataset
from bench.loads.lots import Lot, drawn_lengths, pauses
from bench.loads.records import Said
from bench.loads.streams import salt, stream
from bench.schema import Traffic

_GOLDEN_RATIO = 0.6180339887498949


class FromFile:
    """Prompts from a file, each once, in an order drawn by the seed.

    All replicates and cells go round the same order and begin elsewhere in it (at a hash of the traffic, and the
    golden ratio of the file further on for each replicate), so that short runs against one long file do not ask a
    server what it heard in the run before. With `repeat`, each further round has an order of its own.
    """

    def __init__(self, traffic: Traffic, replicate: int, prompts: Dataset, count: Callable[[str], int] | None):
        self._traffic, self._replicate, self._prompts, self._count = traffic, replicate, prompts, count
        self._around, self._shuffled = -1, np.arange(0)
        self.mean_turns = prompts.mean_turns
        left_out = [(prompts.duplicates, "that begin like another one"), (prompts.unusable, "without a question")]
        self.notes = tuple(f"{n:,} records {why} were left out of the prompts" for n, why in left_out if n)

    def lots(self) -> Iterator[Lot]:
        traffic = self._traffic
        outs = drawn_lengths(traffic.output_tokens or 1, traffic, self._replicate, "output lengths")
        think = pauses(traffic, self._replicate)
        with self._prompts.opened() as record:
            first = 0
            while True:
                yield self._lot(record, first, next(outs), next(think))
                first += STRATUM

    def _lot(
        self,
        record: Callable[[int], Said],
        first: int,
        outs: NDArray[np.int64],
        pauses: NDArray[np.float64],
    ) -> Lot:
        def lot(i: int) -> list[Turn] | None:
            place = self._place(first + i)
            if place is None:
                return None
            said = record(place)
            session = []
            for turn, (content, answer) in enumerate(zip(said.asked, said.answers, strict=True)):
                drawn = int(outs[i, turn]) if self._traffic.output_tokens else None
                output = drawn or said.answer_tokens(answer, self._count)
                assert output is not None, "checked when the file was read"
                session.append(Turn(content, output, self._measured(content), float(pauses[i, turn])))
            return session

        return lot

    def _place(self, index: int) -> int | None:
        assert self._traffic.prompts is not None
        size = len(self._prompts)
        around, step = divmod(index, size)
        if around and not self._traffic.prompts.repeat:
            return None
        start = salt(self._traffic) / 2**64 + self._replicate * _GOLDEN_RATIO
        return int(self._order(around)[(step + int(start % 1 * size)) % size])

    def _order(self, around: int) -> NDArray[np.int64]:
        if around != self._around:
            self._shuffled = stream(self._traffic, 0, "order", around).permutation(len(self._prompts))
            self._around = around
        return self._shuffled

    def _measured(self, content: Content) -> int | None:
        if not isinstance(content, str) and all(isinstance(part, int) for part in content):
            return len(content)
        if self._count is None:
            return None
        if isinstance(content, str):
            return self._count(content)
        texts = [part.get("content") for part in content if isinstance(part, dict)]
        return sum(map(self._count, texts)) if all(isinstance(text, str) for text in texts) else None  # type: ignore[arg-type]
