"""From records to a table: figures that were worked out by hand, in every format, at every width."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost.printable import unprintable
from bench.errors import InputError
from bench.metrics.memory import peak_bytes
from bench.report import table
from bench.report.api_table import api_table
from bench.report.footnotes import footnotes
from bench.report.render import FORMATS, render
from bench.report.rows import Row, rows
from bench.schema import Accelerator, CostChoices, FourBit, Int8, Memory, Record, RunnerChoice, Workload
from bench.store import Journal
from tests.commands import ROOT, bench
from tests.samples import H100, WORKLOAD, a_round, cell, environment, facts, failed_record, measurement, record

GROQ = "groq/llama-3.1-8b-instant"
STATED = CostChoices(usd_per_hour=3.6, apis=(GROQ,))
"""$0.001 a second: the sample batch of one second is a bill of $0.001."""

THREE = [record(0), record(1), record(2)]
ONE_TOKEN = Workload(batch_size=2, input_tokens=100, output_tokens=1)


def _row(records: Sequence[Record], choices: CostChoices = STATED) -> Row:
    (row,) = rows(records, choices)
    return row


def _csv(found: Sequence[Row]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(found, "csv"))))


def _json(found: Sequence[Row]) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(render(found, "json"))
    return whole


def _cells(line: str) -> list[str]:
    """The cells of a line of Markdown: parted by bars that are not escaped."""
    return [text.strip() for text in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


# --- figures -----------------------------------------------------------------------------------------------------


def test_speeds_of_the_sample_batch() -> None:
    """2×100 prompt tokens in 0.5 s, two rows every 0.05 s, 22 new and 222 tokens in all in one second."""
    figures = _row(THREE).figures
    assert figures is not None
    assert figures.tpot_s is not None
    assert figures.decode_tokens_per_s is not None
    assert figures.ttft_s is not None
    assert figures.prefill_tokens_per_s is not None
    assert figures.ttft_s.value == pytest.approx(0.5)
    assert figures.tpot_s.value == pytest.approx(0.05)
    assert figures.e2el_s.value == pytest.approx(1.0)
    assert figures.prefill_tokens_per_s.value == pytest.approx(200 / 0.5)
    assert figures.decode_tokens_per_s.value == pytest.approx(2 / 0.05)
    assert figures.output_tokens_per_s.value == pytest.approx(22.0)
    assert figures.total_tokens_per_s.value == pytest.approx(222.0)
    assert figures.prefill_share == pytest.approx(0.5)


def test_dollars_of_the_sample_batch() -> None:
    """A bill of $0.001, half for 200 prompt tokens and half for 22 new ones."""
    row = _row(THREE)
    assert row.dollars is not None
    assert row.dollars.input_usd_per_mtok is not None
    assert row.dollars.output_usd_per_mtok is not None
    assert row.dollars.input_usd_per_mtok.value == pytest.approx(0.0005 / 200 * 1e6)  # 2.50
    assert row.dollars.output_usd_per_mtok.value == pytest.approx(0.0005 / 22 * 1e6)  # 22.73
    assert row.dollars.blended_usd_per_mtok.value == pytest.approx(0.001 / 222 * 1e6)  # 4.50
    assert row.dollars.usd_per_request.value == pytest.approx(0.0005)
    (api,) = row.dollars.apis
    assert api.api_usd_per_request == pytest.approx((100 * 0.05 + 11 * 0.08) / 1e6)  # 5.88e-6
    assert api.ratio.value == pytest.approx(0.0005 / 5.88e-6)  # 85 times the API
    assert api.break_even_utilisation is None


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(min_value=0.01, max_value=100.0), min_size=1, max_size=5),
    st.floats(min_value=0.001, max_value=1000.0),
    st.floats(min_value=0.01, max_value=1.0),
)
def test_input_and_output_add_up_to_the_bill(factors: list[float], price: float, utilisation: float) -> None:
    """$/Mtok in × prompt tokens + $/Mtok out × new tokens = $/h × seconds / 3600 / utilisation, however noisy."""
    measured = [record(index, measured=measurement(factor)) for index, factor in enumerate(factors)]
    row = _row(measured, CostChoices(usd_per_hour=price, utilisation=utilisation, apis=(GROQ,)))
    assert row.figures is not None
    assert row.dollars is not None
    into, out = row.dollars.input_usd_per_mtok, row.dollars.output_usd_per_mtok
    assert into is not None
    assert out is not None
    bill = price * row.figures.e2el_s.value / 3600 / utilisation
    assert (into.value * 200 + out.value * 22) / 1e6 == pytest.approx(bill, rel=1e-12)
    assert row.dollars.usd_per_request.value * 2 == pytest.approx(bill, rel=1e-12)


def test_a_cheap_machine_breaks_even() -> None:
    """$0.01 an hour: the request costs 1.389 millionths at full load, 23.6 % of the API's 5.88."""
    choices = CostChoices(usd_per_hour=0.01, apis=(GROQ,))
    row, half = _row(THREE, choices), _row(THREE, choices.model_copy(update={"utilisation": 0.5}))
    assert row.dollars is not None
    assert half.dollars is not None
    expected = 0.01 / 3600 / 2 / 5.88e-6
    assert row.dollars.apis[0].break_even_utilisation == pytest.approx(expected)
    assert row.dollars.apis[0].ratio.value == pytest.approx(expected)
    # At half the load each request costs twice as much; the load from which it pays stays where it is.
    assert half.dollars.apis[0].break_even_utilisation == pytest.approx(expected)
    assert half.dollars.apis[0].ratio.value == pytest.approx(2 * expected)


