"""Each engine's command line from model, precision and the user's own words; what cannot work is said beforehand."""

import json
import sys
from pathlib import Path

import pytest

from bench.errors import UnsupportedError
from bench.plan import expand, read
from bench.schema import (
    Checkpoint,
    FourBit,
    Fp8,
    Hqq,
    Int8,
    KvCache,
    ManagedServer,
    Model,
    Packed,
    Plain,
    Precision,
    Quanto,
    Served,
    TorchAo,
)
from bench.servers import commands, engines, llama_cpp, weights
from bench.servers.engine import Command, Launch
from tests.commands import ROOT

BF16 = Plain(name="bf16")
AS_STORED = Checkpoint(name="checkpoint")
HUB = Model(source="owner/name", revision="v2")


@pytest.fixture
def folder(tmp_path: Path) -> Model:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"weights")
    return Model(source=str(tmp_path / "tiny"))


@pytest.fixture
def gguf(tmp_path: Path) -> Model:
    (tmp_path / "tiny-q8.gguf").write_bytes(b"GGUF")
    return Model(source=str(tmp_path / "tiny-q8.gguf"))


def made(engine: str, model: Model, precision: Precision = BF16, **said: object) -> Command:
    """The command without looking whether its program is installed."""
    launch = Launch(weights.find(model, print), precision, 8123, **said)  # type: ignore[arg-type]
    return engines.find(engine).command(launch)


def after(command: Command, option: str) -> str:
    return command.words[command.words.index(option) + 1]


@pytest.mark.parametrize("engine", ["transformers", "vllm", "sglang", "tgi"])
def test_commands_name_model_host_port_and_precision(engine: str, folder: Model) -> None:
    command = made(engine, folder)
    assert "127.0.0.1" in command.words
    assert after(command, "--port") == "8123"
    assert after(command, "--dtype") == "bfloat16"
    assert command.model is not None
    assert "/" not in command.model
    if engine == "transformers":  # a request must name the model by the word of the command
        assert "tiny" in command.words
        assert command.folder == Path(folder.source).parent
    else:
        assert folder.source in command.words
    assert "--dtype" not in made(engine, folder, Served(name="served")).words


@pytest.mark.parametrize("engine", ["transformers", "vllm", "sglang", "tgi"])
def test_a_hub_id_goes_by_name_and_revision(engine: str) -> None:
    command = made(engine, HUB)
    if engine == "transformers":
        assert "owner/name@v2" in command.words
        assert command.model == "owner/name@v2"
    else:
        assert "owner/name" in command.words
        assert after(command, "--revision") == "v2"


@pytest.mark.parametrize(
    ("engine", "precision", "words"),
    [
        ("vllm", FourBit(name="nf4", double_quant=True), "--dtype bfloat16 --quantization bitsandbytes"),
        ("tgi", FourBit(name="fp4", double_quant=True, compute_dtype="fp16"), "--quantize bitsandbytes-fp4"),
        ("tgi", Int8(name="int8"), "--quantize bitsandbytes"),
        (
            "transformers",
            FourBit(name="nf4", double_quant=True, compute_dtype="fp32"),
            "--quantization bnb-4bit --dtype bfloat16",
        ),
        ("transformers", Int8(name="int8"), "--quantization bnb-8bit --dtype bfloat16"),
        ("vllm", Plain(name="fp32"), "--dtype float32"),
        ("vllm", Fp8(name="fp8"), "--dtype bfloat16 --quantization fp8_per_tensor"),
        ("sglang", Plain(name="fp16"), "--dtype float16"),
        ("vllm", Plain(name="bf16", kv_cache=KvCache(format="fp8")), "--dtype bfloat16 --kv-cache-dtype fp8"),
        ("sglang", Plain(name="bf16", kv_cache=KvCache(format="fp8")), "--kv-cache-dtype fp8_e4m3 --dtype bfloat16"),
    ],
)
def test_quantised_while_loading(engine: str, precision: Precision, words: str, folder: Model) -> None:
    assert " ".join(made(engine, folder, precision).words).endswith(words)


