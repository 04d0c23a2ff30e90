"""Ollama and TensorRT-LLM: their exact commands; a stand-in for Ollama that is started, given a model and stopped."""

import json
import sys
from pathlib import Path

import pytest

from bench.errors import UnsupportedError
from bench.schema import Checkpoint, FourBit, Int8, KvCache, ManagedServer, Model, Packed, Plain, Precision
from bench.servers import engines, metrics, weights
from bench.servers.engine import Command, Launch
from bench.servers.fetch import get
from bench.servers.start import NeverReadyError, ServerDiedError, start

BF16 = Plain(name="bf16")
AS_STORED = Checkpoint(name="checkpoint")

OLLAMA = '''#!{python} -S
"""Takes Ollama's commands, variables and paths; models are files in OLLAMA_MODELS."""
import json, os, pathlib, sys, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

models = pathlib.Path(os.environ["OLLAMA_MODELS"])
host, _, port = os.environ["OLLAMA_HOST"].partition(":")
base = f"http://{host}:{port}"

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"/api/version": {"version": "0.99"}, "/told": state}.get(self.path)
        self.send_response(200 if told else 404)
        self.end_headers()
        self.wfile.write(json.dumps(told or {}).encode())
    def do_POST(self):
        state["steps"].append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass

def tell(what):
    body = json.dumps(what).encode()
    urllib.request.urlopen(urllib.request.Request(base, body, method="POST"), timeout=10).read()

if sys.argv[1] == "serve":
    state = {"steps": [], "env": {k: v for k, v in os.environ.items() if k.startswith("OLLAMA_")}}
    ThreadingHTTPServer((host, int(port)), Answers).serve_forever()
elif sys.argv[1] == "create":
    recipe = pathlib.Path(sys.argv[4]).read_text()
    if os.environ.get("STAND_IN") == "refuse":
        sys.exit("Error: unsupported architecture in /opt/secret/model.gguf")
    if os.environ.get("STAND_IN") == "hang":
        time.sleep(60)
    models.mkdir(parents=True, exist_ok=True)
    (models / sys.argv[2]).write_text(recipe)
    tell(["create", sys.argv[2], recipe])
elif sys.argv[1] == "run":
    assert (models / sys.argv[2]).is_file()
    tell(["run", *sys.argv[2:]])
'''


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gguf(tmp_path: Path) -> Model:
    (tmp_path / "Tiny v2.Q4_1.gguf").write_bytes(b"GGUF")
    return Model(source=str(tmp_path / "Tiny v2.Q4_1.gguf"))


@pytest.fixture
def folder(tmp_path: Path) -> Model:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"weights")
    return Model(source=str(tmp_path / "tiny"))


def made(engine: str, model: Model, precision: Precision = BF16, **said: object) -> Command:
    launch = Launch(weights.find(model, print), precision, 8123, **said)  # type: ignore[arg-type]
    return engines.find(engine).command(launch)


def test_ollama_is_set_up_by_variables_and_gets_its_model_afterwards(cache: Path, gguf: Model) -> None:
    command = made("ollama", gguf, AS_STORED, streams=6, longest_tokens=1000)
    recipe = cache / "ollama" / "tiny-v2.q4_1.Modelfile"
    assert command.words == ("ollama", "serve")
    assert command.create == ("ollama", "create", "tiny-v2.q4_1", "-f", str(recipe))
    assert command.load == ("ollama", "run", "tiny-v2.q4_1", "")
    assert command.model == "tiny-v2.q4_1"
    assert command.files == {recipe: f"FROM {gguf.source}\nPARAMETER repeat_penalty 1\n"}
    assert command.env == {
        "OLLAMA_HOST": "127.0.0.1:8123",
        "OLLAMA_MODELS": str(cache / "ollama" / "models"),
        "OLLAMA_CONTEXT_LENGTH": "1000",
        "OLLAMA_NUM_PARALLEL": "6",
        "OLLAMA_MAX_QUEUE": "4096",
    }
    assert not recipe.exists()  # written when it is started
    own = made("ollama", gguf, AS_STORED, program=("/opt/ollama",))
    assert {words[0] for words in (own.words, own.create, own.load)} == {"/opt/ollama"}


