"""What every kind of session draws in blocks of 2,000, whoever of the load generator processes sends it."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.loads import Turn
from bench.loads.arrivals import STRATUM
from bench.loads.lengths import lognormal
from bench.loads.streams import Purpose, stream
from bench.schema import Lengths, Traffic

Lot = Callable[[int], list[Turn] | None]
"""The turns of the i-th session of a block of 2,000; None when there are no more prompts."""


def draw(lengths: int | Lengths, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """So many lengths in tokens. A plain number draws nothing from the generator."""
    if isinstance(lengths, int):
        return np.full(count, lengths, dtype=np.int64)
    if lengths.shape == "uniform":
        return generator.integers(lengths.least, lengths.most, count, endpoint=True)
    mean = lengths.mean
    assert mean is not None, "said by problems()"
    if lengths.shape == "normal":
        raw = generator.normal(mean, mean * lengths.cv, count)
    elif lengths.shape == "lognormal":
        mu, sigma = lognormal(mean, lengths.cv)
        raw = generator.lognormal(mu, sigma, count)
    else:
        raw = generator.exponential(mean, count)
    return np.clip(np.rint(raw), lengths.least, lengths.most).astype(np.int64)


def drawn_lengths(
    asked: int | Lengths, traffic: Traffic, replicate: int, purpose: Purpose
) -> Iterator[NDArray[np.int64]]:
    """Blocks of tokens, a row a session and a column a turn, without end."""
    shape = (STRATUM, traffic.turns)
    if isinstance(asked, int):
        fixed = np.broadcast_to(np.int64(asked), shape)
        while True:
            yield fixed
    generator = stream(traffic, replicate, purpose)
    while True:
        yield draw(asked, generator, STRATUM * traffic.turns).reshape(shape)


def pauses(traffic: Traffic, replicate: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of seconds before each turn, exponential; none before the first."""
    shape = (STRATUM, traffic.turns)
    if not traffic.think_time_s:
        none = np.broadcast_to(np.float64(0), shape)
        while True:
            yield none
    generator = stream(traffic, replicate, "think times")
    while True:
        drawn = generator.exponential(traffic.think_time_s, shape)
        drawn[:, 0] = 0.0
        yield drawn
