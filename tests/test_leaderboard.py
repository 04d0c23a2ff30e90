"""`bench leaderboard`: what is ranked against each other, who shares a place, and what counts once."""

import csv
import io
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.entries.doubles import scanned, without_doubles
from bench.entries.entry import Entry, Origin, Quality
from bench.entries.parts import part_of, runs_below
from bench.errors import InputError
from bench.leaderboard import tables
from bench.leaderboard.board import Board, as_report, board, filtered, headline, page_places
from bench.leaderboard.groups import groups, once_per_level
from bench.leaderboard.ranking import RANKINGS, placed
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from tests import entries_samples as made
from tests.commands import bench
from tests.samples import cell, environment, failed_record, measurement, record


def entries(count: int = 3, **changed: Any) -> list[Entry]:
    """So many models, each slower than the one before by a half."""
    return [
        made.entry(**{"key": f"{k:012x}@m", "model": f"model-{k}", "seconds": 1000.0 * 1.5**k, **changed})
        for k in range(count)
    ]


def of(found: Sequence[Entry], by: str = "usd_per_mtok", which: Any = "doubtful", limit: int | None = None) -> Board:
    return board(made.report(found), RANKINGS[by], which, limit)


def places(of: Board) -> list[list[tuple[str, str]]]:
    """The text of each place and whose it is, by group."""
    return [[(one.text, one.entry.model) for one in group.places] for group in of.groups]


# --- places ----------------------------------------------------------------------------------------------------------


def test_places_are_by_value_and_the_best_is_the_lowest_cost_or_the_highest_rate() -> None:
    found = entries(3)
    assert places(of(found)) == [[("1", "model-0"), ("2", "model-1"), ("3", "model-2")]]
    rates = [
        replace(one, figures={**one.figures, "tokens_per_s_per_user": made.about(10.0 * (k + 1), 0.01)})
        for k, one in enumerate(found)
    ]
    assert places(of(rates, "speed")) == [[("1", "model-2"), ("2", "model-1"), ("3", "model-0")]]
    assert places(of(found, "throughput"))[0][0] == ("1", "model-0")


def test_intervals_that_overlap_share_a_place_with_its_first_holder() -> None:
    """2 overlaps 1 and 3 overlaps 2, but 3 does not overlap 1: it begins a place of its own."""
    values = [(10.0, 9.0, 11.0), (11.5, 10.5, 12.5), (12.4, 11.4, 13.4), (20.0, 19.0, 21.0), (30.0, None, None)]
    found = [(one, Estimate(*value, 3)) for one, value in zip(entries(5), values, strict=True)]
    assert [one.text for one in placed(found, highest=False)] == ["1=", "1=", "3", "4", "5?"]
    assert [one.text for one in placed(found, highest=True)] == ["1?", "2", "3=", "3=", "5"]


def test_a_value_without_an_interval_can_lie_within_anothers() -> None:
    found = [(entries(2)[0], Estimate(10.0, 9.0, 11.0, 3)), (entries(2)[1], Estimate(10.5, None, None, 1))]
    assert [one.text for one in placed(found, highest=False)] == ["1=", "1=?"]


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "by", "apart"),
    [
        ({"input_tokens": 256.0}, "usd_per_mtok", True),
        ({"cached_tokens": 64.0}, "speed", True),
        ({"output_tokens": 65.0}, "speed", True),
        ({"origin": Origin("llm-cost-bench", "0.2.0", instrument=2)}, "usd_per_mtok", True),
        ({"origin": Origin("llm-cost-bench", "0.2.0", instrument=1)}, "usd_per_mtok", False),
        ({"kind": "load", "level": 4.0}, "usd_per_mtok", True),
        ({"kind": "imported", "origin": Origin("vLLM bench serve", "0.9")}, "usd_per_mtok", True),
        ({"priced": made.priced(utilisation=0.5)}, "usd_per_mtok", True),
        ({"priced": made.priced(utilisation=0.5)}, "speed", False),
        ({"hardware": "another machine", "machine": "other"}, "usd_per_mtok", False),
        ({"batch_size": 16}, "usd_per_mtok", False),
        ({"quality": Quality("bf16", 1.3, text="another")}, "quality", True),
        ({"quality": Quality("bf16", 1.3, text="prose", text_sha256="b" * 64)}, "quality", True),
        ({"quality": Quality("bf16", 1.3, text="prose", window_tokens=2048)}, "quality", True),
        ({"quality": Quality("bf16", 1.3, text="prose", window_tokens=512, context_tokens=256)}, "quality", True),
        ({"quality": Quality("fp32", 1.3, text="prose")}, "quality", False),
        ({"quality": Quality("fp32", 1.3, delta_nll=0.1, text="prose")}, "delta_nll", True),
    ],
)
def test_only_figures_that_mean_the_same_are_ranked_against_each_other(
    changed: dict[str, Any], by: str, apart: bool
) -> None:
    text = Quality("bf16", 1.2, 22.0, 0.02, 0.004, 0.03, 0.002, text="prose")
    first = made.entry(quality=text, figures=made.figures(200.0))
    other = made.entry(
        **{"key": "other", "quality": text, "precision": "nf4", "figures": made.figures(300.0), **changed}
    )
    assert len(of([first, other], by).groups) == (2 if apart else 1)