def test_ollama_keeps_keys_and_values_in_its_own_types(cache: Path, gguf: Model) -> None:
    kept = made("ollama", gguf, Packed(name="gguf", kv_cache=KvCache(format="int8"))).env
    assert (kept["OLLAMA_KV_CACHE_TYPE"], kept["OLLAMA_FLASH_ATTENTION"]) == ("q8_0", "1")
    with pytest.raises(UnsupportedError, match="int2"):
        made("ollama", gguf, Checkpoint(name="checkpoint", kv_cache=KvCache(format="int2")))
    with pytest.raises(UnsupportedError, match="have no nf4"):
        made("ollama", gguf, FourBit(name="nf4"))


def test_ollama_takes_no_checkpoint_as_it_is_stored(cache: Path, folder: Model) -> None:
    with pytest.raises(UnsupportedError, match="reads GGUF files"):
        made("ollama", folder, AS_STORED)


@pytest.fixture
def stand_in(tmp_path: Path) -> tuple[str, ...]:
    program = tmp_path / "ollama"
    program.write_text(OLLAMA.replace("{python}", sys.executable))
    program.chmod(0o755)
    return (str(program),)


def test_the_model_is_created_and_loaded_before_the_first_request(
    cache: Path, gguf: Model, stand_in: tuple[str, ...], tmp_path: Path
) -> None:
    choice = ManagedServer(engine="ollama", command=stand_in, start_timeout_s=20, env={"OLLAMA_SCHED_SPREAD": "1"})
    with start(choice, gguf, AS_STORED, tmp_path / "log", lambda _: None, streams=3) as server:
        port = int(server.base_url.split(":")[2].removesuffix("/v1"))
        answer = get("127.0.0.1", port, "/told")
        assert answer is not None
        told = json.loads(answer.body)
        name = "tiny-v2.q4_1"
        recipe = f"FROM {gguf.source}\nPARAMETER repeat_penalty 1\n"
        assert told["steps"] == [["create", name, recipe], ["run", name, ""]]
        assert told["env"]["OLLAMA_HOST"] == f"127.0.0.1:{port}"
        assert told["env"]["OLLAMA_NUM_PARALLEL"] == "3"
        assert told["env"]["OLLAMA_KEEP_ALIVE"] == "-1"
        assert told["env"]["OLLAMA_SCHED_SPREAD"] == "1"
        assert server.model == name
        assert server.metrics_path is None
        assert server.facts.version == "0.99"
        assert server.facts.weights_bytes == 4
        assert server.facts.weights_id is not None
        assert server.facts.load_s > 0
    assert not server.is_alive()


