"""A Slurm site behind the seam, through submitit: `slurm` or `slurm:PARTITION`.

Every order is a job of its own: Slurm says where it runs, so that there is one node here, "whatever the partition
gives", and a partition should hold machines of one kind. It is probed by a job like any other, and each reply says
which machine it is from, so that a job which landed on another kind stands in a row of that kind.
`slurm:local` runs the jobs as processes of this machine, for trying a config out.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import InputError, extra
from bench.execute.cluster import Claim, Ended, Files, Offer, Order, answered

LOCAL = "local"
FOLDER = "bench-slurm"
"""Below the working directory, which Slurm's nodes must share: what goes to jobs and comes back."""

SAID = "local.log"
"""What submitit's processes on this machine print."""

MINUTES = 24 * 60
AROUND_S = 600.0
"""Beside a job's own limit: for starting, fetching a model, and writing."""

LOOK_S = 0.1
SINFO_S = 20.0
MISSING = f"submitit is not installed; {extra('slurm')}, on the nodes too"


def check(text: str) -> str:
    """Raises InputError for what names no partition."""
    kind, colon, partition = text.partition(":")
    if kind != "slurm" or (colon and not partition.replace("-", "").replace("_", "").isalnum()):
        raise InputError(f"--on {text}: not a partition; write slurm, or slurm:PARTITION")
    return text


@dataclass
class SlurmCluster:
    """Jobs by ticket. `devices` and `cpus` are what a job of the partition may have."""

    name: str
    submitit: Any
    folder: Path
    partition: str
    cpus: int
    devices: int
    jobs: dict[str, Any] = field(default_factory=dict)
    probe_limit_s: float | None = None

    def offers(self) -> Sequence[Offer]:
        return [Offer(self.partition or "default", float(self.cpus), self.devices)]

    def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:  # noqa: ARG002
        from bench.execute.cluster import node

        executor = self.submitit.AutoExecutor(folder=self.folder, cluster=LOCAL if key == LOCAL else "slurm")
        executor.update_parameters(**self.asks(order))
        text = order.model_dump_json(exclude_defaults=True)
        try:
            with _said_into(self.folder / SAID) if key == LOCAL else nullcontext():
                job = executor.submit(node.perform, text, dict(files))
        except (OSError, self.submitit.core.utils.FailedJobError) as error:
            raise InputError(
                f"--on {self.name}: no job can be submitted ({' '.join(str(error).split())[:200]}); everything "
                "measured is kept, and the same command goes on"
            ) from None
        ticket = str(job.job_id)
        self.jobs[ticket] = job
        return ticket

    def asks(self, order: Order) -> dict[str, Any]:
        """What Slurm is asked for: a whole node for every order, the probe too, whatever share of it a cell claims.

        Slurm hides what a job did not ask for (CPUs, GPUs, memory): a node that was probed with less would be another
        machine in each record.
        """
        minutes = min(MINUTES, int((order.timeout_s + AROUND_S) / 60) + 1)
        asked: dict[str, Any] = {"timeout_min": minutes, "name": f"bench-{order.what}"}
        if self.partition != LOCAL:
            asked |= {"cpus_per_task": self.cpus, "slurm_exclusive": True}
            asked |= {"slurm_partition": self.partition} if self.partition else {}
            asked |= {"gpus_per_node": self.devices} if self.devices else {}
        return asked

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        left_s = timeout_s
        while True:
            found = [self._ended(ticket) for ticket, job in list(self.jobs.items()) if job.done()]
            if found or left_s <= 0 or not self.jobs:
                return found
            time.sleep(LOOK_S)
            left_s -= LOOK_S

    def _ended(self, ticket: str) -> Ended:
        job = self.jobs.pop(ticket)
        try:
            text, files = job.result()
        except Exception as error:  # submitit raises what the job raised, and errors of its own  # noqa: BLE001
            return Ended(ticket, lost=f"its job ended without a result ({' '.join(str(error).split())[:200]})")
        _cleared(job.paths)
        return answered(ticket, text, files)

    def drop(self, ticket: str) -> None:
        job = self.jobs.pop(ticket)
        with suppress(Exception):
            job.cancel(check=False)
        _cleared(job.paths)

    def stop(self) -> None:
        for ticket in list(self.jobs):
            self.drop(ticket)

    def close(self) -> None:
        """Nothing is held. What a job that failed has written stays, for who looks for the reason."""
        with suppress(OSError):
            (self.folder / SAID).unlink(missing_ok=True)
            self.folder.rmdir()


@contextmanager
def _said_into(path: Path) -> Iterator[None]:
    """Have processes that start in here say what they say into a file: Ctrl-C reaches submitit's own local process,
    too, which prints a traceback of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _cleared(paths: Any) -> None:
    """Take away the files of a job whose result is here."""
    for one in (paths.submitted_pickle, paths.result_pickle, paths.submission_file, paths.stdout, paths.stderr):
        with suppress(OSError):
            Path(one).unlink(missing_ok=True)


def connect(text: str) -> SlurmCluster:
    """Raises InputError where submitit or Slurm is not there."""
    if find_spec("submitit") is None:
        raise InputError(f"--on: {MISSING}")
    import submitit

    partition = text.partition(":")[2]
    if partition != LOCAL and submitit.AutoExecutor.which() != "slurm":
        raise InputError(f"--on {text}: Slurm's sbatch is not on this machine; run this on a login node")
    cpus, devices = (os.cpu_count() or 1, 0) if partition == LOCAL else _of_a_node(text, partition)
    return SlurmCluster(text, submitit, Path(FOLDER).absolute(), partition, cpus, devices)


def _of_a_node(text: str, partition: str) -> tuple[int, int]:
    """CPUs and GPUs of the smallest node of a partition, as `sinfo` says. Raises InputError where it says nothing."""
    which = ["-p", partition] if partition else []
    try:
        done = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%c %G", *which], capture_output=True, text=True, timeout=SINFO_S, check=True
        )
        return min(counts(line) for line in done.stdout.splitlines() if line.strip())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError(f"--on {text}: sinfo knows no node of it ({str(error)[:200]})") from None


def counts(line: str) -> tuple[int, int]:
    """CPUs and GPUs of a line of `sinfo -o "%c %G"`.

    >>> counts("64 gpu:h100:8(S:0-1)"), counts("16+ gpu:4,shard:8"), counts("2 (null)")
    ((64, 8), (16, 4), (2, 0))
    """
    cpus, _, rest = line.strip().partition(" ")
    found = re.findall(r"(?:^|,)gpu(?::[^:,(]*[^:,(\d][^:,(]*)?:(\d+)", rest)
    return int(cpus.rstrip("+")), sum(map(int, found))
