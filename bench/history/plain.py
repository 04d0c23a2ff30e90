"""A history as plain data for programs: SI units and dollars, nothing rounded."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.history.judged import Judgement, ends
from bench.history.series import Series
from bench.history.wording import result
from bench.metrics.changes import Change
from bench.report.figures import with_interval
from bench.report.render import as_csv, json_text

HISTORY_SCHEMA_VERSION = 1


def as_json(found: Sequence[Judgement], notes: Sequence[str], threshold: float) -> str:
    """Everything, with a schema version."""
    whole = {
        "schema_version": HISTORY_SCHEMA_VERSION,
        "threshold": threshold,
        "series": [_series(one) for one in found],
        "notes": list(notes),
    }
    return json_text(whole)


def _named(of: Series) -> dict[str, Any]:
    entry = of.newest
    return {
        "cell_id": entry.cell_id,
        "model": entry.model,
        "precision": entry.precision,
        "runner": entry.runner,
        "options": entry.options,
        "workload": entry.workload,
        "hardware": entry.hardware,
        "instrument": entry.origin.instrument,
        "metric": of.metric.name,
    }


def _series(one: Judgement) -> dict[str, Any]:
    of = one.series
    return _named(of) | {
        "outcome": one.outcome,
        "text": result(one),
        "worse": {1: "higher", -1: "lower", 0: None}[of.metric.worse],
        "noise": of.found.noise,
        "points": [_point(of, at) for at in range(len(of.points))],
        "levels": [
            {
                "from": of.points[level.start].name,
                "to": of.points[level.end - 1].name,
                "value": of.metric.back(level.level),
                "low": of.metric.back(level.level - level.half),
                "high": of.metric.back(level.level + level.half),
            }
            for level in of.found.segments
        ],
        "changes": [_change(of, change) for change in of.found.changes],
        "newest_change_causes": list(one.causes),
        "suspect": of.found.suspect,
        "set_aside": [of.points[at].name for at in of.found.lonely],
        "without_a_figure": [asdict(lost) for lost in of.lost],
    }


def _change(of: Series, change: Change) -> dict[str, Any]:
    low, high = ends(of, change)
    kind = "ratio" if of.metric.is_log else "difference"
    return {
        "since": of.points[change.at].name,
        "when": of.points[change.at].when or None,
        "revision": of.points[change.at].revision,
        kind: of.metric.back(change.step),
        f"{kind}_low": low,
        f"{kind}_high": high,
        "chance_without_a_change": change.p,
        "began_between": [of.points[change.earliest].name, of.points[change.latest].name],
    }


def _point(of: Series, at: int) -> dict[str, Any]:
    point = of.points[at]
    level = next((place for place, one in enumerate(of.found.segments) if one.start <= at < one.end), None)
    aside = at in of.found.lonely or (of.found.suspect and at == len(of.points) - 1)
    return {
        "runs": list(point.runs),
        "when": point.when or None,
        "revision": point.revision,
        **with_interval("value", point.value),
        "replicates": point.value.n,
        "verdict": point.verdict,
        "level": None if level is None or aside else level + 1,
        "set_aside": aside,
    }


def as_lines(found: Sequence[Judgement]) -> str:
    """CSV: a line a point."""
    return as_csv(list(_lines(found)))


def _lines(found: Sequence[Judgement]) -> Iterator[dict[str, Any]]:
    for one in found:
        changed = {change.at: change for change in one.series.found.changes}
        for at in range(len(one.series.points)):
            line = _named(one.series) | _point(one.series, at)
            line["runs"] = "; ".join(line["runs"])
            change = changed.get(at)
            line["change"] = None if change is None else one.series.metric.back(change.step)
            low, high = (None, None) if change is None else ends(one.series, change)
            line |= {"change_low": low, "change_high": high, "outcome": one.outcome}
            yield {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in line.items()
            }
