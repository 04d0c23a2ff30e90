"""Runs under load against the mock server: rates, handover, what ends a load, money, conversations, processes."""

import json
import random
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench import traces
from bench.errors import InputError
from bench.measure.serving import conductor, phases, stopping
from bench.measure.serving.crew import LostClientError
from bench.measure.serving.orders import BIN_S, Command, share
from bench.measure.serving.silence import Silence
from bench.measure.serving.spending import Purse
from bench.measure.serving.stopping import Standing
from bench.measure.serving.tally import Lags, Tally
from bench.schema import (
    Allowance,
    Cell,
    Checkpoint,
    Endpoint,
    Job,
    ManagedServer,
    Model,
    Request,
    RunnerChoice,
    Traffic,
    Workload,
)
from tests.mocked import Mocked, mock
from tests.underload import Watched, generate, serve, traffic

PRICE = Allowance(usd=1.0, usd_per_input_token=1e-3, usd_per_cached_token=1e-3, usd_per_output_token=2e-3)


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    """Quick answers; what a test wants otherwise goes with its requests."""
    with mock(ttft_s=0.005, itl_s=0.001, prefix_cache=True) as running:
        yield running


def on_way(requests: list[Request], at_s: float) -> int:
    return sum(1 for one in requests if one.sent_s is not None and one.sent_s <= at_s and (one.done_s or 1e9) > at_s)


@pytest.mark.alone
def test_a_closed_loop_holds_its_streams_from_the_warm_up_into_the_window(tmp_path: Path) -> None:
    watched = Watched()
    with mock(ttft_s=0.05, itl_s=0.01) as server:
        served, requests = serve(tmp_path, server.base_url, traffic(concurrency=8, output_tokens=16), watched)
        truth = server.truth()
    assert served.ended == "duration"
    assert served.loopback
    assert served.stopped_s - served.warm_s == pytest.approx(1.0, abs=0.05)
    assert {one.status for one in requests} == {"ok"}
    assert sorted(one.index for one in requests) == list(range(served.requests))
    assert sum(one.output_tokens or 0 for one in requests) == 16 * served.requests
    probed = served.capabilities.probe_requests + 1  # and one by itself
    assert len(truth) == served.requests + probed
    # No draining: as many on their way around the beginning of the window as at any time, and never more.
    moments = [served.warm_s + at for at in (-0.01, 0.0, 0.01, 0.3, 0.6)]
    assert [on_way(requests, at) for at in moments].count(8) >= 3
    assert max(on_way(requests, one.sent_s or 0.0) for one in requests) <= 8
    inside = [one for one in requests if one.sent_s is not None and one.sent_s >= served.warm_s]
    assert 0.4 * 40 < len(inside) < 1.1 * 40  # 8 streams, 0.2 s a request
    # Streams begin one after another, over what one request took.
    first = sorted(one.sent_s or 0.0 for one in requests)[:8]
    assert all(later - earlier > 0.005 for earlier, later in pairwise(first))
    assert served.window is not None
    assert served.samples
    assert watched.phases[-1] == "load"
    assert watched.live[-1].sent > 0
    assert {one.phase for one in watched.live} >= {"measuring"}


