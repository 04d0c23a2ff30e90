"""The Pareto front of cost against loss: what no other level beats in one without being worse in the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Standing = Literal["on", "maybe", "off"]
"""`maybe`: another one beats it by point values, but none does beyond what cost and loss are known to."""

Z975 = 1.959963985
"""Of a standard error over many blocks of tokens, the normal distribution's 97.5 % point."""


@dataclass(frozen=True)
class Place:
    """One level: USD, and the loss of quality in nats a token with its standard error (None: not known)."""

    usd: float
    loss_nats: float
    loss_se_nats: float | None

    @property
    def counted_loss_nats(self) -> float:
        """A level that predicts a text better than what it was made from is no better model: it has lost nothing."""
        return max(0.0, self.loss_nats)


def standings(places: Sequence[Place], surely_cheaper: Callable[[int, int], bool]) -> list[Standing]:
    """How each stands. `surely_cheaper(i, j)`: whether i costs less than j beyond the uncertainty of both.

    i beats j when it is at most as dear and at most as lossy (a loss below zero counts as zero), and better in one. It
    does so surely when it is surely cheaper and its loss is smaller by more than 1.96 standard errors of the difference
    (the two taken as independent: they share the text, so the difference is known better than that).

    >>> bf16, nf4, int8 = Place(2.0, 0.0, 0.0), Place(1.0, 0.22, 0.02), Place(3.0, 0.01, 0.004)
    >>> standings([bf16, nf4, int8], lambda i, j: True)
    ['on', 'on', 'off']
    >>> standings([bf16, nf4, int8], lambda i, j: False)
    ['on', 'on', 'maybe']
    """
    found: list[Standing] = []
    for index, one in enumerate(places):
        beaten_by = [other for other, place in enumerate(places) if other != index and _beats(place, one)]
        if not beaten_by:
            found.append("on")
        elif any(surely_cheaper(other, index) and _surely_less(places[other], one) for other in beaten_by):
            found.append("off")
        else:
            found.append("maybe")
    return found


def _beats(one: Place, other: Place) -> bool:
    costs, losses = (one.usd, other.usd), (one.counted_loss_nats, other.counted_loss_nats)
    return costs[0] <= costs[1] and losses[0] <= losses[1] and (costs[0] < costs[1] or losses[0] < losses[1])


def _surely_less(one: Place, other: Place) -> bool:
    if one.loss_se_nats is None or other.loss_se_nats is None:
        return False
    return other.loss_nats - one.loss_nats > Z975 * math.hypot(one.loss_se_nats, other.loss_se_nats)
