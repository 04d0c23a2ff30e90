"""How fast stored records become a priced table, and how much memory that takes, each in a fresh process.

    .venv/bin/python scripts/journal_speed.py                      10,000 records, five times
    .venv/bin/python scripts/journal_speed.py --megabytes 1000     the memory while a journal of that size is streamed

Records have a real measurement's shape, with noisy times, at least five replicates a cell. Prints the seconds of
the whole process (start and imports included), of reading, judging and pricing alone, and the peak resident memory.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests" / "data" / "records-v1.jsonl"

ROUNDS = 3
CELLS = 2000
"""Records are spread over no more cells than this: a matrix has thousands of them at most, however long it is run."""

READ = """
import resource, sys, time
from pathlib import Path
start = time.perf_counter()
from bench import store
from bench.report.rows import rows
from bench.schema import CostChoices
choices = CostChoices(usd_per_hour=1.0)
imported = time.perf_counter()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = rows(store.read(Path(sys.argv[1]), print), choices)
assert all(row.dollars is not None for row in found), "every row is priced"
done = time.perf_counter()
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(found), imported - start, done - imported, before / 1024, after / 1024)
"""
REPORT = "import sys; from bench.cli import main; sys.argv = ['bench', 'report', *sys.argv[1:]]; main()"


def write_journal(path: Path, records: int, rounds: int, steps: int, seed: int = 1) -> None:
    """A journal of `records` records over at most `CELLS` cells, with `rounds` rounds of `steps` steps each."""
    draw = random.Random(seed)
    sample = json.loads(SAMPLE.read_text().splitlines()[0])
    with path.open("w") as out:
        for index in range(records):
            replicate, cell = divmod(index, min(CELLS, max(1, records // 5)))
            factor = draw.lognormvariate(0, 0.05)
            sample["record_id"] = f"{cell:012x}.{replicate}.{index:08x}"
            sample["replicate"] = replicate
            sample["cell"]["cell_id"] = f"{cell:012x}"
            sample["measurement"]["rounds"] = [
                {
                    "step_s": [round(factor * (0.5 + 0.05 * step), 9) for step in range(steps)],
                    "done_s": factor * (0.5 + 0.05 * steps),
                    "stalled_s": 0.0,
                    "tokens_sha256": f"{index:08x}{number:08x}",
                }
                for number in range(rounds)
            ]
            out.write(json.dumps(sample, separators=(",", ":")) + "\n")


def in_a_fresh_process(code: str, *arguments: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=10_000)
    options.add_argument("--megabytes", type=int, default=0, help="stream a journal of this size instead")
    options.add_argument("--times", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        if chosen.megabytes:
            for what, steps in (("long records", 2200), ("short records", 11)):
                write_journal(path, 1, ROUNDS, steps)
                records = chosen.megabytes * 1_000_000 // path.stat().st_size
                write_journal(path, records, ROUNDS, steps)
                found, _, seconds, before, after = map(float, in_a_fresh_process(READ, str(path)).split()[-5:])
                print(
                    f"{what}: {path.stat().st_size / 1e6:.0f} MB, {records} records, {found:.0f} rows in "
                    f"{seconds:.1f} s; peak resident memory {before:.0f} → {after:.0f} MiB"
                )
            return
        write_journal(path, chosen.records, ROUNDS, steps=32)
        inner, whole = [], []
        for _ in range(chosen.times):
            _, imports, seconds, _, _ = map(float, in_a_fresh_process(READ, str(path)).split()[-5:])
            inner.append(seconds)
            whole.append(imports + seconds)
        print(f"{chosen.records} records: read, judged and priced in {median(inner):.2f} s (median of {chosen.times})")
        print(f"with imports {median(whole):.2f} s, from {min(whole):.2f} to {max(whole):.2f} s")


if __name__ == "__main__":
    main()
