"""A runner that follows a formula: programmed delays, memory and failures.

It ships with the package because the instrument tests itself on it: what comes out of a run is known beforehand. It
never stands in for a real engine in a result.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UnsupportedError
from bench.runners import OnStep
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision

SPIN_S = 0.002
"""`sleep` wakes up to a millisecond late; the last stretch is spun so that the programmed time is met."""

Trouble = Literal[
    "none", "crash", "exit", "oom", "killed", "hang", "deaf", "unsupported", "short", "garbage", "flood", "fork"
]


class Options(BaseModel):
    """Programmed truth of the fake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    load_s: float = Field(0.0, ge=0, description="time to load")
    prefill_s: float = Field(0.01, ge=0, description="time to the first token, whatever the prompt")
    prefill_s_per_token: float = Field(0.0, ge=0, description="plus this for each prompt token of the batch")
    step_s: float = Field(0.002, ge=0, description="time of one decode step")
    memory_bytes: int = Field(0, ge=0, description="really allocated and touched while loading")
    trouble: Trouble = Field("none", description="what goes wrong, during the first generation")


class FakeRunner:
    """The formula: first token after `prefill_s + B·S·prefill_s_per_token`, each further step after `step_s`."""

    Options: ClassVar[type[BaseModel]] = Options
    ENGINE: ClassVar[Sequence[str]] = ()
    PACKAGES: ClassVar[Sequence[str]] = ()

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._options = options
        self._precision = precision
        self._ballast = bytearray()

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        return None

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        return dict.fromkeys(PRECISIONS)

    def load(self) -> ModelFacts:
        if self._options.trouble == "unsupported":
            raise UnsupportedError("the fake was told not to work here", "set trouble: none")
        time.sleep(self._options.load_s)
        self._ballast = bytearray(b"\1") * self._options.memory_bytes
        return ModelFacts(
            parameters=1000,
            weights_bytes=max(self._options.memory_bytes, 2000),
            kv_bytes_per_token=16,
            vocab_size=1000,
            random_weights=True,
            dtype=self._precision.name,
            device="fake",
            placement={"fake": max(self._options.memory_bytes, 2000)},
            notes=("programmed delays, no model",),
        )

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        rows = len(prompts)
        options = self._options
        due = time.perf_counter()
        due += options.prefill_s + options.prefill_s_per_token * rows * len(prompts[0])
        _make_trouble(options.trouble)
        for _ in range(output_tokens):
            _wait_until(due)
            on_step(rows)
            due += options.step_s
        kept = output_tokens - 1 if options.trouble == "short" else output_tokens
        return [[(row[0] + index) % 1000 for index in range(kept)] for row in prompts]

    def out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)


def _wait_until(due: float) -> None:
    left = due - time.perf_counter()
    if left > SPIN_S:
        time.sleep(left - SPIN_S)
    while time.perf_counter() < due:
        pass


def _make_trouble(trouble: Trouble) -> None:
    if trouble == "crash":
        raise RuntimeError("the fake crashed as it was told to")
    if trouble == "exit":
        os._exit(7)
    if trouble == "oom":
        raise MemoryError("the fake ran out of memory as it was told to")
    if trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if trouble in ("hang", "deaf"):
        time.sleep(3600)
    if trouble == "garbage":
        os.write(1, b'{"measurement": null}\n\x00\xff not json\n')
    if trouble == "flood":
        for _ in range(4096):
            os.write(2, b"x" * 1023 + b"\n")
    if trouble == "fork" and os.fork() == 0:
        # An orphan that outlives the worker and keeps its pipes open must not keep the run waiting.
        time.sleep(3600)
        sys.exit(0)


Runner = FakeRunner
