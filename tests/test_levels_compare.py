"""`bench compare RUN --by precision` on programmed records: table, front, what to ship, batch sweep and chart."""

import csv
import io
import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli import sides
from bench.cli.levels import nats
from bench.errors import InputError
from bench.metrics.explain import Explanation
from bench.report.levels import charts, why
from bench.report.levels.compare import levels
from bench.report.levels.level import Levels, LevelTable
from bench.report.levels.render import render_levels
from bench.report.rows import Row, rows
from bench.schema import CostChoices, KvCache, Plain, Record
from tests import samples
from tests.commands import bench
from tests.levels_samples import BF16, FP4, INT8, NF4, cell, quality, run, scored, speed, timed

CHOICES = CostChoices(usd_per_hour=3.6, apis=("groq/llama-3.1-8b-instant",))
PRICE = ("--usd-per-hour", "3.6")


def _levels(
    folder: Path,
    records: Sequence[Record],
    reference: str | None = None,
    batch_size: int | None = None,
    tolerance: float | None = None,
    times: bool = True,
    choices: CostChoices = CHOICES,
) -> Levels:
    found = rows(records, choices)
    measured = sides.measured_cells(run(folder, records), lambda _: None) if times else ()
    return levels(found, reference, batch_size, tolerance, measured)


def _only(of: Levels) -> LevelTable:
    (one,) = of.tables
    return one


