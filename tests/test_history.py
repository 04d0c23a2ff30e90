"""`bench history`: runs of a cell in the order of time, what changed when, and what a pipeline is told."""

import csv
import io
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.entries.entry import Origin, Quality
from bench.history import chart, github, plain, table, wording
from bench.history.judged import is_since, judged
from bench.history.metric import METRICS
from bench.history.series import Seen, Series, differences, gathered, series
from bench.metrics.verdict import Reason
from bench.schema import Environment
from tests import entries_samples as made
from tests.commands import bench
from tests.samples import H100, cell, environment, failed_record, measurement, record

USD = METRICS["usd_per_mtok"]
DECODE = METRICS["decode_tokens_per_s"]


def nights(seconds: list[float], torch_at: int | None = None, **changed: Any) -> list[Seen]:
    """A run a night; `seconds` of the machine for a million tokens. From `torch_at` on, another torch."""
    found = []
    for night, one in enumerate(seconds):
        packages = {"torch": "2.13.0" if torch_at is not None and night >= torch_at else "2.12.0"}
        where = environment().model_copy(update={"packages": packages})
        when = f"2026-10-{night + 1:02d}T02:00:00+00:00"
        entry = made.entry(**{"seconds": one, "measured_at": when, "revision": f"{night:012x}", **changed})
        found.append(Seen(f"night-{night + 1:02d}", entry, where))
    return found


def steady(n: int, level: float = 5000.0, seed: int = 1, noise: float = 0.01) -> list[float]:
    rng = random.Random(seed)
    return [level * math.exp(rng.gauss(0, noise)) for _ in range(n)]


def of(seen: list[Seen], metric: str = "usd_per_mtok", axis: Any = "date") -> Series:
    """The one series of these."""
    (own,) = gathered(seen).values()
    found = series(own, METRICS[metric], axis)
    assert found is not None
    return found


STEPPED = nights([*steady(10), *steady(6, 5600.0, 2)], torch_at=10)


def test_a_slower_machine_is_a_regression_of_dollars_and_rate_with_its_cause() -> None:
    for metric, low, high in (("usd_per_mtok", 1.10, 1.14), ("decode_tokens_per_s", 0.88, 0.91)):
        one = judged(of(STEPPED, metric))
        assert one.outcome == "regression"
        assert one.change is not None
        assert low < one.series.metric.back(one.change.step) < high
        assert one.since == "night-11"
        assert one.causes == ("torch 2.12.0 → 2.13.0",)
        said = wording.sentence(one)
        assert "cell 0123456789ab" in said
        assert metric in said
        assert "since night-11 (2026-10-11, revision 00000000000a)" in said
        assert said.endswith("changed then: torch 2.12.0 → 2.13.0")


def test_a_regression_stays_one_whatever_the_last_run_is() -> None:
    one = judged(of(nights([*steady(10), *steady(6, 5600.0, 2), 9000.0])))
    assert one.series.found.suspect
    assert one.outcome == "regression"


def test_only_what_changed_at_the_change_is_its_cause_and_the_day_that_it_began_on_counts() -> None:
    older = [replace(one, environment=environment().model_copy(update={"python": "3.10.0"})) for one in STEPPED[:3]]
    one = judged(of([*older, *STEPPED[3:]]))
    assert one.causes == ("torch 2.12.0 → 2.13.0",)
    assert is_since(one, "2026-10-11")
    assert not is_since(one, "2026-10-12")


def test_a_faster_one_is_an_improvement_and_a_small_step_is_none() -> None:
    better = nights([*steady(10), *steady(6, 4500.0, 2)])
    assert judged(of(better)).outcome == "improvement"
    small = nights([*steady(20, noise=0.002), *steady(20, 5060.0, 2, noise=0.002)][:31])
    assert judged(of(small)).outcome == "small change"
    assert judged(of(small), threshold=0.001).outcome == "regression"


def test_no_change_is_steady_and_one_run_is_too_few() -> None:
    one = judged(of(nights(steady(12))))
    assert one.outcome == "steady"
    assert wording.result(one).startswith("steady over 12 runs, which differ by ±")
    single = judged(of(nights([5000.0])))
    assert (single.outcome, wording.result(single)) == ("too few", "one point: nothing to compare with yet")
    few = judged(of(nights(steady(3))))
    assert wording.result(few) == "too few runs to tell: 3, of at least 5"


