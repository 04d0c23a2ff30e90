"""The transport against servers that behave: bodies of every framing, kept connections, many streams, TLS."""

import gc
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.client import Exchange, Target
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.errors import InputError
from bench.schema import Request
from tests.raw_server import CHUNKED, LAST_CHUNK, UNTIL_CLOSE, RawServer, Talk, answer, chunk, serving

KEY = "sk-canary-5f1c09e7"
WORDS = ["Grün", "e Äp", "fel 🍏", "!"]


def target(server: RawServer, **more: object) -> Target:
    fields: dict[str, object] = {"headers": (("Authorization", f"Bearer {KEY}"),), "tls": False}
    return Target(**{"host": "127.0.0.1", "port": server.port, "path": "/v1/chat/completions", **fields, **more})  # type: ignore[arg-type]


def event(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}, ensure_ascii=False).encode() + b"\n\n"


def stream(words: list[str] = WORDS) -> list[bytes]:
    """Events of a usual answer."""
    usage = {"prompt_tokens": 7, "completion_tokens": len(words)}
    return [
        event({"role": "assistant", "content": ""}),
        *(event({"content": word}) for word in words),
        event({}, "stop"),
        b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n",
        b"data: [DONE]\n\n",
    ]


def run(transport: StreamTransport, count: int = 1, limit_s: float = 10.0, body: bytes = b"{}") -> list[Exchange]:
    """Send so many at once and bring back all."""
    before = time.perf_counter_ns()
    for tag in range(count):
        transport.send(body, tag, before + int(limit_s * 1e9))
    return rest(transport)


def rest(transport: StreamTransport) -> list[Exchange]:
    found: list[Exchange] = []
    until = time.perf_counter_ns() + 20_000_000_000
    while transport.in_flight and time.perf_counter_ns() < until:
        found += transport.turn(time.perf_counter_ns() + 50_000_000)
    assert not transport.in_flight
    return found


def read(exchange: Exchange) -> tuple[Request, str]:
    request = Request(index=0)
    text = read_answer(exchange, request, exchange.sent_ns or 0, "chat", True)
    assert KEY not in repr(request)
    assert KEY not in repr(exchange.error)
    return request, text


def chunked(talk: Talk) -> None:
    while talk.request():
        talk.send(CHUNKED)
        for one in stream():
            talk.send(chunk(one))
        talk.send(LAST_CHUNK)


def with_length(talk: Talk) -> None:
    while talk.request():
        talk.send(answer(200, b"".join(stream())))


def until_close(talk: Talk) -> None:
    talk.request()
    talk.send(UNTIL_CLOSE + b"".join(stream()))


def told_to_close(talk: Talk) -> None:
    talk.request()
    talk.send(answer(200, b"".join(stream()), "Connection: close"))
    talk.server.stopping.wait(5)


def continued(talk: Talk) -> None:
    while talk.request():
        talk.send(b"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n")
        talk.send(answer(200, b"".join(stream())))


def byte_by_byte(talk: Talk) -> None:
    while talk.request():
        for byte in CHUNKED + chunk(b"".join(stream())) + LAST_CHUNK:
            talk.send(bytes([byte]))


@pytest.mark.parametrize("script", [chunked, with_length, until_close, told_to_close, continued, byte_by_byte])
def test_every_framing_gives_the_same_answer(script: object) -> None:
    with serving(script) as server:  # type: ignore[arg-type]
        transport = StreamTransport(target(server))
        for _ in range(2):
            (exchange,) = run(transport)
            request, text = read(exchange)
            assert (request.status, request.error, text) == ("ok", None, "".join(WORDS))
            assert (request.chunks, request.output_tokens, request.input_tokens) == (4, 4, 7)
            assert len(exchange.read_ns) == len(exchange.pieces)
            assert "X-A" not in exchange.headers
        transport.close()
        assert len(server.requests) == 2


def test_a_kept_connection_is_used_again_and_opening_one_is_no_part_of_the_request() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        (first,) = run(transport)
        (second,) = run(transport)
        transport.close()
        assert first.connect_ns is not None
        assert second.connect_ns is None
        assert server.connections <= 3  # two at once, for the spare one
        for exchange in (first, second):
            assert exchange.sent_ns is not None
            assert exchange.done_ns is not None
            assert exchange.sent_ns < exchange.read_ns[0] <= exchange.read_ns[-1] <= exchange.done_ns
            assert exchange.read_ns == sorted(exchange.read_ns)


def test_prepared_connections_are_all_that_a_burst_needs() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        transport.prepare(40)
        found = run(transport, 40)
        transport.close()
    assert sorted(one.tag for one in found) == list(range(40))
    assert [one.connect_ns for one in found] == [None] * 40
    assert {read(one)[0].status for one in found} == {"ok"}


