"""From a config to cells: what is read, in which order it runs, and how every mistake is answered."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bench.errors import InputError
from bench.models import catalogue
from bench.plan import expand, read, source
from bench.plan.folder import read_plan, set_aside, write_plan, write_text
from bench.plan.json_schema import schema
from bench.schema import Cell, FourBit, Int8, Plain, Sweep, Workload
from tests import gguf_samples

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

GOOD = """\
name: sample
models:
  - builtin:smollm2-135m
precisions: [bf16]
workloads:
  - input_tokens: 8
    output_tokens: 4
replicates: 2
"""


def _sweep(tmp_path: Path, text: str) -> Sweep:
    path = tmp_path / "sample.yaml"
    path.write_text(text, encoding="utf-8")
    return read.sweep(path)


def _cells(tmp_path: Path, text: str) -> list[Cell]:
    return list(expand.cells(_sweep(tmp_path, text)))


def _lines(tmp_path: Path, text: str) -> list[str]:
    """What is said of a bad config, without the file's name, which every line must begin with."""
    with pytest.raises(InputError) as caught:
        _sweep(tmp_path, text)
    start = f"{tmp_path / 'sample.yaml'}:"
    assert all(line.startswith(start) for line in caught.value.lines), caught.value.lines
    assert all("\n" not in line for line in caught.value.lines)
    return [line.removeprefix(start) for line in caught.value.lines]


