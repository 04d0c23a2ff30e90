"""A runner that follows a formula: programmed delays, memory, energy, predictions and failures.

It ships with the package because the instrument tests itself on it (`bench selftest`): what comes out of a run is known
beforehand. It never stands in for a real engine in a result.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UnsupportedError
from bench.runners import Encoded, OnStep
from bench.runners.fake import text as programmed
from bench.runners.fake.clocks import WrongClock
from bench.runners.fake.noise import Noise, of_process
from bench.runners.fake.profile import profile as programmed_profile
from bench.runners.fake.text import Text
from bench.runners.fake.trouble import CLOCKS, Trouble, fail, misreported
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision, Profile

SPIN_S = 0.002
"""`sleep` wakes up to a millisecond late; the last stretch is spun so that the programmed time is met."""

READINGS_BEFORE_GONE = 2
"""The counter that goes away still answers when it is opened and when the timed window begins."""


class Options(BaseModel):
    """Programmed truth of the fake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    load_s: float = Field(0.0, ge=0, description="time to load")
    first_s: float = Field(0.0, ge=0, description="more time to the first token of the very first generation")
    prefill_s: float = Field(0.01, ge=0, description="time to the first token, whatever the prompt")
    prefill_s_per_token: float = Field(0.0, ge=0, description="plus this for each prompt token that is not cached")
    cached_s_per_token: float = Field(0.0, ge=0, description="plus this for each prompt token that is cached")
    step_s: float = Field(0.002, ge=0, description="time of one decode step")
    slots: int | None = Field(None, ge=1, description="rows at once where it schedules; none: all of them")
    burn: int = Field(0, ge=0, description="turns of an empty loop in each step; a step lasts until they are done")
    memory_bytes: int = Field(0, ge=0, description="really allocated and touched while loading")
    growth_bytes: int = Field(0, ge=0, description="really allocated, touched and kept in each generation")
    power_w: float = Field(0.0, ge=0, description="counted as its own energy while it generates; 0 counts none")
    prefix_cache: bool = Field(False, description="prompts that it has seen before get their first token at once")
    noise: Noise | None = Field(None, description="what makes rounds and processes differ; none: nothing does")
    trouble: Trouble = Field("none", description="what goes wrong")
    text: Text | None = Field(
        None, description="what it predicts; none: its weights count as random, and have no quality"
    )
    flood_bytes: int = Field(4 << 20, ge=0, description="what `flood` and `gigabyte` write to each stream")


