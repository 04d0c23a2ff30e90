"""Keys and values in fewer bits: on the built-in model, whose cache is counted byte by byte."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from bench.errors import InputError, UnsupportedError
from bench.metrics.kv import kv_bytes_per_value
from bench.models import builtin
from bench.plan import read
from bench.runners.transformers import kv_cache
from bench.runners.transformers.levels import quanto
from bench.runners.transformers.loop import Loop
from bench.schema import KvCache, Plain
from bench.schema.precision import label

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = LlamaConfig(
    vocab_size=128, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, head_dim=16
)
QUANTO4 = KvCache(format="int4", backend="quanto")


@pytest.fixture(scope="module")
def network() -> Any:
    return AutoModelForCausalLM.from_pretrained(builtin.folder("smollm2-135m"), dtype=torch.bfloat16).eval()


@pytest.fixture(scope="module")
def small() -> Any:
    quanto.build(torch.device("cpu"))
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(SMALL).eval()


def generated(network: Any, kept: KvCache | None, prompts: list[list[int]], new: int = 4) -> list[list[int]]:
    return Loop(network, "dynamic", False, "default", kept).generate(prompts, new, lambda _: None)


def prompt(tokens: int) -> list[int]:
    return [(37 * place) % 4000 + 5 for place in range(tokens)]


def logits(network: Any, kept: KvCache, tokens: int, chunk: int) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Those of the last chunk, with plain and with packed keys and values before it, and the cache."""
    ids = torch.tensor([prompt(tokens)]) % network.config.vocab_size
    cache = kv_cache.cache_for(network.config, kept)
    with torch.no_grad():
        plain = network(ids).logits[:, -chunk:]
        for start in range(0, tokens, chunk):
            packed = network(ids[:, start : start + chunk], past_key_values=cache, use_cache=True).logits
    return plain.float(), packed.float(), cache


def test_the_built_in_model_generates_over_packed_keys_and_values(network: Any) -> None:
    """A prompt is packed as a whole, held in 0.28 of the bytes, and what is decoded rests on it."""
    ids, kept = [prompt(32), prompt(33)[1:]], KvCache(format="int4")
    loop = Loop(network, "auto", False, "default", kept)
    assert loop.cache_kind == "quantized int4 (quanto)"
    seen: list[Any] = []
    making = loop._growing
    loop._growing = lambda: seen.append(making()) or seen[-1]  # type: ignore[method-assign, func-returns-value]
    found = loop.generate(ids, 3, lambda _: None)
    assert [len(row) for row in found] == [3, 3]
    plain = Loop(network, "dynamic", False, "default").generate(ids, 3, lambda _: None)
    assert [row[0] for row in found] == [row[0] for row in plain]  # the prompt attends to itself before it is packed
    layer = seen[0].layers[0]
    assert layer.get_seq_length() == 32 + 2
    assert layer.keys.shape[-2] == 2  # of the decoded tokens; the prompt's are in `_quantized_keys` alone
    fresh = kv_cache.bytes_per_token(network, network.config, None)
    assert fresh is not None
    packed = kv_cache.bytes_per_token(network, network.config, kept)
    assert packed == fresh * 0.5625 / 2  # 4.5 bits instead of 16
    held = kv_cache.held_bytes(seen[0]) - 2 * 2 * fresh
    assert held / (2 * 32) == pytest.approx(packed, rel=0.02)


def test_fp8_holds_a_byte_a_value(small: Any) -> None:
    kept = KvCache(format="fp8")
    plain, packed, cache = logits(small, kept, 15, 5)
    assert kv_cache.held_bytes(cache) / 15 == pytest.approx(2 * 2 * 64, rel=0.02)
    assert kv_cache.bytes_per_token(small, small.config, kept) == 2 * 2 * 64
    assert not torch.equal(plain, packed)


