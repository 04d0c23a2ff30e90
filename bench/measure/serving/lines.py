"""From answers to lines of the trace, in small steps, so that no step keeps a stream waiting.

A line is written within about a second of its request's end, so a process that is killed loses no more than that. A few
requests, drawn at random, keep their texts until the run is over: a local tokenizer counts them then, off the clock.
"""

import random
from dataclasses import dataclass

from bench.measure.serving.orders import Count
from bench.schema import Request
from bench.traces import TraceWriter

AT_ONCE = 48
"""Lines in one gzip member: about a millisecond of work, and as long as the window of the compression."""


@dataclass(slots=True)
class Texts:
    """What one request said and heard."""

    prompt: str
    prompt_ids: int
    answer: str


class Lines:
    """The trace of one process, as it grows."""

    def __init__(self, writer: TraceWriter, kept: int = 0, seed: int = 0) -> None:
        """`kept`: requests whose texts are held back to be counted in the end."""
        self._writer = writer
        self._waiting: list[Request] = []
        self._kept: list[tuple[Request, Texts]] = []
        self._most_kept = kept
        self._seen = 0
        self._random = random.Random(seed)
        self.written = 0

    def __len__(self) -> int:
        """Lines that wait to be written."""
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """A request that is over."""
        self._waiting.append(request)

    def wants_texts(self) -> bool:
        """Whether the next request is drawn: a reservoir (Vitter's algorithm R), each request equally likely."""
        self._seen += 1
        return self._random.random() * self._seen < self._most_kept

    def keep(self, request: Request, texts: Texts) -> None:
        """A request that was drawn. The one that makes room for it goes the usual way."""
        if len(self._kept) >= self._most_kept:
            place = self._random.randrange(len(self._kept))
            self._waiting.append(self._kept[place][0])
            self._kept[place] = (request, texts)
        else:
            self._kept.append((request, texts))

    def write_some(self) -> None:
        """Write the next few lines. Raises OSError when the disk is full."""
        some = self._waiting[:AT_ONCE]
        self._writer.write(some)
        del self._waiting[: len(some)]
        self.written += len(some)

    def close(self, count: Count | None, overhead_tokens: int) -> None:
        """Count the kept texts, if there is a tokenizer, and write all that is left."""
        for request, texts in self._kept:
            if count is not None:
                request.local_input_tokens = texts.prompt_ids or count(texts.prompt) + overhead_tokens
                request.local_output_tokens = count(texts.answer)
            self._waiting.append(request)
        self._kept = []
        while self._waiting:
            self.write_some()
        self._writer.close()