@pytest.mark.parametrize("load", ["constant", "poisson"])
@pytest.mark.alone
def test_an_open_loop_sends_what_is_due_when_it_is_due(tmp_path: Path, server: Mocked, load: str) -> None:
    served, requests = serve(tmp_path, server.base_url, traffic(load, requests_per_s=60), clients=3)
    assert len(served.clients) == 3
    assert sorted(one.index for one in requests) == list(range(served.requests))  # each exactly once, of all processes
    assert all(one.worker == one.index % 3 for one in requests)
    late = sorted((one.sent_s or 0.0) - (one.due_s or 0.0) for one in requests)
    assert late[0] >= 0
    assert late[len(late) // 2] < 0.02
    assert sorted(one.due_s or 0.0 for one in requests) == [
        one.due_s for one in sorted(requests, key=lambda r: r.index)
    ]
    assert 35 < sum(1 for one in requests if (one.sent_s or 0.0) >= served.warm_s) < 95


def test_a_number_of_requests_is_kept_exactly_by_several_processes(tmp_path: Path, server: Mocked) -> None:
    load = traffic(concurrency=6, duration_s=20, until={"requests": 41})
    served, requests = serve(tmp_path, server.base_url, load, clients=4)
    assert served.ended == "requests"
    assert sum(1 for one in requests if (one.sent_s or 0.0) >= served.warm_s) == 41
    assert {one.status for one in requests} == {"ok"}


def test_an_interrupt_brings_what_was_measured(tmp_path: Path, server: Mocked) -> None:
    watched = Watched(stop=lambda live: bool(live) and live[-1].succeeded > 5)
    served, requests = serve(tmp_path, server.base_url, traffic(concurrency=4, duration_s=60), watched)
    assert served.ended == "interrupted"
    assert served.stopped_s < 10
    assert len(requests) == served.requests > 5


def test_what_is_on_its_way_too_long_is_cut_and_stays_in_the_trace(
    tmp_path: Path, server: Mocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "INTERRUPTED_DRAIN_S", 0.3)
    monkeypatch.setattr(phases, "LONGEST_REHEARSAL_S", 0.3)
    watched = Watched(stop=lambda live: bool(live) and live[-1].sent > 2)
    load = traffic(concurrency=3, output_tokens=32, duration_s=60)
    stall = {"mock": {"stall_after": 20, "stall_s": 60}}
    served, requests = serve(tmp_path, server.base_url, load, watched, body=stall)
    assert served.ended == "interrupted"
    assert {one.status for one in requests} == {"cancelled"}
    assert all(one.chunks == 20 for one in requests)


def test_conversations_hold_what_was_said(tmp_path: Path, server: Mocked) -> None:
    load = traffic(concurrency=4, turns=3, think_time_s=0.01, until={"requests": 60})
    served, requests = serve(tmp_path, server.base_url, load)
    by_session: dict[int, list[Request]] = {}
    for one in requests:
        by_session.setdefault(one.session, []).append(one)
    whole = [turns for turns in by_session.values() if len(turns) == 3]
    assert len(whole) > 5
    for turns in whole:
        turns.sort(key=lambda one: one.turn)
        assert [one.input_tokens for one in turns] == [16, 16 + 8 + 16, 16 + 2 * (8 + 16)]
        assert [one.asked_input_tokens for one in turns] == [one.input_tokens for one in turns]
        assert all((later.sent_s or 0.0) >= (earlier.done_s or 0.0) for earlier, later in pairwise(turns))
    assert len({one.index for one in requests}) == len(requests) == served.requests


def test_shared_prefixes_are_hit_as_often_as_asked(tmp_path: Path, server: Mocked) -> None:
    load = traffic(concurrency=4, input_tokens=160, shared_prefix={"hit_rate": 0.6}, until={"requests": 100})
    _, requests = serve(tmp_path, server.base_url, load)
    later = requests[8:]
    hit = sum(one.cached_tokens or 0 for one in later) / sum(one.input_tokens or 0 for one in later)
    assert hit == pytest.approx(0.6, abs=0.11)  # whole blocks of 16


def test_prompts_of_a_file_are_each_sent_once(tmp_path: Path, server: Mocked) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"question number {one}"}) + "\n" for one in range(23)))
    load = traffic(concurrency=3, duration_s=None, input_tokens=None, warmup_s=0, prompts={"file": str(file)})
    served, requests = serve(tmp_path, server.base_url, load, clients=2)
    assert served.ended == "prompts"
    assert sorted(one.index for one in requests) == list(range(23))
    assert served.length_source == "file"


@pytest.mark.alone
def test_a_full_open_loop_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "LEAST_DRAIN_S", 0.2)
    with mock(ttft_s=0.05, itl_s=0.01, slots=2) as server:
        load = traffic("constant", requests_per_s=80, duration_s=20, max_in_flight=40)
        served, requests = serve(tmp_path, server.base_url, load)
    assert served.ended == "oversaturated"
    assert served.stopped_s < 3
    assert max(on_way(requests, one.sent_s or 0.0) for one in requests) <= 40


@pytest.mark.parametrize("load", ["closed", "constant"])
def test_an_allowance_is_never_exceeded(tmp_path: Path, load: str) -> None:
    price = PRICE.model_copy(update={"usd": 2.5})
    with mock(ttft_s=0.01, itl_s=0.001) as server:
        level = {"concurrency": 4} if load == "closed" else {"requests_per_s": 100}
        served, requests = serve(
            tmp_path, server.base_url, traffic(load, duration_s=20, **level), allowance=price, clients=2
        )
        billed = sum(one.prompt_tokens * 1e-3 + one.tokens * 2e-3 for one in server.truth())
    assert served.ended == "money"
    assert served.spent_usd is not None
    assert billed <= served.spent_usd + 1e-9 <= 2.5 + 1e-9
    assert len(requests) > 5
    if load == "closed":
        assert served.spent_usd > 0.85 * 2.5


