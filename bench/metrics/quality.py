"""How well a level still predicts a text, and how far it is from its reference: sums over tokens become figures.

Standard errors are over blocks of consecutive tokens, never over tokens: neighbours share a context, so what is hard
for one is hard for the next, and errors over tokens as if they were independent are far too small. Differences are
paired, token by token: the text's own difficulty, which is by far the larger part of the scatter, falls out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.errors import InputError
from bench.metrics import quality_reasons as why_not
from bench.metrics.verdict import Reason
from bench.schema import Against, Precision, QualityPass, Scored, TaskResult
from bench.schema.precision import label

TOLD_APART = 3.0
"""A difference of more standard errors than this is one."""

MOST = 1e15
"""No sum and no count of this program is larger; beyond, arithmetic itself overflows."""

ODD = "a quality pass has sums that do not fit its tokens; it was not written by this program"


@dataclass(frozen=True)
class Difference:
    """A paired mean difference to the reference, in nats a token, and its standard error over blocks of tokens."""

    value: float
    se: float | None

    def is_told_apart(self) -> bool:
        """Whether it is more than `TOLD_APART` standard errors from zero."""
        return self.se is not None and abs(self.value) > TOLD_APART * self.se


@dataclass(frozen=True, kw_only=True)
class Distance:
    """From the reference's predictions, over the same tokens. KL(reference ‖ level) in nats a token."""

    kl_mean: float
    kl_mean_se: float | None
    kl_p50: float
    kl_p99: float
    kl_max: float
    same_top_1: float
    same_top_1_se: float | None


@dataclass(frozen=True, kw_only=True)
class Divergence(Distance):
    """The distance, and what it costs: ΔNLL, positive where the level predicts worse."""

    delta_nll: Difference


@dataclass(frozen=True)
class QualityFigures:
    """A level on one text. None of the figures is there where `reasons` holds a fatal one.

    `divergence` is None for the reference itself, and where there is none to compare with (`no_comparison_because`).
    `self_check` is the reference against itself, scored twice.
    """

    text: str
    text_sha256: str
    """Of the bytes that were scored: `text` is only what they are called."""
    text_bytes: int
    tokens: int
    windows: int
    window_tokens: int
    context_tokens: int
    is_reference: bool
    reference: str | None
    """The reference's label; None where there is none."""
    bits_per_byte: float | None = None
    nll_per_token: float | None = None
    nll_per_token_se: float | None = None
    perplexity: float | None = None
    divergence: Divergence | None = None
    self_check: Distance | None = None
    no_comparison_because: str | None = None
    tasks: tuple[TaskResult, ...] = ()
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


def figures(
    cell_quality: QualityPass, precision: Precision, scored: Scored, reference: Scored | None
) -> QualityFigures:
    """The figures of one pass; `reference` is what the reference's pass scored, None where it is not known.

    Raises InputError for sums that do not fit their tokens: this program did not write them.
    """
    is_reference = cell_quality.reference is None and (scored.kept_file is not None or scored.self_check is not None)
    base = precision if is_reference else cell_quality.reference
    about = QualityFigures(
        text=cell_quality.text,
        text_sha256=cell_quality.text_sha256,
        text_bytes=scored.text_bytes,
        tokens=scored.tokens,
        windows=scored.windows,
        window_tokens=scored.window_tokens,
        context_tokens=cell_quality.context_tokens,
        is_reference=is_reference,
        reference=None if base is None else label(base),
        notes=scored.notes,
    )
    if scored.nonfinite_tokens:
        return replace(about, reasons=(why_not.nan_logits(scored),))
    if not 1 <= scored.text_bytes <= MOST:
        raise InputError(ODD)
    nll = over_blocks(scored.nll_nats, _sizes(scored.tokens, scored.block_tokens, scored.nll_nats))
    divergence, why = _divergence(cell_quality, scored, reference)
    base_scored = reference if divergence is not None else None
    steadiness = scored if is_reference else base_scored
    check = None if steadiness is None else _self_check(steadiness)
    reasons = (
        *why_not.worse_than_guessing(nll.value, scored, base_scored),
        *why_not.few_tokens(scored),
        *(() if check is None else why_not.unsteady_reference(check.kl_mean, check.same_top_1)),
        *(() if why is None or cell_quality.reference is None else (why_not.no_comparison(why),)),
    )
    return replace(
        about,
        bits_per_byte=math.fsum(scored.nll_nats) / math.log(2) / scored.text_bytes,
        nll_per_token=nll.value,
        nll_per_token_se=nll.se,
        perplexity=perplexity(nll.value),
        divergence=divergence,
        self_check=check if is_reference else None,
        no_comparison_because=why,
        tasks=tuple(_finite(one) for one in scored.tasks if math.isfinite(one.value)),
        reasons=reasons,
    )


