"""The page in a real browser: controls move, dollars follow, and every reader gets at them."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from playwright.sync_api import Browser, Page

from bench.entries import mixed
from bench.entries.entry import Entry, Note, Origin
from bench.entries.plain import as_plain
from bench.entries.priced import Asked
from bench.metrics.verdict import Reason
from bench.page import document, payload
from bench.page.columns import COLUMNS
from bench.page.key_figures import break_even_text
from bench.page.places import Place
from bench.report.table import number, percent, spread, width
from tests.browser import Seen, chromium, context, seen, violations
from tests.entries_samples import HOSTILE, entry, failed, many, report

__all__ = ["chromium", "seen"]  # fixtures

DOUBT = Reason("busy", "other work ran", "stop it and run again")
ODD = (
    entry(key="hostile", model=HOSTILE, precision=HOSTILE, hardware="Other GPU", machine="machine9"),
    entry(key="long", model="x" * 10_000, verdict=(DOUBT,), seconds=1500.0),
    entry(
        key="imported", kind="imported", origin=Origin("GuideLLM", file="a.json", remarks=("tokens are assumed",)),
        priced=None, no_dollars_because="nobody knows the hour's price",
    ),
)  # fmt: skip
ENTRIES = (*many(120).entries, *ODD)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without charts, which take longer to load than all the rest; they have a test of their own."""
    made = tmp_path_factory.mktemp("page") / "report.html"
    with patch.object(document, "charts", lambda _: []):
        document.write(report(ENTRIES, notes=(Note("about two", about=("hostile", "long")), Note("about all"))), made)
    return made


@pytest.fixture
def page(seen: Seen, path: Path) -> Iterator[Page]:
    """The report, open; whatever it complained of or asked for is a failure of any test."""
    yield seen.open(path)
    assert seen.complaints == []
    assert seen.requests == []


def cells(page: Page, column: str) -> dict[int, str]:
    """Row numbers of the rows shown → the text of a column, in order."""
    script = """column => [...document.querySelectorAll("#body tr.row")].map(row =>
        [Number(row.dataset.row), row.querySelector(`td[data-column="${column}"]`).innerText])"""
    return {int(row): re.sub(r"\s+", " ", text) for row, text in page.evaluate(script, column)}


def wait_for_rows(page: Page, text: str) -> None:
    """Filters wait for the fingers to rest."""
    page.locator("#row-count", has_text=re.compile(f"^{text}")).wait_for()


def chosen(entry_: Entry, asked: Asked) -> dict[str, str]:
    """What the table has to say of an entry against openai/gpt-5-mini."""
    assert entry_.priced is not None
    api = next(one for one in entry_.priced.apis if one.api == "openai/gpt-5-mini")
    usd, ratio = mixed.usd_per_mtok(entry_.priced, asked), mixed.ratio(entry_.priced, api, asked)
    assert usd is not None
    assert ratio is not None
    return {
        "usd_per_mtok": number(usd.value) + spread(usd),
        "ratio": f"{number(ratio.value)}×{spread(ratio)}",
        "break_even": break_even_text(mixed.break_even(entry_.priced, api, asked)),
    }


def test_controls_move_and_dollars_follow(page: Page) -> None:
    page.fill("#price", "0.4")
    page.fill("#use", "40")
    page.select_option("#mix", "3:1")
    page.select_option("#api", "openai/gpt-5-mini")
    asked = Asked(usd_per_hour=0.4, utilisation=0.4, mix=(3, 1))
    for column in ("usd_per_mtok", "ratio", "break_even"):
        shown = cells(page, column)
        assert len(shown) == 100
        for row, text in shown.items():
            assert text == chosen(ENTRIES[row - 1], asked)[column]
    assert "gpt-5-mini" in page.inner_text("section.answer")
    assert "40% utilisation" in page.inner_text("#key-break-even")
    best = min(float(text.split()[0]) for text in cells(page, "usd_per_mtok").values())
    assert float(page.inner_text("#key-cheapest .key-value").removeprefix("$")) == best
    command = "--usd-per-hour 0.4 --utilisation 0.4 --blend 3:1 --api openai/gpt-5-mini"
    assert page.inner_text("#command") == f"bench report results/local/quickstart {command}"
    link = page.evaluate("location.hash")
    page.click("#reset")
    assert page.evaluate("location.hash") == ""
    page.evaluate("link => { location.hash = link; }", link)
    page.wait_for_selector("#command:has-text('0.4')")
    assert (page.input_value("#price"), page.input_value("#use")) == ("0.4", "40")
    assert cells(page, "usd_per_mtok")


