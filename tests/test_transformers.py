"""The transformers runner on real and tiny checkpoints: what it loads and refuses, and that its tokens are right."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.errors import UnsupportedError
from bench.metrics import footprint
from bench.models import builtin, catalogue
from bench.runners.transformers import Options, TransformersRunner
from bench.schema import Accelerator, Checkpoint, FourBit, Int8, Model, ModelFacts, Plain, Precision, Workload
from bench.sensors import environment

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
PROMPTS = [[(5 * row + 3 * place) % 512 for place in range(10)] for row in range(2)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 0.3 M parameters, saved as an ordinary checkpoint."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("tiny")
    AutoModelForCausalLM.from_config(LlamaConfig(**TINY)).save_pretrained(folder)
    return folder


def load(source: object, precision: Precision | None = None, **options: Any) -> tuple[TransformersRunner, ModelFacts]:
    model = source if isinstance(source, Model) else Model(source=str(source))
    runner = TransformersRunner(model, precision or Plain(name="fp32"), Options.model_validate(options))
    return runner, runner.load()


def tokens(runner: TransformersRunner, prompts: Sequence[Sequence[int]] = PROMPTS, new: int = 8) -> list[list[int]]:
    return [list(row) for row in runner.generate(prompts, new, lambda _: None)]


def reference(folder: Path, prompts: Sequence[Sequence[int]] = PROMPTS, new: int = 8) -> list[list[int]]:
    """What transformers' own `generate` says, greedily."""
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor(prompts)
    mask = torch.ones_like(ids)
    out = network.generate(ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False)
    found: list[list[int]] = out[:, ids.shape[1] :].tolist()
    return found


@pytest.mark.parametrize(
    "options",
    [{}, {"cache": "dynamic"}, {"cache": "static"}, {"attention": "eager"}, {"threads": 1}, {"device_map": "auto"}],
    ids=str,
)
def test_the_loop_gives_the_tokens_of_generate(tiny: Path, options: dict[str, Any]) -> None:
    runner, facts = load(tiny, **options)
    assert tokens(runner) == reference(tiny)
    assert tokens(runner, [PROMPTS[0]]) == reference(tiny, [PROMPTS[0]])
    assert facts.cache == options.get("cache", "static")
    assert facts.attention == options.get("attention", "sdpa")


def test_a_compiled_step_gives_the_tokens_of_an_eager_one(tiny: Path) -> None:
    if not (shutil.which("g++") or shutil.which("clang++")):
        with pytest.raises(UnsupportedError, match=r"C\+\+ compiler"):
            load(tiny, compile=True)
        return
    runner, facts = load(tiny, compile=True)
    assert facts.compiled
    assert tokens(runner) == reference(tiny)
    assert tokens(runner, PROMPTS[::-1]) == reference(tiny, PROMPTS[::-1])


def test_the_builtin_model_writes_english() -> None:
    """Real weights: the conversion and the loop together still know what follows."""
    from transformers import AutoTokenizer

    folder = builtin.folder("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("The capital of France is")["input_ids"]
    runner, facts = load("builtin:smollm2-135m", Plain(name="bf16"))
    assert "Paris" in tokenizer.decode(tokens(runner, [ids])[0])
    assert facts.parameters == 134_515_008
    assert facts.weights_bytes == 2 * 134_515_008
    assert facts.weights_id is not None
    assert facts.weights_id.startswith("sha256:")


@pytest.mark.slow
def test_a_gguf_file_gives_the_tokens_of_its_conversion() -> None:
    source = builtin.gguf_file("smollm2-135m")
    converted, _ = load("builtin:smollm2-135m", Plain(name="bf16"))
    unpacked, facts = load(source, Plain(name="bf16"))
    assert tokens(unpacked) == tokens(converted)
    assert "weights unpacked from GGUF" in facts.notes
    assert facts.parameters == 134_515_008


@pytest.mark.slow  # half a minute for reading the file twice; the test before reads it once
def test_a_gguf_file_can_be_quantised_again() -> None:
    from_file, file_facts = load(builtin.gguf_file("smollm2-135m"), FourBit(name="nf4"))
    from_folder, folder_facts = load("builtin:smollm2-135m", FourBit(name="nf4"))
    assert tokens(from_file) == tokens(from_folder)
    assert file_facts.weights_bytes == folder_facts.weights_bytes


@pytest.mark.slow
def test_packed_gguf_blocks_without_a_kernel_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="no kernel here that computes on packed GGUF blocks"):
        load(builtin.gguf_file("smollm2-135m"), Checkpoint(name="checkpoint"))


