"""Every fault of a network or a server, on loopback, with the real transport: one Exchange, one status, no key."""

import json
import time
from collections.abc import Callable

import pytest

from bench.client import Exchange
from bench.client.transport import StreamTransport
from tests.raw_server import CHUNKED, LAST_CHUNK, UNTIL_CLOSE, Talk, answer, chunk, serving
from tests.test_client_transport import KEY, chunked, event, read, rest, run, stream, target

Script = Callable[[Talk], None]
OPENAI_401 = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}.", "type": "invalid"}}).encode()
PAGE = b"<html><head><title>502 Bad\n Gateway</title></head><body>nginx</body></html>"


def says(*pieces: bytes) -> Script:
    """One answer on every request, then a clean end of the connection."""

    def script(talk: Talk) -> None:
        talk.request()
        for piece in pieces:
            talk.send(piece)

    return script


def resets(*pieces: bytes) -> Script:
    """The same, with RST."""

    def script(talk: Talk) -> None:
        talk.request()
        for piece in pieces:
            talk.send(piece)
        time.sleep(0.05)  # RST throws away what the client has not read
        talk.reset()

    return script


def stalls(*pieces: bytes) -> Script:
    def script(talk: Talk) -> None:
        talk.request()
        for piece in pieces:
            talk.send(piece)
        talk.server.stopping.wait(10)

    return script


def in_chunks(*events: bytes) -> bytes:
    return CHUNKED + b"".join(chunk(one) for one in events)


HALF = in_chunks(event({"role": "assistant"}), event({"content": "half"}))
FAULTS: dict[str, tuple[Script, str, str, str]] = {
    "401 with the key said back": (says(answer(401, OPENAI_401)), "http", "Incorrect API key provided: ***.", ""),
    "429 as text in an error": (says(answer(429, b'{"error": "slow down"}')), "http", "slow down", ""),
    "500 as FastAPI says it": (says(answer(500, b'{"detail":[{"msg":"broken"}]}')), "http", "broken", ""),
    "502 as a page": (says(answer(502, PAGE)), "http", "502 Bad Gateway", ""),
    "503 without a word": (says(answer(503, b"")), "http", "Service Unavailable", ""),
    "500 with a megabyte": (says(answer(500, b"x" * 1_000_000)), "http", "x" * 299 + "…", ""),
    "500 that is cut": (says(answer(500, b"oops")[:-1]), "http", "oop", ""),
    "error inside the stream": (
        says(HALF + chunk(b'data: {"error": {"message": "out of\\nmemory", "code": 500}}\n\n') + LAST_CHUNK),
        *("stream-error", "out of memory", "half"),
    ),
    "error instead of a stream": (says(answer(200, b'{"error": "no"}')), "stream-error", "no", ""),
    "finish reason abort": (
        says(HALF + chunk(event({}, "abort")) + LAST_CHUNK),
        *("stream-error", "the stream ended with finish reason abort", "half"),
    ),
    "reset in the middle": (resets(HALF), "cut", "the connection was reset in the middle of the answer", "half"),
    "end within a chunk": (
        says(HALF + b"40\r\ndata: {"),
        *("cut", "the connection ended in the middle of the answer", "half"),
    ),
    "end between chunks": (says(HALF), "cut", "the connection ended in the middle of the answer", "half"),
    "end before the answer": (says(), "cut", "the connection ended before an answer", ""),
    "reset before the answer": (resets(), "cut", "the connection was reset before an answer", ""),
    "end in the head": (says(CHUNKED[:20]), "cut", "the connection ended before an answer", ""),
    "end within an event": (
        says(UNTIL_CLOSE + event({"content": "half"}) + b'data: {"choi'),
        *("cut", "the stream ended in the middle of an event", "half"),
    ),
    "no finish reason": (
        says(HALF + chunk(b"data: [DONE]\n\n") + LAST_CHUNK),
        *("unfinished", "the answer ended without a finish reason", "half"),
    ),
    "nothing at all": (says(answer(200, b"")), "unfinished", "the answer ended without a finish reason", ""),
    "no token": (
        says(in_chunks(event({"role": "assistant", "content": ""}), event({}, "stop")) + LAST_CHUNK),
        *("empty", "the answer ended well and held no token", ""),
    ),
    "no JSON": (says(HALF + chunk(b"data: {nope}\n\n") + LAST_CHUNK), "malformed", "an event that is no JSON", "half"),
    "JSON of another kind": (
        says(HALF + chunk(b'data: ["a"]\n\n') + LAST_CHUNK),
        *("malformed", "an event of a shape that chat does not have", "half"),
    ),
    "a page with 200": (says(answer(200, PAGE)), "malformed", "an HTML page instead of an answer", ""),
    "a text with 200": (says(answer(200, b"hello")), "malformed", "what came back is no stream of events", ""),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "malformed", "what came back is not HTTP/1.1", ""),
    "bad chunk": (says(HALF + b"zz\r\n"), "malformed", "what came back is not HTTP/1.1", "half"),
    "endless head": (
        stalls(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000),
        *("malformed", "the head of the answer is longer than 65536 bytes", ""),
    ),
    "many heads": (
        stalls(b"HTTP/1.1 200 OK\r\n" + b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 5000),
        *("malformed", "the head of the answer is longer than 65536 bytes", ""),
    ),
    "stalls": (stalls(HALF), "timeout", "no whole answer within the time limit", "half"),
    "stalls before the answer": (stalls(), "timeout", "no whole answer within the time limit", ""),
    "redirect": (
        says(answer(307, b"", "Location: http://127.0.0.1:1/elsewhere")),
        *("redirect", "the server redirects (HTTP 307); that is never followed", ""),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_request_with_its_status(name: str) -> None:
    script, status, error, text = FAULTS[name]
    with serving(script) as server:
        transport = StreamTransport(target(server))
        (exchange,) = run(transport, limit_s=0.2 if name.startswith("stalls") else 10)
        transport.close()
        assert len(server.requests) == 1
    request, said = read(exchange)
    assert (request.status, request.error, said) == (status, error, text)
    assert exchange.done_ns is not None
    assert (request.http_status is None) == (exchange.http_status is None)
    if text:
        assert (request.chunks, request.output_tokens, request.count_source) == (1, 1, "chunks")
        assert request.first_token_s is not None


def test_nobody_listens() -> None:
    with serving(chunked) as server:
        gone = target(server)
    transport = StreamTransport(gone)
    transport.prepare(3)
    found = run(transport, 3)
    transport.close()
    for exchange in found:
        request, _ = read(exchange)
        assert request.status == "refused"
        assert request.error == "cannot connect to 127.0.0.1: Connection refused"
        assert (request.sent_s, request.first_token_s) == (None, None)
        assert request.done_s is not None


def test_no_such_name() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server, host="nonexistent.invalid"))
        found = run(transport, 2)
        found += run(transport)
        transport.close()
    assert [read(one)[0].status for one in found] == ["dns"] * 3
    assert all("nonexistent.invalid" in (one.error or "") for one in found)