class FakeRunner:
    """The formula: first token after `prefill_s + B·S·prefill_s_per_token`, each further step after `step_s`.

    A prefix is kept as a real engine keeps it: its tokens take their `prefill_s_per_token` before, and their
    `cached_s_per_token` in the generation.
    """

    Options: ClassVar[type[BaseModel]] = Options
    ENGINE: ClassVar[Sequence[str]] = ()
    PACKAGES: ClassVar[Sequence[str]] = ()

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._options = options
        self._precision = precision
        self._ballast: list[bytearray] = []
        self._noise = of_process(options.noise or Noise())
        self._seen: set[tuple[int, ...]] = set()
        self._kept: tuple[Sequence[Sequence[int]], int] | None = None
        self._generations = 0
        self._generated_s = 0.0
        self._readings = 0
        self._clock: WrongClock | None = None
        self._table: Any = None
        if options.power_w:
            self.energy_j = self._energy_j  # there is a counter only where there is something to count

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        return None

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        return dict.fromkeys(PRECISIONS)

    def load(self) -> ModelFacts:
        options = self._options
        due = time.perf_counter() + options.load_s
        if options.trouble == "unsupported":
            raise UnsupportedError("the fake was told not to work here", "set trouble: none")
        fault = CLOCKS.get(options.trouble)
        if fault is not None:
            self._clock = WrongClock(fault)
            self._clock.install()
        self._ballast.append(bytearray(b"\1") * options.memory_bytes)
        _wait_until(due)
        return ModelFacts(
            parameters=1000,
            weights_bytes=max(options.memory_bytes, 2000),
            kv_bytes_per_token=16,
            vocab_size=programmed.VOCABULARY,
            # Constant output is no wonder of random weights, and nobody would be suspicious of it.
            random_weights=options.trouble != "same" and options.text is None,
            dtype=self._precision.name,
            device="fake",
            placement={"cpu": max(options.memory_bytes, 2000)},
            notes=("programmed delays, no model",),
        )

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        due = time.perf_counter()
        rows = len(prompts)
        options = self._options
        durations = self._noise.durations(self._prefill_s(prompts), options.step_s, output_tokens, due)
        self._begin()
        report = misreported(options.trouble, on_step, output_tokens)
        if options.trouble == "empty_step":
            on_step(0)
        for index, duration in enumerate(durations):
            due += duration
            self._generated_s += duration
            for _ in range(options.burn):
                pass
            _wait_until(due)
            if self._clock is not None and index == output_tokens // 2:
                self._clock.half_way()
            report(rows)
        return self._tokens(prompts, output_tokens)

    def generate_continuously(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        """Rows begin as slots fall free: the prefill of each takes its time from the steps of all others."""
        due = time.perf_counter()
        self._begin()
        waiting, running = len(prompts), list[int]()
        while waiting or running:
            begun = min(waiting, (self._options.slots or len(prompts)) - len(running))
            waiting -= begun
            running += [output_tokens] * begun
            due += self._options.step_s + (self._prefill_s(prompts[:begun]) if begun else 0.0)
            _wait_until(due)
            on_step(len(running))
            running = [left - 1 for left in running if left > 1]
        return self._tokens(prompts, output_tokens)

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        due = time.perf_counter() + len(prompts) * cached_tokens * self._options.prefill_s_per_token
        self._kept = (prompts, cached_tokens)
        _wait_until(due)

    def encode(self, text: str) -> Encoded:
        return programmed.encode(text, self._options.text or Text())

    def logits(self, rows: Sequence[Sequence[int]]) -> Any:
        if self._table is None:
            text = self._options.text or Text()
            fail(text.trouble.get(self._precision.name, "none"), self._options.flood_bytes)
            self._table = programmed.table(self._precision.name, text)
        return self._table[list(map(list, rows))]

    def profile(self, prompts: Sequence[Sequence[int]], output_tokens: int, facts: ModelFacts) -> Profile:
        return programmed_profile(self._prefill_s(prompts), self._options.step_s, output_tokens, facts)

    def out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def _prefill_s(self, prompts: Sequence[Sequence[int]]) -> float:
        options = self._options
        kept, self._kept = self._kept, None
        cached = kept[1] if kept is not None and kept[0] == prompts else 0
        if options.prefix_cache:
            drawn = {tuple(row) for row in prompts}
            known = drawn <= self._seen
            self._seen |= drawn
            if known:
                return 0.0
        extra = 0.0 if self._generations else options.first_s
        fresh_s = options.prefill_s_per_token * len(prompts) * (len(prompts[0]) - cached)
        return extra + options.prefill_s + fresh_s + options.cached_s_per_token * len(prompts) * cached

    def _begin(self) -> None:
        """What a generation does once, inside the time to its first token."""
        self._generations += 1
        if self._clock is not None:
            self._clock.generation()
        if self._generations == 1:
            fail(self._options.trouble, self._options.flood_bytes)
        if self._options.growth_bytes:
            self._ballast.append(bytearray(b"\1") * self._options.growth_bytes)

    def _tokens(self, prompts: Sequence[Sequence[int]], output_tokens: int) -> list[list[int]]:
        if self._options.trouble == "same":
            return [list(range(output_tokens)) for _ in prompts]
        kept = output_tokens - 1 if self._options.trouble == "short" else output_tokens
        return [[(row[0] + index) % 1000 for index in range(kept)] for row in prompts]

    def _energy_j(self) -> Mapping[str, float]:
        """Joules so far: programmed watts times programmed seconds."""
        self._readings += 1
        if self._options.trouble == "sensor_gone" and self._readings > READINGS_BEFORE_GONE:
            raise OSError("the fake's counter went away as it was told to")
        return {"cpu_energy_j": self._options.power_w * self._generated_s}


def _wait_until(due: float) -> None:
    left = due - time.perf_counter()
    if left > SPIN_S:
        time.sleep(left - SPIN_S)
    while time.perf_counter() < due:
        pass


Runner = FakeRunner
