"""Commands that show results: options that contradict each other or have no effect, and journals that hold little."""

import json
from pathlib import Path

import pytest

from tests import samples
from tests.commands import bench
from tests.serving_samples import stored


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("shown") / "run", [samples.record(number) for number in range(3)])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("report", "-f", "latex", "--percentiles"), "--percentiles: is of table and md; here --columns latency has"),
        (("history", "--since", "2026-10-01"), "--since: says which regressions fail; give --fail-on-regression too"),
        (("history", "-f", "csv", "--points"), "--points: csv holds every run anyway"),
        (("publish", "--dry-run", "--push", "one"), "--push: 'one' is no owner/dataset"),
    ],
)
def test_an_option_without_effect_says_so(run: Path, words: tuple[str, ...], line: str) -> None:
    done = bench(words[0], run, *words[1:])
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "name", "start"),
    [
        (("report",), "a.csv", "cell_id,"),
        (("report", "--columns", "speed"), "a.html", '<table class="bench-table">'),
        (("report",), "a.tex", "% made by: "),
        (("history",), "a.svg", "<svg "),
    ],
)
def test_the_end_of_a_files_name_says_its_form(
    run: Path, tmp_path: Path, words: tuple[str, ...], name: str, start: str
) -> None:
    done = bench(words[0], run, *words[1:], "-o", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).read_text().startswith(start)


@pytest.mark.parametrize("command", ["report", "publish", "leaderboard", "history", "export"])
def test_records_of_a_newer_schema_alone_are_said_to_be_that(command: str, tmp_path: Path) -> None:
    newer = json.loads(samples.record().model_dump_json()) | {"schema_version": 99}
    (tmp_path / "records.jsonl").write_text(json.dumps(newer) + "\n")
    done = bench(command, tmp_path, *(["--dry-run"] if command == "publish" else []))
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"error: {tmp_path}: no record that can be read (")
    assert error.endswith("record of schema 99 skipped; this version reads up to 1: upgrade)")


def test_a_torn_line_divides_no_run_of_a_history(tmp_path: Path) -> None:
    lines = [samples.record(number).model_dump_json() for number in range(3)]
    (tmp_path / "records.jsonl").write_text("\n".join([lines[0], lines[1][:300], lines[1], lines[2]]) + "\n")
    done = bench("history", tmp_path, "-f", "json", "--metric", "ttft_s")
    assert done.returncode == 0
    assert done.stderr.count("warning: ") == 1
    assert "records.jsonl:2: torn" in done.stderr
    (point,) = json.loads(done.stdout)["series"][0]["points"]
    assert point["replicates"] == 3


def test_a_published_folder_names_its_runs(run: Path, tmp_path: Path) -> None:
    stored(tmp_path / "machine" / "runs" / "one", [samples.record()])
    done = bench("report", tmp_path / "machine")
    assert done.returncode == 2
    assert done.stderr.endswith(f"no records.jsonl here; name its runs: {tmp_path}/machine/runs/one\n")


def test_what_a_message_holds_reaches_no_terminal(tmp_path: Path) -> None:
    done = bench("report", tmp_path / "a\x1b[31mb")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
