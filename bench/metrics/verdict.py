"""Whether to believe a row: VALID, or reasons, each with what to do about it.

Evidence is taken from one replicate at a time and folded, so that a journal of any length is judged in little memory.
A reason that makes the dollars meaningless says so (`fatal`): the time was not the model's, whatever it was.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

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
SLOWED_CLOCK = 0.90
SWAPPED_BYTES = 1 << 20
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
    replicates: int = 0
    slow_starts: int = 0
    drifts: "array[float]" = field(default_factory=_floats)
    stalled: "array[float]" = field(default_factory=_floats)
    stolen: "array[float]" = field(default_factory=_floats)
    loads: "array[float]" = field(default_factory=_floats)
    swapped_bytes: int = 0
    neighbours: int = 0
    throttles: "Counter[str]" = field(default_factory=Counter)
    warmed_c: float = 0.0
    clocks_wrong: int = 0
    bunched: int = 0
    same_output: int = 0
    shortest_s: float | None = None
    longest_s: float | None = None
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, one: Measurement) -> None:
        """Take note of one more replicate."""
        self.replicates += 1
        times = [each.step_s[-1] for each in one.rounds]
        end = median(times)
        self.shortest_s = end if self.shortest_s is None else min(end, self.shortest_s)
        self.longest_s = end if self.longest_s is None else max(end, self.longest_s)
        self.slow_starts += len(times) >= 3 and times[0] > SLOW_FIRST_ROUND * max(times[1:])
        if len(times) >= FEWEST_ROUNDS_TO_DRIFT and min(times) > 0:
            half = len(times) // 2
            self.drifts.append(median(times[-half:]) / median(times[:half]))
        self.stalled.extend(_shares((each.stalled_s, each.done_s) for each in one.rounds))
        self.stolen.extend(_shares((each.stolen_s, each.done_s * self.cpus) for each in one.rounds))
        self.bunched += all(_is_bunched(each.step_s) for each in one.rounds)
        prints = {each.tokens_sha256 for each in one.rounds}
        self.same_output += len(one.rounds) > 1 and len(prints) == 1 and None not in prints and not _random(one)
        self.notes.update(dict.fromkeys(one.facts.notes))
        if one.window is not None:
            self._add_window(one.window)

    def _add_window(self, window: Window) -> None:
        start, end = window.start, window.end
        self.clocks_wrong += clock_disagrees(window)
        if start.load_average is not None:
            self.loads.append(start.load_average)
        if start.swapped_bytes is not None and end.swapped_bytes is not None:
            self.swapped_bytes = max(self.swapped_bytes, end.swapped_bytes - start.swapped_bytes)
        if start.cpu_throttled is not None and end.cpu_throttled is not None:
            self.throttles["heat of the CPU"] += end.cpu_throttled > start.cpu_throttled
        self._warmer(start.cpu_temperature_c, end.cpu_temperature_c)
        for before, after in zip(start.devices, end.devices, strict=False):
            self.neighbours = max(self.neighbours, before.other_processes or 0, after.other_processes or 0)
            self.throttles.update({*before.throttle_reasons, *after.throttle_reasons})
            self._warmer(before.temperature_c, after.temperature_c)
            if before.sm_clock_hz and after.sm_clock_hz and after.sm_clock_hz < SLOWED_CLOCK * before.sm_clock_hz:
                self.throttles[f"clock fell to {after.sm_clock_hz / before.sm_clock_hz:.0%}"] += 1

    def _warmer(self, before: float | None, after: float | None) -> None:
        if before is not None and after is not None:
            self.warmed_c = max(self.warmed_c, after - before)

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
        if self.clocks_wrong:
            yield Reason(
                "clock",
                "two clocks disagree about the timed window (a jump, a suspended machine, or a wrong clock)",
                "run again with --fresh",
                fatal=True,
            )
        if self.same_output:
            yield Reason(
                "same-output",
                "different prompts got the very same tokens, so a cache or a constant may have answered",
                "check the engine's caches, or ask for more output tokens",
            )
        if self.bunched:
            yield Reason(
                "bunched",
                "tokens came several at once, so TPOT is a mean and not the gap that a user sees",
                "look at the engine's streaming",
            )

    def _of_the_sampling(self) -> Iterable[Reason | None]:
        if self.replicates < FEWEST_REPLICATES:
            yield Reason("one-replicate", "one replicate, no interval", "raise replicates")
        if self.slow_starts:
            yield Reason("slow-start", "the first timed round is slow", "raise protocol.warmup_rounds")
        if len(self.drifts) >= FEWEST_REPLICATES and (min(self.drifts) > 1 or max(self.drifts) < 1):
            drift = median(self.drifts)
            if max(drift, 1 / drift) > DRIFT:
                how = "slower" if drift > 1 else "faster"
                yield Reason(
                    "drift",
                    f"rounds grow {how} within every process, by a factor of {max(drift, 1 / drift):.2f}",
                    "raise protocol.warmup_rounds, or cool the machine",
                )
        if self.shortest_s and self.longest_s and self.longest_s > SPREAD_BETWEEN_REPLICATES * self.shortest_s:
            yield Reason(
                "unsteady",
                f"replicates differ by a factor of {self.longest_s / self.shortest_s:.2f}",
                "raise sampling.budget_s, or quieten the machine",
            )

    def _of_the_machine(self) -> Iterable[Reason | None]:
        yield self._busy()
        if self.stolen and median(self.stolen) > STOLEN_SHARE:
            yield Reason(
                "stolen",
                f"the hypervisor gave {median(self.stolen):.0%} of the CPU time to other machines",
                "use a dedicated machine",
            )
        if self.neighbours:
            yield Reason(
                "shared-device",
                f"{self.neighbours} more processes were on the accelerator",
                "end them (nvidia-smi lists them), run again",
                fatal=True,
            )
        if self.swapped_bytes > SWAPPED_BYTES:
            yield Reason(
                "swap",
                f"the machine swapped {self.swapped_bytes / 1e6:.0f} MB during a measurement, so a disk was timed",
                "fewer bits, a smaller batch, or more memory",
                fatal=True,
            )
        found = sorted(name for name, count in self.throttles.items() if count)
        if found:
            yield Reason(
                "throttled",
                f"clocks were held back ({', '.join(found)})",
                "raise the power limit or cool the machine, if it will serve so; otherwise this is its speed",
            )
        if self.warmed_c > WARMED_C:
            yield Reason(
                "warming", f"it grew {self.warmed_c:.0f} °C warmer while timed", "raise protocol.warmup_rounds"
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


def judge(replicates: Iterable[Measurement], cpus: int = 1) -> tuple[Reason, ...]:
    """Reasons against the replicates of one row, measured on a machine of `cpus` usable CPUs."""
    evidence = Evidence(cpus=cpus)
    for one in replicates:
        evidence.add(one)
    return evidence.reasons()


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


def _random(one: Measurement) -> bool:
    """Random weights may well say the same word whatever they are asked."""
    return one.facts.random_weights


def _shares(pairs: Iterable[tuple[float | None, float]]) -> list[float]:
    return [part / whole for part, whole in pairs if part is not None and whole > 0]