def test_https_on_an_http_port() -> None:
    def script(talk: Talk) -> None:
        talk.sock.recv(10_000)
        talk.send(answer(400, b"that was no HTTP"))

    with serving(script) as server:
        transport = StreamTransport(target(server, tls=True))
        (exchange,) = run(transport)
        transport.close()
    request, _ = read(exchange)
    assert request.status == "tls"
    assert (request.error or "").startswith("no TLS with 127.0.0.1: ")


def test_the_handshake_is_cut_off() -> None:
    def script(talk: Talk) -> None:
        talk.sock.recv(100)
        talk.reset()

    with serving(script) as server:
        transport = StreamTransport(target(server, tls=True))
        (exchange,) = run(transport)
        transport.close()
    assert read(exchange)[0].status == "tls"


def test_a_handshake_that_never_ends_is_a_timeout() -> None:
    def script(talk: Talk) -> None:
        talk.server.stopping.wait(10)

    with serving(script) as server:
        transport = StreamTransport(target(server, tls=True))
        (exchange,) = run(transport, limit_s=0.2)
        transport.close()
    request, _ = read(exchange)
    assert (request.status, request.sent_s) == ("timeout", None)


def test_a_redirect_is_not_followed_to_another_host() -> None:
    with serving(chunked) as other:
        to = f"Location: http://127.0.0.1:{other.port}/v1/chat/completions"
        with serving(says(answer(302, b"", to))) as server:
            transport = StreamTransport(target(server))
            found = run(transport, 3)
            transport.close()
    assert {read(one)[0].status for one in found} == {"redirect"}
    assert (other.connections, other.requests) == (0, [])


def test_an_endless_stream_is_broken_off() -> None:
    def script(talk: Talk) -> None:
        talk.request()
        talk.send(CHUNKED)
        while not talk.server.stopping.is_set():
            talk.send(chunk(event({"content": "more"}) * 100))

    with serving(script) as server:
        transport = StreamTransport(target(server), most_body_bytes=1_000_000)
        (exchange,) = run(transport)
        transport.close()
    request, text = read(exchange)
    assert (request.status, request.error) == ("endless", "more than 1000000 bytes of answer")
    assert text.startswith("moremore")
    assert sum(map(len, exchange.pieces)) < 2_000_000


def test_an_event_of_ten_megabytes() -> None:
    word = "ä" * 5_000_000
    with serving(says(in_chunks(*stream([word, "end"])) + LAST_CHUNK)) as server:
        transport = StreamTransport(target(server))
        (exchange,) = run(transport)
        transport.close()
    request, text = read(exchange)
    assert (request.status, text, request.output_tokens) == ("ok", word + "end", 2)
    assert len(exchange.pieces) > 10


