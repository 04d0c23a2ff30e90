"""What is against another tool's result. That it is another tool's is no doubt of itself; what its file lacks may be.

A fatal reason means that no dollar can be made of the figures.
"""

from collections.abc import Iterator, Mapping, Sequence

from bench.entries.import_seconds import Tokens
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.schema import Imported

RATES = ("total_tokens_per_s", "output_tokens_per_s", "requests_per_s")
FAILED_SHARE, MEANINGLESS_FAILED_SHARE = 0.01, 0.5
"""As of a load of our own: more failed requests are a doubt, and forbid dollars."""


def doubts(every: Sequence[Imported], figures: Mapping[str, Estimate], tokens: Tokens | None) -> tuple[Reason, ...]:
    """Of replicates of one cell; `tokens` None where the file does not count them. Empty is VALID."""
    found = [*_of_requests(every), *_of_rates(every, figures, tokens)]
    for one in every:
        found += [Reason(doubt.code, doubt.what, doubt.remedy) for doubt in one.doubts]
    return tuple(dict.fromkeys(found))


def _of_requests(every: Sequence[Imported]) -> Iterator[Reason]:
    done, failed = (sum(getattr(one, name) or 0 for one in every) for name in ("requests", "failed_requests"))
    if any(one.requests is not None for one in every) and not done:
        what = f"none of {failed} requests succeeded" if failed else "no request was answered"
        yield Reason("no-answers", what, "look at the server, then run the tool again", fatal=True)
        return
    share = failed / (done + failed) if failed else 0.0
    if share > FAILED_SHARE:
        what = f"{share:.1%} of the requests failed, and the figures are of the others"
        remedy = "look at the server, then run the tool again"
        yield Reason("errors", what, remedy, fatal=share > MEANINGLESS_FAILED_SHARE)


def _of_rates(every: Sequence[Imported], figures: Mapping[str, Estimate], tokens: Tokens | None) -> Iterator[Reason]:
    rates = [figures[name] for name in (*RATES, "prefill_tokens_per_s", "decode_tokens_per_s") if name in figures]
    if any(one.window_s is not None for one in every) and any(name in figures for name in RATES):
        yield Reason(
            "whole-run",
            "rates are over the whole run, its beginning and its end with few requests included",
            "let the tool run longer: at full load it serves more than this",
        )
    if tokens is None:
        yield Reason(
            "unknown-tokens",
            "the file does not count the tokens of a request",
            "run the tool so that it counts input and output tokens",
        )
    if rates and any(one.low is None for one in rates):
        repeated = max((one.figures[name].n for one in every for name in one.figures), default=1) > 1
        what = "repetitions of one process give no interval" if repeated else "one run, no interval"
        remedy = "run the tool several times, and import the files of all runs together"
        yield Reason("one-replicate", what, remedy)
