"""`bench prices trend MODEL…`: blended prices of API models over time, drawn, as a table and as an SVG file."""

import os
import shutil
import sys
import textwrap
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.cost.blend import Blend
    from bench.report.trend import Line

MAX_LINES = 12
"""Of one pattern: more lines than that cannot be told apart."""


def add_to(app: typer.Typer) -> None:
    app.command(name="trend", epilog='Example: bench prices trend "openai/gpt-4>openai/gpt-4o-2024-08-06"')(trend)


def trend(
    models: Annotated[
        list[str],
        typer.Argument(
            help='provider/model; "A>B" is one line in which B takes over from A; "provider/name*" is all that match.',
            show_default=False,
        ),
    ],
    blend: Annotated[str, typer.Option(help="Ratio of input to output tokens, such as 3:1 or 80/20.")] = "80/20",
    since: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.", metavar="DATE")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.", metavar="DATE")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw the lines into this SVG file.")] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, csv or json.")] = "table",
) -> None:
    """Show how API prices changed: a chart, every change with its source, and the yearly fall."""
    from bench.cost.blend import parse
    from bench.errors import InputError, nearest
    from bench.plan.folder import write_text
    from bench.report import trend_text

    if form not in trend_text.FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, trend_text.FORMATS)}")
    ratio, today = parse(blend), datetime.now(UTC).date()
    start, end = _day("--from", since, today), _day("--to", to, today)
    if start is not None and end is not None and start > end:
        raise InputError(f"--from {start} is after --to {end}; exchange the two")
    lines, notes = [], []
    for name in dict.fromkeys(models):
        found, note = (
            _matching_lines(name, ratio, start, end) if "*" in name else ([_line(name, ratio, start, end)], "")
        )
        lines += [line for line in found if line not in lines]
        notes += [note] if note else []
    if svg is not None:
        write_text(svg, _svg(lines, ratio))
    if form == "csv":
        print(trend_text.as_csv(lines, ratio), end="")
    elif form == "json":
        print(trend_text.as_json(lines, ratio), end="")
    else:
        _show(lines, ratio, notes, today)


def _show(lines: list["Line"], ratio: "Blend", said: list[str], today: date) -> None:
    from bench.report import trend_chart, trend_text

    columns = shutil.get_terminal_size((120, 24)).columns
    # With its output closed (`>&-`) Python has no stdout at all.
    colour = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"USD per million tokens, {ratio} in/out{', logarithmic' if trend_chart.is_log(lines) else ''}\n")
    print(trend_chart.terminal(lines, columns, colour))
    print(f"\n{trend_text.table(lines, columns)}\n")
    for note in (*trend_text.notes(lines, ratio, today), *said):
        print(textwrap.fill(f"• {note}", columns))


def _svg(lines: list["Line"], ratio: "Blend") -> str:
    from bench.report import trend_chart, trend_text

    last = max(line.until for line in lines)
    caption = (
        f"Blend {ratio} (input/output), uncached, lowest tier. A price is drawn until the next one that is known, "
        f"the last to {last}. Sources: {trend_text.sources(lines)}."
    )
    return trend_chart.svg(lines, f"API prices, {ratio} in/out", "USD per million tokens", caption)


def _day(option: str, text: str | None, today: date) -> date | None:
    from bench.errors import InputError

    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option}: {text!r} is no day; write YYYY-MM-DD") from None
    if found > today:
        raise InputError(f"{option}: {found} is in the future; the last day that has prices is today, {today}")
    return found


def _line(name: str, ratio: "Blend", start: date | None, end: date | None) -> "Line":
    """The line of one argument: a model, or models that followed each other."""
    from bench.cost import api_prices
    from bench.report import trend

    histories = [(model, api_prices.history(model)) for model in (part.strip() for part in name.split(">"))]
    return trend.line(" > ".join(model for model, _ in histories), histories, ratio, start, end)


def _matching_lines(pattern: str, ratio: "Blend", start: date | None, end: date | None) -> tuple[list["Line"], str]:
    """A line for each model that matches, the oldest first, and a note on those that are not drawn. A pattern says of
    no model that it followed another."""
    from bench.errors import InputError

    if ">" in pattern:
        raise InputError(f"{pattern!r}: a succession names its models; write them out, without *")
    names, found = _matching(pattern), []
    why = ""
    for name in names:
        try:
            found.append(_line(name, ratio, start, end))
        except InputError as error:
            why = why or error.lines[0]  # no dated price, or none in the window
    if not found:
        raise InputError(why if len(names) == 1 else f"{pattern}: none of {len(names)} models can be drawn: {why}")
    found.sort(key=lambda line: (line.points[0].day, line.name))
    kept = found[:MAX_LINES]
    drawn = {line.name for line in kept}
    hidden = [name for name in names if name not in drawn]
    return kept, f"{pattern}: not drawn: {', '.join(hidden)}." if hidden else ""


def _matching(pattern: str) -> list[str]:
    """The names that a pattern stands for. Raises InputError where there is none."""
    from fnmatch import fnmatchcase

    from bench.cost import api_prices
    from bench.cost.apis import observed, timeline
    from bench.errors import InputError, nearest

    provider, slash, rest = pattern.partition("/")
    if not slash or "*" in provider:
        raise InputError(f"{pattern!r}: a pattern names one provider, such as openai/gpt-4*")
    dated = {model for owner, model in observed.models() | timeline.models() if owner == provider}
    known = dated | set(api_prices.models(provider))
    found = sorted(f"{provider}/{model}" for model in known if fnmatchcase(model, rest))
    if not found:
        raise InputError(f"no model of {provider} matches {rest!r}; {nearest(rest.replace('*', ''), known)}")
    return found
