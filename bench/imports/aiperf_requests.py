"""AIPerf's single requests: profile_export.jsonl, which it writes beside its summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.errors import InputError
from bench.imports.values import Values, lines
from bench.schema import ImportedFigure

LARGEST_BYTES = 256 << 20
NAME = "profile_export.jsonl"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1.0, "s": 1.0}


@dataclass(frozen=True)
class Requests:
    """Seconds of requests that succeeded; empty where there is no such file."""

    file: str = ""
    ttft_s: Sequence[float] = ()
    tpot_s: Sequence[float] = ()
    e2el_s: Sequence[float] = ()
    gaps_s: Sequence[float] = ()
    """Between tokens; empty where some chunk was not one token."""

    def figures(self) -> dict[str, ImportedFigure]:
        """Medians, with the arithmetic."""
        said = {
            "ttft_s": (self.ttft_s, "median of time_to_first_token"),
            "tpot_s": (
                self.tpot_s,
                "median of (request_latency − time_to_first_token) / (usage_completion_tokens − 1)",
            ),
            "e2el_s": (self.e2el_s, "median of request_latency"),
            "itl_s": (self.gaps_s, "median of inter_chunk_latency, each chunk being one token"),
        }
        return {name: ImportedFigure(value=median(of), said=text) for name, (of, text) in said.items() if of}

    def samples(self) -> dict[str, tuple[float, ...]]:
        """Those that a record keeps."""
        found = {"ttft_s": tuple(self.ttft_s), "tpot_s": tuple(self.tpot_s)}
        return {name: of for name, of in found.items() if of}


def beside(file: Path) -> Requests:
    """Of the file beside a summary; nothing where there is none, or where it is of another name.

    Raises InputError, naming that file, where it is broken: a summary alone would tell other figures.
    """
    path = file.with_name(file.name.replace("_aiperf.json", ".jsonl"))
    if path == file or not path.is_file():
        return Requests()
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{path}: larger than {LARGEST_BYTES >> 20} MiB; move it away to import the summary alone")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text; move it away to import the summary alone") from None
    return _requests(path, [Values(path, one, f"line {place}") for place, one in enumerate(lines(path, text), 1)])


def _requests(path: Path, every: Sequence[Values]) -> Requests:
    ttft_s, tpot_s, e2el_s, gaps_s = [], [], [], []
    exact = True
    for one in every:
        phase = one.inner("metadata").text("benchmark_phase")
        if one.said.get("error") is not None or phase not in ("", "profiling"):
            continue
        metrics = one.inner("metrics")
        first, whole = _time(metrics, "time_to_first_token"), _time(metrics, "request_latency")
        tokens = _count(metrics, "usage_completion_tokens") or _count(metrics, "output_sequence_length")
        if whole:
            e2el_s.append(whole)
        if first:
            ttft_s.append(first)
        if first and whole and tokens > 1 and whole > first:
            tpot_s.append((whole - first) / (tokens - 1))
        gaps = _gaps(metrics)
        exact = exact and len(gaps) + 1 == tokens
        gaps_s += gaps
    return Requests(path.name, ttft_s, tpot_s, e2el_s, gaps_s if exact else ())


def _time(metrics: Values, key: str) -> float | None:
    found = metrics.inner_or_none(key)
    return None if found is None else found.number("value") * _unit(found)


def _gaps(metrics: Values) -> list[float]:
    found = metrics.inner_or_none("inter_chunk_latency")
    return [] if found is None else [one * _unit(found) for one in found.numbers("value")]


def _count(metrics: Values, key: str) -> int:
    found = metrics.inner_or_none(key)
    return 0 if found is None else found.count("value")


def _unit(of: Values) -> float:
    if of.text("unit") not in _SECONDS:
        raise of.error("unit", f"no unit of time that is known; known: {', '.join(_SECONDS)}")
    return _SECONDS[of.text("unit")]
