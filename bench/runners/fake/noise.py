"""Programmed noise for the fake: what makes two measurements of the same thing differ.

Five kinds, all off unless asked for. Three belong to a process: jitter of every step, rare very slow steps, and a
speed of its own. Two belong to the machine and are functions of the time alone, so that processes that run beside or
after each other meet the same one: a neighbour who comes and goes, and a slow drift. No clock is read here: the time is
handed in, real or simulated.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

GRID = 8
"""Values of the drift in one correlation time."""

MEMORY = 8
"""Correlation times after which the drift has forgotten: exp(-8) is 0.03 %."""

CHAPTER = 50
"""Comings and goings of the neighbour that are drawn together."""


class Noise(BaseModel):
    """How noisy the fake is. Standard deviations are of the natural logarithm: 0.05 is about 5 %."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jitter_sd: float = Field(0.0, ge=0, le=2, description="of every step, lognormal")
    tail_share: float = Field(0.0, ge=0, le=1, description="share of steps that take a Pareto factor longer")
    tail_shape: float = Field(1.5, gt=1, description="shape of that Pareto factor: the smaller, the heavier")
    burst_slowdown: float = Field(0.0, ge=0, description="0.2: a neighbour makes steps 20 % longer while it is busy")
    burst_s: float = Field(20.0, gt=0, allow_inf_nan=False, description="mean time that the neighbour is busy")
    calm_s: float = Field(40.0, gt=0, allow_inf_nan=False, description="mean time that it is not")
    drift_sd: float = Field(0.0, ge=0, le=2, description="of the machine's speed over hours, an AR(1) process")
    drift_s: float = Field(120.0, gt=0, allow_inf_nan=False, description="correlation time of the drift")
    process_sd: float = Field(0.0, ge=0, le=2, description="of one factor for each process, lognormal")
    seed: int | None = Field(None, description="the same noise in every process; null: each process draws its own")


class Machine:
    """The noise that all processes of a machine share, as a function of the time alone."""

    def __init__(self, noise: Noise, seed: int | str) -> None:
        self._noise = noise
        self._seed = seed
        self._shocks: dict[int, float] = {}
        self._drifts: dict[int, float] = {}
        self._chapters: dict[int, tuple[bool, list[float]]] = {}

    def factor(self, at_s: float) -> float:
        """How much longer a step takes that begins at `at_s`: 1 on average of the logarithm without a neighbour."""
        found = 1.0
        if self._noise.drift_sd:
            found = math.exp(self._drift(math.floor(at_s * GRID / self._noise.drift_s)))
        if self._noise.burst_slowdown and self._is_busy(at_s):
            found *= 1 + self._noise.burst_slowdown
        return found

    def _drift(self, index: int) -> float:
        """A stationary AR(1) process, an Ornstein-Uhlenbeck process on a grid, from the shocks it still remembers."""
        if index not in self._drifts:
            keep = math.exp(-1 / GRID)
            value = 0.0
            for past in range(index - GRID * MEMORY, index + 1):
                value = keep * value + self._shock(past)
            self._drifts[index] = self._noise.drift_sd * math.sqrt(1 - keep * keep) * value
        return self._drifts[index]

    def _shock(self, index: int) -> float:
        if index not in self._shocks:
            self._shocks[index] = random.Random(f"{self._seed} drift {index}").gauss(0, 1)
        return self._shocks[index]

    def _is_busy(self, at_s: float) -> bool:
        """A two-state Markov process, started in its stationary state at the head of each chapter of time."""
        length = CHAPTER * (self._noise.burst_s + self._noise.calm_s)
        chapter = math.floor(at_s / length)
        if chapter not in self._chapters:
            self._chapters[chapter] = self._comings_and_goings(chapter, length)
        at_first, changes = self._chapters[chapter]
        return at_first is (bisect_right(changes, at_s) % 2 == 0)

    def _comings_and_goings(self, chapter: int, length: float) -> tuple[bool, list[float]]:
        """Whether the neighbour is busy at the head of a chapter, and when that changes."""
        draw = random.Random(f"{self._seed} neighbour {chapter}")
        busy_s, calm_s = self._noise.burst_s, self._noise.calm_s
        at_first = busy = draw.random() < busy_s / (busy_s + calm_s)
        at, changes = chapter * length, []
        while at < (chapter + 1) * length:
            at += draw.expovariate(1 / (busy_s if busy else calm_s))
            busy = not busy
            changes.append(at)
        return at_first, changes


class Process:
    """One process on a machine: its own speed and its own dice."""

    def __init__(self, noise: Noise, machine: Machine, draw: random.Random) -> None:
        self._noise = noise
        self._machine = machine
        self._draw = draw
        self._speed = math.exp(draw.gauss(0, noise.process_sd)) if noise.process_sd else 1.0

    def durations(self, prefill_s: float, step_s: float, steps: int, start_s: float) -> Iterator[float]:
        """How long each of a round's steps takes, in seconds; the first is the prefill. The round starts at `start_s`,
        on the time of the machine's noise."""
        noise, draw, at = self._noise, self._draw, start_s
        for index in range(steps):
            takes = (step_s if index else prefill_s) * self._speed * self._machine.factor(at)
            if noise.jitter_sd:
                takes *= math.exp(draw.gauss(0, noise.jitter_sd))
            if noise.tail_share and draw.random() < noise.tail_share:
                takes *= draw.paretovariate(noise.tail_shape)
            yield takes
            at += takes


def of_process(noise: Noise) -> Process:
    """The noise of this process, on a machine whose drift and neighbour depend on the clock that is handed in."""
    return Process(noise, Machine(noise, noise.seed or 0), random.Random(noise.seed))
