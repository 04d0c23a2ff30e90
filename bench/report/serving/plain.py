"""A row under load as plain data for programs: SI units and dollars in the names, nothing rounded."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.metrics.percentiles import TooFew
from bench.metrics.serving import Flow, Objective, RunFigures, Spread
from bench.report.figures import blend_key, of_api_at_blends, of_blends, with_interval
from bench.report.serving import blends, table
from bench.report.serving.frontier import Family, Point, families, good_usd
from bench.report.serving.row import ServingDollars, ServingRow, engine_text, is_open, level, load_text

_RATES = (
    *("output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "goodput_requests_per_s"),
    *("tokens_per_s_per_user", "ttft_s", "tpot_s", "e2el_s"),
)
_PARTS = (
    *("blended_usd_per_mtok", "input_usd_per_mtok", "cached_usd_per_mtok", "output_usd_per_mtok"),
    *("all_in_usd_per_mtok_output", "usd_per_1000_requests"),
)


def flat(row: ServingRow) -> dict[str, Any]:
    """Keys and plain values, for a line of CSV."""
    at, figures = level(row.traffic), row.figures
    line: dict[str, Any] = {
        "cell_id": row.cell.cell_id,
        "model": table.model(row),
        "runner": row.cell.runner.name,
        "precision": table.precision(row),
        "engine": engine_text(row),
        "load": load_text(row.traffic),
        "load_kind": row.traffic.load,
        "load_level": None if at is None else at[0],
        "load_level_unit": None if at is None else at[1],
        "open_loop": is_open(row.traffic),
        "status": row.status,
        "verdict": table.verdict(row),
        "failure": row.failure.reason if row.failure is not None else None,
        "replicates": row.replicates,
        "machine": row.environment.fingerprint(),
        "cpu_model": row.environment.cpu_model,
        "accelerators": "; ".join(device.name for device in row.environment.accelerators),
    }
    runs = () if figures is None else figures.runs
    line["succeeded"] = sum(run.succeeded for run in runs) if runs else None
    line["failed"] = sum(run.failed for run in runs) if runs else None
    if figures is not None:
        tokens = figures.tokens
        line |= {f"{name}_tokens": getattr(tokens, name) for name in ("input", "cached", "output", "reasoning")}
        line["counted_requests"] = tokens.requests
    for name in _RATES:
        line |= with_interval(name, None if figures is None else getattr(figures, name))
    line["whole_run_output_tokens_per_s"] = _mean([run.whole.output_tokens_per_s for run in runs])
    line["whole_run_requests_per_s"] = _mean([run.whole.requests_per_s for run in runs])
    line["steady_s"] = sum(run.steady.length_s for run in runs) if runs else None
    for name, spread in ({} if figures is None else figures.times).items():
        line |= {f"{name.removesuffix('_s')}_p{which:g}_s": _value(value) for which, value in spread.items()}
    line["attainment"] = None if figures is None else figures.attainment
    line["slo"] = " and ".join(one.text() for one in row.slo) or None
    line["slo_met"] = row.meets
    line["ended"] = "; ".join(dict.fromkeys(one.ended for one in row.servings)) or None
    line |= _of_dollars(row.dollars)
    line |= _of_bill(row)
    line["no_dollars_because"] = row.no_dollars_because
    line["quality"] = "not compared"
    line["command"] = row.command
    return line


def _of_dollars(of: ServingDollars | None) -> dict[str, Any]:
    rate = None if of is None else of.rate
    line: dict[str, Any] = {
        "usd_per_hour": None if rate is None else rate.usd_per_hour,
        "usd_per_hour_kind": None if rate is None else rate.kind,
        "usd_per_hour_as_of": None if rate is None or rate.as_of is None else rate.as_of.isoformat(),
        "api_prices_as_of": None if of is None else of.day.isoformat(),
        "utilisation": None if rate is None or of is None else of.utilisation,
        "price_ratio": None if rate is None or of is None else of.ratio,
        "one_off_usd_per_mtok": None if of is None else of.one_off_usd_per_mtok or None,
    }
    line |= with_interval("usd_per_mtok", None if of is None else of.usd_per_mtok)
    for prefix, prices in (("", None if of is None else of.at), ("full_load_", None if of is None else of.full)):
        for name in _PARTS:
            line |= with_interval(f"{prefix}{name}", None if prices is None else getattr(prices, name))
    good = None if of is None else of.good
    for name in ("blended_usd_per_mtok", "all_in_usd_per_mtok_output", "usd_per_1000_requests"):
        line |= with_interval(f"good_{name}", None if good is None else getattr(good, name))
    asleep = None if of is None else of.asleep
    if asleep is not None:
        line |= {"duty_cycle": asleep.duty.share, "starts_per_month": asleep.duty.starts_per_month}
        line |= {"cold_start_s": asleep.duty.cold_start_s, "usd_per_month": asleep.usd_per_month}
        line |= with_interval("asleep_blended_usd_per_mtok", asleep.blended_usd_per_mtok)
    best = None if of is None else of.cheapest
    line["cheapest_api"] = None if best is None else best.api
    line["cheapest_api_usd_per_mtok"] = None if best is None else best.usd_per_mtok
    line["cheapest_api_usd_per_1000_requests"] = None if best is None else best.usd_per_1000_requests
    line |= with_interval("ratio_to_cheapest_api", None if best is None else best.ratio)
    line["break_even_utilisation"] = None if best is None else best.break_even_utilisation
    line |= with_interval("full_load_ratio_to_cheapest_api", None if best is None else best.break_even)
    if of is not None:
        for name in of.blends:
            line |= with_interval(f"usd_per_mtok_at_{blend_key(name)}", blends.own_at(of, name))
        line |= of_blends(blends.at_blends(of))
    checked = None if of is None else of.checked
    if checked is not None:
        for name, side in (("input", checked.input), ("output", checked.output)):
            line |= {f"billed_{name}_tokens": side.billed, f"local_{name}_tokens": side.local}
            line |= {f"unexplained_{name}_tokens": side.unexplained}
        line |= {"checked_requests": checked.requests, "billed_difference_usd": checked.usd_difference}
        line |= {"billed_unexplained_usd": checked.usd_unexplained}
    return line


def _of_bill(row: ServingRow) -> dict[str, Any]:
    line: dict[str, Any] = {"failed_runs_usd": row.failed_runs_usd} if row.failed_runs_usd else {}
    bill = row.bill
    if bill is not None:
        line |= {"billed_as": bill.api, "billed_usd": bill.usd, "billed_probe_usd": bill.probe_usd}
        line |= {"billed_requests": bill.counted, "billed_failed_requests": bill.failed_counted}
        line |= {"requests_without_usage": bill.uncounted, "requests_without_usage_usd": bill.estimated_usd}
        line |= {"allowance_usd": bill.allowance_usd}
    return line


def nested(row: ServingRow) -> dict[str, Any]:
    """The flat line, with what has a structure of its own."""
    whole = flat(row)
    whole["cell"] = row.cell.model_dump(mode="json")
    whole["environment"] = row.environment.model_dump(mode="json")
    whole["reasons"] = [asdict(reason) for reason in row.verdict]
    whole["error"] = None if row.failure is None else row.failure.model_dump(mode="json")
    whole["hardware_price"] = None if row.dollars is None or row.dollars.rate is None else row.dollars.rate.basis
    whole["objectives"] = [_objective(one) for one in (() if row.figures is None else row.figures.objectives)]
    at_blends = {} if row.dollars is None else blends.at_blends(row.dollars)
    whole["apis"] = [
        {
            "api": one.api,
            "source": one.model.quote.source,
            "usd_per_mtok": one.usd_per_mtok,
            "usd_per_1000_requests": one.usd_per_1000_requests,
            **with_interval("ratio", one.ratio),
            "break_even_utilisation": one.break_even_utilisation,
            **with_interval("full_load_ratio", one.break_even),
            "tokens_per_own": one.tokens_per_own,
            "blends": of_api_at_blends(at_blends, one.api),
        }
        for one in (row.dollars.apis if row.dollars is not None else ())
    ]
    whole["runs"] = [_run(run) for run in (() if row.figures is None else row.figures.runs)]
    whole["servings"] = [one.model_dump(mode="json", exclude={"samples"}) for one in row.servings]
    whole["server_counters"] = [asdict(one) for one in row.counted]
    return whole


def _run(of: RunFigures) -> dict[str, Any]:
    return {
        "steady": asdict(of.steady),
        "flow": _flow(of.flow),
        "whole": _flow(of.whole),
        **with_interval("output_tokens_per_s", of.output_tokens_per_s),
        "tokens": asdict(of.tokens),
        "succeeded": of.succeeded,
        "failed": of.failed,
        "statuses": of.statuses,
        "times": {name: _spread(spread) for name, spread in of.times.items()},
        "medians": of.medians,
        "objectives": [_objective(one) for one in of.objectives],
        "attainment": of.attainment,
        "asked_per_s": of.asked_per_s,
        "short_answers": of.short_answers,
        "engine": of.engine,
    }


def _flow(of: Flow) -> dict[str, Any]:
    return asdict(of)


def _spread(of: Spread) -> dict[str, Any]:
    return {f"p{which:g}": _value(value) for which, value in of.items()}


def _objective(of: Objective) -> dict[str, Any]:
    ends = {"share": of.share, "share_low": of.low, "share_high": of.high}
    return {"slo": of.slo.text(), **ends, "value_s": _value(of.value_s), "met": of.met}


def frontier_data(rows: Sequence[ServingRow]) -> list[dict[str, Any]]:
    """Every load with several levels: its points, and the highest level within the objectives."""
    return [_family(of) for of in families(rows)]


def _family(of: Family) -> dict[str, Any]:
    met, missed, cheapest = of.highest_met, of.lowest_missed, of.cheapest_met
    return {
        "levels_unit": of.points[0].level[1],
        "highest_level_met": None if met is None else met.level[0],
        "lowest_level_missed": None if missed is None else missed.level[0],
        "undecided_levels": [one.level[0] for one in of.undecided],
        "cheapest_level_met": None if cheapest is None else cheapest.level[0],
        "points": [_point(one) for one in of.points],
    }


def _point(of: Point) -> dict[str, Any]:
    return {
        "row": of.number,
        "level": of.level[0],
        **with_interval("tokens_per_s_per_user", of.tokens_per_s_per_user),
        **with_interval("usd_per_mtok", of.usd_per_mtok),
        **with_interval("good_usd_per_mtok", good_usd(of.row)),
        "slo_met": of.row.meets,
        "on_front": of.on_front,
    }


def _value(of: float | TooFew | None) -> float | str | None:
    return str(of) if isinstance(of, TooFew) else of


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