def test_the_interval_of_a_rate_is_that_of_its_time() -> None:
    """Replicates of 1, 1 and 1.1 s have an interval; rates and dollars carry it along."""
    row = _row([record(0), record(1), record(2, measured=measurement(1.1))])
    assert row.figures is not None
    assert row.dollars is not None
    time, rate, usd = row.figures.e2el_s, row.figures.total_tokens_per_s, row.dollars.blended_usd_per_mtok
    assert (time.n, row.replicates) == (3, 3)
    assert time.low is not None
    assert time.low < 1.0 < time.value < 1.1 < (time.high or 0.0)
    assert rate.low == pytest.approx(222 / (time.high or 0.0))
    assert usd.spread() == pytest.approx(time.spread())


def test_one_output_token_has_no_decode_and_no_split() -> None:
    """A bill, a TTFT, a blended price, and nothing that was not measured."""
    of = cell(workload=ONE_TOKEN)
    row = _row([record(index, of=of, measured=measurement(tokens=1)) for index in range(2)])
    assert row.figures is not None
    assert row.dollars is not None
    assert (row.figures.tpot_s, row.figures.decode_tokens_per_s) == (None, None)
    assert row.figures.prefill_tokens_per_s is not None
    assert row.figures.prefill_tokens_per_s.value == pytest.approx(400.0)
    assert (row.dollars.input_usd_per_mtok, row.dollars.output_usd_per_mtok) == (None, None)
    assert row.dollars.blended_usd_per_mtok.value == pytest.approx(0.0005 / 202 * 1e6)
    (line,) = _csv([row])
    assert [line[key] for key in ("tpot_s", "decode_tokens_per_s", "output_usd_per_mtok")] == ["", "", ""]
    for form in FORMATS:
        assert render([row], form, 200)


def _peak(*records: Record) -> int | None:
    figures = _row(list(records)).figures
    assert figures is not None
    return peak_bytes(figures.memory, figures.facts)


def test_memory_is_the_largest_of_the_replicates() -> None:
    """And the table's peak is device memory on a GPU, else the larger resident peak."""
    small = measurement(memory=Memory(rss_peak_bytes=5, rss_load_peak_bytes=7))
    large = measurement(memory=Memory(rss_peak_bytes=6, rss_load_peak_bytes=3))
    assert _peak(record(0, measured=small), record(1, measured=large)) == 7
    gpu = measurement(memory=Memory(rss_peak_bytes=9, cuda_peak_reserved_bytes=4))
    assert _peak(record(0, measured=gpu)) == 4
    assert _peak(record(0, measured=measurement(memory=Memory(weights_bytes=1)))) is None
    assert _row([failed_record()]).figures is None


