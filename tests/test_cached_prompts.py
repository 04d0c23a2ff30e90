"""Prompts whose first tokens are in the cache before the clock starts: the same tokens, and less work, which counts."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, BloomConfig, GPTNeoXConfig, LlamaConfig, MistralConfig

from bench import runners
from bench.errors import InputError, UnsupportedError
from bench.execute import worker
from bench.measure import offline
from bench.metrics import footprint, latency
from bench.metrics.roofline import work
from bench.models import catalogue
from bench.plan import expand, read
from bench.runners import KeepsPrefix, OnStep
from bench.runners.fake import FakeRunner, Options
from bench.runners.transformers.loop import Loop
from bench.schema import Cell, Job, Model, ModelFacts, Plain, Protocol, RunnerChoice, Workload
from tests.commands import ROOT, bench, fake_config, lines

pytestmark = pytest.mark.usefixtures("one_thread")

FP32 = Plain(name="fp32")
MODEL = Model(source="shape:pythia-70m")
LENGTH = 12
PROMPTS = [[(5 * row + 7 * place) % 512 for place in range(LENGTH)] for row in range(3)]
SMALL: dict[str, Any] = {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
CONFIGS = {
    "llama": LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128),
    "gpt_neox": GPTNeoXConfig(**SMALL, num_attention_heads=4, max_position_embeddings=128),
    "bloom": BloomConfig(vocab_size=512, hidden_size=128, n_layer=2, n_head=4),
    "mistral": MistralConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, sliding_window=6),
}
"""Rotary positions with shared key-value heads, rotary ones in half of each head, ALiBi, and a sliding window."""


def cell(cached: int = 6, prompt: int = 8, rows: int = 2, new: int = 8, **protocol: Any) -> Cell:
    return Cell(
        cell_id="x",
        model=MODEL,
        precision=FP32,
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=rows, input_tokens=prompt, cached_tokens=cached, output_tokens=new),
        protocol=Protocol(**{"rounds": 3, "max_rounds": 3, **protocol}),
    )


def fake(**options: object) -> FakeRunner:
    return FakeRunner(MODEL, FP32, Options.model_validate(options))


def silent(phase: str, estimate_s: float | None) -> None:
    pass


# --- the loop ----------------------------------------------------------------------------------------------------


def network(name: str, attention: str = "sdpa") -> Any:
    torch.manual_seed(2)
    made = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention).eval()
    # Random weights of the usual size give nearly flat logits; larger ones make the greedy token a clear choice.
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return made


def tokens(loop: Loop, cached: int = 0, prompts: Sequence[Sequence[int]] = PROMPTS) -> list[list[int]]:
    if cached:
        loop.keep_prefix(prompts, cached)
    found: list[list[int]] = loop.generate(prompts, 8, lambda _: None)
    return found


@pytest.mark.parametrize("cache", ["static", "dynamic"])
@pytest.mark.parametrize(
    ("name", "attention"), [("llama", "sdpa"), ("llama", "eager"), ("gpt_neox", "sdpa"), ("bloom", "eager")]
)
def test_greedy_tokens_are_those_without_a_prefix(name: str, attention: str, cache: str) -> None:
    """For one cached token, half of the prompt, and all but one."""
    made = network(name, attention)
    if cache == "static" and not made._can_compile_fullgraph:
        cache = "auto"
    loop = Loop(made, cache, False, "default")
    plain = tokens(loop)
    assert len({tuple(row) for row in plain}) == 3
    for cached in (1, LENGTH // 2, LENGTH - 1):
        assert tokens(loop, cached) == plain, cached
    assert tokens(loop) == plain, "nothing is kept"


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "bloom"])
def test_logits_of_the_rest_are_those_of_the_whole(name: str) -> None:
    """Positions and the causal mask of the rest are right: every position's logits, not the last one's alone."""
    made = network(name, "eager" if name == "bloom" else "sdpa")
    loop = Loop(made, "dynamic", False, "default")
    seen: list[torch.Tensor] = []
    made.get_output_embeddings().register_forward_hook(lambda *found: seen.append(found[2]))
    loop._keeps_logits = False
    ids = torch.tensor(PROMPTS)
    with torch.inference_mode():
        loop._prefill(ids, LENGTH + 8, None)
        loop.keep_prefix(PROMPTS, 5)
        loop._prefill(ids, LENGTH + 8, loop._prefix)
    whole, first, rest = seen
    assert rest.shape[1] == LENGTH - 5
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole, rtol=1e-4, atol=1e-4)


def test_a_sliding_window_keeps_its_prefix_in_a_dynamic_cache_and_no_other() -> None:
    made = network("mistral")
    loop = Loop(made, "dynamic", False, "default")
    plain = tokens(loop)
    for cached in (3, 6, 11):
        assert tokens(loop, cached) == plain, cached
    static = Loop(made, "static", False, "default")
    assert tokens(static) == plain
    with pytest.raises(UnsupportedError, match=r"static cache .* cannot take a prefix over") as refused:
        tokens(static, 3)
    assert refused.value.remedy == "use cache: dynamic"
    assert tokens(static) == plain


def test_only_the_rest_is_computed_in_the_generation() -> None:
    """What goes through the network: the prefix before, then the rest, then one token a step."""
    made = network("llama")
    loop = Loop(made, "static", False, "default")
    lengths: list[int] = []
    made.get_input_embeddings().register_forward_hook(lambda *found: lengths.append(found[1][0].shape[1]))
    loop.keep_prefix(PROMPTS, 9)
    assert lengths == [9]
    loop.generate(PROMPTS, 4, lambda _: None)
    assert lengths == [9, 3, 1, 1, 1]
    loop.generate(PROMPTS, 4, lambda _: None)
    assert lengths[5:] == [12, 1, 1, 1]


def test_a_prefix_of_other_prompts_is_not_used() -> None:
    loop = Loop(network("llama"), "static", False, "default")
    others = [row[::-1] for row in PROMPTS]
    plain = tokens(loop, prompts=others)
    loop.keep_prefix(PROMPTS, 6)
    assert tokens(loop, prompts=others) == plain
    assert loop._prefix is None


# --- the instrument ----------------------------------------------------------------------------------------------


class Recorded(FakeRunner):
    """Writes down what it is asked for."""

    def __init__(self, **options: object) -> None:
        super().__init__(MODEL, FP32, Options.model_validate(options))
        self.calls: list[tuple[str, list[list[int]]]] = []

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        assert cached_tokens == 6
        self.calls.append(("keep", [list(row) for row in prompts]))
        super().keep_prefix(prompts, cached_tokens)

    def generate(self, prompts: Any, output_tokens: int, on_step: OnStep) -> Any:
        self.calls.append(("generate", [list(row) for row in prompts]))
        return super().generate(prompts, output_tokens, on_step)


def test_the_prefix_of_every_generation_is_its_own() -> None:
    """First, warm-up, three timed and the memory round: whole new prompts in each, the prefix just before."""
    runner = Recorded()
    offline.measure(cell(), 0, runner, silent)
    assert [what for what, _ in runner.calls] == ["keep", "generate"] * 6
    kept, generated = runner.calls[::2], runner.calls[1::2]
    assert [prompts for _, prompts in kept] == [prompts for _, prompts in generated]
    rows = [tuple(row) for _, prompts in generated for row in prompts]
    assert len(set(rows)) == len(rows) == 12
    assert {len(row) for row in rows} == {8}


def test_without_cached_tokens_no_prefix_is_asked_for() -> None:
    runner = Recorded()
    offline.measure(cell(cached=0), 0, runner, silent)
    assert {what for what, _ in runner.calls} == {"generate"}


@pytest.mark.alone
def test_the_time_of_the_prefix_is_not_in_the_stamps() -> None:
    """2 rows · 2 uncached tokens · 10 ms + 2 · 6 cached ones · 1 ms after 10 ms; the prefix itself took 120 ms."""
    options = {"prefill_s": 0.01, "prefill_s_per_token": 0.01, "cached_s_per_token": 0.001, "step_s": 0.002}
    found = offline.measure(cell(rounds=5, max_rounds=5), 0, fake(**options), silent)
    times = latency.of_replicate(found)
    assert times.ttft_s == pytest.approx(0.01 + 2 * 2 * 0.01 + 2 * 6 * 0.001, rel=0.01, abs=0.0003)
    assert times.e2el_s == pytest.approx(0.062 + 7 * 0.002, rel=0.01, abs=0.0003)
    assert found.window is not None
    assert found.window.duration_s > 5 * (0.12 + 0.062)
    plain = offline.measure(cell(cached=0, rounds=5, max_rounds=5), 0, fake(**options), silent)
    assert latency.of_replicate(plain).ttft_s == pytest.approx(0.01 + 16 * 0.01, rel=0.01, abs=0.0003)
    assert found.memory.kv_cache_bytes == plain.memory.kv_cache_bytes == 16 * 2 * (8 + 8)


@pytest.mark.alone
def test_rounds_are_planned_with_the_time_of_their_prefix() -> None:
    """√(start / round): what a round costs is what comes before its clock as well."""
    said: dict[str, float | None] = {}
    runner = fake(prefill_s=0.0, prefill_s_per_token=0.01, step_s=0.0)
    offline.measure(cell(), 0, runner, lambda phase, estimate_s: said.update({phase: estimate_s}))
    assert said["warm-up"] == pytest.approx(0.16, rel=0.2)
    assert said["timing"] == pytest.approx(3 * 0.16, rel=0.2)


def test_joules_of_a_window_with_prefixes_are_not_those_of_the_rounds() -> None:
    """No figure, and why; without cached tokens the same counter gives one."""
    found = offline.measure(cell(), 0, fake(power_w=10.0), silent).window
    assert found is not None
    assert found.energy.cpu_energy_j is None
    assert "prefixes" in found.energy.reasons["cpu_energy_j"]
    assert found.energy.reasons["gpu_energy_j"] == "no such counter"
    plain = offline.measure(cell(cached=0), 0, fake(power_w=10.0), silent).window
    assert plain is not None
    assert plain.energy.cpu_energy_j is not None


class KeepsNothing:
    """A runner of the plain contract."""

    Options = Options
    ENGINE: Sequence[str] = ()
    PACKAGES: Sequence[str] = ()

    def __init__(self, *given: Any) -> None:
        self._inner = FakeRunner(MODEL, FP32, Options())

    def load(self) -> ModelFacts:
        return self._inner.load()

    def generate(self, prompts: Any, output_tokens: int, on_step: OnStep) -> Any:
        return self._inner.generate(prompts, output_tokens, on_step)

    def out_of_memory(self, error: BaseException) -> bool:
        return False


def test_a_runner_that_keeps_no_prefix_is_a_record_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(KeepsNothing(), KeepsPrefix)
    monkeypatch.setattr(runners, "find", lambda _: KeepsNothing)
    found = worker._measured(Job(cell=cell(), replicate=0), silent)
    assert found.status == "unsupported"
    assert found.error is not None
    assert "cannot have a part of its prompts in the cache" in found.error.reason
    assert "leave cached_tokens out" in (found.error.remedy or "")
    assert worker._measured(Job(cell=cell(cached=0), replicate=0), silent).status == "ok"


def test_which_shipped_runners_keep_prefixes() -> None:
    """The others' cells with cached tokens are unsupported; a server has a cache of its own."""
    kept = {name for name in runners.shipped() if hasattr(runners.find(name), "keep_prefix")}
    loading = {name for name in runners.shipped() if not runners.serves(runners.find(name))}
    assert kept == loading - {"openvino", "ort", "vllm"}