@pytest.mark.parametrize("group", [16, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["int8", "int4", "int3", "int2"])
@pytest.mark.parametrize("backend", ["hqq", "quanto"])
def test_every_format_of_every_library_holds_what_the_formula_says(
    name: Any, backend: Any, group: int, small: Any
) -> None:
    kept = KvCache(format=name, backend=backend, group_size=group, residual_tokens=4)
    if backend not in kv_cache.BACKENDS[name]:
        with pytest.raises(UnsupportedError, match="quanto packs no") as refused:
            kv_cache.cache_for(small.config, kept)
        assert refused.value.remedy == "use backend: hqq"
        return
    plain, packed, cache = logits(small, kept, 15, 5)  # an odd number of tokens: nothing may depend on it
    said = kv_cache.bytes_per_token(small, small.config, kept)
    assert said == 2 * 2 * 64 * kv_bytes_per_value(kept, 4)
    assert kv_cache.held_bytes(cache) / 15 == pytest.approx(said, rel=0.05)  # the last byte of a column may not be full
    assert torch.isfinite(packed).all()
    assert not torch.equal(plain, packed)  # they were read back from their packed form


def test_int8_changes_next_to_nothing_and_int2_much(network: Any) -> None:
    apart = {}
    for name in ("int8", "int2"):
        plain, packed, _ = logits(network, KvCache(format=name, residual_tokens=16), 24, 16)
        apart[name] = float((plain.log_softmax(-1)[:, -8:] - packed.log_softmax(-1)).abs().mean())
    assert apart["int8"] < 0.15
    assert apart["int2"] > 5 * apart["int8"]


def test_none_is_what_it_was(small: Any) -> None:
    ids = [prompt(9), prompt(10)[1:]]
    ids = [[one % 128 for one in row] for row in ids]
    out = small.generate(torch.tensor(ids), max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert generated(small, None, ids) == out[:, 9:].tolist()
    loop = Loop(small, "auto", False, "default", None, inference_mode=False)
    assert loop.cache_kind == "static"
    assert loop.generate(ids, 4, lambda _: None) == out[:, 9:].tolist()


def test_a_kept_prefix_is_packed_and_attended_to(small: Any) -> None:
    ids = [[one % 128 for one in prompt(20)]]
    kept = KvCache(format="int8", group_size=16, residual_tokens=8)
    loop = Loop(small, "auto", False, "default", kept)
    loop.keep_prefix(ids, 12)
    assert loop._prefix is not None
    assert loop._prefix.cache.layers[0]._quantized_keys is not None
    found = loop.generate(ids, 6, lambda _: None)
    assert found == generated(small, None, ids, 6)  # 8 bits change no token of this model
    assert loop.generate(ids, 6, lambda _: None) == found  # without a prefix


@pytest.mark.parametrize(
    ("options", "kept", "reason"),
    [
        ({"cache": "static"}, QUANTO4, "static cache"),
        ({"compile": True}, QUANTO4, r"torch\.compile"),
        ({}, KvCache(format="fp8", backend="hqq"), "packs no fp8"),
        ({}, KvCache(format="int4", group_size=48), "do not divide the 64 keys of a token"),
    ],
    ids=["static", "compile", "fp8 of hqq", "groups"],
)
def test_what_cannot_be_packed_says_why(small: Any, options: dict[str, Any], kept: KvCache, reason: str) -> None:
    said: dict[str, Any] = {"cache": "auto", "compile": False, **options}
    with pytest.raises(UnsupportedError, match=reason):
        Loop(small, said["cache"], said["compile"], "default", kept)


def test_quantos_unpacking_is_compiled_by_whoever_is_alone(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed build's lock would be waited for without end by the library's own first use."""
    asked: list[str] = []
    monkeypatch.setattr(quanto, "build", lambda place, instead: asked.append(f"{place.type}, else {instead}"))
    kv_cache.check(small, KvCache(format="int4", backend="quanto", group_size=32))
    kv_cache.check(small, KvCache(format="int4", backend="hqq", group_size=32))
    assert asked == ["cpu, else backend: hqq"]


def test_models_that_look_back_a_window_only_are_refused() -> None:
    config = MistralConfig(**{**SMALL.to_diff_dict(), "model_type": "mistral", "sliding_window": 8})
    with pytest.raises(UnsupportedError, match="only full attention"):
        kv_cache.cache_for(config, QUANTO4.model_copy(update={"group_size": 16}))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "installed", lambda module: module == "hqq")
    assert kv_cache.backend(KvCache(format="int4")) == "hqq"
    with pytest.raises(UnsupportedError, match="optimum-quanto, which is not installed") as refused:
        kv_cache.backend(QUANTO4)
    assert refused.value.remedy == "pip install optimum-quanto"
    monkeypatch.setattr(kv_cache, "installed", lambda _: False)
    with pytest.raises(UnsupportedError, match="optimum-quanto or hqq"):
        kv_cache.backend(KvCache(format="int4"))
    assert kv_cache.backend(KvCache(format="fp8")) == "fp8"  # needs none


def test_the_libraries_are_installed_where_tests_run() -> None:
    assert find_spec("hqq") is not None
    assert find_spec("optimum.quanto") is not None


CONFIG = """\
models: [builtin:smollm2-135m]
workloads: [{{batch_size: 1, input_tokens: 8, output_tokens: 8}}]
precisions: {}
"""


def said(tmp_path: Path, precisions: str) -> list[str]:
    path = tmp_path / "kv.yaml"
    path.write_text(CONFIG.format(precisions))
    return [label(one) for one in read.sweep(path).precisions]


def test_names_say_how_keys_and_values_are_kept(tmp_path: Path) -> None:
    assert said(tmp_path, "[bf16, bf16+kv-int4, nf4+kv-int8]") == ["bf16", "bf16+kv-int4", "nf4+kv-int8"]
    assert said(tmp_path, "[{name: nf4+kv-int4, double_quant: true}]") == ["nf4+kv-int4 double_quant=True"]
    assert said(tmp_path, "[{name: bf16+kv-int4, kv_cache: {group_size: 32}}]") == ["bf16+kv-int4 kv_group_size=32"]
    assert said(tmp_path, "[{name: bf16, kv_cache: {format: fp8}}]") == ["bf16+kv-fp8"]
    assert read.sweep(tmp_path / "kv.yaml").precisions == (Plain(name="bf16", kv_cache=KvCache(format="fp8")),)


@pytest.mark.parametrize(
    ("precisions", "line"),
    [
        ("[bf16+kv-int5]", "unknown format 'int5' of keys and values in 'bf16+kv-int5'; known: fp8, int2, int3, int4"),
        ("[served+kv-int4]", "an endpoint keeps its keys and values as it likes; write served"),
        ("[bf61+kv-int4]", "unknown precision 'bf61'; did you mean 'bf16' or"),
        ("[{name: bf16+kv-fp8, kv_cache: {group_size: 32}}]", "group_size: does nothing for fp8"),
        ("[{name: bf16+kv-int4, kv_cache: {format: int8}}]", "say the format once"),
    ],
)
def test_a_wrong_name_is_one_line(tmp_path: Path, precisions: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        said(tmp_path, precisions)
    assert len(caught.value.lines) == 1
    assert line in caught.value.lines[0]
