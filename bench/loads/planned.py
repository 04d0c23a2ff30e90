"""Plans: arrivals and sessions put together, strided over the load generator processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

from bench.loads import Session, Turn, replay
from bench.loads.arrivals import STRATUM, Level, arrivals, level
from bench.loads.from_file import FromFile
from bench.loads.prompts import IdsWriter, TextWriter
from bench.loads.streams import stream
from bench.loads.synthetic import Synthetic
from bench.schema import Traffic


class Planned:
    """Arrivals by formula; a closed loop has none, and its sessions are due when a stream is free."""

    def __init__(self, traffic: Traffic, replicate: int, source: Synthetic | FromFile):
        self._traffic, self._replicate, self._source = traffic, replicate, source
        self.notes = source.notes

    def slice(self, worker: int, workers: int) -> Iterator[Session]:
        _check(worker, workers)
        times = arrivals(self._traffic, stream(self._traffic, self._replicate, "arrivals"), self._source.mean_turns)
        first = 0
        for due, lot in zip(times, self._source.lots(), strict=False):
            offset = (worker - first) % workers
            mine = repeat(None) if due is None else due[offset::workers].tolist()
            for i, due_s in zip(range(offset, STRATUM, workers), mine, strict=False):
                turns = lot(i)
                if turns is None:
                    return
                yield Session(first + i, due_s, turns)
            first += STRATUM

    def level(self, at_s: float) -> float:
        traffic = self._traffic
        first = traffic.concurrency if traffic.load == "closed" else traffic.requests_per_s
        assert first is not None, "said by problems()"
        return level(traffic, float(first)).at(at_s)


@dataclass
class Replayed:
    """Arrivals and lengths from a trace, prompts that share what its hash ids share."""

    traffic: Traffic
    write: TextWriter | IdsWriter

    def __post_init__(self) -> None:
        next(replay.rows(_trace(self.traffic), self.traffic.trace_format), None)

    def slice(self, worker: int, workers: int) -> Iterator[Session]:
        _check(worker, workers)
        index = 0
        for row in replay.rows(_trace(self.traffic), self.traffic.trace_format):
            if row is None:
                continue
            if index % workers == worker:
                content, tokens = self.write.blocks(index, row.input_tokens, row.hash_ids)
                turn = Turn(content, row.output_tokens, tokens)
                yield Session(index, row.at_s / self.traffic.speed, [turn])
            index += 1

    def level(self, at_s: float) -> float:
        """The mean of the whole trace: what it wants at a moment is what comes at that moment."""
        return self._mean.at(at_s)

    @cached_property
    def _mean(self) -> Level:
        whole = replay.summary(_trace(self.traffic), self.traffic.trace_format)
        rate = whole.requests / whole.span_s * self.traffic.speed if whole.span_s else float(whole.requests)
        return Level(rate, rate, 0.0)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        left_out = replay.summary(_trace(self.traffic), self.traffic.trace_format).left_out
        return (f"{left_out:,} rows of the trace without input or output tokens were left out",) if left_out else ()


def _check(worker: int, workers: int) -> None:
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} of {workers}: they count from 0")


def _trace(traffic: Traffic) -> Path:
    assert traffic.trace is not None, "said by problems()"
    return Path(traffic.trace)
