"""GGUF files that are made here: held against llama.cpp's own code, loaded by its server; and their bits and bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from bench.errors import UnsupportedError
from bench.gguf_files import blocks, header, made, make, mixture, shapes, tools, types, ways
from bench.metrics import footprint, gguf_bits, roofline
from bench.models import catalogue
from bench.plan import precisions
from bench.schema import PRECISIONS, Model, ModelFacts, Precision, Workload
from bench.servers import weights as files
from bench.servers.start import start
from tests.commands import ROOT
from tests.gguf_samples import SHAPE, written


def precision(name: str) -> Precision:
    return PRECISIONS[name].model_validate({"name": name})  # type: ignore[return-value]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("tiny") / "tiny.gguf", tied=False)


@pytest.fixture(autouse=True)
def _no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and none of llama.cpp's programs that this machine may have."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(tools.FOLDERS, raising=False)
    monkeypatch.setattr(tools, "shutil", SimpleNamespace(which=lambda _: None))


def quiet(_: str) -> None:
    return None


def random_file(folder: Path, shape: dict[str, Any], name: str) -> Path:
    """Random weights, written in this process: what the tests of figures need is the file."""
    path = folder / f"{name}.gguf"
    make.random_weights(shape, name, path)
    return path


@pytest.mark.parametrize("name", ["q8_0", "bf16", "fp32"])
def test_a_file_at_another_precision_keeps_everything_else(name: str, tiny: Path) -> None:
    wanted = made.wanted(tiny, precision(name), shape=None, name="a model/of mine")
    assert not wanted.is_source
    assert not wanted.is_ready
    wanted.path.parent.mkdir(parents=True)
    make.requantised(tiny, name, wanted.path)
    assert made.make(wanted, quiet) is False
    before, after = header.read(tiny), header.read(wanted.path)
    assert after.precision == name
    changed = {"general.file_type", "general.quantization_version"}
    assert {k: v for k, v in after.metadata.items() if k not in changed} == {
        k: v for k, v in before.metadata.items() if k not in changed
    }
    types_of = {one.name: one.type for one in after.tensors}
    kind = types.MOST_OF[name]
    assert {types_of[one.name] for one in after.tensors if len(one.shape) == 1} == {"F32"}
    assert {types_of[one.name] for one in after.tensors if len(one.shape) == 2} == {kind}
    own = {one.name: one for one in gguf.GGUFReader(tiny).tensors}
    for one in gguf.GGUFReader(wanted.path).tensors:
        values = gguf.quants.dequantize(own[one.name].data, own[one.name].tensor_type)
        whole = gguf.quants.quantize(values, one.tensor_type) if len(one.shape) == 2 else values
        assert one.data.tobytes() == whole.tobytes(), one.name


def test_the_model_s_own_file_is_taken_where_it_is_the_one(tiny: Path, tmp_path: Path) -> None:
    for name in ("checkpoint", "gguf", "served", "fp16"):
        found = made.wanted(tiny, precision(name), shape=None, name="x")
        assert (found.path, found.is_source, found.precision, found.notes) == (tiny, True, "fp16", ())
        assert made.make(found, quiet) is False
    packed = written(tmp_path / "packed.gguf", "Q4_0")
    (note,) = made.wanted(packed, precision("q8_0"), shape=None, name="x").notes
    assert "made of Q4_0, not of the original weights" in note
    copied = tmp_path / "copied.gguf"
    shutil.copy(tiny, copied)
    paths = {made.wanted(one, precision("q8_0"), shape=None, name="x").path for one in (tiny, copied, packed)}
    assert len(paths) == 2


def test_what_cannot_be_made_says_what_to_install(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="GGUF files, which have no nf4"):
        made.wanted(tiny, precision("nf4"), shape=None, name="x")
    with pytest.raises(UnsupportedError, match="importance matrix"):
        ways.steps(tiny, None, "iq2_xs")
    with pytest.raises(UnsupportedError, match=r"IQ3_S .* alone: put llama.cpp's llama-quantize on the PATH") as caught:
        ways.steps(tiny, None, "iq3_s")
    assert tools.FOLDERS in caught.value.remedy
    monkeypatch.setattr(ways, "find_spec", lambda name: None if name == "xllamacpp" else object())
    for name in ("q4_k_m", "q4_0"):  # whose output head is Q6_K
        with pytest.raises(UnsupportedError, match="pip install xllamacpp"):
            ways.steps(tiny, None, name)
    assert ways.steps(tiny, None, "q8_0")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(UnsupportedError, match=r"no \*\.safetensors"):
        made.wanted(folder, precision("q8_0"), shape=None, name="x")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "float16"}))
    with pytest.raises(UnsupportedError, match="no GGUF file"):
        made.wanted(folder, precision("checkpoint"), shape=None, name="x")
    with pytest.raises(UnsupportedError, match=r"convert_hf_to_gguf\.py, which is not here"):
        made.make(made.wanted(folder, precision("q8_0"), shape=None, name="x"), quiet)
    with pytest.raises(UnsupportedError, match="random weights and no stored precision"):
        made.wanted(None, precision("checkpoint"), shape=SHAPE, name="x")
    with pytest.raises(UnsupportedError, match="architecture 'mamba'"):
        ways.steps(None, {"model_type": "mamba"}, "q8_0")
    with pytest.raises(UnsupportedError, match="lacks 'hidden_size'"):
        ways.steps(None, {"model_type": "llama"}, "q8_0")


def test_llama_cpp_s_own_programs_are_run_with_their_own_words(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins for both programs: which words they get, what they leave, and what becomes of a refusal."""
    sources, bin_folder = tmp_path / "llama.cpp", tmp_path / "llama.cpp" / "build" / "bin"
    bin_folder.mkdir(parents=True)
    tool, script = bin_folder / tools.QUANTIZE, sources / tools.CONVERT
    tool.write_text(
        f'#!/bin/sh\necho "$4" > {tmp_path}/asked\n'
        '[ "$4" = IQ3_M ] || { echo "error: no $4"; exit 3; }\ncp "$2" "$3"\n'
    )
    tool.chmod(0o755)
    script.write_text(
        "import shutil, sys\nassert sys.argv[4:] == ['--outtype', 'f16'], sys.argv\n"
        f"shutil.copy({str(tiny)!r}, sys.argv[3])\n"
    )
    for named in (sources, bin_folder):
        monkeypatch.setenv(tools.FOLDERS, f"/nowhere{os.pathsep}{named}")
        assert (tools.quantize(), tools.convert()) == (tool, script)
    said: list[str] = []
    assert made.make(made.wanted(tiny, precision("iq3_m"), shape=None, name="x"), said.append)
    assert (tmp_path / "asked").read_text().strip() == "IQ3_M"
    with pytest.raises(UnsupportedError, match=r"llama-quantize, exit code 3\): error: no TQ2_0"):
        made.make(made.wanted(tiny, precision("tq2_0"), shape=None, name="x"), quiet)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "float16"}))
    assert made.make(made.wanted(folder, precision("q8_0"), shape=None, name="y"), said.append)
    assert [line.partition(" (")[0] for line in said[-2:]] == [
        "converting checkpoint to a GGUF file",
        "converting to Q8_0",
    ]
    assert header.read(made.wanted(folder, precision("q8_0"), shape=None, name="y").path).precision == "q8_0"
    assert {one.suffix for one in made.folder().iterdir()} == {".gguf", ".lock"}


