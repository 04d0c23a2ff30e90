"""A static batch, timed in this process.

The runner calls `on_step` when the tokens of a step are on the host; the stamps are taken here, on one monotonic clock.
Passes are separate: first generation, warm-up, timed rounds, then one round with memory samplers on, because samplers
slow what they watch. Energy, clocks and temperatures are read at the edges of the timed rounds, never during them. A
random prompt is never used twice, so that no prefix cache can answer for the model. Where a workload has cached tokens,
the runner computes their keys and values just before each round, off the clock: every prompt's own.
"""

import gc
import hashlib
import importlib
import math
import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import TypeVar

from bench.errors import BrokenContractError, InputError, UnsupportedError
from bench.runners import CountsDeviceMemory, CountsEnergy, KeepsPrefix, Prepares, Runner, Schedules
from bench.schema import Cell, Energy, Measurement, Memory, ModelFacts, Protocol, Round, Window, Workload
from bench.sensors import busy, edges
from bench.sensors.energy import EnergyMeter
from bench.sensors.memory import MemorySampler, peak_rss_bytes, reset_peak_rss

SAMPLED = (
    "rss_peak_bytes",
    "pss_peak_bytes",
    "cuda_peak_allocated_bytes",
    "cuda_peak_reserved_bytes",
    "device_used_peak_bytes",
    "device_process_peak_bytes",
)

FEWEST_STEPS_TO_TELL = 5
LATE_SHARE = 0.1
FEW_SHORT = 0.2
SHORTEST_STEP_S = 1e-4

Announce = Callable[[str, float | None], None]
"""Called between passes with the name of the next one and an estimate of its seconds, never during one."""


def measure(cell: Cell, replicate: int, runner: Runner, announce: Announce) -> Measurement:
    """Load the model and run every pass of the cell's protocol.

    Raises whatever the runner raises, BrokenContractError when it gave other tokens than it was asked for, and
    UnsupportedError for cached tokens with a runner that keeps no prefix.
    """
    _check_prefix(cell, runner)
    _check_scheduling(cell, runner)
    announce("loading", None)
    begun = time.perf_counter_ns()
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

    devices = tuple(sorted(place for place in facts.placement if place.startswith("cuda")))
    # Long before the window: opening counters may start processes, whose own start must be over by then.
    meter = EnergyMeter(devices, runner.energy_j if isinstance(runner, CountsEnergy) else None)

    draw = Prompts(cell, replicate, facts.vocab_size)
    expected = 0.0

    def one_round() -> Round:
        nonlocal expected
        start = time.perf_counter_ns()
        done = timed_round(runner, draw.next(), cell.workload)
        expected = _since(start)  # with what comes before its clock
        return done

    announce("first generation", None)
    first = one_round()
    announce("warm-up", expected * cell.protocol.warmup_rounds)
    warmup = [one_round().done_s for _ in range(cell.protocol.warmup_rounds)]

    wanted = worthwhile_rounds(cell.protocol, _since(begun), expected)
    gc.collect()
    announce("timing", expected * wanted)
    rounds, window = _timed(one_round, wanted, devices, meter)
    check_rounds(rounds)
    if cell.workload.cached_tokens:
        window = window.model_copy(update={"energy": _without_joules(window.energy)})

    memory = Memory(reasons=dict.fromkeys(SAMPLED, "protocol.memory_pass is off"))
    if cell.protocol.memory_pass:
        announce("memory", expected)
        others = runner if isinstance(runner, CountsDeviceMemory) else None
        with MemorySampler(devices, meter.helpers, others) as sampler:
            one_round()
        memory = sampler.reading()
    memory = _with_static(memory, cell, facts, load_peak)
    return Measurement(
        facts=facts,
        import_s=import_s,
        load_s=load_s,
        first_generate_s=first.done_s,
        warmup_s=tuple(warmup),
        rounds=rounds,
        window=window,
        memory=memory,
        prompt_seed=draw.seed,
    )


def prepared(runner: Runner, announce: Announce) -> float | None:
    """Seconds that it took to make what is kept for later runs; None where there was nothing to make."""
    if not isinstance(runner, Prepares):
        return None
    announce("preparing", None)
    start = time.perf_counter_ns()
    return _since(start) if runner.prepare() else None