def _said(of: LevelTable) -> str:
    return " ".join(of.recommendation.sentences)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bf16, int8 and nf4 at three batch sizes, with their quality."""
    return run(tmp_path_factory.mktemp("whole"), speed() + quality())


def _json(folder: Path, *more: str) -> dict[str, Any]:
    done = bench("compare", folder, "--by", "precision", "--format", "json", *PRICE, *more)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (table,) = json.loads(done.stdout)["tables"]
    assert isinstance(table, dict)
    return table


def _by_level(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["level"]: one for one in table["levels"]}


# The table


def test_one_row_a_level_with_programmed_figures(whole: Path) -> None:
    table = _json(whole, "--batch-size", "4")
    assert (table["batch_size"], table["reference"], table["quality_reference"]) == (4, "bf16", "bf16")
    found = _by_level(table)
    assert list(found) == ["bf16", "int8", "nf4"]
    nf4 = found["nf4"]
    assert nf4["decode_ratio"] == pytest.approx(62 / 47, rel=2e-3)
    assert nf4["decode_ratio_paired"] is True
    assert nf4["decode_ratio_low"] < nf4["decode_ratio"] < nf4["decode_ratio_high"]
    assert nf4["usd_ratio"] == pytest.approx(47 / 62, rel=2e-3)
    assert nf4["delta_nll_nats"] == pytest.approx(0.22)
    assert nf4["delta_nll_nats_told_apart"] is True
    assert nf4["kl_mean_nats"] == pytest.approx(0.27)
    assert nf4["kl_p99_nats"] == pytest.approx(9 * 0.27)
    assert nf4["same_top_1"] == pytest.approx(round(64 * 0.73) / 64)
    assert nf4["model_bits_per_weight"] == pytest.approx(8 * 116_400_000 / 134_515_008)
    assert nf4["matrices_bits_per_weight"] == pytest.approx(4.5, abs=0.02)
    assert found["bf16"]["matrices_bits_per_weight"] == pytest.approx(16, abs=0.01)
    assert found["bf16"]["decode_ratio"] is None
    assert (found["bf16"]["delta_nll_nats"], found["bf16"]["same_top_1"]) == (0.0, 1.0)
    assert [found[name]["front"] for name in found] == ["on", "off", "on"]
    assert table["front"] == ["bf16", "nf4"]


def test_a_drift_of_the_machine_cancels_in_pairs_alone(tmp_path: Path) -> None:
    """All levels are slow and fast together: the rates are known to 9 %, their ratio to a few thousandths."""
    paired = _only(_levels(tmp_path, speed(sizes=(4,)) + quality())).level("nf4").decode_ratio
    apart = _only(_levels(tmp_path, speed(sizes=(4,)) + quality(), times=False)).level("nf4").decode_ratio
    assert paired is not None
    assert apart is not None
    assert (paired.paired, apart.paired) == (True, False)
    assert paired.value == pytest.approx(apart.value, rel=1e-6)
    assert paired.low is not None
    assert apart.low is not None
    assert paired.value / paired.low - 1 < 0.01
    assert apart.value / apart.low - 1 > 0.05


def test_what_cannot_be_told_apart_is_marked(tmp_path: Path) -> None:
    """The same step time with other noise, and a ΔNLL within its error."""
    same = timed(INT8, 4, 62, own=(9, -8, -9, 10))
    table = _only(_levels(tmp_path, timed(BF16, 4, 62) + same + [scored(BF16, 0, 0), scored(INT8, 0.001, 0.05)]))
    text = render_levels(Levels((table,)), "table", 200)
    line = next(line for line in text.splitlines() if line.startswith("int8"))
    assert re.search(r"1\.00\d? ±\d\.?\d*% \?", line)
    assert "0.0010 ± 0.0050 ?" in line
    assert "?: the interval includes 1" in text
    assert "?: within three of them" in text
    assert table.level("int8").standing == "maybe"


@pytest.mark.parametrize(("sizes", "expected"), [((1, 4, 16), 16), ((1, 4), 4)])
def test_the_largest_batch_that_every_level_has(tmp_path: Path, sizes: tuple[int, ...], expected: int) -> None:
    """nf4 was measured at fewer sizes; int8 nowhere, and does not count."""
    failed = [samples.failed_record(of=cell(INT8, size), reason="no kernel here") for size in (1, 4, 16)]
    records = speed((BF16,)) + failed + speed((NF4,), sizes)
    table = _only(_levels(tmp_path, records))
    assert table.batch_size == expected
    assert not table.level("int8").is_measured
    assert any("int8: unsupported: no kernel here" in note for note in table.notes)
    assert table.level("nf4").is_measured


def test_without_a_size_that_all_have_the_one_that_most_have(tmp_path: Path) -> None:
    records = speed((BF16,), (1, 4)) + speed((INT8,), (4,)) + speed((NF4,), (16,))
    table = _only(_levels(tmp_path, records))
    assert table.batch_size == 4
    notes = " ".join(table.notes)
    assert "Batch 4 is the one that most levels have" in notes
    assert "nf4: not measured at this batch size (measured: 16)" in notes
    line = next(one for one in render_levels(Levels((table,)), "table", 200).splitlines() if one.startswith("nf4"))
    assert "not measured" in line


def test_a_failed_level_stays_with_its_reason_in_every_form(tmp_path: Path) -> None:
    failed = samples.failed_record("oom", "needs 99 GB", of=cell(NF4, 4))
    found = _levels(tmp_path, [*speed((BF16, INT8), (4,)), failed])
    for form in ("table", "md", "json"):
        assert "needs 99 GB" in render_levels(found, form, 160)
    lines = list(csv.DictReader(io.StringIO(render_levels(found, "csv"))))
    assert [(one["level"], one["status"], one["failure"]) for one in lines][-1] == ("nf4", "oom", "needs 99 GB")


# The reference


def test_the_reference_is_the_quality_passes_else_the_widest(tmp_path: Path) -> None:
    fp32 = Plain(name="fp32")
    records = timed(BF16, 4, 62) + timed(fp32, 4, 103) + timed(NF4, 4, 47)
    assert _only(_levels(tmp_path, records)).reference == "fp32"
    table = _only(_levels(tmp_path, records + quality()))
    assert (table.reference, table.quality_reference) == ("bf16", "bf16")
    table = _only(_levels(tmp_path, records + quality(), reference="FP32"))
    assert (table.reference, table.quality_reference) == ("fp32", "bf16")
    assert any("are against bf16, which the quality passes had" in note for note in table.notes)
    assert table.level("nf4").decode_ratio is not None


def test_a_quantised_cache_is_no_plain_reference(tmp_path: Path) -> None:
    kept = Plain(name="fp32", kv_cache=KvCache(format="int4"))
    assert _only(_levels(tmp_path, timed(kept, 4, 90) + timed(BF16, 4, 62))).reference == "bf16"
    table = _only(_levels(tmp_path, timed(kept, 4, 90) + timed(NF4, 4, 47)))
    assert table.reference is None
    assert any(note.startswith("No ratios: no level is plain") for note in table.notes)
    assert table.sweep.crossed == ()


def test_a_quality_reference_that_was_not_timed(tmp_path: Path) -> None:
    fp32 = Plain(name="fp32")
    passes = [scored(fp32, 0, 0, reference=fp32), scored(NF4, 0.22, 0.05, reference=fp32)]
    table = _only(_levels(tmp_path, timed(BF16, 4, 62) + timed(NF4, 4, 47) + passes))
    assert (table.reference, table.quality_reference) == ("bf16", "fp32")
    assert any("against fp32" in note for note in table.notes)
    assert table.level("bf16").not_placed_because == "no quality"
    assert any("Not placed: bf16: no quality" in note for note in table.notes)


# What to ship


def test_the_cheapest_within_a_tolerance(whole: Path) -> None:
    said = _json(whole, "--tolerance", "30%", "--batch-size", "4")["recommendation"]
    assert said["tolerance_nats"] == pytest.approx(math.log(1.3))
    assert said["level"] == "nf4"
    assert said["delta_nll_nats_high"] == pytest.approx(0.22 + 1.96 * 0.005, abs=1e-3)
    assert said["at_other_batch_sizes"] == {"1": "nf4", "16": "bf16"}
    text = " ".join(said["sentences"])
    assert "Cheapest level within ΔNLL ≤ 0.26 nats a token (30% of the perplexity) at batch 4: nf4, $" in text
    assert "Another batch size would change it: bf16 at batch 16." in text


def test_a_cheaper_level_in_doubt_is_named(tmp_path: Path) -> None:
    """nf4's ΔNLL is 0.22 ± 0.005: 0.225 lies within its interval."""
    table = _only(_levels(tmp_path, speed(sizes=(4,)) + quality(), tolerance=0.225))
    assert (table.recommendation.label, table.recommendation.in_doubt) == ("bf16", ("nf4",))
    assert "bf16, $" in _said(table)
    assert "it is the reference" in _said(table)
    assert "Cheaper, and in doubt: nf4 (0.2200 ± 0.0050, $" in _said(table)
    assert "No other batch size was measured." in _said(table)