@pytest.mark.parametrize(
    ("mood", "error", "said"),
    [
        (
            "refuse",
            ServerDiedError,
            r"ollama: ollama create failed \(exit code 1\): .*unsupported architecture in model",
        ),
        ("hang", NeverReadyError, r"ollama: ollama create was not done after 2 s; raise start_timeout_s"),
    ],
)
def test_a_model_that_cannot_be_created_ends_the_server(
    mood: str,
    error: type[Exception],
    said: str,
    cache: Path,
    gguf: Model,
    stand_in: tuple[str, ...],
    tmp_path: Path,
) -> None:
    choice = ManagedServer(engine="ollama", command=stand_in, start_timeout_s=2, env={"STAND_IN": mood})
    with pytest.raises(error, match=said) as caught:
        start(choice, gguf, AS_STORED, tmp_path / "log", lambda _: None)
    assert "/opt/secret" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_one_line(
    gguf: Model, stand_in: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    choice = ManagedServer(engine="ollama", command=stand_in)
    with pytest.raises(Exception, match="set BENCH_CACHE to another folder"):
        start(choice, gguf, AS_STORED, tmp_path / "log", lambda _: None)


def test_tensorrt_llm_s_command_and_settings(cache: Path, folder: Model) -> None:
    command = made("tensorrt-llm", folder, streams=512, longest_tokens=9000)
    (path,) = command.files
    assert command.words == (
        *("trtllm-serve", "serve", folder.source, "--host", "127.0.0.1", "--port", "8123", "--backend", "pytorch"),
        *("--max_batch_size", "512", "--max_num_tokens", "9000", "--max_seq_len", "9000"),
        *("--extra_llm_api_options", str(path)),
    )
    assert path.parent == cache / "servers"
    assert command.model is None
    hub = made("tensorrt-llm", Model(source="owner/name", revision="v2", trust_remote_code=True))
    assert hub.words[2] == "owner/name"
    assert hub.words[hub.words.index("--revision") + 1] == "v2"
    assert "--trust_remote_code" in hub.words


@pytest.mark.parametrize(
    ("precision", "settings"),
    [
        (BF16, {"dtype": "bfloat16"}),
        (Plain(name="fp16"), {"dtype": "float16"}),
        (
            Plain(name="bf16", kv_cache=KvCache(format="fp8")),
            {"dtype": "bfloat16", "kv_cache_config": {"dtype": "fp8"}},
        ),
    ],
)
def test_tensorrt_llm_gets_its_types_in_a_file(
    precision: Precision, settings: dict[str, object], cache: Path, folder: Model
) -> None:
    (text,) = made("tensorrt-llm", folder, precision).files.values()
    assert json.loads(text) == {"enable_iter_perf_stats": True, "return_perf_metrics": True, **settings}


@pytest.mark.parametrize(
    ("precision", "remedy"),
    [
        (Plain(name="fp32"), "use fp16 or bf16"),
        (Int8(name="int8"), "already quantised"),
        (FourBit(name="nf4"), "already quantised"),
        (AS_STORED, "name a precision"),
        (Plain(name="bf16", kv_cache=KvCache(format="int8")), "use kv-fp8"),
    ],
)
def test_what_tensorrt_llm_is_not_asked_for(precision: Precision, remedy: str, cache: Path, folder: Model) -> None:
    with pytest.raises(UnsupportedError) as caught:
        made("tensorrt-llm", folder, precision)
    assert remedy in caught.value.remedy


def test_tensorrt_llm_serves_what_is_quantised_and_no_gguf(cache: Path, folder: Model, gguf: Model) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    (Path(folder.source) / "config.json").write_text(json.dumps(config))
    (text,) = made("tensorrt-llm", folder, Packed(name="awq")).files.values()
    assert "dtype" not in json.loads(text)
    with pytest.raises(UnsupportedError, match="GGUF"):
        made("tensorrt-llm", gguf)


def test_tensorrt_llm_s_counters_are_understood() -> None:
    page = (
        "# TYPE trtllm_num_requests_running gauge\n"
        'trtllm_num_requests_running{model_name="tiny",engine_type="trtllm"} 3.0\n'
        "# TYPE trtllm_generation_tokens_total counter\n"
        'trtllm_generation_tokens_total{model_name="tiny",engine_type="trtllm"} 640.0\n'
    )
    values = metrics.parsed(page)
    found = metrics.meanings(values)
    assert found == engines.find("tensorrt-llm").meanings
    assert found is not None
    assert metrics.total(values, found.running[0]) == 3
    assert metrics.total(values, found.generation_tokens[0]) == 640


def test_tgi_and_sglang_keep_keys_and_values_as_fp8(folder: Model) -> None:
    kept = Plain(name="bf16", kv_cache=KvCache(format="fp8"))
    assert made("tgi", folder, kept).words[-4:] == ("--dtype", "bfloat16", "--kv-cache-dtype", "fp8_e4m3fn")
    assert "fp8_e4m3" in made("sglang", folder, kept).words