def test_the_command_keeps_the_options_of_the_page_that_no_control_stands_for(seen: Seen, tmp_path: Path) -> None:
    given = (("--provider", "a b"), ("--as-of", "2026-11-01"), ("--attribution", "ratio:7"), ("--all-cells", ""))
    made = tmp_path / "report.html"
    with patch.object(document, "charts", lambda _: []):
        document.write(report(ENTRIES[:2], options=(*given, ("--blend", "3:1"))), made)
    page = seen.open(made)
    kept = "bench report results/local/quickstart --provider 'a b' --as-of 2026-11-01 --attribution ratio:7 --all-cells"
    assert page.inner_text("#command") == f"{kept} --blend 3:1"
    page.fill("#price", "0.4")
    page.select_option("#mix", "10:1")
    kept = kept.replace(" --provider 'a b'", "")
    assert page.inner_text("#command") == f"{kept} --usd-per-hour 0.4 --blend 10:1"


def test_a_price_is_of_one_machine_where_that_is_asked(page: Page) -> None:
    before = cells(page, "usd_per_mtok")
    page.select_option("#price-machine", "machine1")
    page.fill("#price", "10")
    page.select_option("#by-machine", "Sample CPU 2")
    after = cells(page, "usd_per_mtok")
    assert after
    assert all(before.get(row, text) == text for row, text in after.items())
    assert "only that of" in page.inner_text("#command-note")


def test_what_is_no_value_is_said_beside_the_field(page: Page) -> None:
    page.fill("#use", "40")
    good = cells(page, "usd_per_mtok")
    for field, value in (("use", "140"), ("price", "-1")):
        page.fill(f"#{field}", value)
        assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
        described = page.get_attribute(f"#{field}", "aria-describedby")
        assert page.inner_text(f"#{described}")
    page.select_option("#mix", "custom")
    page.fill("#mix-custom", "3:x")
    assert "such as 3:1" in page.inner_text("#mix-custom-error")
    assert cells(page, "usd_per_mtok") == good
    page.fill("#mix-custom", "5:1")
    assert page.inner_text("#mix-custom-error") == ""
    assert cells(page, "usd_per_mtok") != good


def test_rows_are_sorted_filtered_and_paged(page: Page) -> None:
    assert page.get_attribute("#head th[data-column=usd_per_mtok]", "aria-sort") == "ascending"
    values = [float(text.split()[0]) for text in cells(page, "usd_per_mtok").values()]
    assert values == sorted(values)
    page.click("#head [data-column=usd_per_mtok] button")
    downwards = [text.split()[0] for text in cells(page, "usd_per_mtok").values()]
    assert [float(text) for text in downwards] == sorted(map(float, downwards), reverse=True)  # failures stay last
    page.focus("#head [data-column=precision] button")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.get_attribute("#head th[data-column=precision]", "aria-sort") == "descending"
    assert page.evaluate("document.activeElement.dataset.column") == "precision"
    page.click("#page-on")
    assert page.inner_text("#row-count") == "123 rows, 101–123 shown"
    page.fill("#find", "int4 MODEL-1")
    wait_for_rows(page, "10 of 123")
    assert set(cells(page, "precision").values()) == {"hqq-int4"}
    page.fill("#find", "nowhere")
    page.wait_for_selector(".nothing")
    page.click("#clear-filters")
    page.select_option("#by-verdict", "failed or without meaning")
    assert page.inner_text("#row-count") == "6 of 123 rows"
    assert set(cells(page, "usd_per_mtok").values()) == {"oom"}


def test_details_hold_reasons_and_every_figure(page: Page) -> None:
    page.select_option("#by-verdict", "busy")
    assert not page.is_visible(".detail")
    page.focus(".toggle")
    page.keyboard.press("Enter")
    text = page.inner_text(".detail")
    assert page.get_attribute(".toggle", "aria-expanded") == "true"
    for part in ("other work ran", "stop it and run again", "95 % interval", "Decode", "bench run configs"):
        assert part in text
    assert "x" * 10_000 in text
    assert len(page.inner_text(".model bdi >> nth=0")) < 80
    page.keyboard.press("Enter")
    assert not page.is_visible(".detail")


