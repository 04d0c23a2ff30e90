"""llama.cpp in process: what it cannot load or do is said in one line, and no option is ignored."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from bench import runners
from bench.errors import DoesNotFitError, InputError, UnsupportedError
from bench.gguf_files import tools
from bench.plan import read
from bench.runners import llama_cpp
from bench.runners.llama_cpp import engine, library, structs
from bench.runners.llama_cpp.options import Options
from bench.sensors import environment
from tests.commands import ROOT
from tests.llama import generated, needs_wheel, runner_of, tiny_file

pytestmark = needs_wheel


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_file(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> llama_cpp.LlamaCppRunner:
    runner = runner_of(tiny)
    runner.load()
    return runner


def test_files_that_cannot_be_loaded_say_why(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    (tmp_path / "short.gguf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nonsense.gguf").write_bytes(whole.replace(b"llama", b"nonse"))
    (tmp_path / "text.gguf").write_text("no GGUF file at all")
    for name, reason in (
        ("short", "cut|short|truncated"),
        ("nonsense", "unknown model architecture: 'nonse'"),
        ("text", "GGUF"),
    ):
        with pytest.raises(UnsupportedError, match=reason) as caught:
            runner_of(tmp_path / f"{name}.gguf").load()
        assert "\n" not in str(caught.value)
        assert caught.value.remedy


def test_llama_cpps_own_reason_reaches_the_row(tiny: Path, tmp_path: Path, loaded: llama_cpp.LlamaCppRunner) -> None:
    """Where the header reads well and the file ends too early for llama.cpp alone."""
    (tmp_path / "short.gguf").write_bytes(tiny.read_bytes()[:-5000])
    model = loaded._loaded()
    with pytest.raises(UnsupportedError, match=r"within the file bounds.*fetch it again"):
        engine.Model(model.library, tmp_path / "short.gguf", Options())
    with pytest.raises(UnsupportedError, match="n_seq_max must be <= 256"):
        generated(loaded, [[1]] * 257, 1)
    assert isinstance(engine._refused("no context", "failed to allocate buffer of 9 GiB", "x"), DoesNotFitError)
    assert loaded.out_of_memory(engine.EngineError("llama_decode gave -2: failed to allocate compute buffers"))
    assert not loaded.out_of_memory(engine.EngineError("llama_decode gave 1: no slot"))


def test_a_missing_wheel_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    monkeypatch.setattr(library, "find_spec", lambda _: None)
    with pytest.raises(UnsupportedError, match=r"not installed: pip install 'llm-cost-bench\[llamacpp\]'"):
        runner_of(tiny).load()
    bare = environment.detect().model_copy(update={"packages": {}})
    said = llama_cpp.LlamaCppRunner.precisions(bare)["q4_k_m"]
    assert said is not None
    assert "pip install" in said


def test_a_build_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    here = environment.detect()
    lack = llama_cpp.LlamaCppRunner.lacking(Options(library=f"{tmp_path}/build"), here)
    assert lack is not None
    assert lack[0] == f"library: {tmp_path}/build is no file and no folder with libllama{library.SUFFIX}"
    assert llama_cpp.LlamaCppRunner.lacking(Options(), here) is None


def test_a_wrong_library_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / f"libllama{library.SUFFIX}").write_text("no library")
    libc = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    for given, reason in (
        (tmp_path, "cannot be loaded"),
        (tmp_path / "none", "no folder with libllama"),
        (libc, "lacks llama_"),
    ):
        with pytest.raises(UnsupportedError, match=reason) as caught:
            runner_of(tiny, library=str(given)).load()
        assert "\n" not in str(caught.value)


def test_another_layout_is_refused() -> None:
    """What a library would give whose parameters have a field more in the middle."""
    known = library.find(None).call
    model, context = known.llama_model_default_params(), known.llama_context_default_params()
    assert structs.context_layout(model, context, "this") in structs.LAYOUTS
    moved = type(context).from_buffer_copy(bytes(4) + bytes(context)[:-4])
    with pytest.raises(UnsupportedError, match=r"that build lays out .* than llama.cpp's builds .* \(n_ctx, "):
        structs.context_layout(model, moved, "that build")
    model.split_mode = 0
    with pytest.raises(UnsupportedError, match="split_mode"):
        structs.context_layout(model, context, "that build")


@pytest.mark.parametrize(
    "options",
    [{"gpu_layers": 4}, {"main_gpu": 1, "split_mode": "none"}, {"tensor_split": [1, 1]}, {"offload_kqv": True}],
)
def test_options_of_gpus_are_refused_where_there_is_none(options: dict[str, Any], tiny: Path) -> None:
    if library.find(None).gpus():
        pytest.skip("this build has a GPU")
    with pytest.raises(UnsupportedError, match="has no GPU here"):
        runner_of(tiny, **options).load()


def test_more_gpus_than_there_are() -> None:
    two = SimpleNamespace(
        version="that build", gpus=lambda: [SimpleNamespace(name="CUDA0"), SimpleNamespace(name="CUDA1")]
    )
    for options in (Options(main_gpu=2, split_mode="none"), Options(tensor_split=(1, 1, 1))):
        with pytest.raises(UnsupportedError, match=r"3 GPUs are asked for, and there are 2 \(CUDA0, CUDA1\)"):
            engine._check_devices(two, options)  # type: ignore[arg-type]
    engine._check_devices(two, Options(tensor_split=(3, 1)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ubatch": 4096}, "ubatch is a part of batch"),
        ({"gpu_layers": 0, "main_gpu": 0}, "main_gpu does nothing"),
        ({"split_mode": "none", "tensor_split": [1, 1]}, "tensor_split does nothing"),
        ({"main_gpu": 1}, "main_gpu does nothing"),
        ({"tensor_split": [0, 0]}, "not all 0"),
        ({"treads": 2}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Options.model_validate(options)


def test_options_as_a_config_has_them(tmp_path: Path) -> None:
    """YAML reads `on` as true; shares of GPUs are a list, which is no dimension of the matrix."""
    config = tmp_path / "config.yaml"
    runner = "{name: llama.cpp, flash_attention: [on, off, auto], tensor_split: SHARES}"
    work = "workloads: {batch_size: 1, input_tokens: 8, output_tokens: 4}"
    for shares, wanted in (("[3, 1]", [[3, 1]]), ("[[3, 1], [1, 1]]", [[3, 1], [1, 1]])):
        text = f"models: shape:smollm2-135m\nprecisions: bf16\nrunners: {runner.replace('SHARES', shares)}\n{work}\n"
        config.write_text(text)
        found = [choice.options for choice in read.sweep(config).runners]
        assert [(one["flash_attention"], one["tensor_split"]) for one in found] == [
            (attention, split) for attention in ("on", "off", "auto") for split in wanted
        ]
    config.write_text(text.replace("[[3, 1], [1, 1]]", "[]"))
    with pytest.raises(InputError, match=r"runners\.tensor_split: empty list"):
        read.sweep(config)


def test_the_runner_is_light_to_import() -> None:
    code = "import sys; from bench import runners; runners.find('llama.cpp'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"xllamacpp", "numpy", "torch", "gguf"} & set(done.stdout.split())


def test_every_precision_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    found = llama_cpp.LlamaCppRunner.precisions(environment.detect(("xllamacpp",)))
    assert found["bf16"] is None
    assert found["checkpoint"] is None
    assert found["nf4"] is not None
    monkeypatch.setattr(tools, "quantize", lambda: None)
    said = llama_cpp.LlamaCppRunner.precisions(environment.detect(("xllamacpp",)))
    assert said["q8_0"] is None
    assert "llama-quantize" in (said["iq3_s"] or "")
    assert "importance matrix" in (said["iq2_xs"] or "")
    assert "llama.cpp" in runners.names()
