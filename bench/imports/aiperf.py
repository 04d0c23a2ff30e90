"""AIPerf: profile_export_aiperf.json and .csv; single requests come from profile_export.jsonl beside the JSON.

Definitions are those of the source of 0.13, metrics/types; docs/imports.md has them in a table. Its "inter token
latency" is our TPOT; the gaps it calls "inter chunk latency". Its token counts are by a tokenizer of the client unless
it was told otherwise, while the server's own count stands beside them: here the server's comes first.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.imports.aiperf_requests import Requests, beside
from bench.imports.found import Found, Load
from bench.imports.times import figures_of, rates, warm_cache
from bench.imports.values import Values, document, peek, shown
from bench.schema import Imported, ImportedFigure

TOOL = "AIPerf"

_KEYS = {"request_latency", "request_throughput", "request_count"}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1.0, "s": 1.0}
_HEADERS = {
    "Benchmark Duration": "benchmark_duration",
    "Request Count": "request_count",
    "Error Request Count": "error_request_count",
    "Request Latency": "request_latency",
    "Time to First Token": "time_to_first_token",
    "Inter Token Latency": "inter_token_latency",
    "Total Input Sequence Length": "total_isl",
    "Total Output Sequence Length": "total_osl",
    "Total Usage Prompt Tokens": "total_usage_prompt_tokens",
    "Total Usage Completion Tokens": "total_usage_completion_tokens",
    "Total Usage Prompt Cache Read Tokens": "total_usage_prompt_cache_read_tokens",
    "Good Request Count": "good_request_count",
}
_TIMES = {"ttft_s": "time_to_first_token", "tpot_s": "inter_token_latency", "e2el_s": "request_latency"}
_LEFT_OUT = {
    "request_throughput, output_token_throughput, total_token_throughput, goodput": "over end_time − start_time of the "
    "phase, in which nothing may be on its way; here over benchmark_duration, first sent to last answered",
    "*.avg, *.std": "times of a load are told by their median and percentiles here",
    "inter_chunk_latency": "gaps between chunks, not tokens; taken from single requests where each chunk was one token",
    "output_token_throughput_per_user": "the mean of 1 / TPOT over requests; ours is 1 / the median TPOT",
    "prefill_throughput_per_user": "tokens of a prompt over its TTFT, waiting included; not a rate of prefill",
    "adj_*": "percentiles in which failures count as endless; failures are counted apart here",
    "effective_*, active_*": "averages over time of what was in flight; no figures of ours",
}
_WHOLE_RUN = "rates are over the whole run, filling and draining included; ours are over its steady part"
_FROM_SENT = "TTFT and end-to-end time are from sending each request, not from its place in the schedule"
_CLIENT = "tokens are counted by the client's tokenizer: the file has no count of the server's"
_SERVER = "tokens are the server's count (usage)"
_ONE_FIRST = "TPOT takes the first chunk for one token, unless AIPerf ran with --per-chunk-usage"


def claims(text: str, name: str) -> bool:  # noqa: ARG001
    """By the metrics of its JSON, by the headings of its CSV, or by a line of its single requests."""
    if text.startswith("Metric,avg,min,max,sum,"):
        return True
    found = peek(text) or peek(text.split("\n", 1)[0])
    if not isinstance(found, dict):
        return False
    return _is_summary(found) or _is_request(found)


def read(file: Path, text: str) -> list[Found]:
    """The run of the file. Raises InputError where it has no success, or is the list of its single requests."""
    if not text.lstrip().startswith("{"):
        return [_run(Values(file, _of_csv(file, text)), Requests())]
    whole = Values(file, peek(text.split("\n", 1)[0]) if peek(text) is None and "\n" in text else document(file, text))
    if _is_request(whole.said):
        raise InputError(f"{file}: single requests; import profile_export_aiperf.json, and leave this beside it")
    return [_run(whole, beside(file))]


def _is_summary(found: Mapping[str, Any]) -> bool:
    return found.keys() >= _KEYS and all(isinstance(found[key], dict) and "unit" in found[key] for key in _KEYS)


def _is_request(found: Mapping[str, Any]) -> bool:
    about = found.get("metadata")
    return isinstance(found.get("metrics"), dict) and isinstance(about, dict) and "request_start_ns" in about


def _of_csv(file: Path, text: str) -> dict[str, Any]:
    """The JSON's structure of what the CSV has; figures are rounded to two digits there."""
    found: dict[str, Any] = {}
    heading: list[str] = []
    if not text.endswith("\n"):
        raise InputError(f"{file}: ends in the middle, at byte {len(text.encode())}: copy it again")
    try:
        for row in csv.reader(io.StringIO(text), strict=True):
            if not row:
                heading = []
            elif not heading:
                heading = row
            elif heading[0] == "Metric" and len(row) == len(heading):
                name, _, unit = row[0].partition(" (")
                if name in _HEADERS and (unit or len(row) == 2):
                    found[_HEADERS[name]] = _metric(file, name, unit.rstrip(")"), heading, row)
    except csv.Error as error:
        raise InputError(f"{file}: broken CSV ({error}); export it again") from None
    missing = [key for key in ("request_latency", "request_count", "benchmark_duration") if key not in found]
    if missing:
        raise InputError(f"{file}: {missing[0]} missing: ends in the middle, or was written by another version")
    return found