def test_two_that_cost_the_same_are_both_named(tmp_path: Path) -> None:
    records = timed(BF16, 4, 62) + timed(NF4, 4, 47, own=(5, -6, -5, 6)) + timed(FP4, 4, 47.1, own=(-6, 5, 6, -5))
    passes = [scored(BF16, 0, 0), scored(NF4, 0.22, 0.05), scored(FP4, 0.3, 0.05)]
    table = _only(_levels(tmp_path, records + passes, tolerance=0.5))
    assert (table.recommendation.label, table.recommendation.not_told_apart) == ("nf4", ("fp4",))
    assert "By cost it cannot be told apart from fp4 ($" in _said(table)
    assert table.level("fp4").standing == "maybe"


def test_nothing_within_the_tolerance(tmp_path: Path) -> None:
    """The reference itself has no dollars here, because it was not timed."""
    table = _only(_levels(tmp_path, timed(INT8, 4, 108) + timed(NF4, 4, 47) + quality(), tolerance=0.001))
    assert table.recommendation.label is None
    assert "No level is surely within ΔNLL ≤ 0.0010 nats a token" in _said(table)
    doubtful = _only(_levels(tmp_path, timed(INT8, 4, 108) + timed(NF4, 4, 47) + quality(), tolerance=0.014))
    assert doubtful.recommendation.in_doubt == ("int8",)
    assert "It may be: int8 (" in _said(doubtful)


