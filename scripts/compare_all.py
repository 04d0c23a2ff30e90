"""How long it takes to compare every record with every API at every hourly price, beside a plain Python loop.

    .venv/bin/python scripts/compare_all.py                    10,000 records × 50 APIs × 20 hourly prices
    .venv/bin/python scripts/compare_all.py --records 100000   with more records: memory must not grow with them

Records are drawn: times, batch sizes, and lengths that repeat (a matrix) or not (a trace). APIs and hourly prices are
real: looked up one by one in a process that has read no prices yet, which is counted. Prints seconds, the ratio to a
loop over single requests (on a part of the records, scaled), the largest difference between both, and the peak
resident memory.
"""

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice

try:
    import numpy as np

    from bench.cost import api_prices, hardware_prices
    from bench.cost.dollars import bill_usd
    from bench.cost.grid import Grid, Lengths, compare_all
    from bench.cost.tariff import Tariff
    from bench.errors import InputError
except ModuleNotFoundError as error:
    print(f"error: {error.name} is missing; run ./scripts/bench once, then this with .venv/bin/python", file=sys.stderr)
    sys.exit(2)

MATRIX = 60
"""Distinct lengths of the records that belong to a matrix; every second one has lengths of its own."""


def drawn(records: int, seed: int = 1) -> tuple[list[float], list[int], Lengths]:
    """Seconds and rows of a batch, and the tokens of its requests."""
    draw = random.Random(seed)
    matrix = [(draw.randint(16, 300_000), draw.randint(1, 4096)) for _ in range(MATRIX)]
    seconds, batch, uncached, cached, output = [], [], [], [], []
    for index in range(records):
        prompt, new = draw.choice(matrix) if index % 2 else (draw.randint(16, 300_000), draw.randint(1, 4096))
        from_cache = draw.choice((0, 0, prompt // 2))
        seconds.append(draw.lognormvariate(2, 1))
        batch.append(draw.choice((1, 4, 16, 64)))
        uncached.append(prompt - from_cache)
        cached.append(from_cache)
        output.append(new)
    return seconds, batch, Lengths(*(np.array(one, dtype=np.int64) for one in (uncached, cached, output)))


def names(count: int) -> list[str]:
    """API models that have a price today, a few of each provider in turn."""
    found: list[str] = []
    lists = [[f"{provider}/{model}" for model in api_prices.models(provider)] for provider in api_prices.providers()]
    for turn in range(max(map(len, lists))):
        for name in (one[turn] for one in lists if turn < len(one)):
            if len(found) < count and priced(name):
                found.append(name)
    return found


def priced(name: str) -> bool:
    """Whether its tokens have a price above 0."""
    try:
        tier = api_prices.lookup(name).tariff.tiers[0]
    except InputError:
        return False
    return tier.input > 0 and tier.output > 0


def hourly(count: int) -> list[float]:
    """USD per hour of real offers."""
    offered = (row.usd_per_hour for row in hardware_prices.rows() if row.usd_per_hour is not None)
    return list(islice(dict.fromkeys(offered), count))


def loop(
    seconds: list[float], batch: list[int], lengths: Lengths, tariffs: list[Tariff], hours: list[float]
) -> Iterator[float]:
    """Break-even utilisations, one at a time: record, then API, then price."""
    requests = zip(lengths.uncached.tolist(), lengths.cached.tolist(), lengths.output.tolist(), strict=True)
    for e2el_s, rows, (uncached, cached, output) in zip(seconds, batch, requests, strict=True):
        for tariff in tariffs:
            api = float(tariff.request_usd(uncached, cached, output))
            for hour in hours:
                yield bill_usd(hour, e2el_s, 1.0) / rows / api


def timed(what: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=10_000)
    options.add_argument("--apis", type=int, default=50)
    options.add_argument("--prices", type=int, default=20)
    options.add_argument("--part", type=int, default=200, help="records for the plain loop")
    options.add_argument("--names", action="store_true", help="only list names of APIs that have a price")
    chosen = options.parse_args()
    for name in ("records", "apis", "prices", "part"):
        if getattr(chosen, name) < 1:
            print(f"error: --{name}: must be at least 1 (got {getattr(chosen, name)})", file=sys.stderr)
            sys.exit(2)
    if chosen.names:
        print(*names(chosen.apis), sep="\n")
        return
    seconds, batch, lengths = drawn(chosen.records)
    hours = hourly(chosen.prices)
    listed = [sys.executable, __file__, "--apis", str(chosen.apis), "--names"]
    wanted = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    tariffs: list[Tariff] = []
    found: list[Grid] = []
    looked_up = timed(lambda: tariffs.extend(api_prices.lookup(name).tariff for name in wanted))
    compared = timed(lambda: found.append(compare_all(seconds, batch, lengths, tariffs, hours)))
    size = len(seconds) * len(tariffs) * len(hours)
    print(f"{len(seconds):,} records × {len(tariffs)} APIs × {len(hours)} hourly prices = {size:,} combinations")
    print(f"{looked_up + compared:.2f} s: {looked_up:.2f} s of looking prices up, {compared:.2f} s of comparing")
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")

    part = min(chosen.part, len(seconds))
    few = Lengths(lengths.uncached[:part], lengths.cached[:part], lengths.output[:part])
    plain: list[float] = []
    took = timed(lambda: plain.extend(loop(seconds[:part], batch[:part], few, tariffs, hours)))
    scaled = took * len(seconds) / part
    ratio = scaled / compared
    print(f"a plain loop would take {scaled:.0f} s ({part} records took {took:.2f} s): {ratio:.0f} times as long")
    blocks = (block.break_even for block in found[0].blocks() if block.start < part)
    shares = np.concatenate(list(blocks))[:part].ravel()
    print(f"largest relative difference {np.max(np.abs(shares / np.array(plain) - 1)):.1e}")


if __name__ == "__main__":
    main()
