"""The frame that all imports stand in: what is no result is refused in one line; what is one is stored once."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench import store
from bench.errors import InputError
from bench.imports import TOOLS, find
from bench.imports.found import Found, Load
from bench.imports.read import read
from bench.imports.records import Words, cell, default_folder, environment, records
from bench.imports.values import Values
from bench.schema import Imported, Record
from tests.commands import ROOT, bench

DATA = ROOT / "tests" / "data" / "imports"
VLLM = DATA / "vllm" / "serve-closed-detailed.json"


def refused(tmp_path: Path, content: bytes | str, name: str = "result.json") -> str:
    """The one line that a file of this content is refused with."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read(file)
    (line,) = caught.value.lines
    assert line.startswith(str(file))
    assert "\n" not in line
    return line


def stored(folder: Path) -> list[Record]:
    return list(store.read(folder, pytest.fail))


def found(**changed: Any) -> Found:
    said = Imported(tool="GuideLLM", file="a.json", sha256="0" * 64, figures={})
    known: dict[str, Any] = {"imported": said, "model": "org/tiny", "input_tokens": 10.0, "output_tokens": 5.0}
    return Found(**known | changed)


# --- what is no result


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        (" \n\t\n", "empty"),
        (b"\x00\x01\x02", "binary"),
        (gzip.compress(b"{}", mtime=0), "gunzip"),
        (b"PK\x03\x04zip", "binary"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"error": {"message": "Not Found", "code": 404}}', "error answer"),
        ("<!DOCTYPE html><title>502</title>", "markup"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "nested deeper"),
        ('{"a": ' + "9" * 5000 + "}", "thousands of digits"),
        ('{"a": 1, "b"', "ends in the middle, at byte 12"),
        ('{"a": 1} trailing', "broken JSON at line 1"),
        ("[]", "a JSON list of 0"),
        ('"hello"', "a single value"),
        ("model,tokens\na,1\n", "text that begins with"),
        ('{"schema_version": 1, "record_id": "x", "cell": {}}', "bench report"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, content: bytes | str, said: str) -> None:
    assert said in refused(tmp_path, content)


def test_another_file_is_told_with_its_keys_and_the_tools_that_there_are(tmp_path: Path) -> None:
    line = refused(tmp_path, '{"model_id": "a", "results": [1]}')
    assert "'model_id', 'results'" in line
    assert "--tool" in line
    assert all(name in line for name in TOOLS)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match="a folder"):
        read(tmp_path)
    (tmp_path / store.JOURNAL).write_text("")
    with pytest.raises(InputError, match="a run of our own"):
        read(tmp_path)


def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as handle:
        handle.truncate((256 << 20) + 1)  # takes no room on the disk
    with pytest.raises(InputError, match="at most 256 MiB"):
        read(large)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not an ordinary file"):
        read(pipe)


def test_a_text_that_two_tools_claim_needs_the_person_to_say_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find("guidellm"), "claims", lambda _text, _name: True)
    file = tmp_path / "both.json"
    file.write_bytes(VLLM.read_bytes())
    with pytest.raises(InputError, match="--tool vllm or --tool guidellm"):
        read(file)
    assert read(file, "vllm")[0].model == "smollm2-135m"
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        read(file, "vlm")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "1e300", '"5"', "true", "[1]"])
def test_a_figure_that_is_no_sound_number_is_refused_by_its_key(tmp_path: Path, value: str) -> None:
    whole = json.loads(VLLM.read_text())
    text = json.dumps(whole | {"duration": "HERE"}).replace('"HERE"', value)
    assert "duration" in refused(tmp_path, text)


def test_half_a_request_is_no_count() -> None:
    with pytest.raises(InputError, match=r"^a\.json: run\.completed: must be a whole number, got 2\.5$"):
        Values(Path("a.json"), {"completed": 2.5}, "run").count("completed")


def test_every_file_is_claimed_by_its_own_tool_alone() -> None:
    files = [
        path for path in sorted(DATA.glob("*/**/*")) if path.is_file() and path.suffix in (".json", ".csv", ".jsonl")
    ]
    assert len(files) > 12
    for path in files:
        text = path.read_text()
        own = path.relative_to(DATA).parts[0]
        assert [name for name in TOOLS if find(name).claims(text, "anything")] == [own], path


# --- from what was found to records


def test_the_load_of_a_file_becomes_the_load_of_a_cell() -> None:
    closed = cell(found(load=Load("closed", 8)))
    assert closed.traffic is not None
    assert closed.traffic.label() == "closed 8"
    gamma = cell(found(load=Load("gamma", 2.5, 0.5)))
    assert gamma.traffic is not None
    assert gamma.traffic.burstiness == 0.5
    assert cell(found(batch_size=4)).workload.batch_size == 4
    with pytest.raises(InputError, match=r"a\.json: poisson 1e\+12"):
        cell(found(load=Load("poisson", 1e12)))


def test_a_precision_of_ours_is_ours_and_any_other_keeps_its_name() -> None:
    assert cell(found(precision="nf4")).precision.name == "nf4"
    assert cell(found(precision="bf16+kv-int4")).precision.model_dump()["kv_cache"]["format"] == "int4"
    other = cell(found(precision="Q4_K_M"))
    assert (other.precision.name, other.runner.options["precision"]) == ("checkpoint", "Q4_K_M")
    assert cell(found()).precision.name == "served"
    assert len({cell(found(precision=name)).cell_id for name in ("", "nf4", "Q4_K_M", "Q4_0")}) == 4


