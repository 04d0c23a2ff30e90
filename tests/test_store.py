"""The journal: nothing measured is lost, nothing broken is believed, and every loss is said."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import store
from bench.errors import InputError
from bench.report.rows import rows
from bench.schema import CostChoices, FourBit, Int8, Record, RunnerChoice
from bench.store import JOURNAL, RESERVE_BYTES, Journal
from tests.samples import H100, cell, environment, failed_record, record
from tests.small_disk import fill, mounted_disk

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = Path(__file__).resolve().parent / "data" / "records-v1.jsonl"
MAPS = (
    "options",
    "packages",
    "placement",
    "parallel",
    "text_tokens",
    "reasons",
    "files",
    "config",
    "sources",
    "files",
    "config",
    "sources",
)
"""Fields whose keys are data: an unknown key in them is a value."""


def _write(folder: Path, *records: Record) -> None:
    with Journal(folder) as journal:
        for one in records:
            journal.append(one)


def _read(path: Path) -> tuple[list[Record], list[str]]:
    warnings: list[str] = []
    return list(store.read(path, warnings.append)), warnings


def _raw(of: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.model_dump_json(exclude_none=True))
    return found


# --- round trip --------------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    """Equal records in their order, from the folder and from the file; no warning; one line each."""
    kept = [
        record(0),
        record(1, of=cell(precision=FourBit(name="nf4", double_quant=True))),
        record(2, where=environment([H100])),
        failed_record(log_tail=("line one", 'quotes " and \\', "ümläut \u2028 and \x00")),
        record(3, of=cell(runner=RunnerChoice(name="fake", options={"trouble": "none", "nothing": None}))),
    ]
    _write(tmp_path / "new" / "folder", *kept)
    for path in (tmp_path / "new" / "folder", tmp_path / "new" / "folder" / JOURNAL):
        assert _read(path) == (kept, [])
    assert (tmp_path / "new" / "folder" / JOURNAL).read_bytes().count(b"\n") == len(kept)


def test_a_record_is_on_disk_before_the_next_cell_starts(tmp_path: Path) -> None:
    """A reader beside the open journal sees every appended record."""
    with Journal(tmp_path) as journal:
        for index in range(3):
            journal.reserve()
            journal.append(record(index))
            assert [one.replicate for one in _read(tmp_path)[0]] == list(range(index + 1))


def test_the_reserve_is_gone_when_the_run_ends(tmp_path: Path) -> None:
    """Four mebibytes are not left behind."""
    with Journal(tmp_path) as journal:
        journal.reserve()
        assert (tmp_path / ".reserve").stat().st_size == RESERVE_BYTES
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]


def test_a_second_run_appends_to_the_first(tmp_path: Path) -> None:
    """Opening a journal never empties it."""
    _write(tmp_path, record(0))
    _write(tmp_path, record(1))
    assert [one.replicate for one in _read(tmp_path)[0]] == [0, 1]


# --- broken lines ------------------------------------------------------------------------------------------------


def test_a_torn_line_is_skipped_and_closed(tmp_path: Path) -> None:
    """Power cut in the middle of a record: one warning, and the next record stands whole on a line of its own."""
    _write(tmp_path, record(0), record(1))
    whole = (tmp_path / JOURNAL).read_bytes()
    torn = whole[:-200]
    (tmp_path / JOURNAL).write_bytes(torn)
    found, warnings = _read(tmp_path)
    assert [one.replicate for one in found] == [0]
    assert len(warnings) == 1
    assert f"{tmp_path / JOURNAL}:2: " in warnings[0]
    _write(tmp_path, record(2))
    assert (tmp_path / JOURNAL).read_bytes().startswith(torn + b"\n")
    found, warnings = _read(tmp_path)
    assert found == [record(0), record(2)]
    assert len(warnings) == 1


def test_only_the_newline_was_lost(tmp_path: Path) -> None:
    """A whole record without its newline is read, and stays whole after the next append."""
    _write(tmp_path, record(0))
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert _read(tmp_path) == ([record(0)], [])
    _write(tmp_path, record(1))
    assert _read(tmp_path) == ([record(0), record(1)], [])


def _without(raw: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != key}


def _no_rounds() -> dict[str, Any]:
    raw = _raw(record(7))
    raw["measurement"]["rounds"] = []
    return raw


def _no_steps() -> dict[str, Any]:
    raw = _raw(record(7))
    raw["measurement"]["rounds"][0]["step_s"] = []
    return raw


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (record(0).model_dump_json(exclude_none=True).encode(), "stands here twice"),
        (b'{"hello": "world"}', "not a record of ours"),
        (b"[1, 2, 3]", "not a record of ours"),
        (b'"text"', "not a record of ours"),
        (json.dumps({**_raw(record(7)), "schema_version": 2}).encode(), "schema 2 skipped"),
        (json.dumps({**_raw(record(7)), "status": "splendid"}).encode(), "not a record of ours (status"),
        (json.dumps(_without(_raw(record(7)), "cell")).encode(), "not a record of ours (cell"),
        (json.dumps(_no_rounds()).encode(), "not a record of ours (measurement.rounds"),
        (json.dumps(_no_steps()).encode(), "not a record of ours (measurement.rounds"),
        (bytes(range(128, 256)), "torn or broken line"),
        (b"\x00\xff\xfe\x00garbage", "torn or broken line"),
        (b'{"schema_version": 1, "record_id": "a', "torn or broken line"),
    ],
    ids=[
        "doubled", "foreign", "list", "text", "newer", "status", "no cell", "no rounds", "no steps", "binary", "nul",
        "torn",
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_costs_one_warning(tmp_path: Path, line: bytes, words: str) -> None:
    """Skipped with file, line and reason; the records on both sides of it are kept."""
    _write(tmp_path, record(0))
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes() + line + b"\n")
    _write(tmp_path, record(1))
    found, warnings = _read(tmp_path)
    assert found == [record(0), record(1)]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}:2: ")
    assert words in warnings[0]


def test_empty_lines_are_nothing_to_speak_of(tmp_path: Path) -> None:
    """Nothing was lost where nothing stands."""
    _write(tmp_path, record(0))
    path = tmp_path / JOURNAL
    path.write_bytes(b"\n \n" + path.read_bytes() + b"\n")
    assert _read(tmp_path) == ([record(0)], [])


def _with_unknown_keys(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return [_with_unknown_keys(one, name) for one in value]
    if not isinstance(value, dict) or name in MAPS:
        return value
    grown = {key: _with_unknown_keys(one, key) for key, one in value.items()}
    return {**grown, "from_the_future": {"a": [1, None]}}


@pytest.mark.parametrize("of", [record(0, where=environment([H100])), failed_record()], ids=["ok", "failed"])
def test_unknown_keys_at_every_level_load(tmp_path: Path, of: Record) -> None:
    """A record of a newer version of the same schema loads as what this version knows of it."""
    grown = json.dumps(_with_unknown_keys(_raw(of)))
    assert grown.count("from_the_future") >= 6
    (tmp_path / JOURNAL).write_text(grown + "\n", encoding="utf-8")
    assert _read(tmp_path) == ([of], [])


@pytest.mark.parametrize("precision", [Int8(name="int8", threshold=0.0), Int8(name="int8", threshold=1e300)])
def test_an_unusual_option_survives(tmp_path: Path, precision: Int8) -> None:
    """The options of a cell come back to the last bit: its id depends on them."""
    kept = record(of=cell(precision=precision))
    _write(tmp_path, kept)
    assert _read(tmp_path) == ([kept], [])


# --- places that cannot be written or read -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", "empty", "a-file/below"])
def test_no_journal_is_said_with_a_remedy(tmp_path: Path, name: str) -> None:
    """A folder that is missing, empty, or below a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("no journal", encoding="utf-8")
    with pytest.raises(InputError, match="bench run"):
        _read(tmp_path / name)


