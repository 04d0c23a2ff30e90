"""Defects found in other serving benchmarks, one test each: none of them is here. The others: test_peer_defects.py."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from bench.client import Exchange
from bench.client.events import read_answer
from bench.loads import Vocabulary
from bench.loads.plan import plan
from bench.measure.serving.phases import REHEARSAL
from bench.metrics.serving.columns import fold
from bench.metrics.serving.figures import run_figures
from bench.metrics.serving.slo import parse
from bench.metrics.serving.times import times
from bench.schema import Request, Traffic
from tests.mocked import Mocked, mock, paired
from tests.serving_requests import request, serving
from tests.underload import generate, traffic

WORDS = Vocabulary("estimate", words=[f" word{one}" for one in range(2000)])
MS = 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.02, itl_s=0.001) as running:
        yield running


def read(*chunks: tuple[int, dict[str, Any]]) -> Request:
    """A stream that was sent at 0 and whose events came at these milliseconds."""
    exchange = Exchange(None)
    exchange.sent_ns, exchange.done_ns, exchange.http_status = 0, chunks[-1][0] * MS, 200
    for at_ms, chunk in chunks:
        exchange.pieces.append(b"data: " + orjson.dumps(chunk) + b"\n\n")
        exchange.read_ns.append(at_ms * MS)
    found = Request(index=0)
    read_answer(exchange, found, 0, "chat", True)
    return found


def said(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


@pytest.mark.parametrize("workers", [4, 10])
def test_workers_do_not_repeat_each_others_gaps(workers: int) -> None:
    """GuideLLM seeds the arrivals of every worker alike: gaps come `workers` times, dispersion 8 instead of 1."""
    load = Traffic(load="poisson", requests_per_s=50, input_tokens=32, output_tokens=8)
    made = plan(load, WORDS, 0)
    each = 6000 // workers
    slices = [[one.due_s or 0.0 for one in islice(made.slice(at, workers), each)] for at in range(workers)]
    stamps = np.sort(np.concatenate(slices))
    gaps = np.diff(stamps)
    assert abs(float(np.corrcoef(gaps[1:], gaps[:-1])[0, 1])) < 0.05
    counts = np.bincount(stamps.astype(np.int64))[:-1]
    assert 0.6 < float(counts.var() / counts.mean()) < 1.4  # 120 counts: ± 0.13 a standard error
    assert len(set(stamps.tolist())) == len(stamps)


def test_tpot_and_gaps_are_without_the_first_token() -> None:
    """GuideLLM's TPOT and llmperf's inter-token latency include the time to the first token."""
    columns = fold([request(0, 1.0, ttft_s=3.0, gap_s=0.01, tokens=11)])
    assert times(columns).values["tpot_s"][0] == pytest.approx(0.01)
    assert columns.longest_gap_s[0] == pytest.approx(0.01)
    assert columns.itl.between(0, 10).sum() == 10


def test_one_token_meets_no_objective_on_pace() -> None:
    """vLLM gives an answer of one token a TPOT of 0, which meets every objective."""
    made = [request(at, 2.05 + at, tokens=1, gaps_us=[], gap_tokens=[]) for at in range(20)]
    found = run_figures(fold(made), serving(), traffic("poisson", requests_per_s=1), [parse("tpot<=1ms")])
    assert found.flow.goodput_requests_per_s == 0
    assert found.unjudged == 20
    assert found.attainment is None
    assert "tpot_s" not in found.medians


def test_an_event_without_a_token_is_not_the_first_token() -> None:
    """vLLM's client takes any event with `choices` for the first token: the role, which comes before the prefill."""
    found = read(
        (1, said({"role": "assistant", "content": ""})),
        (2, said({"content": ""})),
        (3, usage(9, 0)),
        (50, said({"content": "a"})),
        (60, said({"content": "b"})),
        (70, said({}, "length")),
        (71, usage(9, 2)),
    )
    assert (found.status, found.first_token_s, found.last_token_s) == ("ok", 0.05, 0.06)
    assert (found.output_tokens, found.first_event_tokens, found.gaps_us) == (2, 1, [10_000])


def test_a_thought_and_a_call_are_tokens() -> None:
    """Tools that look at `content` alone take a model that thinks for one that is slow to begin."""
    call = {"index": 0, "function": {"name": "find", "arguments": ""}}
    found = read(
        (1, said({"role": "assistant", "content": None})),
        (50, said({"reasoning_content": "hm"})),
        (80, said({"tool_calls": [call]})),
        (90, said({}, "tool_calls")),
        (91, usage(9, 2)),
    )
    assert (found.first_token_s, found.first_answer_s, found.tool_calls) == (0.05, 0.08, 1)


def test_no_prompt_is_warmed_up_with(tmp_path: Path, server: Mocked) -> None:
    """vLLM's warm-up repeats prompt 1, so that the prefix cache answers for the model: here the load is its own
    warm-up, and the request that goes before it is of another plan."""
    load = traffic("closed", concurrency=1, input_tokens=64)
    prompts = [
        next(plan(load, WORDS, replicate).slice(0, 1)).turns[0].content
        for replicate in (0, 1, REHEARSAL, REHEARSAL + 1)
    ]
    assert len({str(one).split()[0] for one in prompts}) == len(prompts)
    before = len(server.truth())
    generate(tmp_path, server.base_url, load, 40)
    heard = [one.prompt for one in server.truth()[before:]]
    assert len(set(heard)) == len(heard) == 40


def test_a_connection_is_opened_before_the_clock_starts(tmp_path: Path, server: Mocked) -> None:
    """SGLang's client opens one for each request, inside the TTFT."""
    before = len(server.truth())
    found = generate(tmp_path, server.base_url, traffic("closed", concurrency=4), 40)
    truth = {one.id: one for one in server.truth()[before:]}
    pairs = paired(found, list(truth.values()))
    assert len(pairs) == 40
    assert sum(one.connect_s is not None for one in found) == 0
    for one, true in pairs:
        assert true.first_token_ns is not None
        assert (one.sent_s or 0.0) < (one.first_token_s or 0.0)
        assert (one.first_token_s or 0.0) - (one.sent_s or 0.0) >= (true.first_token_ns - true.received_ns) / 1e9
