"""What goes wrong under load: every request ends as exactly one line with one status, and nothing measured is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import traces
from bench.errors import InputError
from bench.measure.serving import conductor, phases
from bench.measure.serving.crew import LostClientError
from bench.measure.serving.salvage import salvage, spent_usd
from bench.schema import Allowance, Capabilities, Endpoint, Request
from tests.commands import ROOT
from tests.mocked import Mocked, mock
from tests.underload import Watched, generate, job, serve, traffic

CANARY = "sk-canary-9f8e7d6c5b4a39281706"


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.002, itl_s=0.0005) as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({}, "ok"),
        ({"chunk_tokens": 2}, "ok"),
        ({"empty_chunks": 3}, "ok"),
        ({"role_chunk": True, "crlf": True}, "ok"),
        ({"multiline": True}, "ok"),
        ({"split_bytes": 7, "text": " é世"}, "ok"),
        ({"event_bytes": 10_000_000}, "ok"),
        ({"done": False}, "ok"),
        ({"usage": "none"}, "ok"),
        ({"usage": "wrong"}, "ok"),
        ({"error_share": 1.0, "error_status": 401}, "http"),
        ({"error_share": 1.0, "error_status": 429}, "http"),
        ({"error_share": 1.0, "error_status": 500}, "http"),
        ({"error_after": 4}, "stream-error"),
        ({"abort_after": 4}, "cut"),
        ({"fin_after": 4}, "cut"),
        ({"finish": False, "done": False}, "unfinished"),
        ({"tokens": 0}, "empty"),
        ({"malformed": "json"}, "malformed"),
        ({"malformed": "http"}, "malformed"),
        ({"redirect": "http://127.0.0.2:9/v1/chat/completions"}, "redirect"),
        ({"stall_after": 4}, "timeout"),
    ],
    ids=str,
)
def test_each_request_ends_as_one_line_with_one_status(
    tmp_path: Path, server: Mocked, fault: dict[str, Any], status: str
) -> None:
    limit_s = 0.4 if "stall_after" in fault else 30.0
    requests = generate(tmp_path, server.base_url, traffic(concurrency=2), 4, body={"mock": fault}, timeout_s=limit_s)
    assert [one.index for one in requests] == [0, 1, 2, 3]
    assert {one.status for one in requests} == {status}
    assert [one.error is None for one in requests] == [status == "ok"] * 4


def test_an_endless_answer_is_ended(tmp_path: Path, server: Mocked) -> None:
    requests = generate(
        tmp_path, server.base_url, traffic(concurrency=1), 1, body={"mock": {"endless": True}}, timeout_s=1
    )
    assert [one.status for one in requests] == ["timeout"] or [one.status for one in requests] == ["endless"]


@pytest.mark.parametrize(
    ("base_url", "status"),
    [
        ("http://127.0.0.1:{free}/v1", "refused"),
        ("http://no-such-host.invalid/v1", "dns"),
        ("https://{mock}/v1", "tls"),
    ],
)
def test_what_cannot_be_reached_is_typed(tmp_path: Path, server: Mocked, base_url: str, status: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = base_url.format(free=free.getsockname()[1], mock=server.url.removeprefix("http://"))
        requests = generate(tmp_path, url, traffic(concurrency=2), 3, timeout_s=3)
    assert [one.status for one in requests] == [status] * 3


def test_a_stream_that_fails_pauses_before_it_goes_on(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        start = time.monotonic()
        requests = generate(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/v1", traffic(concurrency=1), 4)
    assert len(requests) == 4
    assert time.monotonic() - start > 0.5  # 0.2 + 0.4 s and more


def test_a_server_that_dies_ends_the_load_with_what_was_measured(tmp_path: Path) -> None:
    with mock(ttft_s=0.01, itl_s=0.005) as server:

        def stop(live: list[Any]) -> bool:
            if live and live[-1].succeeded > 20 and server.process.poll() is None:
                server.kill()
            return False

        served, requests = serve(tmp_path, server.base_url, traffic(concurrency=16, duration_s=60), Watched(stop=stop))
    assert served.ended == "errors"
    assert len(requests) == served.requests == len({one.index for one in requests})
    statuses = {one.status for one in requests}
    assert "ok" in statuses
    assert statuses <= {"ok", "cut", "refused", "cancelled"}


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with mock(ttft_s=0.01, itl_s=0.005) as first:
        port = first.port
        second: list[Any] = []
        by_then: list[int] = []

        def stop(live: list[Any]) -> bool:
            if live and live[-1].succeeded > 20 and not second:
                first.kill()
                second.append(mock(port=port, ttft_s=0.01, itl_s=0.005))
                second[0].__enter__()
                by_then.append(live[-1].succeeded)
            return bool(by_then) and live[-1].succeeded > by_then[0] + 200

        load = traffic(concurrency=4, duration_s=20, until={"failed_share": 1.0})
        try:
            served, requests = serve(tmp_path, first.base_url, load, Watched(stop=stop))
        finally:
            if second:
                second[0].__exit__(None, None, None)
    assert served.ended == "interrupted"
    failed = [one.done_s or 0.0 for one in requests if one.status in ("cut", "refused")]
    good = [one.sent_s or 0.0 for one in requests if one.status == "ok"]
    assert len(failed) >= 4
    assert sum(1 for one in good if one > max(failed)) > 20


def load_generators(of: int) -> list[psutil.Process]:
    return [
        one for one in psutil.Process(of).children(recursive=True) if "bench.measure.serving.process" in one.cmdline()
    ]


@pytest.mark.alone
def test_a_load_generator_that_is_killed_loses_a_second_at_most(tmp_path: Path, server: Mocked) -> None:
    def stop(live: list[Any]) -> bool:
        if live and live[-1].at_s > 1.8:
            for one in load_generators(os.getpid())[:1]:
                one.send_signal(signal.SIGKILL)
        return False

    with pytest.raises(LostClientError, match=r"load generator \d of 2 .*signal 9"):
        serve(tmp_path, server.base_url, traffic(concurrency=4, duration_s=60), Watched(stop=stop), clients=2)
    assert not load_generators(os.getpid())
    (kept,) = salvage(tmp_path)
    requests = list(traces.read(tmp_path / kept.trace))
    assert kept.record_id == "cell.0.test"
    assert kept.requests == len(requests) > 20
    assert {one.worker for one in requests} == {0, 1}
    for worker in (0, 1):
        assert max(one.done_s or 0.0 for one in requests if one.worker == worker) > 0.6
    price = Allowance(usd=1, usd_per_input_token=1, usd_per_cached_token=1, usd_per_output_token=2)
    worst = sum(32 if one.count_source == "usage" and one.status == "ok" else 96 for one in requests)
    assert 0 < spent_usd(kept, price) <= worst
    assert salvage(tmp_path) == []
    assert not list((tmp_path / "traces").glob("*.part"))


def test_parts_with_a_torn_end_are_joined_without_losing_the_others(tmp_path: Path) -> None:
    for worker in range(3):
        writer = traces.TraceWriter(traces.part_of(tmp_path, "a.0.b", worker))
        for index in range(worker, 30, 3):
            writer.write([Request(index, worker=worker, sent_s=1.0, input_tokens=2, output_tokens=3)])
        writer.close()
    torn = traces.part_of(tmp_path, "a.0.b", 0)
    torn.write_bytes(torn.read_bytes()[:-9])
    (kept,) = salvage(tmp_path)
    assert (kept.record_id, kept.requests, kept.input_tokens, kept.output_tokens) == ("a.0.b", 29, 58, 87)


RUN = """
import sys
from pathlib import Path
from bench.measure.serving import conductor, phases
from bench.schema import Endpoint
from tests.underload import job, traffic
print("up", flush=True)
load = traffic(concurrency=4, duration_s=60)
conductor.serve(job(Path(sys.argv[1]), load), Endpoint(base_url=sys.argv[2], clients=2),
    lambda *_: None, lambda live: print(live.succeeded, flush=True), lambda: False)
