"""A Ray cluster of two nodes on loopback, for tests and for `cluster_soak.py` and `cluster_overhead.py`.

The token is a new one each time. Each node can be killed as a machine dies: all of its processes at once.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

START_S = 120
HEAD, OTHER = "127.0.0.2", "127.0.0.3"
"""Addresses of loopback: Ray takes 127.0.0.1 for a machine without a network."""

OBJECTS_BYTES = 80_000_000
NO_ROCM = 'raise ImportError("no ROCm here")\n'
"""What stands in for AMD's package: Ray cannot be imported where it is installed without its library."""


def free_port() -> int:
    """A port of loopback above those that Ray gives its workers."""
    for port in range(20001 + secrets.randbelow(20000), 60000):
        with socket.socket() as one, suppress(OSError):
            one.bind((HEAD, port))
            return port
    raise RuntimeError("no free port")


class LocalCluster:
    """Two nodes, the head first. `resources`: custom ones of each; `cpus`: CPUs that each says it has."""

    def __init__(
        self, resources: Sequence[Mapping[str, float]] = ({}, {}), cpus: int = 2, gpus: int = 0, token: bool = True
    ) -> None:
        self._place = tempfile.TemporaryDirectory(
            prefix="ray-", ignore_cleanup_errors=True
        )  # short: sockets live there
        self._resources, self._cpus, self._gpus = resources, cpus, gpus
        self.port, self.gcs = free_port(), free_port()
        stub = Path(self._place.name) / "stub"
        stub.mkdir()
        (stub / "amdsmi.py").write_text(NO_ROCM, encoding="utf-8")
        self.variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(stub), os.environ.get("PYTHONPATH")))),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_raylet_start_wait_time_s": str(START_S),
            **({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)} if token else {}),
        }

    @property
    def address(self) -> str:
        return f"ray://{HEAD}:{self.port}"

    def __enter__(self) -> "LocalCluster":
        try:
            head = [f"--port={self.gcs}", f"--ray-client-server-port={self.port}", "--include-dashboard=false"]
            self._start("--head", f"--node-ip-address={HEAD}", *head, f"--temp-dir={self._place.name}/r", of=0)
            self.join()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def join(self) -> None:
        """Have the other node come (again)."""
        self._start(f"--address={HEAD}:{self.gcs}", f"--node-ip-address={OTHER}", of=1)

    def _start(self, *words: str, of: int) -> None:
        import json

        said = [f"--num-cpus={self._cpus}", f"--num-gpus={self._gpus}", f"--object-store-memory={OBJECTS_BYTES}"]
        said.append(f"--resources={json.dumps(self._resources[of])}")
        command = [str(Path(sys.executable).parent / "ray"), "start", *words, *said]
        with tempfile.TemporaryFile() as log:
            code = subprocess.call(command, env=self.variables, stdout=log, stderr=log, timeout=START_S)
            log.seek(0)
            if code:
                raise RuntimeError(f"ray start ended with {code}: {log.read().decode(errors='replace')[-2000:]}")

    def processes(self, address: str | None = None) -> list[psutil.Process]:
        """Those of one node, its workers and their children too, or of all."""
        found: dict[int, psutil.Process] = {}
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                words = " ".join(one.cmdline())
                is_ours = f"{self._place.name}/r" in words or f":{self.gcs}" in words
                if is_ours and (address is None or f"={address}" in words):
                    found |= {each.pid: each for each in (one, *one.children(recursive=True))}
        return list(found.values())

    def kill(self, address: str = OTHER) -> None:
        """End a node as a power cut does."""
        for one in self.processes(address):
            with suppress(psutil.Error):
                one.send_signal(signal.SIGKILL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(50):
            left = self.processes()
            if not left:
                break
            for one in left:
                with suppress(psutil.Error):
                    one.send_signal(signal.SIGKILL)
            psutil.wait_procs(left, timeout=0.2)
            time.sleep(0.05)
        self._place.cleanup()
