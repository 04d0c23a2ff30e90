"""A history for a pipeline on GitHub: a summary in its Markdown, and annotations as workflow commands.

Names are foreign text. In the summary every character that means something to Markdown or HTML is an entity, of which
no markup can come; in a command, per cent signs and ends of lines are written as GitHub's own toolkit does, and colons
and commas too in a property.
"""

import re
from collections.abc import Iterator, Sequence

from bench.history.judged import Judgement
from bench.history.table import points_table
from bench.history.wording import causes, confidence, figure, name, result, sentence, short, sparkline

ARROWS = {
    "regression": "▲ worse",
    "improvement": "▼ better",
    "changed": "◆ changed",
    "small change": "≈ small change",
    "steady": "= steady",
    "suspect": "? suspect",
    "stopped": "✖ stopped",
    "too few": "… too few runs",
}
"""A word beside each sign: signs alone are read aloud as nothing, or as something else."""

MOST_DETAILS = 200
"""Cells whose runs are listed; the summary of a step holds 1 MiB."""

_PLAIN = frozenset(" .()+-,;%/=±–−·?×÷∞≤≥→…▲▼◆≈✖ΔτμàéüöäßÄÖÜ▁▂▃▄▅▆▇█")

_WWW = re.compile(r"(www)\.", re.IGNORECASE)


def shown(text: str) -> str:
    """Text as entities, wherever a character could mean something. A dot does after www alone.

    >>> shown("a|b <i>_x_</i> @me")
    'a&#124;b &#60;i&#62;&#95;x&#95;&#60;/i&#62; &#64;me'
    """
    whole = "".join(one if one.isalnum() or one in _PLAIN else f"&#{ord(one)};" for one in text)
    return _WWW.sub(r"\1&#46;", whole)


def summary(found: Sequence[Judgement], notes: Sequence[str], threshold: float) -> str:
    """The whole summary: what to look at first, a table cell × metric, and the runs of each cell to unfold."""
    bad = [one for one in found if one.fails]
    doubtful = [one for one in found if one.outcome == "suspect"]
    parts = ["## " + shown(_title(found, bad, doubtful))]
    parts += ["\n".join(f"- {shown(sentence(one))}" for one in [*bad, *doubtful])] if bad or doubtful else []
    parts.append(_matrix(found))
    parts += [_details(own) for own in list(_by_cell(found))[:MOST_DETAILS]]
    said = [*notes, f"a change counts from {threshold:.0%} on, where its whole 95 % interval is beyond"]
    parts.append("\n".join(f"- {shown(note)}" for note in said))
    return "\n\n".join(parts) + "\n"


def _title(found: Sequence[Judgement], bad: Sequence[Judgement], doubtful: Sequence[Judgement]) -> str:
    cells = len({id_of(one) for one in found})
    what = f"{len(bad)} regression{'s' if len(bad) != 1 else ''}" if bad else "no regression"
    if doubtful:
        what += f", {len(doubtful)} suspect"
    return f"llm-cost-bench: {what} in {cells} cell{'s' if cells != 1 else ''}"


def id_of(one: Judgement) -> tuple[str, str, int | None]:
    """What the series of one cell on one machine have in common."""
    entry = one.series.newest
    return entry.cell_id, entry.hardware, entry.origin.instrument


def _by_cell(found: Sequence[Judgement]) -> Iterator[list[Judgement]]:
    groups: dict[tuple[str, str, int | None], list[Judgement]] = {}
    for one in found:
        groups.setdefault(id_of(one), []).append(one)
    yield from groups.values()


def _matrix(found: Sequence[Judgement]) -> str:
    metrics = list(dict.fromkeys(one.series.metric for one in found))
    heads = ["cell", "machine", *(f"{one.title} ({one.unit})" for one in metrics)]
    lines = [heads]
    for own in _by_cell(found):
        entry = own[0].series.newest
        by_metric = {one.series.metric.name: one for one in own}
        cells = [_short(by_metric.get(metric.name)) for metric in metrics]
        lines.append([f"{short(entry)} {name(own[0].series.name, 80)}", name(entry.hardware, 60), *cells])
    made = ["| " + " | ".join(shown(text) for text in line) + " |" for line in lines]
    return "\n".join([made[0], "|" + " --- |" * len(heads), *made[1:]])


def _short(one: Judgement | None) -> str:
    if one is None:
        return "–"
    newest = figure(one.series.points[-1].value, one.series.metric)
    return f"{_arrow(one)}; {newest} {sparkline(one.series)}"


def _arrow(one: Judgement) -> str:
    """The sign points where the figure went; the word says what that is."""
    sign = ARROWS[one.outcome]
    if one.change is None or one.outcome not in ("regression", "improvement"):
        return sign
    change = result(one).partition(" since ")[0].partition(": ")[2].partition(" (")[0]
    return f"{'▲' if one.change.step > 0 else '▼'} {sign.split()[1]} {change}"


def _details(own: Sequence[Judgement]) -> str:
    first = own[0].series
    title = f"{short(first.newest)} {name(first.name, 80)} on {name(first.newest.hardware, 60)}"
    parts = [f"<details><summary>{shown(title)}</summary>"]
    for one in own:
        said = f"{one.series.metric.name}: {result(one)}"
        if one.change is not None and one.outcome != "suspect":
            said += f"; confidence {confidence(one.change)}; {causes(one)}"
        headings, lines = points_table(one)
        rows = ["| " + " | ".join(shown(text) for text in line) + " |" for line in (headings, *lines)]
        parts += [shown(said), "\n".join([rows[0], "|" + " --- |" * len(headings), *rows[1:]])]
    return "\n\n".join([*parts, "</details>"])


def annotations(found: Sequence[Judgement]) -> str:
    """A workflow command for each regression (an error), suspect run and cell that stopped."""
    lines = []
    for one in found:
        if not one.fails and one.outcome != "suspect":
            continue
        level = "error" if one.fails else "warning"
        title = f"{one.outcome}: {one.series.metric.name} of {name(one.series.name, 80)}"
        lines.append(f"::{level} title={_property(title)}::{_data(sentence(one))}")
    return "".join(line + "\n" for line in lines)


def _data(text: str) -> str:
    """As `escapeData` of GitHub's actions/toolkit."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As its `escapeProperty`."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
