"""Energy of a row: joules over output tokens, from windows that have the same counters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.metrics import statistics
from bench.metrics.statistics import Estimate
from bench.schema import Energy

FIELDS = ("gpu_energy_j", "cpu_energy_j", "dram_energy_j")


@dataclass(frozen=True)
class EnergyFigures:
    """Joules of the timed windows over their output tokens; the prompt's energy is in it."""

    j_per_output_token: Estimate | None
    parts_j_per_output_token: dict[str, float]
    sources: dict[str, str]
    reasons: dict[str, str]


@dataclass
class Joules:
    """The windows of a row, by the counters that they have: sums over unlike counters would mean nothing."""

    windows: dict[tuple[str, ...], list[tuple[float, ...]]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, energy: Energy | None, tokens: int) -> None:
        """One window, in which `tokens` output tokens were made."""
        if energy is None:
            self.reasons.setdefault("energy", "measured before this program counted energy")
            return
        self.sources.update(energy.sources)
        self.reasons.update(energy.reasons)
        known = tuple(name for name in FIELDS if getattr(energy, name) is not None)
        if known:
            self.windows.setdefault(known, []).append(tuple(getattr(energy, name) / tokens for name in known))

    def figures(self) -> EnergyFigures:
        """J per output token over the windows with the most counters."""
        reasons = dict(self.reasons)
        if not self.windows:
            return EnergyFigures(None, {}, {}, reasons)
        known = max(self.windows, key=lambda names: (len(names), len(self.windows[names])))
        found = self.windows[known]
        others = Counter({names: len(each) for names, each in self.windows.items() if names != known}).total()
        if others:
            reasons["replicates"] = f"{others} replicates lacked a counter and are not in it"
        parts = {name: _mean([window[place] for window in found]) for place, name in enumerate(known)}
        whole = statistics.estimate([sum(window) for window in found])
        if whole is None:
            reasons["resolution"] = "a timed window was shorter than the counter's resolution"
        sources = {name: self.sources[name] for name in known if name in self.sources}
        reasons = {name: why for name, why in reasons.items() if name not in known}
        return EnergyFigures(whole, parts, sources, reasons)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
