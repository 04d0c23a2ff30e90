"""The mock server in a process of its own, for tests of whatever talks to an endpoint."""

import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.mock import truth as log
from bench.mock.truth import Truth
from bench.schema import Request
from tests.commands import ROOT, command


@dataclass
class Mocked:
    """A mock server that runs. `process` may be killed: `truth()` then reads what the log holds."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Its /metrics: totals and gauges by name, without the prefix `mock:`."""
        lines = self.get("/metrics")[1].decode().splitlines()
        pairs = (line.removeprefix("mock:").split() for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def truth(self, requests: int | None = None) -> list[Truth]:
        """The log, one line for each request that is over; waits up to 10 s for so many `requests`."""
        until = time.monotonic() + 10
        while True:
            if self.process.poll() is None:
                self.get("/truth")  # has it write what it keeps back
            found = log.read(self.log)
            if requests is None or len(found) >= requests:
                return found
            assert time.monotonic() < until, f"{len(found)} of {requests} requests ended"
            time.sleep(0.02)

    def kill(self) -> None:
        """As `kill -9` does; another one may be started on the same port."""
        self.process.kill()
        self.process.wait()


@contextmanager
def mock(port: int = 0, environment: dict[str, str] | None = None, **settings: Any) -> Iterator[Mocked]:
    """Start `bench mock-server` with these `MockSettings`; it ends with the block, and with the calling thread."""
    with tempfile.TemporaryDirectory(prefix="mocked-") as folder:
        truth = Path(folder) / "truth.jsonl"
        words = command("mock-server", "--port", str(port), "--truth", truth, "--end-with-parent", *options(settings))
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().strip()
            assert url, process.stderr.read()
            yield Mocked(url, process, truth)
            assert process.poll() in (None, -9), process.stderr.read()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def options(settings: dict[str, Any]) -> list[str]:
    """Settings as words of the command line."""
    words = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            words.append(f"--{option}={value}")
    return words


def paired(requests: Iterable[Request], truths: Sequence[Truth]) -> list[tuple[Request, Truth]]:
    """What a client said beside what happened, in the order in which requests were sent and came in.

    For clients that kept no header of the answers: the two orders are the same but for requests within some
    microseconds of each other, whose answers look alike. Raises AssertionError where the numbers differ.
    """
    sent = sorted((one for one in requests if one.sent_s is not None), key=lambda one: one.sent_s or 0.0)
    came = sorted(truths, key=lambda one: one.received_ns)
    assert len(sent) == len(came), f"{len(sent)} sent, {len(came)} came in"
    return list(zip(sent, came, strict=True))
