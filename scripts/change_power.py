#!/usr/bin/env python3
"""How often `bench history` calls a changeless series changed, and how often it sees a step: by simulation.

    python scripts/change_power.py [SERIES]     prints both; 2,000 series of each unless said
    python scripts/change_power.py --table      computes anew the critical values in bench/metrics/changes.py

Runs are drawn as they come: a level, noise between runs, and replicates with noise of their own around each run.
"""

import math
import random
import sys
from collections.abc import Callable

from bench.metrics.changes import _CRITICAL, _TAILS, Found, Run, find
from bench.metrics.statistics import estimate, t975

STEP = math.log(1.1)
BETWEEN, WITHIN = 0.03, 0.02
Noise = Callable[[random.Random], float]


def gaussian(rng: random.Random) -> float:
    return rng.gauss(0, BETWEEN)


def heavy(rng: random.Random) -> float:
    """Student's t with four degrees of freedom, of the same standard deviation."""
    chi = sum(rng.gauss(0, 1) ** 2 for _ in range(4))
    return rng.gauss(0, BETWEEN) / math.sqrt(chi / 4) / math.sqrt(2)


def with_bad_days(rng: random.Random) -> float:
    """One run in twenty is up to 30 % slower."""
    return rng.gauss(0, BETWEEN) + (rng.uniform(0, 0.3) if rng.random() < 0.05 else 0.0)


class Wandering:
    """A machine whose level walks: 0.7 of a run's deviation is left in the next. No independent runs."""

    def __init__(self) -> None:
        self.level = 0.0

    def __call__(self, rng: random.Random) -> float:
        self.level = 0.7 * self.level + math.sqrt(1 - 0.49) * rng.gauss(0, BETWEEN)
        return self.level


def run(level: float, replicates: int, noise: Noise, rng: random.Random) -> Run:
    """One run as a history sees it: the estimate over its replicates."""
    centre = level + noise(rng)
    of = estimate([math.exp(centre + rng.gauss(0, WITHIN)) for _ in range(replicates)])
    assert of is not None
    if of.low is None or of.high is None:
        return Run(math.log(of.value))
    half = math.log(of.high / of.low) / 2
    return Run(math.log(of.value), (half / t975(of.n - 1)) ** 2, of.n)


def series(n: int, at: int | None, noise: Noise, rng: random.Random, mixed: bool = False) -> Found:
    """`mixed`: runs have from one to ten replicates, else three."""
    counts = [rng.choice((1, 2, 3, 5, 10)) if mixed else 3 for _ in range(n)]
    return find([run(STEP if at is not None and k >= at else 0.0, counts[k], noise, rng) for k in range(n)])


def share(hits: int, of: int) -> str:
    """With the 95 % interval of a share (Wilson)."""
    p, z = hits / of, 1.96
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{p:6.1%} ({middle - half:.1%} to {middle + half:.1%})"


def false_alarms(count: int) -> None:
    print(f"\nFalse alarms: changeless series that are called changed, of {count}; at most 5 % is meant\n")
    kinds: dict[str, tuple[Callable[[], Noise], bool]] = {
        "Gaussian, 3 replicates each": (lambda: gaussian, False),
        "Gaussian, 1 to 10 replicates": (lambda: gaussian, True),
        "Student's t(4)": (lambda: heavy, False),
        "bad days, 1 in 20": (lambda: with_bad_days, False),
        "wandering (not what is assumed)": (Wandering, False),
    }
    for name, (make, mixed) in kinds.items():
        for n in (5, 8, 12, 20, 40):
            rng = random.Random(f"{name} {n}")
            found = [series(n, None, make(), rng, mixed) for _ in range(count)]
            alarms, suspects = sum(bool(one.changes) for one in found), sum(one.suspect for one in found)
            print(f"  {name:34} {n:3} runs  {share(alarms, count)}   suspect last run {suspects / count:.1%}")


def power(count: int) -> None:
    print(f"\nPower: a step of 10 % in noise of 3 % between runs and 2 % between replicates, of {count} series\n")
    for before, after in ((3, 2), (4, 4), (6, 2), (6, 6), (10, 2), (10, 3), (10, 10), (18, 2), (30, 3), (30, 30)):
        rng = random.Random(f"power {before} {after}")
        found = [series(before + after, before, gaussian, rng) for _ in range(count)]
        seen = [one for one in found if any(abs(each.at - before) <= 1 for each in one.changes)]
        single = [one.changes[0] for one in found if len(one.changes) == 1]
        covered = sum(abs(one.step - STEP) <= one.half for one in single)
        placed = sum(one.earliest <= before <= one.latest for one in single)
        of = max(1, len(single))
        print(
            f"  {before:2} runs, then {after:2}: seen within a run of its place {share(len(seen), count)}; "
            f"interval holds 10 % in {covered / of:.1%}, span holds the place in {placed / of:.1%}"
        )


def table() -> None:
    """Quantiles of max over m of n·ln(RSS(0)/RSS(m))/m of Gaussian noise, with equal weights."""
    import numpy as np

    for n in sorted(_CRITICAL):
        batches = 200 if n <= 25 else 100 if n <= 50 else 30 if n <= 100 else 15
        found = np.concatenate([_null(n, 2000, (n, batch)) for batch in range(batches)])
        values = np.quantile(found, [1 - tail for tail in _TAILS])
        print(f"    {n}: ({', '.join(f'{one:.2f}' for one in values)}),", flush=True)


def _null(n: int, sims: int, seed: tuple[int, int]):  # type: ignore[no-untyped-def]
    import numpy as np

    y = np.random.default_rng(seed).standard_normal((n, sims))
    zero = np.zeros((1, sims))
    sums, squares = (np.concatenate([zero, np.cumsum(one, 0)]) for one in (y, y * y))
    best = np.full((n + 1, sims), np.inf)
    for end in range(2, n + 1):
        best[end] = squares[end] - sums[end] ** 2 / end
    without, largest = best[n].copy(), np.zeros(sims)
    for changes in range(1, min(8, max(1, n // 4)) + 1):
        more = np.full((n + 1, sims), np.inf)
        for end in range(2 * (changes + 1), n + 1):
            starts = np.arange(2 * changes, end - 1)
            own = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)[:, None]
            more[end] = (best[starts] + own).min(0)
        best = more
        largest = np.maximum(largest, n * np.log(without / best[n]) / changes)
    return largest


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    else:
        number = int(sys.argv[1]) if sys.argv[1:] else 2000
        false_alarms(number)
        power(number)
