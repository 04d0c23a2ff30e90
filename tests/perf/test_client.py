"""What the client costs a token: read and stamped, then understood. Run by `scripts/perf`; no figure is asserted on."""

import importlib.util
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.client import Exchange, Target, Transport
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.schema import Request
from tests.commands import ROOT
from tests.raw_server import CHUNKED, LAST_CHUNK, Talk, chunk, serving

TOKENS = 4096
STREAMS = 4


def events() -> list[bytes]:
    """As vLLM writes them: 200 bytes each."""
    frame = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1750000000,
    }
    chunks: list[dict[str, object]] = [
        {**frame, "model": "m", "choices": [{"index": 0, "delta": {"content": f" w{at}"}, "finish_reason": None}]}
        for at in range(TOKENS)
    ]
    chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    chunks.append({**frame, "choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": TOKENS}})
    return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks]


@pytest.mark.parametrize("form", ["an event a read", "all in one read", "CRLF", "usage in each"])
def test_understanding(benchmark: BenchmarkFixture, form: str) -> None:
    """`read_answer` alone: 4,096 tokens in µs; the target is 5 µs a token, so 20,000."""
    benchmark.group = f"{TOKENS} tokens understood"
    pieces = events()
    if form == "CRLF":
        pieces = [piece.replace(b"\n", b"\r\n") for piece in pieces]
    elif form == "usage in each":
        pieces = [
            piece[:-3] + b',"usage":{"completion_tokens":%d}}\n\n' % at for at, piece in enumerate(pieces[:-1], 1)
        ]
        pieces[-1] = pieces[-1].replace(b":%d}}" % (TOKENS + 1), b":%d}}" % TOKENS)
    elif form == "all in one read":
        pieces = [b"".join(pieces)]
    exchange = Exchange("tag", sent_ns=0, done_ns=TOKENS, http_status=200)
    exchange.pieces, exchange.read_ns = pieces, list(range(len(pieces)))

    def read() -> Request:
        request = Request(index=0)
        read_answer(exchange, request, 0, "chat", True)
        return request

    found = benchmark(read)
    assert (found.status, found.output_tokens, found.gap_tokens) == ("ok", TOKENS, [1] * (TOKENS - 1))


def flood(port: Connection) -> None:
    """The same answer to every request, written at once; ends when the other end of the pipe does."""
    whole = CHUNKED + b"".join(map(chunk, events())) + LAST_CHUNK

    def script(talk: Talk) -> None:
        while talk.request():
            talk.send(whole)

    with serving(script) as server:
        port.send(server.port)
        with suppress(EOFError):
            port.recv()


@contextmanager
def flooded() -> Iterator[Target]:
    """From another process: its work is not ours."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=flood, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Target("127.0.0.1", ours.recv(), False, "/v1/chat/completions")
    finally:
        ours.send("end")
        process.join(10)


def aiohttp_transport(target: Target) -> Transport:
    spec = importlib.util.spec_from_file_location("other_clients", ROOT / "scripts" / "other_clients.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AiohttpTransport(target)  # type: ignore[no-any-return]


@pytest.mark.parametrize("arm", ["ours", "aiohttp"])
def test_streams_without_delay(benchmark: BenchmarkFixture, arm: str) -> None:
    """4 × 4,096 tokens over loopback, read and understood: compare `ours` with `aiohttp`."""
    benchmark.group = f"{STREAMS} streams of {TOKENS} tokens, without delay"
    makers: dict[str, Callable[[Target], Transport]] = {"ours": StreamTransport, "aiohttp": aiohttp_transport}
    with flooded() as target:
        transport = makers[arm](target)

        def once() -> list[Request]:
            found: list[Request] = []
            deadline_ns = time.perf_counter_ns() + 30 * 10**9
            for tag in range(STREAMS):
                transport.send(b"{}", tag, deadline_ns)
            while transport.in_flight:
                for exchange in transport.turn(deadline_ns):
                    found.append(Request(index=exchange.tag))
                    read_answer(exchange, found[-1], 0, "chat", True)
            return found

        found = benchmark(once)
        transport.close()
    assert [one.output_tokens for one in found] == [TOKENS] * STREAMS
