"""What logits say about the tokens that came: surprise, agreement and divergence, with little memory beside the logits.

Everything is computed where the logits are, in fp32 and a slice of positions at a time, because a vocabulary has up to
256,000 entries; what is kept of a position is a few numbers.

Divergence. Of the reference p the k likeliest tokens and the mass of all the others, the tail, are kept. A level q is
held against them: Σ p·ln(p/q) over the k tokens plus p_tail·ln(p_tail/q_tail). That is the KL divergence of the two
distributions after all other tokens were made one, so it is never more than KL(p ‖ q) over the whole vocabulary
(data-processing inequality; Cover & Thomas, Elements of Information Theory, 2.8). docs/quality.md says how near it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.measure.quality_kept import Kept

SLICE_BYTES = 64 << 20
"""Of fp32 log-probabilities that are made at once."""

LEAST_LOG_P = -103.0
"""A probability that a level holds to be zero counts as e⁻¹⁰³, the least that fp32 has: a divergence stays finite."""


@dataclass
class Seen:
    """What was seen at some positions, in their order; arrays of one number a position.

    `nll` is −ln p of the token that came (float64), not finite where the logits are not. `kl` (float64, nats) and
    `same_top_1` are there where they were held against a reference, and `kept` where this is one.
    """

    nll: Any
    kl: Any = None
    same_top_1: Any = None
    kept: Kept | None = None


def look(logits: torch.Tensor, targets: torch.Tensor, top_k: int | None, reference: Kept | None) -> Seen:
    """What the logits (T, V) of T positions say about the tokens (T) that came.

    `top_k`: how many log-probabilities to keep of each position, None for none. `reference`: what a reference has kept
    of these very positions.
    """
    parts = [
        _look(
            logits[start:stop],
            targets[start:stop],
            top_k,
            None if reference is None else reference.part(start, stop),
        )
        for start, stop in _slices(*logits.shape)
    ]
    return joined(parts)


def joined(parts: list[Seen]) -> Seen:
    """Positions one after another. Raises ValueError for no parts."""
    first = parts[0]
    return Seen(
        nll=np.concatenate([part.nll for part in parts]),
        kl=None if first.kl is None else np.concatenate([part.kl for part in parts]),
        same_top_1=None if first.same_top_1 is None else np.concatenate([part.same_top_1 for part in parts]),
        kept=None if first.kept is None else Kept.joined([part.kept for part in parts if part.kept is not None]),
    )


def _slices(positions: int, vocabulary: int) -> Iterator[tuple[int, int]]:
    step = max(1, SLICE_BYTES // (4 * vocabulary))
    for start in range(0, positions, step):
        yield start, min(start + step, positions)


def _look(logits: torch.Tensor, targets: torch.Tensor, top_k: int | None, reference: Kept | None) -> Seen:
    # In place from here on: `log_p` is ours, and one copy of a large vocabulary is enough.
    log_p = torch.log_softmax(logits.float(), dim=-1)
    nll = -log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    seen = Seen(nll=nll.cpu().double().numpy())
    if top_k is None and reference is None:
        return seen
    likeliest = log_p.argmax(-1)
    if reference is not None:
        ids = torch.as_tensor(reference.ids, device=log_p.device).long()
        log_q = log_p.gather(-1, ids).cpu()
        seen.kl = divergence(
            torch.as_tensor(reference.log_p), torch.as_tensor(reference.log_tail), log_q, _log_rest(log_p, ids).cpu()
        ).numpy()
        seen.same_top_1 = likeliest.cpu().numpy() == reference.likeliest
    if top_k is not None:
        best = log_p.topk(min(top_k, log_p.shape[-1]), dim=-1)
        seen.kept = Kept(
            ids=best.indices.cpu().numpy().astype(np.int32),
            log_p=best.values.cpu().numpy(),
            log_tail=_log_rest(log_p, best.indices).cpu().numpy(),
            likeliest=likeliest.cpu().numpy().astype(np.int32),
        )
    return seen


def _log_rest(log_p: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """ln of the mass of all tokens but these, summed itself: 1 − Σ of the others would be all rounding where it is
    tiny. −∞ where no token is left. Overwrites `log_p`."""
    return log_p.scatter_(-1, ids, -torch.inf).logsumexp(-1)


def divergence(
    log_p: torch.Tensor, log_p_tail: torch.Tensor, log_q: torch.Tensor, log_q_tail: torch.Tensor
) -> torch.Tensor:
    """KL(p ‖ q) in nats of each position, float64 (T): over k tokens (T, k) and a tail (T) of each.

    Both are first made to sum to one in float64: their logarithms come in fp32, whose rounding alone would give
    differences of 1e-7 of either sign. What comes out is then never below −1e-12. NaN where either holds a NaN.
    """
    p = _normal(torch.cat([log_p, log_p_tail.unsqueeze(-1)], dim=-1).double())
    q = _normal(torch.cat([log_q, log_q_tail.unsqueeze(-1)], dim=-1).double())
    terms = p.exp() * (p - q.clamp(min=LEAST_LOG_P))
    return torch.where(p == -torch.inf, 0.0, terms).sum(-1)


def _normal(logs: torch.Tensor) -> torch.Tensor:
    return logs - logs.logsumexp(-1, keepdim=True)
