"""Levels as plain data for programs: units in the names, nothing rounded, never infinite."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from bench.metrics.comparison import Ratio
from bench.metrics.crossover import Crossing
from bench.metrics.memory import peak_bytes
from bench.report.figures import blend_key, with_interval
from bench.report.levels.level import Crossed, Level, Levels, LevelTable, Recommendation, ends_of, usd_of
from bench.report.levels.sweep import sentence
from bench.report.rows import Row
from bench.report.table import verdict

LEVELS_SCHEMA_VERSION = 1


def document(of: Levels) -> dict[str, Any]:
    """Everything, with a schema version."""
    return {"schema_version": LEVELS_SCHEMA_VERSION, "tables": [_table(one) for one in of.tables]}


def _table(of: LevelTable) -> dict[str, Any]:
    prompt, cached, output = of.lengths
    return {
        "model": of.model,
        "runner": of.runner,
        "input_tokens": prompt,
        "cached_tokens": cached,
        "output_tokens": output,
        "machine": of.machine,
        "batch_size": of.batch_size,
        "reference": of.reference,
        "quality_reference": of.quality_reference,
        "loss_is": of.loss_is,
        "levels": [_nested(of, level) for level in of.levels],
        "front": [one.label for one in of.levels if one.standing == "on"],
        "recommendation": _recommendation(of.recommendation),
        "sweep": {
            "batch_sizes": list(of.sweep.batch_sizes),
            "ratios": [
                {
                    "level": line.label,
                    "batch_size": at,
                    **_ratio("decode_ratio", line.decode.get(at)),
                    **_ratio("usd_ratio", line.usd.get(at)),
                }
                for line in of.sweep.lines
                for at in of.sweep.batch_sizes
                if at in line.decode or at in line.usd
            ],
            "crossovers": [_crossed(one) for one in of.sweep.crossed],
        },
        "notes": list(of.notes),
    }


def _nested(of: LevelTable, one: Level) -> dict[str, Any]:
    line = _line(of, one, of.batch_size, one.row)
    explained = one.explanation
    line["explanation"] = None if explained is None else _finite(asdict(explained))
    line["reasons"] = [
        {"code": reason.code, "what": reason.what, "remedy": reason.remedy, "fatal": reason.fatal}
        for reason in (*(() if one.row is None else one.row.verdict), *(one.quality.reasons if one.quality else ()))
    ]
    line["quality"] = None if one.quality is None else _finite(_quality(one))
    return line


def _quality(one: Level) -> dict[str, Any]:
    assert one.quality is not None
    said = asdict(one.quality)
    said.pop("reasons")
    return said | {"tasks": [each.model_dump(mode="json") for each in one.quality.tasks]}


def flat(of: LevelTable) -> Iterator[dict[str, Any]]:
    """A line of CSV for each level and batch size; `shown` says which stand in the table."""
    for level in of.levels:
        for at, row in level.rows.items():
            shared = {"model": of.model, "runner": of.runner, "machine": of.machine}
            lengths = dict(zip(("input_tokens", "cached_tokens", "output_tokens"), of.lengths, strict=True))
            yield {**shared, **lengths, "shown": at == of.batch_size, **_line(of, level, at, row)}


def _line(of: LevelTable, one: Level, at: int | None, row: Row | None) -> dict[str, Any]:
    """Plain values of a level at one batch size."""
    figures = None if row is None else row.figures
    line: dict[str, Any] = {
        "level": one.label,
        "is_reference": one.is_reference,
        "batch_size": at,
        "cell_id": None if row is None else row.cell.cell_id,
        "status": "not measured" if row is None else row.status,
        "verdict": None if row is None else verdict(row),
        "failure": None if row is None or row.failure is None else row.failure.reason,
        "replicates": 0 if row is None else row.replicates,
        "matrices_bits_per_weight": one.bits.in_matrices,
        "model_bits_per_weight": one.bits.mean,
        "weights_bytes": None if figures is None else figures.facts.weights_bytes,
        "peak_bytes": None if figures is None else peak_bytes(figures.memory, figures.facts),
    }
    for name in ("prefill_tokens_per_s", "decode_tokens_per_s", "output_tokens_per_s"):
        line.update(with_interval(name, None if figures is None else getattr(figures, name)))
    swept = next((each for each in of.sweep.lines if each.label == one.label), None)
    here = at == of.batch_size
    line.update(_ratio("decode_ratio", None if swept is None or at is None else swept.decode.get(at)))
    line.update(_ratio("prefill_ratio", one.prefill_ratio if here else None))
    line.update(_ratio("usd_ratio", None if swept is None or at is None else swept.usd.get(at)))
    line.update(with_interval("mbu", None if figures is None else figures.roofline.mbu))
    line.update(with_interval("mfu", None if figures is None else figures.roofline.mfu))
    joules = None if figures is None else figures.energy.j_per_output_token
    line.update(with_interval("energy_j_per_output_token", joules))
    line.update(with_interval("blended_usd_per_mtok", None if row is None else usd_of(row)))
    dollars = None if row is None else row.dollars
    for name, blended in ({} if dollars is None else dollars.blends).items():
        line.update(with_interval(f"usd_per_mtok_at_{blend_key(name)}", blended))
    line["no_dollars_because"] = None if row is None else row.no_dollars_because
    line.update(_finite(_of_quality(one)))
    line["front"] = one.standing if here else None
    line["not_on_front_because"] = one.not_placed_because if here else None
    line["why"] = one.explanation.bound if here and one.explanation is not None else None
    line["why_text"] = one.explanation.text if here and one.explanation is not None else None
    return line


def _of_quality(one: Level) -> dict[str, Any]:
    quality, found, loss = one.quality, one.divergence, one.delta_nll
    ends = None if loss is None else ends_of(loss)
    return {
        "token_perplexity": None if quality is None else quality.perplexity,
        "bits_per_byte": None if quality is None else quality.bits_per_byte,
        "nll_nats_per_token": None if quality is None else quality.nll_per_token,
        "delta_nll_nats": None if loss is None else loss.value,
        "delta_nll_nats_se": None if loss is None else loss.se,
        "delta_nll_nats_low": None if ends is None else ends[0],
        "delta_nll_nats_high": None if ends is None else ends[1],
        "delta_nll_nats_told_apart": None if loss is None or one.is_quality_reference else loss.is_told_apart(),
        "kl_mean_nats": one.kl_mean_nats,
        "kl_mean_nats_se": None if found is None else found.kl_mean_se,
        "kl_p50_nats": None if found is None else found.kl_p50,
        "kl_p99_nats": None if found is None else found.kl_p99,
        "kl_max_nats": None if found is None else found.kl_max,
        "same_top_1": 1.0 if one.is_quality_reference else None if found is None else found.same_top_1,
        "same_top_1_se": None if found is None else found.same_top_1_se,
        "no_quality_because": one.no_quality_because,
    }


def _ratio(name: str, of: Ratio | None) -> dict[str, Any]:
    return {
        name: None if of is None else of.value,
        f"{name}_low": None if of is None else of.low,
        f"{name}_high": None if of is None else of.high,
        f"{name}_paired": None if of is None else of.paired,
    }


def _recommendation(of: Recommendation) -> dict[str, Any]:
    said = of.at_other_sizes
    return {
        "tolerance_nats": of.tolerance_nats,
        "level": of.label,
        "delta_nll_nats_high": of.upper_nats,
        "in_doubt": list(of.in_doubt),
        "not_told_apart_by_cost": list(of.not_told_apart),
        "at_other_batch_sizes": None if said is None else {str(at): name for at, name in said.items()},
        "ladder": [
            {
                "level": step.label,
                "from_delta_nll_nats": step.from_nats,
                "surely_from_delta_nll_nats": step.surely_from_nats,
                **with_interval("blended_usd_per_mtok", step.usd_per_mtok),
            }
            for step in of.ladder
        ],
        "sentences": list(of.sentences),
    }


def _crossed(of: Crossed) -> dict[str, Any]:
    return {
        "level": of.label,
        "against": of.other,
        "quantity": of.quantity,
        "outcome": of.found.outcome,
        "batch_sizes": list(of.found.sizes),
        "in_doubt_at": list(of.found.doubtful),
        "crossings": [_crossing(one) for one in of.found.crossings],
        "text": sentence(of),
    }


def _crossing(one: Crossing) -> dict[str, Any]:
    return {
        "batch_size": one.batch_size,
        "between": list(one.between),
        "surely_between": list(one.surely_between),
        "better_above": one.wins_above,
    }


def _finite(of: Mapping[str, Any]) -> dict[str, Any]:
    """NaN and infinite values as null: they are no JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

    return {key: plain(value) for key, value in of.items()}