# --- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["oom", "timeout", "unsupported", "crashed", "invalid"])
def test_a_failed_cell_is_a_row_with_its_reason(status: Any) -> None:
    """No figures, no dollars, and the reason in every format."""
    row = _row([failed_record(status, "because of this", "do that")])
    assert (row.status, row.replicates, row.figures, row.dollars) == (status, 0, None, None)
    (line,) = _csv([row])
    assert (line["status"], line["verdict"], line["failure"]) == (status, status, "because of this")
    assert line["ttft_s"] == ""
    for form in ("table", "md", "json"):
        text = render([row], form, 200)
        assert "because of this" in text
        assert "do that" in text


def test_a_failure_beside_good_replicates_is_said() -> None:
    """The row has figures of the good ones; the failed one is not forgotten."""
    row = _row([record(0), failed_record("crashed", replicate=1), record(2)])
    assert (row.status, row.replicates) == ("ok", 2)
    assert table.verdict(row) == "failures"
    assert "crashed" in "\n".join(footnotes([row]))


def test_rows_stand_in_the_order_of_the_plan() -> None:
    """Not in the order of the journal; what is not in the plan comes last."""
    one, two, three = (cell(precision=FourBit(name="nf4")), cell(), cell(precision=FourBit(name="fp4")))
    records = [record(0, of=one), record(0, of=two), record(0, of=three)]
    found = rows(records, STATED, order=(two.cell_id, three.cell_id))
    assert [row.cell.cell_id for row in found] == [two.cell_id, three.cell_id, one.cell_id]


def test_several_models_are_several_rows() -> None:
    """Each by its label; what all rows share moves to the caption."""
    sources = ["builtin:smollm2-135m", "shape:llama-3.1-8b", "owner/name", "/models/local", "/models/file.gguf"]
    found = rows([record(0, of=cell(source)) for source in sources], STATED)
    assert [table.model(row) for row in found] == [
        "smollm2-135m", "llama-3.1-8b (random weights)", "owner/name", "local", "file.gguf",
    ]  # fmt: skip
    _, caption = table.columns(found)
    assert caption == (
        "transformers · batch 2 · in 100 · out 11 · utilisation 100% · in and out split by measured time"
    )


def test_machines_are_never_mixed() -> None:
    """One cell on two machines is two rows: their numbers may not stand in one interval."""
    here, there = environment(), environment([H100], cpu_model="Other CPU")
    records = [record(0, where=here), record(1, where=there, measured=measurement(3.0)), record(2, where=here)]
    found = rows(records, STATED)
    assert [row.replicates for row in found] == [2, 1]
    assert [row.figures.e2el_s.value for row in found if row.figures is not None] == pytest.approx([1.0, 3.0])


def test_a_row_says_on_which_machine_it_ran() -> None:
    """With two machines in a report, a number without its machine means nothing: in notes by row, in CSV by line."""
    records = [record(0, where=environment()), record(0, where=environment([H100], cpu_model="Other CPU"), name="b")]
    found = rows(records, STATED)
    machines = [note for note in footnotes(found) if note.startswith("Machine: ")]
    assert len(machines) == 2
    assert "Sample CPU" in machines[0]
    assert machines[0].endswith("[row 1]")
    assert H100.name in machines[1]
    assert machines[1].endswith("[row 2]")
    lines = _csv(found)
    assert "Sample CPU" in lines[0].values()
    assert "Other CPU" in lines[1].values()


def test_another_version_of_the_engine_is_another_machine() -> None:
    """A new torch can move every number."""
    here = environment()
    newer = here.model_copy(update={"packages": {**here.packages, "torch": "2.14.0"}})
    assert len(rows([record(0, where=here), record(1, where=newer)], STATED)) == 2


def test_another_version_of_this_program_is_the_same_machine() -> None:
    """It reads the clock; it does not run the model."""
    here = environment()
    newer = here.model_copy(update={"bench_version": "9.9.9", "bench_revision": None, "memory_limit_bytes": 5})
    assert len(rows([record(0, where=here), record(1, where=newer)], STATED)) == 1


