"""Every command in the README works, in its order, as a new user would type it."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.plan import expand, read
from tests.commands import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder that the commands run in, one after the other."""
    return tmp_path_factory.mktemp("readme")


def test_the_two_commands_stand_first() -> None:
    assert COMMANDS[:2] == ["./scripts/bench run configs/quickstart.yaml", "./scripts/test"]
    # This very suite is what the second one runs.
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()


MINUTES = (
    *("configs/quantisation.yaml", "results/local/quantisation"),
    *("configs/serving.yaml", "results/local/serving"),
    *("configs/suites/cpu-engines.yaml", "results/local/cpu-engines"),
)
"""What runs for minutes, and what reads its results: `scripts/test-slow` does."""

BY_THEMSELVES = ("--dry-run", " prices ", " models", " doctor")
"""What times nothing, and reads nothing that another command has written."""


def _marked(line: str) -> Any:
    marks = [] if any(one in line for one in BY_THEMSELVES) else [pytest.mark.alone]
    return pytest.param(line, marks=[*marks, *([pytest.mark.slow] if any(one in line for one in MINUTES) else [])])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("line", [_marked(line) for line in COMMANDS if line != "./scripts/test"])
def test_a_command_of_the_readme(line: str, place: Path) -> None:
    words = shlex.split(line)
    extra = {}
    while "=" in words[0]:  # the environment of this one command
        name, _, value = words.pop(0).partition("=")
        extra[name] = value
    words = [str(ROOT / word) if word.startswith(("./scripts/", "configs/")) else word for word in words]
    own = {"COLUMNS": "120", "XDG_DATA_HOME": str(place / "data")}  # ceilings are measured, as on a new machine
    done = subprocess.run(words, cwd=place, env={**os.environ, **own, **extra}, capture_output=True, text=True)
    if words[1] in ("breakeven", "plan", "project") and done.returncode == 2:
        # On a machine that was busy throughout there are no dollars, and each of these says so.
        assert "no dollars" in done.stderr
        assert "busy" in (place / "results" / "local" / "quickstart" / "table.md").read_text()
        return
    assert done.returncode == 0, done.stderr
    if words[-1].endswith("fleet.yaml") or "configs/fleet.yaml" in line:
        for machine in ("H100", "L40S", "MI300X", "CPU"):
            assert machine in done.stdout
    elif "--dry-run" in words:
        assert "9 processes at least" in done.stdout
        assert "quality on builtin:moby-dick" in done.stdout
    elif words[-1].endswith("serving.yaml"):
        _check_serving(done.stdout, done.stderr, place)
    elif "configs/quantisation.yaml" in line:
        _check_quantisation(done.stdout, done.stderr, place)
    elif words[-1].endswith("cpu-engines.yaml"):
        _check_engines(done.stdout, place)
    elif "results/local/cpu-engines" in words and "md" in words:
        for engine in ENGINES:
            assert f"| {engine} " in done.stdout
    elif words[-1] == "cpu-engines.html":
        page = (place / "cpu-engines.html").read_text()
        for engine in ENGINES:
            assert engine in page
    elif "--by" in words:
        # The reference, and what each of the others loses.
        assert re.search(r"bf16 \(ref\.\)", done.stdout)
        assert re.search(r"nf4 .* 0\.21\d+ ± 0\.00", done.stdout)
        assert "moby-dick" in done.stdout
    elif "results/local/serving" in words:
        assert "ttft_s.p90<=0.5" in done.stdout
    elif words[1] == "run":
        _check_quickstart(done.stdout, done.stderr, place)
    elif words[-1] == "report.html":
        page = (place / "report.html").read_text()
        assert "smollm2-135m" in page
        assert "Content-Security-Policy" in page
        assert done.stdout.startswith("wrote report.html")
    elif words[1] == "publish":
        folder = place / "published" / "my-machine"
        assert {"README.md", "MANIFEST.json", "report.html", "table.tex"} <= {one.name for one in folder.iterdir()}
        assert (folder / "runs" / "quickstart" / "records.jsonl").is_file()
    elif "latex" in words:
        assert "\\toprule" in done.stdout
        assert "nf4" in done.stdout
    elif "--out" in words:
        assert (place / "quickstart.csv").read_text().count("\n") == 4
    elif words[1] == "report":
        assert "openai/gpt-5-mini" in done.stdout
        assert "$0.4 per hour as stated" in done.stdout
    else:
        assert len(done.stdout.splitlines()) > 5