def test_the_ladder_along_the_front(tmp_path: Path) -> None:
    table = _only(_levels(tmp_path, speed() + quality(), batch_size=4))
    steps = table.recommendation.ladder
    assert [one.label for one in steps] == ["bf16", "nf4"]
    assert [one.from_nats for one in steps] == [0.0, pytest.approx(0.22)]
    text = _said(table)
    assert re.search(r"at batch 4: from 0: bf16, \$[\d.–]+; from 0\.22, surely from 0\.23: nf4, \$[\d.–]+\.", text)
    assert "Other batch sizes have another ladder: at batch 16: bf16." in text
    same = _only(_levels(tmp_path, speed(sizes=(1, 4)) + quality()))
    assert "The ladder has the same levels at batch 1." in _said(same)


def test_a_doubtful_row_is_recommended_with_its_doubt_and_a_fatal_one_never(tmp_path: Path) -> None:
    found = rows(speed(sizes=(4,)) + quality(), CHOICES)
    one_replicate = [one for one in speed((NF4,), (4,)) if one.replicate == 0]
    doubtful = _only(_levels(tmp_path, speed((BF16,), (4,)) + one_replicate + quality(), tolerance=0.5))
    assert doubtful.recommendation.label == "nf4"
    assert "Take with care, because of the verdict: nf4 (one-replicate)." in _said(doubtful)
    assert "By cost it cannot be told apart from bf16" in _said(doubtful)
    reason = replace(doubtful.level("nf4").row.verdict[0], code="swap", fatal=True)  # type: ignore[union-attr]
    fatal = [replace(row, verdict=(reason,), dollars=None) if row.cell.precision == NF4 else row for row in found]
    table = _only(levels(fatal, None, None, 0.5))
    assert table.recommendation.label == "bf16"
    assert table.level("nf4").decode_ratio is None
    assert table.level("nf4").not_placed_because == "no dollars"
    assert "(swap)" in render_levels(Levels((table,)), "md")


def test_nan_logits_are_a_verdict_and_no_recommendation(tmp_path: Path) -> None:
    passes = [scored(BF16, 0, 0), scored(NF4, 0.1, 0.01, nonfinite=7)]
    table = _only(_levels(tmp_path, speed((BF16, NF4), (4,)) + passes, tolerance=9))
    assert table.recommendation.label == "bf16"
    text = render_levels(Levels((table,)), "table", 220)
    assert "nan-logits" in next(line for line in text.splitlines() if line.startswith("nf4"))
    assert text.count("7 of 6,400 tokens") == 1


# The sweep


def test_crossings_of_the_programmed_steps(whole: Path) -> None:
    """nf4 over bf16 is 62/47 at batch 4 and 102/130 at 16: a line in both logarithms crosses 1 at 8.4."""
    found = {(one["level"], one["quantity"]): one for one in _json(whole)["sweep"]["crossovers"]}
    down, up = math.log(62 / 47), math.log(102 / 130)
    expected = 2 ** (2 + 2 * down / (down - up))
    for quantity in ("decode tok/s", "$/Mtok"):
        (one,) = found["nf4", quantity]["crossings"]
        assert one["batch_size"] == pytest.approx(expected, rel=0.01)
        assert one["between"] == one["surely_between"] == [4, 16]
        assert one["better_above"] is False
        assert "better below batch 8.4 (between 4 and 16)" in found["nf4", quantity]["text"]
        assert found["int8", quantity]["outcome"] == "loses"


def test_the_two_cheapest_are_held_against_each_other(tmp_path: Path) -> None:
    steps = {"bf16": {1: 46, 4: 62}, "nf4": {1: 33, 4: 50}, "fp4": {1: 36, 4: 45}}
    table = _only(_levels(tmp_path, speed((BF16, NF4, FP4), (1, 4), steps) + quality()))
    (one,) = [one for one in table.sweep.crossed if one.other == "nf4" and one.quantity == "$/Mtok"]
    assert (one.label, one.found.outcome) == ("fp4", "crosses")
    assert one.found.crossings[0].wins_above