"""


def test_load_generators_end_and_keep_all_when_the_conductor_is_killed(tmp_path: Path, server: Mocked) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), server.base_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        seen = 0
        for line in run.stdout:
            seen = int(line) if line.strip().isdigit() else 0
            if seen > 30:
                break
        children = load_generators(run.pid)
        assert len(children) == 2
        run.kill()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    (kept,) = salvage(tmp_path)
    assert kept.requests >= seen
    assert {one.status for one in traces.read(tmp_path / kept.trace)} <= {"ok", "cancelled"}


def test_the_key_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CANARY_KEY", CANARY)
    with mock(
        ttft_s=0.002, itl_s=0.001, environment={"CANARY_KEY": CANARY}, key_env="CANARY_KEY", echo_key=True
    ) as server:
        faults = {"error_share": 0.3, "error_status": 500}
        watched = Watched()
        monkeypatch.setattr(phases, "probe", lambda *_: Capabilities(served_model="mock", usage_chunk=True))
        load = traffic(concurrency=4, duration_s=0.5, until={"failed_share": 1.0})
        served, requests = serve(tmp_path, server.base_url, load, watched, key_env="CANARY_KEY", body={"mock": faults})
        monkeypatch.undo()
        failed = [one for one in requests if one.status == "http"]
        assert failed
        assert all("you sent" in (one.error or "") for one in failed)
        monkeypatch.setenv("CANARY_KEY", "sk-another-canary-000111222")
        with pytest.raises(InputError) as wrong:
            serve(tmp_path, server.base_url, traffic(concurrency=1), key_env="CANARY_KEY")
    out, err = capfd.readouterr()
    told = [
        out,
        err,
        str(wrong.value),
        served.model_dump_json(),
        "".join(one.model_dump_json() for one in watched.live),
    ]
    for file in tmp_path.rglob("*"):
        if file.is_file():
            told.append(file.read_bytes().decode("latin-1"))
    told.append("".join(str(one) for one in requests))
    for text in told:
        assert CANARY not in text
        assert "sk-another-canary" not in text


def test_a_load_generator_that_fails_says_why(tmp_path: Path, server: Mocked, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    made = conductor._orders
    monkeypatch.setattr(
        conductor,
        "_orders",
        lambda *given: [one.model_copy(update={"folder": str(tmp_path / "file")}) for one in made(*given)],
    )
    with pytest.raises(LostClientError, match="load generator 1: NotADirectoryError"):
        serve(tmp_path, server.base_url, traffic(concurrency=2))


def test_an_unset_key_is_one_line(tmp_path: Path, server: Mocked) -> None:
    with pytest.raises(InputError, match="CANARY_KEY_UNSET"):
        conductor.serve(
            job(tmp_path, traffic(concurrency=1)),
            Endpoint(base_url=server.base_url, key_env="CANARY_KEY_UNSET"),
            lambda *_: None,
            lambda _: None,
            lambda: False,
        )
