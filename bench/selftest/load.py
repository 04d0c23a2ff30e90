"""What the client does to what it measures: the real transport in one process, the mock server in another.

`python -m bench.selftest.load` is the client's process: a job as JSON on standard input, each request as JSON on
standard output. Each request is then compared with the server's log by the id that the server gave it; both processes
read the same clock.
"""

import gc
import http.client
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Exchange, Target
from bench.mock import truth as log
from bench.mock.truth import Truth
from bench.schema import Request

PATH = "/v1/chat/completions"
LIMIT_NS = 30_000_000_000
"""For one request; nothing here takes a second."""
CHILD_LIMIT_S = 60.0
SOON_NS = 1_000_000
MOST_UNREAD = 512
"""As in a load generator: finished answers are understood one at a time, while nothing is due."""


@dataclass(frozen=True)
class Trial:
    """A load. Closed: `streams` at once, begun evenly over `spread_s`; open: `requests_per_s` instead."""

    seconds: float
    streams: int = 0
    requests_per_s: float = 0.0
    tokens: int = 64
    ttft_s: float = 0.05
    itl_s: float = 0.01
    spread_s: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A request as the client tells it, in `perf_counter_ns`."""

    id: str | None
    status: str
    due_ns: int | None
    sent_ns: int | None
    first_ns: int | None
    last_ns: int | None
    tokens: int | None


@dataclass(frozen=True)
class Tried:
    """A trial's requests, each beside the truth about it, and what the processes used."""

    trial: Trial
    pairs: list[tuple[Seen, Truth]]
    lost: list[Seen]
    """Requests that the server's log does not know, or that did not end well."""
    wall_s: float
    cpu_s: float
    mock_cpu_s: float
    waited_share: float | None
    """Of the time, in which a process could have run and waited for a CPU (Linux schedstat): the client or the mock,
    whichever waited longer. None where nothing counts it."""

    @property
    def tokens(self) -> int:
        return sum(one.tokens or 0 for one, _ in self.pairs)


@dataclass(frozen=True)
class MockProcess:
    """A mock server that runs."""

    port: int
    log: Path
    pid: int

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """What it has used so far."""
        lines = self.get("/metrics").decode().splitlines()
        return float(next(line for line in lines if line.startswith("mock:process_cpu")).split()[1])

    def truth(self) -> dict[str, Truth]:
        """By the request's id."""
        self.get("/truth")
        return {line.id: line for line in log.read(self.log)}


@contextmanager
def mock(folder: Path) -> Iterator[MockProcess]:
    """A mock server in a process of its own, on a port of its own; it ends with the block, and with this process."""
    truth = folder / "truth.jsonl"
    words = [sys.executable, "-m", "bench", "mock-server", "--port", "0", "--truth", str(truth), "--end-with-parent"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the mock server did not start (exit code {process.wait()})")
            yield MockProcess(int(url.rpartition(":")[2]), truth, process.pid)
        finally:
            process.kill()


def attempt(trial: Trial, server: MockProcess) -> Tried:
    """Run a trial in a new client process, and put its requests beside the server's log."""
    before_s, waited_before_s = server.cpu_s(), waited_s(server.pid)
    job = {**asdict(trial), "port": server.port}
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=CHILD_LIMIT_S + trial.seconds,
    )
    told = json.loads(done.stdout)
    after_s, waited_after_s = server.cpu_s(), waited_s(server.pid)
    waits = [told["waited_s"], None if waited_after_s is None else waited_after_s - (waited_before_s or 0.0)]
    truths = server.truth()
    seen = [Seen(*one) for one in told["requests"]]
    fine = [one for one in seen if one.status == "ok" and one.id in truths]
    return Tried(
        trial=trial,
        pairs=[(one, truths[one.id or ""]) for one in fine],
        lost=[one for one in seen if one.status != "ok" or one.id not in truths],
        wall_s=told["wall_s"],
        cpu_s=told["cpu_s"],
        mock_cpu_s=after_s - before_s,
        waited_share=max((one / told["wall_s"] for one in waits if one is not None), default=None),
    )


# The client's process ------------------------------------------------------------------------------------------------


@dataclass
class _Client:
    """Drives the transport as a load generator does: sends what is due, sends on when a stream is free."""

    trial: Trial
    port: int
    seen: list[Seen] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        from bench.client.transport import StreamTransport

        trial = self.trial
        transport = StreamTransport(Target("127.0.0.1", self.port, tls=False, path=PATH))
        open_loop = trial.requests_per_s > 0
        transport.prepare(min(256, round(trial.requests_per_s * 0.1) + 8) if open_loop else trial.streams)
        count = round(trial.requests_per_s * trial.seconds) if open_loop else trial.streams
        over_s = trial.seconds if open_loop else trial.spread_s
        gc.collect()
        gc.freeze()
        gc.disable()
        waited_before_s, cpu_s = waited_s(os.getpid()), time.process_time()
        epoch_ns = time.perf_counter_ns()
        begin_ns = epoch_ns + 10_000_000
        dues = [begin_ns + round(over_s * 1e9 * at / count) for at in range(count)]
        end_ns = begin_ns + round(trial.seconds * 1e9)
        body = self._body()
        unread: deque[Exchange] = deque()
        at = 0
        while at < count or transport.in_flight or unread:
            now_ns = time.perf_counter_ns()
            while at < count and dues[at] <= now_ns:
                transport.send(body, dues[at], now_ns + LIMIT_NS)
                at += 1
                now_ns = time.perf_counter_ns()
            until_ns = dues[at] if at < count else now_ns + 1_000_000_000
            if unread and (until_ns - now_ns > SOON_NS or len(unread) > MOST_UNREAD):
                self._keep(unread.popleft(), epoch_ns)
            for exchange in transport.turn(now_ns if unread else until_ns):
                unread.append(exchange)
                if not open_loop and (now_ns := time.perf_counter_ns()) < end_ns:
                    transport.send(body, None, now_ns + LIMIT_NS)
        wall_s = (time.perf_counter_ns() - epoch_ns) / 1e9
        used_s = time.process_time() - cpu_s
        waited_after_s = waited_s(os.getpid())
        transport.close()
        return {
            "requests": [list(asdict(one).values()) for one in self.seen],
            "wall_s": wall_s,
            "cpu_s": used_s,
            "waited_s": None if waited_after_s is None else waited_after_s - (waited_before_s or 0.0),
        }

    def _body(self) -> bytes:
        trial = self.trial
        said = {
            "model": "mock",
            "messages": [{"role": "user", "content": "tell me something"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": trial.tokens,
            "mock": {"ttft_s": trial.ttft_s, "itl_s": trial.itl_s},
        }
        return json.dumps(said).encode()

    def _keep(self, exchange: Exchange, epoch_ns: int) -> None:
        from bench.client.events import read_answer

        request = Request(index=len(self.seen))
        read_answer(exchange, request, epoch_ns, "chat", True)
        sent, first, last = (
            None if one is None else epoch_ns + round(one * 1e9)
            for one in (request.sent_s, request.first_token_s, request.last_token_s)
        )
        name = exchange.headers.get("x-request-id")
        self.seen.append(Seen(name, request.status, exchange.tag, sent, first, last, request.output_tokens))


def waited_s(pid: int) -> float | None:
    """Total time for which a process's first thread waited for a CPU; None where nothing counts it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _main() -> None:
    job = json.loads(sys.stdin.read())
    port = job.pop("port")
    print(json.dumps(_Client(Trial(**job), port).run()))


if __name__ == "__main__":
    _main()