def test_a_prompt_without_an_uncached_token_is_refused_by_the_instrument_too() -> None:
    with pytest.raises(InputError, match="8 cached tokens of 8: at least one must be computed"):
        offline.measure(cell(cached=8), 0, fake(), silent)


# --- bytes and FLOPs ---------------------------------------------------------------------------------------------

LLAMA_8B = footprint.shape(catalogue.shapes()["llama-3.1-8b"])
FACTS = ModelFacts(parameters=0, weights_bytes=0, kv_bytes_per_token=None, vocab_size=1, dtype="bfloat16", device="cpu")
BF16 = Plain(name="bf16")


def test_the_prefill_of_a_cached_prompt_by_hand() -> None:
    """Llama 3.1 8B, 750 of 1000 tokens cached: 250 are multiplied, and look back on 750 and on half of themselves."""
    assert LLAMA_8B is not None
    found = work(LLAMA_8B, FACTS, BF16, Workload(input_tokens=1000, cached_tokens=750, output_tokens=24))
    attention = 4 * 32 * 4096 * (250 * 750 + 250**2 / 2)
    assert attention == 4 * 32 * 4096 * 218_750 == 114_688_000_000
    assert found.prefill_flops == 2 * 6_979_321_856 * 250 + attention + 2 * 525_336_576 == 3_605_399_601_152
    assert found.prefill_bytes == 15_009_849_344 + 1000 * 131_072
    whole = work(LLAMA_8B, FACTS, BF16, Workload(input_tokens=1000, output_tokens=24))
    assert (found.step_flops, found.step_bytes) == (whole.step_flops, whole.step_bytes)
    assert found.prefill_bytes / 3.35e12 > found.prefill_flops / 989e12, "memory is now the limit"


