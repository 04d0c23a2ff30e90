"""Charts in a browser: the same points as in Python, drawn under a strict policy, on a phone, in the dark, for all."""

import html
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from bench.entries.entry import Quality, Report
from bench.entries.plain import as_plain
from bench.entries.priced import Asked
from bench.page import vega
from bench.page.charts import Chart, charts
from bench.page.charts.look import DARK, LIGHT, css
from tests.browser import Seen, violations
from tests.entries_samples import HOSTILE, api, entry, many, priced, report
from tests.test_charts import varied

STATIC = Path(vega.__file__).parent / "static"
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
"""As the page's: no network, and no evaluation of texts, which Vega does by default."""

ASKED = (
    (Asked(), None),
    (Asked(usd_per_hour=2.5), None),
    (Asked(utilisation=0.3, mix=(3.0, 1.0)), "openai/gpt-5-mini"),
    (Asked(usd_per_hour=0.001, utilisation=0.02, mix=(1.0, 9.0)), "an API that nobody has"),
)


def page_of(folder: Path, name: str = "charts.html") -> Path:
    """A page with the scripts that charts need, and nothing else."""
    scripts = ("dollars", "chart_rows", "chart_points", "charts", "dom")
    ours = "\n".join((STATIC / f"{one}.js").read_text(encoding="utf-8") for one in scripts)
    style = f"{css()} body {{ background: var(--chart-surface); color: var(--chart-ink); margin: 16px }}"
    path = folder / name
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>charts</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}"><style>{style}</style></head>'
        f"<body><main><h1>Charts</h1></main><script>{vega.bundle()}</script><script>{ours}</script></body></html>",
        encoding="utf-8",
    )
    return path


def points_in_browser(page: Page, of: Report, name: str, asked: Asked, api: str | None) -> Any:
    state = {"usd_per_hour": asked.usd_per_hour, "utilisation": asked.utilisation, "mix": asked.mix}
    rows = json.dumps([as_plain(one) for one in of.entries])  # a text: Playwright takes long over many objects
    script = "([id, rows, state]) => JSON.stringify(Charts.points(id, JSON.parse(rows), state))"
    return json.loads(page.evaluate(script, [name, rows, {**state, "api": api}]))


def draw_all(page: Page, made: list[Chart]) -> None:
    page.evaluate(
        """async (charts) => {
            // What a debugger evaluates may evaluate texts whatever the policy says; what a timer runs may not.
            await new Promise((then) => setTimeout(then));
            window.views = {};
            for (const chart of charts) {
                const place = document.createElement("div");
                place.id = chart.id;
                document.querySelector("main").append(place);
                window.views[chart.id] = await Charts.draw(place, chart, "light");
            }
        }""",
        [
            {
                "id": one.id,
                "title": one.title,
                "alt": one.alt,
                "spec": one.spec,
                "points": one.points,
                "follows": one.follows,
            }
            for one in made
        ],
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("page"))