def test_a_broken_framing_after_done_is_a_whole_answer() -> None:
    with serving(resets(in_chunks(*stream()))) as server:
        transport = StreamTransport(target(server))
        (exchange,) = run(transport)
        transport.close()
    assert exchange.failure == "cut"
    assert read(exchange)[0].status == "ok"


def test_a_server_that_dies_and_comes_back() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        transport.prepare(4)
        statuses = [read(one)[0].status for one in run(transport, 4)]
    transport.turn(time.perf_counter_ns() + 20_000_000)
    statuses += [read(one)[0].status for one in run(transport, 2)]
    with serving(chunked, port=server.port):
        statuses += [read(one)[0].status for one in run(transport, 3)]
    transport.close()
    assert statuses == ["ok"] * 4 + ["refused"] * 2 + ["ok"] * 3


def test_an_idle_connection_that_was_closed_is_no_fault() -> None:
    """As uvicorn does after five seconds."""

    def script(talk: Talk) -> None:
        talk.request()
        talk.send(in_chunks(*stream()) + LAST_CHUNK)

    with serving(script) as server:
        transport = StreamTransport(target(server))
        found = run(transport)
        time.sleep(0.05)
        found += run(transport)  # nobody has looked at the sockets meanwhile
        transport.turn(time.perf_counter_ns() + 50_000_000)
        found += run(transport)
        transport.close()
    assert [(read(one)[0].status, one.resent) for one in found] == [("ok", False)] * 3


def closes_under_the_second(reset: bool, kill_first: int = 10**9) -> Script:
    """Takes the second request of a connection and closes without an answer, as a server does whose idle limit passes
    while the request is on its way."""

    def script(talk: Talk) -> None:
        talk.request()
        if talk.number >= kill_first:
            return
        talk.send(in_chunks(*stream()) + LAST_CHUNK)
        if talk.request() and reset:
            talk.reset()

    return script


@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_that_closes_as_it_is_used_is_sent_again_once(reset: bool) -> None:
    with serving(closes_under_the_second(reset)) as server:
        transport = StreamTransport(target(server))
        (first,) = run(transport)
        before_ns = time.perf_counter_ns()
        (second,) = run(transport)
        transport.close()
        assert len(server.requests) == 3
    assert (first.resent, second.resent) == (False, True)
    request, _ = read(second)
    assert (request.status, request.resent) == ("ok", True)
    assert second.connect_ns is not None
    assert second.sent_ns is not None
    assert second.sent_ns > before_ns + second.connect_ns  # stamps are those of the second time
    assert second.read_ns[0] > second.sent_ns


def test_it_is_sent_again_no_more_than_once() -> None:
    def script(talk: Talk) -> None:
        if talk.request() and len(talk.server.requests) == 1:
            talk.send(in_chunks(*stream()) + LAST_CHUNK)
            talk.request()

    with serving(script) as server:
        transport = StreamTransport(target(server))
        run(transport)
        (second,) = run(transport)
        transport.close()
        assert len(server.requests) == 3
    assert (second.resent, second.failure) == (True, "cut")


def test_what_had_begun_to_answer_is_not_sent_again() -> None:
    def script(talk: Talk) -> None:
        talk.request()
        talk.send(in_chunks(*stream()) + LAST_CHUNK)
        talk.request()
        talk.send(CHUNKED[:5])

    with serving(script) as server:
        transport = StreamTransport(target(server))
        run(transport)
        (second,) = run(transport)
        transport.close()
        assert len(server.requests) == 2
    assert (second.resent, second.failure) == (False, "cut")


def test_every_request_comes_back_once_whatever_the_server_does() -> None:
    """A hundred requests against a server that does something else each time."""
    scripts = [script for script, *_ in FAULTS.values()]

    def script(talk: Talk) -> None:
        scripts[talk.number % len(scripts)](talk)

    with serving(script) as server:
        transport = StreamTransport(target(server))
        deadline = time.perf_counter_ns() + 700_000_000
        found: list[Exchange] = []
        for tag in range(100):
            transport.send(b"{}", tag, deadline)
            if tag % 10 == 0:
                found += transport.turn(0)
        found += rest(transport)
        transport.close()
    assert sorted(one.tag for one in found) == list(range(100))
    assert all(KEY not in repr(one) + repr(read(one)[0]) for one in found if one.http_status != 401)


def test_the_key_stands_in_no_repr() -> None:
    with serving(chunked) as server:
        here = target(server)
        transport = StreamTransport(here)
        (exchange,) = run(transport)
        transport.close()
    assert KEY not in f"{here!r} {transport!r} {exchange!r}"
