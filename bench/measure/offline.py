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

from bench.errors import BrokenContractError, DoesNotFitError
from bench.runners import Runner
from bench.schema import Cell, Measurement, Memory, ModelFacts, Round
from bench.sensors import busy
from bench.sensors.memory import MemorySampler, peak_rss_bytes, reset_peak_rss

Announce = Callable[[str, float | None], None]
"""Called between passes with the name of the next one and an estimate of its seconds, never during one."""


def measure(cell: Cell, replicate: int, runner: Runner, announce: Announce) -> Measurement:
    """Load the model and run every pass of the cell's protocol.

    Raises whatever the runner raises, and BrokenContractError when it gave other tokens than it was asked for.
    """
    announce("loading", None)
    reset_peak_rss()
    start = time.perf_counter_ns()
    for module in runner.ENGINE:
        importlib.import_module(module)
    import_s = _since(start)
    start = time.perf_counter_ns()
    facts = runner.load()
    load_s = _since(start)
    load_peak = peak_rss_bytes()
    _check_positions(cell, facts)

    draw = _Prompts(cell, replicate, facts.vocab_size)
    announce("first generation", None)
    first = _round(cell, runner, draw.next(), clocked=False)
    announce("warm-up", first.done_s * cell.protocol.warmup_rounds)
    warmup = [_round(cell, runner, draw.next(), clocked=False).done_s for _ in range(cell.protocol.warmup_rounds)]
    expected = warmup[-1] if warmup else first.done_s

    gc.collect()
    announce("timing", expected * cell.protocol.rounds)
    rounds = tuple(_round(cell, runner, draw.next(), clocked=True) for _ in range(cell.protocol.rounds))

    memory = _static_memory(cell, facts)
    if cell.protocol.memory_pass:
        announce("memory", median(one.done_s for one in rounds))
        with MemorySampler(facts.device) as sampler:
            _round(cell, runner, draw.next(), clocked=False)
        memory = sampler.reading().model_copy(
            update={
                "weights_bytes": memory.weights_bytes,
                "kv_cache_bytes": memory.kv_cache_bytes,
                "reasons": {**memory.reasons, **sampler.reading().reasons},
            }
        )
    return Measurement(
        facts=facts,
        import_s=import_s,
        load_s=load_s,
        first_generate_s=first.done_s,
        warmup_s=tuple(warmup),
        rounds=rounds,
        memory=memory.model_copy(update={"rss_load_peak_bytes": load_peak}),
        prompt_seed=draw.seed,
    )


class _Prompts:
    """Random token ids, other ones for each round; equal for all precisions of a replicate, so that pairs compare."""

    def __init__(self, cell: Cell, replicate: int, vocab_size: int) -> None:
        self.seed = 1_000_003 * (replicate + 1)
        self._random = random.Random(self.seed)
        self._vocab = vocab_size
        self._rows = cell.workload.batch_size
        self._length = cell.workload.input_tokens

    def next(self) -> list[list[int]]:
        return [self._random.choices(range(self._vocab), k=self._length) for _ in range(self._rows)]


def _round(cell: Cell, runner: Runner, prompts: Sequence[Sequence[int]], *, clocked: bool) -> Round:
    wanted = cell.workload.output_tokens
    stamps: list[int] = []
    rows_seen: list[int] = []
    clock = time.perf_counter_ns
    stamp, see = stamps.append, rows_seen.append

    def on_step(rows: int) -> None:
        stamp(clock())
        see(rows)

    stalled_before = busy.cpu_stalled_s() if clocked else None
    cpu_before = time.process_time()
    start = clock()
    tokens = runner.generate(prompts, wanted, on_step)
    done = clock()
    cpu_s = time.process_time() - cpu_before
    stalled_after = busy.cpu_stalled_s() if clocked else None

    _check_contract(tokens, stamps, rows_seen, len(prompts), wanted)
    both = stalled_before is not None and stalled_after is not None
    return Round(
        step_s=tuple((at - start) / 1e9 for at in stamps),
        done_s=(done - start) / 1e9,
        cpu_s=cpu_s,
        stalled_s=stalled_after - stalled_before if both else None,  # type: ignore[operator]
        tokens_sha256=hashlib.sha256(repr([list(row) for row in tokens]).encode()).hexdigest()[:16],
    )


def _check_contract(
    tokens: Sequence[Sequence[int]], stamps: list[int], rows_seen: list[int], rows: int, wanted: int
) -> None:
    if len(tokens) != rows or any(len(row) != wanted for row in tokens):
        lengths = sorted({len(row) for row in tokens})
        raise BrokenContractError(
            f"the runner gave {len(tokens)} rows of {lengths} tokens, asked for {rows} rows of {wanted}"
        )
    if len(stamps) != wanted or set(rows_seen) != {rows}:
        raise BrokenContractError(
            f"the runner reported {len(stamps)} steps of {sorted(set(rows_seen))} rows, "
            f"asked for {wanted} steps of {rows}"
        )


def _check_positions(cell: Cell, facts: ModelFacts) -> None:
    length = cell.workload.input_tokens + cell.workload.output_tokens
    if facts.max_positions is not None and length > facts.max_positions:
        raise DoesNotFitError(
            f"{length} tokens a row exceed the model's {facts.max_positions} positions",
            "shorten input or output tokens",
        )


def _static_memory(cell: Cell, facts: ModelFacts) -> Memory:
    work = cell.workload
    per_token = facts.kv_bytes_per_token
    if per_token is None:
        return Memory(weights_bytes=facts.weights_bytes, reasons={"kv_cache_bytes": "not known for this architecture"})
    length = work.input_tokens + work.output_tokens
    return Memory(weights_bytes=facts.weights_bytes, kv_cache_bytes=per_token * work.batch_size * length)


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e9