def test_two_tools_are_two_groups_and_lengths_that_nobody_knows_are_none() -> None:
    imported = {"kind": "imported", "figures": made.figures(200.0)}
    one = made.entry(**imported, key="a", origin=Origin("AIPerf"))
    other = made.entry(**imported, key="b", origin=Origin("GuideLLM"))
    unknown = made.entry(**imported, key="c", origin=Origin("GuideLLM"), input_tokens=None)
    found = of([one, other, unknown], "speed")
    assert [group.group.common["tool"] for group in found.groups] == ["measured by AIPerf", "measured by GuideLLM"]
    assert any("how long its requests were is not known" in note for note in found.notes)


def test_loads_of_nearly_equal_lengths_are_comparable() -> None:
    loads = [
        made.entry(kind="load", key=str(k), input_tokens=tokens, output_tokens=64.0)
        for k, tokens in enumerate((256.0, 250.3, 259.9, 300.0))
    ]
    found = groups(loads, RANKINGS["usd_per_mtok"])
    assert [len(one.entries) for one in found] == [3, 1]
    assert found[0].heading == "under load · about 256 in, 64 out · 100% utilised · instrument 1"


def test_groups_are_ordered_by_size_and_say_what_they_have_in_common() -> None:
    longer = [replace(one, key=one.key + "x", input_tokens=512.0) for one in entries(5)]
    found = of([*entries(2), *longer])
    assert [group.heading for group in found.groups] == [
        "static batches · 512 in, 64 out · 100% utilised · instrument 1: 5 rows",
        "static batches · 128 in, 64 out · 100% utilised · instrument 1: 2 rows",
    ]


def test_two_texts_of_one_name_are_told_apart_by_their_checksums() -> None:
    mine, yours = (Quality("bf16", 1.2, text="wiki.txt", text_sha256=one * 64, window_tokens=512) for one in "ab")
    found = of([made.entry(key="1", quality=mine), made.entry(key="2", precision="nf4", quality=yours)], "quality")
    assert sorted(one.group.common["text"] for one in found.groups) == [
        "text wiki.txt (aaaaaaaaaaaa) in windows of 512 tokens",
        "text wiki.txt (bbbbbbbbbbbb) in windows of 512 tokens",
    ]
    kept = once_per_level([made.entry(quality=one) for one in (mine, mine, yours)])
    assert [one.quality.text_sha256 for one in kept] == ["a" * 64, "b" * 64]


