"""Whether to believe a row: VALID, or reasons, each with what to do about it.

Evidence is taken from one replicate at a time and folded, so that a journal of any length is judged in little memory.
A reason that makes the dollars meaningless says so (`fatal`): the time was not the model's, whatever it was. Where one
replicate alone shows that of itself (`tainted`), it is set aside and the others stand.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, stdev

from bench.schema import Measurement, Window

FEWEST_REPLICATES = 2
SLOW_FIRST_ROUND = 1.15
DRIFT = 1.05
FEWEST_ROUNDS_TO_DRIFT = 4
STALLED_SHARE = 0.10
MEANINGLESS_STALLED_SHARE = 0.90
STOLEN_SHARE = 0.05
LOAD_PER_CPU = 1.5
SPREAD_BETWEEN_REPLICATES = 1.25
WARMED_C = 10.0
CAPPED_SHARE = 0.05
SWAPPED_BYTES = 1 << 20
MAJOR_FAULTS = 64
FEWEST_TOKENS_TO_REPEAT = 8
CLOCK_SHARE = 0.005
CLOCK_S = 0.010
SHORT_GAP = 0.1
BUNCHED_SHARE = 0.25
FEWEST_GAPS = 4


@dataclass(frozen=True)
class Reason:
    """Why a row is not simply valid, and what to do about it. `fatal`: no dollar can be made of it."""

    code: str
    what: str
    remedy: str
    fatal: bool = False

    def text(self) -> str:
        return f"{self.what}: {self.remedy}"


def _floats() -> "array[float]":
    """Four bytes a value: a journal may hold hundreds of thousands of rounds, and shares need no more digits."""
    return array("f")


@dataclass
class Evidence:
    """What the replicates of one row have shown so far."""

    cpus: int = 1
    batch_size: int = 1
    replicates: int = 0
    slow_starts: int = 0
    drifts: "array[float]" = field(default_factory=_floats)
    stalled: "array[float]" = field(default_factory=_floats)
    stolen: "array[float]" = field(default_factory=_floats)
    loads: "array[float]" = field(default_factory=_floats)
    tainted: "Counter[str]" = field(default_factory=Counter)
    throttles: "Counter[str]" = field(default_factory=Counter)
    warmed_c: "array[float]" = field(default_factory=_floats)
    bunched: int = 0
    same_output: int = 0
    log_times: "array[float]" = field(default_factory=_floats)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, one: Measurement) -> None:
        """Take note of one more replicate."""
        self.replicates += 1
        times = [each.step_s[-1] for each in one.rounds]
        if min(times) > 0:
            self.log_times.append(math.log(median(times)))
        self.slow_starts += len(times) >= 3 and times[0] > SLOW_FIRST_ROUND * max(times[1:])
        if len(times) >= FEWEST_ROUNDS_TO_DRIFT and min(times) > 0:
            half = len(times) // 2
            self.drifts.append(median(times[-half:]) / median(times[:half]))
        self.stalled.extend(_shares((each.stalled_s, each.done_s) for each in one.rounds))
        self.stolen.extend(_shares((each.stolen_s, each.done_s * self.cpus) for each in one.rounds))
        # In a batch that is scheduled continuously, a short step is one with few rows.
        self.bunched += all(each.step_rows is None and _is_bunched(each.step_s) for each in one.rounds)
        self.same_output += _is_same(one, self.batch_size)
        self.tainted.update(tainted(one))
        self.notes.update(dict.fromkeys(one.facts.notes))
        if one.window is not None:
            self._add_window(one.window)

    def _add_window(self, window: Window) -> None:
        start, end = window.start, window.end
        if start.load_average is not None:
            self.loads.append(start.load_average)
        if start.cpu_throttled is not None and end.cpu_throttled is not None:
            self.throttles["heat of the CPU"] += end.cpu_throttled > start.cpu_throttled
        rises = [_rise(start.cpu_temperature_c, end.cpu_temperature_c)]
        for before, after in zip(start.devices, end.devices, strict=False):
            rises.append(_rise(before.temperature_c, after.temperature_c))
            # Momentary reasons are seen only on a device that has just gone idle; the counters miss nothing.
            reasons = {*before.throttle_reasons, *after.throttle_reasons}
            for name, held_s in (
                ("power cap", _rise(before.power_capped_s, after.power_capped_s)),
                ("thermal", _rise(before.heat_capped_s, after.heat_capped_s)),
            ):
                if held_s > CAPPED_SHARE * window.duration_s:
                    reasons.add(name)
            self.throttles.update(reasons)
        self.warmed_c.append(max(rises))

    def reasons(self) -> tuple[Reason, ...]:
        """Reasons against the row; empty means VALID. Thresholds are explained in docs/metrics.md."""
        return tuple(
            reason
            for reason in (
                *self._of_the_instrument(),
                *self._of_the_sampling(),
                *self._of_the_machine(),
                *self._of_the_engine(),
            )
            if reason is not None
        )

    def _of_the_instrument(self) -> Iterable[Reason | None]:
        for code in sorted(self.tainted):
            yield Reason(code, TAINTS[code], "quieten the machine, then run again with --retry-failed", fatal=True)
        if self._mostly(self.same_output):
            yield Reason(
                "same-output",
                "different prompts got the very same tokens, so a cache or a constant may have answered",
                "check the engine's caches, or ask for more output tokens",
            )
        if self._mostly(self.bunched):
            yield Reason(
                "bunched",
                "tokens came several at once, so TPOT is a mean and not the gap that a user sees",
                "look at the engine's streaming",
            )

    def _of_the_sampling(self) -> Iterable[Reason | None]:
        if self.replicates < FEWEST_REPLICATES:
            yield Reason("one-replicate", "one replicate, no interval", "raise replicates")
        if self._mostly(self.slow_starts):
            yield Reason("slow-start", "the first timed round is slow", "raise protocol.warmup_rounds")
        drift = self._drift()
        if drift is not None:
            how = "slower" if drift > 1 else "faster"
            yield Reason(
                "drift",
                f"rounds grow {how} within every process, by a factor of {max(drift, 1 / drift):.2f}",
                "raise protocol.warmup_rounds, or cool the machine",
            )
            if drift > 1 and self.warmed_c and median(self.warmed_c) > WARMED_C:
                what = f"it grew {median(self.warmed_c):.0f} °C warmer while timed, and slower"
                yield Reason("warming", what, "raise protocol.warmup_rounds, or cool the machine")
        if len(self.log_times) >= FEWEST_REPLICATES:
            # Two standard deviations: unlike the range, it does not grow with the number of replicates.
            factor = math.exp(2 * stdev(self.log_times))
            if factor > SPREAD_BETWEEN_REPLICATES:
                what = f"replicates scatter by a factor of {factor:.2f} (two standard deviations)"
                yield Reason("unsteady", what, "quieten the machine; more replicates narrow the interval all the same")

    def _drift(self) -> float | None:
        """By what factor rounds change within a process, where all processes agree on it."""
        if len(self.drifts) < FEWEST_REPLICATES or min(self.drifts) <= 1 <= max(self.drifts):
            return None
        drift = median(self.drifts)
        return drift if max(drift, 1 / drift) > DRIFT else None

    def _mostly(self, count: int) -> bool:
        """Whether at least half of the replicates show it: one of thirty is no property of the row."""
        return count > 0 and 2 * count >= self.replicates

    def _of_the_machine(self) -> Iterable[Reason | None]:
        yield self._busy()
        if self.stolen and median(self.stolen) > STOLEN_SHARE:
            yield Reason(
                "stolen",
                f"the hypervisor gave {median(self.stolen):.0%} of the CPU time to other machines",
                "use a dedicated machine",
            )
        found = sorted(name for name, count in self.throttles.items() if self._mostly(count))
        if found:
            yield Reason(
                "throttled",
                f"clocks were held back ({', '.join(found)})",
                "raise the power limit or cool the machine, if it will serve so; otherwise this is its speed",
            )

    def _busy(self) -> Reason | None:
        remedy = "stop other work, run again"
        if self.stalled:
            share = median(self.stalled)
            if share <= STALLED_SHARE:
                return None
            what = f"machine busy (tasks waited for a CPU {share:.0%} of the time)"
            return Reason("busy", what, remedy, fatal=share > MEANINGLESS_STALLED_SHARE)
        # Load counts the measurement itself too, so it says less than PSI and is asked only where there is no PSI.
        if self.loads and median(self.loads) > LOAD_PER_CPU * self.cpus:
            return Reason("busy", f"machine busy (load {median(self.loads):.1f} on {self.cpus} CPUs)", remedy)
        return None

    def _of_the_engine(self) -> Iterable[Reason | None]:
        for note in self.notes:
            if note.startswith("layers off-loaded"):
                yield Reason("off-loaded", note, "use fewer bits, or a device with more memory")
            elif note.startswith("fp16 has no fast kernel"):
                yield Reason("slow-fp16", "fp16 has no fast kernel on a CPU", "use bf16 or fp32")


def judge(replicates: Iterable[Measurement], cpus: int = 1, batch_size: int = 1) -> tuple[Reason, ...]:
    """Reasons against the replicates of one row, measured on a machine of `cpus` CPUs."""
    evidence = Evidence(cpus=cpus, batch_size=batch_size)
    for one in replicates:
        evidence.add(one)
    return evidence.reasons()


TAINTS = {
    "clock": "two clocks disagree about the timed window (a jump, a suspended machine, or a wrong clock)",
    "shared-device": "another process was on the accelerator (nvidia-smi lists them)",
    "swap": "the process waited for swapped pages, so a disk was timed (fewer bits, a smaller batch, or more memory)",
}
"""What makes a single replicate worthless, whatever the others are."""


def tainted(one: Measurement) -> tuple[str, ...]:
    """Codes of `TAINTS` that a replicate shows of itself; empty for one that may stand in a row."""
    window = one.window
    if window is None:
        return ()
    start, end = window.start, window.end
    found = []
    if clock_disagrees(window):
        found.append("clock")
    if any(device.other_processes for device in (*start.devices, *end.devices)):
        found.append("shared-device")
    # The machine swaps for many reasons; that this very process waited for a disk while it did says whose it was.
    if (
        _rise(start.swapped_bytes, end.swapped_bytes) > SWAPPED_BYTES
        and _rise(start.major_faults, end.major_faults) > MAJOR_FAULTS
    ):
        found.append("swap")
    return tuple(found)


def clock_disagrees(window: Window) -> bool:
    """Whether the second clock saw another duration: by over 0.5 % and 10 ms, which no honest pair of clocks does."""
    if window.other_clock_s is None:
        return False
    return abs(window.duration_s - window.other_clock_s) > CLOCK_SHARE * window.other_clock_s + CLOCK_S


def _is_bunched(step_s: tuple[float, ...]) -> bool:
    """Whether over a quarter of the gaps are under a tenth of the mean gap."""
    gaps = [later - earlier for earlier, later in pairwise(step_s)]
    if len(gaps) < FEWEST_GAPS:
        return False
    limit = SHORT_GAP * sum(gaps) / len(gaps)
    return sum(gap < limit for gap in gaps) > BUNCHED_SHARE * len(gaps)


def _is_same(one: Measurement, rows: int) -> bool:
    """Whether all rounds got the very same tokens, though each had prompts of its own.

    Random weights may well say the same word whatever they are asked, and so may a real model that says only a few.
    """
    prints = {each.tokens_sha256 for each in one.rounds}
    first = one.rounds[0]
    tokens = rows * len(first.step_s) if first.step_rows is None else sum(first.step_rows)
    return (
        len(one.rounds) > 1
        and len(prints) == 1
        and None not in prints
        and tokens >= FEWEST_TOKENS_TO_REPEAT
        and not one.facts.random_weights
    )


def _rise(before: float | None, after: float | None) -> float:
    """By how much a reading grew; 0 where it is not known."""
    return 0.0 if before is None or after is None else after - before


def _shares(pairs: Iterable[tuple[float | None, float]]) -> list[float]:
    return [part / whole for part, whole in pairs if part is not None and whole > 0]