def test_a_full_disk_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = made.wanted(tiny, precision("q8_0"), shape=None, name="x")
    with monkeypatch.context() as small:
        small.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        with pytest.raises(UnsupportedError, match=r"Q8_0.* could not be written in .* \(No space left"):
            made.make(wanted, quiet)
    full = ways.Step("", (sys.executable, "-c", "import sys; sys.exit('OSError 28')"))
    with monkeypatch.context() as small:
        small.setattr(ways, "steps", lambda *_: (full,))
        with pytest.raises(UnsupportedError, match=r"Q8_0.* could not be written in .* \(No space left"):
            made.make(wanted, quiet)
    half = ways.Step("", (sys.executable, "-c", "import sys; open(sys.argv[1], 'wb').write(b'GGUF')", ways.OUT))
    with monkeypatch.context() as small:
        small.setattr(ways, "steps", lambda *_: (half,))
        with pytest.raises(UnsupportedError, match="no whole GGUF file"):
            made.make(wanted, quiet)
    assert [one.suffix for one in made.folder().iterdir()] == [".lock"]
    assert made.make(wanted, quiet)


def test_one_makes_it_while_others_wait_and_a_killed_one_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    wanted = made.wanted(tiny, precision("q8_0"), shape=None, name="x")
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom bench.gguf_files import made, ways\n"
        "from bench.schema import PRECISIONS\n"
        "tiny, slow = Path(sys.argv[1]), len(sys.argv) > 2\n"
        "if slow:\n"
        '    late = \'import sys, time; open(sys.argv[1], "wb").write(b"GGUF"); time.sleep(60)\'\n'
        "    ways.steps = lambda *_: (ways.Step('', (sys.executable, '-c', late, ways.OUT)),)\n"
        "one = made.wanted(tiny, PRECISIONS['q8_0'].model_validate({'name': 'q8_0'}), shape=None, name='x')\n"
        "print(made.make(one, lambda line: None), flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tiny)]
    killed = subprocess.Popen([*command, "slow"], cwd=ROOT, start_new_session=True)
    deadline = time.time() + 60
    while not list(made.folder().glob(".*.gguf")) and time.time() < deadline:
        time.sleep(0.02)
    assert not wanted.is_ready
    two = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert sorted(one.communicate(timeout=120)[0].strip() for one in two) == ["False", "True"]
    assert header.read(wanted.path).precision == "q8_0"
    assert sorted(one.suffix for one in made.folder().iterdir()) == [".gguf", ".lock"]