def test_columns_and_csv(page: Page) -> None:
    page.select_option("#columns", "all")
    assert page.locator("#head th").count() > 25
    page.select_option("#columns", "dollars")
    page.fill("#find", "alert")
    wait_for_rows(page, "1 of")
    with page.expect_download() as download:
        page.click("#rows-csv")
    (line,) = csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
    assert line["model"] == HOSTILE
    of = ENTRIES[120].priced
    usd = None if of is None else mixed.usd_per_mtok(of, Asked())
    assert usd is not None
    assert float(line["usd_per_mtok_high"]) == pytest.approx(usd.high, rel=1e-8)
    assert page.evaluate("Dom.csv([['=1+1', '-x', 'a\"b', -1, null]])") == '\'=1+1,\'-x,"a""b",-1,\n'


def test_hostile_text_is_shown_as_text(page: Page) -> None:
    page.fill("#find", "evil")
    wait_for_rows(page, "1 of")
    page.click(".toggle")
    shown = page.inner_text("#body")
    assert '<script>alert("x")</script>␊=cmd' in shown
    assert "⟨U+202E⟩evil" in shown
    assert "\u202e" not in page.evaluate("document.body.innerText")


def test_what_all_rows_share_stands_above_the_table_and_in_csv(seen: Seen, tmp_path: Path) -> None:
    with patch.object(document, "charts", lambda _: []):
        document.write(report([entry(key=one, precision=one) for one in ("bf16", "nf4")]), tmp_path / "page.html")
    page = seen.open(tmp_path / "page.html")
    shared = page.inner_text("#shared")
    assert shared == "In every row: smollm2-135m · transformers · Sample CPU, 4 CPUs · 128 in, 64 out"
    assert page.locator("#head [data-column=model]").count() == 0
    assert page.inner_text("#body tr.row >> nth=0 >> th").endswith("bf16")
    assert page.evaluate("document.getElementById('rows').scrollWidth <= document.getElementById('rows').clientWidth")
    with page.expect_download() as download:
        page.click("#rows-csv")
    head = Path(download.value.path()).read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("number,model,precision,machine,workload,verdict,usd_per_mtok")
    page.select_option("#columns", "all")
    assert not page.is_visible("#shared")
    assert page.locator("#head [data-column=model]").count() == 2  # the heading and its button


def test_a_leaderboard_says_what_its_places_are(seen: Seen, tmp_path: Path) -> None:
    entries = [entry(key=str(one), machine=f"m{one}", hardware=f"GPU {one}") for one in range(3)]
    places = [Place(1, "static batches", "1="), Place(1, "static batches", "1="), Place(2, "under load", "1")]
    with patch.object(document, "charts", lambda _: []):
        text = document.render(report(entries, headline="Best: $1."), leaderboard=True, places=places)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page = seen.open(tmp_path / "page.html")
    assert page.locator("#body .group").all_inner_texts() == ["Group 1 static batches", "Group 2 under load"]
    assert list(cells(page, "place").values()) == ["1=", "1=", "1"]
    assert not page.is_visible("#as-ranked")
    page.fill("#price", "7")
    page.wait_for_selector("#as-ranked")
    assert page.inner_text("#answer") == "Best: $1."
    assert "as it was ranked" in page.inner_text("#caveats")
    page.click("#head [data-column=usd_per_mtok] button")
    assert page.locator("#body .group").count() == 0
    assert list(cells(page, "place").values()) == ["1= in group 1", "1= in group 1", "1 in group 2"]
    assert violations(page) == []


def test_what_is_not_drawn_when_paper_is_asked_for_is_a_table(seen: Seen, tmp_path: Path) -> None:
    document.write(many(6), tmp_path / "page.html")
    page = seen.open(tmp_path / "page.html")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    undrawn = page.locator("figure.undrawn")
    assert undrawn.count() > 0
    assert undrawn.first.locator(".points td").first.is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert undrawn.count() == 0


def test_origin_notes_and_why_there_are_no_dollars(page: Page) -> None:
    page.fill("#find", "guidellm")
    wait_for_rows(page, "1 of")
    assert "from GuideLLM" in page.inner_text(".model")
    assert "nobody knows the hour's price" in cells(page, "usd_per_mtok")[123]
    page.click("#clear-filters")
    page.click("[data-note='0']")
    assert sorted(cells(page, "usd_per_mtok")) == [121, 122]
    page.click("#all-rows")
    assert page.inner_text("#row-count").startswith("123 rows")


