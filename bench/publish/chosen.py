"""Which columns and rows a table has, and in which order."""

from collections.abc import Sequence

from bench.entries.entry import Entry
from bench.errors import InputError, nearest
from bench.metrics.statistics import Estimate
from bench.publish.columns import BY_NAME, COLUMN_SETS, COLUMNS, TEXTS, Column
from bench.publish.values import Value, finite

DEFAULT_COLUMNS = "essential"
DEFAULT_SORT = "usd_per_mtok"
SORTS = tuple(BY_NAME)
"""Names to sort by; with a minus before it, the largest first."""


def columns(asked: str | None, entries: Sequence[Entry]) -> list[Column]:
    """Sets and single names, comma-separated, in the order of the sets and as they are said; each column once.

    The verdict is always there, at the end unless it was placed; so is the origin where another tool measured a row.
    Raises InputError for a name that is none.
    """
    names: list[str] = []
    for word in (asked or DEFAULT_COLUMNS).split(","):
        name = word.strip()
        if name in COLUMN_SETS:
            names += COLUMN_SETS[name]
        elif name in BY_NAME:
            names.append(name)
        else:
            raise InputError(f"--columns: no column or set {name!r}; {nearest(name, [*COLUMN_SETS, *BY_NAME])}")
    whole = "all" in (asked or "").split(",")
    said = {word.strip() for word in (asked or "").split(",")}
    if "verdict" not in said:
        names = [*(name for name in names if name != "verdict"), "verdict"]
    if any(one.kind == "imported" for one in entries):
        place = max((names.index(name) + 1 for name in names if BY_NAME[name].naming), default=0)
        names.insert(place, "origin")
    elif not whole and "origin" not in said:
        names = [name for name in names if name != "origin"]
    return [BY_NAME[name] for name in dict.fromkeys(names)]


def rows(entries: Sequence[Entry], sort: str | None, failed: bool) -> list[Entry]:
    """Entries in their order: by one column after the other; those without a value stand last, whichever way.

    Raises InputError for a name that is none.
    """
    found = [one for one in entries if failed or one.status == "ok"]
    for word in reversed((sort or DEFAULT_SORT).split(",")):
        name = word.strip().removeprefix("-")
        if name not in BY_NAME:
            raise InputError(f"--sort: no column {name!r}; {nearest(name, BY_NAME)}")
        found = _sorted(found, BY_NAME[name], falling=word.strip().startswith("-"))
    return found


def _sorted(entries: Sequence[Entry], column: Column, falling: bool) -> list[Entry]:
    values = [(key_of(column.get(one)), one) for one in entries]
    known = [(key, one) for key, one in values if key is not None]
    if column.name in TEXTS:
        known.sort(key=lambda pair: str(pair[0]).casefold(), reverse=falling)
    else:
        known.sort(key=lambda pair: float(pair[0]), reverse=falling)
    return [*(one for _, one in known), *(one for key, one in values if key is None)]


def key_of(value: Value) -> float | str | None:
    """What a cell is sorted by; None where it has no value."""
    of = finite(value)
    if isinstance(of, Estimate):
        return of.value
    return None if of is None or of == "" else of


def told_once(columns: Sequence[Column], entries: Sequence[Entry], asked: str | None) -> tuple[list[Column], list[str]]:
    """For people: the columns that tell rows apart, and what is equal in all of them, for the caption.

    Columns in which no row has a value are left out, and neither happens to one that was named by itself. Names of the
    rows that were not asked for go to the caption too, where all rows share them.
    """
    said = {word.strip() for word in (asked or "").split(",")}
    kept, equal = [], []
    for column in columns:
        values = {key_of(column.get(one)) for one in entries}
        if column.name in said or column.name == "verdict":
            kept.append(column)
        elif values <= {None}:
            continue
        elif column.naming and column.name != "model" and len(entries) > 1 and len(values) == 1:
            equal.append(str(values.pop()))
        else:
            kept.append(column)
    if entries:
        unsaid = [one for one in COLUMNS if one.naming and one not in columns and one.name != "origin"]
        values_of = [{key_of(column.get(one)) for one in entries} for column in unsaid]
        equal = [*(str(next(iter(values))) for values in values_of if len(values) == 1 and None not in values), *equal]
    return kept, equal