lengths = st.integers(min_value=2, max_value=4096)


@settings(deadline=None, max_examples=60)
@given(st.integers(min_value=1, max_value=64), lengths, st.floats(min_value=0, max_value=0.999))
def test_prefix_and_rest_together_are_the_whole_prompt(rows: int, prompt: int, share: float) -> None:
    """Two prefills, of the prefix and of the rest, do what one does, and one position's logits more."""
    assert LLAMA_8B is not None
    cached = int(prompt * share)
    whole = work(LLAMA_8B, FACTS, BF16, Workload(batch_size=rows, input_tokens=prompt, output_tokens=8))
    rest = work(
        LLAMA_8B, FACTS, BF16, Workload(batch_size=rows, input_tokens=prompt, cached_tokens=cached, output_tokens=8)
    )
    if not cached:
        assert rest == whole
        return
    prefix = work(LLAMA_8B, FACTS, BF16, Workload(batch_size=rows, input_tokens=cached, output_tokens=8))
    head = 2.0 * LLAMA_8B.hidden * LLAMA_8B.vocab * rows
    assert prefix.prefill_flops + rest.prefill_flops - head == pytest.approx(whole.prefill_flops, rel=1e-12)
    assert rest.prefill_flops < whole.prefill_flops
    assert rest.prefill_bytes <= whole.prefill_bytes


