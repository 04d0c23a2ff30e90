"""A request's own times, by the definitions of docs/serving.md: seconds, NaN where there is none, never 0 in its
place.

Only what was answered has times. A request that failed has none, and counts against every objective. One that we cut
when the load ended is no failure: its time to the first token counts where the token came, and what had not happened
yet is known to take longer than it was waited for (`age`).
"""

from dataclasses import dataclass

import numpy as np

from bench.metrics.serving.columns import CANCELLED, OK, Columns, Flags, Floats

NAMES = (
    *("ttft_s", "ttft_due_s", "tpot_s", "e2el_s", "e2el_due_s"),
    *("dispatch_delay_s", "connect_s", "longest_gap_s"),
)


@dataclass(frozen=True)
class Times:
    """One value a request in each array."""

    values: dict[str, Floats]
    """By the names of NAMES."""
    age: dict[str, Floats]
    """Of requests that we cut: how long was waited in vain for what ends ttft_s, ttft_due_s, e2el_s, e2el_due_s."""
    answered: Flags
    failed: Flags
    cut: Flags
    """By us, when the load ended."""


def times(columns: Columns) -> Times:
    """The times of all requests of a trace."""
    answered, cut = columns.status == OK, columns.status == CANCELLED
    first = np.where(answered | cut, columns.first_token_s, np.nan)
    # Without streaming there is no last token; its answer came whole when it was over.
    last = np.where(answered, np.where(np.isnan(columns.last_token_s), columns.done_s, columns.last_token_s), np.nan)
    later = np.where(
        (columns.output_tokens > 0) & (columns.first_event_tokens > 0),
        columns.output_tokens - columns.first_event_tokens,
        0,
    )
    paced = (later > 0) & (columns.chunks > 1)
    values = {
        "ttft_s": first - columns.sent_s,
        "ttft_due_s": first - columns.due_s,
        "tpot_s": np.where(paced, (last - first) / np.where(paced, later, 1), np.nan),
        "e2el_s": last - columns.sent_s,
        "e2el_due_s": last - columns.due_s,
        "dispatch_delay_s": columns.sent_s - columns.due_s,
        "connect_s": columns.connect_s.astype(np.float64),
        "longest_gap_s": np.where(answered, columns.longest_gap_s, np.nan).astype(np.float64),
    }
    over = np.where(np.isnan(columns.done_s), _last_stamp(columns), columns.done_s)
    waits_first = cut & np.isnan(columns.first_token_s)
    age = {
        "ttft_s": np.where(waits_first, over - columns.sent_s, np.nan),
        "ttft_due_s": np.where(waits_first, over - columns.due_s, np.nan),
        "e2el_s": np.where(cut, over - columns.sent_s, np.nan),
        "e2el_due_s": np.where(cut, over - columns.due_s, np.nan),
    }
    return Times(values, age, answered, ~(answered | cut), cut)


def _last_stamp(columns: Columns) -> float:
    """When the last request was over: those that were never sent have no stamp of their own."""
    stamps = columns.done_s[np.isfinite(columns.done_s)]
    return float(stamps.max()) if len(stamps) else float("nan")
