"""What Ray adds to a cell, and whether it shows in what is timed: the same cell with and without --on, interleaved.

    .venv/bin/python scripts/cluster_overhead.py --pairs 10

Prints the seconds that a cell takes longer on a cluster of two local nodes that stands already (median over pairs, with
and without what connecting takes once a run), and the ratio of its timed rounds, with a 95 % interval.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from local_cluster import LocalCluster

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """\
models: shape:pythia-70m
precisions: fp32
runners: {name: fake, prefill_s: 0.01, burn: 200000, step_s: 0}
workloads: {batch_size: [1, 2, 3, 4], input_tokens: 8, output_tokens: 16}
protocol: {rounds: 5, max_rounds: 5, memory_pass: false}
replicates: 1
sampling: {max_replicates: 1}
"""
CELLS = 4


def measured(folder: Path) -> tuple[list[float], list[float], float]:
    """Of a run's cells: seconds of the child, median seconds of a round's decode steps, and the span of the starts."""
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(one["status"] == "ok" for one in lines), [one.get("error") for one in lines]
    children = [one["elapsed_s"] for one in lines]
    rounds = []
    for one in sorted(lines, key=lambda one: str(one["cell"]["cell_id"])):
        spans = [each["step_s"][-1] - each["step_s"][0] for each in one["measurement"]["rounds"]]
        rounds.append(statistics.median(spans))
    begun = [datetime.fromisoformat(one["started_at"]).timestamp() for one in lines]
    return children, rounds, max(begun) - min(begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    pairs = parser.parse_args().pairs
    whole: dict[bool, list[float]] = {True: [], False: []}
    around: dict[bool, list[float]] = {True: [], False: []}
    ratios = []
    with tempfile.TemporaryDirectory() as place, LocalCluster(({"first": 1}, {})) as cluster:
        config = Path(place) / "cell.yaml"
        config.write_text(CONFIG + "machines: {name: first, resources: {first: 1}}\n", encoding="utf-8")
        for pair in range(-1, pairs):  # the first one starts the workers, and is not counted
            rounds = {}
            for is_on in random.sample((True, False), 2):
                out = Path(place) / f"{pair}{is_on}"
                on = ["--on", cluster.address] if is_on else []
                alone = config if is_on else Path(place) / "alone.yaml"
                if not is_on:
                    alone.write_text(CONFIG, encoding="utf-8")
                command = [sys.executable, "-m", "bench", "run", str(alone), "--out", str(out), *on]
                began = time.monotonic()
                done = subprocess.run(command, env=cluster.variables, cwd=ROOT, capture_output=True, text=True)
                took = time.monotonic() - began
                assert done.returncode == 0, done.stderr
                children, rounds[is_on], span = measured(out)
                if pair >= 0:
                    whole[is_on].append(took)
                    # From the start of the first cell to that of the last, less the children in between.
                    around[is_on].append((span - sum(children) * (CELLS - 1) / CELLS) / (CELLS - 1))
            if pair >= 0:
                ratios += [math.log(a / b) for a, b in zip(rounds[True], rounds[False], strict=True)]
    mean, error = statistics.mean(ratios), statistics.stdev(ratios) / math.sqrt(len(ratios))
    added = [on - off for on, off in zip(whole[True], whole[False], strict=True)]
    between = [on - off for on, off in zip(around[True], around[False], strict=True)]
    print(
        f"{pairs} pairs of runs of {CELLS} cells: Ray adds {statistics.median(added):.2f} s to a run (connecting and "
        f"probing), {statistics.median(added) / CELLS:.2f} s a cell of it; between cells "
        f"{statistics.median(between):.2f} s"
    )
    low, high = (math.exp(mean + side * 2 * error) for side in (-1, 1))
    print(
        f"rounds on the cluster over rounds without: {math.exp(mean):.4f} ({low:.4f} to {high:.4f}), n = {len(ratios)}"
    )
    return int(statistics.median(added) / CELLS > 2 or not low <= 1 <= high)


if __name__ == "__main__":
    sys.exit(main())
