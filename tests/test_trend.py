"""`bench prices trend`: which price holds when, successions, yearly falls, drawings, and what a person gets wrong."""

import csv
import io
import json
import os
import pty
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.cost.apis.quote import Basis, Quote
from bench.cost.blend import Blend, parse
from bench.cost.tariff import Tariff, Tier
from bench.errors import InputError
from bench.report import trend, trend_chart, trend_text
from tests.commands import ROOT, bench, command

few = settings(deadline=None, max_examples=60)
START = date(2024, 1, 1)
EVEN = parse("1:1")
FLAGSHIPS = "openai/gpt-4>openai/gpt-4-turbo>openai/gpt-4o-2024-05-13>openai/gpt-4o-2024-08-06"

money = st.decimals("0.01", "1000", places=4)
parts = st.decimals("0.1", "1000", places=1)


def quote(
    price: str, first: int | None, last: int | None = None, basis: Basis = "observed", source: str = "one"
) -> Quote:
    """A price for input and output alike, from one day after the start to another."""
    tariff = Tariff((Tier(-1, Decimal(price), Decimal(price), Decimal(price)),))
    days = [None if number is None else START + timedelta(number) for number in (first, last)]
    return Quote(source, "lab", "model", tariff, basis, *days)


def steps(*quotes: Quote) -> list[tuple[int, str]]:
    return [((day - START).days, str(one.tariff.tiers[0].input)) for day, one in trend.in_force(quotes)]


def points(*prices: tuple[str, float]) -> tuple[trend.Point, ...]:
    return tuple(
        trend.Point(date.fromisoformat(day), "lab/m", usd, usd, usd, "source", "observed")
        for day, usd in ((day, Decimal(str(price))) for day, price in prices)
    )


# Blends


@given(parts, parts, money, money)
@few
def test_a_blend_is_the_weighted_mean(into: Decimal, out: Decimal, one: Decimal, other: Decimal) -> None:
    blend = Blend(into, out, "")
    exact = (Fraction(into) * Fraction(one) + Fraction(out) * Fraction(other)) / (Fraction(into) + Fraction(out))
    assert abs(Fraction(blend.of(one, other)) - exact) <= exact * Fraction(1, 10**26)
    assert blend.of(float(one), float(other)) == pytest.approx(float(exact), rel=1e-14)
    assert min(one, other) <= blend.of(one, other) * (1 + Decimal("1e-26"))


def test_blends_as_people_write_them() -> None:
    assert parse(" 3 : 1 ").of(Decimal(30), Decimal(60)) == Decimal("37.5")
    assert parse("50/50") == Blend(Decimal(50), Decimal(50), "50/50")
    assert str(parse("2.5:1")) == "2.5:1"
    for text in ("", "3", "3:", "0:1", "3:0", "-3:1", "nan:1", "inf/1", "1e3:1", "3:1:1", "three:one", "3,1", "٣:1"):
        with pytest.raises(InputError, match=r"--ratio: .* is no blend"):
            parse(text, "--ratio")


# Which price holds when


def test_a_change_is_shown_only_where_the_price_differs() -> None:
    assert steps(quote("5", 0, 10), quote("5", 20, 30), quote("4", 31, 40)) == [(0, "5"), (31, "4")]
    assert steps() == []
    assert steps(quote("5", None, None)) == []
    assert steps(quote("0", 0, 5), quote("3", 7, 9)) == [(7, "3")]


def test_a_better_source_is_believed_while_it_vouches() -> None:
    """A release still holds the old price for a few days, and holds it again; neither is a change."""
    documented = quote("1", 10, 50, "documented", "two")
    assert steps(quote("2", 0, 15), documented, quote("3", 30, 40)) == [(0, "2"), (10, "1")]
    assert steps(quote("2", 0, 100), documented) == [(0, "2"), (10, "1")]
    assert steps(documented, quote("3", 51, 60)) == [(10, "1"), (51, "3")]
    assert steps(quote("2", 10, 90), documented) == [(10, "1")]
    assert steps(quote("4", 20, 60, "recorded"), quote("3", 30, 40)) == [(20, "4")]
    assert steps(quote("4", 20, 60, "recorded"), quote("3", 30, 40, "documented")) == [(20, "4"), (30, "3")]