SLOW = pytest.mark.slow  # three seconds each; tests/test_levels.py counts the same bytes of fewer layers
PRECISIONS = [
    Plain(name="fp32"),
    Plain(name="bf16"),
    Plain(name="fp16"),
    Int8(name="int8"),
    FourBit(name="nf4", double_quant=True),
    *(pytest.param(one, marks=SLOW) for one in (FourBit(name="nf4"), FourBit(name="fp4"))),
    pytest.param(FourBit(name="nf4", compute_dtype="fp32"), marks=SLOW),
]


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_bytes_in_memory_are_the_bytes_that_the_shapes_promise(precision: Precision) -> None:
    """The formula that refuses a cell before loading agrees with what is then really there, to 1 %."""
    shape = footprint.shape(catalogue.shapes()["smollm2-135m"])
    assert shape is not None
    _, facts = load("builtin:smollm2-135m", precision)
    assert facts.weights_bytes == pytest.approx(footprint.weights_bytes(shape, precision), rel=0.01)
    assert facts.parameters == shape.parameters
    work = Workload(batch_size=1, input_tokens=1, output_tokens=1)
    per_token = footprint.needed(shape, precision, work).kv_bytes / 2
    assert facts.kv_bytes_per_token == per_token


@pytest.mark.parametrize("name", ["pythia-70m", pytest.param("bloom-560m", marks=pytest.mark.slow), "smollm2-135m"])
@pytest.mark.parametrize("precision", [Plain(name="bf16"), FourBit(name="nf4")], ids=["bf16", "nf4"])
def test_random_weights_have_the_true_shapes(name: str, precision: Precision) -> None:
    shape = footprint.shape(catalogue.shapes()[name])
    assert shape is not None
    runner, facts = load(f"shape:{name}", precision)
    assert facts.random_weights
    assert facts.parameters == shape.parameters
    assert facts.weights_bytes == pytest.approx(footprint.weights_bytes(shape, precision), rel=0.01)
    assert all(torch.isfinite(one).all() for one in runner._loop._network.parameters() if one.is_floating_point())
    assert len(tokens(runner)[0]) == 8


def test_a_shape_of_any_config(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "llama", **TINY}))
    _, facts = load(f"shape:{config}")
    assert facts.random_weights
    assert facts.parameters == 2 * 512 * 128 + 2 * (128 * 128 * 3 + 3 * 128 * 256 + 2 * 128) + 128


def test_pickled_weights_are_refused_unless_asked_for(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    weights = AutoModelForCausalLM.from_pretrained(tiny).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedError, match="only pickled weights") as refused:
        load(folder)
    assert "allow_pickle" in refused.value.remedy
    runner, _ = load(Model(source=str(folder), allow_pickle=True))
    assert tokens(runner) == reference(tiny)


def test_a_checkpoints_own_code_is_not_run_unasked(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "unheard-of"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Network"}
    (folder / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    with pytest.raises(UnsupportedError, match="brings its own Python code"):
        load(folder)
    assert not ran.exists()


def test_a_folder_without_weights_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copy(tiny / "config.json", tmp_path)
    with pytest.raises(UnsupportedError, match=r"no \*.safetensors"):
        load(tmp_path)


def test_a_hub_id_without_network_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    # The environment variable is read once, at the import; without it the hub's client tries for half a minute.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnsupportedError) as refused:
        load("nobody/nothing-here")
    assert "network" in refused.value.remedy


def test_a_quantised_checkpoint_is_loaded_as_it_is_stored(tiny: Path, tmp_path: Path) -> None:
    """compressed-tensors, int8 weights with a scale a channel: written here by that library, loaded by transformers."""
    folder = quantised(tiny, tmp_path / "packed")
    runner, facts = load(folder, Checkpoint(name="checkpoint"))
    assert len(tokens(runner)[0]) == 8
    assert any(note.startswith("packed weights are unpacked") for note in facts.notes)
    assert facts.parameters == load(tiny)[1].parameters
    with pytest.raises(UnsupportedError, match=r"already quantised \(compressed-tensors\)") as refused:
        load(folder, Plain(name="bf16"))
    assert refused.value.remedy == "use precision: checkpoint"


def quantised(source: Path, target: Path) -> Path:
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme

    network = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    scheme = preset_name_to_scheme("W8A16", ["Linear"])
    config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], format="pack-quantized")
    apply_quantization_config(network, config)
    for module in network.modules():
        if hasattr(module, "weight_scale"):
            peak = module.weight.detach().abs().amax(dim=1, keepdim=True)
            module.weight_scale.data.copy_((peak / 127).to(module.weight_scale.dtype))
    compressor = ModelCompressor.from_pretrained_model(network)
    compressor.compress_model(network)
    network.save_pretrained(target)
    compressor.update_config(target)
    return target