OTHERS: dict[str, dict[str, Any]] = {
    "llama": SHAPE
    | {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
    },
    "qwen2": SHAPE | {"model_type": "qwen2", "tie_word_embeddings": True},
    "mixtral": SHAPE | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2},
    "gpt_neox": SHAPE | {"model_type": "gpt_neox"},
    "bloom": {"model_type": "bloom", "vocab_size": 512, "hidden_size": 256, "n_layer": 2, "n_head": 4},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_random_weights_have_the_parameters_of_the_shape(kind: str) -> None:
    plan = shapes.plan(OTHERS[kind])
    shape = footprint.shape(OTHERS[kind])
    assert shape is not None
    assert sum(np.prod(one.shape) for one in plan.tensors if "rope" not in one.name) == shape.parameters
    assert len({one.name for one in plan.tensors}) == len(plan.tensors)
    keys = shapes.vocabulary(512)
    assert len(set(keys["tokenizer.ggml.tokens"])) == len(keys["tokenizer.ggml.token_type"]) == 512


def test_without_the_wheel_numpy_packs_the_same(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it, without = tmp_path / "with.gguf", tmp_path / "without.gguf"
    make.requantised(tiny, "q8_0", with_it)
    monkeypatch.setattr(blocks, "library", lambda: None)
    make.requantised(tiny, "q8_0", without)
    assert with_it.read_bytes() == without.read_bytes()


def test_a_shape_s_file_is_read_back_with_its_sizes() -> None:
    wanted = made.wanted(None, precision("q8_0"), shape=OTHERS["llama"], name="tiny")
    said: list[str] = []
    assert made.make(wanted, said.append)
    assert "GB, kept in" in said[0]
    found = header.read(wanted.path)
    assert found.precision == "q8_0"
    assert found.has_tokenizer
    config = header.config(found)
    assert {key: config[key] for key in SHAPE} == SHAPE
    factors = next(one for one in gguf.GGUFReader(wanted.path).tensors if one.name == "rope_freqs.weight").data
    assert len(factors) == 32
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert list(factors) == sorted(factors)


def server_answers(model: Model, name: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import httpx

    from bench.schema import ManagedServer

    pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")
    choice = ManagedServer(engine="llama.cpp", args=("--threads", "1"))
    with start(choice, model, precision(name), log, quiet, streams=1, longest_tokens=64) as running:
        body = {"prompt": [5, 6, 7, 8], "max_tokens": 3, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        answer = httpx.post(f"{running.base_url}/completions", json=body, timeout=60)
        return running.facts, answer.json()


def test_llama_cpp_s_server_loads_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(OTHERS["llama"]))
    facts, answer = server_answers(Model(source=f"shape:{config}"), "q4_k_m", tmp_path / "log", monkeypatch)
    assert answer["usage"]["completion_tokens"] == 3
    (path,) = made.folder().glob("*.gguf")
    assert facts.weights_bytes == path.stat().st_size
    assert facts.weights_id is None
    assert header.read(path).types.keys() == {"Q4_K", "Q6_K", "F32"}


def test_a_made_file_s_weights_are_named_by_what_it_was_made_of(tiny: Path, tmp_path: Path) -> None:
    from bench.servers import gguf as served

    found = files.find(Model(source=str(tiny)), quiet)
    own = files.identity(found, tiny)
    ready = served.prepared(found, precision("q8_0"), quiet)
    assert ready.gguf is not None
    assert files.identity(ready, ready.gguf) == (own[0], ready.gguf.stat().st_size)
    assert served.path(ready, precision("q8_0"), "llama.cpp") == ready.gguf
    assert served.path(found, precision("q8_0"), "llama.cpp") == ready.gguf
    assert served.prepared(found, precision("checkpoint"), quiet) is found


def test_names_are_read_as_people_write_them() -> None:
    for name, number in (("Q4_K_M", 15), ("q4_k", 15), ("F16", 1), ("BF16", 32), ("f32", 0), ("IQ4_XS", 30)):
        point, wrong = precisions.spelt({"name": name})
        assert wrong is None
        assert types.FILE_TYPES[str(point["name"])] == number
    assert precisions.spelt({"name": "Q8_0+kv-int8"})[0] == {"name": "q8_0", "kv_cache": {"format": "int8"}}
    assert "or 'q4_k_m'" in str(precisions.spelt({"name": "Q4_K_N"})[1])
    assert "unknown precision 'BNB'" in str(precisions.spelt({"name": "BNB"})[1])


def facts_of(path: Path) -> tuple[footprint.Shape, ModelFacts]:
    own = header.read(path)
    shape = footprint.shape(header.config(own))
    assert shape is not None
    return shape, ModelFacts(
        parameters=own.parameters, weights_bytes=own.weights_bytes, vocab_size=512, dtype="Q8_0", device="cpu"
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_bits_and_bytes_of_a_level_are_those_of_its_file(name: str, tied: bool, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the output head's Q6_K is packed by the wheel of the extra llamacpp")
    path = random_file(tmp_path, SHAPE | {"tie_word_embeddings": tied}, name)
    own = header.read(path)
    shape, facts = facts_of(path)
    level = precision(name)
    assert footprint.weights_bytes(shape, level) == own.weights_bytes
    assert footprint.level_bits(shape, facts, level) == own.matrix_bits == gguf_bits.BLOCK_BITS[name]
    table = own.tensor("token_embd.weight")
    assert table is not None
    read = own.weights_bytes - (0 if tied else table.bytes)
    for one in (level, precision("checkpoint")):
        assert roofline.read_bytes(shape, facts, one, 1) == read
        assert roofline.product_type(one, facts) == "int8"
    assert (
        footprint.needed(
            shape, precision("checkpoint"), Workload(batch_size=1, input_tokens=8, output_tokens=1)
        ).weights_bytes
        == own.weights_bytes
    )


def test_only_the_experts_that_tokens_are_sent_to_are_read(tmp_path: Path) -> None:
    path = random_file(tmp_path, OTHERS["mixtral"], "fp16")
    shape, facts = facts_of(path)
    few, all_of_them = (roofline.read_bytes(shape, facts, precision("q8_0"), tokens) for tokens in (1, 10_000))
    own = header.read(path)
    table = own.tensor("token_embd.weight")
    assert table is not None
    assert all_of_them == pytest.approx(own.weights_bytes - table.bytes, rel=1e-6)
    expert_bytes = 2 * 6 * 3 * 256 * 512 * 2
    assert all_of_them - few == pytest.approx(expert_bytes, rel=0.01)


def test_the_mixtures_of_an_8b_are_as_large_as_llama_cpp_says() -> None:
    plan = shapes.plan(catalogue.shapes()["llama-3.1-8b"])
    for name in mixture.MADE_HERE:
        if name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"):
            continue
        found = mixture.targets(plan.tensors, name, plan.sizes)
        values = sum(np.prod(one.shape) for one in found)
        size = sum(types.BY_NAME[one.type].bytes_of(int(np.prod(one.shape))) for one in found)
        assert 8 * size / values == pytest.approx(gguf_bits.MIXTURE_BITS[name], rel=0.02), name


@pytest.mark.slow
def test_files_are_byte_for_byte_those_of_llama_quantize(tmp_path: Path) -> None:
    tool = os.environ.get("LLAMA_QUANTIZE")
    if tool is None:
        pytest.skip("name llama.cpp's own program in LLAMA_QUANTIZE")
    pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")
    for source in (written(tmp_path / "tied.gguf"), written(tmp_path / "packed.gguf", "Q8_0", tied=False)):
        for name in (*types.PLAIN, *mixture.MADE_HERE):
            theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
            words = (tool, "--allow-requantize", str(source), str(theirs), types.quantise_name(name))
            subprocess.run(words, check=True, capture_output=True)
            make.requantised(source, name, ours)
            own, other = header.read(ours), header.read(theirs)
            assert [(one.name, one.type) for one in own.tensors] == [(one.name, one.type) for one in other.tensors]
            assert own.metadata == other.metadata
            for one, two in zip(own.tensors, other.tensors, strict=True):
                place, size = slice(one.offset, one.offset + one.bytes), slice(two.offset, two.offset + two.bytes)
                assert ours.read_bytes()[place] == theirs.read_bytes()[size], (name, one.name)
