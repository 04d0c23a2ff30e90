"""Tables for papers and READMEs: digits by the interval, columns, order, and foreign text that stays text."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.entries.entry import Entry, Origin, Report
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.publish import digits, escaping, tables
from bench.publish.columns import BY_NAME
from tests import entries_samples as samples

FOR_PEOPLE = ("md", "latex", "html")


def imported() -> Entry:
    origin = Origin("vLLM bench serve", "0.11.0", "serve.json", remarks=("the file does not say the precision",))
    return samples.entry(key="i", kind="imported", origin=origin, seconds=4000.0)


def report(*more: Entry) -> Report:
    cheap = samples.entry(key="a", precision="nf4", seconds=3000.0)
    return samples.report([samples.entry(), cheap, samples.failed(precision="int8"), *more])


def hostile() -> Report:
    text = samples.HOSTILE
    named = samples.entry(key="h", model=text, runner=text, options=text, hardware=text, workload=text)
    broken = samples.failed(failure=text, remedy=text, model=text)
    return samples.report([named, broken, samples.failed(key="l", failure="x" * 10_000 + "END")], title=text)


# Digits


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.0335, 0.0312, 0.0358, "0.0335 ± 0.0023"),
        (0.0335, 0.0288, 0.0382, "0.034 ± 0.005"),  # 0.0047 has one digit
        (0.0335, 0.0238, 0.0432, "0.034 ± 0.010"),  # 0.0097 is 0.010, of two
        (123_456.0, 121_100.0, 125_800.0, "123,500 ± 2,400"),
        (0.05, 0.02, 0.125, "0.050 (0.020–0.12)"),
        (10.0, None, None, "10.0"),
        (2.0, 2.0, 2.0, "2.00 ± 0"),
        (40.0, 40.0 - 1e-13, 40.0 + 4e-13, "40.0 ± 0"),
        (0.001, -0.004, 0.006, "0.001 ± 0.005"),
        (0.05, None, 0.09, "0.0500 (≤ 0.090)"),
        (1178.0, 1168.0, 1193.5, "1,178 (1,168–1,194)"),  # two digits would be 1,200 of both ends
        (1178.0, 1171.0, None, "1,180 (≥ 1,171)"),
        (5.0, 4.0, math.inf, "5.00 (≥ 4.0)"),
        (math.inf, None, None, "∞"),
        (1e-30, None, None, "<0.000000000000001"),
    ],
)
def test_a_value_stops_where_its_interval_does(value: float, low: float | None, high: float | None, said: str) -> None:
    assert digits.stated(Estimate(value, low, high, 3)) == said


VALUES = st.floats(1e-9, 1e12)


@given(VALUES, st.floats(1.00001, 50.0))
def test_a_printed_value_is_within_half_a_unit_of_its_last_place(value: float, factor: float) -> None:
    said = digits.stated(Estimate(value, value / factor, value * factor, 3))
    assert "e" not in said.lower()
    shown = re.split(r" [±(]", said)[0].replace(",", "")
    unit = Decimal(10) ** Decimal(shown).as_tuple().exponent  # type: ignore[operator]
    if "." not in shown:
        unit = Decimal(10) ** (len(shown) - len(shown.rstrip("0")))
    assert abs(Decimal(shown) - Decimal(value)) <= unit / 2


@given(VALUES, st.floats(1.001, 1.2))
def test_no_digit_stands_beyond_what_the_interval_supports(value: float, factor: float) -> None:
    of = Estimate(value, value / factor, value * factor, 3)
    shown, _, half = digits.stated(of).replace(",", "").partition(" ± ")
    assert half, "an interval this even is printed with ±"
    wide = value * factor - value
    assert len(half.replace(".", "").strip("0")) <= 2
    assert abs(float(half) - wide) <= wide * 0.15 + 10.0**-15
    places = [len(text.partition(".")[2]) for text in (shown, half)]
    assert places[0] == places[1]
    zeros = max(len(half) - 2, 0) if "." not in half else 0
    assert shown.endswith("0" * zeros), "the value stops at the same place"
    assert 10.0 ** (zeros - places[0]) >= wide / 100


@given(VALUES)
def test_without_an_interval_there_are_three_digits(value: float) -> None:
    said = digits.plain(value).replace(",", "")
    assert abs(float(said) - value) <= 0.00501 * value
    assert len(said.replace(".", "").strip("0")) <= 3
    assert "e" not in said


# Columns, rows and order


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("form", tables.FORMS)
@pytest.mark.parametrize("columns", ["decode_tokens_per_s", "memory", "all"])
def test_every_table_has_the_verdict(form: str, columns: str) -> None:
    text = tables.render(report(), form, columns)
    assert "verdict" in text
    assert "VALID" in text
    assert "oom" in text


def test_the_cheapest_row_is_the_first_and_rows_without_dollars_are_the_last() -> None:
    assert [one["precision"] for one in lines_of(tables.render(report(), "csv"))] == ["nf4", "bf16", "int8"]


def test_rows_are_sorted_by_several_columns_and_missing_values_stay_last() -> None:
    dear = samples.entry(key="b", model="aaa", seconds=9000.0)
    found = lines_of(tables.render(report(dear), "csv", sort="model,-usd_per_mtok"))
    assert [(one["model"], one["precision"]) for one in found] == [
        ("aaa", "bf16"),
        ("smollm2-135m", "bf16"),
        ("smollm2-135m", "nf4"),
        ("smollm2-135m", "int8"),
    ]
    falling = lines_of(tables.render(report(dear), "csv", sort="-usd_per_mtok"))
    assert [one["status"] for one in falling] == ["ok", "ok", "ok", "oom"]


def test_sets_and_names_are_mixed_and_each_column_stands_once() -> None:
    whole = json.loads(tables.render(report(), "json", "speed,usd_per_mtok,usd_per_mtok,verdict"))
    names = [one["name"] for one in whole["columns"]]
    assert names.count("usd_per_mtok") == 1
    assert names[-1] == "verdict"
    assert {"model", "prefill_tokens_per_s", "mbu"} <= set(names)
    assert whole["schema_version"] == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"columns": "sped"}, "--columns: no column or set 'sped'; did you mean 'speed'"),
        ({"columns": "model,,"}, "--columns: no column or set ''"),
        ({"sort": "-usd_per_mtk"}, "--sort: no column 'usd_per_mtk'; did you mean 'usd_per_mtok'"),
        ({"form": "tex"}, "--format: unknown format 'tex'; did you mean 'latex'"),
    ],
)
def test_a_misspelt_name_is_said_with_the_nearest(how: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        tables.render(report(), how.get("form", "md"), how.get("columns"), how.get("sort"))


def test_csv_holds_what_was_computed_in_si_units() -> None:
    entry = samples.entry()
    (line,) = lines_of(tables.render(samples.report([entry]), "csv", "all"))
    for name, of in entry.figures.items():
        if name in BY_NAME:
            assert float(line[name]) == of.value
            assert [float(line[f"{name}_{end}"]) for end in ("low", "high", "n")] == [of.low, of.high, of.n]
    assert float(line["peak_bytes"]) == 700_000_000
    assert entry.priced is not None
    assert float(line["usd_per_mtok"]) == pytest.approx(5000 * 0.1 / 3600, rel=1e-12)
    assert float(line["ratio_to_api"]) == pytest.approx(5000 * 0.1 / 3600 / 0.06, rel=1e-12)
    assert line["command"] == entry.command


def test_csv_has_the_same_columns_whatever_the_rows_hold() -> None:
    full, empty = tables.render(report(), "csv", "all"), tables.render(samples.report([samples.failed()]), "csv", "all")
    assert full.splitlines()[0] == empty.splitlines()[0]


def test_json_is_strict_and_null_where_a_figure_is_infinite_or_missing() -> None:
    odd = samples.entry(key="x", figures={"ttft_s": Estimate(0.1, None, math.inf, 2)})
    whole = json.loads(
        tables.render(samples.report([odd, samples.failed()]), "json", "all"), parse_constant=pytest.fail
    )
    assert whole["rows"][0]["ttft_s"] == {"value": 0.1, "low": None, "high": None, "n": 2}
    assert whole["rows"][1]["ttft_s"] is None
    assert whole["rows"][1]["failure"] == "it needs 32 GB and there are 24"


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_failed_rows_stand_with_their_reason_or_are_counted(form: str) -> None:
    assert "it needs 32 GB and there are 24" in tables.render(report(), form)
    without = tables.render(report(), form, failed=False)
    assert "it needs 32 GB" not in without
    assert "1 failed row is left out." in without


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_what_another_tool_measured_is_marked(form: str) -> None:
    text = tables.render(report(imported()), form, "usd_per_mtok")
    assert "measured by" in text
    assert "vLLM bench serve 0.11.0" in text
    assert "the file does not say the precision" in text
    assert "measured by" not in tables.render(report(), form)


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_under_a_table_stand_price_utilisation_day_and_the_interval(form: str) -> None:
    text = tables.render(report(), form).replace("\\", "")
    for said in ("per hour: as stated", "100 % utilisation", "2026-11-01", "95 % interval", "genai-prices 0.2.3"):
        assert said in text, said


def test_what_is_equal_in_all_rows_moves_to_the_caption() -> None:
    text = tables.render(report(), "md", title="On one machine")
    assert text.startswith("**On one machine · transformers · Sample CPU, 4 CPUs · batch 1, 128 in, 64 out**\n")
    assert "| runner" not in text
    assert "| runner" in tables.render(report(), "md", "runner,usd_per_mtok")


def test_a_table_without_rows_is_one_all_the_same() -> None:
    empty = replace(report(), entries=())
    for form in tables.FORMS:
        assert tables.render(empty, form)


# Foreign text


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or ())]


def test_markdown_of_foreign_text_is_text() -> None:
    text = tables.render(hostile(), "md", "all")
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = {token.type for token in tokens} | {token.type for token in inline(tokens)}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "code_inline", "em_open", "s_open", "fence"}
    (caption, *cells) = [token for token in tokens if token.type == "inline"]
    assert "<script>alert" in (caption.children or [])[2].content + "".join(t.content for t in inline([caption]))
    shown = ["".join(child.content for child in token.children or ()) for token in cells]
    assert any("<script>alert(\"x\")</script> =cmd|'/c calc'!A1 ⟨U+202E⟩evil⟨U+202C⟩" in one for one in shown)
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1, "no pipe of a name is a column"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. not a list", "1\\. not a list"),
        ("- not a list", "\\- not a list"),
        ("https://evil.example", "https\\://evil.example"),
        ("www.evil.example", "www\\.evil.example"),
        ("@somebody", "\\@somebody"),
        ("&lt;", "\\&lt;"),
        ("$x$", "\\$x\\$"),
        ("a_b", "a\\_b"),
        ("0.5", "0.5"),
    ],
)
def test_marks_of_github_are_escaped(text: str, said: str) -> None:
    assert escaping.markdown(text) == said
    tokens = MarkdownIt("commonmark").parse(escaping.markdown(text))
    assert "".join(child.content for child in inline(tokens)) == text


def latex_commands(text: str) -> set[str]:
    """Every control word and active character that TeX would act on: a reader of its own, without packages."""
    found, place = set(), 0
    body = re.sub(r"(?m)^%.*$", "", text)
    while place < len(body):
        one = body[place]
        if one == "\\":
            word = re.match(r"\\([A-Za-z]+|.)", body[place:], re.DOTALL)
            assert word is not None
            found.add(word.group(1))
            place += len(word.group())
            continue
        if one in "^_#~%":
            found.add(one)
        place += 1
    return found


OURS = {
    *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "par", "smallskip"),
    *("linewidth", "footnotesize", "pm", "times", "le", "cdot", "ldots", "textbackslash", "textbar", "textless"),
    *("textgreater", "textasciigrave", "textasciitilde", "textasciicircum", "char", "langle", "rangle", "Delta"),
    *("{", "}", "$", "&", "#", "_", "%", "\\"),
}


def test_latex_of_foreign_text_is_text() -> None:
    text = tables.render(hostile(), "latex", "all", label="tab:x}\\input{y")
    assert latex_commands(text) <= OURS
    lines = text.splitlines()
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    rows = [one for one in body if one != r"\midrule"]
    assert {len(re.findall(r"(?<!\\)&", one)) for one in rows} == {len(re.findall(r"(?<!\\)&", rows[0]))}
    assert all(one.endswith(r" \\") for one in rows)
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
    assert r"\label{tab:xinputy}" in text
    assert not re.search(r"(?<!\{)[\[*](?!\})", "".join(rows)), "after a line's end TeX would take it for an option"
    assert not re.search(r"[^\x00-\x7F]", "".join(rows))


def test_latex_says_what_made_it_and_what_it_needs() -> None:
    text = tables.render(report(), "latex", "essential", command="bench report x\ny", title="Costs", label="tab:costs")
    assert text.startswith("% made by: bench report x y\n% needs: \\usepackage{booktabs}\n")
    assert r"cost (\$/Mtok)" in text
    assert r"\label{tab:costs}" in text
    assert r"0.139 $\pm$ 0.007" in text


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_of_foreign_text_is_text() -> None:
    page = Page()
    text = tables.render(hostile(), "html", "all")
    page.feed(text)
    assert {tag for tag, _ in page.tags} == {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "p"}
    assert {name for _, given in page.tags for name in given} <= {"class", "scope", "colspan"}
    assert all(name.startswith("bench-") for _, given in page.tags for name in (given.get("class") or "bench-").split())
    assert any("<script>alert" in one for one in page.text)
    assert {given.get("scope") for tag, given in page.tags if tag == "th"} == {"col", "row"}


def test_a_spreadsheet_runs_nothing() -> None:
    evil = samples.entry(model="=1+1", runner="@SUM(A1)", hardware="\t=2", options="", workload="+1")
    (line,) = lines_of(tables.render(samples.report([evil]), "csv"))
    assert (line["model"], line["runner"], line["workload"]) == ("'=1+1", "'@SUM(A1)", "'+1")
    assert not line["hardware"].startswith(("=", "\t"))


@pytest.mark.parametrize("form", ["md", "latex", "html", "csv"])
def test_what_hides_or_reorders_is_shown_by_its_code(form: str) -> None:
    odd = samples.entry(model="a\u202eb\u200b\x00c\ud800\x1b[31m\nd")
    text = tables.render(samples.report([odd]), form)
    text.encode("utf-8")
    assert not re.search("[\u202e\u200b\x00\x1b\ud800]", text)
    for code in ("U+202E", "U+200B", "U+0000", "U+D800", "U+001B"):
        assert code in text


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_long_text_is_cut_for_people(form: str) -> None:
    text = tables.render(hostile(), form)
    assert "END" not in text
    assert max(map(len, re.findall("x+", text))) <= escaping.LONGEST_NOTE


def test_json_keeps_text_as_it_is() -> None:
    whole = json.loads(tables.render(hostile(), "json"))
    assert whole["rows"][0]["model"] == samples.HOSTILE
    assert whole["rows"][-1]["failure"] is not None