def _approx(value: Any) -> Any:
    """Sums in another order differ in the last digit."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9)
    return {key: _approx(one) for key, one in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("of", [varied(), many(120)], ids=["varied", "many"])
def test_the_browser_makes_the_same_points(seen: Seen, path: Path, of: Report) -> None:
    page = seen.open(path)
    for asked, chosen in ASKED:
        followers = [one for one in charts(of, asked, chosen) if one.follows]
        assert len(followers) >= 4
        for one in followers:
            found = points_in_browser(page, of, one.id, asked, chosen)
            assert found == [_approx(point) for point in one.points], (one.id, asked)
    assert seen.complaints == []


def test_the_chosen_api_is_drawn_however_many_are_cheaper(seen: Seen, path: Path) -> None:
    apis = tuple(api(f"a/{number}", 0.05 * number, 0.1 * number) for number in range(1, 10))
    of = report([entry(key=str(k), batch_size=k, priced=priced(5000.0 * k, apis=apis)) for k in (1, 2)])
    page = seen.open(path)
    for one in charts(of, Asked(), "a/9"):
        if one.id in ("cost-by-precision", "break-even"):
            assert "a/9" in [point.get("api") for point in one.points]
            found = points_in_browser(page, of, one.id, Asked(), "a/9")
            assert found == [_approx(point) for point in one.points]


def test_names_are_cut_and_made_visible_alike(seen: Seen, path: Path) -> None:
    hostile = [
        entry(key=str(k), model=HOSTILE + "é\u2028\U0001f600" * 50, precision=f"\ud800{k}", arm=k, quality=Quality())
        for k in range(1, 12)
    ]
    page = seen.open(path)
    (want,) = [one for one in charts(report(hostile)) if one.id == "cost-by-precision"]
    assert points_in_browser(page, report(hostile), want.id, Asked(), None) == [_approx(one) for one in want.points]


def test_charts_that_do_not_follow_have_no_points_of_their_own(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    assert page.evaluate("['memory', 'constructor'].map((id) => Charts.points(id, [], {}))") == [None, None]


def test_all_are_drawn_without_network_evaluation_or_complaint_and_fit_a_phone(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    refused = "() => { try { Function('return 1')() } catch (error) { return error.name } }"
    assert page.evaluate(f"() => new Promise((then) => setTimeout(() => then(({refused})())))") == "EvalError"
    made = charts(varied())
    draw_all(page, made)
    assert page.locator("svg").count() == len(made)
    page.set_viewport_size({"width": 360, "height": 760})
    page.wait_for_function("document.documentElement.scrollWidth <= 360")
    page.wait_for_function(
        "[...document.querySelectorAll('svg')].every((one) => Number(one.getAttribute('width')) <= 328)"
    )
    found = page.evaluate(
        """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter((one) => one.textContent).map((one) => {
                const box = one.getBoundingClientRect();
                const size = parseFloat(getComputedStyle(one).fontSize);
                return [one.textContent, size, box.left - frame.left, frame.right - box.right];
            });
        })"""
    )
    assert len(found) > 100
    for text, size, left, right in found:
        assert size >= 11, text
        assert left >= -1, (text, left)
        assert right >= -1, (text, right)
    assert violations(page) == []
    assert seen.complaints == []
    assert seen.requests == []


def test_a_move_of_the_controls_moves_the_marks(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    of = varied()
    draw_all(page, [one for one in charts(of) if one.follows])
    before = page.inner_html("#break-even svg")
    for one in charts(of, Asked(usd_per_hour=9.0)):
        if one.follows:
            page.evaluate("async ([id, points]) => { await Charts.update(views[id], points) }", [one.id, one.points])
            drawn = page.evaluate("(id) => views[id].data('points').map((one) => one.usd_per_mtok)", one.id)
            assert drawn == [point["usd_per_mtok"] for point in one.points]
    assert page.inner_html("#break-even svg") != before
    assert seen.complaints == []


def test_colours_follow_the_theme_without_drawing_again(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    draw_all(page, [one for one in charts(varied()) if one.id == "memory"])
    colours = "[...document.querySelectorAll('#memory svg text')].map((one) => getComputedStyle(one).fill)"

    def rgb(colour: str) -> str:
        return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"

    for theme, chosen in ((LIGHT, "light"), (DARK, "dark")):
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", chosen)
        assert set(page.evaluate(colours)) == {rgb(theme["ink"]), rgb(theme["surface"])}
    page.emulate_media(media="print")
    assert set(page.evaluate(colours)) == {rgb(LIGHT["ink"]), rgb(LIGHT["surface"])}


def test_a_screen_reader_is_told_what_is_to_be_seen(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    (one,) = [one for one in charts(varied()) if one.id == "energy"]
    draw_all(page, [one])
    image = page.get_by_role("img", name=one.title)
    assert image.count() == 1
    assert (
        image.evaluate("(svg) => document.getElementById(svg.getAttribute('aria-describedby')).textContent") == one.alt
    )


def test_the_tip_shows_names_as_text(seen: Seen, path: Path) -> None:
    page = seen.open(path)
    hostile = report([entry(model="<img src=x onerror=alert(1)>", precision="<b>a</b>")])
    draw_all(page, [one for one in charts(hostile) if one.id == "cost-by-precision"])
    mark = page.locator("#cost-by-precision svg .mark-symbol.role-mark path").first
    mark.hover()
    tip = page.locator(".chart-tip")
    assert "<img src=x onerror=alert(1)> <b>a</b>" in tip.inner_text()
    assert tip.locator("img, b").count() == 0
    assert seen.complaints == []
