"""The nouns of the comparison: a level, the table of one group of levels, and all tables of a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.metrics.comparison import Ratio
from bench.metrics.crossover import Crossover
from bench.metrics.explain import Explanation
from bench.metrics.front import Z975, Standing
from bench.metrics.quality import Difference, Divergence, QualityFigures
from bench.metrics.statistics import Estimate
from bench.report.levels.pairs import counts
from bench.report.rows import Row


@dataclass(frozen=True)
class Bits:
    """Bits per weight with scales: `in_matrices` of those that are quantised, `mean` over the whole model."""

    in_matrices: float | None = None
    mean: float | None = None


@dataclass(frozen=True)
class Level:
    """One precision. `rows`: by batch size, failed ones too; `row`: the one at the table's batch size.

    The ratios are this level over the table's reference, at the table's batch size. `standing` is None where the level
    cannot be on the front: `not_placed_because` then says why.
    """

    label: str
    rows: Mapping[int, Row]
    row: Row | None
    is_reference: bool
    bits: Bits
    quality: QualityFigures | None = None
    no_quality_because: str | None = None
    decode_ratio: Ratio | None = None
    prefill_ratio: Ratio | None = None
    usd_ratio: Ratio | None = None
    standing: Standing | None = None
    not_placed_because: str | None = None
    explanation: Explanation | None = None

    @property
    def is_measured(self) -> bool:
        return self.row is not None and self.row.figures is not None

    @property
    def usd_per_mtok(self) -> Estimate | None:
        """Blended; None for a row whose times mean nothing."""
        return None if self.row is None else usd_of(self.row)

    @property
    def divergence(self) -> Divergence | None:
        return None if self.quality is None else self.quality.divergence

    @property
    def is_quality_reference(self) -> bool:
        return self.quality is not None and self.quality.is_reference and self.quality.nll_per_token is not None

    @property
    def delta_nll(self) -> Difference | None:
        """Against the quality passes' reference, which has lost nothing against itself; None where it is not known."""
        if self.is_quality_reference:
            return Difference(0.0, 0.0)
        found = self.divergence
        return None if found is None or not math.isfinite(found.delta_nll.value) else found.delta_nll

    @property
    def kl_mean_nats(self) -> float | None:
        """Mean KL divergence from the reference; the reference's own is 0."""
        if self.is_quality_reference:
            return 0.0
        found = self.divergence
        return None if found is None or not math.isfinite(found.kl_mean) else found.kl_mean


def usd_of(row: Row) -> Estimate | None:
    """Blended dollars per million tokens of a row that may be believed."""
    return row.dollars.blended_usd_per_mtok if row.dollars is not None and counts(row) else None


def ends_of(loss: Difference) -> tuple[float, float] | None:
    """The 95 % interval of a ΔNLL, in nats a token; None without a standard error."""
    return None if loss.se is None else (loss.value - Z975 * loss.se, loss.value + Z975 * loss.se)


@dataclass(frozen=True)
class SweepLine:
    """One level over the reference at each batch size where both have times that mean something."""

    label: str
    decode: Mapping[int, Ratio]
    usd: Mapping[int, Ratio]


@dataclass(frozen=True)
class Crossed:
    """Where `label` passes `other` in one quantity ("decode tok/s" or "$/Mtok")."""

    label: str
    other: str
    quantity: str
    found: Crossover


@dataclass(frozen=True)
class Sweep:
    """All measured batch sizes beside each other."""

    batch_sizes: tuple[int, ...]
    lines: tuple[SweepLine, ...]
    crossed: tuple[Crossed, ...]


@dataclass(frozen=True)
class Step:
    """One level of the ladder along the front: the cheapest one that loses at most `from_nats` (`surely_from_nats`:
    the upper end of its 95 % interval; None without one)."""

    label: str
    from_nats: float
    surely_from_nats: float | None
    usd_per_mtok: Estimate


@dataclass(frozen=True)
class Recommendation:
    """`label`: the cheapest level within the tolerance; None where there is none, or where no tolerance was stated.

    `in_doubt`: cheaper ones that may be within it. `not_told_apart`: others within it whose cost is not surely higher.
    `at_other_sizes`: what it would be at each of the other measured batch sizes.
    """

    tolerance_nats: float | None
    label: str | None = None
    upper_nats: float | None = None
    in_doubt: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    at_other_sizes: Mapping[int, str | None] | None = None
    ladder: tuple[Step, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class LevelTable:
    """Levels that differ in nothing but the precision: one model, runner with its options, lengths and machine.

    `reference`: of the ratios; `quality_reference`: of ΔNLL and KL, which need not be timed. `loss_is`: what the front
    is made with. `batch_size` is None where nothing was measured.
    """

    model: str
    runner: str
    lengths: tuple[int, int, int]
    """Prompt, of it cached, and output tokens."""
    machine: str
    batch_size: int | None
    reference: str | None
    quality_reference: str | None
    levels: tuple[Level, ...]
    sweep: Sweep
    recommendation: Recommendation
    loss_is: str = "ΔNLL"
    notes: tuple[str, ...] = ()

    def level(self, label: str) -> Level:
        return next(one for one in self.levels if one.label == label)


@dataclass(frozen=True)
class Levels:
    """One table for each group."""

    tables: tuple[LevelTable, ...]
