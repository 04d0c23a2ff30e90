"""A static batch, timed in this process.

The runner calls `on_step` when the tokens of a step are on the host; the stamps are taken here, on one monotonic clock.
Passes are separate: first generation, warm-up, timed rounds, then one round with memory samplers on, because samplers
slow what they watch. A random prompt is never used twice, so that no prefix cache can answer for the model.
"""

import gc
import hashlib
import importlib
import random
import time
from collections.abc import Callable, Sequence
from statistics import median

from bench.errors import BrokenContractError, UnsupportedError
from bench.runners import Runner
from bench.schema import Cell, Measurement, Memory, ModelFacts, Round
from bench.sensors import busy
from bench.sensors.memory import MemorySampler, peak_rss_bytes, reset_peak_rss

SAMPLED = (
    "rss_peak_bytes",
    "pss_peak_bytes",
    "cuda_peak_allocated_bytes",
    "cuda_peak_reserved_bytes",
    "device_used_peak_bytes",
)

Announce = Callable[[str, float | None], None]
"""Called between passes with the name of the next one and an estimate of its seconds, never during one."""


def measure(cell: Cell, replicate: int, runner: Runner, announce: Announce) -> Measurement:
    """Load the model and run every pass of the cell's protocol.

    Raises whatever the runner raises, and BrokenContractError when it gave other tokens than it was asked for.
    """
    announce("loading", None)
    can_reset = reset_peak_rss()
    start = time.perf_counter_ns()
    for module in runner.ENGINE:
        importlib.import_module(module)
    import_s = _since(start)
    start = time.perf_counter_ns()
    facts = runner.load()
    load_s = _since(start)
    load_peak = peak_rss_bytes() if can_reset else None
    _check_positions(cell, facts)

    draw = Prompts(cell, replicate, facts.vocab_size)
    announce("first generation", None)
    new_tokens = cell.workload.output_tokens
    first = timed_round(runner, draw.next(), new_tokens)
    announce("warm-up", first.done_s * cell.protocol.warmup_rounds)
    warmup = [timed_round(runner, draw.next(), new_tokens).done_s for _ in range(cell.protocol.warmup_rounds)]
    expected = warmup[-1] if warmup else first.done_s

    gc.collect()
    announce("timing", expected * cell.protocol.rounds)
    rounds = tuple(timed_round(runner, draw.next(), new_tokens) for _ in range(cell.protocol.rounds))

    memory = Memory(reasons=dict.fromkeys(SAMPLED, "protocol.memory_pass is off"))
    if cell.protocol.memory_pass:
        announce("memory", median(one.done_s for one in rounds))
        with MemorySampler(any(place.startswith("cuda") for place in facts.placement)) as sampler:
            timed_round(runner, draw.next(), new_tokens)
        memory = sampler.reading()
    memory = _with_static(memory, cell, facts, load_peak)
    return Measurement(
        facts=facts,
        import_s=import_s,
        load_s=load_s,
        first_generate_s=first.done_s,
        warmup_s=tuple(warmup),
        rounds=rounds,
        memory=memory,
        prompt_seed=draw.seed,
    )


class Prompts:
    """Random token ids, other ones for each round; equal for all precisions of a replicate, so that pairs compare."""

    def __init__(self, cell: Cell, replicate: int, vocab_size: int) -> None:
        self.seed = 1_000_003 * (replicate + 1)
        self._random = random.Random(self.seed)
        self._vocab = vocab_size
        self._rows = cell.workload.batch_size
        self._length = cell.workload.input_tokens

    def next(self) -> list[list[int]]:
        return [self._random.choices(range(self._vocab), k=self._length) for _ in range(self._rows)]


class Stamps:
    """When each step's tokens were on the host: one stamp a step, not one a row."""

    def __init__(self) -> None:
        self.at_ns: list[int] = []
        self.rows: list[int] = []

    def on_step(self, rows: int) -> None:
        """What a runner calls; this is all that the harness does inside a timed window."""
        self.at_ns.append(time.perf_counter_ns())
        self.rows.append(rows)


def timed_round(runner: Runner, prompts: Sequence[Sequence[int]], new_tokens: int) -> Round:
    """Generate once and say when each step was done. Raises BrokenContractError for other tokens than asked for."""
    stamps = Stamps()
    stalled_before = busy.cpu_stalled_s()
    cpu_before = time.process_time()
    start = time.perf_counter_ns()
    tokens = runner.generate(prompts, new_tokens, stamps.on_step)
    done = time.perf_counter_ns()
    cpu_s = time.process_time() - cpu_before
    stalled_after = busy.cpu_stalled_s()

    _check_contract(tokens, stamps, len(prompts), new_tokens)
    return Round(
        step_s=tuple((at - start) / 1e9 for at in stamps.at_ns),
        done_s=(done - start) / 1e9,
        cpu_s=cpu_s,
        stalled_s=None if stalled_before is None or stalled_after is None else stalled_after - stalled_before,
        tokens_sha256=hashlib.sha256(repr([list(row) for row in tokens]).encode()).hexdigest()[:16],
    )


def _check_contract(tokens: Sequence[Sequence[int]], stamps: Stamps, rows: int, wanted: int) -> None:
    if len(tokens) != rows or any(len(row) != wanted for row in tokens):
        lengths = sorted({len(row) for row in tokens})
        raise BrokenContractError(
            f"the runner gave {len(tokens)} rows of {lengths} tokens, asked for {rows} rows of {wanted}"
        )
    if len(stamps.at_ns) != wanted or set(stamps.rows) != {rows}:
        raise BrokenContractError(
            f"the runner reported {len(stamps.at_ns)} steps of {sorted(set(stamps.rows))} rows, "
            f"asked for {wanted} steps of {rows}"
        )


def _check_positions(cell: Cell, facts: ModelFacts) -> None:
    length = cell.workload.input_tokens + cell.workload.output_tokens
    if facts.max_positions is not None and length > facts.max_positions:
        raise UnsupportedError(
            f"{length} tokens a row exceed the model's {facts.max_positions} positions",
            "shorten input or output tokens",
        )


def _with_static(memory: Memory, cell: Cell, facts: ModelFacts, load_peak: int | None) -> Memory:
    """The sampled memory with what is known without a sampler."""
    work, per_token = cell.workload, facts.kv_bytes_per_token
    known: dict[str, int] = {"weights_bytes": facts.weights_bytes}
    reasons = dict(memory.reasons)
    if per_token is None:
        reasons["kv_cache_bytes"] = "not known for this architecture"
    else:
        known["kv_cache_bytes"] = per_token * work.batch_size * (work.input_tokens + work.output_tokens)
    if load_peak is None:
        reasons["rss_load_peak_bytes"] = "this system has no resettable peak"
    else:
        known["rss_load_peak_bytes"] = load_peak
    return memory.model_copy(update={**known, "reasons": reasons})


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e9
