"""The vLLM runner without vLLM: options, arguments, refusals; and with it, where an environment of its own is named.

BENCH_VLLM_PYTHON=/opt/vllm/bin/python pytest -m slow tests/test_vllm.py
"""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Literal

import psutil
import pytest
from pydantic import ValidationError

from bench import runners
from bench.errors import DoesNotFitError, InputError, UnsupportedError
from bench.execute import fit, interpreters
from bench.models import shape_folder
from bench.runners.vllm import VllmRunner, engine, levels, trouble, weights
from bench.runners.vllm.loop import Loop
from bench.runners.vllm.options import Options
from bench.schema import (
    PRECISIONS,
    Accelerator,
    Cell,
    Checkpoint,
    Environment,
    FourBit,
    Fp8,
    Gguf,
    Hqq,
    Int8,
    KvCache,
    Model,
    Packed,
    Plain,
    Precision,
    Quanto,
    RunnerChoice,
    TorchAo,
    TorchAoInt4,
    Workload,
)
from bench.schema.precision import GGUF_NAMES
from bench.servers import engines
from bench.servers import weights as served
from bench.servers.engine import Launch
from tests.commands import ROOT, bench, lines

BF16 = Plain(name="bf16")
GIB = 2**30
TINY: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}
TINY_PARAMETERS = 557_696


def machine(gpus: int = 0, memory_bytes: int | None = 80 * GIB, **packages: str) -> Environment:
    return Environment(
        bench_version="0",
        python="3.11",
        system="Linux",
        cpu_model="x",
        cpu_logical=8,
        cpu_usable=8,
        memory_total_bytes=64 * GIB,
        packages=packages,
        accelerators=tuple(Accelerator(name="H100", memory_bytes=memory_bytes) for _ in range(gpus)),
    )


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    return Model(source=f"shape:{tmp_path}/config.json")


