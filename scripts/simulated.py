"""The fake's noise in virtual time: whole runs without sleeping, through the real rounds, figures and stopping rule.

What `scripts/coverage.py` and `scripts/false_alarms.py` share. A replicate takes about 15 s, as that of a small model
does on a CPU: ten to start, then six rounds of 0.9 s (first generation, warm-up, three that are timed, memory). Three
cells take turns, so that replicates of one lie 45 s apart.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.metrics import enough, latency
from bench.metrics.latency import Times
from bench.runners.fake.noise import Machine, Noise, Process
from bench.schema import Measurement, ModelFacts, Round, Sampling, Stop, Sweep

PREFILL_S = 0.3
STEP_S = 0.02
TOKENS = 32
START_S = 9.5
FIRST_ROUNDS = 2
TIMED_ROUNDS = 3
CELLS = 3

LEAST: int = Sweep.model_fields["replicates"].default
FACTS = ModelFacts(parameters=1000, weights_bytes=2000, vocab_size=1000, dtype="fp32", device="fake")

JITTER = {"jitter_sd": 0.10}
TAILS = {"tail_share": 0.02, "tail_shape": 1.5}
BURSTS = {"burst_slowdown": 0.2, "burst_s": 20.0, "calm_s": 40.0}
DRIFT = {"drift_sd": 0.02, "drift_s": 120.0}

SCENARIOS = {
    "quiet": Noise(process_sd=0.01, jitter_sd=0.01),
    "jitter": Noise(process_sd=0.05, **JITTER),
    "heavy tails": Noise(process_sd=0.05, **TAILS),
    "bursts": Noise(process_sd=0.05, **BURSTS),
    "drift": Noise(process_sd=0.05, **DRIFT),
    "all of them": Noise(process_sd=0.05, **JITTER, **TAILS, **BURSTS, **DRIFT),
}
"""In all but the quiet one each process has a speed of its own with a CV of 5 %, the least of what small shared
machines show. A tail makes one step in fifty slower, by a factor of 3 on average and of infinite variance. The
neighbour is busy for 20 s in each minute. The drift changes the speed by 2 % (standard deviation) within two minutes.
"""

LIMITS = {
    "nothing but drift": Noise(process_sd=0.01, drift_sd=0.03, drift_s=120),
    "drift of ten minutes": Noise(process_sd=0.05, drift_sd=0.03, drift_s=600),
    "a rare neighbour": Noise(process_sd=0.01, burst_slowdown=0.5, burst_s=20, calm_s=380),
}
"""What a run of a quarter of an hour cannot see whole: its intervals hold for the time that it took, not for others."""


@dataclass
class Measured:
    """One simulated cell: the times of its replicates in order, and why it stopped."""

    times: list[Times] = field(default_factory=list)
    spent_s: float = 0.0
    stop: Stop | None = None


def replicate(
    noise: Noise, machine: Machine, draw: random.Random, at_s: float, slower: float = 1.0
) -> tuple[Measurement, float]:
    """What a process measures that starts at `at_s`, and when it ends. `slower` multiplies all programmed times."""
    process = Process(noise, machine, draw)
    prefill_s, step_s = PREFILL_S * slower, STEP_S * slower
    untimed_s = prefill_s + step_s * (TOKENS - 1)
    at = at_s + START_S
    for _ in range(FIRST_ROUNDS):
        at += untimed_s * machine.factor(at)
    rounds = []
    for _ in range(TIMED_ROUNDS):
        stamps, elapsed = [], 0.0
        for takes in process.durations(prefill_s, step_s, TOKENS, at):
            elapsed += takes
            stamps.append(elapsed)
        rounds.append(Round(step_s=tuple(stamps), done_s=elapsed))
        at += elapsed
    at += untimed_s * machine.factor(at)
    return Measurement(facts=FACTS, load_s=START_S, first_generate_s=untimed_s, rounds=tuple(rounds)), at


def run(
    noise: Noise,
    seed: str,
    cells: int = CELLS,
    sampling: Sampling | None = None,
    at_s: float = 0.0,
    slower: Callable[[int], float] = lambda _: 1.0,
) -> tuple[list[Measured], float]:
    """A whole run: sweeps over the cells in random order until each has been measured often enough, as
    `bench/execute/run.py` does. Returns the cells and the time at which the run ends; it begins at `at_s`.

    `seed` decides everything, the machine's drift included; `slower` gives the factor of each cell's programmed times.
    """
    rule = sampling or Sampling()
    machine, draw = Machine(noise, seed), random.Random(f"{seed} processes {at_s}")
    found = [Measured() for _ in range(cells)]
    for _ in count():
        if all(cell.stop is not None for cell in found):
            break
        for index in draw.sample(range(cells), cells):
            cell = found[index]
            if cell.stop is not None:
                continue
            start_s = at_s
            measured, at_s = replicate(noise, machine, draw, start_s, slower(index))
            cell.times.append(latency.of_replicate(measured))
            cell.spent_s += at_s - start_s
            cell.stop = enough.stop(cell.times, (), cell.spent_s, LEAST, rule)
    return found, at_s


def headline(times: Sequence[Times]) -> dict[str, list[float]]:
    """The times that the headline rates are reciprocals of: a rate's interval covers where its time's does."""
    return {
        "prefill": [one.ttft_s for one in times],
        "decode": [one.tpot_s or 0.0 for one in times],
        "output": [one.e2el_s for one in times],
    }
