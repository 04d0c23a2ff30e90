"""A row as plain data for programs: SI units and dollars in the names, nothing rounded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.metrics.percentiles import TooFew
from bench.metrics.roofline import Roofline
from bench.metrics.statistics import Estimate
from bench.report import blends, quality_plain, table
from bench.report.blends import AtBlend
from bench.report.costs import ApiComparison
from bench.report.joules import EnergyFigures
from bench.report.rows import Row

REPORT_SCHEMA_VERSION = 1

_FIGURES = (
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "output_tokens_per_s",
    "total_tokens_per_s",
    "ttft_s",
    "tpot_s",
    "e2el_s",
    "import_s",
    "load_s",
    "first_generate_s",
)
_DOLLARS = (
    "input_usd_per_mtok",
    "cached_usd_per_mtok",
    "output_usd_per_mtok",
    "blended_usd_per_mtok",
    "usd_per_request",
    "electricity_usd_per_mtok",
)


def flat(row: Row) -> dict[str, Any]:
    """Keys and plain values, for a line of CSV."""
    work = row.cell.workload
    line: dict[str, Any] = {
        "cell_id": row.cell.cell_id,
        "model": table.model(row),
        "runner": row.cell.runner.name,
        "precision": table.precision(row),
        "batch_size": work.batch_size,
        "scheduling": work.scheduling,
        "input_tokens": work.input_tokens,
        "cached_tokens": work.cached_tokens,
        "output_tokens": work.output_tokens,
        "status": row.status,
        "verdict": table.verdict(row),
        "failure": row.failure.reason if row.failure is not None else None,
        "replicates": row.replicates,
        "machine": row.environment.fingerprint(),
        "cpu_model": row.environment.cpu_model,
        "accelerators": "; ".join(device.name for device in row.environment.accelerators),
        **({} if row.machine is None else {"fleet_machine": row.machine}),
    }
    figures = row.figures
    for name in _FIGURES:
        line.update(with_interval(name, None if figures is None else getattr(figures, name)))
    memory = {} if figures is None else figures.memory.model_dump(exclude={"reasons"})
    line.update(memory)
    dollars = row.dollars
    if figures is not None:
        line.update(_of_energy(figures.energy))
        line.update(_of_roofline(figures.roofline))
        line.update(_of_percentiles(figures.percentiles))
    line["stop"] = None if row.stop is None else row.stop.ending
    line["stop_half_width"] = None if row.stop is None else row.stop.half_width
    line["stop_target"] = None if row.stop is None else row.stop.target
    line["usd_per_hour"] = None if dollars is None else dollars.rate.usd_per_hour
    rate = None if dollars is None else dollars.rate
    line["usd_per_hour_kind"] = None if rate is None else rate.kind
    line["usd_per_hour_as_of"] = None if rate is None or rate.as_of is None else rate.as_of.isoformat()
    line["usd_per_hour_flags"] = None if rate is None else "; ".join(rate.flags)
    line["api_prices_as_of"] = None if dollars is None else dollars.day.isoformat()
    line["utilisation"] = None if dollars is None else dollars.utilisation
    for name in _DOLLARS:
        line.update(with_interval(name, None if dollars is None else getattr(dollars, name)))
    line["split"] = None if dollars is None else dollars.split
    line["fit_residual"] = None if dollars is None else dollars.residual
    for name, blended in ({} if dollars is None else dollars.blends).items():
        line.update(with_interval(f"usd_per_mtok_at_{blend_key(name)}", blended))
    line["one_off_usd_per_mtok"] = None if dollars is None else dollars.one_off_usd_per_mtok
    line["floor_usd_per_mtok"] = None if dollars is None else dollars.floor_usd_per_mtok
    best = table.cheapest(row)
    line["cheapest_api"] = None if best is None else best.api
    line.update({f"cheapest_api_{key}": value for key, value in _of_quote(best, row).items()})
    line["cheapest_api_usd_per_request"] = None if best is None else best.api_usd_per_request
    line.update(with_interval("ratio_to_cheapest_api", None if best is None else best.ratio))
    line["break_even_utilisation"] = None if best is None else best.break_even_utilisation
    line.update(with_interval("full_load_ratio_to_cheapest_api", None if best is None else best.break_even))
    line.update(of_blends(blends.at_blends(row)))
    line["quality"] = "not compared"  # with the API's, whose ratio stands before it
    line.update(quality_plain.flat(row))
    line["command"] = row.command
    return line


def _of_quote(one: ApiComparison | None, row: Row) -> dict[str, Any]:
    """Whose word an API's price is, and how old."""
    if one is None or row.dollars is None:
        return dict.fromkeys(("source", "model_id", "valid_from", "confirmed", "age_days", "stale", "cached_tokens"))
    quote, day = one.model.quote, row.dollars.day
    return {
        "source": quote.source,
        "model_id": quote.model_id,
        "valid_from": None if quote.valid_from is None else quote.valid_from.isoformat(),
        "confirmed": None if quote.confirmed is None else quote.confirmed.isoformat(),
        "age_days": quote.age_days(day),
        "stale": quote.stale(day),
        "cached_tokens": one.cached_tokens,
    }


