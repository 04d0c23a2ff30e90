"""Do 95 % intervals hold the truth 95 times in a hundred? Simulated runs of the fake, with the real stopping rule.

    .venv/bin/python scripts/coverage.py              # 1000 runs of three cells a scenario; two minutes
    .venv/bin/python scripts/coverage.py --limits     # also noise that no short run can see whole

Everything but the clock is real: noise → rounds → `latency.of_replicate` → `enough.stop` with the default sampling and
replicates → `statistics.estimate`. The seed is fixed. A scenario fails, and the script with it, where the share of
intervals that hold the truth is not within 92 to 98 %.

The truth is the long-run value of the same estimator: the geometric mean over very many replicates of the same cell, on
many machines, their drift and neighbours in the stationary state. Beside it stands how far it lies from the programmed
value without noise: noise makes a machine slower, and an interval is about the machine as it is.
"""

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import simulated

from bench.metrics import latency, statistics
from bench.runners.fake.noise import Machine, Noise

RUNS = 1000
LONG = 16
"""Long runs whose mean is the truth, each of this many replicates:"""
REPLICATES = 5000
WITHIN = (0.92, 0.98)

NOISELESS = {
    "prefill": simulated.PREFILL_S,
    "decode": simulated.STEP_S,
    "output": simulated.PREFILL_S + simulated.STEP_S * (simulated.TOKENS - 1),
}


@dataclass(frozen=True)
class Coverage:
    """What became of one scenario. Shares by headline rate."""

    covered: dict[str, float]
    half_width: dict[str, float]
    noiseless: dict[str, float]
    replicates: float
    endings: Counter[str]

    def holds(self) -> bool:
        return all(WITHIN[0] <= share <= WITHIN[1] for share in self.covered.values())


def long_run(noise: Noise, replicates: int, seed: str) -> dict[str, float]:
    """Mean logarithm of each headline time over one long run, a replicate after the other on one machine."""
    machine, draw, at_s = Machine(noise, seed), random.Random(seed), 0.0
    sums = dict.fromkeys(NOISELESS, 0.0)
    for _ in range(replicates):
        measured, at_s = simulated.replicate(noise, machine, draw, at_s)
        for name, values in simulated.headline([latency.of_replicate(measured)]).items():
            sums[name] += math.log(values[0]) / replicates
    return sums


def intervals(noise: Noise, seed: str) -> list[tuple[dict[str, statistics.Estimate], str]]:
    """The estimates that one whole run ends with, and why each of its cells stopped."""
    found = []
    for cell in simulated.run(noise, seed)[0]:
        assert cell.stop is not None
        estimates = {}
        for name, values in simulated.headline(cell.times).items():
            estimate = statistics.estimate(values)
            assert estimate is not None
            estimates[name] = estimate
        found.append((estimates, cell.stop.ending))
    return found


def coverage(
    noise: Noise, seed: str, runs: int = RUNS, replicates: int = REPLICATES, workers: int | None = None
) -> Coverage:
    """Simulate one scenario. `workers`: processes to use; 0 stays in this one."""
    if workers == 0:
        return _coverage(noise, seed, runs, replicates, lambda work, seeds: [work(seed) for seed in seeds])
    with ProcessPoolExecutor(workers) as pool:
        return _coverage(noise, seed, runs, replicates, lambda work, seeds: list(pool.map(work, seeds)))


def _coverage(noise: Noise, seed: str, runs: int, replicates: int, over) -> Coverage:  # type: ignore[no-untyped-def]
    long_runs = over(partial(long_run, noise, replicates), [f"{seed}, truth {index}" for index in range(LONG)])
    truth = {rate: statistics.mean([one[rate] for one in long_runs]) for rate in NOISELESS}
    cells = [cell for run in over(partial(intervals, noise), [f"{seed}, run {i}" for i in range(runs)]) for cell in run]
    covered, half_width = {}, {}
    for rate, true in truth.items():
        estimates = [estimates[rate] for estimates, _ in cells]
        covered[rate] = statistics.mean([(e.low or 0) <= math.exp(true) <= (e.high or 0) for e in estimates])
        half_width[rate] = statistics.mean([e.spread() or 0 for e in estimates])
    return Coverage(
        covered=covered,
        half_width=half_width,
        noiseless={rate: math.exp(truth[rate]) / NOISELESS[rate] - 1 for rate in truth},
        replicates=statistics.mean([estimates["output"].n for estimates, _ in cells]),
        endings=Counter(ending for _, ending in cells),
    )


def line(name: str, of: Coverage) -> str:
    """A line of the Markdown table."""
    total = of.endings.total()
    return " | ".join(
        [
            f"| {name}",
            *(f"{of.covered[rate]:.1%} ±{of.half_width[rate]:.1%}" for rate in NOISELESS),
            f"{of.replicates:.1f}",
            ", ".join(f"{ending} {number / total:.0%}" for ending, number in of.endings.most_common()),
            "/".join(f"{of.noiseless[rate]:+.1%}" for rate in NOISELESS) + " |",
        ]
    )


def main(words: Sequence[str]) -> int:
    """Print the table; 1 where a scenario lies outside."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limits", action="store_true", help="also noise that no short run can see whole")
    chosen = parser.parse_args(words)
    print("Share of nominal 95 % intervals that hold the truth, and their mean half-width:\n")
    print("| noise | prefill tok/s | decode tok/s | output tok/s | replicates | stopped on | truth against noiseless |")
    print("|---|---|---|---|---|---|---|")
    outside = []
    for name, noise in simulated.SCENARIOS.items():
        found = coverage(noise, f"{chosen.seed} {name}", chosen.runs)
        outside += [] if found.holds() else [name]
        print(line(name, found), flush=True)
    for name, noise in simulated.LIMITS.items() if chosen.limits else ():
        print(line(f"({name})", coverage(noise, f"{chosen.seed} {name}", chosen.runs)), flush=True)
    if outside:
        print(f"\noutside {WITHIN[0]:.0%} to {WITHIN[1]:.0%}: {', '.join(outside)}")
    return bool(outside)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
