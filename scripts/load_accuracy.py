"""What the load generator costs and how right it is, against the mock server in another process, request by request.

    python scripts/load_accuracy.py [--streams 256] [--seconds 10] [--repeats 3] [--clients 1] [--only paced]

The whole path is measured: processes, transport, parsing, statistics and trace. CPU is that of the whole client tree
(load generators and conductor) while the load runs, imports left out, a streamed token. Truth is the mock's own log.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import traces
from bench.measure.serving import conductor
from bench.mock.truth import Truth
from bench.schema import Endpoint, Request, Serving
from tests.mocked import mock, paired
from tests.underload import job, traffic


def ranked(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def one_run(
    streams: int, seconds: float, clients: int, tokens: int, delays: dict[str, Any]
) -> tuple[Serving, list[Request], list[Truth], float]:
    """A run; with the conductor's own CPU seconds while the load ran."""
    load = traffic(concurrency=streams, output_tokens=tokens, duration_s=seconds, warmup_s=1.0)
    cpu: list[float] = []
    with mock(**delays) as server, tempfile.TemporaryDirectory() as folder:
        served = conductor.serve(
            job(Path(folder), load),
            Endpoint(base_url=server.base_url, clients=clients),
            lambda name, _: cpu.append(time.process_time()) if name == "load" else None,
            lambda _: None,
            lambda: False,
        )
        own_s = time.process_time() - cpu[0]
        requests = list(traces.read(Path(folder) / served.trace))
        truths = sorted(server.truth(), key=lambda one: one.received_ns)[-len(requests) :]
    return served, requests, truths, own_s


def paced(streams: int, seconds: float, clients: int) -> None:
    """TTFT 50 ms, 10 ms a token, 64 tokens."""
    served, requests, truths, own_s = one_run(streams, seconds, clients, 64, {"ttft_s": 0.05, "itl_s": 0.01})
    tokens = sum(one.chunks for one in served.clients)
    cpu_s = sum(one.cpu_s for one in served.clients) + own_s
    ttft, true_ttft, tpot, true_tpot, off = [], [], [], [], []
    for one, truth in paired(requests, truths):
        if one.status != "ok" or truth.status != "ok" or one.sent_s is None or one.sent_s < served.warm_s:
            continue
        assert one.first_token_s is not None
        assert one.last_token_s is not None
        assert truth.first_token_ns is not None
        assert truth.last_token_ns is not None
        assert one.output_tokens == truth.tokens
        ttft.append(one.first_token_s - one.sent_s)
        true_ttft.append((truth.first_token_ns - truth.received_ns) / 1e9)
        tpot.append((one.last_token_s - one.first_token_s) / (truth.tokens - 1))
        true_tpot.append((truth.last_token_ns - truth.first_token_ns) / 1e9 / (truth.tokens - 1))
        off.append(ttft[-1] - true_ttft[-1])
    window_s = served.stopped_s - served.warm_s
    print(
        f"{streams} streams, {clients} clients: {len(ttft)} requests compared, "
        f"about {tokens / served.finished_s:,.0f} tok/s for {window_s:.1f} s\n"
        f"  CPU a token: {cpu_s / tokens * 1e6:.1f} µs (load generators {(cpu_s - own_s) / tokens * 1e6:.1f})\n"
        f"  TTFT ms p50/p99: client {ranked(ttft, 0.5) * 1e3:.2f}/{ranked(ttft, 0.99) * 1e3:.2f}, "
        f"server {ranked(true_ttft, 0.5) * 1e3:.2f}/{ranked(true_ttft, 0.99) * 1e3:.2f}, "
        f"programmed 50/50; client − server by request: "
        f"p50 {ranked(off, 0.5) * 1e3:.2f}, p99 {ranked(off, 0.99) * 1e3:.2f}\n"
        f"  TPOT ms p50: client {median(tpot) * 1e3:.4f}, server {median(true_tpot) * 1e3:.4f} "
        f"({(median(tpot) / median(true_tpot) - 1) * 100:+.3f} %)\n"
        f"  loop late p99/max ms: {max(one.lag_p99_s or 0 for one in served.clients) * 1e3:.2f}/"
        f"{max(one.lag_max_s or 0 for one in served.clients) * 1e3:.2f}; CPU share "
        f"{max(one.cpu_s / one.wall_s for one in served.clients):.2f}"
    )


def flat_out(streams: int, seconds: float, clients: int, tokens: int) -> None:
    """A server without any delay: how much one load generator can take in."""
    served, requests, _, _ = one_run(streams, seconds, clients, tokens, {"ttft_s": 0, "itl_s": 0})
    inside = [
        one
        for one in requests
        if one.done_s is not None and served.warm_s <= one.done_s <= served.stopped_s and one.status == "ok"
    ]
    got = sum(one.output_tokens or 0 for one in inside)
    window_s = served.stopped_s - served.warm_s
    share = max(one.cpu_s / one.wall_s for one in served.clients)
    print(
        f"no delay, {streams} streams, {tokens} tokens an answer: {got / window_s:,.0f} tok/s, "
        f"{len(inside) / window_s:,.0f} requests/s (CPU share of the busiest client {share:.2f})"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--only", choices=("paced", "flat-out"))
    asked = parser.parse_args()
    for _ in range(asked.repeats if asked.only != "flat-out" else 0):
        paced(asked.streams, asked.seconds, asked.clients)
    for _ in range(asked.repeats if asked.only != "paced" else 0):
        flat_out(32, asked.seconds / 2, asked.clients, 64)
        flat_out(32, asked.seconds / 2, asked.clients, 1024)


if __name__ == "__main__":
    main()
