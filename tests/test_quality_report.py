"""From quality passes in a journal to the columns of a report: which pass belongs to which row, and what is said."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.metrics.quality import figures
from bench.report import quality_plain, quality_text, table
from bench.report.footnotes import footnotes
from bench.report.headline import headline
from bench.report.quality import RANDOM, Qualities
from bench.report.render import render
from bench.report.rows import Row, rows
from bench.schema import Cell, CostChoices, FourBit, Int8, PhaseProfile, Plain, Precision, Profile, Record, TaskResult
from bench.store import Journal
from tests.commands import ROOT, bench
from tests.samples import (
    FP32,
    cell,
    environment,
    facts,
    failed_record,
    held_against,
    measurement,
    quality_cell,
    quality_record,
    record,
    scored,
)

API = "groq/llama-3.1-8b-instant"
STATED = CostChoices(usd_per_hour=3.6, apis=(API,))
NF4, INT8, FP16 = FourBit(name="nf4"), Int8(name="int8"), Plain(name="fp16")
OLD = ROOT / "tests" / "data" / "records-v1.jsonl"
TASK = TaskResult(task="capitals", metric="acc", value=0.25, stderr=0.04, examples=120)


def _timed(precision: Precision, factor: float = 1.0) -> list[Record]:
    of = cell(precision=precision)
    return [record(index, of=of, measured=measurement(factor)) for index in range(2)]


REFERENCE = quality_record(name="base")
LEVEL = quality_record(quality_cell(NF4), scored(3.1, 0.05, held_against("base"), [TASK]), "nf4 scored")
CLOSE = quality_record(quality_cell(INT8), scored(3.001, 0.05, held_against("base", 0.0004, 1.0)), "int8 scored")
BROKEN = quality_record(quality_cell(FP16), scored(nonfinite_tokens=2560), "fp16 scored")
PASSES = [REFERENCE, LEVEL, CLOSE, BROKEN]
TIMED = [*_timed(FP32, 2.0), *_timed(NF4, 0.5), *_timed(INT8), *_timed(FP16)]


def _profile(of: Cell, steps: int = 4) -> Record:
    phase = PhaseProfile(steps=steps, wall_s=0.2, busy_s=0.1, calls=900)
    made = Profile(facts=facts(), device="cpu", prefill=phase, decode=phase)
    return record(0, of=of, name=f"{of.cell_id} profile {steps}").model_copy(
        update={"measurement": None, "purpose": "profile", "profile": made}
    )


def _rows(records: Sequence[Record]) -> list[Row]:
    return rows(records, STATED)


def _one(records: Sequence[Record]) -> Row:
    (row,) = _rows(records)
    return row


# --- which pass belongs to which row -----------------------------------------------------------------------------


def test_each_row_gets_the_quality_of_its_level() -> None:
    """And no pass is a row of its own, wherever it stands in the journal."""
    fp32, nf4, int8, fp16 = _rows([*PASSES[2:], *TIMED, *PASSES[:2]])
    assert [row.quality is not None for row in (fp32, nf4, int8, fp16)] == [True] * 4
    assert fp32.quality is not None
    assert fp32.quality.is_reference
    assert nf4.quality is not None
    assert nf4.quality.divergence is not None
    assert nf4.quality.divergence.delta_nll.value == pytest.approx(0.1)
    assert nf4.quality.tasks == (TASK,)
    assert nf4.quality == figures(_asked(LEVEL), NF4, _scored(LEVEL), _scored(REFERENCE))
    assert all(row.no_quality_because is None and row.replicates == 2 for row in (fp32, nf4, int8, fp16))


def _asked(of: Record) -> Any:
    return of.cell.quality


def _scored(of: Record) -> Any:
    return of.scored


def test_an_old_journal_has_no_quality_and_nothing_is_said_of_it() -> None:
    row = _one(_timed(NF4))
    assert (row.quality, row.no_quality_because, row.profile) == (None, None, None)


def test_of_several_passes_the_newest_good_one_counts() -> None:
    """By the order of the journal; a failure that came later does not undo it."""
    later = quality_record(quality_cell(NF4), scored(3.3, against=held_against("base")), "again")
    failed = failed_record("crashed", of=quality_cell(NF4)).model_copy(update={"purpose": "quality"})
    row = _one([REFERENCE, *_timed(NF4), LEVEL, later, failed])
    assert row.quality is not None
    assert row.quality.nll_per_token == pytest.approx(3.3)
    assert row.verdict == ()


def test_texts_are_never_mixed() -> None:
    """The newest pass says which text counts; a level that was scored on another one only has no figure, and why."""
    other = quality_record(quality_cell(FP32, None, text="other.txt"), scored(keeps=True), "base of the other")
    found = _rows([*PASSES, *TIMED, other])
    assert found[0].quality is not None
    assert found[0].quality.text == "other.txt"
    assert [row.quality for row in found[1:]] == [None] * 3
    assert {row.no_quality_because for row in found[1:]} == {
        "its quality pass scored another text, in other windows, or against another reference"
    }
    planned = Qualities([one.cell.cell_id for one in PASSES])
    kept = rows([*PASSES, *TIMED, other], STATED, qualities=planned)
    assert [row.quality is not None and row.quality.text for row in kept] == ["builtin:sample"] * 4


def test_references_are_never_mixed() -> None:
    """What was the reference of others once is not shown as that of these."""
    bf16 = Plain(name="bf16")
    base = quality_record(quality_cell(bf16, None), scored(keeps=True), "new base")
    level = quality_record(quality_cell(NF4, bf16), scored(3.05, against=held_against("new base")), "new nf4")
    fp32, nf4, new = _rows([REFERENCE, LEVEL, *_timed(FP32), *_timed(NF4), *_timed(bf16), base, level])
    assert fp32.quality is None
    assert "another reference" in str(fp32.no_quality_because)
    assert nf4.quality is not None
    assert nf4.quality.reference == "bf16"
    assert new.quality is not None
    assert new.quality.is_reference


def test_without_any_reference_every_level_stands_alone() -> None:
    alone = [quality_record(quality_cell(one, None), scored(3.0), f"{one.name} alone") for one in (FP32, NF4)]
    found = _rows([*alone, *_timed(FP32), *_timed(NF4)])
    assert [row.quality is not None and row.quality.bits_per_byte is not None for row in found] == [True, True]
    assert [quality_text.delta_nll(row) for row in found] == ["–", "–"]
    assert [row.quality.reasons for row in found if row.quality is not None] == [(), ()]


@pytest.mark.parametrize("what", ["machine", "weights", "runner", "failed", "torn"])
def test_no_quality_says_why(what: str) -> None:
    """Never a figure of another machine, of other weights or of a broken record."""
    level, timed = LEVEL, _timed(NF4)
    if what == "machine":
        level = quality_record(quality_cell(NF4), _scored(LEVEL), where=environment(cpu_model="Other CPU"))
        words = "another machine, or with other versions (cpu_model)"
    elif what == "weights":
        others = facts().model_copy(update={"weights_id": "commit:other"})
        level = quality_record(quality_cell(NF4), _scored(LEVEL).model_copy(update={"facts": others}))
        words = "other weights than were timed"
    elif what == "runner":
        level = LEVEL.model_copy(update={"cell": quality_cell(INT8)})
        words = "no quality pass of this model, runner and level"
    elif what == "failed":
        bad = failed_record("oom", "out of memory", "a smaller window", of=quality_cell(NF4))
        level = bad.model_copy(update={"purpose": "quality"})
        words = "the quality pass failed (oom): out of memory; a smaller window"
    else:
        level = quality_record(quality_cell(NF4), scored(nll_nats=(1.0,)))
        words = "not written by this program"
    row = _one([REFERENCE, level, *timed])
    assert row.quality is None
    assert words in str(row.no_quality_because)
    assert row.status == "ok"
    assert row.verdict == ()
    assert words in "\n".join(footnotes([row]))


def test_random_weights_have_no_quality() -> None:
    """By the model's name or by what the engine said; the note that random weights have anyway is enough."""
    shape = cell("shape:llama-3.1-8b", NF4)
    by_name = _one([REFERENCE, record(0, of=shape)])
    said = measurement(of=facts(random_weights=True))
    by_engine = _one([REFERENCE, LEVEL, record(0, of=cell(precision=NF4), measured=said)])
    for row in (by_name, by_engine):
        assert (row.quality, row.no_quality_because) == (None, RANDOM)
        assert sum("andom weights" in note for note in footnotes([row])) == 1


