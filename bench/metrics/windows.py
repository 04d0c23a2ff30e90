"""How a text that is longer than a model reads at once is cut, so that each of its tokens is scored exactly once.

The same windows as `loglikelihood_rolling` of lm-eval (EleutherAI's evaluation harness) makes of them, so that its
perplexities can be held against ours: `lm_eval.utils.get_rolling_token_windows` and `make_disjoint_window`.
"""

from dataclasses import dataclass

from bench.errors import InputError


@dataclass(frozen=True)
class Window:
    """One row that a model reads: places in a sequence that is the prefix token, if there is one, and then the text.

    The row is `sequence[start:stop]`; what it predicts at its place i is `sequence[start + i + 1]`. Its last `scored`
    places are scored, that is the tokens `sequence[stop - scored + 1 : stop + 1]`; what stands before them is context.
    """

    start: int
    stop: int
    scored: int


def windows(tokens: int, window_tokens: int, context_tokens: int, has_prefix: bool) -> list[Window]:
    """The windows of a text of `tokens` tokens, each `window_tokens` long, in the order of the text.

    The first one scores all that it predicts; each further one begins with `context_tokens` tokens of which the last is
    only read and the others are scored already; the last one reaches further back, so that it is full as well, and
    scores only what is new. Without a prefix the text's first token is read and not scored.

    Raises InputError for a text shorter than one window, and for a context that is longer than the window.
    """
    if not 1 <= context_tokens <= window_tokens:
        raise InputError(
            f"context_tokens {context_tokens} is not between 1 and window_tokens {window_tokens}; make it smaller"
        )
    last = tokens if has_prefix else tokens - 1
    if last < window_tokens:
        raise InputError(
            f"the text has {tokens} tokens, fewer than one window of {window_tokens}"
            f"{'' if has_prefix else ' and the one before it'}; give a longer text or a smaller window_tokens"
        )
    found = [Window(0, window_tokens, window_tokens)]
    done = window_tokens
    while done < last:
        scored = min(last - done, window_tokens - context_tokens + 1)
        done += scored
        found.append(Window(done - window_tokens, done, scored))
    return found