def test_a_price_without_a_first_day_counts_from_its_confirmation() -> None:
    assert steps(quote("2", 0, 15), quote("1", None, 40, "snapshot")) == [(0, "2"), (40, "1")]
    assert steps(quote("2", 0, 40), quote("1", None, 40, "snapshot")) == [(0, "2")]


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from("123"), st.integers(0, 60)), max_size=12))
@few
def test_steps_of_one_source_agree_with_looking_at_every_day(given: list[tuple[int, str, int]]) -> None:
    starts = {first: (price, first + length) for first, price, length in given}
    quotes = [quote(price, first, last) for first, (price, last) in starts.items()]
    found = steps(*quotes)
    days = [day for day, _ in found]
    assert days == sorted(set(days))
    assert all(one != other for (_, one), (_, other) in pairwise(found))
    for day in range(0, 300, 7):
        begun = [first for first in starts if first <= day]
        held = [price for first, price in found if first <= day]
        assert held[-1:] == ([starts[max(begun)][0]] if begun else [])


# Lines


def line(*histories: tuple[str, Sequence[Quote]], first: int | None = None, last: int | None = None) -> trend.Line:
    window = [None if number is None else START + timedelta(number) for number in (first, last)]
    return trend.line("line", histories, EVEN, *window)


def told(found: trend.Line) -> list[tuple[int, str, str]]:
    return [((one.day - START).days, one.name, str(one.blended_usd)) for one in found.points]


OLDER = ("lab/a", (quote("10", 0, 40), quote("8", 50, 200)))
NEWER = ("lab/b", (quote("4", 30, 60), quote("3", 100, 150)))


def test_the_newer_model_takes_over_on_its_first_day() -> None:
    found = line(OLDER, NEWER)
    assert told(found) == [(0, "lab/a", "10"), (30, "lab/b", "4"), (100, "lab/b", "3")]
    assert found.until == START + timedelta(150)
    for wrong in ((NEWER, OLDER), (OLDER, OLDER)):
        with pytest.raises(InputError, match="not known to begin later"):
            line(*wrong)
    with pytest.raises(InputError, match="lab/c: no dated price"):
        line(OLDER, ("lab/c", ()))


def test_a_window_begins_with_the_price_in_force() -> None:
    assert told(line(OLDER, NEWER, first=20, last=99)) == [(20, "lab/a", "10"), (30, "lab/b", "4")]
    assert told(line(OLDER, NEWER, first=30)) == [(30, "lab/b", "4"), (100, "lab/b", "3")]
    assert told(line(NEWER, first=0, last=40)) == [(30, "lab/b", "4")]
    assert line(NEWER, first=0, last=40).until == START + timedelta(40)
    assert told(line(NEWER, first=400)) == [(400, "lab/b", "3")]
    with pytest.raises(InputError, match="no price of line is known on or before 2024-01-30"):
        line(NEWER, last=29)


def test_drawn_lines_go_in_steps() -> None:
    found = line(NEWER).corners()
    assert [((day - START).days, int(price)) for day, price in found] == [(30, 4), (100, 4), (100, 3), (150, 3)]


# Falls


def test_the_claim_of_gpt_4() -> None:
    """36 to 4 dollars: 88.9 % in all, 78.8 % a year over 17 months, 79.2 % by days; other blends, other falls."""
    found = trend.fall(trend.Line("x", points(("2023-03-14", 36), ("2024-08-06", 4)), date(2024, 8, 6)))
    assert found.total == pytest.approx(1 - 4 / 36)
    assert found.yearly_by_months == pytest.approx(0.788, abs=5e-4)
    assert found.yearly_by_days == pytest.approx(0.792, abs=5e-4)
    for blend, share in (("3:1", 0.781), ("50/50", 0.752), ("1:999999999", 0.718)):
        before, after = parse(blend).of(30.0, 60.0), parse(blend).of(2.5, 10.0)
        assert trend.yearly_fall_by_months(before, after, 17) == pytest.approx(share, abs=5e-4)