def test_profiles_are_kept_beside_their_cell() -> None:
    """The newest; one that failed is neither a row nor a failure of it."""
    of = cell(precision=NF4)
    failed = failed_record("crashed", of=of).model_copy(update={"purpose": "profile"})
    row = _one([*_timed(NF4), _profile(of), _profile(of, steps=8), failed])
    assert row.profile is not None
    assert row.profile.prefill.steps == 8
    assert (row.status, row.verdict) == ("ok", ())
    assert _one([*_timed(NF4), failed]).profile is None
    assert _rows([_profile(of)]) == []


def test_a_level_that_could_not_be_timed_may_have_quality() -> None:
    row = _one([REFERENCE, LEVEL, failed_record("oom", of=cell(precision=NF4))])
    assert row.figures is None
    assert row.quality is not None
    assert table.verdict(row) == "oom"


# --- what is said ------------------------------------------------------------------------------------------------


def test_nan_logits_cost_the_dollars_and_keep_the_speed() -> None:
    """What answers nothing has no price for its tokens."""
    *_, fp16 = _rows([*PASSES, *TIMED])
    assert table.verdict(fp16) == "nan-logits"
    assert fp16.figures is not None
    assert (fp16.dollars, fp16.no_dollars_because) == (None, "nan-logits")
    notes = "\n".join(footnotes([fp16]))
    assert "2,560 of 2,560 tokens" in notes
    assert notes.count("nan-logits: ") == 1
    assert quality_text.bits_per_byte(fp16) == "(nan-logits)"


