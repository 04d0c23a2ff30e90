"""vLLM: what `vllm bench serve` and `vllm bench throughput` write with --save-result and --output-json.

Definitions are those of its source, benchmarks/serve.py and lib/endpoint_request_func.py of 0.33; docs/imports.md has
them in a table. A file does not say which version wrote it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.errors import InputError
from bench.imports.found import Found, Load
from bench.imports.times import agree, figures_of, rates
from bench.imports.values import Values, document, lines, peek, peek_line
from bench.schema import Imported, ImportedFigure

TOOL = "vLLM bench serve"
OFFLINE = "vLLM bench throughput"

_SERVE = {"duration", "completed", "request_throughput", "model_id", "num_prompts"}
_THROUGHPUT = {"elapsed_time", "num_requests", "total_num_tokens", "requests_per_second"}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?)_(ttft|tpot|e2el)_ms")
_APIS = {"openai", "openai-chat", "openai-audio", "openai-embeddings", "openai-responses", "vllm"}
"""Backends that name a dialect and not an engine."""

_LEFT_OUT = {
    "mean_*_ms, std_*_ms": "times of a load are told by their median and percentiles here",
    "*_itl_ms": "gaps between chunks, not tokens; of a detailed file they are taken where each chunk was one token",
    "max_output_tokens_per_s, max_concurrent_requests": "chunks and requests of the busiest second, not a rate",
}
_GOODPUT = "the file does not say which objectives it was counted by"
_WHOLE_RUN = "rates are over the whole run, filling and draining included; ours are over its steady part"
_FROM_SENT = "TTFT and end-to-end time are from sending each request; the schedule is not in the file"
_COUNTED = (
    "tokens, in and out, are the server's count where it sends one beside no text, else the client's on the text; "
    "versions before it read the server's count of the prompt know nothing of a chat template, so that the price of a "
    "token is too high where the prompts are short"
)
_ALL_AT_ONCE = "every request was sent at the beginning: as many streams as requests"


def claims(text: str, name: str) -> bool:  # noqa: ARG001
    """By the keys of the whole file, or of its first line where runs were appended."""
    found = peek(text) or peek_line(text)
    return isinstance(found, dict) and (found.keys() >= _SERVE or found.keys() >= _THROUGHPUT)


def read(file: Path, text: str) -> list[Found]:
    """Every run of the file (--append-result writes several). Raises InputError where none has a success."""
    runs = list(_runs(file, text))
    failed = [run for run in runs if _is_serve(run) and not run.count("completed")]
    if len(failed) == len(runs):
        raise InputError(f"{file}: every request failed; nothing can be taken over: see the server's log")
    skipped = (f"{len(failed)} more runs of this file had no success and were left out",) if failed else ()
    return [_serve(run, skipped) if _is_serve(run) else _throughput(run) for run in runs if run not in failed]


def _runs(file: Path, text: str) -> Iterator[Values]:
    whole = peek(text)
    values = [whole] if whole is not None else lines(file, text) if "\n" in text.strip() else [document(file, text)]
    for place, one in enumerate(values, 1):
        run = Values(file, one, "" if len(values) == 1 else f"line {place}")
        if "input_sequence_throughput" in run:
            raise run.error("input_sequence_throughput", "a run of embeddings, which makes no tokens; nothing to take")
        if not _is_serve(run) and "elapsed_time" not in run:
            raise run.error("request_throughput", "missing; not a result of vLLM's bench serve or bench throughput")
        yield run


def _is_serve(run: Values) -> bool:
    return "request_throughput" in run or "duration" in run


# --- bench serve


@dataclass(frozen=True)
class _Requests:
    """Seconds and tokens of requests that succeeded; empty of a file without them."""

    ttft_s: Sequence[float] = ()
    e2el_s: Sequence[float] = ()
    tpot_s: Sequence[float] = ()
    gaps_s: Sequence[float] = ()
    """Between tokens; empty where some chunk was not one token."""
    extra_chunks: bool = False
    """Some answers came in more chunks than they have tokens."""


def _serve(run: Values, remarks: tuple[str, ...]) -> Found:
    load, said = _load(run)
    completed, window_s = run.count("completed"), run.number("duration")
    tokens = run.count("total_input_tokens"), run.count("total_output_tokens")
    whole, left_out, doubts = rates(run, window_s, completed, *tokens, _RATES)
    left_out |= _LEFT_OUT | ({"request_goodput": _GOODPUT} if "request_goodput" in run else {})
    requests = _requests(run, completed)
    times, without = _times(run, requests)
    return Found(
        imported=Imported(
            tool=TOOL,
            file=run.file.name,
            sha256="",
            measured_at=_moment(run),
            engine=_engine(run) or None,
            figures=whole | times,
            percentiles_s=_percentiles(run),
            samples_s={
                name: tuple(values)
                for name, values in (("ttft_s", requests.ttft_s), ("tpot_s", requests.tpot_s))
                if values
            },
            requests=completed,
            failed_requests=_failed(run, completed),
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            window_s=window_s,
            left_out=left_out | without,
            remarks=(*remarks, *said, *_remarks(requests), *doubts),
        ),
        model=run.text("model_id"),
        engine=_engine(run),
        load=load,
        input_tokens=tokens[0] / completed,
        output_tokens=tokens[1] / completed,
        options=_options(run),
    )


_RATES = {
    "requests_per_s": ("completed / duration", "request_throughput"),
    "output_tokens_per_s": ("total_output_tokens / duration", "output_throughput"),
    "total_tokens_per_s": ("(total_input_tokens + total_output_tokens) / duration", "total_token_throughput"),
}


def _load(run: Values) -> tuple[Load, tuple[str, ...]]:
    """The load, and what has to be said of it."""
    rate = None if run.said.get("request_rate") in ("inf", None) else run.number("request_rate")
    streams = run.count_or_none("max_concurrency")
    start, end = run.number_or_none("ramp_up_start_rps"), run.number_or_none("ramp_up_end_rps")
    if run.text("ramp_up_strategy") and start is not None and end is not None:
        ramp = f"the rate of requests grew ({run.text('ramp_up_strategy')}) from {start:g} to {end:g} per second"
        return Load("poisson", max((start + end) / 2, 1e-6)), (ramp,)
    if not rate:
        if streams:
            return Load("closed", streams), ()
        return Load("closed", max(1, run.count("num_prompts"))), (_ALL_AT_ONCE,)
    burstiness = run.number_or_none("burstiness") or 1.0
    said = [_FROM_SENT]
    if streams:
        said.append(f"an open loop with at most {streams} requests at once: those over wait in the client")
    return Load("poisson" if burstiness == 1 else "gamma", rate, burstiness), tuple(said)


def _requests(run: Values, completed: int) -> _Requests:
    """The single requests of a file with --save-detailed, where they add up to what it says of all."""
    ttfts, tokens, gaps = run.numbers("ttfts"), run.numbers("output_lens"), run.items("itls")
    errors = run.items("errors")
    if not ttfts or not len(ttfts) == len(tokens) == len(gaps) == len(errors):
        return _Requests()
    chunked = [
        Values(run.file, {"itls": one}, run.way(f"itls[{place}]")).numbers("itls") for place, one in enumerate(gaps)
    ]
    ends = run.numbers("latencies") or [first + sum(each) for first, each in zip(ttfts, chunked, strict=True)]
    if len(ends) != len(ttfts):
        return _Requests()
    kept = [place for place, error in enumerate(errors) if not error]
    if len(kept) != completed or sum(tokens[place] for place in kept) != run.count("total_output_tokens"):
        return _Requests()
    exact = all(len(chunked[place]) + 1 == tokens[place] for place in kept)
    return _Requests(
        [ttfts[place] for place in kept if ttfts[place] > 0],
        [ends[place] for place in kept if ends[place] > 0],
        [
            (ends[place] - ttfts[place]) / (tokens[place] - 1)
            for place in kept
            if tokens[place] > 1 and ttfts[place] > 0
        ],
        [gap for place in kept for gap in chunked[place]] if exact else [],
        any(len(chunked[place]) + 1 > tokens[place] > 0 for place in kept),
    )


def _times(run: Values, requests: _Requests) -> tuple[dict[str, ImportedFigure], dict[str, str]]:
    """Medians: of the single requests where the file has them, else its own. With what was left out, and why."""
    samples = {
        "ttft_s": (requests.ttft_s, "median of ttfts"),
        "tpot_s": (requests.tpot_s, "median of (latency − ttft) / (output_len − 1), answers of one token left out"),
        "e2el_s": (requests.e2el_s, "median of latencies, or of ttft + sum of itls"),
        "itl_s": (requests.gaps_s, "median of all itls, each chunk being one token"),
    }
    found = {name: ImportedFigure(value=median(of), said=said) for name, (of, said) in samples.items() if of}
    left_out = {}
    for name in ("ttft", "tpot", "e2el"):
        key = f"median_{name}_ms"
        value = run.number_or_none(key)
        if f"{name}_s" in found or value is None:
            continue
        if value == 0:
            left_out[key] = "0: vLLM's word for unknown (no stream, or answers of one token)"
        else:
            found[f"{name}_s"] = ImportedFigure(value=value / 1000, said=f"{key} / 1000")
    ends = [one for one in run.numbers("latencies") if one > 0]  # a failure's is 0; kept even without --save-detailed
    if "e2el_s" not in found and ends and len(ends) == run.count("completed"):
        found["e2el_s"] = ImportedFigure(value=median(ends), said="median of latencies")
    return figures_of(found), left_out


def _percentiles(run: Values) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for key in run.said:
        match = _PERCENTILE.fullmatch(key)
        if match is None:
            continue
        value = run.number_or_none(key)
        if value:  # 0 where nothing was timed
            found.setdefault(f"{match[2]}_s", {})[match[1]] = value / 1000
    return found


def _failed(run: Values, completed: int) -> int:
    """Older versions do not count failures: those that were asked and did not succeed."""
    said = run.count_or_none("failed")
    return max(0, run.count("num_prompts") - completed) if said is None else said


def _remarks(requests: _Requests) -> tuple[str, ...]:
    said = [_WHOLE_RUN, _COUNTED, "the file does not say which version of vLLM wrote it, nor what served"]
    if requests.extra_chunks:
        said.append(
            "answers came in more chunks than tokens (an empty one at the end), and vLLM's last token is the last "
            "chunk: end-to-end time and TPOT are longer by that much, TPOT also where the client counted too few tokens"
        )
    elif not requests.ttft_s:
        said.append("without --save-detailed nobody can tell whether each chunk was one token, as TPOT assumes")
    return tuple(said)


def _options(run: Values) -> dict[str, str | int | float | bool]:
    """What else tells this run from others of the same model."""
    found: dict[str, str | int | float | bool] = {"requests": run.count("num_prompts")}
    if run.text("backend"):
        found["backend"] = run.text("backend")
    if run.text("ramp_up_strategy"):
        found["ramp_up"] = run.text("ramp_up_strategy")
    return found


def _engine(run: Values) -> str:
    backend = run.text("backend")
    return "" if backend in _APIS else backend


def _moment(run: Values) -> str | None:
    """Of the client's own clock, whose zone the file does not say: 20261122-141713."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)", run.text("date"))
    return None if found is None else "{}-{}-{}T{}:{}:{}".format(*found.groups())