def test_quality_stands_once_a_level_whatever_the_batch() -> None:
    text = Quality("bf16", 1.2, 22.0, 0.02, 0.004, 0.03, 0.002, text="prose")
    worse = Quality("bf16", 1.4, 25.0, 0.2, 0.004, 0.2, 0.002, text="prose")
    levels = [made.entry(key=f"{k}", batch_size=k, precision="int8", quality=text) for k in (1, 4, 16)]
    levels.append(made.entry(key="nf4", precision="nf4", quality=worse))
    levels.append(made.entry(key="bf16", quality=Quality(None, 1.19, is_reference=True, text="prose")))
    assert [[one.entry.precision for one in group.places] for group in of(levels, "quality").groups] == [
        ["bf16", "int8", "nf4"]
    ]
    ((reference, int8, nf4),) = (group.places for group in of(levels, "delta_nll").groups)
    assert (reference.entry.precision, reference.value.value) == ("bf16", 0.0)
    assert (int8.text, nf4.text) == ("2", "3")


def test_a_loss_that_nobody_measured_is_none_and_not_zero() -> None:
    for name in ("delta_nll", "kl"):
        unknown = RANKINGS[name].get(made.entry(quality=Quality("bf16", 1.2, text="prose")))
        assert unknown is None
        zero = RANKINGS[name].get(made.entry(quality=Quality(None, 1.2, is_reference=True, text="prose")))
        assert zero is not None
        assert zero.value == 0


# --- filters and verdicts --------------------------------------------------------------------------------------------


def test_verdicts_choose_what_is_shown() -> None:
    doubtful = made.entry(key="d", model="doubtful", verdict=(Reason("wide", "wide", "again"),))
    fatal = made.entry(key="f", model="fatal", verdict=(Reason("stalled", "it stood still", "again", fatal=True),))
    found = [*entries(1), doubtful, fatal, made.failed(model="failed")]
    assert {name for _, name in places(of(found, which="valid"))[0]} == {"model-0"}
    assert {name for _, name in places(of(found))[0]} == {"model-0", "doubtful"}
    everything = of(found, which="all")
    assert {name for _, name in places(everything)[0]} == {"model-0", "doubtful"}
    assert [(entry.model, why) for entry, why in everything.without] == [
        ("fatal", "means nothing: stalled"),
        ("failed", "oom: it needs 32 GB and there are 24"),
    ]
    assert "2 rows that failed or mean nothing are left out: --verdict all lists them" in of(found).notes


def test_filters_take_patterns_and_name_the_nearest() -> None:
    found = entries(3)
    assert [one.model for one in filtered(found, {"model": "MODEL-[12]", "precision": None})] == ["model-1", "model-2"]
    with pytest.raises(InputError, match=r"--model: no row has model 'modl-1'; did you mean 'model-1'"):
        filtered(found, {"model": "modl-1"})
    with pytest.raises(InputError, match="--hardware: no row"):
        filtered(found, {"model": "model-1", "hardware": "H100*"})


def test_a_limit_counts_what_it_hides() -> None:
    found = of(entries(5), limit=2)
    assert (len(found.groups[0].places), found.groups[0].hidden) == (2, 3)
    assert found.groups[0].heading.endswith(": 5 rows")
    assert "3 more" in tables.as_markdown(found)


def test_nothing_that_can_be_ranked_is_said() -> None:
    found = of([made.failed()], which="all")
    assert found.groups == ()
    assert headline(found) == "No row can be ranked by dollars per million tokens."
    assert "it needs 32 GB" in tables.terminal(found, 160)
    energy = of(entries(2), "energy")
    assert "2 rows without a place: no energy_j_per_output_token: not measured" in energy.notes


# --- forms -----------------------------------------------------------------------------------------------------------


def test_hostile_names_are_text_in_every_form() -> None:
    name = made.HOSTILE + "z" * 10_000
    found = of([*entries(1), made.entry(key="h", model=name, hardware=name, run=name, workload=name)], which="all")
    terminal, marked = tables.terminal(found, 160), tables.as_markdown(found)
    for text in (terminal, marked):
        assert "\u202e" not in text
        assert "z" * 300 not in text
    assert "<script>" not in marked
    assert len({line.count("|") - line.count("\\|") for line in marked.splitlines() if line.startswith("|")}) == 1
    lines = list(csv.reader(io.StringIO(tables.as_lines(found))))
    assert len(lines) == 3
    assert not any(cell.startswith(("=", "+", "@")) for line in lines for cell in line)
    assert json.loads(tables.as_json(found, []))["groups"][0]["rows"][1]["entry"]["model"] == name