def test_under_a_year_there_is_no_yearly_rate() -> None:
    short = trend.fall(trend.Line("x", points(("2024-01-01", 4), ("2024-12-30", 1)), date(2024, 12, 30)))
    assert (short.total, short.yearly_by_months, short.yearly_by_days) == (0.75, None, None)
    year = trend.fall(trend.Line("x", points(("2023-01-01", 4), ("2024-01-01", 1)), date(2024, 1, 1)))
    assert year.yearly_by_months == pytest.approx(0.75)
    flat = trend.fall(trend.Line("x", points(("2023-01-01", 4)), date(2025, 1, 1)))
    assert (flat.total, flat.yearly_by_months) == (0, None)


@given(st.floats(0.01, 0.99), st.floats(0.1, 10), st.floats(1, 120))
@few
def test_a_constant_yearly_fall_comes_back(yearly: float, years: float, months: float) -> None:
    assume((1 - yearly) ** years > 1e-12)
    after = 36 * (1 - yearly) ** years
    assert trend.yearly_fall_by_days(36, after, years * 365.25) == pytest.approx(yearly, rel=1e-9)
    assert trend.yearly_fall_by_months(36, after, years * 12) == pytest.approx(yearly, rel=1e-9)
    assert trend.total_fall(36, after) == pytest.approx(1 - (1 - yearly) ** years, rel=1e-9)
    assert trend.yearly_fall_by_months(2.0, 2.0, months) == 0


def test_changes_are_against_the_one_before_and_the_first() -> None:
    found = [
        (before, since)
        for _, before, since in trend.changes(points(("2024-01-01", 8), ("2024-02-01", 4), ("2024-03-01", 6)))
    ]
    assert found == [(None, None), (-0.5, -0.5), (0.5, -0.25)]


# The command