def test_a_purse_never_promises_more_than_it_has() -> None:
    draw = random.Random(1)
    purse = Purse(PRICE, overhead_tokens=4)
    on_its_way: list[tuple[int, int, int]] = []
    for index in range(3000):
        asked, answered = draw.randrange(1, 40), draw.randrange(1, 20)
        if purse.set_aside(index, asked, answered):
            on_its_way.append((index, asked, answered))
        assert purse.spent_usd + purse.reserved_usd <= PRICE.usd + 1e-9
        if on_its_way and draw.random() < 0.5:
            place, asked, answered = on_its_way.pop(draw.randrange(len(on_its_way)))
            known = draw.random() < 0.8
            request = Request(
                place,
                sent_s=0.0,
                input_tokens=asked + 4 if known else None,
                output_tokens=answered if known else None,
                count_source="usage" if known else None,
            )
            purse.settle(request)
    assert 0.9 < purse.spent_usd <= PRICE.usd


def test_unknown_usage_counts_as_the_worst_case_and_a_refusal_as_nothing() -> None:
    purse = Purse(PRICE, overhead_tokens=0)
    assert purse.set_aside(1, 10, 5)
    purse.settle(Request(1, status="cut", sent_s=0.0))
    assert purse.spent_usd == pytest.approx(0.02)
    assert purse.set_aside(2, 10, 5)
    purse.settle(Request(2, status="http", http_status=429, sent_s=0.0))
    assert purse.spent_usd == pytest.approx(0.02)
    assert purse.reserved_usd == 0.0


def standings(flights: list[int], rate: float, failed: int = 0) -> list[Standing]:
    return [
        Standing(0.5 * i, sent=int(rate * 0.5 * i), succeeded=int(rate * 0.5 * i) - on, failed=failed, in_flight=on)
        for i, on in enumerate(flights)
    ]


def test_a_queue_that_grows_is_told_from_one_that_wavers() -> None:
    open_loop = traffic("poisson", requests_per_s=20)
    draw = random.Random(2)
    stable = [max(0, round(draw.gauss(10, 10**0.5))) for _ in range(200)]
    alarms = sum(stopping.is_oversaturated(standings(stable[:end], 20), open_loop, 0.0, 0.5) for end in range(2, 200))
    assert alarms == 0
    growing = [10 + 2 * i for i in range(60)]
    assert stopping.is_oversaturated(standings(growing, 20), open_loop, 0.0, 0.5)
    assert not stopping.is_oversaturated(standings(growing[:15], 20), open_loop, 0.0, 0.5)  # not long enough
    assert not stopping.is_oversaturated(standings(growing, 20), traffic(concurrency=4), 0.0, 0.5)


def test_a_load_that_fills_up_at_first_is_not_oversaturated() -> None:
    """Answers that take 20 s: for so long, nothing comes back, and all is well."""
    filling = [min(400, 10 * i) for i in range(120)]
    open_loop = traffic("poisson", requests_per_s=20)
    for end in range(2, 120):
        assert not stopping.is_oversaturated(standings(filling[:end], 20), open_loop, 0.0, 20.0)


def test_answers_of_very_different_lengths_are_not_a_queue_that_grows() -> None:
    """Of exponential lengths the quick answers come back first: the number on their way grows for four times the mean
    of all, and for forty times that of the first."""
    open_loop = traffic("poisson", requests_per_s=40)
    draw = np.random.default_rng(5)
    stamps = np.cumsum(draw.exponential(1 / 40, 3000))
    takes = draw.exponential(10.0, 3000)
    over = stamps + takes
    history = []
    for at_s in np.arange(0.5, 60.0, 0.5):
        sent, back = int((stamps <= at_s).sum()), over <= at_s
        history.append(Standing(float(at_s), sent, int(back.sum()), 0, sent - int(back.sum())))
        flow_s = float(np.quantile(takes[back], 0.95)) if back.any() else 0.0
        assert not stopping.is_oversaturated(history, open_loop, 0.0, 0.3, flow_s)
    assert stopping.is_oversaturated(history[:24], open_loop, 0.0, 0.3)  # by the first answers alone