def _check_quickstart(table: str, progress: str, place: Path) -> None:
    folder = place / "results" / "local" / "quickstart"
    for name in ("records.jsonl", "plan.json", "ceilings.json", "table.md", "table.csv", "table.json"):
        assert (folder / name).is_file()
    # On a machine that is busy with other work throughout, the run says so and gives no dollars.
    assert "Cheapest here: smollm2-135m" in table or "no dollars: busy" in table
    for precision in ("bf16", "int8", "nf4"):
        assert re.search(rf"^ *\d +{precision} ", table, re.MULTILINE), table
    assert "MBU" in table
    assert re.search(r"\[(\d+)/\1\] .* tok/s decode", progress), progress
    assert re.search(r", about .* left$", progress, re.MULTILINE), progress
    assert len(re.findall(r", done: ±", progress)) == 3, progress
    assert len(re.findall(r"\] quality of smollm2-135m \w+ transformers: 1\.\d+ bits a byte", progress)) == 3, progress
    assert re.search(r"nf4 .* 0\.21\d+ ± 0\.00\d+ ", table), table
    next_line = table.strip().splitlines()[-1]
    assert next_line.startswith("next: ")
    following = shlex.split(next_line.removeprefix("next: ").partition("(")[0])
    done = subprocess.run(following, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _check_serving(table: str, progress: str, place: Path) -> None:
    folder = place / "results" / "local" / "serving"
    for name in ("records.jsonl", "plan.json", "table-serving.md", "table-serving.csv", "table-serving.json"):
        assert (folder / name).is_file()
    assert len(list((folder / "traces").glob("*.jsonl.gz"))) == 6
    for load in ("closed 1", "closed 4"):
        assert re.search(rf"^ *\d +{load} ", table, re.MULTILINE), table
    assert "llama.cpp" in table
    assert re.search(r"measuring \d+ s: \d+ sent", progress), progress


ENGINES = ("llama.cpp", "openvino", "transformers")


def _check_engines(summary: str, place: Path) -> None:
    folder = place / "results" / "local" / "cpu-engines"
    for engine in ENGINES:
        records = (folder / engine.replace(".", "-") / "records.jsonl").read_text().splitlines()
        assert sum('"status":"ok"' in line for line in records) >= 4
    assert (folder / "summary.md").is_file()
    assert re.search(r"budget: .+ of 1 h 0 min taken", summary), summary


def _check_quantisation(table: str, progress: str, place: Path) -> None:
    assert len(re.findall(r"\] quality of smollm2-135m \S+ transformers: 1\.\d+ bits a byte", progress)) == 7, progress
    folder = place / "results" / "local" / "quantisation"
    records = [line for line in (folder / "records.jsonl").read_text().splitlines() if line]
    assert len(records) == 7 + 7 * 3 * 3
    for level in ("bf16", "int8", "nf4", "torchao-int8wo", "torchao-int4wo", "quanto-int8", "hqq-int4"):
        assert re.search(rf"^ *\d+ +{level} ", table, re.MULTILINE), table


def test_the_config_of_the_readme_is_accepted(tmp_path: Path) -> None:
    text = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]
    assert yaml.safe_load(text)
    (tmp_path / "own.yaml").write_text(text)
    assert expand.size(read.sweep(tmp_path / "own.yaml")) == 2 * 3 * 3


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
        for name in re.findall(r"`((?:scripts|configs|bench|tests|docs)/[\w./-]+\.?\w*)`", page.read_text()):
            if "NAME" not in name:
                assert (ROOT / name).exists(), (page.name, name)
