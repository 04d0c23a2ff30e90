"""The first rows as plain text, for a reader whose browser runs no script: the essential columns, nothing to press."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import ApiPrice, Asked
from bench.metrics.statistics import Estimate
from bench.page.columns import Column, ordered
from bench.page.key_figures import break_even_text
from bench.page.shown import cut, visible
from bench.report.table import GB, MS, NONE, number, percent, spread

FIRST = 200
_NOTHING = Asked()
_ALWAYS = ("number", "model", "precision", "machine", "workload", "verdict", "usd_per_mtok")


@dataclass(frozen=True)
class Line:
    """A row's cells in the order of the columns, and what speaks against it."""

    cells: tuple[str, ...]
    reasons: tuple[str, ...]
    standing: int
    """0 VALID, 1 doubtful, 2 failed or without meaning."""


def table(entries: Sequence[Entry], leaderboard: bool) -> tuple[list[Column], list[Line]]:
    """Columns of which some row has a value, and the first `FIRST` rows."""
    shown = list(enumerate(entries[:FIRST], 1))
    columns = []
    for column in ordered(leaderboard):
        text = _TEXTS.get(column.id)
        if text is None or "essential" not in column.sets:
            continue
        if column.id in _ALWAYS or any(text(one) != NONE for _, one in shown):
            columns.append(column)
    return columns, [_line(number_, one, columns) for number_, one in shown]


def _line(number_: int, entry: Entry, columns: Sequence[Column]) -> Line:
    cells = [str(number_) if one.id == "number" else cut(visible(_TEXTS[one.id](entry)), 60) for one in columns]
    standing = 2 if not entry.is_believable else 1 if entry.verdict else 0
    return Line(tuple(cells), tuple(visible(one) for one in reasons(entry)), standing)


def reasons(entry: Entry) -> list[str]:
    """What speaks against a row, each with what to do about it."""
    found = [f"{one.code}: {one.text()}" for one in entry.verdict]
    if entry.status != "ok":
        remedy = f"; {entry.remedy}" if entry.remedy else ""
        found.insert(0, f"{entry.status}: {entry.failure or 'no reason was recorded'}{remedy}")
    elif entry.no_dollars_because:
        found.append(f"no dollars: {entry.no_dollars_because}")
    return found


def _with_spread(of: Estimate | None, suffix: str = "", factor: float = 1.0) -> str:
    return NONE if of is None else number(of.value * factor) + suffix + spread(of, factor)


def _figure(name: str, factor: float = 1.0) -> Callable[[Entry], str]:
    return lambda entry: _with_spread(entry.figures.get(name), factor=factor)


def _model(entry: Entry) -> str:
    random = " (random weights)" if entry.random_weights and "random" not in entry.model else ""
    origin = f" (from {entry.origin.tool})" if entry.kind == "imported" else ""
    return entry.model + random + origin


def _usd(entry: Entry) -> str:
    of = None if entry.priced is None else mixed.usd_per_mtok(entry.priced, _NOTHING)
    if of is not None:
        return _with_spread(of)
    fatal = [one.code for one in entry.verdict if one.fatal]
    return entry.status if entry.status != "ok" else ", ".join(fatal) or entry.no_dollars_because or "not priced"


def _api(entry: Entry) -> ApiPrice | None:
    return None if entry.priced is None else mixed.cheapest(entry.priced, _NOTHING)


def _ratio(entry: Entry) -> str:
    api = _api(entry)
    return NONE if api is None or entry.priced is None else _with_spread(mixed.ratio(entry.priced, api, _NOTHING), "×")


def _break_even(entry: Entry) -> str:
    api = _api(entry)
    found = None if api is None or entry.priced is None else mixed.break_even(entry.priced, api, _NOTHING)
    return break_even_text(found)


def _peak(entry: Entry) -> str:
    size = None if entry.memory is None else entry.memory.peak_bytes
    return NONE if size is None else number(size / GB)


def _same_top_1(entry: Entry) -> str:
    share = entry.quality.same_top_1
    return NONE if share is None else percent(share)


_TEXTS: dict[str, Callable[[Entry], str]] = {
    "number": lambda _: "",
    "model": _model,
    "precision": lambda entry: entry.precision,
    "machine": lambda entry: entry.hardware,
    "workload": lambda entry: entry.workload,
    "verdict": lambda entry: entry.verdict_text,
    "usd_per_mtok": _usd,
    "ratio": _ratio,
    "break_even": _break_even,
    "output_tokens_per_s": _figure("output_tokens_per_s"),
    "tokens_per_s_per_user": _figure("tokens_per_s_per_user"),
    "ttft_s": _figure("ttft_s", MS),
    "peak_bytes": _peak,
    "same_top_1": _same_top_1,
}
