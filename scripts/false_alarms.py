"""A/A: how often does `bench compare` see a difference between two measurements of the same thing?

    .venv/bin/python scripts/false_alarms.py                        # simulated, 1500 pairs of cells each; one minute
    .venv/bin/python scripts/false_alarms.py --real 5 CONFIG.yaml   # measured: every cell twice, five runs

Simulated: the fake under all kinds of noise at once (`scripts/simulated.py`), with the real stopping rule. *Paired*:
two equal cells take turns in one run. *Unpaired*: two runs of one cell, the second directly after the first on the same
machine. The rate at which a 95 % interval excludes 1 should be 5 %; the script fails where that of the paired ones is
not within 3 to 7 %. Unpaired ones may be worse: a drift between the runs is a difference. The seed is fixed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import simulated

from bench.metrics.comparison import Ratio, compare

PAIRS = 1500
WITHIN = (0.03, 0.07)
ALL = "all of them"


@dataclass(frozen=True)
class Rates:
    """Shares of A/A pairs, by headline rate: interval excludes 1, and a difference beyond the threshold is called."""

    excluded: dict[str, float]
    called: dict[str, float]


def pair(paired: bool, scenario: str, seed: str) -> dict[str, Ratio]:
    """One simulated A/A comparison."""
    noise = simulated.SCENARIOS[scenario]
    if paired:
        (a, b), _ = simulated.run(noise, seed, cells=2)
    else:
        (a,), end_s = simulated.run(noise, seed, cells=1)
        (b,), _ = simulated.run(noise, seed, cells=1, at_s=end_s)
    n = min(len(a.times), len(b.times)) if paired else None
    of_a, of_b = simulated.headline(a.times[:n]), simulated.headline(b.times[:n])
    return {name: compare(of_a[name], of_b[name], paired) for name in of_a}


def rates(
    paired: bool, scenario: str = ALL, pairs: int = PAIRS, seed: int = 1, workers: int | None = None
) -> tuple[Rates, list[dict[str, Ratio]]]:
    """False alarms over many pairs. `workers`: processes to use; 0 stays in this one."""
    seeds = [f"A/A {seed} {paired} {index}" for index in range(pairs)]
    work = partial(pair, paired, scenario)
    if workers == 0:
        found = [work(one) for one in seeds]
    else:
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(work, seeds, chunksize=20))
    return summary(found), found


def summary(found: Sequence[dict[str, Ratio]]) -> Rates:
    """Shares over pairs."""
    names = found[0].keys()
    return Rates(
        excluded={name: sum(one[name].excludes(1.0) for one in found) / len(found) for name in names},
        called={name: sum(one[name].outcome in ("higher", "lower") for one in found) / len(found) for name in names},
    )


def real(config: Path, runs: int, out: Path) -> tuple[int, int, int]:
    """Measure every cell of a config as two arms, in `runs` runs. Returns how many intervals there are, how many
    exclude 1, and how many call a difference."""
    import json

    import yaml

    data: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    data["arms"] = 2
    # Beside the given one, because paths in a config are relative to it.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=config.resolve().parent, encoding="utf-8") as doubled:
        yaml.safe_dump({"name": config.stem, **data}, doubled)
        doubled.flush()
        total = excluded = called = 0
        for index in range(1, runs + 1):
            folder = out / f"run-{index}"
            _bench("run", doubled.name, "--out", str(folder))
            text = _bench("compare", f"{folder}:arm=1", f"{folder}:arm=2", "--format", "json")
            for one in json.loads(text)["pairs"]:
                intervals = [line for line in one["quantities"] if line.get("low") is not None]
                total += len(intervals)
                excluded += sum(not line["low"] <= 1 <= line["high"] for line in intervals)
                called += sum(line["outcome"] in ("higher", "lower") for line in intervals)
            print(f"run {index}: {excluded} of {total} intervals exclude 1 so far", file=sys.stderr)
    return total, excluded, called


def _bench(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "bench", *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def main(words: Sequence[str]) -> int:
    """Print the rates; 1 where paired comparisons raise too many or too few false alarms."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", nargs=2, metavar=("N", "CONFIG"), help="measure: N runs of this config with arms: 2")
    parser.add_argument("--out", type=Path, help="folder for the real runs; default: a temporary one")
    chosen = parser.parse_args(words)
    if chosen.real:
        with tempfile.TemporaryDirectory() as spare:
            total, excluded, called = real(Path(chosen.real[1]), int(chosen.real[0]), chosen.out or Path(spare))
        print(f"{excluded} of {total} intervals exclude 1 ({excluded / max(total, 1):.1%}; nominal 5 %)")
        print(f"{called} call a difference beyond the threshold")
        return 0
    print("| A/A | excludes 1: prefill, decode, output | a difference is called |\n|---|---|---|")
    outside = False
    for paired in (True, False):
        found, _ = rates(paired, pairs=chosen.pairs, seed=chosen.seed)
        shares = [", ".join(f"{share:.1%}" for share in each.values()) for each in (found.excluded, found.called)]
        print(f"| {'paired' if paired else 'unpaired'} | {shares[0]} | {shares[1]} |", flush=True)
        outside |= paired and not all(WITHIN[0] <= share <= WITHIN[1] for share in found.excluded.values())
    return int(outside)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