def test_spare_connections_are_opened_in_the_background() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        for _ in range(3):
            run(transport, 16)
            transport.turn(time.perf_counter_ns() + 50_000_000)
        found = run(transport, 17)
        transport.close()
    assert [one.connect_ns for one in found] == [None] * 17


def once(talk: Talk) -> None:
    """One answer that announces a kept connection, which is closed all the same."""
    if talk.request() is not None:
        talk.send(CHUNKED)
        for piece in stream():
            talk.send(chunk(piece))
        talk.send(LAST_CHUNK)


def test_a_server_that_closes_after_each_answer_is_found_out() -> None:
    """Two connections are lost to its promise; then each request has a new one, opened before it is needed."""
    with serving(once) as server:
        transport = StreamTransport(target(server))
        for _ in range(3):
            run(transport)
        assert not transport.keeps
        found = []
        for _ in range(10):
            transport.turn(time.perf_counter_ns() + 20_000_000)
            found += run(transport)
        transport.close()
    assert [(read(one)[0].status, one.resent, one.connect_ns) for one in found] == [("ok", False, None)] * 10


def test_the_request_is_what_was_asked() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server, headers=(("authorization", f"Bearer {KEY}"), ("X-Org", "a b"))))
        transport.send(b'{"a":1}', "tag", time.perf_counter_ns() + 10**10, "/v1/completions")
        (exchange,) = rest(transport)
        transport.close()
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/completions HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", f"authorization: Bearer {KEY}", "X-Org: a b", "Content-Length: 7"} < set(
        lines
    )
    assert body == b'{"a":1}'
    assert exchange.tag == "tag"


def test_a_body_larger_than_the_socket_buffers_does_not_hold_up_the_others() -> None:
    big = b"x" * (24 << 20)

    def slow_reader(talk: Talk) -> None:
        if talk.number == 0:
            time.sleep(0.3)
        chunked(talk)

    with serving(slow_reader) as server:
        transport = StreamTransport(target(server))
        transport.prepare(1)
        deadline = time.perf_counter_ns() + 20 * 10**9
        transport.send(big, "big", deadline)
        transport.send(b"{}", "small", deadline)
        found = rest(transport)
        transport.close()
    assert [one.tag for one in found] == ["small", "big"]
    assert {read(one)[0].status for one in found} == {"ok"}
    assert sorted(map(len, server.requests))[1] > len(big)


def test_one_busy_stream_does_not_starve_another() -> None:
    flood = event({"content": "x" * 4000}) * 64

    def script(talk: Talk) -> None:
        request = talk.request() or b""
        if b"flood" not in request:
            chunked_answer = b"".join(chunk(one) for one in stream())
            talk.send(CHUNKED + chunked_answer + LAST_CHUNK)
            return
        talk.send(CHUNKED)
        while not talk.server.stopping.is_set():
            talk.send(chunk(flood))

    with serving(script) as server:
        transport = StreamTransport(target(server), most_body_bytes=1 << 40)
        deadline = time.perf_counter_ns() + 5 * 10**9
        transport.send(b"flood", "flood", deadline)
        transport.turn(time.perf_counter_ns() + 30_000_000)
        transport.send(b"{}", "small", deadline)
        over: list[Exchange] = []
        while not over and time.perf_counter_ns() < deadline:
            over = transport.turn(time.perf_counter_ns() + 10_000_000)
        assert [one.tag for one in over] == ["small"]
        (left,) = transport.abort()
        transport.close()
    assert (left.tag, left.failure) == ("flood", "cancelled")
    assert len(left.pieces) > 1


def test_turn_comes_back_at_its_time_and_not_before() -> None:
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        for wait_ns in (0, 300_000, 5_300_000):
            until = time.perf_counter_ns() + wait_ns
            assert transport.turn(until) == []
            assert time.perf_counter_ns() >= until
        transport.close()


def test_abort_ends_everything_with_what_had_come() -> None:
    def half(talk: Talk) -> None:
        talk.request()
        talk.send(CHUNKED + chunk(event({"content": "half"})))
        talk.server.stopping.wait(10)

    with serving(half) as server:
        transport = StreamTransport(target(server))
        deadline = time.perf_counter_ns() + 10**10
        for tag in range(3):
            transport.send(b"{}", tag, deadline)
        for _ in range(20):
            transport.turn(time.perf_counter_ns() + 10_000_000)
        transport.send(b"{}", "unsent", deadline)
        found = transport.abort()
        assert transport.in_flight == 0
        assert transport.abort() == []
        transport.close()
    assert {one.tag for one in found} == {0, 1, 2, "unsent"}
    for one in found:
        request, text = read(one)
        assert request.status == "cancelled"
        if one.tag != "unsent":
            assert (text, request.output_tokens, request.count_source) == ("half", 1, "chunks")