def test_programs_get_the_places_unrounded() -> None:
    found = of(entries(2))
    whole = json.loads(tables.as_json(found, ["a warning"]))
    first, second = whole["groups"][0]["rows"]
    assert (first["place"], second["place"], first["shared"]) == (1, 2, False)
    assert first["value"]["value"] == pytest.approx(0.1 * 1000 / 3600)
    assert whole["warnings"] == ["a warning"]
    assert "distributions" not in first["entry"]
    line = next(csv.DictReader(io.StringIO(tables.as_lines(found))))
    assert float(line["usd_per_mtok"]) == first["value"]["value"]
    assert (line["group"], line["place"], line["model"]) == ("1", "1", "model-0")


def test_a_narrow_terminal_keeps_the_ranked_figure() -> None:
    wide, narrow = tables.terminal(of(entries(2)), 200), tables.terminal(of(entries(2)), 100)
    assert "per user [tok/s]" in wide
    assert "per user" not in narrow
    assert "cost" in narrow


def test_the_page_has_the_rows_in_the_order_of_the_board() -> None:
    found = list(reversed(entries(3)))
    whole = made.report(found)
    shown = as_report(whole, board(whole, RANKINGS["usd_per_mtok"], "doubtful", None))
    assert [one.model for one in shown.entries] == ["model-0", "model-1", "model-2"]
    assert shown.headline.startswith("Best by dollars per million tokens: model-0 bf16 transformers on Sample CPU")
    assert any(note.text.startswith("comparable: static batches") and len(note.about) == 3 for note in shown.notes)


def test_the_page_has_a_place_for_each_row_and_none_for_the_rest() -> None:
    whole = made.report([*entries(2), made.failed()])
    found = board(whole, RANKINGS["usd_per_mtok"], "all", None)
    first, second, last = page_places(found)
    assert first is not None
    assert second is not None
    assert (first.group, first.text, second.text) == (1, "1", "2")
    assert first.heading.startswith("static batches")
    assert last is None


# --- from folders ----------------------------------------------------------------------------------------------------


