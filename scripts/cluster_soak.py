"""Many fake cells over two local nodes, one killed in between and started again: is any lost or doubled?

.venv/bin/python scripts/cluster_soak.py --cells 1000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from local_cluster import LocalCluster

ROOT = Path(__file__).resolve().parents[1]
# Three tokens: of more, a busy machine now and then makes two come together, which is no fault of the cluster.
CONFIG = """\
models: shape:pythia-70m
precisions: fp32
runners: {{name: fake, prefill_s: {delays}, step_s: 0.001}}
workloads: {{batch_size: 1, input_tokens: [{lengths}], output_tokens: 3}}
protocol: {{rounds: 1, max_rounds: 1, warmup_rounds: 0, memory_pass: false}}
replicates: 1
sampling: {{max_replicates: 1}}
"""
DELAYS = 10


def records(folder: Path) -> list[dict[str, str]]:
    """Cell, status, reason and node of each whole line so far."""
    found = []
    path = folder / "records.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            one = json.loads(line)
        except ValueError:
            continue  # being written
        reason = (one.get("error") or {}).get("reason", "")
        said = {"status": one["status"], "reason": reason, "node": one.get("node", "")}
        found.append({"cell": one["cell"]["cell_id"], **said})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    cells = parser.parse_args().cells // DELAYS * DELAYS
    lengths = ", ".join(str(length) for length in range(2, 2 + cells // DELAYS))
    delays = "[" + ", ".join(f"{index / 1000:g}" for index in range(1, 1 + DELAYS)) + "]"
    with tempfile.TemporaryDirectory() as place, LocalCluster(cpus=2) as cluster:
        config, out = Path(place) / "soak.yaml", Path(place) / "out"
        config.write_text(CONFIG.format(delays=delays, lengths=lengths), encoding="utf-8")
        command = [sys.executable, "-m", "bench", "run", str(config), "--on", cluster.address, "--out", str(out)]
        began = time.monotonic()
        with (Path(place) / "log").open("w") as log:
            run = subprocess.Popen(
                [*command, "--max-cells", str(cells)], env=cluster.variables, cwd=ROOT, stdout=log, stderr=log
            )
            killed = False
            while run.poll() is None:
                time.sleep(1)
                if not killed and len(records(out)) >= cells // 3:
                    cluster.kill()
                    print(f"a node was killed after {len(records(out))} records", flush=True)
                    killed = True
                    cluster.join()
        found = records(out)
        ok = Counter(one["cell"] for one in found if one["status"] == "ok")
        statuses = Counter(one["status"] for one in found)
        doubled = sum(count > 1 for count in ok.values())
        nodes = dict(Counter(one["node"] for one in found))
        print(
            f"{cells} cells, {len(found)} records ({dict(statuses)}) from nodes {nodes} "
            f"in {time.monotonic() - began:.0f} s: {cells - len({one['cell'] for one in found})} without a record, "
            f"{cells - len(ok)} not measured, {doubled} doubled, exit code {run.returncode}, "
            f"a node was {'' if killed else 'not '}killed"
        )
        for reason, count in Counter(one["reason"] for one in found if one["status"] != "ok").items():
            print(f"{count} × {reason}")
        if run.returncode:
            print((Path(place) / "log").read_text(encoding="utf-8")[-3000:])
        return int(bool(run.returncode or doubled or len(ok) != cells or not killed))


if __name__ == "__main__":
    sys.exit(main())