def _metric(file: Path, name: str, unit: str, heading: list[str], row: list[str]) -> dict[str, Any]:
    names = ["avg" if one == "Value" else one for one in heading]
    try:
        return {"unit": unit} | {key: float(one) for key, one in zip(names[1:], row[1:], strict=True) if one}
    except ValueError:
        raise InputError(f"{file}: {name}: must be numbers, got {shown(','.join(row[1:]))}") from None


def _run(of: Values, requests: Requests) -> Found:
    good = round(_value(of, "request_count"))
    if not good:
        raise of.error("request_count", "no request succeeded; nothing can be taken over: see the server's log")
    window_s = _value(of, "benchmark_duration") * _unit(of.inner("benchmark_duration"))
    is_servers = "total_usage_completion_tokens" in of and "total_usage_prompt_tokens" in of
    kind = ("total_usage_prompt_tokens", "total_usage_completion_tokens") if is_servers else ("total_isl", "total_osl")
    tokens = [round(_value(of, key)) if key in of else 0 for key in kind]
    cached = round(_value(of, _CACHED)) if is_servers and _CACHED in of else None
    names = {
        "requests_per_s": ("request_count / benchmark_duration", ""),
        "output_tokens_per_s": (f"{kind[1]} / benchmark_duration", ""),
        "total_tokens_per_s": (f"({kind[0]} + {kind[1]}) / benchmark_duration", ""),
    }
    whole, left_out, doubts = rates(of, window_s, good, tokens[0], tokens[1], names)
    goodput, no_goodput = _goodput(of, window_s)
    load, said = _load(of)
    streamed = is_servers and "usage_completion_tokens_diff_pct" in of
    mismatch = streamed and _value(of, "usage_completion_tokens_diff_pct") > 0
    times = _times(of) | requests.figures()
    config = of.inner_or_none("input_config")
    return Found(
        imported=Imported(
            tool=TOOL,
            tool_version=of.text("aiperf_version") or None,
            file=of.file.name,
            sha256="",
            measured_at=of.text("start_time") or None,
            figures=whole | goodput | figures_of(times),
            percentiles_s=_percentiles(of, mismatch),
            samples_s=requests.samples(),
            requests=good,
            failed_requests=round(_value_or_none(of, "error_request_count") or 0),
            input_tokens=tokens[0] or None,
            cached_tokens=cached,
            output_tokens=tokens[1] or None,
            window_s=window_s,
            left_out=left_out | no_goodput | _LEFT_OUT,
            remarks=(
                *said,
                _WHOLE_RUN,
                _SERVER if is_servers else _CLIENT,
                _ONE_FIRST,
                *_remarks(of, requests, mismatch),
                *doubts,
            ),
            doubts=warm_cache(cached, tokens[0]),
        ),
        model=_model(config),
        load=load,
        input_tokens=tokens[0] / good if tokens[0] else None,
        cached_tokens=None if cached is None else cached / good,
        output_tokens=tokens[1] / good if tokens[1] else None,
        options=_options(config),
        accelerators=_accelerators(of),
    )


_CACHED = "total_usage_prompt_cache_read_tokens"


def _value(of: Values, key: str) -> float:
    return of.inner(key).number("avg")


def _value_or_none(of: Values, key: str) -> float | None:
    found = of.inner_or_none(key)
    return None if found is None else found.number_or_none("avg")


def _unit(of: Values) -> float:
    """Seconds in the metric's unit. Raises InputError for a unit that is no time."""
    unit = of.text("unit")
    if unit not in _SECONDS:
        raise of.error("unit", f"no unit of time that is known, got {shown(unit)}; known: {', '.join(_SECONDS)}")
    return _SECONDS[unit]