def test_importing_it_imports_no_engine() -> None:
    code = "import sys; from bench import runners; runners.find('vllm'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"vllm", "torch", "transformers", "numpy", "huggingface_hub"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"executor": "uni", "tensor_parallel": 2}, "one worker, and 2 devices need one each"),
        ({"enforce_eager": True, "compilation_mode": "vllm_compile"}, "compiles nothing"),
        ({"enforce_eager": True, "cudagraph_mode": "full"}, "no CUDA graphs"),
        ({"kv_cache_gib": 4, "gpu_memory_utilization": 0.9}, "leave gpu_memory_utilization out"),
        ({"threads": 2, "cpu_bind": "0-1", "executor": "mp"}, "leave threads out"),
        ({"max_num_batched_tokens": 8, "max_num_seqs": 16}, "cannot hold a token of each of 16 rows"),
        ({"chunked_prefill": False, "max_num_batched_tokens": 512, "max_model_len": 1024}, "must fit into one step"),
        ({"cpu_bind": "0-1"}, "add executor: mp"),
        ({"cpu_bind": "0-1", "tensor_parallel": 2}, "1 lists of cores for 2 workers"),
        ({"cpu_bind": "all", "executor": "mp"}, "a list of cores"),
        ({"gpu_memory_utilization": 1.5}, "less than or equal to 1"),
        ({"load_format": "pt"}, "Input should be"),
        ({"swap_space": 4}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_contradict_each_other_are_refused(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Options.model_validate(said)


def test_every_option_has_a_description() -> None:
    assert all(field.description for field in Options.model_fields.values())


def test_what_nobody_chose_is_left_to_vllm(tiny: Model) -> None:
    asked = engine.arguments(tiny, Options(), on_cpu=False)
    assert asked == {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "distributed_executor_backend": "uni",
        "enable_prefix_caching": False,
        "enforce_eager": False,
        "cpu_offload_gb": 0.0,
        "trust_remote_code": False,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "disable_log_stats": True,
        "worker_extension_cls": "bench.runners.vllm.worker.Counts",
    }


def test_on_a_cpu_it_neither_compiles_nor_takes_all_memory(tiny: Model) -> None:
    asked = engine.arguments(tiny, Options(), on_cpu=True)
    assert asked["enforce_eager"] is True
    assert asked["kv_cache_memory_bytes"] == 4 * GIB
    chosen = engine.arguments(tiny, Options(gpu_memory_utilization=0.5, compilation_mode="dynamo_trace_once"), True)
    assert "kv_cache_memory_bytes" not in chosen
    assert chosen["enforce_eager"] is False
    assert chosen["compilation_config"] == {"mode": "DYNAMO_TRACE_ONCE"}


def test_options_reach_vllm_under_its_own_names(tiny: Model) -> None:
    options = Options(
        tensor_parallel=4,
        pipeline_parallel=2,
        max_model_len=4096,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        chunked_prefill=True,
        async_scheduling=False,
        prefix_caching=True,
        kv_cache_gib=1.5,
        block_size=32,
        cpu_offload_gib=2,
        enforce_eager=False,
        cudagraph_mode="full_decode_only",
        attention_backend="FLASHINFER",
    )
    asked = engine.arguments(tiny, options, on_cpu=False)
    assert options.devices == 8
    assert not options.in_process
    assert asked["tensor_parallel_size"] == 4
    assert asked["pipeline_parallel_size"] == 2
    assert asked["distributed_executor_backend"] == "mp"
    assert asked["max_model_len"] == 4096
    assert asked["max_num_seqs"] == 64
    assert asked["max_num_batched_tokens"] == 8192
    assert asked["enable_chunked_prefill"] is True
    assert asked["async_scheduling"] is False
    assert asked["enable_prefix_caching"] is True
    assert asked["kv_cache_memory_bytes"] == 3 * GIB // 2
    assert asked["block_size"] == 32
    assert asked["cpu_offload_gb"] == 2
    assert asked["compilation_config"] == {"cudagraph_mode": "FULL_DECODE_ONLY"}
    assert asked["attention_config"] == {"backend": "FLASHINFER"}


def test_pickled_weights_are_loaded_only_where_that_was_allowed() -> None:
    assert engine.load_format(Model(source="a/b"), Options()) == "safetensors"
    assert engine.load_format(Model(source="a/b", allow_pickle=True), Options()) == "auto"
    assert engine.load_format(Model(source="a/b"), Options(load_format="fastsafetensors")) == "fastsafetensors"


def test_more_devices_than_there_are_is_one_line_before_vllm_takes_its_time() -> None:
    options = Options(tensor_parallel=4)
    with pytest.raises(UnsupportedError) as caught:
        engine.check_devices(options, False, 2)
    assert caught.value.reason == "tensor_parallel 4 × pipeline_parallel 1 takes 4 devices, and there are 2 GPUs"
    assert VllmRunner.lacking(options, machine(2, vllm="0.32.0")) == (caught.value.reason, caught.value.remedy)
    assert VllmRunner.lacking(options, machine(4, vllm="0.32.0")) is None
    assert VllmRunner.lacking(options, machine(vllm="0.32.0+cpu")) is None  # eight cores
    engine.check_devices(options, False, 4)


def test_options_of_the_other_kind_of_device_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="threads does nothing on GPUs"):
        engine.check_devices(Options(threads=2), False, 1)
    with pytest.raises(UnsupportedError, match="cudagraph_mode does nothing on a CPU"):
        engine.check_devices(Options(cudagraph_mode="full"), True, 1)
    engine.check_devices(Options(cudagraph_mode="none", threads=2), True, 1)


def test_heads_and_layers_that_cannot_be_divided() -> None:
    with pytest.raises(UnsupportedError) as caught:
        engine.check_divides(Options(tensor_parallel=2), {"num_attention_heads": 9})
    assert "9 attention heads cannot be divided among 2" in caught.value.reason
    assert caught.value.remedy == "choose one of 1, 3, 9"
    with pytest.raises(UnsupportedError, match="2 layers cannot be divided among 4"):
        engine.check_divides(Options(pipeline_parallel=4), TINY)
    engine.check_divides(Options(tensor_parallel=2, pipeline_parallel=2), TINY)
    engine.check_divides(Options(tensor_parallel=2), {})


def test_cores_are_divided_among_workers() -> None:
    assert engine.bound([0, 1], 2, None) == "0|1"
    assert engine.bound([2, 3, 5, 7], 1, None) == "2,3,5,7"
    with pytest.raises(UnsupportedError, match="2 threads for each of 2 workers are more than the 2 cores"):
        engine.bound([0, 1], 2, 2)


def test_precisions_that_vllm_has_as_it_takes_them() -> None:
    assert levels.arguments(BF16, {}, False) == {"dtype": "bfloat16"}
    assert levels.arguments(Plain(name="fp32"), TINY, False) == {"dtype": "float32"}
    kept = Plain(name="fp16", kv_cache=KvCache(format="fp8"))
    assert levels.arguments(kept, {}, False) == {"dtype": "float16", "kv_cache_dtype": "fp8"}
    stored = {"quantization_config": {"quant_method": "awq"}}
    assert levels.arguments(Packed(name="awq"), stored, False) == {"dtype": "auto"}
    assert levels.arguments(Checkpoint(name="checkpoint"), stored, True) == {"dtype": "auto"}


@pytest.mark.slow  # it imports torch
def test_torchao_gets_the_configuration_that_the_runner_transformers_makes() -> None:
    pytest.importorskip("torchao")
    asked = levels.arguments(TorchAo(name="torchao-fp8dq"), {}, False)
    assert asked["quantization"] == "torchao"
    said = json.loads(asked["hf_overrides"]["quantization_config_dict_json"])
    assert said["_type"] == "Float8DynamicActivationFloat8WeightConfig"
    int4 = levels.arguments(TorchAoInt4(name="torchao-int4wo", group_size=128), {}, False)
    assert json.loads(int4["hf_overrides"]["quantization_config_dict_json"])["_data"]["group_size"] == 128


def test_nf4_is_bitsandbytes_where_its_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    nf4 = FourBit(name="nf4", double_quant=True)
    monkeypatch.setattr(levels, "_built_in", lambda _: False)
    with pytest.raises(UnsupportedError, match="vllm-bnb-plugin is not installed"):
        levels.arguments(nf4, {}, False)
    monkeypatch.setattr(levels, "find_spec", lambda _: object())
    assert levels.arguments(nf4, {}, False) == {"dtype": "bfloat16", "quantization": "bitsandbytes"}


def test_fp8_goes_by_the_name_that_this_vllm_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_built_in", lambda _: True)
    asked = levels.arguments(Fp8(name="fp8", kv_cache=KvCache(format="fp8")), {}, on_cpu=False)
    assert asked == {"dtype": "bfloat16", "quantization": "fp8_per_tensor", "kv_cache_dtype": "fp8"}
    assert levels.arguments(Fp8(name="fp8", scales="block"), {}, False)["quantization"] == "fp8_per_block"
    monkeypatch.setattr(levels, "_built_in", lambda _: False)
    assert levels.arguments(Fp8(name="fp8"), {}, False)["quantization"] == "fp8"
    with pytest.raises(UnsupportedError, match="no fp8 with a scale a channel"):
        levels.arguments(Fp8(name="fp8", scales="channel"), {}, False)
    monkeypatch.setattr(levels, "_has_amx", lambda: False)
    with pytest.raises(UnsupportedError, match="CPUs with AMX, which this one has not"):
        levels.arguments(Fp8(name="fp8"), {}, on_cpu=True)


@pytest.mark.parametrize(
    ("precision", "settings", "reason", "remedy"),
    [
        (FourBit(name="nf4"), {}, "with quantised scales alone", "double_quant: true"),
        (FourBit(name="fp4", double_quant=True), {}, "makes nf4", "nf4"),
        (Int8(name="int8"), {}, "makes none while it loads", "torchao-int8wo"),
        (Hqq(name="hqq-int4"), {}, "does not quantise to hqq-int4", "bf16"),
        (Quanto(name="quanto-int8"), {}, "does not quantise to quanto-int8", "bf16"),
        (Gguf(name="q4_k_m"), {}, "no GGUF files", "llama.cpp"),
        (Packed(name="awq", backend="gemm"), {}, "its own kernel", "leave backend out"),
        (Plain(name="bf16", kv_cache=KvCache(format="int4")), {}, "values as int4", "+kv-fp8"),
        (TorchAo(name="torchao-fp8dq"), {}, "GPUs from Ada", "torchao-int8wo"),
        (Checkpoint(name="checkpoint"), TINY, "not quantised", "bf16"),
        (BF16, {"quantization_config": {"quant_method": "gptq"}}, r"already quantised \(gptq\)", "checkpoint"),
        (Packed(name="awq"), {"quantization_config": {"quant_method": "gptq"}}, "with gptq, not with awq", "gptq"),
    ],
)
def test_what_vllm_cannot_do_has_a_remedy(
    precision: Precision, settings: dict[str, Any], reason: str, remedy: str
) -> None:
    with pytest.raises(UnsupportedError, match=reason) as caught:
        levels.arguments(precision, settings, on_cpu=True)
    assert remedy in caught.value.remedy


def test_the_doctor_hears_of_every_precision() -> None:
    absent = VllmRunner.precisions(machine(torch="2.13.0"))
    assert set(absent) == set(PRECISIONS)
    assert all("environment of its own" in (why or "") for why in absent.values())
    here = VllmRunner.precisions(machine(1, vllm="0.32.0", torchao="0.18.0"))
    assert {name for name, why in here.items() if why is None} == {
        *("bf16", "fp16", "fp32", "fp8", "gptq", "awq", "compressed-tensors"),
        *("torchao-int8wo", "torchao-int8dq", "torchao-int4wo", "torchao-fp8wo", "torchao-fp8dq"),
    }
    assert "vllm-bnb-plugin" in (here["nf4"] or "")
    assert all("llama.cpp" in (here[name] or "") for name in (*GGUF_NAMES, "gguf"))
    cpu = VllmRunner.precisions(machine(vllm="0.32.0+cpu"))
    assert cpu["bf16"] is None
    assert "Ada" in (cpu["torchao-fp8dq"] or "")
    assert "needs a GPU" in (VllmRunner.precisions(machine(vllm="0.32.0"))["bf16"] or "")


def test_room_is_that_of_the_devices_that_it_takes() -> None:
    here = machine(4, vllm="0.32.0")
    assert VllmRunner.room_bytes(Options(tensor_parallel=2), here) == int(2 * 80 * GIB * 0.92)
    assert VllmRunner.room_bytes(Options(gpu_memory_utilization=0.5), here) == 40 * GIB
    assert VllmRunner.room_bytes(Options(kv_cache_gib=1), here) == 80 * GIB
    assert VllmRunner.room_bytes(Options(tensor_parallel=8), here) is None
    assert VllmRunner.room_bytes(Options(cpu_offload_gib=8), here) is None
    assert VllmRunner.room_bytes(Options(), machine(1, None, vllm="0.32.0")) is None
    assert VllmRunner.room_bytes(Options(), machine(4, vllm="0.32.0+cpu")) == 64 * GIB


def test_what_cannot_fit_is_what_vllm_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A static batch needs its whole cache and the activations of a step; rows of a continuous one wait for room."""
    monkeypatch.setattr(interpreters, "problem", lambda _: None)
    monkeypatch.setattr(interpreters, "environment_of", lambda _: machine(1, vllm="0.32.0"))

    def status(rows: int, scheduling: Literal["static", "continuous"], **options: Any) -> str | None:
        work = Workload(batch_size=rows, input_tokens=1024, output_tokens=256, scheduling=scheduling)
        runner = RunnerChoice(name="vllm", options=options)
        cell = Cell(model=Model(source="shape:llama-3.1-8b"), precision=BF16, runner=runner, workload=work)
        found = fit.problem(cell)
        return None if found is None else found.status

    assert status(4096, "continuous") is None
    assert status(320, "static") is None  # 16.1 GB of weights, 53.7 of keys and values, 0.2 of a step
    assert status(512, "static") == "oom"
    assert status(320, "static", chunked_prefill=False) == "oom"  # 29.5 GB for all prompts at once


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "Value error, To serve at least one request with the models's max seq len (131072), (16.0 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (4.0 GiB). Try increasing it.",
            DoesNotFitError,
            "KV cache is needed, which is larger than",
        ),
        (
            "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.",
            DoesNotFitError,
            "cache",
        ),
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", DoesNotFitError, "CUDA out of memory"),
        (
            "1 validation error for VllmConfig Value error, Total number of attention heads (9) must be divisible by "
            "tensor parallel size (2). [type=value_error]",
            UnsupportedError,
            "vLLM: Total number of attention heads (9) must be divisible by tensor parallel size (2)",
        ),
        ("Model architectures ['X'] are not supported for now. Supported architectures: …", UnsupportedError, "['X']"),
    ],
)
def test_vllm_s_errors_become_typed_rows_of_one_line(said: str, kind: type[Exception], told: str) -> None:
    found = trouble.typed(ValueError(said))
    assert isinstance(found, kind)
    assert told in str(found)
    assert "\n" not in str(found)


def test_an_error_that_is_not_known_stays_what_it_is() -> None:
    error = RuntimeError("Engine core initialization failed")
    assert trouble.typed(error) is error
    runner = VllmRunner(Model(source="a/b"), BF16, Options())
    assert not runner.out_of_memory(error)
    error.__cause__ = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    assert runner.out_of_memory(error)
    assert runner.out_of_memory(MemoryError())


def test_only_workers_elsewhere_are_asked_what_they_allocated() -> None:
    model = Model(source="a/b")
    assert not isinstance(VllmRunner(model, BF16, Options()), runners.CountsDeviceMemory)
    assert isinstance(VllmRunner(model, BF16, Options(tensor_parallel=2)), runners.CountsDeviceMemory)
    assert isinstance(VllmRunner(model, BF16, Options(engine_process=True)), runners.CountsDeviceMemory)
    assert isinstance(VllmRunner(model, BF16, Options()), runners.Schedules)


def test_a_shape_is_a_folder_with_a_config_and_a_tokenizer_that_is_made_up(tiny: Model) -> None:
    folder = shape_folder.ensure(tiny)
    assert folder == shape_folder.ensure(tiny) == Path(weights.source(tiny)[0])
    assert json.loads((folder / "config.json").read_text()) == TINY
    assert sorted(one.name for one in folder.iterdir()) == [
        *("config.json", "tokenizer.json", "tokenizer_config.json"),
    ]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == TINY["vocab_size"]
    text = "Wörter – and 日本\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert len(tokenizer.encode(text).ids) == len(text.encode())
    assert all(tokenizer.decode([number]) for number in (65, 256, 1023))


def test_a_shape_without_the_name_of_its_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "architectures": None}))
    with pytest.raises(UnsupportedError, match="names no class"):
        shape_folder.ensure(Model(source=f"shape:{tmp_path}/config.json"))


def test_a_cache_that_cannot_be_written_is_one_line(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "/proc/nowhere")
    with pytest.raises(InputError, match="set BENCH_CACHE"):
        shape_folder.ensure(tiny)


def test_a_server_gets_a_shape_with_random_weights(tiny: Model) -> None:
    words = engines.find("vllm").command(Launch(served.find(tiny, print), BF16, 8123)).words
    assert words[:3] == ("vllm", "serve", str(shape_folder.ensure(tiny)))
    assert " ".join(words).endswith("--load-format dummy --dtype bfloat16")


def test_gguf_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="GGUF"):
        weights.source(Model(source=str(tmp_path / "x.gguf")))
    with pytest.raises(UnsupportedError, match="GGUF"):
        weights.source(Model(source="a/b", gguf_file="x.gguf"))
    with pytest.raises(UnsupportedError, match="no model is named"):
        weights.source(Model(source="served"))
    assert weights.source(Model(source="a/b", revision="v2")) == ("a/b", "v2")


class Engine:
    """Gives each row a token a step, as far as `at_once` prompt tokens a step and `most` rows allow."""

    def __init__(self, most: int = 8, at_once: int = 1000, cache_tokens: int = 10_000) -> None:
        self.vllm_config = SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=most),
            cache_config=SimpleNamespace(kv_cache_size_tokens=cache_tokens, block_size=16),
        )
        self.llm_engine = self
        self._most, self._at_once = most, at_once
        self._rows: dict[str, list[int]] = {}

    def add_request(self, name: str, prompt: dict[str, list[int]], params: Any) -> None:
        assert params.ignore_eos
        assert params.temperature == 0
        self._rows[name] = [len(prompt["prompt_token_ids"]), params.max_tokens]

    def has_unfinished_requests(self) -> bool:
        return bool(self._rows)

    def step(self) -> list[Any]:
        room, given = self._at_once, []
        for name, row in list(self._rows.items())[: self._most]:
            taken = min(room, row[0])
            room -= taken
            row[0] -= taken
            if row[0] == 0:
                row[1] -= 1
                given.append(SimpleNamespace(request_id=name, outputs=[SimpleNamespace(token_ids=[row[1]])]))
                if row[1] == 0:
                    del self._rows[name]
        return given


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop takes from vLLM."""
    module = SimpleNamespace(
        RequestOutputKind=SimpleNamespace(DELTA=1), SamplingParams=lambda **said: SimpleNamespace(**said)
    )
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(sampling_params=module))
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", module)


