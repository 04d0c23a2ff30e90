"""What rows are called in charts: as short as tells them apart, and harmless whatever a record says.

`bench/page/static/chart_rows.js` has the same rules; tests/test_charts_browser.py holds both together.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.entries.entry import Entry
from bench.page.charts.chart import Point
from bench.page.shown import cut, visible

LONGEST = 60
"""Characters of a name in a chart."""
LONGEST_DETAIL = 40
LONGEST_SHORT = 16
MOST_SERIES = 8
"""Colours and shapes that stay apart."""
OTHER = "other"
OWN_TOOL = "llm-cost-bench"


def shown(text: str, longest: int = LONGEST) -> str:
    """A text out of a record, as it can stand in a chart."""
    return cut(visible(text), longest)


def whole(value: float) -> str:
    """A count or a level without needless digits.

    >>> whole(128.0), whole(0.25), whole(170.4)
    ('128', '0.25', '170.4')
    """
    return str(int(value)) if float(value).is_integer() else f"{float(f'{value:.4g}')!r}"


@dataclass(frozen=True)
class Naming:
    """What has to be said of a row of this report, since other rows differ in it."""

    models: bool
    runners: bool
    options: bool
    hardware: bool
    tools: bool
    lengths: bool
    by_precision: bool
    series: tuple[str, ...]
    about: str
    """What all rows share, and their names in charts therefore leave out."""

    @staticmethod
    def of(entries: Sequence[Entry]) -> "Naming":
        """Of the believable rows of a report; the series are at most `MOST_SERIES`, in the order of the rows."""
        seen = [
            {one.model for one in entries},
            {one.runner for one in entries},
            {one.options for one in entries},
            {_tool(one) for one in entries},
            {one.hardware for one in entries},
        ]
        models, runners, options, tools, hardware = (len(one) > 1 for one in seen)
        lengths = len({(one.input_tokens, one.output_tokens) for one in entries if one.kind == "batch"}) > 1
        about = " · ".join(shown(text) for one in seen if len(one) == 1 for text in one if text)
        bare = Naming(models, runners, options, hardware, tools, lengths, False, (), about)
        groups = Counter(bare.name(one) for one in entries)
        if len(groups) <= MOST_SERIES:
            return replace(bare, series=tuple(groups))
        precisions = Counter(shown(one.precision) for one in entries)
        kept = [name for name, _ in precisions.most_common(MOST_SERIES)]
        if len(precisions) > MOST_SERIES:
            kept = kept[: MOST_SERIES - 1]
        names = [name for name in precisions if name in kept]
        names += [OTHER] if len(names) < len(precisions) else []
        return replace(bare, by_precision=True, series=tuple(names))

    def group(self, entry: Entry) -> str:
        """Model and precision, and whatever else differs but the batch, the lengths and the load."""
        words = [entry.model, entry.precision, entry.runner if self.runners else "", entry.options, _tool(entry)]
        text = " ".join(one for one in words if one)
        return shown(f"{text}, {entry.hardware}" if self.hardware else text)

    def name(self, entry: Entry) -> str:
        """The same without what all rows share: what stands in legends and headings."""
        words = [
            entry.model if self.models else "",
            entry.precision,
            entry.runner if self.runners else "",
            entry.options if self.options else "",
            _tool(entry) if self.tools else "",
        ]
        text = " ".join(one for one in words if one)
        return shown(f"{text}, {entry.hardware}" if self.hardware else text)

    def colour(self, series: str) -> int:
        """Which of the colours and shapes a series has, in every chart of the report."""
        return self.series.index(series)

    def detail(self, entry: Entry) -> str:
        """What tells the rows of a group apart: the batch, or the load."""
        if entry.kind == "load":
            return shown(entry.workload.split(",")[0], LONGEST_DETAIL)
        if entry.kind != "batch" or entry.batch_size is None:
            return shown(entry.workload, LONGEST_DETAIL)
        text = f"batch {entry.batch_size}"
        if self.lengths and entry.input_tokens is not None and entry.output_tokens is not None:
            text += f", {whole(entry.input_tokens)}+{whole(entry.output_tokens)}"
        return text + (f", arm {entry.arm}" if entry.arm > 1 else "")

    def one_of(self, entry: Entry) -> str:
        """The series that a row is drawn in."""
        name = shown(entry.precision) if self.by_precision else self.name(entry)
        return name if name in self.series else OTHER

    def point(self, entry: Entry) -> Point:
        """The fields that every point of a row has."""
        return {
            "kind": "row",
            "key": entry.key,
            "label": self.group(entry),
            "detail": self.detail(entry),
            "series": self.one_of(entry),
            "verdict": shown(entry.verdict_text),
            "doubtful": bool(entry.verdict),
        }


def _tool(entry: Entry) -> str:
    return f"({entry.origin.tool})" if entry.origin.tool != OWN_TOOL else ""


def identity(entry: Entry) -> tuple[str, ...]:
    """Equal for rows of one group: those that differ in batch, lengths or load alone."""
    return (entry.model, entry.precision, entry.runner, entry.options, entry.origin.tool, entry.machine)


def short(entry: Entry) -> str:
    """Beside a mark: the precision with the batch size or the level."""
    if entry.level is not None:
        at = f" {whole(entry.level)}"
    else:
        at = "" if entry.batch_size is None else f" B{entry.batch_size}"
    return shown(entry.precision, LONGEST_SHORT) + at


def place(entry: Entry) -> float:
    """Where a row stands within its group."""
    found = entry.batch_size if entry.batch_size is not None else entry.level
    return 0.0 if found is None or not math.isfinite(found) else float(found)


def of_many(shown_count: int, count: int, which: str) -> str:
    """The sentence about rows that are not drawn; empty where all are.

    >>> of_many(40, 10000, "cheapest")
    'Drawn are the 40 cheapest of 10,000 rows.'
    """
    return "" if shown_count >= count else f"Drawn are the {shown_count:,} {which} of {count:,} rows."


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sentences(*parts: str) -> str:
    """Those that say something, one after the other."""
    return " ".join(part for part in parts if part)
