"""What the client says of each request beside what the mock server's own log says, on the same clock."""

import json
import time
from collections.abc import Iterator

import pytest

from bench.client import Exchange, Target
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.schema import Request
from tests.mocked import Mocked, mock
from tests.test_client_transport import rest

STREAMS, TOKENS = 24, 12
BODY = {"model": "mock", "messages": [{"role": "user", "content": "a b c"}], "stream": True, "max_tokens": TOKENS}


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.02, itl_s=0.004) as started:
        yield started


def answers(server: Mocked, settings: dict[str, object]) -> list[tuple[Request, Exchange]]:
    """Of requests that all ask the mock to behave in this way."""
    body = json.dumps({**BODY, "stream_options": {"include_usage": True}, "mock": settings}).encode()
    transport = StreamTransport(Target("127.0.0.1", server.port, False, "/v1/chat/completions"))
    transport.prepare(STREAMS)
    for tag in range(STREAMS):
        transport.send(body, tag, time.perf_counter_ns() + 20 * 10**9)
    found = []
    for exchange in rest(transport):
        request = Request(index=exchange.tag)
        read_answer(exchange, request, exchange.sent_ns or 0, "chat", True)
        found.append((request, exchange))
    transport.close()
    assert sorted(request.index for request, _ in found) == list(range(STREAMS))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"chunk_tokens": 3, "usage": "chunk"},
        {"crlf": True, "comments": True, "multiline": True},
        {"reasoning_tokens": 4, "tool_tokens": 2},
        {"close": True},
        {"split_bytes": 50},
    ],
    ids=str,
)
def test_every_request_agrees_with_the_log(server: Mocked, settings: dict[str, object]) -> None:
    found = answers(server, settings)
    truths = {one.id: one for one in server.truth()}
    for request, exchange in found:
        truth, sent_ns = truths[exchange.headers["x-request-id"]], exchange.sent_ns
        assert sent_ns is not None
        assert (request.status, truth.status, request.error) == ("ok", "ok", None)
        assert (request.output_tokens, request.chunks) == (truth.tokens, truth.chunks) == (TOKENS, truth.chunks)
        assert request.input_tokens == truth.prompt_tokens
        assert request.gap_tokens is not None
        assert request.first_event_tokens is not None
        assert request.first_event_tokens + sum(request.gap_tokens) == TOKENS
        assert request.first_token_s is not None
        assert request.last_token_s is not None
        assert truth.first_token_ns is not None
        assert truth.last_token_ns is not None
        assert sent_ns <= truth.received_ns
        # A stamp is never earlier than the write, and no token is taken for a later one.
        assert sent_ns + request.first_token_s * 1e9 >= truth.first_token_ns - 1
        if "split_bytes" not in settings:  # there the log has the last piece of the whole end, usage included
            assert sent_ns + request.last_token_s * 1e9 >= truth.last_token_ns - 1
        assert len(request.gaps_us) == truth.chunks - 1


@pytest.mark.parametrize(
    ("settings", "status", "tokens"),
    [
        ({"error_share": 1.0, "error_status": 429}, "http", None),
        ({"error_after": 5}, "stream-error", 5),
        ({"abort_after": 5}, "cut", 5),
        ({"fin_after": 5}, "cut", 5),
        ({"finish": False}, "unfinished", TOKENS),
        ({"done": False}, "ok", TOKENS),
        ({"usage": "none"}, "ok", TOKENS),
        ({"malformed": "json"}, "malformed", None),
        ({"malformed": "http"}, "malformed", None),
        ({"redirect": "http://127.0.0.1:1/"}, "redirect", None),
    ],
    ids=str,
)
def test_faults_of_the_mock(server: Mocked, settings: dict[str, object], status: str, tokens: int | None) -> None:
    found = answers(server, settings)
    assert {request.status for request, _ in found} == {status}
    if "abort_after" in settings:  # RST may overtake what had been written
        assert all((request.output_tokens or 0) <= 5 for request, _ in found)
    elif tokens is not None:
        assert {request.output_tokens for request, _ in found} == {tokens}
