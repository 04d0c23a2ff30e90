"""Charts as files, and the library that draws them in the page."""

import json
from dataclasses import replace
from pathlib import Path
from xml.dom import minidom

import pytest

from bench.page import vega
from bench.page.charts import charts, draw
from bench.page.charts.look import DARK, LIGHT, PALETTE, SHAPES
from tests.entries_samples import entry, report
from tests.test_charts import IDS, chart_of, varied

AT_ONCE = ("cost-by-precision", "cost-load", "memory")
"""Drawn by the quick suite; the browser draws them all."""


def test_hostile_names_stay_text_in_files() -> None:
    hostile = replace(entry(), model="=cmd|'/c calc'!A1 <script>alert(1)</script>\n\u202e" + "x" * 10_000)
    made = charts(report([hostile]))
    drawn = draw.svg(chart_of(made, "cost-by-precision"))
    assert "<script" not in drawn
    assert "&lt;script" in drawn
    assert minidom.parseString(drawn).documentElement is not None  # noqa: S318  our own text
    assert "'=cmd" in draw.csv_text(chart_of(made, "cost-by-precision"))


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in AT_ONCE else pytest.mark.slow) for one in IDS])
def test_every_chart_becomes_a_file(name: str) -> None:
    found = chart_of(charts(varied()), name)
    json.dumps([found.spec, found.points], allow_nan=False)
    drawn = draw.svg(found)
    document = minidom.parseString(drawn).documentElement  # noqa: S318
    assert document is not None
    assert document.getAttribute("role") == "img"
    assert document.getElementsByTagName("desc")[0].firstChild is not None
    assert "var(--" not in drawn
    assert "NaN" not in drawn
    assert found.title in drawn


def test_a_picture_is_twice_as_wide_and_dark_where_it_is_asked_for() -> None:
    found = chart_of(charts(report([entry()])), "memory")
    picture = draw.png(found, dark=True)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(picture[16:20], "big") >= 2 * draw.WIDTH
    assert DARK["surface"] in draw.svg(found, dark=True)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_their_surface(theme: dict[str, str]) -> None:
    """WCAG 2: 3 to 1 for marks, 4.5 to 1 for text."""
    surface = _luminance(theme["surface"])
    for name, least in [*((str(number), 3.0) for number in range(1, 9)), ("ink", 4.5), ("muted", 3.0)]:
        pair = sorted((_luminance(theme[name]), surface))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, name
    assert len(PALETTE) == len(SHAPES) == 8


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    import vl_convert

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda snippet: f"const library = 1;{snippet}")
    return tmp_path


def test_the_library_is_bundled_once(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    first = vega.bundle.__wrapped__()
    assert first.startswith("(function(){")
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _: pytest.fail("it was in the cache"))
    assert vega.bundle.__wrapped__() == first
    assert len(list(cached.iterdir())) == 1


def test_a_damaged_cache_costs_time_only(cached: Path) -> None:
    first = vega.bundle.__wrapped__()
    (kept,) = cached.iterdir()
    for damage in (kept.read_bytes()[:-9], b"\xff\xfe", b"", b"// 0\nalert(1)"):
        kept.write_bytes(damage)
        assert vega.bundle.__wrapped__() == first


def test_a_cache_that_cannot_be_written_is_done_without(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cached / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(cached / "file" / "folder"))
    assert "library = 1" in vega.bundle.__wrapped__()


def test_a_library_that_would_end_its_script_is_refused(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _: "'</SCRIPT>'")
    with pytest.raises(RuntimeError, match="would end the script"):
        vega.bundle.__wrapped__()


def test_the_licence_goes_along() -> None:
    text = vega.licence()
    for part in (
        "Vega-Lite",
        "Vega-Embed",
        "University of Washington Interactive Data Lab",
        "Redistributions in binary",
    ):
        assert part in text
