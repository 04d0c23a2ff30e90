"""What all readers of served results make of times and counts: rates over a window, held against the file's own."""

from collections.abc import Mapping

from bench.imports.values import Values
from bench.schema import ImportedDoubt, ImportedFigure

CLOSE = 0.01
"""Share by which a rate may differ from its own counts: files round, and windows differ by a clock's reading."""


CACHED = 0.01
"""Share of the prompt tokens above which a prefix cache has answered in the model's place."""


def agree(one: float, other: float) -> bool:
    """Whether two figures that mean the same are the same, up to rounding.

    >>> agree(2.756, 2.75), agree(2.756, 3.0)
    (True, False)
    """
    return abs(one - other) <= CLOSE * max(abs(one), abs(other))


def rates(
    of: Values,
    window_s: float,
    requests: float,
    input_tokens: float,
    output_tokens: float,
    names: Mapping[str, tuple[str, str]],
) -> tuple[dict[str, ImportedFigure], dict[str, str], tuple[str, ...]]:
    """Requests and tokens per second of the whole window, from counts; what was left out and why; and remarks.

    `names`: our name → the arithmetic in the file's words, and the file's key of the same rate ("" where it has
    none). A rate that contradicts its own counts is left out. Raises InputError for a window of no length.
    """
    if not window_s > 0:
        raise of.error("duration", "a run of 0 s has no rates; run it again")
    counts = {
        "requests_per_s": requests,
        "output_tokens_per_s": output_tokens,
        "total_tokens_per_s": input_tokens + output_tokens,
    }
    found, left_out, remarks = {}, {}, []
    for name, (said, key) in names.items():
        value = counts[name] / window_s
        own = of.number_or_none(key)
        if not value:
            left_out[key or name] = "0: nothing was counted"
        elif own is not None and not agree(value, own):
            left_out[key] = f"{own:.6g}, which contradicts {said} = {value:.6g}"
            remarks.append(f"{key} contradicts the counts beside it: an unknown version of the tool, or an edited file")
        else:
            found[name] = ImportedFigure(value=value, said=said)
    return found, left_out, tuple(remarks)


def figures_of(times: Mapping[str, ImportedFigure]) -> dict[str, ImportedFigure]:
    """The times, and the speed that one user sees, 1 / TPOT."""
    found = dict(times)
    tpot = found.get("tpot_s")
    if tpot is not None and tpot.value > 0:
        found["tokens_per_s_per_user"] = ImportedFigure(value=1 / tpot.value, said=f"1 / ({tpot.said})")
    return found


def warm_cache(cached_tokens: int | None, input_tokens: int | None) -> tuple[ImportedDoubt, ...]:
    """A doubt where the server found prompts in its cache: no file says whether that was meant."""
    if not cached_tokens or not input_tokens or cached_tokens / input_tokens <= CACHED:
        return ()
    what = f"the server had {cached_tokens / input_tokens:.1%} of the prompt tokens in its prefix cache"
    remedy = "where that was not meant, let every prompt begin differently, or switch the cache off"
    return (ImportedDoubt(code="warm-cache", what=what, remedy=remedy),)
