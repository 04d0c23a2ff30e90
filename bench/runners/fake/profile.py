"""The fake's profile: programmed shares of its programmed times, so that what is made of a profile is known."""

from bench.schema import ModelFacts, PhaseProfile, Profile
from bench.schema.quality import Operator, OpKind

SHARES: tuple[tuple[str, OpKind, float], ...] = (
    ("fake::mm", "product", 0.5),
    ("fake::dequantize", "dequantise", 0.2),
    ("fake::add", "elementwise", 0.1),
)
"""What operators take of every phase, two calls a step each; the rest is idle."""
CALLS = 2


def profile(prefill_s: float, step_s: float, output_tokens: int, facts: ModelFacts) -> Profile:
    """One prefill and `output_tokens` − 1 decode steps of the programmed times, in seconds."""
    decode = _phase(step_s, output_tokens - 1) if output_tokens > 1 else None
    return Profile(facts=facts, device="cpu", prefill=_phase(prefill_s, 1), decode=decode, notes=("programmed",))


def _phase(each_s: float, steps: int) -> PhaseProfile:
    wall_s = each_s * steps
    return PhaseProfile(
        steps=steps,
        wall_s=wall_s,
        busy_s=sum(share for _, _, share in SHARES) * wall_s,
        calls=CALLS * len(SHARES) * steps,
        by_kind_s={kind: share * wall_s for _, kind, share in SHARES},
        operators=tuple(
            Operator(name=name, kind=kind, calls=CALLS * steps, self_s=share * wall_s) for name, kind, share in SHARES
        ),
    )