@pytest.mark.parametrize(
    ("engine", "precision", "remedy"),
    [
        ("vllm", FourBit(name="nf4"), "double_quant: true, compute_dtype: bf16"),
        ("vllm", FourBit(name="fp4", double_quant=True), "name: nf4"),
        ("vllm", Int8(name="int8"), "already quantised"),
        ("sglang", Fp8(name="fp8"), "already quantised"),
        ("sglang", FourBit(name="nf4", double_quant=True), "already quantised"),
        ("tgi", Plain(name="fp32"), "use fp16 or bf16"),
        ("tgi", Int8(name="int8", threshold=4), "leave threshold out"),
        ("transformers", FourBit(name="nf4"), "compute_dtype: fp32"),
        ("transformers", AS_STORED, "name a precision"),
        ("vllm", Hqq(name="hqq-int4"), "already quantised"),
        ("sglang", TorchAo(name="torchao-int8wo"), "already quantised"),
        ("tgi", Quanto(name="quanto-int8"), "already quantised"),
        ("transformers", TorchAo(name="torchao-fp8wo"), "already quantised"),
        ("vllm", Packed(name="awq"), "name a precision"),
        ("vllm", Plain(name="bf16", kv_cache=KvCache(format="int4")), "use kv-fp8"),
        ("tgi", Plain(name="bf16", kv_cache=KvCache(format="int4")), "use kv-fp8"),
        ("transformers", Plain(name="bf16", kv_cache=KvCache(format="int8")), "leave kv_cache out"),
        ("vllm", Packed(name="awq", backend="gemm"), "name a precision"),
    ],
)
def test_what_an_engine_cannot_do_has_a_remedy(engine: str, precision: Precision, remedy: str, folder: Model) -> None:
    with pytest.raises(UnsupportedError) as caught:
        made(engine, folder, precision)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("engine", ["transformers", "vllm", "sglang", "tgi"])
def test_a_stored_format_is_served_under_its_name(engine: str, folder: Model) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    (Path(folder.source) / "config.json").write_text(json.dumps(config))
    assert "--dtype" not in made(engine, folder, Packed(name="awq")).words
    with pytest.raises(UnsupportedError, match="quantised with awq, not with gptq") as caught:
        made(engine, folder, Packed(name="gptq"))
    assert caught.value.remedy == "use precision: awq"
    with pytest.raises(UnsupportedError, match="chooses its own kernel"):
        made(engine, folder, Packed(name="awq", backend="gemm"))


def test_llama_cpp_keeps_keys_and_values_in_its_own_types(gguf: Model) -> None:
    command = made("llama.cpp", gguf, Packed(name="gguf", kv_cache=KvCache(format="int8")))
    assert after(command, "--cache-type-k") == after(command, "--cache-type-v") == "q8_0"
    assert after(command, "--flash-attn") == "on"
    assert "--cache-type-k" not in made("llama.cpp", gguf, AS_STORED).words
    with pytest.raises(UnsupportedError, match="int2"):
        made("llama.cpp", gguf, Checkpoint(name="checkpoint", kv_cache=KvCache(format="int2")))
    with pytest.raises(UnsupportedError, match="in its own way"):
        made("llama.cpp", gguf, Checkpoint(name="checkpoint", kv_cache=KvCache(format="int4", group_size=32)))
    with pytest.raises(UnsupportedError, match="GGUF files, which have no gptq"):
        made("llama.cpp", gguf, Packed(name="gptq"))


def test_a_checkpoint_that_is_quantised_is_served_as_it_is_stored(folder: Model) -> None:
    settings = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    (Path(folder.source) / "config.json").write_text(json.dumps(settings))
    assert "--dtype" not in made("vllm", folder, AS_STORED).words
    with pytest.raises(UnsupportedError, match=r"already quantised \(awq\)"):
        made("vllm", folder)


def test_files_that_an_engine_cannot_read(folder: Model, gguf: Model, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"serve them with llama\.cpp"):
        made("vllm", gguf)
    with pytest.raises(UnsupportedError, match="reads GGUF files"):
        made("llama.cpp", folder, AS_STORED)
    for engine in ("llama.cpp", "vllm"):
        with pytest.raises(UnsupportedError, match="no model is named"):
            made(engine, Model(source="served"), Served(name="served"))
    with pytest.raises(UnsupportedError, match="random weights"):
        made("sglang", Model(source="shape:pythia-70m"))
    with pytest.raises(UnsupportedError, match=r"hf download owner/name x\.gguf"):
        made("llama.cpp", Model(source="owner/name", gguf_file="x.gguf"), AS_STORED)
    odd = tmp_path / "a@b"
    Path(folder.source).rename(odd)
    with pytest.raises(UnsupportedError, match="rename the folder"):
        made("transformers", Model(source=str(odd)))


