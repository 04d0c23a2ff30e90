"""What our transport costs and how late it stamps, beside aiohttp and httpx on the same streams.

    .venv/bin/python scripts/compare_clients.py                      256 streams, 64 tokens, 50 ms + 10 ms a token
    .venv/bin/python scripts/compare_clients.py --no-delay           as fast as they can: tokens a second
    .venv/bin/python scripts/compare_clients.py --clients ours --repeats 5

The server is `bench mock-server` in another process; each client runs in a process of its own, one after the other,
interleaved and repeated. CPU is that of the client's process with all its threads, from the first request to the last
Request, so sending, reading, stamping and parsing (`read_answer`) are in it and imports are not. The truth is the
mock's log, on the same clock: how late the first tokens were stamped, request by request. The best repeat and the
median stand in the table. Needs the extra `clients`.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from bench.client import Exchange, Target, Transport
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.mock import truth as truth_log
from bench.schema import Request

CLIENTS = ("ours", "aiohttp", "httpx")


def transport_of(name: str, target: Target) -> Transport:
    if name == "ours":
        return StreamTransport(target)
    import other_clients

    return other_clients.AiohttpTransport(target) if name == "aiohttp" else other_clients.HttpxTransport(target)


def measure(name: str, port: int, streams: int, tokens: int, requests: int, spread_s: float) -> dict[str, Any]:
    """A closed loop of so many streams, begun over `spread_s`."""
    transport = transport_of(name, Target("127.0.0.1", port, False, "/v1/chat/completions"))
    message = {"role": "user", "content": "a b c d"}
    body = json.dumps(
        {"model": "mock", "messages": [message], "stream": True, "max_tokens": tokens, "ignore_eos": True}
        | {"stream_options": {"include_usage": True}}
    ).encode()
    drive(transport, body, streams, streams, 0.0)  # opens connections, warms code up
    began_ns, began_cpu = time.perf_counter_ns(), time.process_time()
    done = drive(transport, body, streams, requests, spread_s)
    cpu_s, wall_s = time.process_time() - began_cpu, (time.perf_counter_ns() - began_ns) / 1e9
    transport.close()
    assert all(request.status == "ok" for _, request in done), {request.error for _, request in done}
    counted = sum(request.output_tokens or 0 for _, request in done)
    assert counted == tokens * requests, (counted, tokens * requests)
    return {
        "cpu_us_per_token": cpu_s / counted * 1e6,
        "tokens_per_s": counted / wall_s,
        "cpu_share": cpu_s / wall_s,
        "stamps": {
            exchange.headers["x-request-id"]: (exchange.sent_ns, request.first_token_s, request.last_token_s)
            for exchange, request in done
        },
        "resent": sum(request.resent for _, request in done),
    }


def drive(
    transport: Transport, body: bytes, streams: int, requests: int, spread_s: float
) -> list[tuple[Exchange, Request]]:
    """Answers are read one at a time between turns: many in a row would make stamps late."""
    transport.prepare(streams)
    sent, unread, done = 0, deque[Exchange](), list[tuple[Exchange, Request]]()
    begun_ns = time.perf_counter_ns()
    step_ns = int(spread_s * 1e9 / streams)
    while len(done) < requests:
        next_ns = begun_ns + 300 * 10**9
        while sent < requests and transport.in_flight < streams:
            next_ns = begun_ns + sent * step_ns if sent < streams else 0
            if time.perf_counter_ns() < next_ns:
                break
            transport.send(body, sent, begun_ns + 300 * 10**9)
            sent += 1
        unread += transport.turn(0 if unread else next_ns)
        if unread:
            exchange = unread.popleft()
            request = Request(index=exchange.tag)
            read_answer(exchange, request, exchange.sent_ns or 0, "chat", True)
            exchange.pieces.clear()
            done.append((exchange, request))
    return done


@contextmanager
def mocked(folder: Path, ttft_s: float, itl_s: float) -> Iterator[tuple[int, Path]]:
    log = folder / "truth.jsonl"
    words = ["-m", "bench", "mock-server", "--truth", str(log), "--ttft-s", str(ttft_s), "--itl-s", str(itl_s)]
    server = subprocess.Popen([sys.executable, *words, "--end-with-parent"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline().strip().rpartition(":")[2]), log
    finally:
        server.terminate()
        server.wait()


def late(stamps: dict[str, tuple[int, float, float]], log: Path) -> dict[str, float]:
    """Milliseconds: TTFT at p50 and p99 as the client says it and as the log does, and how late stamps were."""
    truths = {one.id: one for one in truth_log.read(log) if one.id in stamps}
    assert len(truths) == len(stamps), f"{len(truths)} of {len(stamps)} requests in the log"
    said, true, behind, reached, tpot = [], [], [], [], []
    for name, (sent_ns, first_s, last_s) in stamps.items():
        one = truths[name]
        assert one.first_token_ns is not None
        assert one.last_token_ns is not None
        said.append(first_s * 1e3)
        reached.append((one.received_ns - sent_ns) / 1e6)
        true.append((one.first_token_ns - one.received_ns) / 1e6)
        behind.append((sent_ns + first_s * 1e9 - one.first_token_ns) / 1e6)
        tpot.append((last_s - first_s) * 1e9 / (one.last_token_ns - one.first_token_ns or math.nan))
    return {
        **{f"ttft_p{share}_ms": rank(said, share) for share in (50, 99)},
        **{f"true_p{share}_ms": rank(true, share) for share in (50, 99)},
        **{f"late_p{share}_ms": rank(behind, share) for share in (50, 99)},
        **{f"sent_to_read_p{share}_ms": rank(reached, share) for share in (50, 99)},
        "tpot_ratio_p50": rank(tpot, 50),
    }


def rank(values: list[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * share / 100) - 1)]


def child(name: str, port: int, chosen: argparse.Namespace) -> dict[str, Any]:
    words = [sys.executable, __file__, "--arm", name, "--port", str(port), "--streams", str(chosen.streams)]
    words += ["--spread-s", str(chosen.spread_s), "--tokens", str(chosen.tokens), "--requests", str(chosen.requests)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)  # type: ignore[no-any-return]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    options.add_argument("--streams", type=int, default=256)
    options.add_argument("--tokens", type=int, default=64, help="of each answer")
    options.add_argument("--requests", type=int, default=768, help="of each repeat")
    options.add_argument("--spread-s", type=float, default=0.0, help="begin the streams over so long, not all at once")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--no-delay", action="store_true")
    options.add_argument("--arm", help=argparse.SUPPRESS)
    options.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.arm:
        print(
            json.dumps(
                measure(chosen.arm, chosen.port, chosen.streams, chosen.tokens, chosen.requests, chosen.spread_s)
            )
        )
        return
    missing = [name for name in chosen.clients if name != "ours" and find_spec(name) is None]
    if missing:
        print(
            f"error: {missing[0]} is missing; .venv/bin/pip install -e '.[clients]', or --clients ours", file=sys.stderr
        )
        sys.exit(2)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen.clients}
    ttft_s, itl_s = (0.0, 0.0) if chosen.no_delay else (0.05, 0.01)
    for _ in range(chosen.repeats):
        for name in chosen.clients:
            with tempfile.TemporaryDirectory() as folder:
                with mocked(Path(folder), ttft_s, itl_s) as (port, log):
                    one = child(name, port, chosen)
                found[name].append(one | late(one.pop("stamps"), log))
    columns = list(next(iter(found.values()))[0])
    for name, runs in found.items():
        print(f"{name}: best of {len(runs)} (median)")
        for column in columns:
            values = [run[column] for run in runs]
            best = max(values) if column == "tokens_per_s" else min(values)
            print(f"  {column:<18} {best:12,.3f} ({median(values):,.3f})")


if __name__ == "__main__":
    main()
