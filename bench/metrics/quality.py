"""How well a level still predicts a text, and how far it is from its reference: sums over tokens become figures."""

from dataclasses import dataclass

from bench.metrics.verdict import Reason
from bench.schema import TaskResult

TOLD_APART = 3.0
"""A difference of more standard errors than this is one."""


@dataclass(frozen=True)
class Difference:
    """A paired mean difference to the reference, in nats a token, and its standard error over blocks of tokens."""

    value: float
    se: float | None

    def is_told_apart(self) -> bool:
        """Whether it is more than `TOLD_APART` standard errors from zero."""
        return self.se is not None and abs(self.value) > TOLD_APART * self.se


@dataclass(frozen=True)
class Divergence:
    """From the reference's predictions, over the same tokens. KL(reference ‖ level) in nats a token."""

    delta_nll: Difference
    kl_mean: float
    kl_mean_se: float | None
    kl_p50: float
    kl_p99: float
    kl_max: float
    same_top_1: float
    same_top_1_se: float | None


@dataclass(frozen=True)
class QualityFigures:
    """A level on one text. None of the figures is there where `reasons` holds a fatal one.

    `divergence` is None for the reference itself, and where there is none to compare with (`no_comparison_because`).
    `self_check` is the reference against itself, scored twice.
    """

    text: str
    text_bytes: int
    tokens: int
    windows: int
    window_tokens: int
    is_reference: bool
    reference: str | None
    """The reference's label; None where there is none."""
    bits_per_byte: float | None = None
    nll_per_token: float | None = None
    nll_per_token_se: float | None = None
    perplexity: float | None = None
    divergence: Divergence | None = None
    self_check: Divergence | None = None
    no_comparison_because: str | None = None
    tasks: tuple[TaskResult, ...] = ()
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
