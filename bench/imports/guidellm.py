"""GuideLLM: its JSON report, one cell a benchmark. Definitions are those of the source of 0.8, schemas/base and
benchmark/schemas; docs/imports.md has them in a table.

Its "time per output token" has the time to the first token in it, and its "inter-token latency" is our TPOT, whose
statistics it weighs by tokens. So times are taken from the single requests, by our definitions, wherever the file has
them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.errors import InputError
from bench.imports.found import Found, Load
from bench.imports.times import agree, figures_of, warm_cache
from bench.imports.values import Values, document, peek, shown
from bench.schema import Imported, ImportedFigure

TOOL = "GuideLLM"

_LEFT_OUT = {
    "time_per_output_token_ms": "(last token − start) / tokens: the time to the first token is in it; not our TPOT",
    "inter_token_latency_ms": "(last − first token) / (tokens − 1) is our TPOT, but these statistics are weighed by "
    "tokens; ours is over requests, and taken from them",
    "request_latency": "ends with the connection, after usage and [DONE]; ours with the last token",
    "request_concurrency, iterations": "what the client saw in flight, and chunks; no figures of ours",
}
_NO_SLO = "counted by objectives of GuideLLM's own; not taken over"
_WHOLE_RUN = "rates are over GuideLLM's measured window, which without its warmup and cooldown is the whole run"
_COUNTED = "tokens are the server's count where it sends usage (prefer_response_metrics), else the tokenizer's"
_DUE = "TTFT and end-to-end time are from the scheduled start (targeted_start), the headline of an open loop"
_ONE_FIRST = "TPOT takes the first chunk for one token: GuideLLM does not keep how many it had"
_RATES = {
    "requests_per_s": "requests_per_second",
    "output_tokens_per_s": "output_tokens_per_second",
    "total_tokens_per_s": "tokens_per_second",
}


def claims(text: str, name: str) -> bool:  # noqa: ARG001
    """By its metadata or by the metrics of its first benchmark."""
    found = peek(text)
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        return False
    about, first = found.get("metadata"), next(iter(found["benchmarks"]), None)
    named = isinstance(about, dict) and "guidellm_version" in about
    return named or (isinstance(first, dict) and first.keys() >= {"metrics", "scheduler_metrics"})


def read(file: Path, text: str) -> list[Found]:
    """Every benchmark with a success. Raises InputError where there is none, and for keys of other versions."""
    whole = Values(file, document(file, text))
    about = whole.inner_or_none("metadata")
    version = None if about is None else about.text("guidellm_version") or None
    try:
        every = [_benchmark(one, whole, version) for one in whole.each("benchmarks")]
    except InputError as error:
        said = version or "an unknown version"
        raise InputError(f"{error.lines[0]} (written by GuideLLM {said}; 0.8 is what is understood)") from None
    found = [one for one in every if one is not None]
    if every and not found:
        raise InputError(f"{file}: every request failed; nothing can be taken over: see the server's log")
    return found


@dataclass(frozen=True)
class _Requests:
    """Seconds of the single requests that succeeded; `whole` where the file has all of them."""

    ttft_s: Sequence[float]
    tpot_s: Sequence[float]
    e2el_s: Sequence[float]
    whole: bool


def _benchmark(of: Values, whole: Values, version: str | None) -> Found | None:
    metrics, config = of.inner("metrics"), of.inner("config")
    made = of.inner("scheduler_metrics").inner("requests_made")
    totals = metrics.inner_or_none("request_totals")
    good = made.count("successful") if totals is None else totals.count("successful")
    if not good:
        return None
    strategy = config.inner("strategy")
    load, is_open = _load(strategy, good)
    requests = _requests(of, good, is_open)
    counts = [_total(metrics, key) for key in ("prompt_token_count", "output_token_count")]
    cached = _cached(of, good)
    rates, doubts = _rates(of, metrics, good, counts)
    backend = config.inner_or_none("backend") or whole.inner("config").inner("spec").inner("backend")
    return Found(
        imported=Imported(
            tool=TOOL,
            tool_version=version,
            file=of.file.name,
            sha256="",
            measured_at=_moment(of),
            figures=figures_of(rates | _times(metrics, requests, is_open)),
            percentiles_s=_percentiles(metrics, is_open),
            samples_s={
                name: tuple(values)
                for name, values in (("ttft_s", requests.ttft_s), ("tpot_s", requests.tpot_s))
                if values and requests.whole
            },
            requests=good,
            failed_requests=made.count("errored"),
            input_tokens=counts[0],
            cached_tokens=cached,
            output_tokens=counts[1],
            window_s=of.number_or_none("duration"),
            left_out=_left_out(metrics),
            remarks=(*_remarks(made, requests, is_open, strategy), *doubts),
            doubts=warm_cache(cached, counts[0]),
        ),
        model=backend.text("model"),
        load=load,
        input_tokens=None if counts[0] is None else counts[0] / good,
        cached_tokens=None if cached is None else cached / good,
        output_tokens=None if counts[1] is None else counts[1] / good,
        options=_options(backend),
    )


def _load(strategy: Values, requests: int) -> tuple[Load, bool]:
    """The load, and whether it is an open loop."""
    kind = strategy.text("type_")
    if kind == "synchronous":
        return Load("closed", 1), False
    if kind == "concurrent":
        return Load("closed", max(1, strategy.count("streams"))), False
    if kind == "throughput":
        return Load("closed", max(1, strategy.count_or_none("max_concurrency") or requests)), False
    if kind in ("constant", "async_constant"):
        return Load("constant", strategy.number("rate")), True
    if kind in ("poisson", "async_poisson"):
        return Load("poisson", strategy.number("rate")), True
    raise strategy.error(
        "type_", f"unknown strategy {shown(kind)}; known: synchronous, concurrent, throughput, constant, poisson"
    )


def _requests(of: Values, good: int, is_open: bool) -> _Requests:
    ttft_s, tpot_s, e2el_s, count = [], [], [], 0
    listed = of.inner_or_none("requests")
    for one in () if listed is None else listed.each("successful"):
        count += 1
        timings = one.inner("info").inner("timings")
        start = timings.number_or_none("targeted_start") if is_open else timings.number_or_none("request_start")
        first, last = timings.number_or_none("first_token_iteration"), timings.number_or_none("last_token_iteration")
        tokens = one.number_or_none("output_tokens")
        if start is None or first is None or last is None:
            continue  # not streamed
        if not start <= first <= last:
            raise timings.error(
                "first_token_iteration", "before the request's start, or after its last token; export it again"
            )
        ttft_s.append(first - start)
        e2el_s.append(last - start)
        if tokens is not None and tokens > 1 and last > first:
            tpot_s.append((last - first) / (tokens - 1))
    return _Requests(ttft_s, tpot_s, e2el_s, count == good)


def _times(metrics: Values, requests: _Requests, is_open: bool) -> dict[str, ImportedFigure]:
    """Medians over the requests; of a file with a part of them, its own median TTFT and nothing else."""
    start = "targeted_start" if is_open else "request_start"
    if requests.whole:
        samples = {
            "ttft_s": (requests.ttft_s, f"median of first_token_iteration − {start}"),
            "tpot_s": (requests.tpot_s, "median of (last − first_token_iteration) / (output_tokens − 1)"),
            "e2el_s": (requests.e2el_s, f"median of last_token_iteration − {start}"),
        }
        return {name: ImportedFigure(value=median(of), said=said) for name, (of, said) in samples.items() if of}
    found = metrics.inner_or_none("time_to_first_token_ms")
    good = None if found is None else found.inner_or_none("successful")
    value = None if good is None else good.number_or_none("median")
    if not value:
        return {}
    return {"ttft_s": ImportedFigure(value=value / 1000, said="time_to_first_token_ms.successful.median / 1000")}


def _percentiles(metrics: Values, is_open: bool) -> dict[str, dict[str, float]]:
    """Of TTFT, where it counts from sending as ours does; of all others the file's are weighed or end elsewhere."""
    found = metrics.inner_or_none("time_to_first_token_ms")
    good = None if found is None else found.inner_or_none("successful")
    each = None if good is None else good.inner_or_none("percentiles")
    if each is None or is_open:
        return {}
    names = {"p50": "50", "p75": "75", "p90": "90", "p95": "95", "p99": "99"}
    values = {short: each.number_or_none(key) for key, short in names.items()}
    kept = {short: value / 1000 for short, value in values.items() if value}
    return {"ttft_s": kept} if kept else {}