def test_doubt_about_a_crossing_is_said(tmp_path: Path) -> None:
    noisy = (120, -110, -130, 140)
    records = speed((BF16,), (1, 4, 16)) + timed(NF4, 1, 33) + timed(NF4, 4, 60, own=noisy) + timed(NF4, 16, 130)
    table = _only(_levels(tmp_path, records))
    text = render_levels(Levels((table,)), "md")
    assert "in doubt between 1 and 16" in text
    once = [one for one in speed((BF16, NF4), (1, 16)) if one.replicate == 0]
    assert "in doubt at every size" in render_levels(_levels(tmp_path, once), "md")


def test_the_chart_in_the_terminal_wants_three_sizes(tmp_path: Path) -> None:
    three = render_levels(_levels(tmp_path, speed()), "table", 120)
    assert "(× bf16)" in three
    assert "1 int8, 2 nf4; - is bf16; both axes logarithmic" in three
    assert "both axes" not in render_levels(_levels(tmp_path, speed(sizes=(1, 4))), "table", 120)
    one = render_levels(_levels(tmp_path, speed(sizes=(4,))), "table", 120)
    assert "by batch size" not in one
    assert "where one stops" not in one


# Forms


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_every_block_fits_the_terminal_and_begins_with_the_level(tmp_path: Path, width: int) -> None:
    text = render_levels(_levels(tmp_path, speed() + quality()), "table", width)
    assert max(len(line) for line in text.splitlines()) <= width
    headings = [line for line in text.splitlines() if re.match(r"level +\S", line)]
    assert (len(headings) == 3) == (width == 250)  # the table, and two of the sweep
    for word in ("bits/weight", "decode tok/s", "× bf16", "$/Mtok blended", "ΔNLL", "KL (p99)", "front", "verdict"):
        assert any(word in line for line in headings), word


def test_csv_has_a_line_for_each_level_and_size_and_units_in_its_names(whole: Path) -> None:
    done = bench("compare", whole, "--by", "precision", "--format", "csv", *PRICE)
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(one["level"], one["batch_size"]) for one in lines][:4] == [
        ("bf16", "1"),
        ("bf16", "4"),
        ("bf16", "16"),
        ("int8", "1"),
    ]
    assert len(lines) == 9
    assert [one["level"] for one in lines if one["shown"] == "True"] == ["bf16", "int8", "nf4"]
    nf4 = next(one for one in lines if one["level"] == "nf4" and one["shown"] == "True")
    assert float(nf4["blended_usd_per_mtok_low"]) < float(nf4["blended_usd_per_mtok"])
    assert float(nf4["delta_nll_nats_se"]) == pytest.approx(0.005, rel=0.02)
    for key in (
        "weights_bytes",
        "peak_bytes",
        "decode_tokens_per_s",
        "mbu",
        "energy_j_per_output_token",
        "kl_p99_nats",
    ):
        assert key in nf4


def test_a_blend_that_was_asked_for_has_a_column(whole: Path) -> None:
    done = bench("compare", whole, "--by", "precision", "--blend", "5:1", "--batch-size", "4", "-f", "md", *PRICE)
    assert "$/Mtok 5:1" in done.stdout
    found = _by_level(_json(whole, "--blend", "5:1"))["nf4"]
    assert found["usd_per_mtok_at_5_to_1_low"] < found["usd_per_mtok_at_5_to_1"]