def test_worse_than_guessing_stands_in_the_verdict() -> None:
    lost = quality_record(quality_cell(NF4), scored(11.0, against=held_against("base")), "lost")
    row = _one([REFERENCE, lost, *_timed(NF4)])
    assert table.verdict(row) == "worse-than-guessing"
    assert row.dollars is not None


def test_the_columns_by_hand() -> None:
    """3 nats over 4 bytes are 1.0820 bits a byte; the level loses 0.1 ± 0.0080; int8's loss can't be told."""
    found = _rows([*PASSES, *TIMED])
    columns, _ = table.columns(found)
    texts = {one.heading: [one.text(row) for row in found] for one in columns if one.group == "quality"}
    assert texts == {
        "bits/byte": ["1.0820", "1.1181", "1.0824", "(nan-logits)"],
        "ΔNLL": ["reference", "0.1000 ± 0.0080", "0.0010 ± 0.0080 ?", "–"],
        "KL": ["–", "0.02", "0.0004", "–"],
        "same top-1": ["–", "75.0%", "100%", "–"],
    }
    headings = [one.heading for one in columns]
    assert headings.index("decode limit" if "decode limit" in headings else "peak GB") < headings.index("bits/byte")
    assert headings.index("same top-1") < headings.index("$/Mtok in")


def test_the_notes_say_what_was_scored() -> None:
    found = _rows([*PASSES, *TIMED])
    text = "\n".join(footnotes(found))
    for words in (
        "the text builtin:sample, 2,560 tokens (10,240 bytes) in 5 windows of 512",
        "against fp32 over the same tokens",
        "paired standard error over blocks of tokens",
        "The reference fp32, scored twice, against itself: KL 0, same top-1 100%. [row 1]",
        "a fair reference for further quantisation",
        "quality of the APIs is not compared.",
    ):
        assert words in text