def test_llama_cpp_divides_its_context_among_its_slots(gguf: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    command = made("llama.cpp", gguf, AS_STORED, streams=6, longest_tokens=1000)
    assert command.words[:3] == (sys.executable, "-m", "bench.servers.xllamacpp_main")
    assert after(command, "--model") == gguf.source
    assert after(command, "--alias") == command.model == "tiny-q8"
    assert after(command, "--parallel") == "6"
    assert after(command, "--ctx-size") == "6000"
    assert after(command, "--cache-ram") == "0"
    assert command.version is not None
    assert command.version.startswith("xllamacpp ")
    told = made("llama.cpp", gguf, AS_STORED, args=("-np", "2", "--parallel=16"), longest_tokens=1000)
    assert after(told, "--ctx-size") == "16000"
    with pytest.raises(UnsupportedError, match="which have no int8"):
        made("llama.cpp", gguf, Int8(name="int8"))


def test_llama_server_on_the_path_or_named_comes_before_the_wheel(
    gguf: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, options in (("llama-server", "--cache-ram N"), ("old-server", "--model FNAME")):
        binary = tmp_path / name
        binary.write_text(f"#!/bin/sh\necho '{options}'\n")
        binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    command = made("llama.cpp", gguf, AS_STORED)
    assert command.words[0] == str(tmp_path / "llama-server")
    assert after(command, "--cache-ram") == "0"
    named = made("llama.cpp", gguf, AS_STORED, program=(str(tmp_path / "old-server"),))
    assert named.words[0].endswith("old-server")
    assert "--cache-ram" not in named.words  # it would not start with an option that it does not know


def test_an_engine_that_is_not_installed_says_how_to_get_it(
    gguf: Model, folder: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(llama_cpp, "find_spec", lambda _: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'llm-cost-bench\[llamacpp\]'"):
        made("llama.cpp", gguf, AS_STORED)
    launch = Launch(weights.find(folder, print), BF16, 8123)
    with pytest.raises(UnsupportedError, match="vllm is not installed: install vllm"):
        commands.made(engines.find("vllm"), ManagedServer(engine="vllm"), launch)
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(UnsupportedError, match=r"package uvicorn: pip install 'llm-cost-bench\[serve\]'"):
        commands.made(engines.find("transformers"), ManagedServer(engine="transformers"), launch)


def test_a_program_takes_the_engine_s_arguments_and_a_whole_command_does_not(folder: Model) -> None:
    launch = Launch(weights.find(folder, print), BF16, 8123, (sys.executable,), ("--seed", "1"))
    program = ManagedServer(engine="vllm", command=(sys.executable,), args=("--seed", "1"))
    command = commands.made(engines.find("vllm"), program, launch)
    assert command.words[:3] == (sys.executable, "serve", folder.source)
    assert command.words[-2:] == ("--seed", "1")
    whole = ManagedServer(engine="vllm", command=("sh", "-c", "run {model} {host}:{port} {other}"))
    command = commands.made(engines.find("vllm"), whole, launch)
    assert command.words == ("sh", "-c", f"run {folder.source} 127.0.0.1:8123 {{other}}")


def test_weights_are_identified_by_the_files_that_are_served(folder: Model, gguf: Model) -> None:
    launch = Launch(weights.find(folder, print), BF16, 8123)
    name, size = commands.identity(launch, ("vllm", "serve", folder.source))
    assert size == len(b"weights")
    assert name is not None
    assert name.startswith("edges-sha256:")
    assert commands.identity(launch, ("serve", "another")) == (None, None)
    (Path(folder.source) / "model.safetensors").write_bytes(b"changed")
    assert commands.identity(launch, ("vllm", "serve", folder.source))[0] != name
    launch = Launch(weights.find(gguf, print), AS_STORED, 8123)
    assert commands.identity(launch, ("llama-server", "-m", gguf.source))[1] == 4
    launch = Launch(weights.find(HUB, print), BF16, 8123)
    assert commands.identity(launch, ("vllm", "serve", "owner/name")) == (None, None)  # not in this machine's cache


def test_the_commands_in_the_documentation_are_those_that_are_run(
    folder: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\necho --cache-ram\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    text = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    for name, engine in engines.ENGINES.items():
        if name == "command":
            continue
        gguf = name in ("llama.cpp", "ollama")
        model = Model(source=str(tmp_path / "tiny.gguf")) if gguf else folder
        words = list(commands.shown(made(name, model, AS_STORED if gguf else BF16).words))
        shown = " ".join(words).replace(f"{Path(sys.executable).name} -m transformers.cli.transformers", "transformers")
        assert f"| `{name}` | `{shown}` | `{engine.health_path}` |" in text


@pytest.mark.parametrize(("name", "loads"), [("serving", ["closed", "closed"]), ("find-max", ["poisson"])])
def test_the_configs_start_an_engine_that_serves_their_model(
    name: str, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    sweep = read.sweep(ROOT / "configs" / f"{name}.yaml")
    cells = list(expand.cells(sweep))
    assert [cell.traffic.load for cell in cells if cell.traffic is not None] == loads
    assert len(sweep.slo) == 2
    for cell in cells:
        asked = ManagedServer.model_validate(cell.runner.options["server"])
        assert made(asked.engine, cell.model, cell.precision).model == "smollm2-135m"


def test_every_engine_has_a_way_to_be_had_and_a_health_path() -> None:
    for name, engine in engines.ENGINES.items():
        assert engine.name == name
        assert engine.install
        assert engine.health_path.startswith("/")
        if engine.meanings is not None:
            assert all(metric.startswith(engine.meanings.prefix) for metric in engine.meanings.names())