def test_markdown_and_json_say_the_same(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "levels.md"
    done = bench("compare", whole, "--by", "precision", "-f", "md", "-o", out, "--tolerance", "0.02", *PRICE)
    assert (done.returncode, done.stdout) == (0, "")
    text = out.read_text()
    table = _json(whole, "--tolerance", "0.02")
    assert text.count("\n| level") + text.count("\n|:") >= 3
    for sentence in table["recommendation"]["sentences"]:
        assert sentence.replace("<", "\\<") in text
    assert len(table["notes"]) == sum(line.startswith("- ") for line in text.splitlines()[-len(table["notes"]) :])


def test_the_explanation_stands_in_the_row_and_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explained(of: Sequence[Row]) -> dict[int, Explanation]:
        last = len(of) - 1
        return {last: Explanation("no-kernel", "no kernel: falls back to bf16", 0.05)}

    monkeypatch.setattr(why, "explanations", explained)
    found = _levels(tmp_path, speed(sizes=(4,)) + quality())
    for form in ("table", "md"):
        text = render_levels(found, form, 220)
        assert "no kernel" in next(line for line in text.splitlines() if line.strip("| ").startswith("nf4"))
        assert "nf4: no kernel: falls back to bf16" in text
    assert json.loads(render_levels(found, "json"))["tables"][0]["levels"][2]["explanation"]["step_s"] == 0.05
    assert "no-kernel" in render_levels(found, "csv")


# The chart in a file


def _words(path: Path) -> str:
    texts = ET.parse(path).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own file
    return " ".join("".join(one.itertext()) for one in texts)


def test_the_chart_names_every_level_once_a_panel(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "levels.svg"
    done = bench("compare", whole, "--by", "precision", "--batch-size", "4", "--chart", path, *PRICE)
    assert done.returncode == 0, done.stderr
    words = _words(path)
    assert words.count("nf4") == words.count("int8") == 2
    assert "8.4" in words
    for said in ("ΔNLL", "$ per million tokens", "Decode rate over bf16's", "batch size; × where it crosses 1"):
        assert said in words
    first = path.read_bytes()
    bench("compare", whole, "--by", "precision", "--batch-size", "4", "--chart", path, *PRICE)
    assert path.read_bytes() == first


def test_a_panel_without_data_says_so(tmp_path: Path) -> None:
    path = tmp_path / "levels.svg"
    charts.write(_levels(tmp_path / "run", speed(sizes=(4,))), path)
    assert "no level has both dollars and quality" in _words(path)
    assert "fewer than two batch sizes were measured" in _words(path)
    with pytest.raises(InputError, match=r"--chart: .*cannot be written"):
        charts.write(_levels(tmp_path / "run", speed(sizes=(4,))), tmp_path / "none" / "x.svg")


# Odd and bad input


def test_without_quality_the_table_says_how_to_get_it(tmp_path: Path) -> None:
    text = render_levels(_levels(tmp_path, speed()), "table", 200)
    assert "ΔNLL" not in text
    assert "same top-1" not in text
    assert text.count("add `quality: {}` to the config") == 2
    assert "No recommendation: no quality was measured" in text


def test_random_weights_have_no_quality(tmp_path: Path) -> None:
    records = [*timed(BF16, 4, 62, source="shape:pythia-70m"), *timed(NF4, 4, 47, source="shape:pythia-70m")]
    table = _only(_levels(tmp_path, records))
    assert _said(table) == "No recommendation: random weights: no quality."
    assert sum("andom weights" in note for note in table.notes) == 1


def test_one_level_alone(tmp_path: Path) -> None:
    table = _only(_levels(tmp_path, speed((NF4,)), tolerance=0.1))
    assert table.reference is None
    assert table.sweep.lines == ()
    text = render_levels(Levels((table,)), "table", 100)
    assert "No ratios" in text
    assert "× None" not in text


def test_machines_and_models_have_a_table_each(tmp_path: Path) -> None:
    other = samples.environment(cpu_model="Other CPU")
    records = [
        *speed(sizes=(4,)),
        *timed(BF16, 4, 30, where=other),
        *timed(BF16, 4, 62, source="shape:pythia-70m"),
        *timed(NF4, 1, 62, source="shape:pythia-70m"),
    ]
    found = _levels(tmp_path, records, reference="nf4", batch_size=4)
    assert [(one.model, one.machine, one.reference) for one in found.tables] == [
        ("smollm2-135m", "Sample CPU (4 CPUs)", "nf4"),
        ("smollm2-135m", "Other CPU (4 CPUs)", None),
        ("pythia-70m (random weights)", "Sample CPU (4 CPUs)", "nf4"),
    ]
    notes = [" ".join(one.notes) for one in found.tables]
    assert "the reference nf4 was not measured in this table" in notes[1]
    assert "the reference nf4 has no figures at this batch size" in notes[2]
    text = render_levels(found, "table", 120)
    assert text.count("· Other CPU (4 CPUs)") == 1
    assert len(json.loads(render_levels(found, "json"))["tables"]) == 3


def test_nothing_was_measured(tmp_path: Path) -> None:
    failed = [samples.failed_record(of=cell(one, 4)) for one in (BF16, NF4)]
    found = _levels(tmp_path, failed)
    assert _only(found).batch_size is None
    text = render_levels(found, "table", 100)
    assert "No recommendation: no level was measured." in text
    assert "bf16, nf4: unsupported: bitsandbytes has no kernel here" in text
    render_levels(found, "csv")
    charts.write(found, tmp_path / "x.svg")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--by", "precison"], "--by: unknown key 'precison'; did you mean 'precision'?"),
        (["x", "--by", "precision"], "B: not with --by precision"),
        (["--by", "precision", "--fail-if-slower", "5%"], "--fail-if-slower: not with --by precision"),
        (["--by", "precision", "--threshold", "5%"], "--threshold: not with --by precision"),
        (["--by", "precision", "--api", "openai/gpt-5-mini"], "--api: not with --by precision"),
        (["--tolerance", "0.1"], "--tolerance: only with --by precision"),
        (["--reference", "bf16"], "--reference: only with --by precision"),
        (["--batch-size", "4"], "--batch-size: only with --by precision"),
        (["--chart", "x.svg"], "--chart: only with --by precision"),
        (["--usd-per-hour", "1"], "--usd-per-hour: only with --by precision"),
        ([], "B: missing"),
        (["--by", "precision", "--tolerance", "-1"], "--tolerance: '-1' is no loss of 0 or more"),
        (["--by", "precision", "--tolerance", "nan%"], "--tolerance: 'nan%' is no loss of 0 or more"),
        (["--by", "precision", "--reference", "nf5"], "--reference: no level is called 'nf5'; did you mean 'nf4'?"),
        (["--by", "precision", "--batch-size", "3"], "--batch-size: nothing was measured at 3; measured: 1, 4, 16"),
        (["--by", "precision", "--chart", "x.png"], "--chart: x.png is no .svg file"),
        (["--by", "precision", "--format", "cvs"], "--format: unknown format 'cvs'; did you mean 'csv'?"),
        (["--format", "csv"], "B: missing"),
    ],
)
def test_what_makes_no_sense_is_one_line(whole: Path, words: list[str], line: str) -> None:
    done = bench("compare", whole, *words)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: {line}")


def test_a_filter_of_the_run(whole: Path, tmp_path: Path) -> None:
    assert list(_by_level(_json(Path(f"{whole}:batch_size=4")))) == ["bf16", "int8", "nf4"]
    done = bench("compare", f"{whole}:batch_sise=4", "--by", "precision")
    assert "unknown key 'batch_sise'; did you mean 'batch_size'?" in done.stderr
    done = bench("compare", f"{whole}:runner=vllm", "--by", "precision")
    assert done.returncode == 2
    assert "no cell with runner=vllm" in done.stderr
    done = bench("compare", run(tmp_path / "scored", quality()), "--by", "precision")
    assert "holds no cell that was timed" in done.stderr


@pytest.mark.parametrize(("text", "value"), [("0.02", 0.02), ("2%", math.log(1.02)), (" 0 ", 0.0), ("0%", 0.0)])
def test_a_tolerance_in_nats_or_of_the_perplexity(text: str, value: float) -> None:
    assert nats(text) == pytest.approx(value)
