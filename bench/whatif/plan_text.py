"""The cheapest way to serve a load: the answer first, then every candidate, then what it all assumes."""

import json
from collections.abc import Sequence
from typing import Any

from bench.metrics.statistics import Estimate
from bench.report.render import as_csv
from bench.report.table import NONE, number, percent, spread
from bench.whatif import at_api, draw
from bench.whatif.at_api import ApiRequest
from bench.whatif.candidates import Candidate, Considered, described, dollars
from bench.whatif.draw import Column, Grid
from bench.whatif.load import HOURS_PER_MONTH, Limits, Load, Miss

SCHEMA_VERSION = 1
NOT_MEASURED = "latency not measured"
_MS = 1e3

_COLUMNS = (
    Column("#", repeated=True),
    Column("kind", left=True, repeated=True),
    Column("what", left=True),
    Column("where", left=True),
    Column("replicas", "cost"),
    Column("busy", "cost"),
    Column("$ per month", "cost"),
    Column("TTFT ms", "latency"),
    Column("gathering ms", "latency"),
    Column("TPOT ms", "latency"),
    Column("E2EL ms", "latency"),
    Column("limits", "latency", left=True),
)


def render(found: Considered, load: Load, limits: Limits, form: str, width: int | None = None) -> str:
    """The whole plan in one of `draw.FORMATS`."""
    flat = draw.finite([_flat(one, limits) for one in found.candidates])
    if form == "csv":
        return as_csv(flat)
    if form == "json":
        return _json(found, flat, load, limits)
    grid = Grid(_COLUMNS, [_line(index, one, limits) for index, one in enumerate(found.candidates, 1)])
    top = [answer(found.candidates, limits), asked(load, limits)]
    if form == "md":
        return draw.markdown(top, grid.without_empty(NONE), notes(found))
    return draw.terminal(top, grid.without_empty(NONE), notes(found), width)


def answer(candidates: Sequence[Candidate], limits: Limits) -> str:
    """One sentence: what to take, what it costs, and the next best."""
    fit = [one for one in candidates if not one.fails()]
    if limits.any_latency():
        known = [one for one in fit if one.served is not None]
        return _with_latency(candidates, fit, known, limits)
    if not fit:
        return _nearest_miss(candidates)
    best = fit[0]
    within = ", within the budget" if limits.usd_per_month is not None else ""
    return f"Cheapest: {described(best)}: {dollars(best.usd_per_month)} per month{within}{_next(best, fit)}."


def _with_latency(
    candidates: Sequence[Candidate], fit: Sequence[Candidate], known: Sequence[Candidate], limits: Limits
) -> str:
    if not known:
        return _nearest_miss(candidates)
    best = known[0]
    assert best.served is not None
    meets = f"{'by estimate ' if best.kind == 'estimate' else ''}meets {_limits(limits)}"
    said = f"{described(best)}: {dollars(best.usd_per_month)} per month, {meets}"
    if best.served.may_miss:
        said += f" (by its interval it may miss {', '.join(best.served.may_miss)})"
    cheaper, measured = fit[0], next((one for one in known if one.kind == "measured"), None)
    if cheaper is best:
        said = f"Cheapest: {said}{_next(best, fit)}"
    else:
        said = f"Cheapest: {said}; cheaper, but {NOT_MEASURED}: {described(cheaper)}: {dollars(cheaper.usd_per_month)}"
    if best.kind == "estimate" and measured is not None:
        said += f"; cheapest that was measured: {described(measured)}: {dollars(measured.usd_per_month)}"
    return said + "."


def _next(best: Candidate, fit: Sequence[Candidate]) -> str:
    """The next best of another kind, so that hardware and API stand beside each other; else the next best at all."""
    others = [one for one in fit if one is not best]
    other = next((one for one in others if (one.kind == "api") != (best.kind == "api")), None)
    other = other or next(iter(others), None)
    return "" if other is None else f"; next: {described(other)}: {dollars(other.usd_per_month)}"


def _nearest_miss(candidates: Sequence[Candidate]) -> str:
    missing = [one for one in candidates if one.fails()]
    said = "Nothing that was measured meets the limits."
    if missing:
        best = min(missing, key=lambda one: (one.worst(), one.usd_per_month.value))
        misses = ", ".join(_miss(miss) for miss in best.misses)
        said += f" Nearest: {described(best)}: {dollars(best.usd_per_month)} per month, but {misses}."
    api = next((one for one in candidates if one.served is None and not one.fails()), None)
    if api is not None:
        said += f" {described(api)} costs {dollars(api.usd_per_month)} ({NOT_MEASURED})."
    return said


def asked(load: Load, limits: Limits) -> str:
    """The load and its limits in words."""
    cached = f" ({load.cached_tokens} cached)" if load.cached_tokens else ""
    said = f"Load: {load.requests_per_s:g} requests/s of {load.input_tokens} in{cached} + {load.output_tokens} out"
    for name, value, unit in (
        ("TTFT", limits.ttft_s, "ms"),
        ("TPOT", limits.tpot_s, "ms"),
        ("E2EL", limits.e2el_s, "ms"),
        ("budget", limits.usd_per_month, "$ per month"),
    ):
        if value is not None:
            said += f"; {name} ≤ {value * _MS:g} {unit}" if unit == "ms" else f"; {name} ≤ ${number(value)} per month"
    return said + f"; a replica at most {percent(load.max_utilisation)} busy."


