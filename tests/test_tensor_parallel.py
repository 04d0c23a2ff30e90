"""Several devices for real: tensor parallel ranks over gloo, and accelerate's placement over RAM and disk."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.errors import BrokenContractError, DoesNotFitError, UnsupportedError
from bench.execute import child
from bench.runners.transformers import Options, TransformersRunner, follower, ranks
from bench.schema import (
    Cell,
    FourBit,
    Job,
    KvCache,
    Model,
    ModelFacts,
    Plain,
    Precision,
    Protocol,
    RunnerChoice,
    Workload,
)
from bench.sensors.memory import MemorySampler, peak_rss_bytes

TINY = {
    "vocab_size": 201,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "initializer_range": 0.5,
}
"""Weights as large as these make tokens that differ from each other."""
PROMPTS = [[(5 * row + 3 * place + place * place) % 201 for place in range(10)] for row in range(2)]
NEW = 8
NORMS_BYTES = 4 * 5 * 64
"""Two norms a layer and one after them, which every rank has whole."""


class Deployed(NamedTuple):
    runner: TransformersRunner
    facts: ModelFacts


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of four heads and two layers, saved as an ordinary checkpoint."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("tiny")
    AutoModelForCausalLM.from_config(LlamaConfig(**TINY)).save_pretrained(folder)
    return folder


def deployed(source: Path | str, **options: Any) -> Deployed:
    runner = TransformersRunner(Model(source=str(source)), Plain(name="fp32"), Options.model_validate(options))
    return Deployed(runner, runner.load())


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[None]:
    """As many as the ranks need, whatever this machine has: nothing is timed here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.sensors.environment.usable_cpus", lambda: 2)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def pair(tiny: Path, two_cpus: None, one_thread: None) -> Iterator[Deployed]:
    """Two ranks: this process and one more."""
    before = dict(os.environ)
    found = deployed(tiny, tensor_parallel=2)
    yield found
    found.runner._ranks.close()
    torch.distributed.destroy_process_group()
    os.environ.clear()
    os.environ.update(before)


def tokens(of: Deployed, prompts: Sequence[Sequence[int]] = PROMPTS) -> list[list[int]]:
    steps: list[int] = []
    found = [list(row) for row in of.runner.generate(prompts, NEW, steps.append)]
    assert steps == [len(prompts)] * NEW
    return found


def test_ranks_give_the_tokens_of_one_process(pair: Deployed, tiny: Path) -> None:
    alone = deployed(tiny)
    expected = tokens(alone)
    assert len(set(expected[0])) > 2, "the tokens would agree whatever the ranks did"
    assert tokens(pair) == expected
    assert torch.allclose(pair.runner.logits(PROMPTS), alone.runner.logits(PROMPTS), atol=1e-3)
    pair.runner.keep_prefix(PROMPTS, 6)
    assert tokens(pair) == expected
    # All shards together are the model, and what is not split is there twice.
    assert pair.facts.weights_bytes == alone.facts.weights_bytes + NORMS_BYTES
    assert pair.facts.placement == {"cpu": pair.facts.weights_bytes}
    assert pair.facts.parallel == {"tensor": 2}
    same = ("parameters", "kv_bytes_per_token", "vocab_size", "weights_id", "config", "dtype", "device", "files")
    assert pair.facts.model_dump(include=set(same)) == alone.facts.model_dump(include=set(same))
    assert alone.facts.parallel == {}


def test_the_memory_of_every_rank_is_counted(pair: Deployed) -> None:
    own = psutil.Process().memory_info().rss
    other = pair.runner._ranks._others[0][0].pid
    with MemorySampler((), others=pair.runner) as sampler:
        tokens(pair)
    with MemorySampler((), frozenset({other})) as without:
        tokens(pair)
    held = psutil.Process(other).memory_info().rss
    found, less = sampler.reading().rss_peak_bytes, without.reading().rss_peak_bytes
    assert found is not None
    assert less is not None
    assert found >= own + 0.9 * held
    assert less <= found - 0.9 * held
    assert pair.runner.device_peaks() == {}, "no rank is on a GPU"


