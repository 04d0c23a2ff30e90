"""Timed rounds as a file of pytest-benchmark, so that its `compare` and `--benchmark-compare` read them.

The structure is that of its version 5: `BenchmarkSession.save_json` and `Metadata.as_dict` write the same keys, and
`Stats` the same statistics (over rounds, as for any Python function; our own intervals are over processes and stand in
`extra_info`). Only static batches: requests under load share a queue, so they are no rounds of one function.
"""

import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from bench import store
from bench.entries import mixed
from bench.entries.entry import Entry, Report
from bench.entries.priced import Asked
from bench.errors import InputError, nearest
from bench.metrics import latency, verdict
from bench.metrics.statistics import Estimate
from bench.schema import Environment, Record

METRICS = ("e2el_s", "ttft_s", "tpot_s")
"""Which time of a round: a whole generation, to its first token, between tokens."""

LAYOUT = "5.3.1"
"""The version of pytest-benchmark whose layout is written; its readers ignore it."""

MODULE = "llm-cost-bench"


@dataclass
class Rounds:
    """The timed rounds of one cell on one machine, in the order of the journal, of replicates that count."""

    seconds: list[float] = field(default_factory=list)
    warmup_rounds: int = 0


def document(
    report: Report, run: Path, metric: str = "e2el_s", warn: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """The file's content for the batches of one run: its report, and the folder or journal that the rounds are in.

    `warn` is told what is left out. Raises InputError for an unknown metric, and where no round is left.
    """
    if metric not in METRICS:
        raise InputError(f"--metric: unknown time {metric!r}; {nearest(metric, METRICS)}")
    timed = _rounds(store.read(run, lambda _: None), metric)
    machines = list(dict.fromkeys(one.machine for one in report.entries if one.kind == "batch"))
    benchmarks: list[dict[str, Any]] = []
    without: Counter[str] = Counter()
    shared = Counter((one.cell_id, one.machine) for one in report.entries)
    for entry in report.entries:
        why = _why_not(entry, timed, metric)
        if why is None and shared[entry.cell_id, entry.machine] > 1:
            why = "measured with other weights under one name; their rounds are not told apart"
        if why is not None:
            without[why] += 1
            continue
        several = len(machines) > 1
        benchmarks.append(_benchmark(entry, timed[entry.cell_id, entry.machine], metric, several))
    for why, count in without.items():
        warn(f"{count} {'row' if count == 1 else 'rows'} left out: {why}")
    if not benchmarks:
        raise InputError(f"{run}: no static batch with a timed round; nothing to export")
    first = report.environments.get(machines[0])
    return {
        "machine_info": {} if first is None else _machine(first, machines),
        "commit_info": _commit(first),
        "benchmarks": _with_own_names(benchmarks),
        "datetime": max((one.measured_at or "" for one in report.entries), default="") or _now(),
        "version": LAYOUT,
    }


def text(content: Mapping[str, Any]) -> str:
    """As pytest-benchmark writes it: ASCII, four spaces."""
    return json.dumps(content, ensure_ascii=True, indent=4, allow_nan=False) + "\n"


def _rounds(records: Iterable[Record], metric: str) -> dict[tuple[str, str], Rounds]:
    """By cell and machine. A replicate that is worthless of itself is left out, as it is where there are figures."""
    found: dict[tuple[str, str], Rounds] = {}
    for record in records:
        one = record.measurement
        if one is None or record.status != "ok" or record.purpose != "time" or verdict.tainted(one):
            continue
        into = found.setdefault((record.cell.cell_id, record.environment.fingerprint()), Rounds())
        into.warmup_rounds = len(one.warmup_s)
        values = (getattr(latency.of_round(each), metric) for each in one.rounds)
        into.seconds += [value for value in values if value is not None]
    return found


def _why_not(entry: Entry, timed: Mapping[tuple[str, str], Rounds], metric: str) -> str | None:
    if entry.kind == "load":
        return "requests under load share a queue, and are no rounds of one function"
    if entry.kind == "imported":
        return "another tool's result, whose rounds are not kept"
    if entry.status != "ok":
        return f"not measured ({entry.status})"
    if not entry.is_believable:
        return f"the figures mean nothing ({entry.verdict_text})"
    rounds = timed.get((entry.cell_id, entry.machine))
    return None if rounds is not None and rounds.seconds else f"no round has a {metric}"


def _benchmark(entry: Entry, rounds: Rounds, metric: str, several: bool) -> dict[str, Any]:
    """One benchmark. Its name tells the cell, so that files of two runs are compared cell by cell."""
    params = {
        "model": entry.model,
        "precision": entry.precision,
        "runner": " ".join(one for one in (entry.runner, entry.options) if one),
        "batch_size": entry.batch_size,
        "input_tokens": _count(entry.input_tokens),
        "cached_tokens": _count(entry.cached_tokens),
        "output_tokens": _count(entry.output_tokens),
        **({"hardware": entry.hardware} if several else {}),
        **({"arm": entry.arm} if entry.arm != 1 else {}),
    }
    said = [
        *(_one_line(str(params[key])) for key in ("model", "precision", "runner")),
        f"b{entry.batch_size}",
        f"{entry.input_tokens:g}in",
        *([f"{entry.cached_tokens:g}cached"] if entry.cached_tokens else []),
        f"{entry.output_tokens:g}out",
        *([f"arm{entry.arm}"] if entry.arm != 1 else []),
        *([_one_line(entry.hardware)] if several else []),
    ]
    param = "-".join(said)
    return {
        "group": None,
        "name": f"{metric}[{param}]",
        "fullname": f"{MODULE}::{metric}[{param}]",
        "params": params,
        "param": param,
        "extra_info": _extra(entry, metric),
        "options": {"timer": "perf_counter_ns", "warmup": rounds.warmup_rounds > 0},
        "stats": stats(rounds.seconds),
    }


def _count(tokens: float | None) -> int | None:
    """Of a batch they are whole."""
    return None if tokens is None else round(tokens)


def _extra(entry: Entry, metric: str) -> dict[str, Any]:
    """What our own row says: with an interval over processes, and dollars."""
    own = entry.priced
    dollars = None if own is None else mixed.usd_per_mtok(own, Asked())
    return {
        "unit": "seconds of one batch",
        "cell_id": entry.cell_id,
        "machine": entry.machine,
        "hardware": entry.hardware,
        "verdict": entry.verdict_text,
        "replicates": entry.replicates,
        **_three(metric, entry.figures.get(metric)),
        **_three("decode_tokens_per_s", entry.figures.get("decode_tokens_per_s")),
        **_three("usd_per_mtok", dollars),
        "usd_per_hour": None if own is None else own.usd_per_hour,
        "utilisation": None if own is None else own.utilisation,
        "command": entry.command,
    }


def _three(name: str, of: Estimate | None) -> dict[str, float | None]:
    ends = {} if of is None else {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
    return {key: None if end is None or not math.isfinite(end) else end for key, end in ends.items()}


def _with_own_names(benchmarks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells that differ in what no name tells (other options, another run's) get their id behind it."""
    count = Counter(one["fullname"] for one in benchmarks)
    for one in benchmarks:
        if count[one["fullname"]] > 1:
            own = f"-{one['extra_info']['cell_id']}]"
            for key in ("name", "fullname"):
                one[key] = one[key][:-1] + own
            one["param"] += own[:-1]
    return benchmarks


def _one_line(words: str, most: int = 120) -> str:
    """A name on one line, as it will stand in a terminal: without control characters, spaces or brackets."""
    plain = "".join(letter if letter.isprintable() and letter not in " []" else "_" for letter in words)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _machine(of: Environment, machines: Sequence[str]) -> dict[str, Any]:
    """pytest-benchmark's keys. No host name: none is stored."""
    return {
        "node": ", ".join(machines),
        "processor": of.cpu_model,
        "python_version": of.python,
        "system": of.system,
        "cpu": {"brand_raw": of.cpu_model, "count": of.cpu_logical},
        "memory_total_bytes": of.memory_total_bytes,
        "accelerators": [one.name for one in of.accelerators],
        "packages": dict(of.packages),
    }


def _commit(of: Environment | None) -> dict[str, Any]:
    """Of this program's source, where it was known."""
    revision = None if of is None else of.bench_revision
    return {
        "id": revision or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": False,
        "project": MODULE,
        "branch": "(unknown)",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat()


def stats(seconds: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of the times of rounds, by its own definitions, with the times themselves.

    >>> of = stats([1.0, 2.0, 3.0, 4.0, 10.0])
    >>> of["median"], of["q1"], of["q3"], of["outliers"], of["ops"]
    (3.0, 1.75, 5.5, '1;0', 0.25)
    """
    ordered = sorted(seconds)
    count, total = len(ordered), sum(seconds)
    middle, spread = mean(seconds), stdev(seconds) if count > 1 else 0
    first, third = _quartiles(ordered)
    iqr = third - first
    beyond = sum(not middle - spread <= one <= middle + spread for one in seconds)
    far = sum(not first - 1.5 * iqr <= one <= third + 1.5 * iqr for one in seconds)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": middle,
        "stddev": spread,
        "rounds": count,
        "median": median(seconds),
        "iqr": iqr,
        "q1": first,
        "q3": third,
        "iqr_outliers": far,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{far}",
        "ld15iqr": ordered[0] if count == 1 else ordered[bisect_left(ordered, first - 1.5 * iqr)],
        "hd15iqr": ordered[bisect_right(ordered, third + 1.5 * iqr) - 1],
        "ops": count / total if total else 0,
        "total": total,
        "data": list(seconds),
        "iterations": 1,
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """Method 2 of an even and method 3 of an odd number of values (en.wikipedia.org/wiki/Quartile), as there."""
    count = len(ordered)
    if count == 1:
        return ordered[0], ordered[0]
    if count % 2 == 0:
        return median(ordered[: count // 2]), median(ordered[count // 2 :])
    quarter, rest = divmod(count, 4)
    if rest == 1:
        return (
            0.25 * ordered[quarter - 1] + 0.75 * ordered[quarter],
            0.75 * ordered[3 * quarter] + 0.25 * ordered[3 * quarter + 1],
        )
    return (
        0.75 * ordered[quarter] + 0.25 * ordered[quarter + 1],
        0.25 * ordered[3 * quarter + 1] + 0.75 * ordered[3 * quarter + 2],
    )