def _times(of: Values) -> dict[str, ImportedFigure]:
    found = {}
    for name, key in _TIMES.items():
        metric = of.inner_or_none(key)
        value = None if metric is None else metric.number_or_none("p50")
        if metric is not None and value:
            found[name] = ImportedFigure(value=value * _unit(metric), said=f"{key}.p50 in {metric.text('unit')}")
    return found


def _percentiles(of: Values, mismatch: bool) -> dict[str, dict[str, float]]:
    """`mismatch`: TPOT was made with another count of tokens than the server's, so its percentiles stay out."""
    found = {}
    for name, key in _TIMES.items():
        metric = of.inner_or_none(key)
        if metric is None or (mismatch and name == "tpot_s"):
            continue
        each = {one: metric.number_or_none(f"p{one}") for one in ("50", "75", "90", "95", "99")}
        found[name] = {one: value * _unit(metric) for one, value in each.items() if value}
    return {name: each for name, each in found.items() if each}


def _goodput(of: Values, window_s: float) -> tuple[dict[str, ImportedFigure], dict[str, str]]:
    """Requests per second that met every objective, where the file says which: those of ours have other names only."""
    good = _value_or_none(of, "good_request_count")
    if good is None:
        return {}, {}
    config = of.inner_or_none("input_config")
    slos = None if config is None else config.inner_or_none("slos")
    if slos is None or not slos.said.keys() <= set(_TIMES.values()):
        return {}, {"goodput": "counted by objectives that the file does not say, or that are none of ours"}
    said = " and ".join(f"{key} ≤ {slos.number(key):g} ms" for key in slos.said)
    figure = ImportedFigure(value=good / window_s, said=f"good_request_count / benchmark_duration, by {said}")
    return {"goodput_requests_per_s": figure}, {}


def _load(of: Values) -> tuple[Load | None, tuple[str, ...]]:
    """Of the phase that was profiled; None where the file does not say it, as its CSV does not."""
    config = of.inner_or_none("input_config")
    if config is None:
        return None, ("the file does not say the load, the model or the version: its JSON does",)
    phases = [one for one in config.each("phases") if one.text("kind") in ("", "profiling")]
    phase = phases[-1] if phases else config.inner_or_none("loadgen")
    if phase is None:
        return None, ("the file does not say the load",)
    rate = phase.number_or_none("rate") or phase.number_or_none("request_rate")
    streams = phase.count_or_none("concurrency")
    if not rate:
        return (Load("closed", streams), ()) if streams else (None, ("the file does not say the load",))
    kind = phase.text("type") or phase.text("request_rate_mode") or "poisson"
    if kind == "gamma":
        return Load("gamma", rate, phase.number_or_none("smoothness") or 1.0), (_FROM_SENT,)
    return Load("constant" if kind == "constant" else "poisson", rate), (_FROM_SENT,)


def _model(config: Values | None) -> str:
    if config is None:
        return ""
    models = config.inner_or_none("models")
    names = [one.text("name") for one in models.each("items")] if models is not None else []
    if not names:
        endpoint = config.inner_or_none("endpoint")
        names = [str(one) for one in endpoint.items("model_names")] if endpoint is not None else []
    return " + ".join(names)


def _options(config: Values | None) -> dict[str, str | int | float | bool]:
    endpoint = None if config is None else config.inner_or_none("endpoint")
    return {"api": endpoint.text("type")} if endpoint is not None and endpoint.text("type") else {}


def _accelerators(of: Values) -> tuple[str, ...]:
    """Of its telemetry, where it could ask the server's GPUs."""
    telemetry = of.inner_or_none("telemetry_data")
    endpoints = None if telemetry is None else telemetry.inner_or_none("endpoints")
    if endpoints is None:
        return ()
    each = [endpoints.inner(name).inner_or_none("gpus") for name in endpoints.said]
    names = [gpus.inner(gpu).text("gpu_name") for gpus in each if gpus is not None for gpu in gpus.said]
    return tuple(name for name in names if name)


def _remarks(of: Values, requests: Requests, mismatch: bool) -> tuple[str, ...]:
    said = []
    if requests.file:
        said.append(
            f"TPOT and samples are from the single requests in {requests.file} beside it, by the server's count"
        )
    elif mismatch:
        said.append(
            "TPOT is by the client's count of tokens, which is not the server's: leave profile_export.jsonl beside it"
        )
    if of.said.get("was_cancelled") is True:
        said.append("the run was cancelled before its end")
    if of.file.suffix == ".csv":
        said.append("figures are rounded to two digits after the point in the CSV")
    return tuple(said)
