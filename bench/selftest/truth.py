"""Programmed values come back: times, rates, counts, memory, energy and dollars of a runner that follows a formula."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from bench.cost import dollars
from bench.metrics import latency
from bench.schema import Cell
from bench.selftest.case import USD_PER_HOUR, Case, Result, cell
from bench.selftest.check import SHARE, Check, equal, near, once, rate, seconds

MEMORY_SHARE = 0.02
MEMORY_LEAST = 2_000_000
JITTER_SD = 0.03

PLAIN = {"prefill_s": 0.05, "step_s": 0.01}


@dataclass(frozen=True)
class Truth:
    """What the formula of the fake says of a cell, in seconds."""

    ttft_s: float
    tpot_s: float
    e2el_s: float

    @classmethod
    def of(cls, one: Cell) -> "Truth":
        options, work = one.runner.options, one.workload
        ttft = options["prefill_s"] + options["prefill_s_per_token"] * work.batch_size * work.input_tokens
        return cls(ttft, options["step_s"], ttft + (work.output_tokens - 1) * options["step_s"])


def cases() -> list[Case]:
    """All of them, about fifteen seconds of programmed time."""
    per_token = {"prefill_s": 0.02, "prefill_s_per_token": 0.0002, "step_s": 0.01}
    noise = {"jitter_sd": JITTER_SD, "seed": 1}
    once_only = {"load_s": 0.3, "first_s": 0.3, "power_w": 50.0}
    large = {"memory_bytes": 64_000_000, "growth_bytes": 16_000_000}
    short = {"prefill_s": 0.03, "step_s": 0.002}
    return [
        Case("batch 1", (cell("batch 1", {**PLAIN, **once_only}, rounds=7),), of_one_row),
        Case("batch 8", (cell("batch 8", per_token, rows=8, rounds=7),), of_eight_rows),
        Case("jitter", (cell("jitter", {**PLAIN, "noise": noise}, new=32),), of_jitter),
        Case("long prompt", (cell("long prompt", {"prefill_s": 0.3, "step_s": 0.004}),), of_a_long_prompt),
        Case("one token", (cell("one token", PLAIN, new=1),), of_one_token),
        Case("prefix cache", (cell("prefix cache", {**PLAIN, "prefix_cache": True}, new=4),), of_a_prefix_cache),
        Case(
            "memory",
            (
                cell("small", short, new=4, rounds=2, memory_pass=True),
                cell("large", {**short, **large}, new=4, rounds=2, memory_pass=True),
            ),
            of_memory,
        ),
    ]


def of_one_row(results: Sequence[Result]) -> list[Check]:
    """Also what happens once in a process, and energy."""
    return [*timing(results[0]), *happens_once(results[0]), *energy(results[0]), *few_samples(results[0])]


def of_eight_rows(results: Sequence[Result]) -> list[Check]:
    """Also what confuses rows with requests, and tokens with batches."""
    return [*timing(results[0]), *counts(results[0]), *bill(results[0])]


def timing(result: Result) -> list[Check]:
    """Times and rates as the table publishes them, medians over rounds."""
    figures, truth, work = result.figures(), Truth.of(result.cell), result.cell.workload
    prefill, decode = figures.prefill_tokens_per_s, figures.decode_tokens_per_s
    whole, new = work.batch_size * work.input_tokens, work.batch_size * work.output_tokens
    name = result.cell.cell_id.replace("-", " ")
    return [
        seconds(f"{name}: TTFT", truth.ttft_s, figures.ttft_s.value if figures.ttft_s else None),
        seconds(f"{name}: TPOT", truth.tpot_s, figures.tpot_s.value if figures.tpot_s else None),
        seconds(f"{name}: end to end", truth.e2el_s, figures.e2el_s.value),
        rate(f"{name}: prefill tokens", whole, truth.ttft_s, prefill.value if prefill else None),
        rate(f"{name}: decode tokens", work.batch_size, truth.tpot_s, decode.value if decode else None),
        rate(f"{name}: output tokens", new, truth.e2el_s, figures.output_tokens_per_s.value),
    ]


def happens_once(result: Result) -> list[Check]:
    """Loading and the truly first generation, which the second is not."""
    found, truth, options = result.measurement(), Truth.of(result.cell), result.cell.runner.options
    return [
        once("loading", options["load_s"], found.load_s),
        once("first generation, compilation in it", options["first_s"] + truth.e2el_s, found.first_generate_s),
        once("second generation", truth.e2el_s, found.warmup_s[0] if found.warmup_s else None),
    ]


def energy(result: Result) -> list[Check]:
    """Joules of the timed rounds alone: no loading, no warm-up."""
    found, truth = result.measurement(), Truth.of(result.cell)
    joules = result.cell.runner.options["power_w"] * result.cell.protocol.rounds * truth.e2el_s
    counted = found.window.energy.cpu_energy_j if found.window is not None else None
    return [near("energy of the timed rounds", joules, counted, SHARE * joules, "J")]


def counts(result: Result) -> list[Check]:
    """Whole numbers, exact."""
    found, work, figures = result.measurement(), result.cell.workload, result.figures()
    steps = {len(one.step_s) for one in found.rounds}
    # Rates come from tokens and not from requests: undone by their own time they are all tokens of the batch.
    tokens = round(figures.output_tokens_per_s.value * figures.e2el_s.value, 6)
    return [
        equal("timed rounds", result.cell.protocol.rounds, len(found.rounds)),
        equal("steps of each round", work.output_tokens, steps.pop() if len(steps) == 1 else None),
        equal("output tokens of a batch, not requests", work.batch_size * work.output_tokens, tokens),
    ]


def bill(result: Result) -> list[Check]:
    """The two parts of the dollars add up to what the machine cost for the batch."""
    truth, work, figures = Truth.of(result.cell), result.cell.workload, result.figures()
    whole = dollars.bill_usd(USD_PER_HOUR, figures.e2el_s.value, 1.0)
    prompt, new = work.batch_size * work.input_tokens, work.batch_size * work.output_tokens
    parts = dollars.split(whole, figures.prefill_share or 0.0, prompt, new)
    added = ((parts.input_usd_per_mtok or 0) * prompt + (parts.output_usd_per_mtok or 0) * new) / dollars.MTOK
    programmed = USD_PER_HOUR / dollars.SECONDS_PER_HOUR * truth.e2el_s
    return [
        near("input and output dollars add up to the bill", whole, added, 1e-9 * whole, "USD"),
        near("the bill of a batch", programmed, added, SHARE * programmed, "USD"),
    ]


def few_samples(result: Result) -> list[Check]:
    """A few rounds have no 99th percentile."""
    shown = result.figures().percentiles["ttft_s"][99]
    text = "a number" if isinstance(shown, float) else str(shown).partition(" (")[0]
    return [equal(f"p99 of {result.cell.protocol.rounds} rounds", "n too small", text)]


def of_jitter(results: Sequence[Result]) -> list[Check]:
    """Lognormal steps: their mean is exp(σ²/2) of the programmed step, to 1 %."""
    truth = Truth.of(results[0].cell)
    times = [latency.of_round(one) for one in results[0].measurement().rounds]
    programmed = truth.tpot_s * math.exp(JITTER_SD**2 / 2)
    return [near("jitter: mean TPOT", programmed, mean(one.tpot_s or 0 for one in times), SHARE * programmed, "s")]


def of_a_long_prompt(results: Sequence[Result]) -> list[Check]:
    """A TTFT of 75 steps is not in TPOT."""
    return timing(results[0])[:3]


def of_one_token(results: Sequence[Result]) -> list[Check]:
    """One token has no time per output token: null, never 0."""
    figures, truth = results[0].figures(), Truth.of(results[0].cell)
    return [
        seconds("one token: TTFT", truth.ttft_s, figures.ttft_s.value if figures.ttft_s else None),
        equal("one token: TPOT", "null", "null" if figures.tpot_s is None else figures.tpot_s.value),
        equal("one token: decode rate", "null", "null" if figures.decode_tokens_per_s is None else "a number"),
    ]


def of_a_prefix_cache(results: Sequence[Result]) -> list[Check]:
    """No prompt is used twice, so that even the fastest round has the whole TTFT."""
    truth = Truth.of(results[0].cell)
    fastest = min(one.step_s[0] for one in results[0].measurement().rounds)
    return [seconds("prefix cache: fastest TTFT", truth.ttft_s, fastest)]


def of_memory(results: Sequence[Result]) -> list[Check]:
    """Bytes of one process over those of another that is the same but for what was programmed."""
    small, large = (one.measurement().memory for one in results)
    cell = results[1].cell
    options, protocol = cell.runner.options, cell.protocol
    generations = 1 + protocol.warmup_rounds + protocol.rounds + 1
    peak = options["memory_bytes"] + generations * options["growth_bytes"]
    return [
        equal("weights", options["memory_bytes"], large.weights_bytes, "B"),
        _bytes("peak memory, loading", options["memory_bytes"], large.rss_load_peak_bytes, small.rss_load_peak_bytes),
        _bytes("peak memory, generating", peak, large.rss_peak_bytes, small.rss_peak_bytes),
    ]


def _bytes(name: str, programmed: int, large: int | None, small: int | None) -> Check:
    grown = None if large is None or small is None else large - small
    return near(name, programmed, grown, MEMORY_SHARE * programmed + MEMORY_LEAST, "B")