def test_ranks_that_choose_other_tokens_are_found_out(pair: Deployed) -> None:
    rows = tokens(pair)
    pair.runner._ranks.agree(rows)
    with pytest.raises(BrokenContractError, match="different tokens"):
        pair.runner._ranks.agree([[0] * NEW, rows[1]])


def test_what_needs_one_process_says_so(pair: Deployed) -> None:
    for ask in (pair.runner.language_model, lambda: pair.runner.profile(PROMPTS, 2, pair.facts)):
        with pytest.raises(UnsupportedError, match="network in one process"):
            ask()


def test_a_peak_between_two_samples_is_the_kernels_to_tell() -> None:
    """A child that held 64 MiB for an instant, before anybody looked."""
    hold = "import sys; x = bytearray(b'1') * 2**26; del x; print('done', flush=True); sys.stdin.read()"
    before = peak_rss_bytes() or 0

    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert (peak_rss_bytes() or 0) >= before + 2**26
        assert (peak_rss_bytes(frozenset({process.pid})) or 0) < before + 2**26
        process.kill()


def test_layers_on_the_cpu_and_on_disk_are_counted_where_they_lie(tiny: Path, one_thread: None) -> None:
    """accelerate's placement, with a map of one's own and with a limit; the tokens are those without a map."""
    alone = deployed(tiny)
    whole = alone.facts.weights_bytes
    layers = alone.runner._loaded.network.model.layers
    last = 4 * sum(one.numel() for one in layers[1].parameters())
    names = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.norm", "lm_head")
    mapped = deployed(tiny, device_map={**dict.fromkeys(names, "cpu"), "model.layers.1": "disk"})
    assert mapped.facts.placement == {"cpu": whole - last, "disk": last}
    assert any("off-loaded to cpu and disk" in note for note in mapped.facts.notes)
    limited = deployed(tiny, device_map="auto", max_memory={"cpu": f"{(whole - 1024) // 1024}KiB"})
    assert limited.facts.weights_bytes == whole == sum(limited.facts.placement.values())
    assert min(limited.facts.placement["cpu"], limited.facts.placement["disk"]) > 0
    assert tokens(mapped) == tokens(limited) == tokens(alone)


@pytest.mark.parametrize(
    ("source", "precision", "ranks_asked", "reason", "remedy"),
    [
        ("shape:smollm2-135m", Plain(name="bf16"), 2, "does not divide the model's 9 heads and 3 key-value", ": 3"),
        ("shape:llama-3.1-8b", FourBit(name="nf4"), 2, "splits fp32, fp16, bf16 only here, not nf4", "leave tensor_p"),
        (
            "shape:llama-3.1-8b",
            Plain(name="bf16", kv_cache=KvCache(format="int4")),
            2,
            "not quantised keys and values",
            "leave tensor_parallel out",
        ),
        ("model.gguf", Plain(name="bf16"), 2, "a GGUF file is read whole", "safetensors"),
        ("shape:llama-3.1-8b", Plain(name="bf16"), 8, "needs 8 CPUs where there is no GPU", "use tensor_parallel: 2"),
    ],
)
def test_what_cannot_be_split_says_so_before_a_process_is_started(
    source: str,
    precision: Precision,
    ranks_asked: int,
    reason: str,
    remedy: str,
    two_cpus: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks, "_started", lambda *_: pytest.fail("started a process"))
    runner = TransformersRunner(Model(source=source), precision, Options(tensor_parallel=ranks_asked))
    with pytest.raises(UnsupportedError) as raised:
        runner.load()
    assert reason in raised.value.reason
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("error", "kind", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), ranks.RankError, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ranks.RankError, True),
        (ValueError("odd"), ranks.RankError, False),
        (UnsupportedError("cannot", "do"), UnsupportedError, False),
        (DoesNotFitError("too big", "less"), DoesNotFitError, False),
    ],
)
def test_what_ends_another_rank_is_raised_as_if_it_were_this_one(
    error: Exception, kind: type[Exception], is_memory: bool
) -> None:
    runner = TransformersRunner(Model(source="x"), Plain(name="fp32"), Options())
    raised = ranks._typed(3, follower._said(error, runner))
    assert type(raised) is kind
    assert "rank 3: " in str(raised)
    assert runner.out_of_memory(raised) is is_memory


