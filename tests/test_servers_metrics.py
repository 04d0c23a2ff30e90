"""Metrics pages of four engines, and of servers that are odd, read into a sample."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schema import ServerSample
from bench.servers import metrics
from bench.servers.prometheus import series

VLLM = r"""
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \"quoted\" {name}, with } and \\"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.5e+03
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
vllm:generation_tokens_total{engine="0",model_name="m"} 700.0 1395066363000
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 100.0
vllm:time_to_first_token_seconds_bucket{le="0.001",model_name="m"} 0.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 9.0
vllm:time_to_first_token_seconds_sum{model_name="m"} 4.5
vllm:time_to_first_token_seconds_count{model_name="m"} 9 # {trace_id="abc"} 0.5
vllm:broken{model_name="m"} NaN
vllm:endless{model_name="m"} +Inf
process_resident_memory_bytes 5e8
python_gc_objects_collected_total{generation="0"} 5
vllm:no_value{model_name="m"}
{"json": 1}
"""


def sampled(text: str, at_s: float = 0.0) -> ServerSample:
    return ServerSample(at_s=at_s, values=metrics.parsed(text))


def test_vllm() -> None:
    found = sampled(VLLM)
    assert metrics.standing(found) == {"running": 5.0, "waiting": 1.0, "kv_usage": 0.5}
    assert metrics.total(found.values, "vllm:prompt_tokens_total") == 1500
    assert metrics.total(found.values, "vllm:nothing") is None
    assert len(found.values) == 10
    assert all(math.isfinite(value) for value in found.values.values())
    later = sampled(VLLM.replace("1.5e+03", "1900").replace("700.0", "900").replace("100.0", "350"))
    assert metrics.work(found, later) == {"prompt_tokens": 400, "cached_tokens": 250, "generation_tokens": 200}
    assert ServerSample.model_validate_json(found.model_dump_json()) == found


def test_names_of_older_versions_are_known() -> None:
    assert metrics.standing(sampled("vllm:gpu_cache_usage_perc 0.75\n")) == {"kv_usage": 0.75}


def test_sglang_adds_the_sources_of_its_cache_up() -> None:
    page = (
        'sglang:num_running_reqs{{tp_rank="0"}} 4\nsglang:num_queue_reqs 2\nsglang:token_usage 0.1\n'
        "sglang:prompt_tokens_total {0}\nsglang:generation_tokens_total {1}\n"
        'sglang:cached_tokens_total{{cache_source="device"}} {2}\n'
    )
    host = 'sglang:cached_tokens_total{cache_source="host"} 7\n'  # appears with its first event
    start, end = sampled(page.format(10, 20, 0)), sampled(page.format(110, 70, 30) + host)
    assert metrics.standing(end) == {"running": 4, "waiting": 2, "kv_usage": 0.1}
    assert metrics.work(start, end) == {"prompt_tokens": 100, "cached_tokens": 37, "generation_tokens": 50}


def test_llama_cpp_counts_cached_tokens_apart() -> None:
    page = (
        "llamacpp:prompt_tokens_total {}\nllamacpp:prompt_tokens_cached_total {}\n"
        "llamacpp:tokens_predicted_total {}\nllamacpp:requests_processing 3\nllamacpp:requests_deferred 1\n"
        "llamacpp:n_tokens_max 99\n"
    )
    start, end = sampled(page.format(5, 0, 9)), sampled(page.format(25, 12, 59))
    assert metrics.work(start, end) == {"prompt_tokens": 32, "cached_tokens": 12, "generation_tokens": 50}
    assert metrics.standing(end) == {"running": 3, "waiting": 1}


def test_tgi_counts_tokens_in_histograms() -> None:
    page = (
        "tgi_queue_size 0\ntgi_batch_current_size 8\ntgi_request_input_length_sum {}\n"
        "tgi_request_generated_tokens_sum {}\n"
        'tgi_request_input_length_bucket{{le="+Inf"}} 9\n'
    )
    start, end = sampled(page.format(100, 10)), sampled(page.format(300, 60))
    assert metrics.work(start, end) == {"prompt_tokens": 200, "generation_tokens": 50}


def test_a_counter_that_fell_is_left_out() -> None:
    start, end = sampled("a_total 5\nb_total 1\nc 9\n"), sampled("a_total 3\nb_total 4\nc 10\nd_total 2\n")
    assert metrics.delta(start, end) == {"b_total": 3, "d_total": 2}
    assert metrics.meanings(end.values) is None
    assert metrics.work(start, end) == {} == metrics.standing(end)


def test_a_page_without_end_is_bounded_and_what_matters_comes_first() -> None:
    crowd = "".join(f'vllm:lora{{adapter="{number}"}} 1\n' for number in range(2000))
    found = sampled(crowd + "vllm:num_requests_running 7\n")
    assert len(found.values) == metrics.MOST_SERIES
    assert metrics.standing(found) == {"running": 7}


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert all(math.isfinite(value) for _, _, value in series(text))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(st.characters(codec="utf-8")), max_size=4))
def test_labels_may_hold_anything(labels: dict[str, str]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inner = ",".join(f'{key}="{escaped(value)}"' for key, value in labels.items())
    assert [(name, value) for name, _, value in series(f"up{{{inner}}} 1.5")] == [("up", 1.5)]


PAGES = {
    "/metrics": (200, b"up_total 3\n", {}),
    "/nothing": (200, b"", {}),
    "/html": (200, b"<html>no metrics</html>", {}),
    "/error": (500, b"up_total 3\n", {}),
    "/binary": (200, bytes(range(256)) + b"\nup_total 4\n", {}),
    "/elsewhere": (302, b"", {"Location": "/metrics"}),
}


@contextmanager
def served(seen: list[tuple[str, str | None]]) -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["Authorization"]))
            status, body, headers = PAGES[self.path]
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_sampling_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # of no concern to a server on loopback
    seen: list[tuple[str, str | None]] = []
    with served(seen) as base_url:
        found = metrics.sample(base_url, "/metrics", 1.5, [("Authorization", "Bearer x")])
        assert found == ServerSample(at_s=1.5, values={"up_total": 3})
        binary = metrics.sample(base_url, "/binary", 0.0)
        assert binary is not None
        assert binary.values == {"up_total": 4}
        for path in ("/nothing", "/html", "/error", "/elsewhere"):
            assert metrics.sample(base_url, path, 0.0) is None, path
        assert metrics.sample(base_url, None, 0.0) is None
    assert seen[0] == ("/metrics", "Bearer x")
    assert seen[-1][0] == "/elsewhere"  # the redirect was not followed
    assert metrics.sample(base_url, "/metrics", 0.0) is None  # nobody is there any more
    assert metrics.sample("not a url", "/metrics", 0.0) is None