@pytest.mark.parametrize("by", ["name", "engine"])
def test_random_weights_are_marked(by: str) -> None:
    """By the name of the model or because the engine said so: beside the model and in a note."""
    if by == "name":
        row = _row([record(0, of=cell("shape:pythia-70m"))])
    else:
        row = _row([record(0, of=cell("/models/local"), measured=measurement(of=facts(random_weights=True)))])
    for form in FORMATS:
        assert "random weights" in render([row], form, 200)
    assert any(note.startswith("Random weights") for note in footnotes([row]))
    assert not any(note.startswith("Random weights") for note in footnotes([_row(THREE)]))


@pytest.mark.parametrize(("dtype", "said"), [("bfloat16", "is dequantised from Q4_1"), ("Q4_1", "is used as it is")])
def test_the_built_in_model_is_dequantised_where_it_really_is(dtype: str, said: str) -> None:
    of = facts().model_copy(update={"dtype": dtype})
    row = _row([record(0, of=cell("builtin:smollm2-135m"), measured=measurement(of=of))])
    (note,) = (note for note in footnotes([row]) if note.startswith("The built-in model"))
    assert said in note


def test_no_price_is_a_row_without_dollars_and_a_reason() -> None:
    """An unknown GPU: speeds stand, dollars do not, and the way out is named."""
    where = environment([Accelerator(name="Frobnicator 9000", memory_bytes=10**10)])
    on_gpu = measurement(of=facts(placement={"cuda:0": 10**9}))
    row = _row([record(0, where=where, measured=on_gpu), record(1, where=where, measured=on_gpu)], CostChoices())
    assert row.figures is not None
    assert row.dollars is None
    assert row.no_dollars_because is not None
    assert "Frobnicator 9000" in row.no_dollars_because
    for form in ("table", "md", "json"):
        assert "--usd-per-hour" in render([row], form, 200)
    (line,) = _csv([row])
    assert (line["blended_usd_per_mtok"], line["usd_per_hour"]) == ("", "")
    assert float(line["prefill_tokens_per_s"]) == pytest.approx(400.0)


def test_a_price_for_some_rows_is_no_price_for_others() -> None:
    """A priced row and an unpriced one stand in one table."""
    where = environment([Accelerator(name="Frobnicator 9000")])
    on_gpu = record(0, where=where, measured=measurement(of=facts(placement={"cuda:0": 1})))
    found = rows([record(0, of=cell("owner/name")), on_gpu], CostChoices())
    assert [row.dollars is None for row in found] == [False, True]
    for form in FORMATS:
        assert render(found, form, 200)


def test_an_unknown_api_is_refused() -> None:
    """Before any row is made."""
    with pytest.raises(InputError, match="did you mean 'groq'"):
        rows(THREE, CostChoices(apis=("grok/llama",)))


def test_notes_cover_every_row() -> None:
    """Two runs with their own load and their own APIs: both are said, so that no dollar stands under the wrong note."""
    full = rows([record(0, of=cell("owner/one"))], STATED)
    other = CostChoices(usd_per_hour=3.6, utilisation=0.25, apis=("openai/gpt-5-nano",))
    quarter = rows([record(0, of=cell("owner/two"))], other)
    text = "\n".join(footnotes([*full, *quarter]))
    for words in ("Utilisation 100%", "Utilisation 25%", GROQ, "openai/gpt-5-nano"):
        assert words in text


# --- rendering ---------------------------------------------------------------------------------------------------