def over_blocks(sums: Sequence[float], sizes: Sequence[int]) -> Difference:
    """The mean over tokens of what is summed over blocks of `sizes` tokens, with its cluster-robust standard error.

    The mean is a ratio of sums, Σd / Σn, whose linearised error is √(B/(B − 1) · Σ(d − n·mean)²) / Σn over the B blocks
    (Cochran, *Sampling Techniques*, 6.3 and 9A.2). None for a single block.

    >>> over_blocks([1.0, 3.0, 1.0, 3.0], [10, 10, 10, 10])
    Difference(value=0.2, se=0.057735026918962574)
    """
    tokens, blocks = sum(sizes), len(sizes)
    mean = math.fsum(sums) / tokens
    if blocks < 2:
        return Difference(mean, None)
    squares = math.fsum((one - size * mean) ** 2 for one, size in zip(sums, sizes, strict=True))
    return Difference(mean, math.sqrt(blocks / (blocks - 1) * squares) / tokens)


def perplexity(nll_per_token: float) -> float | None:
    """exp of the nats a token; None where it is no number that a computer holds."""
    try:
        return math.exp(nll_per_token)
    except OverflowError:
        return None


def with_error(value: float, se: float | None) -> str:
    """A value and its standard error, rounded alike: to two significant digits of the error.

    >>> with_error(0.010432, 0.00312), with_error(0.2, 0.0996), with_error(-0.00001, 0.02), with_error(0.5, None)
    ('0.0104 ± 0.0031', '0.20 ± 0.10', '0.000 ± 0.020', '0.5 ± ?')
    """
    if se is None:
        return f"{value:.3g} ± ?"
    if se == 0:
        return f"{value:.3g} ± 0"
    places = max(0, 1 - int(f"{se:.1e}".partition("e")[2]))
    if places > 7:
        return f"{value:.1e} ± {se:.1e}"
    return f"{round(value, places) + 0.0:.{places}f} ± {se:.{places}f}"


def text_of_delta(of: Difference) -> str:
    """A difference with its standard error, and whether it is one.

    >>> text_of_delta(Difference(0.0104, 0.0031)), text_of_delta(Difference(0.0004, 0.0007))
    ('0.0104 ± 0.0031', "0.00040 ± 0.00070 (can't be told)")
    """
    return with_error(of.value, of.se) + ("" if of.is_told_apart() else " (can't be told)")


def _sizes(tokens: int, block_tokens: int, sums: Sequence[float]) -> list[int]:
    """Tokens of each block: all alike, the last one what is left. Raises InputError where that gives another number."""
    blocks = -(-tokens // block_tokens) if 0 < tokens <= MOST and block_tokens > 0 else 0
    if not blocks or blocks != len(sums) or not all(abs(one) <= MOST for one in sums):
        raise InputError(ODD)
    return [*(block_tokens for _ in range(blocks - 1)), tokens - (blocks - 1) * block_tokens]


def _distance(of: Against, block_tokens: int) -> Distance:
    sizes = _sizes(of.tokens, block_tokens, of.kl_nats)
    _sizes(of.tokens, block_tokens, of.same_top_1)
    if not all(math.isfinite(one) for one in (of.kl_p50, of.kl_p99, of.kl_max)):
        raise InputError(ODD)
    kl, same = over_blocks(of.kl_nats, sizes), over_blocks(of.same_top_1, sizes)
    return Distance(
        kl_mean=kl.value,
        kl_mean_se=kl.se,
        kl_p50=of.kl_p50,
        kl_p99=of.kl_p99,
        kl_max=of.kl_max,
        same_top_1=same.value,
        same_top_1_se=same.se,
    )


def _finite(task: TaskResult) -> TaskResult:
    """lm-eval has no standard error for some metrics, and says so with a NaN."""
    known = task.stderr is not None and math.isfinite(task.stderr)
    return task if known else task.model_copy(update={"stderr": None})


def _self_check(of: Scored) -> Distance | None:
    return None if of.self_check is None else _distance(of.self_check, of.block_tokens)


def _divergence(asked: QualityPass, scored: Scored, reference: Scored | None) -> tuple[Divergence | None, str | None]:
    """How far a level is from its reference, or why nobody can say; neither for the reference itself."""
    if asked.reference is None:
        return None, scored.no_comparison_because
    if reference is not None and reference.nonfinite_tokens:
        return None, f"the reference has no finite probability for {reference.nonfinite_tokens:,} tokens"
    if scored.against is None:
        return None, scored.no_comparison_because or "its pass ran without the reference's"
    if reference is None:
        return None, "the reference's pass is not in this journal"
    if _scored_as(scored) != _scored_as(reference):
        return None, "the reference scored other tokens: another tokenizer, text or window"
    if scored.against.tokens != scored.tokens:
        return None, f"of {scored.against.tokens:,} of {scored.tokens:,} tokens alone the divergence is finite"
    sizes = _sizes(scored.tokens, scored.block_tokens, scored.nll_nats)
    _sizes(reference.tokens, reference.block_tokens, reference.nll_nats)
    lost = [own - other for own, other in zip(scored.nll_nats, reference.nll_nats, strict=True)]
    distance = _distance(scored.against, scored.block_tokens)
    return Divergence(**vars(distance), delta_nll=over_blocks(lost, sizes)), None


def _scored_as(of: Scored) -> tuple[object, ...]:
    """Equal for two passes whose blocks hold the same tokens in the same contexts."""
    return of.tokens, of.tokens_sha256, of.window_tokens, of.block_tokens, of.prefix_token
