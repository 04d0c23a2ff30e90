"""Projected rows as text. "estimate" stands in every line, heading and object: none of this was measured."""

import json
from collections.abc import Sequence
from typing import Any

from bench.cost import break_even
from bench.metrics.statistics import Estimate
from bench.report import table
from bench.report.render import as_csv
from bench.report.table import NONE, number, percent, spread
from bench.whatif import at_api, draw, pairs
from bench.whatif import source as sources
from bench.whatif.carry import GB, NO_COMMUNICATION, AtApi, Bill, Projected
from bench.whatif.draw import Column, Grid
from bench.whatif.projection import Ranged

SCHEMA_VERSION = 1
ESTIMATE = "estimate"
TITLE = "Estimates, not measurements: rows carried to other hardware by the roofline (docs/whatif.md)."
_MS = 1e3

_COLUMNS = (
    Column("#", repeated=True),
    Column("measured row", left=True),
    Column("onto", left=True),
    Column("kind", left=True, repeated=True),
    Column("needs GB estimate", "speed"),
    Column("TTFT ms estimate", "speed"),
    Column("TPOT ms estimate", "speed"),
    Column("E2EL ms estimate", "speed"),
    Column("prefill tok/s estimate", "rates"),
    Column("decode tok/s estimate", "rates"),
    Column("output tok/s estimate", "rates"),
    Column("$/h", "dollars"),
    Column("$/Mtok in estimate", "dollars"),
    Column("$/Mtok out estimate", "dollars"),
    Column("$/Mtok blended estimate", "dollars"),
    Column("floor $/Mtok estimate", "dollars"),
    Column("vs API estimate", "check"),
    Column("break-even estimate", "check"),
    Column("TTFT estimate/measured", "check"),
    Column("TPOT estimate/measured", "check"),
    Column("$/Mtok estimate/measured", "check"),
)


def render(found: Sequence[Projected], form: str, width: int | None = None) -> str:
    """All rows in one of `draw.FORMATS`."""
    flat = draw.finite([_flat(one) for one in found])
    if form == "csv":
        return as_csv(flat)
    if form == "json":
        return _json(found)
    models = {table.model(one.source.row) for one in found}
    lengths = {sources.lengths_of(one.source.row.cell) for one in found}
    same = [*(models if len(models) == 1 else ()), *(lengths if len(lengths) == 1 else ())]
    lines = [_line(index, one, len(models) > 1, len(lengths) > 1) for index, one in enumerate(found, 1)]
    grid = Grid(_COLUMNS, lines).without_empty(NONE)
    answer = [text for text in (TITLE, pairs.summary(found), ", ".join(same)) if text]
    if form == "md":
        return draw.markdown(answer, grid, notes(found))
    return draw.terminal(answer, grid, notes(found), width)


def notes(found: Sequence[Projected]) -> list[str]:
    """How the figures came about, their assumptions, and what to doubt."""
    several = any(one.fit is not None and (one.fit.devices or 0) > 1 for one in found)
    general = [
        "TTFT, TPOT: FLOPs and bytes of the row over the rates of that hardware, at the row's own MFU and MBU; ± is "
        "the interval of the measurement alone. ≥ and ≤ (and the floor): the physical limit there, MBU = MFU = 1.",
        *((NO_COMMUNICATION,) if several else ()),
        *(
            ("estimate/measured: the same cell measured on that hardware; dollars at the same hourly price.",)
            if any(one.ratios is not None for one in found)
            else ()
        ),
    ]
    return general + draw.numbered([_said(one) for one in found])


def _said(one: Projected) -> list[str]:
    said = [*(f"warning: {text}" for text in one.warnings), *one.reasons]
    row = one.source.row
    if one.speeds is not None:
        of = one.source.figures.roofline
        shares = [(name, share) for name, share in (("MBU", of.mbu), ("MFU", of.mfu)) if share is not None]
        reached = ", ".join(f"{name} {percent(share.value)}{spread(share)}" for name, share in shares)
        said.append(f"Measured on {sources.where(row)}: {reached} of: {of.basis}.")
        said.append(f"{one.target.name}: {one.target.basis}.")
    if one.bill is not None:
        said.append(f"Hardware price: {one.bill.rate.basis}.")
        said += _dollar_notes(one.bill)
    if one.speeds is not None and row.cell.workload.cached_tokens:
        said.append(
            "prefill tok/s and $/Mtok in count uncached prompt tokens: cached ones have no price of their own here."
        )
    return said


