"""The command line as a person calls it, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

FAKE = """\
models: shape:pythia-70m
precisions: {precisions}
runners: {runners}
workloads: {workloads}
protocol: {{rounds: 2, warmup_rounds: 1, memory_pass: false}}
replicates: {replicates}
sampling: {{max_replicates: {replicates}}}
timeout_s: {timeout_s}
"""


def bench(*arguments: str | Path, cwd: Path | None = None, timeout_s: float = 240, **variables: str) -> Any:
    """Run `bench` to its end; the completed process with text output."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **variables},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )


def command(*arguments: str | Path) -> list[str]:
    """The words of a call of `bench`."""
    return [sys.executable, "-m", "bench", *(str(one) for one in arguments)]


def fake_config(
    folder: Path,
    runners: str = "fake",
    precisions: str = "[fp32]",
    workloads: str = "{batch_size: 2, input_tokens: 8, output_tokens: 4}",
    replicates: int = 1,
    timeout_s: float = 60,
) -> Path:
    """A config file for the fake runner."""
    path = folder / "fake.yaml"
    path.write_text(
        FAKE.format(
            runners=runners, precisions=precisions, workloads=workloads, replicates=replicates, timeout_s=timeout_s
        )
    )
    return path


def lines(folder: Path) -> list[dict[str, Any]]:
    """The records of a run folder, as plain JSON."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