def test_the_headline_says_what_the_cheapest_row_loses() -> None:
    """nf4 is the cheapest here; the API's quality is still nobody's."""
    answer = headline(_rows([*PASSES, *TIMED]))
    assert "(quality: ΔNLL 0.1000 ± 0.0080 against fp32; the API's quality is not compared)" in answer
    alone = headline(_rows([REFERENCE, *_timed(FP32)]))
    assert "(quality: 1.0820 bits per byte, the reference itself; the API's quality is not compared)" in alone
    assert "(quality not compared)" in headline(_rows(TIMED))


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with quality passes before and behind what was timed, and a profile."""
    folder = tmp_path_factory.mktemp("quality") / "run"
    with Journal(folder) as journal:
        for one in [*PASSES[:2], *TIMED, *PASSES[2:], _profile(cell(precision=NF4))]:
            journal.append(one)
    return folder


def _report(run: Path, form: str) -> str:
    done = bench("report", run, "--format", form, "--usd-per-hour", "3.6", "--api", API)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


@pytest.mark.parametrize("form", ["table", "md"])
def test_tables_hold_quality_and_tasks(run: Path, form: str) -> None:
    shown = _report(run, form)
    for words in ("bits/byte", "same top-1", "1.1181", "0.1000 ± 0.0080", "capitals acc", "0.250 ± 0.040 (n 120)"):
        assert words in shown
    assert "nan-logits" in shown
    if form == "table":  # 120 columns: quality has a block of its own, before the dollars
        blocks = [line for line in shown.splitlines() if line.strip().startswith("# ")]
        assert any("bits/byte" in line and "TTFT" not in line and "$/Mtok" not in line for line in blocks)


def test_csv_grows_by_quality(run: Path) -> None:
    """Every key that an old report has, in its order, and these besides."""
    lines = list(csv.DictReader(io.StringIO(_report(run, "csv"))))
    assert len(lines) == 4
    fp32, nf4, int8, fp16 = lines
    assert float(nf4["delta_nll_nats"]) == pytest.approx(0.1)
    assert float(nf4["delta_nll_nats_se"]) == pytest.approx(0.0080, abs=5e-5)
    assert [line["delta_nll_nats_told_apart"] for line in lines] == ["", "True", "False", ""]
    assert float(nf4["kl_mean_nats"]) == pytest.approx(0.02)
    assert float(nf4["kl_p99_nats"]) == pytest.approx(0.2)
    assert float(nf4["same_top_1"]) == 0.75
    assert float(fp32["token_perplexity"]) == pytest.approx(20.0855, abs=1e-4)
    assert float(fp32["nll_nats_per_token"]) == pytest.approx(3.0)
    assert {line["quality_text"] for line in lines} == {"builtin:sample"}
    assert {line["quality_reference"] for line in lines} == {"fp32"}
    assert [line["quality_verdict"] for line in lines] == ["VALID", "VALID", "VALID", "nan-logits"]
    assert (fp16["bits_per_byte"], fp16["delta_nll_nats"], int8["no_quality_because"]) == ("", "", "")
    assert {line["quality"] for line in lines} == {"not compared"}


def test_json_holds_all_of_a_pass(run: Path) -> None:
    text = _report(run, "json")
    whole = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    fp32, nf4, _, fp16 = (row["quality_pass"] for row in whole["rows"])
    assert fp32["is_reference"]
    assert fp32["self_check"]["kl_mean_nats"] == 0
    assert nf4["tasks"] == [TASK.model_dump(mode="json")]
    assert nf4["divergence"]["told_apart"] is True
    assert nf4["divergence"]["kl_max_nats"] == pytest.approx(0.8)
    assert fp16["reasons"][0]["code"] == "nan-logits"
    assert "the API's quality is not compared" in whole["headline"]


def test_a_journal_from_before_is_reported_as_before() -> None:
    """No column, no note, no word of quality but that it was not compared; new keys of the CSV are empty."""
    for form in ("table", "md"):
        text = _report(OLD, form)
        assert "bits/byte" not in text
        assert "ΔNLL" not in text
        assert "No quality" not in text
        assert "quality not compared" in text
    lines = list(csv.DictReader(io.StringIO(_report(OLD, "csv"))))
    assert lines
    assert all(line[key] == "" for line in lines for key in quality_plain.flat(_one(_timed(NF4))))
    assert {line["quality"] for line in lines} == {"not compared"}


def test_every_width_keeps_to_it() -> None:
    found = _rows([*PASSES, *TIMED])
    for width in (60, 100, 300):
        text = render(found, "table", width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "bits/byte" in text