def notes(found: Considered) -> list[str]:
    """What the figures assume, in general and of each candidate."""
    general = [
        f"$ per month: replicas × $ per hour × {HOURS_PER_MONTH} hours; at an API the price of the request × requests. "
        "In brackets the range from the measurement's interval alone.",
        "Replicas: requests/s over a replica's capacity (batch / its time) at the highest utilisation, rounded up; in "
        "brackets their range.",
        "Times are those of the measured batch, scaled linearly: the prefill by uncached prompt tokens, the decode by "
        "steps. TTFT is without queueing: how requests queue is measured under load, not here.",
        "A static batch must fill: B requests take B × replicas / X seconds to arrive, which is in TTFT and E2EL where "
        "B is above 1. An engine that batches continuously does not wait so.",
        "Tokens are the measured model's (tokenizers differ). Quality not compared.",
        *at_api.notes(one.request for one in found.candidates if one.request is not None),
    ]
    return general + draw.numbered([one.notes for one in found.candidates]) + list(found.left_out)


def _line(index: int, one: Candidate, limits: Limits) -> tuple[str, ...]:
    of = one.served
    cost, latency = (NONE, NONE), (NONE, NONE, NONE, NONE)
    if of is not None:
        cost = (_replicas(of.replicas, of.replicas_low, of.replicas_high), percent(of.utilisation))
        latency = (
            number(of.ttft_s.value * _MS) + spread(of.ttft_s),
            number(of.gather_s * _MS) if of.gather_s else NONE,
            NONE if of.tpot_s is None else number(of.tpot_s.value * _MS) + spread(of.tpot_s),
            number(of.e2el_s.value * _MS) + spread(of.e2el_s),
        )
    usd = dollars(one.usd_per_month)
    return str(index), one.kind, one.name, one.where, *cost, usd, *latency, _kept(one, limits)


def _replicas(value: int, low: int | None, high: int | None) -> str:
    return str(value) if low is None or high is None or low == high else f"{value} ({low}–{high})"


def _kept(one: Candidate, limits: Limits) -> str:
    """The verdict, with the figures that miss their limits."""
    return f"misses {', '.join(_miss(miss) for miss in one.misses)}" if one.misses else _verdict(one, limits)


def _verdict(one: Candidate, limits: Limits) -> str:
    """Whether the limits are kept."""
    if one.misses:
        return "misses " + ", ".join(miss.name for miss in one.misses)
    if not limits.any_latency():
        return NONE if limits.usd_per_month is None else "meets"
    if one.served is None:
        return NOT_MEASURED
    return "meets" + ("?" if one.served.may_miss else "")


def _miss(miss: Miss) -> str:
    if miss.name.startswith("$"):
        return f"${number(miss.figure)} per month of ${number(miss.limit)}"
    return f"{miss.name} {number(miss.figure * _MS)} ms of {number(miss.limit * _MS)} ms"


def _limits(limits: Limits) -> str:
    names = [
        name
        for name, limit in (
            ("TTFT", limits.ttft_s), ("TPOT", limits.tpot_s), ("E2EL", limits.e2el_s), ("budget", limits.usd_per_month)
        )
        if limit is not None
    ]  # fmt: skip
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _flat(one: Candidate, limits: Limits) -> dict[str, Any]:
    """One line of plain values; SI units and dollars in the names, nothing rounded."""
    of, batch, request = one.served, one.batch, one.request
    power = None if of is None else of.electricity_usd_per_request
    line: dict[str, Any] = {
        "kind": one.kind,
        "what": one.name,
        "where": one.where,
        "row": one.row,
        "replicas": None if of is None else of.replicas,
        "replicas_low": None if of is None else of.replicas_low,
        "replicas_high": None if of is None else of.replicas_high,
        "utilisation": None if of is None else of.utilisation,
        "capacity_requests_per_s": None if of is None else of.capacity_per_s,
        "gather_s": None if of is None else of.gather_s,
        "usd_per_hour_each": None if batch is None else batch.usd_per_hour,
        "served_share": None if batch is None else batch.served_share,
        "one_off_usd_per_request": None if batch is None else batch.one_off_usd_per_request,
        **_interval("electricity_usd_per_request", power),
        "usd_per_request": None if request is None else request.usd_per_request,
        **_interval("usd_per_month", one.usd_per_month),
    }
    for name in ("ttft_s", "tpot_s", "e2el_s", "batch_s"):
        line.update(_interval(name, None if of is None else getattr(of, name)))
    line.update(dict.fromkeys(API_KEYS) if request is None else _priced(request))
    line["misses"] = "; ".join(_miss(miss) for miss in one.misses)
    line["limits"] = _verdict(one, limits)
    return line


def _interval(name: str, of: Estimate | None) -> dict[str, float | None]:
    if of is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}


API_KEYS = tuple(f"api_{name}" for name in at_api.PLAIN)


def _priced(of: ApiRequest) -> dict[str, Any]:
    return {f"api_{name}": value for name, value in at_api.plain(of).items()}


def _json(found: Considered, flat: Sequence[dict[str, Any]], load: Load, limits: Limits) -> str:
    whole = {
        "schema_version": SCHEMA_VERSION,
        "answer": answer(found.candidates, limits),
        "load": {
            "requests_per_s": load.requests_per_s,
            "input_tokens": load.input_tokens,
            "cached_tokens": load.cached_tokens,
            "output_tokens": load.output_tokens,
            "max_utilisation": load.max_utilisation,
        },
        "limits": {
            "ttft_s": limits.ttft_s,
            "tpot_s": limits.tpot_s,
            "e2el_s": limits.e2el_s,
            "usd_per_month": limits.usd_per_month,
        },
        "candidates": [
            {**line, "notes": [*one.notes, *(at_api.notes([one.request]) if one.request is not None else ())]}
            for line, one in zip(flat, found.candidates, strict=True)
        ],
        "left_out": list(found.left_out),
        "notes": notes(found),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
