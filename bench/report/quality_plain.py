"""A row's quality as plain data for programs: nats and shares, nothing rounded."""

from typing import Any

from bench.metrics.quality import Distance, Divergence
from bench.metrics.verdict import Reason
from bench.report import quality_text
from bench.report.rows import Row


def flat(row: Row) -> dict[str, Any]:
    """Keys and plain values, for a line of CSV; null where nothing was scored."""
    of = row.quality
    divergence = None if of is None else of.divergence
    delta = None if divergence is None else divergence.delta_nll
    return {
        "quality_text": None if of is None else of.text,
        "bits_per_byte": None if of is None else of.bits_per_byte,
        "token_perplexity": None if of is None else of.perplexity,
        "nll_nats_per_token": None if of is None else of.nll_per_token,
        "delta_nll_nats": None if delta is None else delta.value,
        "delta_nll_nats_se": None if delta is None else delta.se,
        "delta_nll_nats_told_apart": None if delta is None else delta.is_told_apart(),
        "kl_mean_nats": None if divergence is None else divergence.kl_mean,
        "kl_p99_nats": None if divergence is None else divergence.kl_p99,
        "same_top_1": None if divergence is None else divergence.same_top_1,
        "quality_reference": None if of is None else of.reference,
        "quality_verdict": None if of is None else quality_text.verdict(of),
        "no_quality_because": row.no_quality_because,
    }


def nested(row: Row) -> dict[str, Any] | None:
    """All of a row's quality pass: what was scored, every figure with its standard error, tasks and reasons."""
    of = row.quality
    if of is None:
        return None
    return {
        "text": of.text,
        "text_bytes": of.text_bytes,
        "tokens": of.tokens,
        "windows": of.windows,
        "window_tokens": of.window_tokens,
        "is_reference": of.is_reference,
        "reference": of.reference,
        "bits_per_byte": of.bits_per_byte,
        "token_perplexity": of.perplexity,
        "nll_nats_per_token": of.nll_per_token,
        "nll_nats_per_token_se": of.nll_per_token_se,
        "divergence": _distance(of.divergence),
        "self_check": _distance(of.self_check),
        "no_comparison_because": of.no_comparison_because,
        "tasks": [task.model_dump(mode="json") for task in of.tasks],
        "reasons": [of_reason(reason) for reason in of.reasons],
        "notes": list(of.notes),
    }


def _distance(of: Distance | None) -> dict[str, Any] | None:
    if of is None:
        return None
    found: dict[str, Any] = {
        "kl_mean_nats": of.kl_mean,
        "kl_mean_nats_se": of.kl_mean_se,
        "kl_p50_nats": of.kl_p50,
        "kl_p99_nats": of.kl_p99,
        "kl_max_nats": of.kl_max,
        "same_top_1": of.same_top_1,
        "same_top_1_se": of.same_top_1_se,
    }
    if isinstance(of, Divergence):
        delta = of.delta_nll
        found |= {
            "delta_nll_nats": delta.value,
            "delta_nll_nats_se": delta.se,
            "told_apart": delta.is_told_apart(),
        }
    return found


def of_reason(reason: Reason) -> dict[str, Any]:
    """A reason of a verdict with all of its parts."""
    return {"code": reason.code, "what": reason.what, "remedy": reason.remedy, "fatal": reason.fatal}
