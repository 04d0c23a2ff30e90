"""Names of precisions as a config writes them: `nf4`, `bf16+kv-int4`, and as llama.cpp's people do: `Q4_K_M`, `F16`."""

from collections.abc import Iterator
from typing import Any, get_args

from bench.errors import nearest
from bench.plan.source import Loc
from bench.schema import PRECISIONS
from bench.schema.precision import GGUF_NAMES, KV_MARK, KvFormat, Weights, kv_cache, spelt_out

KV_FORMATS: tuple[str, ...] = get_args(KvFormat)
OTHER_NAMES = {"f32": "fp32", "f16": "fp16", "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "mxfp4_moe": "mxfp4"}
"""Names that llama.cpp has too → ours; K-quants without a size are its medium ones."""
GGUF_TYPES = ("fp32", "fp16", "bf16", *GGUF_NAMES)


def known_as(written: str) -> str:
    """A level's name as it is known here: GGUF's types may be written in any case, and by llama.cpp's other names.

    >>> known_as("Q4_K_M"), known_as("F16+kv-int8"), known_as("Nf4")
    ('q4_k_m', 'fp16+kv-int8', 'Nf4')
    """
    name, mark, kept = written.partition(KV_MARK)
    lowered = OTHER_NAMES.get(name.lower(), name.lower())
    return lowered + mark + kept if lowered in GGUF_TYPES else written


def names() -> list[str]:
    """Every name that a config may write, those with quantised keys and values too."""
    quantising = [name for name, noun in PRECISIONS.items() if issubclass(noun, Weights)]
    as_written = ["F32", "F16", "BF16", *(name.upper() for name in GGUF_NAMES)]
    return [*PRECISIONS, *as_written, *(f"{name}{KV_MARK}{kept}" for name in quantising for kept in KV_FORMATS)]


def spelt(point: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A precision with its name taken apart, and what is wrong with that name in a line, or None.

    >>> spelt({"name": "bf16+kv-int4"})
    ({'name': 'bf16', 'kv_cache': {'format': 'int4'}}, None)
    >>> spelt({"name": "bf16+kv-int5"})[1]
    "unknown format 'int5' of keys and values in 'bf16+kv-int5'; known: fp8, int2, int3, int4, int8"
    """
    written = known_as(str(point["name"]))
    name, mark, kept = written.partition(KV_MARK)
    noun = PRECISIONS.get(name)
    if noun is None:
        return point, f"unknown precision {name!r}; {nearest(name, PRECISIONS)}"
    if not mark:
        return {**point, "name": name}, None
    if not issubclass(noun, Weights):
        return point, f"{written}: an endpoint keeps its keys and values as it likes; write {name}"
    if kept not in KV_FORMATS:
        known = ", ".join(sorted(KV_FORMATS))
        return point, f"unknown format {kept!r} of keys and values in {written!r}; known: {known}"
    more = point.get("kv_cache")
    if more is not None and not isinstance(more, dict):
        return point, f"{written} with kv_cache: {more}; write the options of keys and values as a mapping"
    if more is not None and more.get("format", kept) != kept:
        return point, f"{written} with kv_cache: {{format: {more['format']}}}; say the format once"
    return spelt_out({**point, "name": written}), None


def contradictions(precision: Any) -> Iterator[tuple[Loc, str]]:
    """Options that would be ignored, each with where it stands: its number would stand under the wrong name."""
    kept = None if precision is None else kv_cache(precision)
    if kept is None or kept.format != "fp8":
        return
    changed = kept.model_dump(exclude_defaults=True, exclude={"format"})
    for key in changed:
        yield ("kv_cache", key), "does nothing for fp8 keys and values, which have one scale a tensor; leave it out"
