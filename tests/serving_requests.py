"""Requests under load as tests need them: made, never measured."""

from typing import Any

import numpy as np

from bench.schema import Capabilities, Cell, ClientFacts, Request, Serving, Traffic
from tests import samples


def request(
    index: int, at_s: float, ttft_s: float = 0.05, gap_s: float = 0.01, tokens: int = 8, **said: Any
) -> Request:
    """An answer of one token a chunk, `gap_s` apart; `said` replaces what it says of itself."""
    first = at_s + ttft_s
    last = first + gap_s * (tokens - 1)
    usual: dict[str, Any] = {
        "session": index,
        "sent_s": at_s,
        "first_token_s": first,
        "first_answer_s": first,
        "last_token_s": last,
        "done_s": last + 0.001,
        "http_status": 200,
        "finish": "length",
        "asked_output_tokens": tokens,
        "input_tokens": 100,
        "cached_tokens": 0,
        "output_tokens": tokens,
        "count_source": "usage",
        "first_event_tokens": 1,
        "chunks": tokens,
        "gaps_us": [round(gap_s * 1e6)] * (tokens - 1),
        "gap_tokens": [1] * (tokens - 1),
    }
    return Request(index=index, **{**usual, **said})


def failed(index: int, at_s: float, status: str = "http", **said: Any) -> Request:
    """A request that got no answer."""
    return Request(index=index, session=index, sent_s=at_s, done_s=at_s + 0.01, status=status, **said)  # type: ignore[arg-type]


def cut(index: int, at_s: float, done_s: float, **said: Any) -> Request:
    """A request that was still waiting for its first token when the load ended."""
    return Request(index=index, session=index, sent_s=at_s, done_s=done_s, status="cancelled", **said)


def steady_load(
    seconds: float = 30.0, per_s: float = 20.0, seed: int = 1, is_open: bool = True, **said: Any
) -> list[Request]:
    """Poisson arrivals at a server that is never full; TTFT 50 ms ± 10 %, 10 ms a token."""
    draw = np.random.default_rng(seed)
    stamps = np.cumsum(draw.exponential(1 / per_s, int(seconds * per_s * 1.5)))
    return [
        request(
            index,
            float(at) + 1e-4,
            ttft_s=float(0.05 * draw.lognormal(0, 0.1)),
            **{"due_s": float(at) if is_open else None, **said},
        )
        for index, at in enumerate(stamps[stamps < seconds])
    ]


def serving(warm_s: float = 2.0, stopped_s: float = 30.0, **said: Any) -> Serving:
    """A run of which nothing bad is known."""
    usual: dict[str, Any] = {
        "trace": "traces/r.jsonl.gz",
        "trace_sha256": "0" * 64,
        "requests": 0,
        "capabilities": Capabilities(served_model="m", exact_length="ignore_eos", usage_chunk=True),
        "loopback": True,
        "length_source": "ids",
        "warm_s": warm_s,
        "stopped_s": stopped_s,
        "finished_s": stopped_s + 1,
        "ended": "duration",
        "clients": (ClientFacts(worker=0, requests=1, chunks=8, cpu_s=1.0, wall_s=30.0, lag_p99_s=0.0005),),
    }
    return Serving(**{**usual, **said})


def served_cell(**traffic: Any) -> Cell:
    """A cell under this load; Poisson at 20 requests a second unless said otherwise."""
    load = Traffic(**({"load": "poisson", "requests_per_s": 20.0, "output_tokens": 8} | traffic))
    return samples.cell().model_copy(update={"traffic": load})