def test_charts_are_drawn_and_follow(seen: Seen, tmp_path: Path) -> None:
    document.write(many(24), tmp_path / "page.html")
    page = seen.open(tmp_path / "page.html")
    figure = page.locator("figure.chart[data-follows]").first
    figure.scroll_into_view_if_needed()
    figure.locator(".drawing svg").wait_for()
    figure.locator("summary").click()
    figure.locator(".points td").first.wait_for()
    before = figure.locator(".points").inner_text()
    assert "points" in before.splitlines()[0]
    page.fill("#price", "7")
    figure.locator(".points td", has_text=re.compile(r"^7\.|^\d\d")).first.wait_for()
    assert figure.locator(".points").inner_text() != before
    with page.expect_download() as download:
        figure.locator(".chart-csv").click()
    assert len(Path(download.value.path()).read_text(encoding="utf-8").splitlines()) > 10
    assert seen.complaints == []
    assert seen.requests == []


def test_scripts_say_what_python_says(page: Page) -> None:
    numbers = [0.0, 1234.5, 1235.5, 0.012345, 21.06, 99.95, 0.125, 2.5, 1e-14, 999.5, 1e6, 3.0e22, 12.5, 62.5]
    assert page.evaluate("values => values.map(one => Numbers.number(one))", numbers) == [
        number(one) for one in numbers
    ]
    shares = [0.004, 0.633, 0.996, 1.0, 0.125, 1.6]
    assert page.evaluate("values => values.map(Numbers.percent)", shares) == [percent(one) for one in shares]
    halves = [0.0512, 0.004, 0.125, 0.0095, 9.994, 9.995, 35.2, 1e9, 0.0049]
    assert page.evaluate("values => values.map(Numbers.width)", halves) == [width(one) for one in halves]
    rows = page.evaluate("Payload.unpack(Payload.read('payload').rows, Payload.read('payload').count)")
    for row, one in zip(rows, ENTRIES, strict=True):
        plain = payload.rounded(as_plain(one))
        for each in plain["distributions"].values():
            each["values_s"] = []
        assert row == plain
    keys = "node => Object.keys(Payload.unpack(node, 1)[0])"
    assert page.evaluate(keys, payload.pack([{"__proto__": {"a": 1}, "b": 2}])) == ["__proto__", "b"]
    ids = [one.id for one in COLUMNS]
    script = """ids => {
        const [row] = Payload.unpack(Payload.read("payload").rows, 123);
        return ids.map(id => Columns.cell(id, row, Controls.state()).values.length);
    }"""
    assert len(page.evaluate(script, ids)) == len(ids)


def test_a_keyboard_reaches_everything_first_the_way_past(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") in ("price", "reset")


@pytest.mark.parametrize(
    ("dark", "phone"),
    [
        (False, False),
        (True, True),
        pytest.param(True, False, marks=pytest.mark.slow),
        pytest.param(False, True, marks=pytest.mark.slow),
    ],
    ids=["light-desktop", "dark-phone", "dark-desktop", "light-phone"],
)
def test_axe_finds_nothing_serious(chromium: Browser, tmp_path: Path, dark: bool, phone: bool) -> None:
    made = tmp_path / "page.html"
    document.write(report([entry(), *ODD[1:], failed()], notes=(Note("one", about=("long",)),)), made)
    window = context(chromium, dark, phone)
    page = Seen(window.new_page()).open(made)
    page.locator(".toggle").nth(1).click()
    page.fill("#use", "140")
    for place in ("figure details", "#small-print details"):
        page.locator(place).first.evaluate("one => { one.open = true; }")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    window.close()


@pytest.mark.parametrize("entries", [[], [failed()], [entry()]], ids=["none", "only failures", "one"])
def test_few_rows_open_without_complaint(seen: Seen, tmp_path: Path, entries: list[Entry]) -> None:
    document.write(report(entries, headline="So it is."), tmp_path / "page.html")
    page = seen.open(tmp_path / "page.html")
    assert page.inner_text("#answer") == "So it is."
    assert page.locator("#body tr.row").count() == len(entries)
    assert seen.complaints == []
    assert seen.requests == []


def test_paper_has_reasons_and_no_controls(page: Page) -> None:
    page.fill("#use", "40")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.is_visible(".detail.has-reasons .reasons")
    assert not page.is_visible("#what-if")
    assert "40% utilisation" in page.inner_text("#state-in-words")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