def test_lengths_that_nobody_says_are_not_made_up() -> None:
    unknown = cell(found(input_tokens=None, output_tokens=None))
    assert unknown.runner.options["input_tokens"] == unknown.runner.options["output_tokens"] == "unknown"


def test_the_persons_words_win_and_no_cpus_are_made_up() -> None:
    said = Words(model="org/other", precision="fp16", accelerators=("H100", "H100"))
    changed = said.over(found(accelerators=("NVIDIA L4",), precision="bf16"))
    assert (changed.model, changed.precision, changed.accelerators) == ("org/other", "fp16", ("H100", "H100"))
    machine = environment(changed, "0")
    assert [one.name for one in machine.accelerators] == ["H100", "H100"]
    assert machine.cpu_usable == 0
    on_cpu = environment(Words(cpu_model="EPYC 9654", cpu_count=96).over(found(accelerators=("NVIDIA L4",))), "0")
    assert (on_cpu.accelerators, on_cpu.cpu_model, on_cpu.cpu_usable) == ((), "EPYC 9654", 96)


def test_equal_cells_are_replicates_and_ids_follow_the_file_and_not_its_name() -> None:
    other = Imported(tool="GuideLLM", file="b.json", sha256="1" * 64, figures={})
    first, second = records([found(), found(imported=other)], "0")
    assert (first.replicate, second.replicate) == (0, 1)
    assert first.record_id != second.record_id
    (again,) = records([found(imported=found().imported.model_copy(update={"file": "c.json"}))], "0")
    assert again.record_id == first.record_id


@pytest.mark.parametrize(
    ("name", "folder"), [("a b/../c.json", "c"), ("...json", "results"), ("x;rm -rf.json", "x-rm--rf")]
)
def test_the_folder_without_a_name_is_called_after_the_file(name: str, folder: str) -> None:
    assert default_folder([Path(name)]) == Path("results/imported") / folder


# --- the command


def test_the_command_stores_a_result_once_and_names_the_next(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = bench("import", VLLM, "--out", out, "--precision", "Q4_1", "--accelerator", "H100", "--count", "2")
    assert first.returncode == 0, first.stderr
    assert "completed / duration" in first.stdout
    assert "left out:" in first.stdout
    assert f"report {out}" in first.stdout.splitlines()[-1]
    (record,) = stored(out)
    assert record.imported is not None
    assert record.imported.file == VLLM.name
    assert len(record.imported.sha256) == 64
    assert [one.name for one in record.environment.accelerators] == ["H100", "H100"]
    assert record.started_at == "2026-11-22T14:17:13"
    copy = tmp_path / "copy.json"
    copy.write_bytes(VLLM.read_bytes())
    again = bench("import", copy, "--out", out)
    assert again.returncode == 0
    assert "already" in again.stdout
    assert stored(out) == [record]


def test_choices_of_cost_are_kept_for_the_report(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert bench("import", VLLM, "-o", out, "--usd-per-hour", "2").returncode == 0
    assert json.loads((out / "plan.json").read_text())["cost"]["usd_per_hour"] == 2
    assert bench("import", DATA / "guidellm" / "closed.json", "-o", out, "--utilisation", "0.5").returncode == 0
    kept = json.loads((out / "plan.json").read_text())["cost"]
    assert (kept["usd_per_hour"], kept["utilisation"]) == (2, 0.5)
    assert len(stored(out)) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--accelerator", "H1000"), "H100"),
        (("--accelerator", " "), "--accelerator: it is empty"),
        (("--count", "2"), "--count"),
        (("--tool", "vlmm"), "--tool"),
        (("--tool", "guidellm"), "serve-closed-detailed.json"),
        (("--usd-per-hour", "-1"), "--usd-per-hour"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = bench("import", VLLM, "-o", tmp_path / "run", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_without_a_model_needs_the_persons_word(tmp_path: Path) -> None:
    csv = DATA / "aiperf" / "closed" / "profile_export_aiperf.csv"
    done = bench("import", csv, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert "--model" in done.stderr
    assert bench("import", csv, "-o", tmp_path / "run", "--model", "org/tiny").returncode == 0
    assert stored(tmp_path / "run")[0].cell.model.source == "org/tiny"


def test_measurements_of_our_own_are_not_mixed_with_imports(tmp_path: Path) -> None:
    (tmp_path / store.JOURNAL).write_text((ROOT / "tests" / "data" / "records-v1.jsonl").read_text())
    done = bench("import", VLLM, "-o", tmp_path)
    assert done.returncode == 2
    assert "of our own" in done.stderr


def test_hostile_names_are_text_on_the_terminal_and_in_the_record(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>\n\x1b[31m\u202e=cmd|[bold]' + "z" * 10_000
    file = tmp_path / "evil.json"
    file.write_text(json.dumps(json.loads(VLLM.read_text()) | {"model_id": evil, "backend": evil}))
    done = bench("import", file, "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[bold]" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) < 400
    assert stored(tmp_path / "run")[0].cell.model.source == evil