def _rates(
    of: Values, metrics: Values, good: int, counts: Sequence[int | None]
) -> tuple[dict[str, ImportedFigure], tuple[str, ...]]:
    """Counts over the measured window; GuideLLM's own means where warmup and cooldown cut requests in two."""
    cut = bool(of.number_or_none("warmup_duration") or of.number_or_none("cooldown_duration"))
    window_s = of.number("duration")
    both = None if None in counts else sum(one or 0 for one in counts)
    total = {
        "requests_per_s": (good, "request_totals.successful"),
        "output_tokens_per_s": (counts[1], "output_token_count.successful.total_sum"),
        "total_tokens_per_s": (both, "(prompt_token_count + output_token_count).successful.total_sum"),
    }
    found, doubts = {}, []
    for name, (count, said) in total.items():
        own = _mean(metrics, _RATES[name])
        if cut and own:
            found[name] = ImportedFigure(value=own, said=f"{_RATES[name]}.successful.mean")
        elif not cut and count and window_s > 0:
            found[name] = ImportedFigure(value=count / window_s, said=f"{said} / duration")
            if own is not None and not agree(own, count / window_s):
                doubts.append(f"{_RATES[name]}.successful.mean is {own:.4g}, not what its counts over its window are")
    return found, tuple(doubts)


