"""A journal in which things went wrong: every good record is kept, each bad line said once, and a resume completes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import store
from bench.store import JOURNAL, WARNINGS_OF_A_KIND
from tests.commands import ROOT, bench, fake_config, lines

Text = list[bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Text]:
    """The config and the journal of a run of two cells with two replicates each."""
    folder = tmp_path_factory.mktemp("run")
    config = fake_config(folder, precisions="[fp32, bf16]", replicates=2)
    assert bench("run", config, "--out", folder / "out").returncode == 0
    return config, (folder / "out" / JOURNAL).read_bytes().splitlines(keepends=True)


def _newer(text: Text) -> bytes:
    return text[0].replace(b'"schema_version":1', b'"schema_version":2')


# What is put into the journal as a line of its own, and what is said of it.
BAD: dict[str, tuple[Callable[[Text], bytes], str]] = {
    "torn": (lambda text: text[0][:300], "torn or broken"),
    "doubled": (lambda text: text[0].rstrip(b"\n"), "stands here twice"),
    "foreign": (lambda _: b'{"hello": "world"}', "not a record of ours"),
    "newer": (_newer, "schema 2 skipped"),
    "newer and of another shape": (lambda _: b'{"schema_version": 3, "record_id": 7}', "schema 3 skipped"),
    "list": (lambda _: b"[1, 2, 3]", "not a record of ours"),
    "number": (lambda _: b"17", "not a record of ours"),
    "null": (lambda _: b"null", "not a record of ours"),
    "NaN": (lambda _: b"NaN", "not a record of ours"),
    "long number": (lambda _: b"9" * 10_000, "torn or broken"),
    "invalid UTF-8": (lambda text: text[0].replace(b"fake", b"f\xffke", 1), "torn or broken"),
    "half of a UTF-16 pair": (lambda text: text[0].replace(b"fake", b"\\ud800", 1), "torn or broken"),
    "50 MB": (lambda _: b'"' + b"x" * 50_000_000 + b'"', "not a record of ours"),
    "80 MB": (lambda _: b"x" * 80_000_000, "more than 64 MiB"),
    "zeros": (lambda _: bytes(5000), "torn or broken"),
    "many zeros": (lambda _: bytes(70_000_000), "more than 64 MiB"),
    "deep": (lambda _: b"[" * 500_000, "torn or broken"),
    "terminal codes": (lambda _: b"\x1b[2J\x1b]0;x\x07", "torn or broken"),
}


@pytest.mark.parametrize("place", [0, 2, 4], ids=["start", "middle", "end"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_costs_one_warning_and_no_record(
    tmp_path: Path, run: tuple[Path, Text], kind: str, place: int
) -> None:
    make, words = BAD[kind]
    _, text = run
    with (tmp_path / JOURNAL).open("wb") as journal:
        journal.writelines([*text[:place], make(text).rstrip(b"\n"), b"\n", *text[place:]])
    said: list[str] = []
    found = [one.record_id for one in store.read(tmp_path, said.append)]
    assert found == [json.loads(line)["record_id"] for line in text]
    assert len(said) == 1
    assert "\n" not in said[0]
    # Of two equal ones the second is the doubled one.
    number = 2 if kind == "doubled" and place == 0 else place + 1
    assert said[0].startswith(f"{tmp_path / JOURNAL}:{number}: ")
    assert words in said[0]
    assert len(said[0]) < 500


def test_a_resume_over_every_kind_of_bad_line_completes(tmp_path: Path, run: tuple[Path, Text]) -> None:
    """All of them at once, between the records; the last record is missing and is measured."""
    config, text = run
    bad = [make(text).rstrip(b"\n") + b"\n" for make, _ in BAD.values()]
    before = b"".join([*bad[:5], text[0], *bad[5:10], text[1], *bad[10:], text[2]])
    (tmp_path / JOURNAL).write_bytes(before)
    done = bench("run", config, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(said) == len(BAD), "each once, although the journal is read before the run and after it"
    after = (tmp_path / JOURNAL).read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 1
    assert "3 measurements are already in" in done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["replicates"] for row in rows] == [2, 2]


def test_a_thousand_bad_lines_are_not_a_thousand_warnings(tmp_path: Path, run: tuple[Path, Text]) -> None:
    _, text = run
    with (tmp_path / JOURNAL).open("wb") as journal:
        journal.writelines([text[0], *[b"torn\n"] * 1000, *[b"[]\n"] * 21, text[1], *[text[0]] * 20])
    said: list[str] = []
    assert len(list(store.read(tmp_path, said.append))) == 2
    assert len(said) == 3 * WARNINGS_OF_A_KIND + 2
    assert said[-2:] == [
        f"{tmp_path / JOURNAL}: 980 more lines skipped that are torn or broken",
        f"{tmp_path / JOURNAL}: 1 more lines skipped that are no records of ours",
    ]


def test_two_journals_put_together(tmp_path: Path, run: tuple[Path, Text]) -> None:
    """The first one ends in a torn line, so that a whole record follows it in the same line."""
    _, text = run
    (tmp_path / JOURNAL).write_bytes(b"".join([*text[:2], text[3][:500], *text[2:], *text]))
    said: list[str] = []
    found = [one.record_id for one in store.read(tmp_path, said.append)]
    assert found == [json.loads(line)["record_id"] for line in text]
    assert ["torn" in line for line in said] == [True, False, False, False, False]


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n", b" \t\n", b"\0\0\n"], ids=["CRLF", "empty", "blank", "zeros"])
def test_other_line_ends(tmp_path: Path, run: tuple[Path, Text], end: bytes) -> None:
    _, text = run
    (tmp_path / JOURNAL).write_bytes(b"\xef\xbb\xbf" + b"".join(line.rstrip(b"\n") + end for line in text))
    said: list[str] = []
    assert len(list(store.read(tmp_path, said.append))) == 4
    assert said == []


def test_a_clock_that_was_set_back_changes_nothing(tmp_path: Path, run: tuple[Path, Text]) -> None:
    """Rows, their order and a resume do not depend on when a record says that it began."""
    config, text = run
    times = ["2026-05-05T05:05:05+00:00", "1970-01-01T00:00:00+00:00", "2099-12-31T23:59:59+00:00", "yesterday"]
    tables = []
    for name, changed in (("as it was", False), ("set back", True)):
        out = tmp_path / name
        out.mkdir()
        records = [json.loads(line) for line in text]
        for record, at in zip(records, times, strict=True):
            record |= {"started_at": at} if changed else {}
        (out / JOURNAL).write_text("".join(json.dumps(record) + "\n" for record in records))
        done = bench("run", config, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "4 measurements are already in" in done.stderr
        assert "nothing is left to measure" in done.stderr
        assert [one["record_id"] for one in lines(out)] == [one["record_id"] for one in records]
        tables.append(json.loads((out / "table.json").read_text())["rows"])
    assert [_figures(row) for row in tables[0]] == [_figures(row) for row in tables[1]]


def _figures(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if not key.startswith(("started", "measured_at"))}


READ = """\
import sys
from pathlib import Path
import psutil
from bench import store