def _dollar_notes(bill: Bill) -> list[str]:
    idle = " (serverless: paid while it serves)" if bill.rate.kind == "serverless" else ""
    said = [f"Utilisation {percent(bill.utilisation)}{idle}. Quality not compared."]
    if bill.one_off is not None:
        said.append(
            f"One-off: ${bill.one_off.usd:g} for {bill.one_off.what} over {bill.one_off.mtok:g} Mtok, "
            f"${number(bill.one_off_usd_per_request)} a request, is in vs API and break-even, and not in the other "
            "dollars."
        )
    api = bill.cheapest_api()
    if api is not None:
        said.append(f"vs API and break-even: against {api.api} for the same request.")
    return [*said, *at_api.notes(one.request for one in bill.apis)]


def _line(index: int, one: Projected, model: bool, lengths: bool) -> tuple[str, ...]:
    """`model`, `lengths`: whether rows differ in them."""
    speeds, bill, ratios = one.speeds, one.bill, one.ratios
    api = None if bill is None else bill.cheapest_api()
    times = (None,) * 3 if speeds is None else (speeds.ttft_s, speeds.tpot_s, speeds.e2el_s)
    rates = (
        (None,) * 3
        if speeds is None
        else (speeds.prefill_tokens_per_s, speeds.decode_tokens_per_s, speeds.output_tokens_per_s)
    )
    usd = (
        (None,) * 3 if bill is None else (bill.input_usd_per_mtok, bill.output_usd_per_mtok, bill.blended_usd_per_mtok)
    )
    return (
        str(index),
        one.source.name(model, lengths),
        onto(one),
        ESTIMATE,
        NONE if one.fit is None else number(one.fit.needed_bytes / GB),
        *(_with_limit(value, _MS, "≥") for value in times),
        *(_with_limit(value, 1.0, "≤") for value in rates),
        NONE if bill is None else number(bill.rate.usd_per_hour),
        *(_plain(value) for value in usd),
        NONE if bill is None else number(bill.blended_usd_per_mtok.limit),
        NONE if api is None else f"{number(api.ratio.value)}×{spread(api.ratio)}",
        _break_even(api),
        *(
            NONE if ratios is None or getattr(ratios, name) is None else f"{getattr(ratios, name):.2f}×"
            for name in pairs.QUANTITIES
        ),
    )


def onto(one: Projected) -> str:
    """The hardware with its number of devices, or that it is not enough."""
    if one.fit is None or one.target.whole:
        return one.target.name
    if one.fit.devices is None:
        return f"{one.target.name}: does not fit"
    return one.target.name if one.target.most == 1 else f"{one.fit.devices} × {one.target.name}"


def _with_limit(of: Ranged | None, factor: float, sign: str) -> str:
    if of is None:
        return NONE
    return f"{number(of.estimate.value * factor)}{spread(of.estimate)}, {sign}{number(of.limit * factor)}"


def _plain(of: Ranged | None) -> str:
    return NONE if of is None else number(of.estimate.value) + spread(of.estimate)


def _break_even(api: AtApi | None) -> str:
    """With a question mark where the interval reaches to both sides of "never"."""
    if api is None:
        return NONE
    doubt = "?" if api.full_load_share is not None and break_even.in_doubt(api.full_load_share) else ""
    return ("never" if api.break_even is None else percent(api.break_even)) + doubt


def _flat(one: Projected) -> dict[str, Any]:
    """One line of plain values; SI units and dollars in the names, nothing rounded."""
    line = _named(one)
    for name, ranged in _quantities(one).items():
        of = None if ranged is None else ranged.estimate
        line[f"estimate_{name}"] = None if of is None else of.value
        line[f"estimate_{name}_low"] = None if of is None else of.low
        line[f"estimate_{name}_high"] = None if of is None else of.high
        line[f"estimate_{name}_limit"] = None if ranged is None else ranged.limit
    api = None if one.bill is None else one.bill.cheapest_api()
    line["usd_per_hour"] = None if one.bill is None else one.bill.rate.usd_per_hour
    line["utilisation"] = None if one.bill is None else one.bill.utilisation
    line["one_off_usd_per_request"] = None if one.bill is None else one.bill.one_off_usd_per_request
    line["cheapest_api"] = None if api is None else api.api
    line["cheapest_api_usd_per_request"] = None if api is None else api.usd_per_request
    rests_on = dict.fromkeys(at_api.PLAIN) if api is None else at_api.plain(api.request)
    line.update({f"cheapest_api_{name}": value for name, value in rests_on.items()})
    line["estimate_ratio_to_cheapest_api"] = None if api is None else api.ratio.value
    line["estimate_break_even_utilisation"] = None if api is None else api.break_even
    for name in pairs.QUANTITIES:
        line[f"estimate_over_measured_{name}"] = None if one.ratios is None else getattr(one.ratios, name)
    line["reasons"] = "; ".join(one.reasons)
    line["warnings"] = "; ".join(one.warnings)
    return line