def test_localhost_is_found_whatever_its_addresses() -> None:
    with serving(chunked) as server:  # listens on 127.0.0.1 alone, and ::1 may come first
        transport = StreamTransport(target(server, host="localhost"))
        (exchange,) = run(transport)
        transport.close()
    assert read(exchange)[0].status == "ok"


def test_all_addresses_of_a_host_are_tried() -> None:
    with serving(chunked) as closed:
        nobody = ("127.0.0.1", closed.port)
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        (working,) = transport._addresses.known
        transport._addresses.known = [(working[0], nobody), (working[0], nobody), working]
        found = run(transport, 3)
        transport.close()
    assert {read(one)[0].status for one in found} == {"ok"}


def test_no_file_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with serving(until_close) as server:
        transport = StreamTransport(target(server))
        transport.prepare(10)
        run(transport, 20)
        for tag in range(5):
            transport.send(b"{}", tag, time.perf_counter_ns() + 10**10)
        transport.close()
    time.sleep(0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed for localhost: key and certificate in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt")), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def script(talk: Talk) -> None:
        while request := talk.request():
            size = 3_000_000 if b"big" in request else 1
            talk.send(CHUNKED + b"".join(chunk(one) for one in stream([*WORDS, "x" * size])) + LAST_CHUNK)

    with serving(script, context) as server:
        yield server


def test_tls_with_a_certificate_that_is_trusted(tls_server: RawServer, certificate: Path) -> None:
    transport = StreamTransport(
        target(tls_server, host="localhost", tls=True, ca_file=str(certificate.with_suffix(".crt")))
    )
    transport.prepare(2)
    for body in (b"{}", b"big", b"x" * 5_000_000):
        found = run(transport, 3, body=body)
        assert {read(one)[0].status for one in found} == {"ok"}
        assert {len(read(one)[1]) for one in found} == {len("".join(WORDS)) + (3_000_000 if body == b"big" else 1)}
    transport.close()


def test_tls_connections_that_the_server_closed_while_idle(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def once(talk: Talk) -> None:
        if talk.request():
            talk.send(answer(200, b"".join(stream())))
            if talk.number % 2:
                talk.sock.unwrap()  # type: ignore[attr-defined]

    with serving(once, context) as server:
        ca_file = str(certificate.with_suffix(".crt"))
        transport = StreamTransport(target(server, host="localhost", tls=True, ca_file=ca_file))
        for _ in range(5):
            (exchange,) = run(transport)
            assert read(exchange)[0].status == "ok"
            time.sleep(0.03)
        transport.close()


def test_tls_with_a_certificate_that_nobody_signed(tls_server: RawServer) -> None:
    transport = StreamTransport(target(tls_server, host="localhost", tls=True))
    (exchange,) = run(transport)
    transport.close()
    request, _ = read(exchange)
    assert request.status == "tls"
    assert "self-signed" in (request.error or "")
    assert tls_server.requests == []


def test_tls_with_the_wrong_name(tls_server: RawServer, certificate: Path) -> None:
    ca_file = str(certificate.with_suffix(".crt"))
    transport = StreamTransport(target(tls_server, tls=True, ca_file=ca_file))
    (exchange,) = run(transport)
    transport.close()
    request, _ = read(exchange)
    assert request.status == "tls"
    assert "127.0.0.1" in (request.error or "")
    assert tls_server.requests == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"headers": (("Authorization", f"Bearer {KEY}\r\nX: y"),)}, "Authorization"),
        ({"headers": (("Bad name", KEY),)}, "headers"),
        ({"path": "/v1 /x"}, "base_url"),
        ({"tls": True, "ca_file": "/nowhere.pem"}, "ca_file"),
        ({"tls": True, "ca_file": __file__}, "ca_file"),
    ],
)
def test_what_no_request_can_go_out_with_is_the_persons_mistake(more: dict[str, object], said: str) -> None:
    fields: dict[str, object] = {"host": "127.0.0.1", "port": 9, "tls": False, "path": "/v1", **more}
    with pytest.raises(InputError) as caught:
        StreamTransport(Target(**fields))  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_left_to_the_garbage_collector() -> None:
    """It is switched off while a load runs."""
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        run(transport, 20)
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                assert {read(one)[0].status for one in run(transport, 20)} == {"ok"}
            assert gc.collect() < 20  # objects in cycles, of a hundred requests
        finally:
            gc.enable()
            transport.close()


def test_where_there_is_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.epoll")
    with serving(chunked) as server:
        transport = StreamTransport(target(server))
        transport.prepare(4)
        found = run(transport, 8)
        assert transport.turn(time.perf_counter_ns() + 1_000_000) == []
        transport.close()
    assert {read(one)[0].status for one in found} == {"ok"}
