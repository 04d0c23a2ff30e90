"""A report as one page of HTML that needs nothing else: no network, no other file, nothing installed."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

import bench
from bench.entries.entry import Report
from bench.page import appendix, columns, first_rows, key_figures, payload
from bench.page.charts import charts
from bench.page.charts.chart import Chart
from bench.page.charts.look import css as chart_colours
from bench.page.places import Place, for_page
from bench.page.shown import cut, visible
from bench.page.vega import bundle, licence
from bench.report.rows import collector_off

HERE = Path(__file__).parent
SCRIPTS = (
    *("dollars", "headline", "numbers", "payload", "chart_rows", "chart_points", "charts", "dom"),
    *("columns", "details", "keyfigures", "table", "controls", "figures", "page"),
)
"""In the order in which they stand in the page: each is a constant, and the last one starts it all."""
POINT_DIGITS = 5
THEME = (
    'try{const chosen=localStorage.getItem("bench-theme");'
    'if(chosen==="light"||chosen==="dark")document.documentElement.dataset.theme=chosen}catch{}'
)
"""Before anything is painted, so that no light page flashes in a dark room. Storage may be forbidden."""


def write(report: Report, path: Path, *, leaderboard: bool = False) -> None:
    """The page into a file, UTF-8."""
    path.write_text(render(report, leaderboard=leaderboard), encoding="utf-8", errors="replace", newline="\n")


@collector_off()
def render(
    report: Report, *, leaderboard: bool = False, places: Sequence[Place | None] = (), ranked: str = "usd_per_mtok"
) -> str:
    """The page as text. `leaderboard`: machines are compared, so theirs is the first column; `places`: one for each
    row, in their order; `ranked`: the column that they are by."""
    drawn = charts(report)
    program = _script(_program())
    theme = _script(THEME)
    vega = _script(bundle()) if drawn else ""
    heads, lines = first_rows.table(report.entries, leaderboard)
    commands = appendix.commands(report.entries)
    lead, caveats = _split(visible(report.headline) or _nothing(report))
    made: str = (
        _template()
        .get_template("page.html.j2")
        .render(
            report=report,
            title=cut(visible(report.title)),
            lead=lead,
            caveats=caveats,
            leaderboard=leaderboard,
            policy=_policy([one for one in (program, theme, vega) if one]),
            style=Markup(_style()),  # noqa: S704  our own files
            theme=Markup(theme),  # noqa: S704
            program=Markup(program),  # noqa: S704
            vega=Markup(vega),  # noqa: S704
            payload=Markup(payload.safe_json(_payload(report, leaderboard, places, ranked))),  # noqa: S704  made safe there
            charts=drawn,
            charts_data=Markup(payload.safe_json([_chart(one) for one in drawn])),  # noqa: S704
            keys=_keys(report, leaderboard and ranked != "usd_per_mtok"),
            sets=columns.SETS,
            heads=heads,
            lines=lines,
            first=first_rows.FIRST,
            machines=appendix.machines(report),
            hourly=appendix.hourly_sources(report.entries),
            apis=appendix.api_sources(report.entries),
            notes=appendix.notes(report),
            runs=[visible(one) for one in report.runs],
            warnings=[visible(one) for one in report.warnings],
            definitions=appendix.DEFINITIONS,
            commands=commands[: appendix.FIRST_COMMANDS],
            all_commands=len(commands),
            licence=licence() if drawn else "",
            version=bench.__version__,
            made=datetime.now(UTC).date().isoformat(),
        )
    )
    return made


def _keys(report: Report, counts_alone: bool) -> list[key_figures.Key]:
    """A leaderboard that is not by dollars has other rows than the cheapest: its strip names none."""
    found = key_figures.of(report.entries)
    return found[-1:] if counts_alone else found


def _split(headline: str) -> tuple[str, str]:
    """What is for large type, up to the end of the first sentence with dollars in it, and the rest.
    `bench/page/static/page.js` does the same.

    >>> _split("No load is good. It costs $0.1. An API asks $1.")
    ('No load is good. It costs $0.1.', 'An API asks $1.')
    """
    end = headline.find(". ", max(headline.find("$"), 0))
    return (headline, "") if end < 0 else (headline[: end + 1], headline[end + 2 :])


def _nothing(report: Report) -> str:
    return "No row has a price." if report.entries else "Nothing was measured: there are no rows."


def _payload(report: Report, leaderboard: bool, places: Sequence[Place | None], ranked: str) -> dict[str, Any]:
    return {
        "count": len(report.entries),
        "rows": payload.rows(report.entries),
        "headline": report.headline,
        "runs": list(report.runs),
        "options": report.options,
        "columns": [
            {"id": one.id, "heading": one.heading, "unit": one.unit, "meaning": one.meaning, "sets": one.sets}
            | {"numeric": one.numeric}
            for one in columns.ordered(leaderboard)
        ],
        "sets": list(columns.SETS.items()),
        "notes": [
            {"text": note.text, "about": about}
            for note, about in zip(report.notes, appendix.notes_about(report), strict=True)
        ],
        "leaderboard": leaderboard,
        "places": for_page(places),
        "ranked": ranked,
    }


def _chart(one: Chart) -> dict[str, Any]:
    """A chart for the browser; its points are packed as the rows are."""
    return {
        "id": one.id,
        "title": one.title,
        "alt": one.alt,
        "spec": one.spec,
        "csv_columns": one.csv_columns,
        "follows": one.follows,
        "count": len(one.points),
        "packed": payload.pack(one.points, POINT_DIGITS),
    }


@cache
def _program() -> str:
    return "\n".join((HERE / "static" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _style() -> str:
    return chart_colours() + (HERE / "static" / "page.css").read_text(encoding="utf-8")


@cache
def _script(text: str) -> str:
    """A program that can stand in a <script> element: what would end it, or begin a comment, is escaped.

    Its lines end as a browser reads them, or the hash of the policy would be another's.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Nothing may be fetched; of scripts only these run, by their hash. Charts set styles of their own."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE / "templates", encoding="utf-8")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
