"""Every record against every API at every price, beside a loop. Run by `scripts/perf`; no figure is asserted on."""

import random
from decimal import Decimal

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cost import api_prices
from bench.cost.dollars import bill_usd
from bench.cost.grid import Lengths, compare_all
from bench.cost.tariff import Tariff, Tier

RECORDS, APIS, PRICES = 10_000, 50, 20
HOURS = [0.1 * (price + 1) for price in range(PRICES)]


def tariffs() -> list[Tariff]:
    """Half of them with a second tier."""
    found = []
    for index in range(1, APIS + 1):
        usd = Decimal(index) / 100
        tiers = [Tier(-1, usd, usd / 10, 4 * usd), Tier(128_000, 2 * usd, usd / 5, 8 * usd)]
        found.append(Tariff(tuple(tiers[: 1 + index % 2])))
    return found


def records(count: int) -> tuple[list[float], list[int], Lengths]:
    """No two of the same lengths, so that nothing is saved by pricing those once."""
    draw = random.Random(1)
    seconds = [draw.lognormvariate(2, 1) for _ in range(count)]
    batch = [draw.choice((1, 4, 16)) for _ in range(count)]
    tokens = np.array([[draw.randint(16, 250_000), draw.randint(0, 16), draw.randint(1, 4096)] for _ in range(count)])
    return seconds, batch, Lengths(tokens[:, 0], tokens[:, 1], tokens[:, 2])


def test_ten_million_combinations(benchmark: BenchmarkFixture) -> None:
    """10,000 records × 50 APIs × 20 hourly prices; the target is at most 5 s."""
    benchmark.group = "10,000,000 combinations"
    seconds, batch, lengths = records(RECORDS)
    grid = benchmark(lambda: compare_all(seconds, batch, lengths, tariffs(), HOURS))
    assert grid.cheaper.shape == (APIS, PRICES)


@pytest.mark.parametrize("arm", ["arrays", "loop"])
def test_a_hundredth_of_them(benchmark: BenchmarkFixture, arm: str) -> None:
    """100 records: compare `loop` with `arrays`."""
    benchmark.group = "100,000 combinations"
    seconds, batch, lengths = records(RECORDS // 100)
    requests = list(zip(lengths.uncached.tolist(), lengths.cached.tolist(), lengths.output.tolist(), strict=True))
    asked = tariffs()

    def loop() -> list[float]:
        return [
            bill_usd(hour, e2el_s, 1.0) / rows / float(tariff.request_usd(*request))
            for e2el_s, rows, request in zip(seconds, batch, requests, strict=True)
            for tariff in asked
            for hour in HOURS
        ]

    benchmark(loop if arm == "loop" else lambda: compare_all(seconds, batch, lengths, asked, HOURS))


def test_looking_prices_up(benchmark: BenchmarkFixture) -> None:
    """One tariff of each default API, from price data that is already in memory."""
    benchmark.group = "looking prices up"
    benchmark(lambda: [api_prices.lookup(name).tariff for name in api_prices.DEFAULT_APIS])
