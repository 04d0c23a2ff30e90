"""Why a level is as fast as it is: its decode step, taken apart from what was measured."""

from dataclasses import dataclass
from typing import Literal

Bound = Literal["memory", "compute", "launch", "dequantisation", "no-kernel", "unknown"]
"""What most of a decode step goes to. `launch`: starting operators, not their work; `no-kernel`: the device has no
kernel for the level and computes on something else."""


@dataclass(frozen=True)
class Part:
    """A share of the decode step, in seconds; `how` says what it was derived from."""

    name: Bound
    seconds: float
    how: str


@dataclass(frozen=True)
class Explanation:
    """One level at one batch size. `parts` add up to `step_s` where they are known."""

    bound: Bound
    text: str
    """One sentence for a person, with the figures that it rests on."""
    step_s: float | None = None
    parts: tuple[Part, ...] = ()