def test_the_widest_pass_is_that_of_the_longer_part() -> None:
    """Prefix and rest are not computed at once; keys and values of both are kept."""
    assert LLAMA_8B is not None
    whole = footprint.needed(LLAMA_8B, BF16, Workload(input_tokens=1000, output_tokens=8))
    for cached, longest in ((0, 1000), (250, 750), (500, 500), (900, 900)):
        found = footprint.needed(LLAMA_8B, BF16, Workload(input_tokens=1000, cached_tokens=cached, output_tokens=8))
        assert (found.weights_bytes, found.kv_bytes) == (whole.weights_bytes, whole.kv_bytes)
        assert found.activation_bytes == longest * (2 * 14336 + 4 * 4096) * 2 + 128_256 * 4


# --- the config --------------------------------------------------------------------------------------------------

TEXT = """\
models: builtin:smollm2-135m
precisions: bf16
workloads:
  - input_tokens: 8
    output_tokens: 4
"""


def config(folder: Path, workload: str = "") -> Path:
    path = folder / "sample.yaml"
    path.write_text(TEXT + workload, encoding="utf-8")
    return path


def test_cached_tokens_may_be_a_list(tmp_path: Path) -> None:
    """A dimension of the matrix as the others; no cached tokens, said or not, is the cell that it always was."""
    (plain,) = expand.cells(read.sweep(config(tmp_path)))
    assert plain.cell_id == "7c85ca40f2bd"
    cells = list(expand.cells(read.sweep(config(tmp_path, "    cached_tokens: [0, 3, 7]\n"))))
    assert [one.workload.cached_tokens for one in cells] == [0, 3, 7]
    assert cells[0].cell_id == plain.cell_id
    assert len({one.cell_id for one in cells}) == 3


@pytest.mark.parametrize(
    ("workload", "line"),
    [
        ("    cached_tokens: 8\n", "6: workloads[0].cached_tokens: must be less than input_tokens (got 8 of 8)"),
        ("    cached_tokens: [0, 9]\n", "6: workloads[0].cached_tokens: must be less than input_tokens (got 9 of 8)"),
        ("    cached_tokens: -1\n", "6: workloads[0].cached_tokens: must be greater than or equal to 0 (got -1)"),
        ("    cached_tokens: 2.5\n", "6: workloads[0].cached_tokens: must be a valid integer (got 2.5)"),
        ("    cached_tokns: 2\n", "6: workloads[0].cached_tokns: unknown key; did you mean 'cached_tokens'"),
    ],
)
def test_a_mistake_in_cached_tokens_is_one_line(tmp_path: Path, workload: str, line: str) -> None:
    path = config(tmp_path, workload)
    with pytest.raises(InputError) as refused:
        read.sweep(path)
    (said,) = refused.value.lines
    assert said.startswith(f"{path}:{line}")


@pytest.mark.alone
def test_a_run_measures_cached_prompts(tmp_path: Path) -> None:
    """From a config to records, with the fake: 6 of 8 tokens cached take a quarter of the programmed time."""
    path = fake_config(
        tmp_path,
        runners="{name: fake, prefill_s: 0, prefill_s_per_token: 0.01}",
        workloads="{batch_size: 1, input_tokens: 8, cached_tokens: [0, 6], output_tokens: 4}",
    )
    done = bench("run", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first = {
        one["cell"]["workload"].get("cached_tokens", 0): one["measurement"]["rounds"][0]["step_s"][0]
        for one in lines(tmp_path / "out")
    }
    assert first == {0: pytest.approx(0.08, rel=0.05), 6: pytest.approx(0.02, rel=0.1)}


def test_the_contract_is_light() -> None:
    """Asking whether a runner keeps prefixes loads no engine."""
    code = (
        "from bench import runners\nassert hasattr(runners.find('transformers'), 'keep_prefix')\n"
        "import sys\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
