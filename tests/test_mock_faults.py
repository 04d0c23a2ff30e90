"""Each fault of the mock server, seen through a plain socket; its schedule; its log; its options."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench.mock import truth as log
from bench.mock.server import Server
from bench.mock.settings import MockSettings
from tests.commands import ROOT, _in_this_process, bench
from tests.mocked import Mocked, mock


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.001, itl_s=0, log_stamps=True) as running:
        yield running


def request(body: dict[str, Any], headers: str = "") -> bytes:
    said = json.dumps({"messages": [{"role": "user", "content": "a b"}], "max_tokens": 4, "stream": True, **body})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: {len(said)}\r\n{headers}\r\n"
    return (head + said).encode()


class Socket:
    """A connection, and what came over it piece by piece."""

    def __init__(self, server: Mocked) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self.reads: list[tuple[int, bytes]] = []

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, **settings: Any) -> None:
        self.sock.sendall(request({"mock": settings}))

    def until(self, end: bytes | None = b"0\r\n\r\n") -> bytes:
        """All that comes up to `end`, or up to the end of the connection. Raises ConnectionResetError."""
        found = b""
        while end is None or not found.endswith(end):
            data = self.sock.recv(65536)
            if not data:
                assert end is None, "the connection ended early"
                break
            self.reads.append((time.perf_counter_ns(), data))
            found += data
        return found


def last_line(server: Mocked, count: int) -> Any:
    return server.truth(count)[-1]


def test_an_error_within_a_stream(server: Mocked) -> None:
    with Socket(server) as one:
        before = len(server.truth())
        one.send(error_after=2)
        body = one.until()
    assert body.count(b" tok") == 2
    assert body.index(b'"error"') > body.rindex(b" tok")
    assert b'"finish_reason":"' not in body
    assert last_line(server, before + 1).status == "error"


def test_a_reset_after_some_tokens(server: Mocked) -> None:
    with Socket(server) as one:
        before = len(server.truth())
        one.send(abort_after=2, itl_s=0.02)
        with pytest.raises(ConnectionResetError):
            one.until(None)
        assert b"".join(data for _, data in one.reads).count(b" tok") == 2
    assert (last_line(server, before + 1).status, last_line(server, before + 1).tokens) == ("aborted", 2)


def test_a_connection_that_ends_within_an_event(server: Mocked) -> None:
    with Socket(server) as one:
        before = len(server.truth())
        one.send(fin_after=2)
        body = one.until(None)
    assert body.count(b" tok") == 2
    assert not body.endswith(b"\n")
    assert last_line(server, before + 1).status == "cut"


def test_a_stall(server: Mocked) -> None:
    with Socket(server) as one:
        before = len(server.truth())
        one.send(stall_after=2, stall_s=0.2)
        assert one.until().count(b" tok") == 4
    line = last_line(server, before + 1)
    gaps = [after - earlier for earlier, after in zip(line.stamps_ns, line.stamps_ns[1:], strict=False)]
    assert max(gaps) >= 0.1e9  # the write before it may be late
    assert line.planned_last_ns - line.planned_first_ns == 200_000_000


def test_an_answer_without_end_whose_client_goes_away(server: Mocked) -> None:
    before = len(server.truth())
    with Socket(server) as one:
        one.send(endless=True, chunk_tokens=8)
        got = 0
        while got < 3_000_000:
            got += len(one.sock.recv(1 << 20))
    line = last_line(server, before + 1)
    assert line.status == "gone"
    assert line.tokens > 10_000


def test_an_answer_without_end_that_nobody_reads_is_held_back(server: Mocked) -> None:
    with Socket(server) as one:
        one.send(endless=True)
        until, before, sent = time.monotonic() + 10, -1.0, 0.0
        while sent != before and time.monotonic() < until:
            time.sleep(0.2)
            before, sent = sent, server.metrics()["generation_tokens_total"]
        assert sent == before > 1000
    assert server.metrics()["num_requests_running"] == 0


def test_bytes_split_within_characters(server: Mocked) -> None:
    with Socket(server) as one:
        one.send(text="漢" * 40, split_bytes=5, role_chunk=False)
        whole = one.until()
    assert whole.count(("漢" * 40).encode()) == 4
    assert len(one.reads) > 20
    broken = 0
    for _, data in one.reads:
        try:
            data.decode()
        except UnicodeDecodeError:
            broken += 1
    assert broken


@pytest.mark.parametrize(("kind", "sign"), [("json", b"data: {"), ("http", b"\x15\x03\x01")])
def test_what_is_no_json_and_no_http(server: Mocked, kind: str, sign: bytes) -> None:
    with Socket(server) as one:
        one.send(malformed=kind)
        body = one.until(b"0\r\n\r\n" if kind == "json" else None)
    assert sign in body
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            with pytest.raises(ValueError, match=r"."):
                json.loads(line.removeprefix(b"data: "))


def test_a_redirect(server: Mocked) -> None:
    with Socket(server) as one:
        one.send(redirect="http://127.0.0.2:1/elsewhere")
        head = one.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 307 ")
    assert b"\r\nLocation: http://127.0.0.2:1/elsewhere\r\n" in head


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_share_of_errors(server: Mocked, status: int) -> None:
    codes = []
    with Socket(server) as one:
        for _ in range(40):
            one.send(error_share=0.5, error_status=status)
            said = b""
            while not said.endswith((b"0\r\n\r\n", b"}}")):
                said += one.sock.recv(65536)
            codes.append(int(said.split()[1]))
    assert set(codes) == {200, status}
    assert 8 <= codes.count(status) <= 32


def test_requests_in_a_row_and_bytes_that_are_no_http(server: Mocked) -> None:
    with Socket(server) as one:
        one.sock.sendall(request({}) * 3)
        found = b""
        while found.count(b"0\r\n\r\n") < 3:
            found += one.sock.recv(65536)
        assert found.count(b"HTTP/1.1 200 OK") == 3
    with Socket(server) as one:
        one.sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert one.until(None).startswith(b"HTTP/1.1 400 ")
    assert server.get("/health")[0] == 200


def test_a_slow_start_and_connections_that_idle() -> None:
    with mock(starting_s=1.5, keep_alive_s=0.3, ttft_s=0, itl_s=0) as server:
        assert server.get("/health")[0] == 503
        with Socket(server) as one:
            one.send()
            assert b" 503 " in one.sock.recv(65536)
            assert one.sock.recv(10) == b""  # closed as idle
        until = time.monotonic() + 10
        while (status := server.get("/health")[0]) == 503 and time.monotonic() < until:
            time.sleep(0.1)
        assert status == 200


def test_slots_make_others_wait_and_slowdown_slows() -> None:
    with mock(slots=2, ttft_s=0.3, itl_s=0.01, tokens=6) as server:
        with ThreadPoolExecutor(6) as pool:

            def once(_: int) -> None:
                with Socket(server) as one:
                    one.send()
                    one.until()

            list(pool.map(once, range(6)))
        lines = sorted(server.truth(6), key=lambda line: line.started_ns or 0)
        waited = [((line.started_ns or 0) - line.received_ns) for line in lines]
        assert waited[:2] == [0, 0]
        assert min(waited[2:]) > 0
        events = [(line.started_ns or 0, 1) for line in lines] + [(line.done_ns or 0, -1) for line in lines]
        running, most = 0, 0
        for _, change in sorted(events):
            running += change
            most = max(most, running)
        assert most == 2

    def planned_itl_s(streams: int) -> float:
        with ThreadPoolExecutor(streams) as pool:

            def once(_: int) -> None:
                with Socket(server) as one:
                    one.send(slowdown=1.0)
                    one.until()

            list(pool.map(once, range(streams)))
        lines = server.truth()[-streams:]
        return median((line.planned_last_ns or 0) - (line.planned_first_ns or 0) for line in lines) / 1e9 / 5

    with mock(ttft_s=0.3, itl_s=0.01, tokens=6) as server:
        alone, four = planned_itl_s(1), planned_itl_s(4)
    assert alone == pytest.approx(0.01)
    assert four > 2.5 * alone


def test_the_schedule_is_absolute_and_the_log_is_whole() -> None:
    with mock(ttft_s=0.1, itl_s=0.01, tokens=30, log_stamps=True) as server:
        with Socket(server) as one:
            sent_ns = time.perf_counter_ns()
            one.send()
            one.until()
        line = server.truth(1)[0]
    assert line.planned_first_ns == line.received_ns + 100_000_000
    assert line.planned_last_ns == line.planned_first_ns + 29 * 10_000_000
    assert (line.tokens, line.chunks, line.prompt_tokens, line.http_status) == (30, 30, 2, 200)
    stamps = line.stamps_ns or []
    assert len(stamps) == line.writes - 1  # the role goes out alone
    assert line.first_token_ns == stamps[0] >= line.planned_first_ns
    assert line.last_token_ns == stamps[-1] >= line.planned_last_ns
    # One clock for both processes, and no drift: the last token is about as late as the first one.
    assert sent_ns < line.received_ns < line.first_token_ns < one.reads[-1][0]
    assert median(at - line.planned_first_ns - index * 10_000_000 for index, at in enumerate(stamps)) < 100_000_000


def test_jitter_keeps_the_mean_and_the_seed_repeats_it() -> None:
    def plans(seed: int) -> list[int]:
        with mock(ttft_s=0.01, itl_s=0.001, tokens=100, jitter=0.5, seed=seed) as server:
            with Socket(server) as one:
                for _ in range(4):
                    one.send()
                    one.until()
            return [(line.planned_last_ns or 0) - (line.planned_first_ns or 0) for line in server.truth(4)]

    first = plans(1)
    assert plans(1) == first
    assert len(set(first)) == 4
    assert sum(first) / 4 == pytest.approx(0.099e9, rel=0.25)


def test_prefill_takes_longer_for_what_is_not_cached(server: Mocked) -> None:
    before = len(server.truth())
    words = " ".join(f"p{at}" for at in range(33))
    wanted = {"prefix_cache": True, "ttft_s": 0.01, "ttft_s_per_input_token": 0.001}
    with Socket(server) as one:
        for _ in range(2):
            one.sock.sendall(request({"messages": [{"role": "user", "content": words}], "mock": wanted}))
            one.until()
    cold, warm = server.truth(before + 2)[-2:]
    assert (cold.cached_tokens, warm.cached_tokens) == (0, 32)
    ttft = [(line.planned_first_ns or 0) - (line.started_ns or 0) for line in (cold, warm)]
    assert ttft == [43_000_000, 11_000_000]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ttfts", "1"), "--ttfts: unknown option; did you mean '--ttft-s'"),
        (("--itl-s", "soon"), "--itl-s: 'soon' is not a number"),
        (("--tokens=-1",), "--tokens: must be greater than or equal to 0"),
        (("--usage", "some"), "--usage: must be 'asked', 'none'"),
        (("--jitter",), "--jitter: needs a value"),
        (("hello",), "hello: unknown word"),
        (("--key-env", "NO_SUCH_KEY_HERE"), "--key-env NO_SUCH_KEY_HERE: no such environment variable"),
        (("--truth", "/no/such/folder/truth.jsonl"), "--truth /no/such/folder/truth.jsonl: cannot be written"),
        (("--port", "99999"), "--port: "),
    ],
)
def test_wrong_options_are_one_line(words: tuple[str, ...], said: str) -> None:
    done = _in_this_process(["mock-server", *words])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(server: Mocked) -> None:
    done = bench("mock-server", "--port", str(server.port))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --port {server.port}: cannot listen on 127.0.0.1 (Address already in use); "
        "name a free one, or 0 for any\n"
    )


def test_a_server_ends_with_the_process_that_started_it() -> None:
    code = (
        "import subprocess, sys\n"
        "one = subprocess.Popen([sys.executable, '-m', 'bench', 'mock-server', '--port=0', '--end-with-parent'],"
        " stdout=subprocess.PIPE, text=True)\n"
        "print(one.stdout.readline().strip(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        parent.kill()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("it still takes connections")


def test_a_server_in_this_process_stops_and_leaves_nothing_open(tmp_path: Path) -> None:
    server = Server(MockSettings(ttft_s=0.0, itl_s=0.0), truth=tmp_path / "truth.jsonl")
    thread = threading.Thread(target=server.serve)
    thread.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as one:
        one.sendall(request({}))
        found = b""
        while not found.endswith(b"0\r\n\r\n"):
            found += one.recv(65536)
    server.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert [line.tokens for line in log.read(tmp_path / "truth.jsonl")] == [4]
    assert server.listener.fileno() == -1


def test_help_lists_every_setting() -> None:
    said = _in_this_process(["mock-server", "--help"]).stdout
    for name in MockSettings.model_fields:
        assert name.replace("_", "-") in said
