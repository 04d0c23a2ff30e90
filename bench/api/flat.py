"""An entry as one line of a data frame: names with units, nothing rounded, the ends of an interval beside its value."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.entries import mixed
from bench.entries.entry import FIGURES, Entry
from bench.entries.priced import Asked, Priced
from bench.errors import InputError, nearest
from bench.metrics.statistics import Estimate
from bench.page.shown import cut, visible

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Line = dict[str, Any]

KINDS = {
    "text": "string",
    "name": "category",
    "count": "Int64",
    "number": "float64",
    "flag": "boolean",
    "time": "datetime64[us, UTC]",
}
"""What a column holds → its type in a frame."""

OWN = Asked()
LONGEST = 240
"""Characters of an entry's name in a message."""

BEFORE: dict[str, tuple[str, Callable[[Entry], Any]]] = {
    "key": ("text", lambda of: of.key),
    "run": ("name", lambda of: of.run),
    "model": ("name", lambda of: of.model),
    "precision": ("name", lambda of: of.precision),
    "runner": ("name", lambda of: of.runner),
    "options": ("text", lambda of: of.options),
    "hardware": ("name", lambda of: of.hardware),
    "kind": ("name", lambda of: of.kind),
    "workload": ("text", lambda of: of.workload),
    "batch_size": ("count", lambda of: of.batch_size),
    "level": ("number", lambda of: of.level),
    "level_unit": ("name", lambda of: of.level_unit),
    "input_tokens": ("number", lambda of: of.input_tokens),
    "cached_tokens": ("number", lambda of: of.cached_tokens),
    "output_tokens": ("number", lambda of: of.output_tokens),
    "status": ("name", lambda of: of.status),
    "verdict": ("text", lambda of: of.verdict_text),
    "believable": ("flag", lambda of: of.is_believable),
    "replicates": ("count", lambda of: of.replicates),
}
"""What tells an entry from others, and whether to believe it. Tokens are those of one request."""

AFTER: dict[str, tuple[str, Callable[[Entry], Any]]] = {
    "weights_bytes": ("count", lambda of: of.memory and of.memory.weights_bytes),
    "kv_cache_bytes": ("count", lambda of: of.memory and of.memory.kv_cache_bytes),
    "other_bytes": ("count", lambda of: of.memory and of.memory.other_bytes),
    "peak_bytes": ("count", lambda of: of.memory and of.memory.peak_bytes),
    "decode_limit": ("name", lambda of: of.limits and of.limits.decode_limit),
    "floor_ttft_s": ("number", lambda of: of.limits and of.limits.floor_ttft_s),
    "floor_tpot_s": ("number", lambda of: of.limits and of.limits.floor_tpot_s),
    "quality_reference": ("name", lambda of: of.quality.reference),
    "bits_per_byte": ("number", lambda of: of.quality.bits_per_byte),
    "token_perplexity": ("number", lambda of: of.quality.perplexity),
    "delta_nll_nats": ("number", lambda of: of.quality.delta_nll),
    "delta_nll_nats_se": ("number", lambda of: of.quality.delta_nll_se),
    "kl_mean_nats": ("number", lambda of: of.quality.kl_mean),
    "kl_mean_nats_se": ("number", lambda of: of.quality.kl_mean_se),
    "same_top_1": ("number", lambda of: of.quality.same_top_1),
    "same_top_1_se": ("number", lambda of: of.quality.same_top_1_se),
    "no_quality_because": ("text", lambda of: of.quality.reason),
    "slo": ("text", lambda of: of.slo),
    "slo_met": ("flag", lambda of: of.slo_met),
    "failure": ("text", lambda of: of.failure),
    "remedy": ("text", lambda of: of.remedy),
    "no_dollars_because": ("text", lambda of: of.no_dollars_because),
    "random_weights": ("flag", lambda of: of.random_weights),
    "arm": ("count", lambda of: of.arm),
    "measured_at": ("time", lambda of: of.measured_at),
    "tool": ("name", lambda of: of.origin.tool),
    "tool_version": ("text", lambda of: of.origin.version),
    "revision": ("text", lambda of: of.revision),
    "machine": ("text", lambda of: of.machine),
    "cell_id": ("text", lambda of: of.cell_id),
    "command": ("text", lambda of: of.command),
}

DOLLARS: dict[str, Callable[[Priced], Estimate | None]] = {
    "usd_per_mtok": lambda of: mixed.usd_per_mtok(of, OWN),
    "machine_usd_per_mtok": lambda of: mixed.machine_usd_per_mtok(of, OWN),
    "input_usd_per_mtok": lambda of: mixed.part_usd_per_mtok(of, "input", OWN),
    "cached_usd_per_mtok": lambda of: mixed.part_usd_per_mtok(of, "cached", OWN),
    "output_usd_per_mtok": lambda of: mixed.part_usd_per_mtok(of, "output", OWN),
    "electricity_usd_per_mtok": lambda of: of.electricity_usd_per_mtok,
}
"""At the entry's own price of the hour, utilisation and tokens; the first is what is compared with APIs."""