def worthwhile_rounds(protocol: Protocol, start_s: float, round_s: float) -> int:
    """How many rounds a process times, when it took `start_s` to start and a round takes `round_s`.

    The variance of a mean over processes of R rounds each is least for a given time at R = √(start / round), where
    rounds of one process vary as much as processes do (two-stage sampling; Cochran, Sampling Techniques, 10.6).
    """
    best = math.ceil(math.sqrt(start_s / round_s)) if round_s > 0 else protocol.max_rounds
    return max(protocol.rounds, min(best, protocol.max_rounds))


def _timed(
    one_round: Callable[[], Round], count: int, devices: tuple[str, ...], meter: EnergyMeter
) -> tuple[tuple[Round, ...], Window]:
    """The timed rounds, between two readings of everything that is read at edges only."""
    edge = edges.read(devices)
    meter.start()
    other = _other_clock_ns()
    start = time.perf_counter_ns()
    rounds = tuple(one_round() for _ in range(count))
    duration_s = _since(start)
    other_s = None if other is None else ((_other_clock_ns() or 0) - other) / 1e9
    energy = meter.stop()
    window = Window(start=edge, end=edges.read(devices), duration_s=duration_s, other_clock_s=other_s, energy=energy)
    return rounds, window


def _other_clock_ns() -> int | None:
    """A second clock, to catch a first one that jumps, stands still or runs wrong: on Linux the one that also counts
    the time for which the machine was suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else None


def check_rounds(rounds: Sequence[Round]) -> None:
    """Raises BrokenContractError for stamps that no engine's tokens can have.

    Two rounds never take the same nanoseconds step by step: one was reported twice. Where the last two steps always
    come together although the others do not, each token is reported a step late, and the first token's time is wrong.
    """
    if len(rounds[0].step_s) < FEWEST_STEPS_TO_TELL:
        return  # a few stamps of a coarse clock may well be equal, and the last gap says nothing
    if len({one.step_s for one in rounds}) < len(rounds):
        raise BrokenContractError("two timed rounds have the very same stamps: one was reported twice")
    # The last step of a batch that is scheduled continuously may be one of few rows.
    if rounds[0].step_rows is None and _are_late([one.step_s for one in rounds]):
        raise BrokenContractError("the last two steps come together: tokens are reported one step late")


def _are_late(rounds: Sequence[Sequence[float]]) -> bool:
    """Whether the last gap of the rounds is next to nothing, and other gaps hardly ever are.

    Medians over the rounds, because a hiccup of the machine stretches one gap and shortens the next. Engines that give
    several tokens at once have many short gaps, and one that takes no time at all has nothing to be late with.
    """
    gaps = [[later - earlier for earlier, later in pairwise(step_s)] for step_s in rounds]
    usual = median(gap for own in gaps for gap in own)
    if usual < SHORTEST_STEP_S or median(own[-1] for own in gaps) > LATE_SHARE * usual:
        return False
    others = [gap for own in gaps for gap in own[:-1]]
    return sum(gap < LATE_SHARE * usual for gap in others) < FEW_SHORT * len(others)


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


def timed_round(runner: Runner, prompts: Sequence[Sequence[int]], work: Workload) -> Round:
    """Generate once and say when each step was done. Raises BrokenContractError for other tokens than asked for.

    The workload's cached tokens of each prompt are in the runner's cache before the clock starts.
    """
    new_tokens, continuous = work.output_tokens, work.scheduling == "continuous"
    generate = runner.generate
    if continuous:
        assert isinstance(runner, Schedules)
        generate = runner.generate_continuously
    if work.cached_tokens:
        assert isinstance(runner, KeepsPrefix)
        runner.keep_prefix(prompts, work.cached_tokens)
    stamps = Stamps()
    stalled, stolen, switches = busy.cpu_stalled_s(), busy.cpu_stolen_s(), busy.involuntary_switches()
    cpu_before = time.process_time()
    start = time.perf_counter_ns()
    tokens = generate(prompts, new_tokens, stamps.on_step)
    done = time.perf_counter_ns()
    cpu_s = time.process_time() - cpu_before
    stalled = _difference(busy.cpu_stalled_s(), stalled)
    stolen = _difference(busy.cpu_stolen_s(), stolen)
    switches = _difference(busy.involuntary_switches(), switches)

    _check_contract(tokens, stamps, len(prompts), new_tokens, continuous)
    _check_clock([start, *stamps.at_ns, done])
    return Round(
        step_s=tuple((at - start) / 1e9 for at in stamps.at_ns),
        step_rows=tuple(stamps.rows) if continuous else None,
        done_s=(done - start) / 1e9,
        cpu_s=cpu_s,
        stalled_s=stalled,
        stolen_s=stolen,
        switches=switches,
        tokens_sha256=hashlib.sha256(repr([list(row) for row in tokens]).encode()).hexdigest()[:16],
    )


def _check_contract(tokens: Sequence[Sequence[int]], stamps: Stamps, rows: int, wanted: int, continuous: bool) -> None:
    if len(tokens) != rows or any(len(row) != wanted for row in tokens):
        lengths = sorted({len(row) for row in tokens})
        raise BrokenContractError(
            f"the runner gave {len(tokens)} rows of {lengths} tokens, asked for {rows} rows of {wanted}"
        )
    if continuous:
        if sum(stamps.rows) != rows * wanted or not all(1 <= each <= rows for each in stamps.rows):
            raise BrokenContractError(
                f"the runner reported {sum(stamps.rows)} tokens in steps of {min(stamps.rows, default=0)} to "
                f"{max(stamps.rows, default=0)} rows, asked for {rows} rows of {wanted}"
            )
        return
    if len(stamps.at_ns) != wanted or set(stamps.rows) != {rows}:
        raise BrokenContractError(
            f"the runner reported {len(stamps.at_ns)} steps of {sorted(set(stamps.rows))} rows, "
            f"asked for {wanted} steps of {rows}"
        )


def _check_clock(at_ns: Sequence[int]) -> None:
    if any(later < earlier for earlier, later in pairwise(at_ns)):
        raise BrokenContractError("the clock went back during a round; measure again")


N = TypeVar("N", int, float)


def _difference(after: N | None, before: N | None) -> N | None:
    """What a counter counted; None where it was absent at either end."""
    return None if after is None or before is None else after - before


def _check_prefix(cell: Cell, runner: Runner) -> None:
    work = cell.workload
    if work.cached_tokens >= work.input_tokens:
        raise InputError(f"{work.cached_tokens} cached tokens of {work.input_tokens}: at least one must be computed")
    if work.cached_tokens and not isinstance(runner, KeepsPrefix):
        raise UnsupportedError(
            f"the runner {cell.runner.name} cannot have a part of its prompts in the cache before the clock starts",
            "leave cached_tokens out, or choose a runner that keeps prefixes (keep_prefix)",
        )


def _check_scheduling(cell: Cell, runner: Runner) -> None:
    if cell.workload.scheduling == "continuous" and not isinstance(runner, Schedules):
        raise UnsupportedError(
            f"the runner {cell.runner.name} computes static batches alone",
            "leave scheduling out, or choose a runner whose engine schedules requests (generate_continuously)",
        )


def _without_joules(energy: Energy) -> Energy:
    """Prefixes are computed between the rounds, and a counter that is read at the edges cannot leave them out."""
    why = "computing the cached prefixes is in the same window as the timed rounds"
    known = [name for name in ("gpu_energy_j", "cpu_energy_j", "dram_energy_j") if getattr(energy, name) is not None]
    return Energy(reasons={**energy.reasons, **dict.fromkeys(known, why)})


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
    elif work.scheduling == "continuous":
        reasons["kv_cache_bytes"] = "as large as the rows that the engine runs at once"
    else:
        known["kv_cache_bytes"] = per_token * work.batch_size * (work.input_tokens + work.output_tokens)
    if load_peak is None:
        reasons["rss_load_peak_bytes"] = "this system has no resettable peak"
    else:
        known["rss_load_peak_bytes"] = load_peak
    return memory.model_copy(update={**known, "reasons": reasons})


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e9