def test_conversations_are_warm_when_a_first_one_may_have_ended() -> None:
    open_loop = traffic("poisson", requests_per_s=5, turns=4, think_time_s=2.0, warmup_s=None, duration_s=60)
    assert not stopping.is_warm(open_loop, Standing(10.0, 50, 40, 0, 10), True, 0.0, 1.0, 1.0)
    assert stopping.is_warm(open_loop, Standing(11.1, 50, 40, 0, 10), True, 0.0, 1.0, 1.0)
    closed = traffic(concurrency=5, turns=4, warmup_s=None, duration_s=60)
    assert not stopping.is_warm(closed, Standing(5.0, 24, 19, 0, 5), True, 0.0, 1.0, 1.0)
    assert stopping.is_warm(closed, Standing(5.0, 25, 20, 0, 5), True, 0.0, 1.0, 1.0)


def test_answers_without_a_stream_are_counted_too() -> None:
    tally = Tally()
    tally.add(Request(index=0, sent_s=1.0, output_tokens=100, last_token_s=2.0, done_s=2.0))
    snapshot = tally.snapshot(3.0)
    assert (snapshot.tokens, snapshot.e2el, snapshot.flow, snapshot.ttft) == (100, (1.0,), (1.0,), ())
    assert sum(snapshot.bins.values()) == 100


def test_what_was_due_before_the_end_goes_out_however_late(tmp_path: Path, server: Mocked) -> None:
    """A load generator that stood still from before its first arrival to after its last one hides none of them."""
    late = Command(epoch_ns=time.perf_counter_ns() - 2_000_000_000, warm_s=0.0, stop_s=1.0)
    load = traffic("constant", requests_per_s=20)
    found = generate(tmp_path, server.base_url, load, None, late)
    assert [one.due_s for one in found] == pytest.approx([i / 20 for i in range(20)])
    assert all((one.sent_s or 0.0) - (one.due_s or 0.0) > 1.0 for one in found)


def test_precision_is_that_of_batch_means() -> None:
    draw = random.Random(3)
    bins = {place: draw.gauss(1000, 50) for place in range(40)}
    ttft = [(0.01 * i, draw.gauss(0.1, 0.001)) for i in range(2000)]
    width = stopping.half_width(bins, ttft, 0.0, 20.0)
    assert width is not None
    assert 0.005 < width < 0.06  # 2.26 × 5 % / √40 is 1.8 %
    assert stopping.half_width(bins, ttft, 0.0, 19 * BIN_S) is None
    assert stopping.half_width(bins, ttft[:100], 0.0, 20.0) is None
    assert 0.005 < (stopping.half_width(bins, [], 0.0, 20.0) or 0.0) <= width  # without streaming


def test_failures_are_counted_over_the_last_fifty() -> None:
    good = [Standing(i, 40 * i, 40 * i, 0, 0) for i in range(5)]
    assert stopping.failed_share(good) == 0.0
    assert stopping.failed_share(good[:2]) is None
    bad = [*good, Standing(5, 240, 160, 60, 20)]
    assert stopping.failed_share(bad) == 1.0


@pytest.mark.parametrize(
    ("load", "at_s", "over", "warm"),
    [
        (traffic(concurrency=10, warmup_s=None, duration_s=60), 1.9, 100, False),  # at least 2 s
        (traffic(concurrency=10, warmup_s=None, duration_s=60), 5.0, 9, False),  # as many answers as streams
        (traffic(concurrency=10, warmup_s=None, duration_s=60), 5.0, 10, True),
        (traffic(concurrency=10, warmup_s=None, duration_s=60), 21.5, 0, True),  # a third of the duration
        (traffic("poisson", requests_per_s=5, warmup_s=None, duration_s=60), 6.0, 100, False),  # two answer times
        (traffic("poisson", requests_per_s=5, warmup_s=None, duration_s=60), 8.1, 100, True),
        (traffic(concurrency=10, warmup_s=3.0), 3.9, 100, False),
        (traffic(concurrency=10, warmup_s=3.0), 4.1, 0, True),
    ],
)
def test_a_load_is_warm_when_its_answers_say_so(load: Traffic, at_s: float, over: int, warm: bool) -> None:
    now = Standing(at_s, over + 10, over, 0, 10)
    assert stopping.is_warm(load, now, True, 1.0, 3.5, 3.5) is warm
    assert not stopping.is_warm(load, now, False, 1.0, 3.5, 3.5)