def blend_key(blend: str) -> str:
    """A blend's name as part of a key.

    >>> blend_key("3:1"), blend_key("80/20")
    ('3_to_1', '80_to_20')
    """
    return blend.replace(":", "_to_").replace("/", "_to_").replace(".", "_")


def of_blends(of: Mapping[str, Sequence[AtBlend]]) -> dict[str, Any]:
    """For a line of CSV: the cheapest API at each blend, and what it makes of the row."""
    line: dict[str, Any] = {}
    for name, found in of.items():
        best, key = blends.cheapest(found), blend_key(name)
        line[f"cheapest_api_at_{key}"] = None if best is None else best.api
        line[f"cheapest_api_usd_per_mtok_at_{key}"] = None if best is None else best.usd_per_mtok
        line.update(with_interval(f"ratio_to_cheapest_api_at_{key}", None if best is None else best.ratio))
        line[f"break_even_utilisation_at_{key}"] = None if best is None else best.break_even_utilisation
    return line


def of_api_at_blends(of: Mapping[str, Sequence[AtBlend]], api: str) -> dict[str, dict[str, Any]]:
    """One compared API by the blend's name, for JSON."""
    return {
        name: {
            "usd_per_mtok": one.usd_per_mtok,
            **with_interval("ratio", one.ratio),
            "break_even_utilisation": one.break_even_utilisation,
            **with_interval("full_load_ratio", one.break_even),
        }
        for name, found in of.items()
        for one in found
        if one.api == api
    }


def _of_energy(of: EnergyFigures) -> dict[str, Any]:
    parts = of.parts_j_per_output_token
    return {
        **with_interval("energy_j_per_output_token", of.j_per_output_token),
        **{f"{name}_per_output_token": parts.get(name) for name in ("gpu_energy_j", "cpu_energy_j", "dram_energy_j")},
    }


def _of_roofline(of: Roofline) -> dict[str, Any]:
    return {
        **with_interval("mbu", of.mbu),
        **with_interval("mfu", of.mfu),
        "decode_limit": of.limit,
        "prefill_limit": of.prefill_limit,
        "floor_ttft_s": of.floor_ttft_s,
        "floor_tpot_s": of.floor_step_s,
        "floor_e2el_s": of.floor_e2el_s,
    }


def _of_percentiles(of: dict[str, dict[float, float | TooFew]]) -> dict[str, Any]:
    return {
        f"{name.removesuffix('_s')}_p{which}_s": str(value) if isinstance(value, TooFew) else value
        for name, found in of.items()
        for which, value in found.items()
    }


def nested(row: Row) -> dict[str, Any]:
    """The flat line, with what has a structure of its own."""
    whole = flat(row)
    whole["cell"] = row.cell.model_dump(mode="json")
    whole["environment"] = row.environment.model_dump(mode="json")
    whole["facts"] = None if row.figures is None else row.figures.facts.model_dump(mode="json")
    whole["energy_sources"] = {} if row.figures is None else row.figures.energy.sources
    whole["energy_reasons"] = {} if row.figures is None else row.figures.energy.reasons
    whole["ceiling"] = None if row.figures is None else row.figures.roofline.basis
    whole["no_ceiling_because"] = None if row.figures is None else row.figures.roofline.reason
    whole["memory_reasons"] = {} if row.figures is None else row.figures.memory.reasons
    whole["reasons"] = [quality_plain.of_reason(reason) for reason in row.verdict]
    whole["error"] = None if row.failure is None else row.failure.model_dump(mode="json")
    whole["no_dollars_because"] = row.no_dollars_because
    whole["quality_pass"] = quality_plain.nested(row)
    whole["hardware_price"] = None if row.dollars is None else row.dollars.rate.basis
    at_blends = blends.at_blends(row)
    whole["apis"] = [
        {
            "api": one.api,
            **_of_quote(one, row),
            "usd_per_request": one.api_usd_per_request,
            **with_interval("ratio", one.ratio),
            "break_even_utilisation": one.break_even_utilisation,
            **with_interval("full_load_ratio", one.break_even),
            "blends": of_api_at_blends(at_blends, one.api),
        }
        for one in (row.dollars.apis if row.dollars is not None else ())
    ]
    return whole


def with_interval(name: str, of: Estimate | None) -> dict[str, float | None]:
    """A value and the ends of its interval, never infinite."""
    if of is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    ends = {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    return {key: None if end == math.inf else end for key, end in ends.items()}
