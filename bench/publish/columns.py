"""The columns of published tables: their names, their headings for people, and what an entry has under them.

A name is the one of CSV and JSON: SI units and dollars, nothing rounded. A heading has its unit apart, so that each
format can set it in its own way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.entries import mixed
from bench.publish import values as of
from bench.publish.values import Get


@dataclass(frozen=True)
class Column:
    """`factor` makes the heading's unit of the name's. `sets`: the column sets that hold it."""

    name: str
    heading: str
    unit: str
    about: str
    sets: tuple[str, ...]
    get: Get
    factor: float = 1.0
    naming: bool = False
    """What the row is, and not what was measured: moves to the caption where it is equal in every row."""

    @property
    def numeric(self) -> bool:
        return self.name not in TEXTS

    @property
    def estimated(self) -> bool:
        """Whether it has ends of an interval beside its value, in CSV."""
        return self.numeric and self.name not in SINGLE


_EVERY = ("essential", "speed", "latency", "dollars", "quality", "memory", "energy")
_SPEED, _LATENCY, _DOLLARS, _QUALITY, _MEMORY, _ENERGY = (one for one in _EVERY[1:])


def _name(name: str, heading: str, about: str, get: Get) -> Column:
    return Column(name, heading, "", about, _EVERY, get, naming=True)


def _rate(name: str, heading: str, about: str, *sets: str, unit: str = "tok/s") -> Column:
    return Column(name, heading, unit, about, (_SPEED, *sets), of.figure(name))


def _time(name: str, heading: str, about: str, *sets: str) -> Column:
    return Column(name, heading, "ms", about, (_LATENCY, *sets), of.figure(name), 1e3)


def _share(name: str, about: str) -> Column:
    return Column(name, name.upper(), "%", about, (_SPEED,), of.figure(name), 100)


def _usd(name: str, heading: str, about: str, get: Get, *sets: str) -> Column:
    return Column(name, heading, "$/Mtok", about, sets or (_DOLLARS,), get)


def _size(name: str, heading: str, about: str, *sets: str) -> Column:
    return Column(name, heading, "GB", about, (_MEMORY, *sets), of.bytes_of(name), 1e-9)


ESSENTIAL = "essential"
COLUMNS: tuple[Column, ...] = (
    _name("model", "model", "whose weights", of.model),
    _name("precision", "precision", "of weights, activations and cache", lambda entry: entry.precision),
    _name("runner", "runner", "the engine, with options in which rows differ", of.runner),
    _name("hardware", "hardware", "what it ran on", lambda entry: entry.hardware),
    _name("workload", "workload", "batch or load, and tokens of a request", lambda entry: entry.workload),
    Column("origin", "measured by", "", "the tool that measured it, with its version", (), of.origin, naming=True),
    _rate("prefill_tokens_per_s", "prefill", "prompt tokens a second"),
    _rate("decode_tokens_per_s", "decode", "new tokens a second after the first", ESSENTIAL),
    _rate("output_tokens_per_s", "output", "new tokens over the whole time", ESSENTIAL),
    _rate("total_tokens_per_s", "total", "prompt and new tokens over the whole time"),
    _rate("requests_per_s", "requests", "requests a second", unit="1/s"),
    _rate("goodput_requests_per_s", "goodput", "requests a second that met the objectives", unit="1/s"),
    _rate("tokens_per_s_per_user", "per user", "new tokens a second of one stream"),
    _share("mbu", "share of the memory's read rate that decode reached"),
    _share("mfu", "share of the product rate that prefill reached"),
    Column(
        "floor_tokens_per_s",
        "decode limit",
        "tok/s",
        "what this device allows at most",
        (_SPEED,),
        of.limit("floor_tokens_per_s"),
    ),
    _time("ttft_s", "TTFT", "time to the first token", ESSENTIAL),
    Column("ttft_p50_s", "TTFT p50", "ms", "its median", (_LATENCY,), of.percentile("ttft_s", "50"), 1e3),
    Column("ttft_p99_s", "TTFT p99", "ms", "its 99th percentile", (_LATENCY,), of.percentile("ttft_s", "99"), 1e3),
    _time("tpot_s", "TPOT", "time per output token after the first", ESSENTIAL),
    Column("tpot_p50_s", "TPOT p50", "ms", "its median", (_LATENCY,), of.percentile("tpot_s", "50"), 1e3),
    Column("tpot_p99_s", "TPOT p99", "ms", "its 99th percentile", (_LATENCY,), of.percentile("tpot_s", "99"), 1e3),
    _time("itl_s", "ITL", "time between two tokens of one answer"),
    _time("e2el_s", "E2EL", "from the request to its last token"),
    _size("peak_bytes", "peak", "memory at its peak", ESSENTIAL),
    _size("weights_bytes", "weights", "memory of the weights"),
    _size("kv_cache_bytes", "KV cache", "memory of keys and values"),
    _size("other_bytes", "other", "what weights and cache leave of the peak"),
    Column(
        "bits_per_byte",
        "bits/byte",
        "",
        "of the text, the fewer the better",
        (_QUALITY,),
        of.quality("bits_per_byte"),
    ),
    Column("perplexity", "perplexity", "", "of the text", (_QUALITY,), of.quality("perplexity")),
    Column("delta_nll", "ΔNLL", "nats", "loss over the reference's, a token", (_QUALITY,), of.quality("delta_nll")),
    Column("kl_mean", "KL", "nats", "divergence from the reference, a token", (_QUALITY,), of.quality("kl_mean")),
    Column(
        "same_top_1",
        "same top-1",
        "%",
        "tokens that the reference thinks likeliest too",
        (_QUALITY,),
        of.quality("same_top_1"),
        100,
    ),
    Column(
        "quality_reference",
        "reference",
        "",
        "the level that quality is held against",
        (_QUALITY,),
        lambda entry: entry.quality.reference,
    ),
    Column(
        "energy_j_per_output_token",
        "energy",
        "J/token",
        "of the machine's counters, a new token",
        (_ENERGY,),
        of.figure("energy_j_per_output_token"),
    ),
    _usd(
        "electricity_usd_per_mtok",
        "electricity",
        "by its price",
        of.priced("electricity_usd_per_mtok"),
        _ENERGY,
        _DOLLARS,
    ),
    Column("usd_per_hour", "hour", "$", "price of the machine", (_DOLLARS,), of.priced("usd_per_hour")),
    Column("utilisation", "utilisation", "%", "assumed share of full load", (_DOLLARS,), of.priced("utilisation"), 100),
    _usd(
        "usd_per_mtok",
        "cost",
        "of a million tokens as they were, in and out",
        of.dollars(mixed.usd_per_mtok),
        *_EVERY,
    ),
    _usd(
        "machine_usd_per_mtok",
        "machine",
        "what the machine's hour makes of it",
        of.dollars(mixed.machine_usd_per_mtok),
    ),
    _usd("input_usd_per_mtok", "in", "of a million prompt tokens", of.part("input")),
    _usd("cached_usd_per_mtok", "cached", "of a million cached prompt tokens", of.part("cached")),
    _usd("output_usd_per_mtok", "out", "of a million new tokens", of.part("output")),
    _usd("good_usd_per_mtok", "within SLO", "the bill over what met the objectives", of.good),
    Column("cheapest_api", "cheapest API", "", "of those that were compared", (_DOLLARS,), of.api),
    _usd("api_usd_per_mtok", "API", "the same tokens at the cheapest API", of.api_usd),
    Column("ratio_to_api", "vs API", "×", "cost over the cheapest API's", (_DOLLARS, ESSENTIAL), of.ratio),
    Column(
        "break_even_utilisation",
        "break-even",
        "%",
        "utilisation from which on it is cheaper than the cheapest API",
        (_DOLLARS, ESSENTIAL),
        of.break_even,
        100,
    ),
    Column(
        "verdict",
        "verdict",
        "",
        "VALID, the codes against it, or the status of a failure",
        _EVERY,
        lambda entry: entry.verdict_text,
    ),
)
TEXTS = frozenset(
    {
        *("model", "precision", "runner", "hardware", "workload", "origin", "verdict"),
        *("cheapest_api", "quality_reference"),
    }
)
SINGLE = frozenset(
    {
        *("floor_tokens_per_s", "ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s", "bits_per_byte", "perplexity"),
        *("peak_bytes", "weights_bytes", "kv_cache_bytes", "other_bytes"),
        *("usd_per_hour", "utilisation", "api_usd_per_mtok"),
    }
)
"""Numbers that never have an interval."""

BY_NAME: Mapping[str, Column] = {one.name: one for one in COLUMNS}
COLUMN_SETS: Mapping[str, tuple[str, ...]] = {
    **{group: tuple(one.name for one in COLUMNS if group in one.sets) for group in _EVERY},
    "all": tuple(one.name for one in COLUMNS),
}
"""Set → names of its columns, in their order. Every set has the names of a row, its cost, and its verdict."""