# --- whole jobs


def job(tiny: Path | str, rounds: int = 2, **options: Any) -> Job:
    cell = Cell(
        model=Model(source=str(tiny)),
        precision=Plain(name="fp32"),
        runner=RunnerChoice(name="transformers", options=options),
        workload=Workload(batch_size=2, input_tokens=16, output_tokens=12),
        protocol=Protocol(rounds=rounds, warmup_rounds=1),
    )
    return Job(cell=cell, replicate=0)


def followers() -> list[psutil.Process]:
    """Those of whole jobs; the one of `pair` is this process's own child."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.ppid() != os.getpid() and "bench.runners.transformers.follower" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def nothing(phase: str, estimate_s: float | None) -> None:
    """Of no interest."""


needs_two = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a rank takes a CPU, and this machine has one")


@pytest.mark.slow
@needs_two
@pytest.mark.parametrize("kind", ["checkpoint", "shape"])
def test_a_record_of_two_ranks_has_the_tokens_of_one(
    kind: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real weights, and random ones, which each rank draws whole and keeps its share of."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    source = tiny if kind == "checkpoint" else f"shape:{tiny / 'config.json'}"
    done = [
        child.run(job(source, **options), tmp_path / "log", 240, nothing) for options in ({}, {"tensor_parallel": 2})
    ]
    alone, two = (one.measurement for one in done)
    assert alone is not None, done[0].error
    assert two is not None, done[1].error
    shared = min(len(alone.rounds), len(two.rounds))
    assert [one.tokens_sha256 for one in alone.rounds[:shared]] == [one.tokens_sha256 for one in two.rounds[:shared]]
    assert two.facts.parallel == {"tensor": 2}
    assert two.facts.random_weights is (kind == "shape")
    assert two.memory.rss_peak_bytes is not None
    assert alone.memory.rss_peak_bytes is not None
    assert two.memory.rss_peak_bytes > 1.5 * alone.memory.rss_peak_bytes, "both processes hold torch"
    assert two.memory.rss_load_peak_bytes is not None
    assert alone.memory.rss_load_peak_bytes is not None
    assert two.memory.rss_load_peak_bytes > 1.5 * alone.memory.rss_load_peak_bytes
    assert two.memory.kv_cache_bytes == alone.memory.kv_cache_bytes
    assert followers() == []


def killed_when(seen: Callable[[str], bool], number: signal.Signals) -> Callable[[str, float | None], None]:
    """A listener that signals the other rank in the phase that is `seen`."""

    def shoot() -> None:
        for _ in range(1500):
            time.sleep(0.1)
            for process in followers():
                process.send_signal(number)
                return

    def heard(phase: str, _: float | None) -> None:
        if seen(phase):
            threading.Thread(target=shoot, daemon=True).start()

    return heard


@pytest.mark.slow
@needs_two
@pytest.mark.parametrize(
    ("phase", "number", "status", "reason"),
    [
        ("timing", signal.SIGKILL, "oom", "rank 1 was killed by the system (signal 9)"),
        ("timing", signal.SIGTERM, "crashed", "rank 1 died of signal 15"),
        ("loading", signal.SIGKILL, "oom", "rank 1 was killed by the system (signal 9)"),
    ],
)
def test_a_rank_that_dies_ends_the_cell_in_words(
    phase: str,
    number: signal.Signals,
    status: str,
    reason: str,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    start = time.monotonic()
    listen = killed_when(lambda now: now == phase, number)
    done = child.run(job(tiny, rounds=400, tensor_parallel=2), tmp_path / "log", 240, listen)
    assert done.status == status
    assert done.error is not None
    assert reason in done.error.reason
    assert time.monotonic() - start < 120
    assert followers() == []
