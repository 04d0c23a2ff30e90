"""A leaderboard: what the filters leave, in comparable groups, each ranked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from bench.entries.entry import Entry, Note, Report
from bench.errors import InputError, nearest
from bench.leaderboard.groups import Group, groups, once_per_level, why_not
from bench.leaderboard.ranking import Placed, Ranking, is_ranked, placed
from bench.metrics.statistics import Estimate
from bench.page.places import Place
from bench.publish.columns import BY_NAME
from bench.publish.digits import stated
from bench.publish.escaping import line

Which = Literal["valid", "doubtful", "all"]
VERDICTS = ("valid", "doubtful", "all")
RULE = (
    "ranked against each other: the same kind of measurement, instrument and lengths of requests (under load within "
    "5 %), for dollars the same utilisation, for quality the same text (by its checksum) and windows, and for ΔNLL and "
    "KL the same model and reference; "
    "= shares its place with the first of that place, as their 95 % intervals overlap; ? has no interval"
)


@dataclass(frozen=True)
class Ranked:
    """A group with its places, best first; `hidden` more are below the limit."""

    group: Group
    places: tuple[Placed, ...]
    hidden: int = 0

    @property
    def heading(self) -> str:
        """What the rows have in common, and how many there are."""
        rows = len(self.places) + self.hidden
        machines = len({one.hardware for one in self.group.entries})
        of = f" on {machines} machines" if machines > 1 else ""
        return f"{self.group.heading}: {rows} row{'s' if rows != 1 else ''}{of}"


@dataclass(frozen=True)
class Board:
    """`without`: entries that have no place, each with the reason. `notes` are the small print."""

    ranking: Ranking
    groups: tuple[Ranked, ...]
    without: tuple[tuple[Entry, str], ...]
    notes: tuple[str, ...]
    runs: int

    @property
    def entries(self) -> list[Entry]:
        """In the order of the board."""
        ranked = [one.entry for group in self.groups for one in group.places]
        return [*ranked, *(entry for entry, _ in self.without)]


def board(report: Report, ranking: Ranking, which: Which, limit: int | None) -> Board:
    """Entries ranked. `which`: VALID ones, those with doubts too, or everything with what failed. `limit`: rows of a
    group."""
    shown = [one for one in report.entries if _passes(one, which)]
    if "text" in ranking.within:
        shown = once_per_level(shown)
    values: dict[int, Estimate] = {}
    without: list[tuple[Entry, str]] = []
    ranked: list[Entry] = []
    for entry in shown:
        value = ranking.get(entry) if entry.is_believable else None
        reason = _why_none(entry, ranking) if value is None or not is_ranked(value) else why_not(entry, ranking)
        if reason is not None or value is None:
            without.append((entry, reason or "no figure"))
        else:
            values[id(entry)] = value
            ranked.append(entry)
    made = []
    for group in groups(ranked, ranking):
        places = placed([(entry, values[id(entry)]) for entry in group.entries], ranking.highest)
        kept = places if limit is None else places[:limit]
        made.append(Ranked(group, tuple(kept), len(places) - len(kept)))
    notes = _notes(report, ranking, which, shown, without)
    listed = tuple(without) if which == "all" else ()
    return Board(ranking, tuple(made), listed, notes, len(report.runs))


def _passes(entry: Entry, which: Which) -> bool:
    if which == "all":
        return True
    return entry.is_believable and (which == "doubtful" or not entry.verdict)


def _why_none(entry: Entry, ranking: Ranking) -> str:
    """Why an entry has no figure to be ranked by."""
    if entry.status != "ok":
        return f"{entry.status}: {entry.failure or 'no reason is known'}"
    if not entry.is_believable:
        return f"means nothing: {', '.join(one.code for one in entry.verdict if one.fatal)}"
    if ranking.name == "usd_per_mtok":
        return entry.no_dollars_because or "no price"
    if "text" in ranking.within:
        return f"no quality: {entry.quality.reason or 'not compared'}"
    return f"no {ranking.column}: not measured"


def _notes(
    report: Report, ranking: Ranking, which: Which, shown: Sequence[Entry], without: Sequence[tuple[Entry, str]]
) -> tuple[str, ...]:
    notes = [RULE]
    if ranking.name == "usd_per_mtok":
        notes.append(
            f"dollars at the prices of {report.day.isoformat()}, with each run's own choices of cost unless options of "
            "this command say otherwise; the price of the hour stands in the row"
        )
    hidden = len(report.entries) - len(shown)
    if hidden and "text" not in ranking.within:
        what = "that are not VALID or failed" if which == "valid" else "that failed or mean nothing"
        notes.append(f"{hidden} rows {what} are left out: --verdict all lists them")
    reasons = Counter(reason for _, reason in without) if which != "all" else Counter()
    notes += [f"{count} rows without a place: {line(reason)}" for reason, count in reasons.most_common(5)]
    return tuple(notes)


def filtered(entries: Sequence[Entry], wanted: Mapping[str, str | None]) -> list[Entry]:
    """Entries whose names fit the patterns (* and ? stand for anything, capitals do not matter).

    Raises InputError naming the first pattern that leaves nothing, and the nearest there is.
    """
    left = list(entries)
    for name, pattern in wanted.items():
        if pattern is None:
            continue
        texts = [str(getattr(one, name)) for one in left]
        left = [one for one, text in zip(left, texts, strict=True) if fnmatchcase(text.lower(), pattern.lower())]
        if not left:
            known = [line(text, 60) for text in texts]
            raise InputError(f"--{name}: no row has {name} {pattern!r}; {nearest(pattern, known)}")
    return left


def as_report(report: Report, of: Board) -> Report:
    """For the page: the rows in the order of the board, the best in the headline, the rule in the notes."""
    keys = {one.key for one in of.entries}
    machines = {one.machine for one in of.entries}
    environments = {name: one for name, one in report.environments.items() if name in machines}
    notes = [note for note in report.notes if not note.about or keys & set(note.about)]
    return replace(
        report,
        title=f"Leaderboard by {of.ranking.of}",
        entries=tuple(of.entries),
        headline=headline(of),
        environments=environments,
        notes=(*(Note(text) for text in of.notes), *_headings(of), *notes),
    )


def page_places(of: Board) -> list[Place | None]:
    """For the page: group and place of each of the board's entries, in their order."""
    ranked = [
        Place(number, group.heading, place.text) for number, group in enumerate(of.groups, 1) for place in group.places
    ]
    return [*ranked, *(None for _ in of.without)]


def _headings(of: Board) -> list[Note]:
    """Which rows may be held against each other."""
    return [Note(f"comparable: {one.heading}", tuple(place.entry.key for place in one.places)) for one in of.groups]


def headline(of: Board) -> str:
    """The best of the largest group, and whether others cannot be told apart from it."""
    if not of.groups:
        return f"No row can be ranked by {of.ranking.of}."
    first = of.groups[0]
    best = first.places[0]
    entry = best.entry
    alike = sum(one.place == 1 for one in first.places) - 1
    others = f"; {alike} other row{'s' if alike != 1 else ''} cannot be told apart from it" if alike else ""
    left = len(of.groups) - 1
    more = f" {left} more group{'s are' if left != 1 else ' is'} ranked apart." if left else ""
    column = BY_NAME[of.ranking.column]
    value = f"{stated(best.value, column.factor)} {column.unit}".strip()
    return (
        f"Best by {of.ranking.of}: {line(entry.label, 80)} on {line(entry.hardware, 80)}, {value}{others} "
        f"({first.heading}).{more}"
    )