@pytest.mark.usefixtures("params")
@pytest.mark.parametrize("at_once", [1000, 20, 8])
def test_a_static_batch_has_n_steps_of_b_rows_however_prompts_are_divided(at_once: int) -> None:
    steps: list[int] = []
    rows = Loop(Engine(at_once=at_once)).together([[1] * 16] * 3, 5, steps.append)
    assert rows == [[4, 3, 2, 1, 0]] * 3
    assert steps == [3] * 5


@pytest.mark.usefixtures("params")
def test_a_continuous_batch_reports_the_rows_that_got_a_token() -> None:
    steps: list[int] = []
    rows = Loop(Engine(most=2)).as_scheduled([[1] * 16] * 5, 3, steps.append)
    assert rows == [[2, 1, 0]] * 5
    assert steps == [2, 2, 2, 2, 2, 2, 1, 1, 1]


@pytest.mark.usefixtures("params")
def test_a_static_batch_that_cannot_be_in_the_engine_at_once_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="3 rows needs them all at once, and vLLM takes 2") as caught:
        Loop(Engine(most=2)).together([[1]] * 3, 2, lambda _: None)
    assert caught.value.remedy.startswith("max_num_seqs: 3")
    assert "scheduling: continuous" in caught.value.remedy
    with pytest.raises(UnsupportedError, match="96 tokens does not fit into a KV cache of 80"):
        Loop(Engine(cache_tokens=80)).together([[1] * 16] * 3, 2, lambda _: None)