def journal(folder: Path, cpu: str = "Sample CPU", names: str = "", factor: float = 1.0, count: int = 3) -> Path:
    """A published run: replicates of one cell on a machine with such a CPU."""
    folder.mkdir(parents=True)
    where = environment(cpu_model=cpu)
    lines = [
        record(at, measured=measurement(factor * (1 + at / 500)), where=where, name=f"{names or cpu}.{at}")
        for at in range(count)
    ]
    (folder / "records.jsonl").write_text("".join(one.model_dump_json(exclude_none=True) + "\n" for one in lines))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two machines as `bench publish` leaves them, and a local run."""
    place = tmp_path / "results"
    journal(place / "machine-a" / "runs" / "quickstart", "CPU A")
    journal(place / "machine-b" / "runs" / "quickstart", "CPU B", factor=1.5)
    journal(place / "local" / "mine", "CPU C", factor=2.0)
    return place


def test_runs_of_many_machines_make_one_table(results: Path) -> None:
    done = bench("leaderboard", results, "--usd-per-hour", "0.4", "-f", "json")
    assert (done.returncode, done.stderr) == (0, "")
    (group,) = json.loads(done.stdout)["groups"]
    assert [(one["place"], one["entry"]["hardware"].split(",")[0]) for one in group["rows"]] == [
        (1, "CPU A"),
        (2, "CPU B"),
        (3, "CPU C"),
    ]
    text = bench("leaderboard", results, "--usd-per-hour", "0.4", "--by", "speed", "--hardware", "cpu [ab]*").stdout
    assert re.search(r"1\s+smollm2-135m .* CPU A", text)
    assert "CPU C" not in text


def test_runs_are_found_in_a_stable_order_and_each_once(results: Path) -> None:
    (results / ".hidden").mkdir()
    shutil.copy(results / "local" / "mine" / "records.jsonl", results / ".hidden")
    found = runs_below([results, results / "local" / "mine" / "records.jsonl"])
    assert [str(one.relative_to(results)) for one in found] == [
        *("local/mine", "machine-a/runs/quickstart", "machine-b/runs/quickstart"),
    ]


def test_records_that_stand_in_two_folders_count_once(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results / "machine-a" / "runs" / "quickstart", copy)
    done = bench("leaderboard", results, copy, "--usd-per-hour", "0.4", "-f", "json")
    (warning,) = done.stderr.splitlines()
    assert f"{copy}: 3 records stand in" in warning
    assert "too and count once, there" in warning
    assert [len(one["rows"]) for one in json.loads(done.stdout)["groups"]] == [3]


def test_a_folder_that_shares_some_records_keeps_its_own(tmp_path: Path) -> None:
    """The larger one keeps what both have; of the other, the rest is read in a folder of the same name."""
    large, small = journal(tmp_path / "large", names="x", count=5), journal(tmp_path / "small", names="x", count=2)
    other = record(7, of=cell("builtin:smollm2-135m"), name="own").model_dump_json(exclude_none=True)
    with (small / "records.jsonl").open("a") as handle:
        handle.write(other + "\n")
    (small / "plan.json").write_text("{}")
    told: list[str] = []
    found = scanned([small, large], told.append)
    assert told == [f"{small}: 2 records stand in {large} too and count once, there"]
    with without_doubles(found) as (first, second):
        assert second == large
        assert first.name == "small"
        assert [json.loads(line)["record_id"] for line in (first / "records.jsonl").read_text().splitlines()] == ["own"]
        assert (first / "plan.json").read_text() == "{}"
    assert not first.exists()
    assert (small / "plan.json").exists()


def test_a_part_of_a_journal_keeps_broken_lines_to_the_reader(tmp_path: Path) -> None:
    run = journal(tmp_path / "run", count=2)
    with (run / "records.jsonl").open("a") as handle:
        handle.write('{"schema_version":1,"record_id":"torn')
    with part_of(run, lambda line: line.record_id != "Sample CPU.0") as folder:
        lines = (folder / "records.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert lines[-1].endswith('"torn')


def test_newer_records_are_left_out_with_one_line(results: Path) -> None:
    for machine in ("machine-a", "machine-b"):
        path = results / machine / "runs" / "quickstart" / "records.jsonl"
        path.write_text(path.read_text().replace('"schema_version":1', '"schema_version":7'))
    done = bench("leaderboard", results, "--usd-per-hour", "0.4", "-f", "csv")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "2 journals: newer records left out (6 of schema 7); this version reads up to 1: upgrade" in line
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "sped"), "--by: unknown figure 'sped'; did you mean 'speed'?"),
        (("--verdict", "good"), "--verdict: unknown choice 'good'"),
        (("-f", "pdf"), "--format: unknown format 'pdf'"),
        (("-f", "html"), "--format html: name a file for the page, with --out"),
        (("--model", "lama"), "--model: no row has model 'lama'; known: smollm2-135m"),
        (("--limit", "0"), "--limit: "),
    ],
)
def test_bad_input_is_one_line(results: Path, words: tuple[str, ...], said: str) -> None:
    done = bench("leaderboard", results / "local", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_empty_folders_and_runs_with_failures_alone_are_said(tmp_path: Path) -> None:
    assert "no such folder" in bench("leaderboard", tmp_path / "none").stderr
    assert "no records.jsonl in it or below it" in bench("leaderboard", tmp_path).stderr
    (tmp_path / "records.jsonl").write_text("")
    assert "no records; run the config first" in bench("leaderboard", tmp_path).stderr
    (tmp_path / "records.jsonl").write_text(failed_record().model_dump_json() + "\n")
    done = bench("leaderboard", tmp_path, "--verdict", "all")
    assert done.returncode == 0
    assert "unsupported: bitsandbytes has no kernel here" in " ".join(done.stdout.split())


def test_a_page_is_written(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    done = bench("leaderboard", results, "--usd-per-hour", "0.4", "-o", page)
    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text()
    assert "Best by dollars per million tokens: smollm2-135m bf16 transformers on CPU A, 4 CPUs" in text
    assert "Leaderboard by dollars per million tokens" in text