def output(*arguments: str | Path, columns: int = 160) -> str:
    done = bench("prices", "trend", *arguments, COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return str(done.stdout)


def test_the_line_of_flagships() -> None:
    text = output(FLAGSHIPS, "--to", "2025-06-01")
    rows = [line.split() for line in text.splitlines() if line.startswith("202")]
    assert [(row[0], row[1], *row[2:5]) for row in rows] == [
        ("2023-03-14", "openai/gpt-4", "30", "60", "36.0"),
        ("2023-11-30", "openai/gpt-4-turbo", "10", "30", "14.0"),
        ("2024-05-13", "openai/gpt-4o-2024-05-13", "5", "15", "7.00"),
        ("2024-08-06", "openai/gpt-4o-2024-08-06", "2.5", "10", "4.00"),
    ]
    assert [row[5] for row in rows] == ["–", "−61.1%", "−50.0%", "−42.9%"]
    flat = " ".join(text.split())
    assert "−88.9% in all, −78.8% a year by calendar months (−79.2% by days)" in flat
    assert "A succession swaps the product" in flat


def test_without_a_terminal_the_chart_is_plain() -> None:
    text = output("openai/gpt-4>openai/gpt-4o-2024-08-06", "groq/openai/gpt-oss-20b", columns=90)
    chart = text[: text.index("\ndate ")]
    assert chart.isascii()
    assert "logarithmic" in chart
    assert "  1 openai/gpt-4 > openai/gpt-4o-2024-08-06\n  2 groq/openai/gpt-oss-20b\n" in chart
    assert max(len(row) for row in chart.splitlines()) <= 90
    drawn = [row.partition("|")[2] for row in chart.splitlines() if " | " in row]
    assert any("1" in row for row in drawn)
    assert any("2" in row for row in drawn)
    assert "sources: " in text  # 90 columns are too few for a column of them
    assert "logarithmic" not in output("groq/openai/gpt-oss-20b")


def test_on_a_terminal_it_has_colours() -> None:
    parent, child = pty.openpty()
    words = command("prices", "trend", "groq/openai/gpt-oss-20b")
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        words, stdout=child, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT
    )
    os.close(child)
    seen = b""
    while True:
        try:
            got = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not got:
            break
        seen += got
    os.close(parent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"\x1b[38;5;25m" in seen
    assert "⠤" in seen.decode()


def test_table_csv_and_json_say_the_same() -> None:
    arguments = ("groq/openai/gpt-oss-20b", "--blend", "3:1", "--from", "2025-09-01")
    rows = list(csv.DictReader(io.StringIO(output(*arguments, "--format", "csv"))))
    found = json.loads(output(*arguments, "--format", "json"))
    assert found["blend"] == "3:1"
    (only,) = found["lines"]
    assert [row["date"] for row in rows] == ["2025-09-01", "2025-11-13"]
    assert [Decimal(row["blended_usd_per_mtok"]) for row in rows] == [Decimal("0.2"), Decimal("0.13125")]
    assert only["total_fall"] == pytest.approx(1 - 0.13125 / 0.2)
    assert only["yearly_fall_by_days"] is None
    for row, point in zip(rows, only["points"], strict=True):
        assert float(row["blended_usd_per_mtok"]) == point["blended_usd_per_mtok"]
        assert (row["date"], row["model"], row["source"]) == (point["date"], point["model"], point["source"])
        assert row["change"] == ("" if point["change"] is None else repr(point["change"]))


def test_a_pattern_is_a_line_for_each_model() -> None:
    """Nobody says that one of them followed another; so no line is of two, and a fall is of one model alone."""
    found = json.loads(output("openai/gpt-4o-2024-*", "--format", "json"))
    names = [one["name"] for one in found["lines"]]
    assert names[:2] == ["openai/gpt-4o-2024-05-13", "openai/gpt-4o-2024-08-06"]
    assert all({point["model"] for point in one["points"]} == {one["name"]} for one in found["lines"])


def test_a_pattern_of_many_draws_twelve_and_names_the_rest() -> None:
    found = json.loads(output("openai/gpt-4*", "--format", "json"))["lines"]
    assert len(found) == 12
    first_days = [one["points"][0]["date"] for one in found]
    assert first_days == sorted(first_days)
    text = " ".join(output("openai/gpt-4*").split())
    rest = text.partition("openai/gpt-4*: not drawn: ")[2].partition(".•")[0]
    assert "openai/gpt-4o-transcribe" in rest
    assert not {one["name"] for one in found} & set(rest.removesuffix(".").split(", "))
    assert "A succession swaps" not in text


def test_the_svg_is_the_same_each_time_and_says_what_it_shows(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        output(FLAGSHIPS, "groq/openai/gpt-oss-20b", "--svg", tmp_path / name)
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    root = ET.fromstring(drawn)  # noqa: S314 (our own file)
    texts = " ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith(("}text", "}title")))
    for word in (
        "API prices, 80/20 in/out",
        "USD per million tokens",
        "date",
        "groq/openai/gpt-oss-20b",
        "genai-prices",
    ):
        assert word in texts
    assert "0072b2" in drawn.decode().lower()
    assert "<dc:date>" not in drawn.decode()
    assert "the last to 2026-" in texts