def _named(one: Projected) -> dict[str, Any]:
    row = one.source.row
    work = row.cell.workload
    return {
        "kind": ESTIMATE,
        "row": one.source.number,
        "cell_id": row.cell.cell_id,
        "model": table.model(row),
        "precision": table.precision(row),
        "runner": row.cell.runner.name,
        "batch_size": work.batch_size,
        "input_tokens": work.input_tokens,
        "cached_tokens": work.cached_tokens,
        "output_tokens": work.output_tokens,
        "measured_on": sources.where(row),
        "onto": one.target.name,
        "estimate_devices": None if one.fit is None else one.fit.devices,
        "estimate_needed_bytes": None if one.fit is None else one.fit.needed_bytes,
        "usable_bytes_per_device": None if one.fit is None else one.fit.usable_bytes,
    }


def _quantities(one: Projected) -> dict[str, Ranged | None]:
    speeds, bill = one.speeds, one.bill
    names = ("ttft_s", "tpot_s", "e2el_s", "prefill_tokens_per_s", "decode_tokens_per_s", "output_tokens_per_s")
    usd = ("input_usd_per_mtok", "output_usd_per_mtok", "blended_usd_per_mtok", "usd_per_request")
    return {name: None if speeds is None else getattr(speeds, name) for name in names} | {
        name: None if bill is None else getattr(bill, name) for name in usd
    }


def _json(found: Sequence[Projected]) -> str:
    whole = {
        "schema_version": SCHEMA_VERSION,
        "kind": ESTIMATE,
        "rows": [_nested(one) for one in found],
        "median_absolute_log_error": {
            name: {"kind": ESTIMATE, "value": value, "pairs": count}
            for name, (value, count) in pairs.errors(found).items()
        },
        "notes": [TITLE, *notes(found)],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _nested(one: Projected) -> dict[str, Any]:
    of = one.source.row.figures
    whole = _named(one)
    whole["quantities"] = {
        "kind": ESTIMATE, **{name: _object(value) for name, value in _quantities(one).items()}
    }  # fmt: skip
    whole["shares"] = {
        "kind": ESTIMATE,
        "mbu": None if of is None else _interval(of.roofline.mbu),
        "mfu": None if of is None else _interval(of.roofline.mfu),
        "measured_against": None if of is None else of.roofline.basis,
        "carried_to": one.target.basis,
    }
    bill = one.bill
    whole["usd_per_hour"] = None if bill is None else bill.rate.usd_per_hour
    whole["hardware_price"] = None if bill is None else bill.rate.basis
    whole["utilisation"] = None if bill is None else bill.utilisation
    whole["one_off_usd_per_request"] = None if bill is None else bill.one_off_usd_per_request
    whole["apis"] = [_at_api(one) for one in (() if bill is None else bill.apis)]
    whole["over_measured"] = (
        None
        if one.ratios is None
        else {
            "kind": ESTIMATE,
            "measured_row": one.ratios.measured.number,
            **{name: getattr(one.ratios, name) for name in pairs.QUANTITIES},
        }
    )
    whole["reasons"], whole["warnings"] = list(one.reasons), list(one.warnings)
    return whole


def _at_api(one: AtApi) -> dict[str, Any]:
    return {
        "kind": ESTIMATE,
        "api": one.api,
        "usd_per_request": one.usd_per_request,
        "ratio": _interval(one.ratio),
        "break_even": one.break_even,
        **at_api.plain(one.request),
    }


def _object(of: Ranged | None) -> dict[str, Any] | None:
    return None if of is None else {**_interval(of.estimate), "limit": of.limit}  # type: ignore[dict-item]


def _interval(of: Estimate | None) -> dict[str, Any] | None:
    """Every object says what it is: also a share, which was measured but stands here for another device."""
    return None if of is None else {"kind": ESTIMATE, "value": of.value, "low": of.low, "high": of.high, "n": of.n}