@pytest.mark.parametrize("place", ["a-file", "a-file/below", "/proc/bench-results"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    """A file in place of the folder, or a place where nobody may write: one line, naming --out."""
    (tmp_path / "a-file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(InputError, match="--out") as caught, Journal(tmp_path / place):
        pass
    assert str(tmp_path / place) in caught.value.lines[0]
    assert (tmp_path / "a-file").read_text(encoding="utf-8") == "not a folder"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two runs in one folder would measure each other; the first goes on undisturbed."""
    with Journal(tmp_path) as first:
        first.append(record(0))
        with pytest.raises(InputError, match=r"another run is writing here.*--out"), Journal(tmp_path):
            pass
        first.append(record(1))
    _write(tmp_path, record(2))
    assert _read(tmp_path) == ([record(0), record(1), record(2)], [])


# --- a full disk -------------------------------------------------------------------------------------------------

LONG = failed_record("crashed", "a long log", log_tail=["x" * 1000 for _ in range(64)])
"""Longer than a page of any file system, so that it cannot slip into the end of one."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A disk of 6 MiB; None where this user may not mount one."""
    with mounted_disk(tmp_path / "disk", 6 << 20) as place:
        yield place


def _refuses_under_a_file_limit(folder: Path) -> None:
    limit = RESERVE_BYTES // 2
    code = (
        "import resource, sys; from pathlib import Path; from bench.errors import InputError; "
        "from bench.store import Journal; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "with Journal(Path(sys.argv[1])) as journal:\n"
        "    try: journal.reserve()\n"
        "    except InputError as error: sys.exit(f'refused: {error}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"refused: {folder}: no space left")
    assert not (folder / ".reserve").exists()


def _full_while_reserved(journal: Journal, write: Callable[..., int]) -> Callable[..., int]:
    """`os.write` on a disk on which only the reserve is left: half of the line lands before the error."""

    def full(fd: int, data: memoryview) -> int:
        if not (journal.folder / ".reserve").exists():
            return write(fd, data)
        write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return full


def test_a_full_disk_is_refused_before_measuring(small_disk: Path | None, tmp_path: Path) -> None:
    """No room for one more record: InputError with a remedy, and what is stored stays whole."""
    _refuses_under_a_file_limit(tmp_path / "limited")
    if small_disk is None:
        return
    with Journal(small_disk / "run") as journal:
        journal.reserve()
        journal.append(record(0))
        (small_disk / "run" / ".reserve").unlink()
        fill(small_disk)
        with pytest.raises(InputError, match=r"no space left.*run the same command"):
            journal.reserve()
        assert not (small_disk / "run" / ".reserve").exists()
    assert _read(small_disk / "run") == ([record(0)], [])


def test_a_record_lands_whole_on_a_disk_that_filled_meanwhile(small_disk: Path | None, tmp_path: Path) -> None:
    """Measured for an hour while something else took the disk: the reserve is what the record goes into."""
    if small_disk is None:
        _refuses_under_a_file_limit(tmp_path / "limited")
        return
    with Journal(small_disk / "run") as journal:
        journal.append(record(0))
        journal.reserve()
        fill(small_disk)
        journal.append(LONG)
        assert not (small_disk / "run" / ".reserve").exists(), "the disk was not full"
        fill(small_disk)
        with pytest.raises(InputError, match="no space left"):
            journal.reserve()
    assert _read(small_disk / "run") == ([record(0), LONG], [])


def test_half_a_line_is_taken_back_before_it_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by a disk that is only said to be full, so that it holds for every user."""
    with Journal(tmp_path) as journal:
        journal.append(record(0))
        journal.reserve()
        monkeypatch.setattr(os, "write", _full_while_reserved(journal, os.write))
        journal.append(LONG)
    assert _read(tmp_path) == ([record(0), LONG], [])


def test_a_disk_that_stays_full_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a reserve there is nothing to give: an error, and the journal as it was."""
    write = os.write

    def full(fd: int, data: memoryview) -> int:
        write(fd, data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(tmp_path) as journal:
        journal.append(record(0))
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(InputError, match="no space left"):
            journal.append(record(1))
        monkeypatch.setattr(os, "write", write)
        journal.append(record(2))
    assert _read(tmp_path) == ([record(0), record(2)], [])


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it was given."""
    write = os.write
    with Journal(tmp_path) as journal:
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        journal.append(record(0))
    assert _read(tmp_path) == ([record(0)], [])


# --- the archive -------------------------------------------------------------------------------------------------


def test_records_of_schema_1_load_forever() -> None:
    """tests/data/records-v1.jsonl was written once and is never changed: every later version reads it like this."""
    found, warnings = _read(ARCHIVE)
    assert warnings == []
    assert [one.status for one in found] == ["ok", "ok", "unsupported", "oom"]
    assert {one.schema_version for one in found} == {1}
    table = rows(found, CostChoices(usd_per_hour=3.6, apis=("groq/llama-3.1-8b-instant",)))
    assert [(row.cell.precision.name, row.status, row.replicates) for row in table] == [
        ("bf16", "ok", 2),
        ("nf4", "unsupported", 0),
        ("int8", "oom", 0),
    ]
    ok, unsupported, oom = table
    assert ok.cell.cell_id == "a8288e60e871"
    assert ok.figures is not None
    assert ok.dollars is not None
    assert ok.figures.ttft_s is not None
    assert ok.figures.prefill_tokens_per_s is not None
    assert ok.figures.ttft_s.value == pytest.approx(0.5)
    assert ok.figures.prefill_tokens_per_s.value == pytest.approx(400.0)
    assert ok.figures.decode_tokens_per_s is not None
    assert ok.figures.decode_tokens_per_s.value == pytest.approx(40.0)
    assert ok.dollars.input_usd_per_mtok is not None
    assert ok.dollars.output_usd_per_mtok is not None
    assert ok.dollars.input_usd_per_mtok.value == pytest.approx(2.5)
    assert ok.dollars.output_usd_per_mtok.value == pytest.approx(500 / 22)
    assert unsupported.failure is not None
    assert unsupported.failure.remedy == "pip install bitsandbytes"
    assert oom.failure is not None
    assert oom.failure.reason.startswith("does not fit")


def test_the_cell_ids_of_schema_1_still_hold() -> None:
    """A cell that is read back hashes to the id under which it was stored: a run goes on where it stopped."""
    found, _ = _read(ARCHIVE)
    assert {one.cell.cell_id == one.cell.identified({}).cell_id for one in found} == {True}


def test_a_line_nested_beyond_reason_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("[" * 200_000 + "\n")
    said: list[str] = []
    assert list(store.read(tmp_path, said.append)) == []
    assert len(said) == 1