def test_a_last_run_that_is_far_off_asks_for_another_one() -> None:
    one = judged(of(nights([*steady(12), 6500.0])))
    assert one.outcome == "suspect"
    assert not one.fails
    assert re.fullmatch(
        r"suspect: one run \(night-13\) is \+\d+\.\d% off the level before; run again", wording.result(one)
    )


def test_a_cell_that_fails_in_the_newest_run_has_stopped() -> None:
    seen = nights(steady(6))
    broken = made.failed(cell_id="0123456789ab", measured_at="2026-10-20T00:00:00+00:00")
    one = judged(of([*seen, Seen("night-20", broken, seen[0].environment)]))
    assert one.outcome == "stopped"
    assert one.fails
    assert "stopped working in night-20: oom: it needs 32 GB and there are 24" in wording.sentence(one)
    # One that works again has not.
    again = judged(of([*seen[:5], Seen("night-05b", broken, seen[0].environment), *_later(seen[5:])]))
    assert again.outcome == "steady"


def _later(seen: list[Seen]) -> list[Seen]:
    from dataclasses import replace

    return [replace(one, entry=replace(one.entry, measured_at="2026-10-25T00:00:00+00:00")) for one in seen]


def test_a_run_whose_figures_mean_nothing_is_no_point() -> None:
    fatal = (Reason("stalled", "the process stood still", "run again", fatal=True),)
    seen = [*nights(steady(6)), *_later(nights([9000.0], verdict=fatal))]
    found = of(seen)
    assert len(found.points) == 6
    assert [(one.why, one.failed) for one in found.lost] == [("means nothing: stalled", False)]


def test_machines_and_instruments_are_kept_apart() -> None:
    from dataclasses import replace

    other = [replace(one, environment=environment([H100])) for one in nights(steady(3))]
    newer = nights(steady(2), origin=Origin("llm-cost-bench", "0.2.0", instrument=2))
    assert sorted(len(own) for own in gathered([*nights(steady(4)), *other, *newer]).values()) == [2, 3, 4]


def test_another_torch_or_driver_is_the_same_machine() -> None:
    assert len(gathered(STEPPED)) == 1
    newer = H100.model_copy(update={"driver": "590.10", "power_limit_w": 500.0})
    old, new = environment([H100]), environment([newer]).model_copy(update={"bench_revision": "f" * 12})
    assert differences(old, new) == (
        "driver 580.65 → 590.10",
        "power limit 700 W → 500 W",
        f"its revision 0123456789ab → {'f' * 12}",
    )
    assert differences(old, old) == ()
    assert differences(None, new) == ()
    assert "cpu_flags changed" in differences(old, old.model_copy(update={"cpu_flags": ("avx",)}))


def test_runs_of_one_commit_are_one_point() -> None:
    seen = nights(steady(6), revision="abc")
    (point,) = of(seen, axis="commit").points
    assert point.runs == tuple(f"night-{k:02d}" for k in range(1, 7))
    assert point.value.n == 6
    values = [value.value for one in seen if (value := USD.get(one.entry)) is not None]
    expected = math.exp(sum(math.log(value) for value in values) / 6)
    assert point.value.value == pytest.approx(expected)
    assert point.value.low is not None
    unknown = nights(steady(3), revision=None)
    bare = [Seen(one.run, one.entry, None) for one in unknown]
    assert len(of(bare, axis="commit").points) == 3


def test_the_loss_of_a_level_is_compared_by_differences() -> None:
    loss = [0.02] * 6 + [0.05] * 4
    seen = [
        one
        for night, value in enumerate(loss)
        for one in nights([5000.0] * (night + 1), quality=Quality("bf16", 1.2, 22.0, value, 0.001, value, 0.001))[-1:]
    ]
    one = judged(of(seen, "delta_nll"))
    assert one.outcome == "regression"
    assert wording.size(one.series, one.change).startswith("+0.0300 nats (")  # type: ignore[arg-type]
    assert judged(of([*seen[:6], *seen[:6]], "delta_nll")).outcome == "steady"