TOMORROW = str(datetime.now(UTC).date() + timedelta(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["openai/gpt-44o"], "unknown model 'gpt-44o' at openai; did you mean"),
        (["opnai/gpt-4o"], "unknown API provider 'opnai'; did you mean"),
        (["gpt-4o"], "must be provider/model"),
        (["openai/gpt-4>"], "must be provider/model"),
        (["openai/zzz*"], "no model of openai matches 'zzz*'"),
        (["*/gpt-4o"], "names one provider"),
        (["openai/gpt-4>openai/gpt-4o*"], "a succession names its models; write them out, without *"),
        (["openai/gpt-4o-2*", "--to", "2022-01-01"], "openai/gpt-4o-2*: none of "),
        (["openai/gpt-4o", "--from", "2025-02-01", "--to", "2025-01-01"], "--from 2025-02-01 is after --to 2025-01-01"),
        (["openai/gpt-4o", "--to", TOMORROW], f"--to: {TOMORROW} is in the future"),
        (["openai/gpt-4o", "--from", TOMORROW], f"--from: {TOMORROW} is in the future"),
        (["openai/gpt-4o", "--from", "2025-02-30"], "--from: '2025-02-30' is no day; write YYYY-MM-DD"),
        (["openai/gpt-4", "--to", "2022-01-01"], "no price of openai/gpt-4 is known on or before 2022-01-01"),
        (["openai/gpt-4o>openai/gpt-4"], "write the older one first"),
        (["openai/gpt-4o", "--blend", "0:1"], "--blend: '0:1' is no blend"),
        (["openai/gpt-4o", "--format", "cvs"], "--format: unknown format 'cvs'; did you mean 'csv'?"),
        (["openai/gpt-4o", "--svg", "no/such/folder/x.svg"], "no/such/folder/x.svg: cannot write it"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = bench("prices", "trend", *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


# Drawings that are hard to draw


@pytest.mark.parametrize("colour", [True, False])
def test_odd_lines_are_drawn(colour: bool) -> None:
    """One point on one day; equal lines; forty lines; a price of a millionth of another."""
    single = trend.Line("single", points(("2024-01-01", 4)), date(2024, 1, 1))
    same = trend.Line("same", points(("2024-01-01", 4)), date(2024, 6, 1))
    tiny = trend.Line("tiny", points(("2024-01-01", 4), ("2024-02-01", 4e-6)), date(2024, 6, 1))
    cases: list[list[Any]] = [[single], [same, same], [tiny], [same] * 40]
    for lines in cases:
        text = trend_chart.terminal(lines, 80, colour)
        assert text.count(lines[0].name) == len(lines)
        assert trend_chart.svg(lines, "title", "unit", "").startswith("<?xml")
    plain = trend_chart.terminal([same, same], 80, colour=False)
    assert "1212121" in plain or "2121212" in plain


def test_a_rise_and_a_standstill_are_said_as_such() -> None:
    rise = trend.Line("m", points(("2023-01-01", 1), ("2024-01-01", 2)), date(2024, 1, 1))
    assert "+100.0% in all, +100.0% a year" in trend_text.sentence(rise, trend.fall(rise))
    still = trend.Line("m", points(("2023-01-01", 1)), date(2024, 1, 1))
    assert trend_text.sentence(still, trend.fall(still)) == "m: 1.00 since 2023-01-01, no change known to 2024-01-01."
    notes = trend_text.notes([still], EVEN, date(2024, 12, 31))
    assert "lab/m: nobody vouched for the last price since 2024-01-01, 365 days." in notes


def test_a_window_of_the_user_is_no_age_of_a_price() -> None:
    """The last price of the window is vouched for to day 150; the window ends on day 120."""
    today = START + timedelta(200)
    cut = line(NEWER, last=120)
    assert (cut.until, cut.vouched_to) == (START + timedelta(120), START + timedelta(150))
    assert not any("nobody vouched" in note for note in trend_text.notes([cut], EVEN, today))
    later = START + timedelta(150 + 91)
    assert f"lab/b: nobody vouched for the last price since {START + timedelta(150)}, 91 days." in trend_text.notes(
        [cut], EVEN, later
    )


def test_a_price_that_was_followed_by_another_is_not_called_old() -> None:
    """On day 60 the model asked 4; it asks 3 since day 100, and nobody need vouch for 4 any more."""
    cut = line(NEWER, last=60)
    assert cut.followed
    assert told(cut) == [(30, "lab/b", "4")]
    assert not any("nobody vouched" in note for note in trend_text.notes([cut], EVEN, START + timedelta(900)))
    assert not line(NEWER).followed


def test_the_command_does_not_blame_the_window() -> None:
    assert "nobody vouched" not in output("openai/gpt-4", "--to", "2025-01-01")
