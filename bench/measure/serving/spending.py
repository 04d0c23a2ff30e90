"""An allowance that is never exceeded: what a request may cost at worst is set aside before it is sent.

The worst case is the prompt, uncached, and all the output tokens that it may have, at the allowance's prices. When the
answer is over, the server's own usage replaces it; where it gave none, the worst case is what was spent. Prompts are
estimated from what they were planned to have (or their bytes: no byte-level tokenizer makes more tokens than bytes),
times the largest ratio of billed to estimated tokens seen so far.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from bench.loads import Content
from bench.schema import Allowance, Request

UNBILLED = frozenset({"refused", "dns", "tls", "http", "redirect"})
"""Failures before anything was computed. Whatever else fails may be billed."""

MARGIN = 1.05
"""On top of the largest ratio of billed to estimated tokens, because the next one may be larger."""

ESTIMATE_RATIO = 1.5
"""Of billed to planned tokens at most, where the length of prompts is an estimate, before anything was billed."""

TEMPLATE_TOKENS = 64
"""That a chat template may add to a prompt, where the probe could not tell."""


def planned_tokens(content: Content, planned: int | None) -> int:
    """Tokens of a content as planned, else an upper bound of them: one a byte."""
    if planned is not None:
        return planned
    if isinstance(content, str):
        return len(content.encode())
    if content and isinstance(content[0], int):
        return len(content)
    return len(orjson.dumps(content))


@dataclass
class Purse:
    """One load generator's share of the allowance. US dollars."""

    allowance: Allowance
    overhead_tokens: int = TEMPLATE_TOKENS
    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    input_ratio: float = 1.0
    mark: Callable[[float], None] = lambda _: None
    """Told what may be spent by now, before a request is sent: so a kill loses no money from sight."""
    _output_ratio: float = 1.0
    _by_index: dict[int, tuple[float, int, int]] = field(default_factory=dict)

    def worst_usd(self, input_tokens: int, output_tokens: int) -> float:
        """What a request may cost at most. `input_tokens`: estimated, without the chat template."""
        price = self.allowance
        return (
            price.usd_per_request
            + (input_tokens * self.input_ratio + self.overhead_tokens) * price.usd_per_input_token
            + output_tokens * self._output_ratio * price.usd_per_output_token
        )

    def set_aside(self, index: int, input_tokens: int, output_tokens: int, messages: int = 1) -> bool:
        """Reserve a request's worst case; False when it does not fit beside what is spent and on its way."""
        input_tokens += (messages - 1) * self.overhead_tokens
        worst = self.worst_usd(input_tokens, output_tokens)
        if self.spent_usd + self.reserved_usd + worst > self.allowance.usd:
            return False
        self.reserved_usd += worst
        self._by_index[index] = (worst, input_tokens, output_tokens)
        self.mark(self.spent_usd + self.reserved_usd)
        return True

    def settle(self, request: Request) -> None:
        """Replace the reservation of a request that is over by what it cost."""
        worst, input_tokens, output_tokens = self._by_index.pop(request.index)
        self.reserved_usd = self.reserved_usd - worst if self._by_index else 0.0
        self.spent_usd += cost_usd(request, self.allowance, worst)
        self.mark(self.spent_usd + self.reserved_usd)
        if request.count_source == "usage" and request.status == "ok":
            billed, answered = request.input_tokens or 0, request.output_tokens or 0
            if billed > input_tokens * self.input_ratio + self.overhead_tokens:
                self.input_ratio = (billed - self.overhead_tokens) / max(1, input_tokens) * MARGIN
            if answered > output_tokens * self._output_ratio:
                self._output_ratio = answered / max(1, output_tokens) * MARGIN


def cost_usd(request: Request, price: Allowance, worst_usd: float) -> float:
    """What a request cost by the server's own usage; `worst_usd` where it gave none and may bill it all the same."""
    if request.sent_s is None or (request.status in UNBILLED and request.output_tokens is None):
        return 0.0
    if request.count_source != "usage" or request.input_tokens is None or request.output_tokens is None:
        return worst_usd
    cached = min(request.cached_tokens or 0, request.input_tokens)
    return (
        price.usd_per_request
        + (request.input_tokens - cached) * price.usd_per_input_token
        + cached * price.usd_per_cached_token
        + request.output_tokens * price.usd_per_output_token
    )