# --- with vLLM itself


@pytest.fixture(scope="module")
def python() -> str:
    named = os.environ.get("BENCH_VLLM_PYTHON")
    if not named:
        pytest.skip("needs vLLM in an environment of its own: BENCH_VLLM_PYTHON names its Python")
    return named


def run(tmp_path: Path, runner: str, *, precision: str = "bf16", workload: str = "", model: str = "") -> Any:
    """The only record of a cell, and that nothing is left running."""
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    config = tmp_path / "c.yaml"
    config.write_text(
        f"models: {model or f'shape:{tmp_path}/config.json'}\nprecisions: {precision}\nrunners: [{runner}]\n"
        f"workloads: {{{workload or 'batch_size: 2, input_tokens: 16, output_tokens: 12'}}}\n"
        "replicates: 1\nsampling: {max_replicates: 1}\nprotocol: {rounds: 3, max_rounds: 3}\ntimeout_s: 500\n"
    )
    done = bench("run", config, "--out", tmp_path / "out", timeout_s=600, HF_HUB_OFFLINE="1", WHOSE=str(tmp_path))
    assert "Traceback" not in done.stderr
    assert not [one for one in psutil.process_iter() if _is_of(one, tmp_path)]
    (record,) = lines(tmp_path / "out")
    return record