def test_shares_add_up() -> None:
    for whole in range(30):
        for workers in range(1, 9):
            shares = [share(whole, worker, workers) for worker in range(workers)]
            assert sum(shares) == whole
            assert max(shares) - min(shares) <= 1


def test_lag_is_bounded_and_right_to_a_tenth() -> None:
    lags = Lags()
    for place in range(100_000):
        lags.add(place * 1e-6)
    assert lags.percentile(99) == pytest.approx(0.099, rel=0.1)
    assert lags.max_s == pytest.approx(0.1, rel=0.01)
    assert len(lags.__dict__["_counts"]) < 200
    assert Lags().percentile(99) is None
    assert Lags().worst(99, 10.0) is None


def test_one_stall_is_seen_by_how_many_tokens_wait_for_its_end() -> None:
    """One second of twenty: of ten thousand turns of the loop it is one, of the tokens it is one in twenty."""
    lags = Lags()
    for _ in range(10_000):
        lags.add_blind(1e-5)
    assert (lags.worst(99, 20.0) or 1.0) < 1e-4
    lags.add_blind(1.0)
    assert (lags.percentile(99) or 1.0) < 1e-4
    assert lags.worst(99, 20.0) == pytest.approx(0.8)  # for 1 % of 20 s they wait longer
    assert (lags.worst(99, 200.0) or 1.0) < 1e-4  # one in two hundred is not one in a hundred


def test_a_load_without_requests_is_an_error(tmp_path: Path, server: Mocked) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("")
    with pytest.raises(InputError):
        serve(tmp_path, server.base_url, traffic(input_tokens=None, prompts={"file": str(file)}, concurrency=1))
    assert not list(tmp_path.glob("traces/*"))


@pytest.mark.alone
def test_a_real_server_is_started_filled_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "LEAST_DRAIN_S", 60.0)  # beside busy neighbours, an engine may take that long
    until = {"requests": 6}
    load = traffic(concurrency=2, input_tokens=64, output_tokens=8, duration_s=None, warmup_s=0.0, until=until)
    cell = Cell(
        model=Model(source="builtin:smollm2-135m"),
        precision=Checkpoint(name="checkpoint"),
        runner=RunnerChoice(name="openai"),
        workload=Workload(input_tokens=32, output_tokens=8),
        traffic=load,
    )
    job = Job(cell=cell, replicate=0, record_id="cell.0.real", folder=str(tmp_path))
    endpoint = Endpoint(server=ManagedServer(engine="llama.cpp", args=("--threads", "1")))
    served = conductor.serve(job, endpoint, lambda *_: None, lambda _: None, lambda: False)
    requests = list(traces.read(tmp_path / served.trace))
    assert served.server is not None
    assert served.server.load_s > 0
    assert (served.server.first_request_s or 0) > 0
    assert (served.server.rss_peak_bytes or 0) > 10e6
    assert served.capabilities.engine_timings
    assert {one.status for one in requests} == {"ok"}
    assert {one.output_tokens for one in requests} == {8}
    assert all(one.engine_prefill_s is not None for one in requests)
    assert served.length_source == "tokenizer"
    assert [one.local_input_tokens for one in requests] == [one.input_tokens for one in requests]
    assert all(abs((one.local_output_tokens or 0) - 8) <= 2 for one in requests)
    assert served.text_tokens
    assert not any(one.cached_tokens for one in requests if one.index > 4)
    assert (tmp_path / "logs" / "cell.0.real.server.log").exists()


def test_a_load_generator_that_hangs_is_not_waited_for() -> None:
    """Neither one that says nothing, nor one that goes on sending."""
    silence = Silence(2)
    silence.broken_by(0, 40.0)
    with pytest.raises(LostClientError, match="load generator 2 has said nothing"):
        silence.check(41.0, None, False)
    silence.broken_by(1, 40.0)
    silence.check(41.0, 20.0, False)
    with pytest.raises(LostClientError, match="goes on sending"):
        silence.check(55.0, 20.0, False)
    silence.check(55.0, 20.0, True)
    for worker in range(2):
        silence.over(worker)
    silence.check(500.0, 20.0, False)
