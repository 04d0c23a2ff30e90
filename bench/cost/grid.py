"""Every record against every API at every hourly price, in arrays: which is cheaper, and from what utilisation on.

The same formulas as `break_even` and `Tariff.request_usd`, over n records × m APIs × k hourly prices. The prices of the
APIs go from `Decimal` to float64 here; a request's price is within 1e-12 of the exact one, relatively. Combinations are
made in blocks of records and dropped when they have been counted, so that memory does not grow with n·m·k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.cost.dollars import MTOK, SECONDS_PER_HOUR
from bench.cost.tariff import Tariff
from bench.errors import InputError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 1_000_000
"""Combinations that are in memory at one time, more or less: 8 MB of utilisations."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of one request of each record; `uncached` and `cached` are its prompt."""

    uncached: Counts
    cached: Counts
    output: Counts


@dataclass(frozen=True)
class Block:
    """The records from `start` on: break-even utilisations [record, API, hourly price], and which are cheaper."""

    start: int
    break_even: Floats
    cheaper: Flags


@dataclass(frozen=True)
class Grid:
    """What came of it. Indexes are those of the records, tariffs and hourly prices that went in.

    `self_usd` [record, hourly price] and `api_usd` [record, API] are USD a request, the first at `utilisation`.
    `cheaper` [API, hourly price] counts the records that cost less than that API; `beaten` [record, hourly price]
    counts the APIs that cost more than that record. `best_record` and `best_price` are, for each API, where
    self-hosting breaks even at the lowest utilisation, `best_share`; above 1 there is none. Ties go to the first.
    """

    utilisation: float
    self_usd: Floats
    api_usd: Floats
    cheapest_api: Counts
    cheaper: Counts
    beaten: Counts
    best_record: Counts
    best_price: Counts
    best_share: Floats

    def blocks(self) -> Iterator[Block]:
        """Every combination, some records at a time; `break_even` above 1 is never."""
        return _blocks(self.self_usd, self.api_usd, self.utilisation)


def compare_all(
    e2el_s: ArrayLike,
    batch: ArrayLike,
    lengths: Lengths,
    tariffs: Sequence[Tariff],
    usd_per_hour: ArrayLike,
    utilisation: float = 1.0,
) -> Grid:
    """Compare n records (seconds and rows of a batch, tokens of a request) with m tariffs at k hourly prices.

    Two requests a second at $3.60 an hour are $0.0005 each; the API asks $0.002 for 1000 tokens in:

    >>> from decimal import Decimal
    >>> from bench.cost.tariff import Tier
    >>> flat = Tariff((Tier(-1, Decimal(2), Decimal(1), Decimal(8)),))
    >>> one = Lengths(np.array([1000]), np.array([0]), np.array([0]))
    >>> grid = compare_all([1.0], [2], one, [flat], [3.6, 36.0])
    >>> grid.self_usd.tolist(), grid.api_usd.tolist(), grid.cheaper.tolist(), grid.best_share.tolist()
    ([[0.0005, 0.005]], [[0.002]], [[1, 0]], [0.25])

    Raises InputError for anything that is not a number above 0 (tokens: from 0 on), and for records of unequal number.
    """
    seconds, rows = _positive("e2el_s", e2el_s), _positive("batch_size", batch)
    prices = _positive("--usd-per-hour", usd_per_hour)
    if not 0 < utilisation <= 1:
        raise InputError(f"--utilisation: must be above 0 and at most 1 (got {utilisation:g})")
    if not tariffs:
        raise InputError("--api: nothing to compare with; name at least one")
    if len({len(one) for one in (seconds, rows, lengths.uncached, lengths.cached, lengths.output)}) != 1:
        raise InputError("records: times, batch sizes and lengths must be of the same number")
    self_usd = np.outer(seconds / rows, prices) / (SECONDS_PER_HOUR * utilisation)
    api_usd = request_usd(tariffs, lengths)
    return Grid(utilisation, self_usd, api_usd, np.argmin(api_usd, axis=1), *_reduced(self_usd, api_usd, utilisation))


def request_usd(tariffs: Sequence[Tariff], lengths: Lengths) -> Floats:
    """USD of each record's request at each API, [record, API]; each distinct set of lengths is priced once."""
    whole = np.stack([lengths.uncached, lengths.cached, lengths.output], axis=1).astype(np.int64)
    if whole.size and whole.min() < 0:
        raise InputError(f"tokens: must be from 0 on (got {whole.min()})")
    distinct, where = np.unique(whole, axis=0, return_inverse=True)
    prices = np.stack([_tariff_usd(tariff, distinct) for tariff in tariffs], axis=1)
    if prices.size and not prices.min() > 0:
        raise InputError("--api: a request that costs nothing cannot be compared with; leave that API out")
    return np.ascontiguousarray(prices[where.reshape(-1)])


def _tariff_usd(tariff: Tariff, distinct: Counts) -> Floats:
    """The tier is the last one whose bound the whole prompt is above; its prices hold for all of the tokens."""
    bounds = np.array([tier.above for tier in tariff.tiers], dtype=np.int64)
    per_mtok = np.array([[tier.input, tier.cached, tier.output] for tier in tariff.tiers], dtype=np.float64)
    tier = np.searchsorted(bounds, distinct[:, 0] + distinct[:, 1], side="left") - 1
    paid: Floats = (distinct * per_mtok[tier]).sum(axis=1) / MTOK + float(tariff.usd_per_request)
    return paid


def _blocks(self_usd: Floats, api_usd: Floats, utilisation: float) -> Iterator[Block]:
    records, apis = api_usd.shape
    step = max(1, BLOCK // (apis * self_usd.shape[1]))
    full = self_usd * utilisation
    for start in range(0, records, step):
        end = start + step
        share = full[start:end, None, :] / api_usd[start:end, :, None]
        # Of the two prices, not of the share: what costs the same is not cheaper.
        yield Block(start, share, self_usd[start:end, None, :] < api_usd[start:end, :, None])


def _reduced(self_usd: Floats, api_usd: Floats, utilisation: float) -> tuple[Counts, Counts, Counts, Counts, Floats]:
    """`cheaper`, `beaten`, `best_record`, `best_price` and `best_share` of a Grid."""
    apis, prices = api_usd.shape[1], self_usd.shape[1]
    cheaper = np.zeros((apis, prices), dtype=np.int64)
    beaten = np.zeros(self_usd.shape, dtype=np.int64)
    best = np.zeros(apis, dtype=np.int64)
    best_share = np.full(apis, np.inf)
    for block in _blocks(self_usd, api_usd, utilisation):
        cheaper += block.cheaper.sum(axis=0)
        beaten[block.start : block.start + len(block.cheaper)] = block.cheaper.sum(axis=1)
        by_api = block.break_even.transpose(1, 0, 2).reshape(apis, -1)
        here = by_api.argmin(axis=1)
        lowest = by_api[np.arange(apis), here]
        better = lowest < best_share
        best[better] = here[better] + block.start * prices
        best_share[better] = lowest[better]
    return cheaper, beaten, best // prices, best % prices, best_share


def _positive(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    wrong = found[~((found > 0) & np.isfinite(found))]
    if wrong.size:
        raise InputError(f"{name}: must be a number above 0 (got {wrong[0]:g})")
    if not found.size:
        raise InputError(f"{name}: nothing was given; give at least one")
    return found