def _is_of(one: psutil.Process, folder: Path) -> bool:
    """Whether a process was started by this run, whoever started it in between."""
    try:
        return one.environ().get("WHOSE") == str(folder)
    except psutil.Error:
        return False


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_a_real_checkpoint_keeps_the_contract(python: str, tmp_path: Path) -> None:
    runner = f"{{name: vllm, python: {python}, kv_cache_gib: 0.5, max_model_len: 512}}"
    record = run(tmp_path, runner, model="builtin:smollm2-135m")
    assert record["status"] == "ok", record
    facts, rounds = record["measurement"]["facts"], record["measurement"]["rounds"]
    assert facts["parameters"] == 134_515_008
    assert facts["weights_bytes"] == sum(facts["placement"].values()) == 2 * 134_515_008
    assert facts["kv_bytes_per_token"] == 2 * 2 * 30 * 3 * 64
    assert facts["attention"] == "CPU_ATTN"
    assert facts["weights_id"].startswith("sha256:")
    assert sum(facts["text_tokens"].values()) > 1000
    gaps = [[after - before for before, after in pairwise(one["step_s"])] for one in rounds]
    assert max(own[-1] / median(own) for own in gaps) > 0.3  # the last token is no afterthought
    assert len({one["tokens_sha256"] for one in rounds}) == 3


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    ("options", "parallel", "copies"),
    [
        # What a device holds beside its share of the matrices: each has the five norms of 128 in bf16.
        ("tensor_parallel: 2", {"tensor": 2}, 5 * 128 * 2),
        ("pipeline_parallel: 2", {"pipeline": 2}, 0),
        ("engine_process: true", {}, 0),
    ],
)
def test_several_workers_on_a_cpu(
    python: str, tmp_path: Path, options: str, parallel: dict[str, int], copies: int
) -> None:
    record = run(tmp_path, f"{{name: vllm, python: {python}, kv_cache_gib: 0.25, {options}}}")
    assert record["status"] == "ok", record
    facts = record["measurement"]["facts"]
    assert facts.get("parallel", {}) == parallel
    assert facts["random_weights"]
    assert facts["parameters"] == TINY_PARAMETERS
    assert facts["placement"] == {"cpu": 2 * TINY_PARAMETERS + copies}
    assert facts["kv_bytes_per_token"] == 2 * 2 * 2 * 2 * 32


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_what_does_not_work_is_a_typed_row(python: str, tmp_path: Path) -> None:
    small = f"name: vllm, python: {python}, kv_cache_gib: 0.25"
    for number, (runner, status, reason) in enumerate(
        [
            (f"{{{small}, max_num_seqs: 1}}", "unsupported", "needs them all at once"),
            (f"{{name: vllm, python: {python}, kv_cache_gib: 100000}}", "oom", "less than requested memory for kv"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        record = run(folder, runner)
        assert record["status"] == status, record
        assert reason in record["error"]["reason"]


@pytest.mark.slow
def test_more_devices_than_there_are_is_one_line_before_the_run(python: str, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        f"models: shape:pythia-70m\nprecisions: bf16\nrunners: {{name: vllm, python: {python}, tensor_parallel: 64}}\n"
        "workloads: {batch_size: 2, input_tokens: 16, output_tokens: 12}\n"
    )
    done = bench("run", config, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "takes 64 devices" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