def test_a_checkpoint_whose_library_is_missing_names_it(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gptq"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match=r"(?i)gptq"):
        load(folder, Checkpoint(name="checkpoint"))


def test_a_dense_checkpoint_is_not_stored_quantised(tiny: Path) -> None:
    with pytest.raises(UnsupportedError, match="not quantised"):
        load(tiny, Checkpoint(name="checkpoint"))


@pytest.mark.parametrize(
    ("options", "reason", "remedy"),
    [
        ({"device": "cuda:7"}, "device cuda:7 is not there", "device: auto or cpu"),
        ({"attention": "flash_attention_2"}, r"(?i)flash", "sdpa"),
    ],
    ids=["device", "attention"],
)
def test_what_cannot_work_here_says_why_and_what_would(
    tiny: Path, options: dict[str, Any], reason: str, remedy: str
) -> None:
    with pytest.raises(UnsupportedError, match=reason) as refused:
        load(tiny, Plain(name="bf16"), **options)
    assert remedy in refused.value.remedy


def test_fp16_on_a_cpu_is_noted(tiny: Path) -> None:
    _, facts = load(tiny, Plain(name="fp16"), device="cpu")
    assert any(note.startswith("fp16 has no fast kernel") for note in facts.notes)


def test_an_off_loaded_embedding_is_brought_to_its_device(tiny: Path, tmp_path: Path) -> None:
    """accelerate keeps such weights on `meta`: tokens go where they are used, and their bytes count where they lie."""
    from accelerate import cpu_offload

    from bench.runners.transformers import facts
    from bench.runners.transformers.loaded import Loaded
    from bench.runners.transformers.loop import Loop, input_device

    network = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    dense = sum(one.numel() * one.element_size() for one in network.parameters())
    cpu_offload(network, execution_device=torch.device("cpu"))
    network.hf_device_map = {"": "cpu"}
    assert network.get_input_embeddings().weight.device.type == "meta"
    assert input_device(network) == torch.device("cpu")
    loop = Loop(network, "dynamic", False, "default")
    assert loop.generate(PROMPTS, 8, lambda _: None) == reference(tiny)
    found = facts.collect(Loaded(network, random_weights=False), Model(source=str(tiny)), "dynamic", False)
    assert found.placement == {"cpu": dense}


def test_the_room_is_that_of_the_devices_that_torch_will_see(monkeypatch: pytest.MonkeyPatch) -> None:
    large = Accelerator(name="NVIDIA H100 80GB HBM3", memory_bytes=85_000_000_000)
    small = Accelerator(name="Tesla T4", memory_bytes=16_000_000_000)
    ram = 64_000_000_000

    def room(torch_version: str, *gpus: Accelerator, visible: str | None = None, **options: Any) -> int | None:
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        machine = environment.detect().model_copy(
            update={
                "packages": {"torch": torch_version},
                "accelerators": gpus,
                "memory_total_bytes": ram,
                "memory_limit_bytes": None,
            }
        )
        return TransformersRunner.room_bytes(Options.model_validate(options), machine)

    assert room("2.13.0+cpu", large) == ram
    assert room("2.13.0", large, large) == 85_000_000_000
    assert room("2.13.0", large, large, device_map="auto") == 2 * 85_000_000_000 + ram
    assert room("2.13.0", large, small) is None, "CUDA's order is not the driver's"
    assert room("2.13.0", large, small, visible="1") == 16_000_000_000
    assert room("2.13.0", large, small, visible="GPU-5c1f") is None
    assert room("2.13.0", large, visible="") == ram
    assert room("2.13.0", large, device="cpu") == ram
    assert room("2.13.0", Accelerator(name="NVIDIA GB10")) is None
    assert room("2.13.0+rocm7", large) is None
