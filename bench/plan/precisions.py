"""Names of precisions as a config writes them: `nf4`, `bf16+kv-int4`."""

from collections.abc import Iterator
from typing import Any, get_args

from bench.errors import nearest
from bench.plan.source import Loc
from bench.schema import PRECISIONS
from bench.schema.precision import KV_MARK, KvFormat, Weights, kv_cache, spelt_out

KV_FORMATS: tuple[str, ...] = get_args(KvFormat)


def names() -> list[str]:
    """Every name that a config may write, those with quantised keys and values too."""
    quantising = [name for name, noun in PRECISIONS.items() if issubclass(noun, Weights)]
    return [*PRECISIONS, *(f"{name}{KV_MARK}{kept}" for name in quantising for kept in KV_FORMATS)]


def spelt(point: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A precision with its name taken apart, and what is wrong with that name in a line, or None.

    >>> spelt({"name": "bf16+kv-int4"})
    ({'name': 'bf16', 'kv_cache': {'format': 'int4'}}, None)
    >>> spelt({"name": "bf16+kv-int5"})[1]
    "unknown format 'int5' of keys and values in 'bf16+kv-int5'; known: fp8, int2, int3, int4, int8"
    """
    written = str(point["name"])
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
