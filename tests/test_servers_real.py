"""Two real engines: llama.cpp's server out of its wheel, and `transformers serve`, started, asked and stopped."""

import json
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import xllamacpp

from bench.errors import UnsupportedError
from bench.schema import Checkpoint, ManagedServer, Model, Plain
from bench.servers import metrics
from bench.servers.running import Running
from bench.servers.start import ServerDiedError, start
from bench.servers.xllamacpp_main import parameters, parser

SMOLLM2 = Model(source="builtin:smollm2-135m")
AS_STORED = Checkpoint(name="checkpoint")


def asked(server: Running, **body: object) -> Any:
    said = {"model": server.model, "messages": [{"role": "user", "content": "Count to twenty."}], **body}
    answer = httpx.post(f"{server.base_url}/chat/completions", json=said, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.alone
def test_llama_cpp_s_server_says_what_the_client_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # a llama-server of this machine would come first
    choice = ManagedServer(engine="llama.cpp", args=("--threads", "2"))
    log = tmp_path / "server.log"
    with start(choice, SMOLLM2, AS_STORED, log, print, streams=2, longest_tokens=256) as server:
        assert server.facts.version is not None
        assert server.facts.version.startswith("xllamacpp 20")
        assert server.facts.weights_id == "sha256:b179c9523d0e6a0f"
        assert server.facts.weights_bytes == 98362432
        assert not any(word.startswith("/") for word in server.facts.command)
        before = metrics.sample(server.base_url, server.metrics_path, 0.0)
        answer = asked(server, max_tokens=8, ignore_eos=True, cache_prompt=False)
        after = metrics.sample(server.base_url, server.metrics_path, 1.0)
        assert answer["usage"]["completion_tokens"] == 8
        assert answer["model"] == server.model == "smollm2-135m"
        assert before is not None
        assert after is not None
        assert metrics.work(before, after) == {
            "prompt_tokens": answer["usage"]["prompt_tokens"],
            "cached_tokens": 0,
            "generation_tokens": 8,
        }
        assert metrics.standing(after) == {"running": 0, "waiting": 0}
        peak = server.rss_peak_bytes()
        assert peak is not None
        assert peak > 98362432
    assert not psutil.pid_exists(server.pid)
    text = log.read_text()
    assert "n_slots = 2, n_ctx_slot = 256" in text


def test_llama_cpp_refuses_what_it_cannot_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ServerDiedError, match=r"exit code 1\).*see server\.log") as caught:
        start(ManagedServer(engine="llama.cpp"), Model(source=str(broken)), AS_STORED, tmp_path / "server.log", print)
    assert str(tmp_path) not in str(caught.value)
    choice = ManagedServer(engine="llama.cpp", args=("--no-such-option",))
    with pytest.raises(ServerDiedError, match="unrecognized arguments: --no-such-option"):
        start(choice, Model(source=str(broken)), AS_STORED, tmp_path / "server.log", print)


def test_options_of_llama_server_reach_the_wheel() -> None:
    words = "-m x.gguf --port 1 -np 3 -c 600 -t 2 -tb 4 -fa off -ctk q8_0 -ctv f32 -b 64 -ub 32 -ngl 0 --alias a"
    rest = "--cache-ram 0 --metrics --no-cache-prompt --kv-unified --no-warmup -nocb --threads-http 5 -lv 1"
    found = parameters(parser().parse_args(f"{words} {rest}".split()), xllamacpp)
    assert (found.model.path, found.port, found.n_parallel, found.n_ctx) == ("x.gguf", 1, 3, 600)
    assert (found.cpuparams.n_threads, found.cpuparams_batch.n_threads, found.n_threads_http) == (2, 4, 5)
    assert (found.n_batch, found.n_ubatch, found.n_gpu_layers, found.verbosity) == (64, 32, 0, 1)
    assert found.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    assert (found.cache_type_k, found.cache_type_v) == (
        xllamacpp.ggml_type.GGML_TYPE_Q8_0,
        xllamacpp.ggml_type.GGML_TYPE_F32,
    )
    assert found.model_alias == {"a"}
    assert found.hostnames == ["127.0.0.1"]
    assert found.endpoint_metrics
    assert found.kv_unified
    off = (found.cache_prompt, found.cache_idle_slots, found.cont_batching, found.warmup, found.ui)
    assert off == (False, False, False, False, False)
    assert found.cache_ram_mib == 0
    with pytest.raises(SystemExit):
        parser().parse_args(["--port", "1"])


@pytest.mark.alone
def test_transformers_serve_answers_exactly_so_many_tokens(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="not quantised"):
        start(ManagedServer(engine="transformers"), SMOLLM2, AS_STORED, tmp_path / "server.log", print)
    choice = ManagedServer(engine="transformers", start_timeout_s=120)
    bf16 = Plain(name="bf16")
    with start(choice, SMOLLM2, bf16, tmp_path / "server.log", print, streams=2, longest_tokens=256) as server:
        exactly = json.dumps({"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False})
        answer = asked(server, generation_config=exactly)
        assert answer["usage"]["completion_tokens"] == 8
        assert answer["choices"][0]["message"]["content"]
        assert server.facts.weights_bytes is not None
        assert server.facts.weights_bytes > 2e8
        assert server.facts.version
        assert metrics.sample(server.base_url, server.metrics_path, 0.0) is None
        tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        # Without the bound on its blocks it would hold more than half of the machine's memory.
        assert (server.rss_peak_bytes() or 0) < 4e9
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in tree)