def _bench(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *(str(one) for one in arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


# --- good configs ------------------------------------------------------------------------------------------------


def test_a_good_config_is_what_it_says(tmp_path: Path) -> None:
    """Names, numbers and the defaults that were left out."""
    sweep = _sweep(tmp_path, GOOD)
    assert (sweep.name, sweep.replicates, sweep.timeout_s) == ("sample", 2, 1800)
    assert [model.source for model in sweep.models] == ["builtin:smollm2-135m"]
    assert sweep.precisions == (Plain(name="bf16"),)
    assert sweep.workloads == (Workload(batch_size=1, input_tokens=8, output_tokens=4),)
    assert [choice.name for choice in sweep.runners] == ["transformers"]
    assert sweep.runners[0].options["device"] == "auto"
    assert (sweep.protocol.rounds, sweep.cost.utilisation, sweep.cost.apis) == (3, 1.0, None)


@pytest.mark.parametrize(
    "text",
    [
        "models: builtin:smollm2-135m\nprecisions: bf16\nworkloads: {input_tokens: 8, output_tokens: 4}\n",
        "models: [builtin:smollm2-135m]\nprecisions: [bf16]\nworkloads: [{input_tokens: 8, output_tokens: 4}]\n",
        "models: {source: builtin:smollm2-135m}\nprecisions: {name: bf16}\nrunners: {name: transformers}\n"
        "workloads: {batch_size: 1, input_tokens: 8, output_tokens: 4}\n",
        "models: [{source: [builtin:smollm2-135m]}]\nprecisions: [{name: [bf16, bf16]}, bf16]\nrunners: transformers\n"
        "workloads: [{input_tokens: [8], output_tokens: [4]}, {input_tokens: 8, output_tokens: 4}]\n",
    ],
    ids=["bare", "lists", "mappings", "repeated"],
)
def test_shorthand_and_mapping_are_the_same_cell(tmp_path: Path, text: str) -> None:
    """A name, a list of one, a mapping; what is listed twice is measured once."""
    assert [cell.cell_id for cell in _cells(tmp_path, text)] == ["7c85ca40f2bd"]


def test_the_file_names_a_config_without_a_name(tmp_path: Path) -> None:
    """The run's folder is called after it."""
    assert _sweep(tmp_path, GOOD.replace("name: sample\n", "")).name == "sample"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Some editors write one."""
    assert _sweep(tmp_path, "\ufeff" + GOOD).name == "sample"


def test_lists_are_a_matrix(tmp_path: Path) -> None:
    """Every combination, also of lists inside a mapping; `size` says how many without making them."""
    text = (
        "models: [builtin:smollm2-135m, shape:pythia-70m]\n"
        "precisions: [bf16, {name: [nf4, fp4], double_quant: [false, true]}]\n"
        "runners: [fake, {name: fake, step_s: [0.5, 1.0]}]\n"
        "workloads: {batch_size: [1, 8], input_tokens: [16, 32], output_tokens: 4}\n"
    )
    sweep = _sweep(tmp_path, text)
    cells = list(expand.cells(sweep))
    assert expand.size(sweep) == len(cells) == 2 * 5 * 3 * 4
    assert len({cell.cell_id for cell in cells}) == len(cells)
    combinations = {
        (cell.precision.name, cell.precision.double_quant) for cell in cells if isinstance(cell.precision, FourBit)
    }
    assert combinations == {("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True)}
    assert {cell.runner.options["step_s"] for cell in cells} == {0.002, 0.5, 1.0}


def test_cells_stand_model_by_model(tmp_path: Path) -> None:
    """Models outermost, then runners, precisions and workloads, each as listed."""
    text = (
        "models: [shape:pythia-70m, builtin:smollm2-135m]\nprecisions: [int8, bf16]\nrunners: [fake, transformers]\n"
        "workloads: {batch_size: [8, 1], input_tokens: 8, output_tokens: 4}\n"
    )
    order = [
        (cell.model.source, cell.runner.name, cell.precision.name, cell.workload.batch_size)
        for cell in _cells(tmp_path, text)
    ]
    assert order == [
        (model, runner, precision, batch)
        for model in ("shape:pythia-70m", "builtin:smollm2-135m")
        for runner in ("fake", "transformers")
        for precision in ("int8", "bf16")
        for batch in (8, 1)
    ]


# --- ids ---------------------------------------------------------------------------------------------------------

DETAILED = """\
models: shape:llama-3.1-8b
precisions: {name: nf4, double_quant: true}
runners: {name: fake, step_s: 0.5}
workloads: {batch_size: 2, input_tokens: 100, output_tokens: 11}
protocol: {rounds: 5}
"""


@pytest.mark.parametrize(("text", "cell_id"), [(GOOD, "7c85ca40f2bd"), (DETAILED, "46855d0d4d0a")])
def test_ids_never_change(tmp_path: Path, text: str, cell_id: str) -> None:
    """Pinned: if these change, every stored run starts over. A new field must keep them by its default."""
    assert [cell.cell_id for cell in _cells(tmp_path, text)] == [cell_id]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- builtin:smollm2-135m", "- {source: builtin:smollm2-135m, revision: null, trust_remote_code: false}"),
        ("- input_tokens: 8", "- input_tokens: 8\n    batch_size: 1"),
        ("replicates: 2", "replicates: 7\ntimeout_s: 10\ncost: {usd_per_hour: 2}"),
        ("replicates: 2", "protocol: {warmup_rounds: 1, rounds: 3, memory_pass: true}"),
        ("replicates: 2", "runners: {name: transformers, device: auto, threads: null, compile: false}"),
        ("name: sample", "name: another"),
    ],
)
def test_an_id_ignores_what_goes_without_saying(tmp_path: Path, old: str, new: str) -> None:
    """A default spelt out, the name, the price and the number of replicates make no other cell."""
    assert old in GOOD
    assert [cell.cell_id for cell in _cells(tmp_path, GOOD.replace(old, new))] == ["7c85ca40f2bd"]


def test_an_int_where_a_float_is_meant_is_the_same_cell(tmp_path: Path) -> None:
    """threshold: 6 is 6.0, and both are the default."""
    ids = {
        _cells(tmp_path, GOOD.replace("[bf16]", precision))[0].cell_id
        for precision in ("int8", "{name: int8, threshold: 6}", "{name: int8, threshold: 6.0}")
    }
    assert len(ids) == 1


def test_an_id_changes_with_whatever_moves_a_number(tmp_path: Path) -> None:
    """Model, precision and its options, runner and its options, workload, protocol."""
    changes = [
        ("", ""),
        ("builtin:smollm2-135m", "shape:smollm2-135m"),
        ("builtin:smollm2-135m", "owner/name"),
        ("builtin:smollm2-135m", "{source: owner/name, revision: abc}"),
        ("[bf16]", "fp16"),
        ("[bf16]", "nf4"),
        ("[bf16]", "fp4"),
        ("[bf16]", "{name: nf4, double_quant: true}"),
        ("[bf16]", "{name: nf4, compute_dtype: fp16}"),
        ("[bf16]", "int8"),
        ("[bf16]", "{name: int8, threshold: 5.0}"),
        ("input_tokens: 8", "input_tokens: 9"),
        ("output_tokens: 4", "output_tokens: 5"),
        ("output_tokens: 4", "output_tokens: 4\n    batch_size: 2"),
        ("replicates: 2", "protocol: {rounds: 4}"),
        ("replicates: 2", "protocol: {memory_pass: false}"),
        ("replicates: 2", "runners: fake"),
        ("replicates: 2", "runners: {name: fake, step_s: 1.0}"),
        ("replicates: 2", "runners: {name: transformers, threads: 2}"),
        ("replicates: 2", "runners: {name: transformers, compile: true}"),
    ]
    ids = [_cells(tmp_path, GOOD.replace(old, new, 1) if old else GOOD)[0].cell_id for old, new in changes]
    assert len(set(ids)) == len(changes)


# --- files that are no configs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.yaml", None, "missing.yaml: no such file; see the examples in configs/"),
        ("", None, "a folder, and no config; name a YAML file in it"),
        ("binary.yaml", b"\x89PNG\r\n\x1a\n\xff\xfe", "binary.yaml: not a text file in UTF-8"),
        ("nul.yaml", b"models: a\x00b\n", "nul.yaml: broken YAML"),
        ("broken.yaml", b"models: [a, b\nprecisions: bf16\n", "broken.yaml:2:11: broken YAML"),
        ("tab.yaml", b"models:\n\t- a\n", "tab.yaml:2:1: broken YAML"),
        ("object.yaml", b"models: !!python/object:os.system a\n", "object.yaml:1:9: broken YAML"),
        ("empty.yaml", b"", "empty.yaml: the file is empty; see configs/quickstart.yaml"),
        ("comment.yaml", b"# nothing yet\n", "comment.yaml: the file is empty; see configs/quickstart.yaml"),
        (
            "list.yaml",
            b"- models\n- precisions\n",
            "list.yaml:1: a config is a mapping of keys; see configs/quickstart",
        ),
        ("text.yaml", b"just text\n", "text.yaml:1: a config is a mapping of keys; see configs/quickstart.yaml"),
        ("date.yaml", b"name: 2026-13-45\n", "date.yaml:1"),
        ("hex.yaml", b"models: a\nreplicates: 0x_\n", "hex.yaml:2"),
    ],
)
def test_what_is_no_config_is_said_in_one_line(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """Missing, a directory, binary, broken, empty, no mapping, no value: the file, and the line where there is one."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read.sweep(path)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(str(path))
    assert words in caught.value.lines[0]


def test_a_control_character_is_broken_yaml_without_libyaml_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyYAML's own parser refuses it earlier than the C one; a person sees the same line."""
    monkeypatch.setattr(source, "_Loader", yaml.SafeLoader)
    path = tmp_path / "sample.yaml"
    path.write_bytes(b"name: \x07\n")
    with pytest.raises(InputError, match="broken YAML"):
        read.sweep(path)


# --- mistakes in a config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "start", "words"),
    [
        # names
        ("precisions:", "precision:", "4: precision: unknown key", "did you mean 'precisions'"),
        ("input_tokens", "input_tokns", "6: workloads[0].input_tokns: unknown key", "did you mean 'input_tokens'"),
        ("[bf16]", "[bff16]", "4: precisions[0]: unknown precision 'bff16'", "did you mean 'bf16'"),
        ("[bf16]", "[bf16, {name: nf5}]", "4: precisions[1]: unknown precision 'nf5'", "did you mean 'nf4'"),
        (
            "[bf16]", "\n  - name: nf4\n    duoble_quant: true",
            "6: precisions[0].duoble_quant: unknown key", "did you mean 'double_quant'",
        ),
        (
            "replicates: 2", "runners:\n  - name: transformers\n    atention: eager",
            "10: runners[0].atention: unknown key", "did you mean 'attention'",
        ),
        ("replicates: 2", "runners: {name: transfomers}", "8: runners.name: unknown runner", "'transformers'"),
        ("replicates: 2", "runners: llama", "8: runners.name: unknown runner", "'llama.cpp'"),
        ("replicates: 2", "protocol:\n  round: 3", "9: protocol.round: unknown key", "did you mean 'rounds'"),
        ("replicates: 2", "cost:\n  usd_per_hr: 3", "9: cost.usd_per_hr: unknown key", "did you mean 'usd_per_hour'"),
        (
            "- builtin:smollm2-135m", "- sourc: builtin:smollm2-135m",
            "3: models[0].sourc: unknown key", "did you mean 'source'",
        ),
        (
            "builtin:smollm2-135m", "builtin:smollm-135m",
            "3: models[0].source: unknown built-in model", "did you mean 'smollm2-135m'",
        ),
        (
            "builtin:smollm2-135m", "shape:lama-3.1-8b",
            "3: models[0].source: unknown shape", "did you mean 'llama-3.1-8b'",
        ),
        (
            "builtin:smollm2-135m", "llama-3.1-8b",
            "3: models[0].source: unknown model 'llama-3.1-8b'", "'shape:llama-3.1-8b'",
        ),
        ("builtin:smollm2-135m", "a/b/c", "3: models[0].source: unknown model", "a hub id is owner/name"),
        ("builtin:smollm2-135m", "owner/", "3: models[0].source: unknown model", "a hub id is owner/name"),
        ("builtin:smollm2-135m", "owner/na me", "3: models[0].source: unknown model", "a hub id is owner/name"),
        ("builtin:smollm2-135m", "~nosuchuser/model", "3: models[0].source: ", "nosuchuser"),
        ("builtin:smollm2-135m", "./absent.gguf", "3: models[0].source: no such GGUF file", "absent.gguf"),
        ("builtin:smollm2-135m", "./text.gguf", "3: models[0].source: ", "text.gguf: not a GGUF file"),
        ("builtin:smollm2-135m", "./absent", "3: models[0].source: no such folder", "absent"),
        ("builtin:smollm2-135m", "./bare", "3: models[0].source: no such file", "holds a config.json"),
        ("builtin:smollm2-135m", "./broken", "3: models[0].source: not a JSON file", "config.json"),
        ("builtin:smollm2-135m", "./other", "3: models[0].source: no model_type", "not a model's config.json"),
        ("builtin:smollm2-135m", "shape:absent.json", "3: models[0].source: no such file", "absent.json"),
        (
            "builtin:smollm2-135m", "{source: ./bare, gguf_file: a.gguf}",
            "3: models[0].source: no such GGUF file", "a.gguf",
        ),
        (
            "builtin:smollm2-135m", "{source: shape:pythia-70m, revision: main}",
            "3: models[0].", "revision is for hub ids only; remove it",
        ),
        (
            "builtin:smollm2-135m", "{source: ./whole, revision: main}",
            "3: models[0].", "revision is for hub ids only; remove it",
        ),
        ("replicates: 2", "cost: {provider: awz}", "8: cost.provider: unknown provider 'awz'", "did you mean 'aws'"),
        (
            "replicates: 2", "cost:\n  apis:\n    - openai/gpt-5-nano\n    - grok/llama",
            "11: cost.apis[1]: unknown API provider 'grok'", "did you mean 'groq'",
        ),
        (
            "replicates: 2", "cost: {apis: groq/llama-3.1-8b-instnt}",
            "8: cost.apis[0]: unknown model 'llama-3.1-8b-instnt'", "did you mean 'llama-3.1-8b-instant'",
        ),
        ("replicates: 2", "cost: {apis: [gpt-5-nano]}", "8: cost.apis[0]: API model", "must be provider/model"),
        ("name: sample", "name: ../up", "1: name: must be letters, digits", "names the run's folder"),
        ("name: sample", "name: ''", "1: name: must be letters, digits", "names the run's folder"),
        # types
        ("output_tokens: 4", "output_tokens: '4'", "7: workloads[0].output_tokens: must be", "integer (got '4')"),
        ("output_tokens: 4", "output_tokens: 4.5", "7: workloads[0].output_tokens: must be", "integer"),
        ("output_tokens: 4", "output_tokens: true", "7: workloads[0].output_tokens: must be", "integer (got True)"),
        ("output_tokens: 4", "output_tokens: null", "7: workloads[0].output_tokens: must be", "integer (got None)"),
        ("output_tokens: 4", "output_tokens: {a: 1}", "7: workloads[0].output_tokens: must be", "integer"),
        ("output_tokens: 4", "", "6: workloads[0].output_tokens: missing", "missing"),
        ("replicates: 2", "replicates: '2'", "8: replicates: must be", "integer (got '2')"),
        ("replicates: 2", "replicates: 2.0", "8: replicates: must be", "integer (got 2.0)"),
        ("replicates: 2", "replicates: yes", "8: replicates: must be", "integer (got True)"),
        ("replicates: 2", "timeout_s: soon", "8: timeout_s: must be", "number (got 'soon')"),
        ("replicates: 2", "protocol: {memory_pass: 1}", "8: protocol.memory_pass: must be", "true or false (got 1)"),
        ("replicates: 2", "protocol: [1]", "8: protocol: must be a mapping of keys", "mapping"),
        ("replicates: 2", "cost: cheap", "8: cost: must be a mapping of keys", "mapping"),
        ("replicates: 2", "protocol: []", "8: protocol: must be a mapping of keys", "mapping"),
        ("replicates: 2", "cost: 0", "8: cost: must be a mapping of keys", "mapping"),
        ("[bf16]", "{name: nf4, double_quant: 1}", "4: precisions.double_quant: must be", "true or false (got 1)"),
        ("[bf16]", "{name: nf4, compute_dtype: f16}", "4: precisions.compute_dtype: must be", "'fp16'"),
        ("[bf16]", "{double_quant: true}", "4: precisions: name: missing", "nf4"),
        ("- builtin:smollm2-135m", "- [builtin:smollm2-135m]", "3: models[0]: must be a name or a mapping", "mapping"),
        ("- builtin:smollm2-135m", "-", "3: models[0]: must be a name or a mapping", "mapping"),
        ("- builtin:smollm2-135m", "- {source: 7}", "3: models[0].source: must be a valid string", "(got 7)"),
        # values
        ("input_tokens: 8", "input_tokens: 0", "6: workloads[0].input_tokens: must be", "equal to 1 (got 0)"),
        ("output_tokens: 4", "output_tokens: -3", "7: workloads[0].output_tokens: must be", "equal to 1 (got -3)"),
        ("input_tokens: 8", "input_tokens: [8, 0]", "6: workloads[0].input_tokens: must be", "equal to 1 (got 0)"),
        (
            "output_tokens: 4", "output_tokens: 4\n    batch_size: 0",
            "8: workloads[0].batch_size: must be", "equal to 1 (got 0)",
        ),
        ("replicates: 2", "replicates: 0", "8: replicates: must be", "equal to 1 (got 0)"),
        ("replicates: 2", "timeout_s: 0", "8: timeout_s: must be", "greater than 0 (got 0"),
        ("replicates: 2", "timeout_s: .inf", "8: timeout_s: must be", "finite number (got inf)"),
        ("replicates: 2", "protocol: {rounds: 0}", "8: protocol.rounds: must be", "equal to 1 (got 0)"),
        ("replicates: 2", "cost: {usd_per_hour: -1}", "8: cost.usd_per_hour: must be", "greater than 0 (got -1"),
        ("replicates: 2", "cost: {usd_per_hour: 0}", "8: cost.usd_per_hour: must be", "greater than 0 (got 0"),
        ("replicates: 2", "cost: {usd_per_hour: .nan}", "8: cost.usd_per_hour: must be", "finite number (got nan)"),
        ("replicates: 2", "cost: {usd_per_hour: .inf}", "8: cost.usd_per_hour: must be", "finite number (got inf)"),
        ("replicates: 2", "cost: {utilisation: 0}", "8: cost.utilisation: must be", "greater than 0 (got 0"),
        ("replicates: 2", "cost: {utilisation: 1.5}", "8: cost.utilisation: must be", "equal to 1 (got 1.5)"),
        ("[bf16]", "{name: int8, threshold: -1.0}", "4: precisions.threshold: must be", "equal to 0 (got -1.0)"),
        ("[bf16]", "{name: int8, threshold: .nan}", "4: precisions.threshold: must be", "(got nan)"),
        ("[bf16]", "{name: int8, threshold: .inf}", "4: precisions.threshold: must be", "(got inf)"),
        # nothing to run
        ("\n  - builtin:smollm2-135m", " []", "2: models: empty list", "name at least one"),
        ("\n  - builtin:smollm2-135m", "", "2: models: empty list", "name at least one"),
        ("[bf16]", "[]", "4: precisions: empty list", "name at least one"),
        ("\n  - input_tokens: 8\n    output_tokens: 4", " []", "5: workloads: empty list", "name at least one"),
        ("replicates: 2", "runners: []", "8: runners: empty list", "name at least one"),
        ("input_tokens: 8", "input_tokens: []", "6: workloads[0].input_tokens: empty list", "nothing to run"),
        ("[bf16]", "[{name: []}]", "4: precisions[0].name: empty list", "nothing to run"),
        ("builtin:smollm2-135m", "{source: []}", "3: models[0].source: empty list", "nothing to run"),
        ("replicates: 2", "runners: {name: fake, step_s: []}", "8: runners.step_s: empty list", "nothing to run"),
        ("replicates: 2", "cost: {apis: []}", "8: cost.apis: ", "empty"),
        # the same key twice
        (
            "output_tokens: 4", "output_tokens: 4\n    output_tokens: 8",
            "8: workloads[0].output_tokens: stands here twice", "first in line 7",
        ),
        ("replicates: 2", "models: owner/name", "8: models: stands here twice", "first in line 2"),
        ("precisions: [bf16]\n", "", "1: precisions: missing", "at least one"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_place_and_remedy(
    tmp_path: Path, old: str, new: str, start: str, words: str
) -> None:
    """File, line and key of the mistake, and the nearest spelling or what would be right."""
    (tmp_path / "text.gguf").write_text("no gguf", encoding="utf-8")
    for name, config in (("bare", None), ("broken", "{"), ("other", "{}"), ("whole", '{"model_type": "llama"}')):
        (tmp_path / name).mkdir()
        if config is not None:
            (tmp_path / name / "config.json").write_text(config, encoding="utf-8")
    assert old in GOOD
    said = _lines(tmp_path, GOOD.replace(old, new, 1))
    found = [line for line in said if line.startswith(start)]
    assert len(found) == 1, said
    assert words in found[0]


def test_models_beside_the_config_are_found(tmp_path: Path) -> None:
    """Relative paths start at the config's folder, wherever the command is run."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    gguf_samples.written(tmp_path / "good.gguf")
    models = "\n  - ./whole\n  - good.gguf\n  - shape:whole/config.json"
    sweep = _sweep(tmp_path, GOOD.replace("\n  - builtin:smollm2-135m", models))
    whole = tmp_path.resolve() / "whole"
    assert [model.source for model in sweep.models] == [
        str(whole),
        str(tmp_path.resolve() / "good.gguf"),
        f"shape:{whole / 'config.json'}",
    ]
    assert [catalogue.kind(model) for model in sweep.models] == ["folder", "gguf", "shape"]


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """One run shows them all: six mistakes, six lines, in the order of the sections."""
    text = (
        "modles: builtin:smollm2-135m\n"
        "models: [builtin:smollm2, shape:pythia-70m]\n"
        "precisions: [bff16, nf4]\n"
        "workloads:\n"
        "  - {input_tokens: 0, output_tokens: 4}\n"
        "  - {input_tokens: 8, output_tokens: 4, batch: 2}\n"
        "replicates: none\n"
    )
    said = _lines(tmp_path, text)
    starts = [
        "1: modles: ",
        "2: models[0].source: ",
        "3: precisions[0]: ",
        "5: workloads[0].input_tokens: ",
        "6: workloads[1].batch: ",
        "7: replicates: ",
    ]
    assert len(said) == len(starts), said
    assert all(line.startswith(start) for line, start in zip(said, starts, strict=True)), said


def test_the_command_prints_every_mistake_and_nothing_else(tmp_path: Path) -> None:
    """Exit code 2, standard output empty, each line an error, no traceback, and no folder left behind."""
    path = tmp_path / "sample.yaml"
    path.write_text(GOOD.replace("bf16", "bff16").replace("input_tokens: 8", "input_tokens: 0"), encoding="utf-8")
    done = _bench("run", path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "error"]
    assert not (tmp_path / "out").exists()


# --- large matrices ----------------------------------------------------------------------------------------------

LARGE = (
    f"models: [{', '.join(f'shape:{name}' for name in list(catalogue.shapes())[:10])}]\n"
    "precisions: [bf16, fp32, int8, nf4, fp4]\n"
    f"workloads: {{batch_size: {list(range(1, 201))}, input_tokens: 8, output_tokens: 4}}\n"
)


def test_ten_thousand_cells_are_counted_without_making_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`size` is the product of the lists."""
    sweep = _sweep(tmp_path, LARGE)

    def refuse(*_: Any) -> Cell:
        raise AssertionError("a cell was made")

    monkeypatch.setattr(Cell, "identified", refuse)
    assert expand.size(sweep) == 10_000


def test_ten_thousand_cells_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """The command says how many, how long, and which option would allow it."""
    path = tmp_path / "sample.yaml"
    path.write_text(LARGE, encoding="utf-8")
    done = _bench("run", path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {path}: 10000 cells × 5 replicates would take about 2 d 21 h")
    assert "--max-cells 10000" in done.stderr
    assert not (tmp_path / "out").exists()


def test_reading_a_long_list_compares_no_two_of_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubles are found by looking up, not by comparing each with all before it: 10,000 took half a minute."""
    compared = 0
    equal = Workload.__eq__

    def counted(one: Workload, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(one, other)

    monkeypatch.setattr(Workload, "__eq__", counted)
    count = 400
    sweep = _sweep(tmp_path, GOOD.replace("input_tokens: 8", f"input_tokens: {list(range(1, count + 1))}"))
    assert len(sweep.workloads) == count
    assert compared <= 10 * count


# --- the schema for editors --------------------------------------------------------------------------------------


def _problems(data: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(data)]


def test_the_schema_is_one() -> None:
    """By its own draft."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_stored_schema_is_what_the_command_prints() -> None:
    """configs/bench.schema.json is generated: `bench schema -o configs/bench.schema.json`."""
    done = _bench("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ROOT / "configs" / "bench.schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CONFIGS, ids=[path.name for path in CONFIGS])
def test_every_shipped_config_is_accepted_by_both(path: Path) -> None:
    """By the editor's schema and by the reader, and there is something to run."""
    assert _problems(yaml.safe_load(path.read_text(encoding="utf-8"))) == []
    assert expand.size(read.sweep(path)) >= 1


@pytest.mark.parametrize("text", [GOOD, DETAILED, LARGE], ids=["good", "detailed", "large"])
def test_the_schema_accepts_what_the_reader_accepts(tmp_path: Path, text: str) -> None:
    """An editor must not underline a good config."""
    assert _sweep(tmp_path, text)
    assert _problems(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("precisions:", "precision:"),
        ("input_tokens", "input_tokns"),
        ("[bf16]", "[bff16]"),
        ("[bf16]", "[{name: nf4, duoble_quant: true}]"),
        ("replicates: 2", "runners: [{name: transformers, atention: eager}]"),
        ("replicates: 2", "protocol: {round: 3}"),
        ("replicates: 2", "cost: {usd_per_hr: 3}"),
        ("- builtin:smollm2-135m", "- sourc: builtin:smollm2-135m"),
        ("input_tokens: 8", "input_tokens: 0"),
        ("input_tokens: 8", "input_tokens: []"),
        ("[bf16]", "[]"),
        ("replicates: 2", "replicates: '2'"),
        ("replicates: 2", "cost: {utilisation: 1.5}"),
        ("precisions: [bf16]\n", ""),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tmp_path: Path, old: str, new: str) -> None:
    """A misspelt key, an empty list and a wrong value are underlined while they are typed."""
    bad = GOOD.replace(old, new, 1)
    assert _problems(yaml.safe_load(GOOD)) == []
    assert _problems(yaml.safe_load(bad))
    assert _lines(tmp_path, bad)


# --- the run's folder --------------------------------------------------------------------------------------------


def test_a_stored_plan_is_read_back(tmp_path: Path) -> None:
    """Order of the cells, replicates and choices of cost: what a report needs without the config."""
    sweep = _sweep(tmp_path, GOOD.replace("replicates: 2", "replicates: 2\ncost: {usd_per_hour: 2.5}"))
    cells = list(expand.cells(sweep))
    write_plan(tmp_path, sweep, cells, tmp_path / "sample.yaml")
    plan = read_plan(tmp_path, pytest.fail)
    assert plan is not None
    assert (plan.name, plan.config, plan.replicates) == ("sample", "sample.yaml", 2)
    assert plan.cells == tuple(cell.cell_id for cell in cells)
    assert plan.cost == sweep.cost


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema_version": 1}'])
def test_a_plan_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    """The records alone still make a table; a broken plan is said, a missing one is not."""
    said: list[str] = []
    if content is not None:
        (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    assert read_plan(tmp_path, said.append) is None
    assert len(said) == (content is not None)


def test_a_folder_is_set_aside_and_not_deleted(tmp_path: Path) -> None:
    """--fresh keeps the old results under a name with their date."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.jsonl").write_text("kept\n", encoding="utf-8")
    set_aside(tmp_path / "run")
    (moved,) = tmp_path.iterdir()
    assert moved.name.startswith("run.20")
    assert (moved / "records.jsonl").read_text(encoding="utf-8") == "kept\n"
    set_aside(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == [moved.name]


def test_a_folder_of_the_same_second_is_set_aside_too(tmp_path: Path) -> None:
    for text in ("first\n", "second\n", "third\n"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "records.jsonl").write_text(text, encoding="utf-8")
        os.utime(tmp_path / "run", (1e9, 1e9))
        set_aside(tmp_path / "run")
    kept = {path.name: (path / "records.jsonl").read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert sorted(kept.values()) == ["first\n", "second\n", "third\n"]
    assert all(name.startswith("run.20010909T014640Z") for name in kept)


@pytest.mark.parametrize("name", ["absent/table.md", "a-file/table.md", "a-folder", "n" * 300])
def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, name: str) -> None:
    """A missing folder, a file in its place, a folder in the file's place, a name too long: one line, no debris."""
    (tmp_path / "a-file").write_text("kept", encoding="utf-8")
    (tmp_path / "a-folder").mkdir()
    with pytest.raises(InputError, match="cannot write it"):
        write_text(tmp_path / name, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "a-folder"]
    assert (tmp_path / "a-file").read_text(encoding="utf-8") == "kept"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new text stands under the name, and nothing beside it."""
    write_text(tmp_path / "table.md", "old and longer")
    write_text(tmp_path / "table.md", "new – ±")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "new – ±"
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_precisions_are_the_nouns_they_name(tmp_path: Path) -> None:
    """Options go with the precision that has them; another precision's option is refused."""
    sweep = _sweep(tmp_path, GOOD.replace("[bf16]", "[int8, fp4, {name: int8, threshold: 4.5}]"))
    assert sweep.precisions == (Int8(name="int8"), FourBit(name="fp4"), Int8(name="int8", threshold=4.5))
    (line,) = _lines(tmp_path, GOOD.replace("[bf16]", "{name: bf16, threshold: 4.5}"))
    assert line.startswith("4: precisions.threshold: unknown key")


def test_the_schema_is_json() -> None:
    """What stands in configs/ parses."""
    stored = json.loads((ROOT / "configs" / "bench.schema.json").read_text(encoding="utf-8"))
    assert stored["$schema"].startswith("https://json-schema.org/")


# --- numbers and options that would silently mean something else ----------------------------------------------------


@pytest.mark.parametrize("value", ["1:30", "010", "0x10", "0b1"])
def test_a_number_that_yaml_reads_otherwise_is_refused(tmp_path: Path, value: str) -> None:
    """YAML 1.1 takes 1:30 for ninety and 010 for eight."""
    config = tmp_path / "sample.yaml"
    config.write_text(
        f"models: shape:pythia-70m\nprecisions: fp32\nworkloads: {{input_tokens: {value}, output_tokens: 1}}\n"
    )
    with pytest.raises(InputError, match=r"sample.yaml:3: .*plain decimal number"):
        read.sweep(config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("device: 'cuda:1', device_map: auto", "contradict"),
        ("max_memory: {cpu: 1GiB}", "does nothing without device_map"),
        ("device_map: auto, max_memory: {cpu: bananas}", "20GiB"),
        ("compile_mode: max-autotune", "does nothing without compile"),
        ("compile: true, cache: dynamic", "cache: static"),
        ("device_map: 5", "must be a mapping of keys"),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_one_line(tmp_path: Path, options: str, words: str) -> None:
    """Before anything is loaded, and without pydantic's names of alternatives."""
    config = tmp_path / "sample.yaml"
    config.write_text(
        f"models: shape:pythia-70m\nprecisions: fp32\nrunners: {{name: transformers, {options}}}\n"
        "workloads: {input_tokens: 1, output_tokens: 1}\n"
    )
    with pytest.raises(InputError) as refused:
        read.sweep(config)
    (line,) = refused.value.lines
    assert words in line
    assert "sample.yaml:3: runners" in line
    assert "literal[" not in line


@pytest.mark.parametrize("source", ["owner/na%me", "owner/na..me", "owner/-", "a/b/c"])
def test_a_malformed_hub_id_is_one_line(tmp_path: Path, source: str) -> None:
    config = tmp_path / "sample.yaml"
    config.write_text(f"models: {source}\nprecisions: fp32\nworkloads: {{input_tokens: 1, output_tokens: 1}}\n")
    with pytest.raises(InputError, match=r"unknown model"):
        read.sweep(config)


def test_trust_is_not_asked_for_where_it_means_nothing(tmp_path: Path) -> None:
    config = tmp_path / "sample.yaml"
    config.write_text(
        "models: {source: shape:pythia-70m, trust_remote_code: true}\nprecisions: fp32\n"
        "workloads: {input_tokens: 1, output_tokens: 1}\n"
    )
    with pytest.raises(InputError, match=r"trust_remote_code"):
        read.sweep(config)