def kinds() -> dict[str, str]:
    """Every column of a table, in order, with what it holds."""
    found = {name: kind for name, (kind, _) in BEFORE.items()}
    found |= {"usd_per_hour": "number", "utilisation": "number"}
    for name in DOLLARS:
        found |= three(name)
    found |= {"cheapest_api": "name", "api_usd_per_mtok": "number"}
    found |= three("ratio") | three("break_even_utilisation")
    found |= three("good_usd_per_mtok")
    for name in FIGURES:
        found |= three(name)
    return found | {name: kind for name, (kind, _) in AFTER.items()}


def three(name: str) -> dict[str, str]:
    return dict.fromkeys((name, f"{name}_low", f"{name}_high"), "number")


def line(entry: Entry) -> Line:
    """Every column of an entry; what is not known is None."""
    found: Line = {name: of(entry) for name, (_, of) in (BEFORE | AFTER).items()}
    for name in FIGURES:
        found |= with_interval(name, entry.figures.get(name))
    if entry.good is not None:
        found |= with_interval("good_usd_per_mtok", mixed.usd_per_mtok(entry.good, OWN))
    if entry.priced is None:
        return found
    found |= {"usd_per_hour": entry.priced.usd_per_hour, "utilisation": entry.priced.utilisation}
    for name, dollars in DOLLARS.items():
        found |= with_interval(name, dollars(entry.priced))
    best = mixed.cheapest(entry.priced, OWN)
    if best is not None:
        found |= {"cheapest_api": best.api, "api_usd_per_mtok": mixed.api_usd_per_mtok(entry.priced, best, OWN)}
        found |= with_interval("ratio", mixed.ratio(entry.priced, best, OWN))
        found |= with_interval("break_even_utilisation", mixed.break_even(entry.priced, best, OWN))
    return found


def line_of(entry: Entry, names: Iterable[str]) -> Line:
    """Columns of `BEFORE` alone."""
    return {name: BEFORE[name][1](entry) for name in names}


def with_interval(name: str, of: Estimate | None) -> Line:
    """A value and the ends of its interval. The ends of a single replicate are not known."""
    if of is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}


def frame(lines: Sequence[Line], columns: dict[str, str]) -> "DataFrame":
    """A data frame of these columns and their kinds, numbered rows."""
    import pandas as pd

    made: dict[str, Any] = {}
    for name, kind in columns.items():
        values = [one.get(name) for one in lines]
        if kind == "number":
            made[name] = pd.Series([float("nan") if one is None else float(one) for one in values], dtype="float64")
        elif kind == "time":
            said = pd.Series(values, dtype="string")
            made[name] = pd.to_datetime(said, utc=True, errors="coerce", format="ISO8601").astype(KINDS["time"])  # type: ignore[call-overload]
        elif kind == "name":
            known = list(dict.fromkeys(one for one in values if one is not None))
            made[name] = pd.Series(pd.Categorical(values, categories=known))
        else:
            made[name] = pd.Series(values, dtype=KINDS[kind])
    return pd.DataFrame(made)


def chosen(of: "DataFrame", columns: Sequence[str] | str | None, sort: Sequence[str] | str | None) -> "DataFrame":
    """These columns in this order, rows sorted by those of `sort`; "-name" is descending, what is not known comes last.

    Raises InputError for a name that is no column.
    """
    by = _names(sort)
    known = [str(name) for name in of.columns]
    for option, names in (("sort", [name.removeprefix("-") for name in by]), ("columns", _names(columns))):
        for name in names:
            if name not in known:
                raise InputError(f"{option}: unknown column {name!r}; {nearest(name, known)}")
    if by:
        rising = [not name.startswith("-") for name in by]
        names = [name.removeprefix("-") for name in by]
        of = of.sort_values(names, ascending=rising, kind="stable", ignore_index=True, key=_as_said)
    return of if columns is None else of[_names(columns)]


def _as_said(values: "Series[Any]") -> "Series[Any]":
    """Names sort by their letters, and not by which of them came first."""
    return values.astype("string") if str(values.dtype) == "category" else values


def _names(said: Sequence[str] | str | None) -> list[str]:
    return [] if said is None else [said] if isinstance(said, str) else list(said)


def named(of: Entry) -> str:
    """An entry in a message: whose, what and where, on one line that steers no terminal."""
    return cut(visible(f"{of.label}, {of.workload} on {of.hardware}"), LONGEST)