def warn(line):
    sys.exit(line)

path = Path(sys.argv[1])
list(store.read(path.with_name("short.jsonl"), warn))  # what importing and the first records take
this = psutil.Process()
before = most = this.memory_info().rss
for count, _ in enumerate(store.read(path, warn), 1):
    if count % 1000 == 0:
        most = max(most, this.memory_info().rss)
print(count, most - before)
"""


@pytest.mark.parametrize(
    ("size", "growth"),
    [
        (60_000_000, 8_000_000),
        pytest.param(1_000_000_000, 30_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
    ids=["60 MB", "1 GB"],
)
def test_reading_takes_no_memory_that_grows_with_the_journal(
    tmp_path: Path, run: tuple[Path, Text], size: int, growth: int
) -> None:
    first = run[1][0]
    name = json.dumps(json.loads(first)["record_id"]).encode()
    count = size // len(first)
    with (tmp_path / "long.jsonl").open("wb") as journal:
        for index in range(count):
            journal.write(first.replace(name, b'"cell.0.%08x"' % index))
    (tmp_path / "short.jsonl").write_bytes(first)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "long.jsonl")], cwd=ROOT, capture_output=True, text=True
    )
    (tmp_path / "long.jsonl").unlink()
    assert done.returncode == 0, done.stderr
    found, grown = map(int, done.stdout.split())
    print(f"{found} records, {grown / 1e6:.1f} MB more, {time.monotonic() - start:.1f} s")
    assert found == count
    assert grown < growth
