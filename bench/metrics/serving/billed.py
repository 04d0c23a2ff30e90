"""What a server billed, against what a local tokenizer counted. Pure.

A paid endpoint's bill follows its own count of tokens. Some of what it counts beyond the text is rightly there: what
the chat template adds to each prompt, tokens of reasoning that are never shown, and the token that ends an answer.
What is left is unexplained: another tokenizer, or a count that is worth asking about.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.schema import Request

END = ("stop", "tool_calls", "function_call")
"""Finish reasons after which a model has said its end-of-sequence token, which servers count or leave out."""


@dataclass(frozen=True, slots=True)
class Side:
    """Tokens of one direction, over all requests that were compared."""

    billed: int
    local: int
    explained: int
    """Of what was billed beyond the local count, at most: template, reasoning, ends of answers."""

    @property
    def difference(self) -> int:
        """Billed less local."""
        return self.billed - self.local

    @property
    def unexplained(self) -> int:
        """Of the difference: positive where too much was billed, negative where too little.

        >>> Side(billed=110, local=90, explained=15).unexplained
        5
        >>> Side(billed=100, local=90, explained=15).unexplained
        0
        """
        return self.difference - min(max(self.difference, 0), self.explained)

    @property
    def share(self) -> float | None:
        """The unexplained part as a share of the local count; None where nothing was counted."""
        return self.unexplained / self.local if self.local else None


@dataclass(frozen=True, slots=True)
class Billed:
    """The comparison over a run. Dollars are at the prices that were given, of all input as uncached."""

    requests: int
    left_out: int
    """Requests that succeeded and lack one of the counts."""
    input: Side
    output: Side
    usd_difference: float | None
    """What the whole difference comes to."""
    usd_unexplained: float | None


def compare(
    requests: Iterable[Request],
    overhead_tokens: int | None = None,
    usd_per_input_token: float | None = None,
    usd_per_output_token: float | None = None,
) -> Billed | None:
    """Usage against local counts, of requests that succeeded and have both; None where none has.

    `overhead_tokens` is what the chat template adds to a prompt, as the probe found it: once a request, and once more
    for each turn before; None where the local counts hold it already. Dollars need both prices.
    """
    billed_in = local_in = explained_in = billed_out = local_out = explained_out = compared = left_out = 0
    for one in requests:
        if one.status != "ok":
            continue
        counts = (one.input_tokens, one.output_tokens, one.local_input_tokens, one.local_output_tokens)
        if one.count_source != "usage" or None in counts:
            left_out += 1
            continue
        compared += 1
        billed_in += one.input_tokens or 0
        billed_out += one.output_tokens or 0
        local_in += one.local_input_tokens or 0
        local_out += one.local_output_tokens or 0
        explained_in += (overhead_tokens or 0) * (one.turn + 1)
        explained_out += (one.reasoning_tokens or 0) + (one.finish in END)
    if not compared:
        return None
    given = Side(billed_in, local_in, explained_in)
    got = Side(billed_out, local_out, explained_out)

    def usd(tokens_in: int, tokens_out: int) -> float | None:
        if usd_per_input_token is None or usd_per_output_token is None:
            return None
        return tokens_in * usd_per_input_token + tokens_out * usd_per_output_token

    return Billed(
        requests=compared,
        left_out=left_out,
        input=given,
        output=got,
        usd_difference=usd(given.difference, got.difference),
        usd_unexplained=usd(given.unexplained, got.unexplained),
    )
