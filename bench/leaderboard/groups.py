"""What may be ranked against each other: entries whose figures mean the same.

The same kind of measurement (a static batch, a load, or one other tool's), made by the same instrument, of requests of
the same length, and where it is ranked, at the same utilisation or on the same text against the same reference.
Everything else stands in groups of its own, and each says what its entries have in common.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.entries import mixed
from bench.entries.entry import Entry, Quality
from bench.entries.priced import Asked
from bench.leaderboard.ranking import Ranking
from bench.publish.escaping import line
from bench.report.table import percent

SAME_LENGTH = 1.05
"""Mean lengths under load are those of the requests that came; up to this ratio they were asked for alike."""

KINDS = {"batch": "static batches", "load": "under load", "imported": "imported"}

Lengths = tuple[float, float, float]


@dataclass(frozen=True)
class Group:
    """Entries that are comparable, and what they have in common, by name: a heading for people, data for programs."""

    common: dict[str, str]
    entries: tuple[Entry, ...]

    @property
    def heading(self) -> str:
        """What the entries have in common, on one line."""
        return " · ".join(self.common.values())


def why_not(entry: Entry, ranking: Ranking) -> str | None:
    """Why an entry cannot be compared with any other; None where it can."""
    if "tokens" in ranking.within and _lengths(entry) is None:
        return "how long its requests were is not known"
    if "text" in ranking.within and not entry.quality.text:
        return "which text was scored is not known"
    return None


def groups(entries: Iterable[Entry], ranking: Ranking) -> list[Group]:
    """Every comparable entry in its group, the largest group first. Those of `why_not` are in none."""
    found: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    lengths = _Lengths()
    for entry in entries:
        if why_not(entry, ranking) is None:
            found.setdefault(tuple(_common(entry, ranking, lengths).items()), []).append(entry)
    made = [Group(dict(common), tuple(own)) for common, own in found.items()]
    return sorted(made, key=lambda one: (-len(one.entries), one.heading))


def _common(entry: Entry, ranking: Ranking, lengths: "_Lengths") -> dict[str, str]:
    """What an entry has to have in common with others, in words."""
    said = {}
    if "text" in ranking.within:
        said["text"] = _scored(entry.quality)
        if "reference" in ranking.within:
            said["model"] = f"model {line(entry.model)}"
            said["reference"] = f"against {line(entry.quality.reference or entry.precision)}"
    else:
        said["kind"] = KINDS[entry.kind]
        said["tokens"] = lengths.text(entry)
        if "utilisation" in ranking.within and entry.priced is not None:
            said["utilisation"] = f"{percent(mixed.utilisation(entry.priced, Asked()))} utilised"
    origin = entry.origin
    if entry.kind == "imported":
        said["tool"] = f"measured by {line(origin.tool)}"
    elif origin.instrument is not None:
        said["instrument"] = f"instrument {origin.instrument}"
    return said


def _scored(of: Quality) -> str:
    """Which bytes were scored, and in which windows: a text's name alone is anybody's."""
    which = f" ({of.text_sha256[:12]})" if of.text_sha256 else ""
    windows = "" if of.window_tokens is None else f" in windows of {of.window_tokens:,} tokens"
    overlap = f" that overlap by {of.context_tokens:,}" if windows and (of.context_tokens or 0) > 1 else ""
    return f"text {line(of.text)}{which}{windows}{overlap}"


def _lengths(entry: Entry) -> Lengths | None:
    if entry.input_tokens is None or entry.output_tokens is None:
        return None
    return entry.input_tokens, entry.cached_tokens or 0.0, entry.output_tokens


class _Lengths:
    """Names lengths: of a batch by what they are, of requests that came by the first that were as long."""

    def __init__(self) -> None:
        self._known: dict[str, list[Lengths]] = {}

    def text(self, entry: Entry) -> str:
        own = _lengths(entry)
        assert own is not None  # those without are in no group
        if entry.kind == "batch":
            return _said(own, "")
        known = self._known.setdefault(f"{entry.kind} {entry.origin.tool}", [])
        for other in known:
            if all(_is_alike(mine, theirs) for mine, theirs in zip(own, other, strict=True)):
                return _said(other, "about ")
        known.append(own)
        return _said(own, "about ")


def _is_alike(one: float, other: float) -> bool:
    return max(one, other) <= SAME_LENGTH * min(one, other) or max(one, other) < 1


def _said(of: Lengths, about: str) -> str:
    tokens = [f"{one:,.0f}" for one in of]
    cached = f" ({tokens[1]} cached)" if of[1] else ""
    return f"{about}{tokens[0]} in{cached}, {tokens[2]} out"


def once_per_level(entries: Sequence[Entry]) -> list[Entry]:
    """Quality does not depend on the load: of entries that show one pass, the first."""
    seen: dict[tuple[object, ...], Entry] = {}
    for entry in entries:
        of = entry.quality
        key = (entry.model, entry.precision, entry.runner, entry.machine, of.scored, of.reference, of.bits_per_byte)
        seen.setdefault((*key, of.delta_nll, of.kl_mean), entry)
    return list(seen.values())
