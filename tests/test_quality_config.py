"""The `quality:` of a config: which passes follow from it, and what is said of one that cannot be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import InputError
from bench.execute import passes
from bench.models import prose
from bench.plan import expand, quality, read
from bench.schema import Cell, Failure, ModelFacts, Record, Scored
from bench.schema.precision import label
from bench.sensors import environment
from tests.commands import bench

CONFIG: dict[str, Any] = {
    "models": "builtin:smollm2-135m",
    "precisions": ["int8", "bf16", "nf4"],
    "workloads": [{"batch_size": [1, 4], "input_tokens": 64, "output_tokens": 8}],
}


def written(folder: Path, section: Any, **more: Any) -> Path:
    path = folder / "q.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **more, "quality": section}))
    return path


def cells_of(path: Path) -> list[Cell]:
    sweep = read.sweep(path)
    assert sweep.quality is not None
    return quality.cells(sweep, quality.inputs(sweep.quality))


def roles(cells: list[Cell]) -> list[tuple[str, str | None]]:
    found = []
    for cell in cells:
        assert cell.quality is not None
        found.append((label(cell.precision), None if cell.quality.reference is None else label(cell.quality.reference)))
    return found


def test_one_pass_a_level_and_the_reference_comes_first(tmp_path: Path) -> None:
    found = cells_of(written(tmp_path, {}))
    assert roles(found) == [("bf16", None), ("int8", "bf16"), ("nf4", "bf16")]
    asked = found[0].quality
    assert asked is not None
    assert (asked.text, asked.text_sha256) == ("builtin:moby-dick", prose.sha256())
    assert len({cell.cell_id for cell in found}) == 3


def test_a_config_without_the_section_keeps_its_cells(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump(CONFIG))
    with_quality = written(tmp_path, {})
    assert [one.cell_id for one in expand.cells(read.sweep(plain))] == [
        one.cell_id for one in expand.cells(read.sweep(with_quality))
    ]


def test_the_widest_plain_level_is_the_reference(tmp_path: Path) -> None:
    found = cells_of(written(tmp_path, {}, precisions=["fp16", "bf16", "fp32", "bf16+kv-int4"]))
    assert roles(found)[0] == ("fp32", None)
    assert {base for _, base in roles(found)[1:]} == {"fp32"}


def test_a_reference_that_is_not_timed_is_scored_beside_the_others(tmp_path: Path) -> None:
    found = cells_of(written(tmp_path, {"reference": "fp32"}))
    assert roles(found) == [("fp32", None), ("int8", "fp32"), ("bf16", "fp32"), ("nf4", "fp32")]


def test_no_reference_is_a_choice(tmp_path: Path) -> None:
    assert {base for _, base in roles(cells_of(written(tmp_path, {"reference": "none"})))} == {None}


def test_random_weights_and_endpoints_have_no_pass(tmp_path: Path) -> None:
    assert cells_of(written(tmp_path, {}, models="shape:smollm2-135m")) == []


def test_another_text_is_another_cell(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("It was a bright cold day in April. " * 50, encoding="utf-8")
    first = cells_of(written(tmp_path, {"text": "own.txt"}))
    own.write_text("It was a bright cold day in May. " * 50, encoding="utf-8")
    second = cells_of(written(tmp_path, {"text": "own.txt"}))
    assert not {cell.cell_id for cell in first} & {cell.cell_id for cell in second}
    assert str(tmp_path) not in first[0].model_dump_json()  # records are published


def test_another_task_or_other_data_of_it_is_another_cell(tmp_path: Path) -> None:
    task, data = tmp_path / "own.yaml", tmp_path / "own.jsonl"
    task.write_text("task: own\ndataset_path: json\ndataset_kwargs: {data_files: {test: own.jsonl}}\n")
    data.write_text('{"question": 1}\n')
    path = written(tmp_path, {"tasks": "own.yaml"})
    first = cells_of(path)
    data.write_text('{"question": 2}\n')
    second = cells_of(path)
    task.write_text(task.read_text() + "test_split: test\n")
    assert len({one[0].cell_id for one in (first, second, cells_of(path), cells_of(written(tmp_path, {})))}) == 4
    assert str(tmp_path) not in first[0].model_dump_json()


BAD = {
    "empty": (None, "quality: must be a mapping of keys; write quality: {}"),
    "true": (True, "quality: must be a mapping of keys; write quality: {}"),
    "two-references": (
        {"reference": ["bf16", "int8"]},
        "quality.reference: one level is the reference, and here are 2",
    ),
    "misspelt-reference": ({"reference": "bf17"}, "did you mean 'bf16'"),
    "unknown-kv": ({"reference": "bf16+kv-int5"}, "'bf16+kv-int5' is no level"),
    "folder": ({"text": "."}, "is a folder; give a UTF-8 text file"),
    "served": ({"reference": "served"}, "'served' is no level; known: awq, bf16"),
    "max-bytes": ({"max_bytes": 10}, "quality.max_bytes: 10 bytes cannot fill one window of 512 tokens; raise it"),
    "no-name": ({"text": " "}, "quality.text: no name is no text; give a file's path"),
    "missing": ({"text": "nowhere.txt"}, "cannot be read (No such file or directory)"),
    "binary": ({"text": "binary.bin"}, "byte 3 is a NUL character"),
    "latin-1": ({"text": "latin.txt"}, "byte 3 is not UTF-8"),
    "nothing": ({"text": "empty.txt"}, "there is no text in it"),
    "too-short": ({"text": "short.txt"}, "bytes cannot fill one window of 512 tokens"),
    "builtin": ({"text": "builtin:hamlet"}, "unknown text 'builtin:hamlet'"),
    "window": ({"window_tokens": 4}, "quality.window_tokens: must be greater than or equal to 8"),
    "context": ({"context_tokens": 512}, "must be less than window_tokens (got 512 of 512)"),
    "key": ({"texts": "x"}, "quality.texts: unknown key; did you mean 'text'"),
    "list": ([1], "quality: must be a mapping of keys"),
    "task": ({"tasks": ["none.yaml"]}, "quality.tasks[0]: none.yaml: cannot read it"),
    "no-task": ({"tasks": ["q.yaml"]}, "q.yaml: is no lm-eval task; it needs a key task"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_with_file_line_and_remedy(name: str, tmp_path: Path) -> None:
    section, expected = BAD[name]
    (tmp_path / "binary.bin").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes("Caf\xe9".encode("latin-1"))
    (tmp_path / "empty.txt").write_bytes(b" \n\n")
    (tmp_path / "short.txt").write_text("Call me Ishmael.")
    with pytest.raises(InputError) as found:
        read.sweep(written(tmp_path, section))
    assert len(found.value.lines) == 1
    assert found.value.lines[0].startswith(f"{tmp_path / 'q.yaml'}:")
    assert expected in found.value.lines[0]


def test_levels_without_a_plain_one_need_a_reference_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no level of the list can be the reference"):
        read.sweep(written(tmp_path, {}, precisions=["int8", "nf4"]))


def test_a_misspelt_level_is_one_mistake_and_not_a_missing_reference_too(tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        read.sweep(written(tmp_path, {}, precisions=["int8", "bf17"]))
    assert len(found.value.lines) == 1
    assert "did you mean 'bf16'" in found.value.lines[0]


def test_a_name_that_two_levels_bear_is_refused(tmp_path: Path) -> None:
    two = [{"name": "nf4"}, {"name": "nf4", "double_quant": True}, "bf16"]
    assert roles(cells_of(written(tmp_path, {"reference": "nf4"}, precisions=two)))[0] == ("nf4", None)
    threes = [{"name": "nf4", "double_quant": True}, {"name": "nf4", "compute_dtype": "fp32"}, "bf16"]
    with pytest.raises(InputError, match="2 levels are called nf4"):
        read.sweep(written(tmp_path, {"reference": "nf4"}, precisions=threes))


def test_the_dry_run_names_the_passes(tmp_path: Path) -> None:
    done = bench("run", str(written(tmp_path, {})), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "int8  quality on builtin:moby-dick (52,359 bytes), against bf16" in done.stdout


# --- which passes a resume runs

FACTS = ModelFacts(parameters=1, weights_bytes=2, vocab_size=9, dtype="bfloat16", device="cpu")


def record(cell: Cell, at: str, kept: str | None = None, against: bool = False, status: Any = "ok") -> Record:
    base = {"reference_record_id": "r", "tokens": 1, "kl_nats": (0.0,), "kl_p50": 0, "kl_p99": 0, "kl_max": 0}
    said: dict[str, Any] = {"against": {**base, "same_top_1": (1,)}} if against else {}
    scored = Scored.model_validate(
        {
            "facts": FACTS,
            "load_s": 1,
            "score_s": 1,
            "tokens": 1,
            "text_bytes": 4,
            "windows": 1,
            "window_tokens": 8,
            "tokens_sha256": "x",
            "block_tokens": 64,
            "nll_nats": (1.0,),
            "kept_file": kept,
            **said,
        }
    )
    return Record(
        record_id=f"{cell.cell_id}.0.x",
        replicate=0,
        status=status,
        error=None if status == "ok" else Failure(reason="no"),
        started_at=at,
        cell=cell,
        environment=environment.detect(),
        purpose="quality",
        scored=scored if status == "ok" else None,
    )


def names(cells: list[Cell]) -> list[str]:
    return [cell.precision.name for cell in cells]


def test_a_resume_runs_what_is_missing_alone(tmp_path: Path) -> None:
    bf16, int8, nf4 = cells = cells_of(written(tmp_path, {}))
    there, gone = (lambda _: True), (lambda _: False)
    assert names(passes.to_run(cells, {}, False, there)) == ["bf16", "int8", "nf4"]
    base = {bf16.cell_id: record(bf16, "1", "kept.npz")}
    assert names(passes.to_run(cells, base, False, there)) == ["int8", "nf4"]
    # Without what the reference keeps, nothing can be held against it: it is scored once more.
    assert names(passes.to_run(cells, base, False, gone)) == ["bf16", "int8", "nf4"]
    whole = base | {one.cell_id: record(one, "2", against=True) for one in (int8, nf4)}
    assert passes.to_run(cells, whole, False, gone) == []


def test_a_failure_is_tried_again_when_asked_and_its_levels_follow(tmp_path: Path) -> None:
    bf16, int8, nf4 = cells = cells_of(written(tmp_path, {}))
    there = lambda _: True  # noqa: E731
    failed = {bf16.cell_id: record(bf16, "1", status="oom")}
    failed |= {one.cell_id: record(one, "2") for one in (int8, nf4)}  # scored without a reference
    assert passes.to_run(cells, failed, False, there) == []
    assert names(passes.to_run(cells, failed, True, there)) == ["bf16", "int8", "nf4"]
    later = failed | {bf16.cell_id: record(bf16, "3", "kept.npz")}
    assert names(passes.to_run(cells, later, False, there)) == ["int8", "nf4"]
    # A level that cannot be compared is not scored for ever.
    assert passes.to_run(cells, later | {one.cell_id: record(one, "4") for one in (int8, nf4)}, False, there) == []