# --- bench throughput


def _throughput(run: Values) -> Found:
    """All requests at once, in the engine's own process: their rate and that of all tokens, and nothing else."""
    window_s, requests, tokens = run.number("elapsed_time"), run.count("num_requests"), run.count("total_num_tokens")
    if not window_s or not requests:
        raise run.error("elapsed_time", "no time or no requests: nothing was measured; run it again")
    figures = {
        "requests_per_s": ImportedFigure(value=requests / window_s, said="num_requests / elapsed_time"),
        "total_tokens_per_s": ImportedFigure(value=tokens / window_s, said="total_num_tokens / elapsed_time"),
    }
    left_out = {"tokens_per_second": "of prompts and answers together, so it is total_tokens_per_s and no output rate"}
    for name, key in (("requests_per_s", "requests_per_second"), ("total_tokens_per_s", "tokens_per_second")):
        if not agree(figures[name].value, run.number(key)):
            raise run.error(key, f"contradicts {figures[name].said} = {figures[name].value:.6g}; export it again")
    return Found(
        imported=Imported(
            tool=OFFLINE,
            file=run.file.name,
            sha256="",
            figures=figures,
            requests=requests,
            window_s=window_s,
            left_out=left_out,
            remarks=(
                "the file does not say how many of the tokens are answers: no price of a token of each kind",
                f"{_ALL_AT_ONCE}; {_WHOLE_RUN}",
                "the file does not say which version of vLLM wrote it, on what, or with which engine (--backend)",
            ),
        ),
        model=run.text("model_id"),
        load=Load("closed", requests),
        options={"requests": requests, "tokens_per_request": round(tokens / requests, 3)},
    )
