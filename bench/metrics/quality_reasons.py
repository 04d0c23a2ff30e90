"""Why not to believe a quality pass, or the level that it scored: codes, each with what to do about it."""

import math
from collections.abc import Iterator

from bench.metrics.verdict import Reason
from bench.schema import Scored

STEADY_KL = 1e-6
FEWEST_TOKENS = 1000
FEWEST_BLOCKS = 30

BROKEN = ("nan-logits", "worse-than-guessing")
"""Reasons that speak against the level itself, and not only against the figures of its quality."""


def nan_logits(scored: Scored) -> Reason:
    """Some tokens have no probability, so sums over the others say nothing; fatal."""
    what = f"{scored.nonfinite_tokens:,} of {scored.tokens:,} tokens of the text got no finite probability (NaN logits)"
    remedy = "use another compute type (bf16 or fp32 instead of fp16) or another level; this one serves nothing"
    return Reason("nan-logits", what, remedy, fatal=True)


def worse_than_guessing(nats: float, scored: Scored, reference: Scored | None) -> Iterator[Reason]:
    """Whether `nats` a token reach ln(vocabulary), what a guess among all tokens needs, and whose fault it is."""
    words = scored.facts.vocab_size
    if words < 2 or nats < math.log(words):
        return
    what = f"{nats:.2f} nats a token are no better than guessing among {words:,} ({math.log(words):.2f})"
    if reference is not None and math.fsum(reference.nll_nats) < reference.tokens * math.log(words):
        what += ", while the reference does better: this level destroys the model"
        yield Reason("worse-than-guessing", what, "ship another level")
    else:
        what += ": tokenizer or weights do not belong together"
        yield Reason("worse-than-guessing", what, "check that this tokenizer belongs to these weights")


def few_tokens(scored: Scored) -> Iterator[Reason]:
    """A standard error over few blocks is itself a guess."""
    blocks = len(scored.nll_nats)
    if scored.tokens < FEWEST_TOKENS or blocks < FEWEST_BLOCKS:
        what = f"{scored.tokens:,} tokens in {blocks} blocks are few, so the standard errors are unsure themselves"
        yield Reason("few-tokens", what, "score a longer text (quality.text, quality.max_bytes)")


def unsteady_reference(kl_nats: float, same_top_1: float) -> Iterator[Reason]:
    """Whether a reference that was scored twice differs from itself."""
    if kl_nats >= STEADY_KL or same_top_1 < 1:
        what = (
            f"the reference, scored twice, differs from itself (KL {kl_nats:.1e}, same top-1 "
            f"{same_top_1:.2%}): the engine is not deterministic, and differences of that size mean nothing"
        )
        remedy = "use deterministic kernels (one thread, another attention), or ask only for larger differences"
        yield Reason("unsteady-reference", what, remedy)


def no_comparison(why: str) -> Reason:
    """There is a reference, and yet no difference to it."""
    remedy = "run the config again, so that the reference and this level score the same text"
    return Reason("no-comparison", f"not held against the reference ({why})", remedy)
