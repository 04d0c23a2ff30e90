"""Planted defects are caught: runners that lie, clocks that are wrong, counters that go away."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.plan import read
from bench.selftest.case import RUNNER, Case, Result, cell
from bench.selftest.check import Check, equal, said

TINY = {"prefill_s": 0.01, "step_s": 0.004}
SLOW = {"prefill_s": 0.03, "step_s": 0.03}
"""Long enough for a clock that is 5 % fast to be seen."""

FLOOD_BYTES = 4 << 20
"""To each of two streams."""

STEADY = {"prefill_s": 0.02, "step_s": 0.02}
"""Long enough for a late wake-up not to look like two tokens that come together."""

ALARMS = ("clock", "same-output", "bunched")
"""Codes that an honest engine must never get."""


@dataclass(frozen=True)
class Defect:
    """What the fake is told to do, and what the instrument must say of it."""

    trouble: str
    what: str
    caught: str
    options: dict[str, Any] = field(default_factory=lambda: dict(TINY))


DEFECTS = (
    Defect("late", "each token reported one step late", "invalid: … one step late", STEADY),
    Defect("dropped", "a step missing", "invalid: … 7 steps of [1] rows, asked for 8"),
    Defect("extra", "a step too many", "invalid: … 9 steps of [1] rows, asked for 8"),
    Defect("empty_step", "a first step without a token", "invalid: … steps of [0, 1] rows"),
    Defect("short", "a token missing", "invalid: … 1 rows of [7] tokens"),
    Defect("repeated", "times of a round reported again", "invalid: … the very same stamps"),
    Defect("clock_back", "a clock that jumps back", "invalid: … the clock went back"),
    Defect("clock_jump", "a clock that jumps ahead", "ok, … clock"),
    Defect("clock_fast", "a clock that is 5 % fast", "ok, … clock", SLOW),
    Defect("same", "the same output for all prompts", "ok, … same-output"),
    Defect("sensor_gone", "an energy counter that goes away", "energy null: … went away", {**TINY, "power_w": 10.0}),
    Defect("gigabyte", "a flood of output", "ok, … printed 8 MiB", {**TINY, "flood_bytes": FLOOD_BYTES}),
)


def cases() -> list[Case]:
    """One a defect, an honest engine that must not be suspected, and a mistake in a config."""
    honest = Case("an honest engine", (cell("honest", SLOW, new=8, rounds=4),), of_an_honest_engine)
    return [honest, *map(_case, DEFECTS), Case("a misspelt option", (), of_a_misspelt_option)]


def _case(defect: Defect) -> Case:
    options = {**defect.options, "trouble": defect.trouble}
    one = cell(defect.trouble, options, new=8, rounds=4 if defect.options is SLOW else 2)
    return Case(defect.what, (one,), lambda results: [of_a_defect(defect, results[0])])


def of_a_defect(defect: Defect, result: Result) -> Check:
    """Passes where the record, or the verdict on its row, says what is wrong."""
    text = result.text()
    if defect.trouble == "sensor_gone":
        window = result.measurement().window
        energy = None if window is None else window.energy
        text = "no energy at all" if energy is None else f"energy {energy.cpu_energy_j} J"
        if energy is not None and energy.cpu_energy_j is None:
            text = f"energy null: {energy.reasons.get('cpu_energy_j')}"
    if defect.trouble == "gigabyte":
        text = ", ".join([text, *(note.partition(": ")[2] for note in result.outcome.notes)])
    return said(defect.what, defect.caught, text)


def of_an_honest_engine(results: Sequence[Result]) -> list[Check]:
    """No false alarm."""
    result = results[0]
    codes = [reason.code for reason in result.row.verdict if reason.code in ALARMS]
    text = result.text() if result.outcome.status != "ok" else ", ".join(codes) or "not suspected"
    return [equal("an honest engine", "not suspected", text)]


def of_a_misspelt_option(_: Sequence[Result]) -> list[Check]:
    """Dropped in silence, the default's number would stand under the wrong name."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "misspelt.yaml"
        config.write_text(
            f"models: shape:pythia-70m\nprecisions: fp32\nrunners: {{name: {RUNNER}, setp_s: 0.1}}\n"
            "workloads: {input_tokens: 1, output_tokens: 1}\n",
            encoding="utf-8",
        )
        try:
            read.sweep(config)
            text = "accepted"
        except InputError as error:
            text = f"refused: {error.lines[0].partition('misspelt.yaml')[2]}"
    return [said("a misspelt option", "refused: … step_s", text)]