@pytest.mark.parametrize(
    ("metric", "changed", "kept"),
    [
        ("bits_per_byte", {"text_sha256": "b"}, 6),
        ("bits_per_byte", {"window_tokens": 64}, 6),
        ("bits_per_byte", {"reference": "fp32"}, 12),
        ("kl_mean", {"reference": "fp32"}, 6),
        ("kl_mean", {"text": "another.txt"}, 6),
        ("usd_per_mtok", {"text_sha256": "b"}, 12),
    ],
)
def test_quality_on_another_text_is_no_change_of_the_level(metric: str, changed: dict[str, Any], kept: int) -> None:
    text = Quality("bf16", 1.2, 22.0, 0.02, 0.001, 0.02, 0.001, text="wiki.txt", text_sha256="a", window_tokens=512)
    other = replace(text, bits_per_byte=1.5, kl_mean=0.2, **changed)
    nightly = nights([5000.0] * 12)
    seen = [
        replace(one, entry=replace(one.entry, quality=text if night < 6 else other))
        for night, one in enumerate(nightly)
    ]
    found = of(seen, metric)
    assert len(found.points) == kept
    if kept == 6:
        assert not found.found.changes
        assert {one.why for one in found.lost} == {"another text, window or reference than the newest run's"}
        assert found.broken is None


def test_every_metric_has_a_direction_and_a_reader() -> None:
    entry = made.entry()
    known = {name for name, one in METRICS.items() if one.get(entry) is not None}
    assert {"usd_per_mtok", "decode_tokens_per_s", "ttft_s", "tpot_s", "peak_bytes", "delta_nll", "kl_mean"} <= known
    assert {one.worse for one in METRICS.values()} == {-1, 1}
    assert all(METRICS[name].worse == -1 for name in METRICS if name.endswith(("per_s", "per_user")))
    run = DECODE.run_of(made.about(100.0, 0.05, 3))
    assert run.value == pytest.approx(math.log(100))
    assert run.variance == pytest.approx((math.log(1.05) / 4.303) ** 2)


# --- what is shown ---------------------------------------------------------------------------------------------------


def hostile() -> list[Any]:
    """Series whose names are what a record may hold."""
    name = made.HOSTILE + "::error::x%0A" + "y" * 10_000
    seen = nights([*steady(10), *steady(6, 5600.0, 2)], model=name, hardware=name, workload=name)
    return [judged(of([Seen(name, one.entry, one.environment) for one in seen]))]


def test_hostile_names_are_text_in_every_form() -> None:
    found = hostile()
    texts = {
        "table": table.terminal(found, ["a note"], 120, True),
        "md": table.markdown(found, ["a note"]),
        "github": github.summary(found, ["a note"], 0.02),
        "csv": plain.as_lines(found),
        "json": plain.as_json(found, [], 0.02),
    }
    for form in ("table", "md", "github"):
        assert "\u202e" not in texts[form]
        assert len(texts[form]) < 100_000
    for form in ("md", "github"):
        # Every line is a heading, a list, a table, or one of ours: none was broken in two by a name.
        assert "<script>" not in texts[form]
        assert "\n=cmd" not in texts[form]
    assert re.findall(r"<[a-z/]+", texts["github"]) == ["<details", "<summary", "</summary", "</details"]
    assert "[link" not in texts["github"]
    assert json.loads(texts["json"])["series"][0]["model"].startswith("<script>")
    assert all(not one.startswith(("=", "+", "@")) for line in csv.reader(io.StringIO(texts["csv"])) for one in line)


def test_annotations_are_one_line_each_and_escaped_as_github_does() -> None:
    (line,) = github.annotations(hostile()).splitlines()
    command, _, data = line.removeprefix("::").partition("::")
    assert command.startswith("error title=regression%3A usd_per_mtok of ")
    assert "," not in command
    assert ":" not in command
    assert "%0A" not in data.replace("%250A", "")
    assert "+11." in data
    assert "%25 (" in data
    assert github.annotations([judged(of(nights(steady(8))))]) == ""
    suspect = judged(of(nights([*steady(12), 6500.0])))
    assert github.annotations([suspect]).startswith("::warning title=suspect%3A usd_per_mtok of smollm2-135m")