def _mean(metrics: Values, key: str) -> float | None:
    found = metrics.inner_or_none(key)
    good = None if found is None else found.inner_or_none("successful")
    return None if good is None else good.number_or_none("mean")


def _total(metrics: Values, key: str) -> int | None:
    found = metrics.inner_or_none(key)
    good = None if found is None else found.inner_or_none("successful")
    total = None if good is None else good.number_or_none("total_sum")
    return None if total is None else round(total)


def _cached(of: Values, good: int) -> int | None:
    """Prompt tokens that the server found in its cache, where it said so of every request."""
    listed = of.inner_or_none("requests")
    each = [] if listed is None else [one.count_or_none("cached_tokens") for one in listed.each("successful")]
    known = [one for one in each if one is not None]
    return sum(known) if len(known) == good else None


def _left_out(metrics: Values) -> dict[str, str]:
    slo = {name: _NO_SLO for name in ("request_goodput", "slo_attainment") if name in metrics}
    return _LEFT_OUT | slo


def _remarks(made: Values, requests: _Requests, is_open: bool, strategy: Values) -> tuple[str, ...]:
    said = [_WHOLE_RUN, _COUNTED]
    if is_open:
        said.append(_DUE)
    if requests.tpot_s and requests.whole:
        said.append(_ONE_FIRST)
    if not requests.whole:
        said.append("the file has a part of the requests alone (sample_size): TPOT and end-to-end time are left out")
    if not requests.ttft_s:
        said.append("answers were not streamed: there is no time to the first token")
    if strategy.text("type_") == "throughput":
        said.append("every request was sent as soon as it could be: as many streams as were allowed")
    if made.count("incomplete"):
        said.append(f"{made.count('incomplete')} requests were cut off at the end and are not counted")
    return tuple(said)


def _options(backend: Values) -> dict[str, str | int | float | bool]:
    form = backend.text("request_format")
    return {"api": form} if form else {}


def _moment(of: Values) -> str | None:
    start = of.number_or_none("start_time")
    if start is None:
        return None
    try:
        return datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        raise of.error("start_time", f"no moment in seconds since 1970, got {start:g}") from None