MIXED = [
    *THREE,
    record(0, of=cell("shape:llama-3.1-8b", FourBit(name="nf4", double_quant=True))),
    record(0, of=cell("owner/a-very-long-name-of-a-model-that-nobody-can-remember-0123456789", workload=ONE_TOKEN),
           measured=measurement(tokens=1)),
    failed_record("oom", "does not fit: needs about 16.1 GB", "fewer bits", of=cell(precision=Int8(name="int8"))),
]  # fmt: skip


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_terminal_table_keeps_to_its_width(width: int) -> None:
    """No line is longer than the terminal, every row is there, and a reason is whole if folded."""
    text = render(rows(MIXED, STATED), "table", width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "does not fit: needs about 16.1 GB" in " ".join(text.split())
    for number in range(1, 5):
        assert re.search(rf"^ ?{number}  ", text, re.MULTILINE), f"row {number} is missing"


def test_a_wide_terminal_shows_the_numbers() -> None:
    """One table, with the figures that were worked out by hand."""
    text = render(rows(THREE, STATED), "table", 240)
    (line,) = [line for line in text.splitlines() if line.strip().startswith("1 ")]
    for shown in ("bf16", "400", "40.0", "500", "50.0", "0.900", "2.50", "22.7", "4.50", "85.0×"):
        assert shown in line.split()
    assert line.split()[-2:] == ["never", "VALID"]


def test_the_interval_is_shown_where_there_is_one() -> None:
    """1, 1 and 1.1 s: deviation of the logs 0.0550, times 4.303/√3 is 0.1367, a factor of 1.15 either way."""
    noisy = [record(0), record(1), record(2, measured=measurement(1.1))]
    text = render(rows(noisy, STATED), "table", 200)
    assert "38.7 ±15%" in text
    assert "4.65 ±15%" in text
    assert "±1" not in render(rows([record(0)], STATED), "table", 200)


def test_a_terminal_report_has_no_markup_and_no_colour() -> None:
    """Square brackets in a reason are text; no escape codes when the output is a file."""
    text = render([_row([failed_record("crashed", "[red]x[/red] [link=a]b")])], "table", 120)
    assert "[red]x[/red] [link=a]b" in text
    assert "\x1b" not in text


def test_markdown_is_a_table_that_parses_back() -> None:
    """As many cells in every line as headings, and the numbers by hand under theirs."""
    lines = [line for line in render(rows(MIXED, STATED), "md").splitlines() if line.startswith("|")]
    first = lines[: lines.index(next(line for line in lines if "$ per 1,000 requests" in line))]
    headings = _cells(first[0])
    body = [dict(zip(headings, _cells(line), strict=True)) for line in first[2:]]
    assert len(body) == 4
    assert body[0]["prefill tok/s"] == "400 ±0.0%"
    assert body[0]["decode tok/s"].startswith("40.0")
    assert (body[0]["TTFT ms"], body[0]["TPOT ms"]) == ("500", "50.0")
    assert (body[0]["$/Mtok in"], body[0]["$/Mtok out"]) == ("2.50 ±0.0%", "22.7 ±0.0%")
    assert body[0]["verdict"] == "VALID"
    assert body[2]["TPOT ms"] == body[2]["$/Mtok out"] == "–"
    assert body[3]["verdict"] == "oom"


def test_markdown_cannot_be_broken_out_of() -> None:
    """A model, a reason and a remedy are not ours: bars, tags, links and line breaks in them stay text."""
    evil = "evil/a|b<img src=x onerror=alert(1)>[l](http://x)`c`*d*\n| e"
    reason = "torn | here\n| a | new | row |\n# heading <script>"
    found = rows([record(0, of=cell(evil)), failed_record("crashed", reason, of=cell("owner/name"))], STATED)
    text = render(found, "md")
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len({len(_cells(line)) for line in tables}) <= 2, "two tables, two numbers of columns"
    assert not re.search(r"(?<!\\)<", text)
    assert not any(line.startswith("#") for line in lines)
    assert r"evil/a\|b\<img src=x onerror=alert(1)\>\[l\](http://x)\`c\`\*d\* \| e" in text


def test_csv_parses_back_to_full_precision() -> None:
    """SI units in the headings, one line a row, nothing rounded."""
    lines = _csv(rows(MIXED, STATED))
    assert len(lines) == 4
    ok = lines[0]
    assert (ok["model"], ok["precision"], ok["batch_size"], ok["replicates"]) == ("smollm2-135m", "bf16", "2", "3")
    assert float(ok["prefill_tokens_per_s"]) == pytest.approx(400.0, rel=1e-12)
    assert float(ok["tpot_s"]) == pytest.approx(0.05, rel=1e-9)
    assert float(ok["blended_usd_per_mtok"]) == pytest.approx(0.001 / 222 * 1e6, rel=1e-12)
    assert float(ok["blended_usd_per_mtok_low"]) <= float(ok["blended_usd_per_mtok"])
    assert ok["cheapest_api"] == GROQ
    assert ok["break_even_utilisation"] == ""
    assert lines[1]["precision"] == "nf4 double_quant=True"
    assert lines[3]["failure"] == "does not fit: needs about 16.1 GB"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(start: str) -> None:
    """A text that a spreadsheet would run is quoted, wherever it stands; numbers are left alone."""
    bad = start + 'HYPERLINK("http://x","y")'
    found = rows([failed_record("crashed", bad, of=cell(bad + "/name")), record(0, of=cell("owner/name"))], STATED)
    for line in _csv(found):
        for value in line.values():
            assert not value.startswith(tuple("=+-@\t\r"))
    assert _csv(found)[0]["failure"] == "'" + bad.replace("\t", " ").replace("\r", " ")


EVIL = "a\x00b\x1b[31mc\x9b2Jd\u202ee\u2028f\ng __h__ $x$ @you &lt; ~~i~~ | <script>"


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_nothing_that_a_terminal_would_obey_is_printed(form: str) -> None:
    """Neither out of a name, an option, a machine or an error; in JSON it stands in escapes and parses back."""
    options = [RunnerChoice(name="transformers", options={"device": one}) for one in ("cpu", EVIL)]
    where = environment(cpu_model=EVIL)
    found = [record(0, of=cell(EVIL, runner=one), where=where) for one in options]
    text = render(rows([*found, failed_record("crashed", EVIL, EVIL, of=cell("x" * 10_000))], STATED), form, 120)
    assert not [one for line in text.split("\n") for one in line if unprintable(one)]
    if form == "json":
        assert json.loads(text)["rows"][-1]["failure"] == EVIL
    if form == "md":
        assert r"\_\_h\_\_ \$x$ \@you \&lt; \~\~i\~\~ \| \<script\>" in text
        assert "x" * 201 not in text
        assert "$0." in text  # an amount is no mathematics


def test_json_parses_back_with_everything() -> None:
    """A schema version, the notes, and for each row its cell, machine, reasons and comparisons; no NaN."""
    text = render(rows(MIXED, STATED), "json")
    whole = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert whole["schema_version"] == 1
    assert whole["notes"] == footnotes(rows(MIXED, STATED))
    ok, single, one_token, failed = whole["rows"]
    lengths = {"batch_size": 2, "input_tokens": 100, "cached_tokens": 0, "output_tokens": 11}
    assert ok["cell"]["workload"] == {**lengths, "scheduling": "static"}
    assert ok["environment"]["cpu_model"] == "Sample CPU"
    assert ok["apis"][0]["api"] == GROQ
    assert ok["apis"][0]["ratio"] == pytest.approx(0.0005 / 5.88e-6)
    assert ok["reasons"] == []
    assert [reason["code"] for reason in single["reasons"]] == ["one-replicate"]
    assert (one_token["tpot_s"], one_token["input_usd_per_mtok"]) == (None, None)
    assert failed["error"]["remedy"] == "fewer bits"
    assert (failed["facts"], failed["apis"]) == (None, [])


def test_dollars_come_with_their_assumptions() -> None:
    """Price, utilisation, attribution, price data with version, replicates, machine."""
    text = "\n".join(footnotes(rows(THREE, CostChoices(usd_per_hour=3.6, utilisation=0.5, apis=(GROQ,)))))
    for words in ("$3.6 per hour as stated", "Utilisation 50%", "prefill to input", "genai-prices", "Sample CPU"):
        assert words in text
    assert "3 a row" in text
    assert f"{GROQ} ($0.05 in, $0.08 out)" in text


def test_options_that_tell_rows_apart_are_shown() -> None:
    """Two deployments of one model: the unusual one is named, the usual goes without saying."""
    usual = cell().runner
    compiled = usual.model_copy(update={"options": {**usual.options, "threads": 1}})
    odd = cell(runner=compiled).model_copy(update={"cell_id": "odd"})
    found = rows([*THREE, record(0, of=cell(precision=FourBit(name="nf4"))), record(0, of=odd)], STATED)
    columns, _ = table.columns(found)
    (runner,) = [column for column in columns if column.heading == "runner"]
    assert [runner.text(row) for row in found] == ["transformers", "transformers", "transformers threads=1"]


def test_rows_of_two_engines_are_told_apart_by_name_and_not_by_the_defaults_of_each() -> None:
    other = RunnerChoice(name="openvino", options={"device": "CPU", "stream_interval": 1})
    of = cell(runner=other).model_copy(update={"cell_id": "other"})
    found = rows([*THREE, record(0, of=of)], CostChoices(usd_per_hour=3.6, apis=(GROQ,)))
    columns, _ = table.columns(found)
    (runner,) = [column for column in columns if column.heading == "runner"]
    assert [runner.text(row) for row in found] == ["transformers", "openvino"]
    assert [line[0].split(",")[0].split()[-1] for line in api_table(found)[1][1:]] == ["transformers", "openvino"]


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with three records of one cell."""
    with Journal(tmp_path / "run") as journal:
        for one in THREE:
            journal.append(one)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "pdf"], "--format: unknown format 'pdf'; known: csv, html, json, latex, md, page, table"),
        (["--format", "jsn"], "did you mean 'json'"),
        (["--usd-per-hour", "-1"], "--usd-per-hour: must be greater than 0 (got -1.0)"),
        (["--usd-per-hour", "0"], "--usd-per-hour: must be greater than 0"),
        (["--usd-per-hour", "nan"], "--usd-per-hour: must be a finite number (got nan)"),
        (["--usd-per-hour", "inf"], "--usd-per-hour: must be a finite number (got inf)"),
        (["--utilisation", "2"], "--utilisation: must be less than or equal to 1 (got 2.0)"),
        (["--utilisation", "0"], "--utilisation: must be greater than 0"),
        (["--provider", "azur"], "--provider: unknown provider 'azur' in the price list; did you mean 'azure'"),
        (["--api", "grok/llama"], "--api: unknown API provider 'grok'; did you mean 'groq'"),
        (["--api", GROQ, "--api", "groq/llama-3.1-8b-instnt"], "--api: unknown model 'llama-3.1-8b-instnt' at groq"),
        (["--api", "gpt-5"], "--api: API model 'gpt-5' must be provider/model"),
        (["--out", "/absent/table.md"], "/absent/table.md: cannot write it"),
        (["--out", "/dev/null/table.md"], "/dev/null/table.md: cannot write it"),
        (["--out", "/"], "/: cannot write it"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(run: Path, arguments: list[str], words: str) -> None:
    """Standard output stays empty, every line of standard error is an error, and there is no traceback."""
    done = bench("report", run, *arguments)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr


@pytest.mark.parametrize("what", ["empty journal", "folder without a journal", "missing folder", "a file"])
def test_nothing_to_report_is_one_line_and_exit_code_2(tmp_path: Path, what: str) -> None:
    """And the line says what to do: run first, or give the right folder."""
    place = tmp_path / "run"
    if what != "missing folder":
        place.mkdir()
    if what == "empty journal":
        (place / "records.jsonl").touch()
    if what == "a file":
        place = ROOT / "pyproject.toml"
    done = bench("report", place)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    *warnings, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert "run" in last
    assert all(line.startswith("warning: ") for line in warnings)
    assert bool(warnings) == (what == "a file")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reaches_the_screen_and_a_file(run: Path, tmp_path: Path, form: str) -> None:
    """The same text, and nothing on standard error."""
    shown = bench("report", run, "--format", form, "--usd-per-hour", "3.6", "--api", GROQ)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "smollm2-135m" in shown.stdout
    written = bench("report", run, "-f", form, "--usd-per-hour", "3.6", "--api", GROQ, "-o", tmp_path / "out")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert (tmp_path / "out").read_text(encoding="utf-8") == shown.stdout


def test_a_broken_line_is_a_warning_and_the_table_still_stands(run: Path) -> None:
    """Exit code 0: two of three records make a row."""
    journal = run / "records.jsonl"
    journal.write_bytes(journal.read_bytes()[:-100])
    done = bench("report", run, "--format", "csv", "--usd-per-hour", "3.6")
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {journal}:3: torn or broken line skipped")
    (line,) = csv.DictReader(io.StringIO(done.stdout))
    assert line["replicates"] == "2"


def test_a_journal_and_its_folder_give_the_same_report(run: Path) -> None:
    """The plan beside the journal holds the price in both cases."""
    plan = {
        "name": "sample", "config": "sample.yaml", "cells": [THREE[0].cell.cell_id], "replicates": 3,
        "cost": {"usd_per_hour": 7.2, "apis": [GROQ]},
    }  # fmt: skip
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    whole = bench("report", run, "-f", "csv")
    alone = bench("report", run / "records.jsonl", "-f", "csv")
    (line,) = csv.DictReader(io.StringIO(whole.stdout))
    assert float(line["usd_per_hour"]) == 7.2
    assert alone.stdout == whole.stdout


def test_cells_that_left_the_config_are_shown_only_when_asked_for(run: Path) -> None:
    """A warning counts them and names the option."""
    with Journal(run) as journal:
        journal.append(record(0, of=cell(precision=FourBit(name="nf4"))))
    plan = {"name": "sample", "config": "sample.yaml", "cells": [THREE[0].cell.cell_id], "replicates": 3}
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    few, every = bench("report", run, "-f", "csv"), bench("report", run, "-f", "csv", "--all-cells")
    assert few.stdout.count("\n") == 2
    assert "1 records" in few.stderr
    assert "--all-cells" in few.stderr
    assert every.stdout.count("\n") == 3
    assert every.stderr == ""


def test_a_stated_price_reaches_the_table(run: Path) -> None:
    """Twice the price, twice the dollars, from the same records."""
    prices = []
    for price in ("3.6", "7.2"):
        done = bench("report", run, "-f", "json", "--usd-per-hour", price)
        prices.append(json.loads(done.stdout)["rows"][0]["blended_usd_per_mtok"])
    assert prices == pytest.approx([0.001 / 222 * 1e6, 0.002 / 222 * 1e6])


def test_a_round_of_the_samples_is_what_this_file_says() -> None:
    """The arithmetic above rests on it."""
    assert (WORKLOAD.batch_size, WORKLOAD.input_tokens, WORKLOAD.output_tokens) == (2, 100, 11)
    assert a_round().step_s[-1] == pytest.approx(1.0)
    assert a_round().step_s[0] == 0.5


def test_other_weights_under_the_same_name_are_another_row() -> None:
    """A revision that moved, or a file that was replaced: never in one interval."""
    moved = [record(0), record(1), record(2)]
    for index, name in ((0, "commit:a"), (1, "commit:b"), (2, "commit:b")):
        measured = moved[index].measurement
        assert measured is not None
        facts = measured.facts.model_copy(update={"weights_id": name})
        moved[index] = moved[index].model_copy(update={"measurement": measured.model_copy(update={"facts": facts})})
    failed = failed_record("crashed", replicate=3)
    found = rows([*moved, failed], STATED)
    assert [row.replicates for row in found] == [1, 2]
    text = "\n".join(footnotes(found))
    assert "Weights commit:a. [row 1]" in text
    assert "Weights commit:b. [row 2]" in text
    assert "failures" in table.verdict(found[0])


def test_the_headline_names_the_row_with_the_fewest_dollars_and_its_verdict() -> None:
    from bench.report.headline import headline

    cheap = cell(precision=FourBit(name="nf4"))
    found = rows([record(0), record(1), record(0, of=cheap, measured=measurement(0.5))], STATED)
    said = headline(found)
    assert "nf4" in said
    assert "verdict: one-replicate" in said
    assert headline([]) == ""


def test_small_and_nearly_whole_shares_are_not_rounded_away() -> None:
    assert [table.percent(share) for share in (0.004, 0.05, 0.5, 0.996, 1.0)] == [
        "0.40%", "5.0%", "50%", "99.6%", "100%",
    ]  # fmt: skip