def test_the_summary_tells_arrows_in_words_and_unfolds_the_runs() -> None:
    found = [judged(of(STEPPED, name)) for name in ("usd_per_mtok", "decode_tokens_per_s")]
    text = github.summary(found, ["a note"], 0.02)
    assert text.startswith("## llm-cost-bench&#58; 2 regressions in 1 cell\n")
    row = next(line for line in text.splitlines() if line.startswith("| 01234567"))
    assert re.search(r"\| ▲ worse \+1\d\.\d%; .* \| ▼ worse -\d+\.\d%; ", row)
    assert text.count("<details>") == text.count("</details>") == 1
    assert text.count("| 2026-10-11 |") == 2
    assert "torch 2.12.0 → 2.13.0" in text


def test_the_terminal_draws_every_run_on_one_axis() -> None:
    text = table.terminal([judged(of(STEPPED))], [], 140, True)
    runs = [line for line in text.splitlines() if "●" in line]
    assert len(runs) == 16
    at = [line.index("●") for line in runs]
    assert max(at[:10]) < min(at[10:])
    assert sum("── +1" in line and "torch 2.12.0 → 2.13.0" in line for line in text.splitlines()) == 1


def test_the_drawing_holds_runs_levels_and_the_change() -> None:
    one = judged(of(STEPPED))
    drawn = chart.chart([one], "date", "a note")
    kinds = [point["kind"] for point in drawn.points]
    assert (kinds.count("run"), kinds.count("level"), kinds.count("change")) == (16, 2, 1)
    twins = chart.chart([one, judged(of(STEPPED))], "date", "a note")
    assert len(twins.spec["facet"]["row"]["sort"]) == 2
    from bench.errors import InputError

    with pytest.raises(InputError, match="at most 12"):
        chart.chart([one] * 13, "date", "")


def test_plain_data_hold_points_levels_and_changes() -> None:
    whole = json.loads(plain.as_json([judged(of(STEPPED))], ["a note"], 0.02))
    (one,) = whole["series"]
    assert whole["schema_version"] == plain.HISTORY_SCHEMA_VERSION
    assert one["outcome"] == "regression"
    assert [level["from"] for level in one["levels"]] == ["night-01", "night-11"]
    (change,) = one["changes"]
    assert change["ratio_low"] < change["ratio"] < change["ratio_high"]
    assert one["points"][12]["level"] == 2
    assert one["points"][0]["replicates"] == 3


# --- from journals ---------------------------------------------------------------------------------------------------


def journal(folder: Path, day: int, factor: float = 1.0, count: int = 3, **changed: Any) -> None:
    """A run folder: replicates of one cell, measured on a day of October."""
    folder.mkdir(parents=True, exist_ok=True)
    where: Environment = environment().model_copy(update=changed)
    with (folder / "records.jsonl").open("a") as handle:
        for at in range(count):
            noise = math.exp(random.Random(day * 100 + at).gauss(0, 0.004))
            one = record(at, measured=measurement(factor * noise), where=where, name=f"{folder.name}.{day}.{at}")
            one = one.model_copy(update={"started_at": f"2026-10-{day:02d}T02:0{at}:00+00:00"})
            handle.write(one.model_dump_json(exclude_none=True) + "\n")


@pytest.fixture(scope="module")
def nightly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten nights, slower by 12 % from the eighth on, when torch was newer."""
    place = tmp_path_factory.mktemp("nightly")
    for day in range(1, 11):
        slow = day >= 8
        packages = {"torch": "2.14.0" if slow else "2.13.0"}
        journal(place / f"2026-10-{day:02d}" / "quickstart", day, 1.12 if slow else 1.0, packages=packages)
    return place


def test_the_command_fails_on_a_regression_and_says_why(nightly: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    done = bench(
        *("history", nightly, "--usd-per-hour", "0.4", "-f", "github", "-o", summary, "--github"),
        "--fail-on-regression",
    )
    assert done.returncode == 3
    lines = [line for line in done.stderr.splitlines() if line.startswith("doubt: ")]
    assert len(lines) == 3
    assert all("since 2026-10-08 (" in line and "torch 2.13.0 → 2.14.0" in line for line in lines)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["::error"] * 3
    assert "3 regressions in 1 cell" in summary.read_text()
    known = bench("history", nightly, "--usd-per-hour", "0.4", "--fail-on-regression", "--since", "2026-10-09")
    assert known.returncode == 0
    assert "regression: +1" in known.stdout


def test_dollars_are_at_one_price_whatever_the_runs_said(nightly: Path, tmp_path: Path) -> None:
    """The newest run's choices hold for all."""
    import shutil

    copy = tmp_path / "nightly"
    shutil.copytree(nightly, copy)
    for day, usd in ((1, 9.0), (10, 0.5)):
        plan = {
            "name": "x",
            "config": "x.yaml",
            "cells": [cell().cell_id],
            "replicates": 3,
            "cost": {"usd_per_hour": usd},
        }
        (copy / f"2026-10-{day:02d}" / "quickstart" / "plan.json").write_text(json.dumps(plan))
    done = bench("history", copy, "--metric", "usd_per_mtok", "-f", "json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["series"]
    values = [point["value"] for point in one["points"]]
    assert max(values) < 1.2 * min(values)
    assert any("with the cost choices of 2026-10-10" in note for note in json.loads(done.stdout)["notes"])


def test_a_journal_of_several_days_is_several_runs(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for day in (1, 2, 3):
        journal(folder, day, bench_revision=f"{day}" * 12)
    done = bench("history", folder, "--metric", "decode_tokens_per_s", "-f", "csv")
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [line["runs"] for line in lines] == ["kept (1)", "kept (2)", "kept (3)"]
    assert [line["revision"] for line in lines] == ["1" * 12, "2" * 12, "3" * 12]
    assert {line["replicates"] for line in lines} == {"3"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cell", "ffff"), "--cell: no cell's id begins with 'ffff'; known: "),
        (("--model", "*llama*"), "--model: no cell has model '*llama*'; known: smollm2-135m"),
        (("--precision", "bff16"), "did you mean 'bf16'?"),
        (("--batch", "7"), "--batch: no cell has a batch of 7; known: 2"),
        (("--metric", "ttf"), "--metric: unknown figure 'ttf'; did you mean 'ttft_s'"),
        (("--by", "dat"), "--by: unknown order 'dat'; did you mean 'date'?"),
        (("--format", "html"), "--format: unknown format 'html'"),
        (("--threshold", "much"), "--threshold: 'much' is no share"),
        (("--since", "monday", "--fail-on-regression"), "--since: 'monday' is no day"),
        (("--github",), "--github: annotations go to standard output"),
        (("--metric", "energy"), "energy_j_per_output_token: no run has a figure"),
    ],
)
def test_bad_input_is_one_line(nightly: Path, words: tuple[str, ...], said: str) -> None:
    done = bench("history", nightly / "2026-10-01", *words)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]


def test_one_run_empty_folders_failures_and_newer_records(nightly: Path, tmp_path: Path) -> None:
    one = bench("history", nightly / "2026-10-01", "--metric", "ttft_s")
    assert one.returncode == 0
    assert "one point: nothing to compare with yet" in one.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    done = bench("history", empty)
    assert (done.returncode, "no records.jsonl in it or below it" in done.stderr) == (2, True)
    assert "no such folder" in bench("history", tmp_path / "none").stderr
    (empty / "records.jsonl").write_text(failed_record().model_dump_json() + "\n")
    assert "no run has a figure: unsupported: bitsandbytes has no kernel here" in bench("history", empty).stderr
    newer = tmp_path / "newer"
    journal(newer, 1)
    text = (newer / "records.jsonl").read_text()
    (newer / "records.jsonl").write_text(text + text.replace('"schema_version":1', '"schema_version":99'))
    done = bench("history", newer, "--metric", "ttft_s")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "newer records left out (3 of schema 99); this version reads up to 1: upgrade" in line
