"""Engines in another Python: what a child there sees, what is refused before it starts, and what its records say."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bench import runners
from bench.cli import doctor, sides
from bench.errors import InputError, UnsupportedError
from bench.execute import child, elsewhere, fit, interpreters, worker
from bench.plan import expand, interpreter, read
from bench.plan.json_schema import schema
from bench.publish import cleaned
from bench.schema import Cell, CostChoices, Job, RunnerChoice
from tests import other_python, samples, serving_samples
from tests.commands import ROOT, bench, fake_config, lines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="environments have another shape there")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with environments: two with an engine, and one where nothing of the engine is installed."""
    folder = tmp_path_factory.mktemp("others")
    other_python.environment(folder / "two", engine="2.1")
    other_python.environment(folder / "three", engine="3.0")
    other_python.environment(folder / "none", engine=None)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Variables of a `bench` that knows the runner and has no engine."""
    return other_python.with_ours(tmp_path_factory.mktemp("ours") / "site")


def ran(folder: Path, ours: dict[str, Any], pythons: str, *options: str) -> subprocess.CompletedProcess[str]:
    config = fake_config(folder, runners=f"{{name: rented, python: {pythons}}}")
    done: subprocess.CompletedProcess[str] = bench("run", config, "--out", folder / "out", *options, **ours)
    return done


# --- cells that run there ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def side_by_side(
    places: Path, ours: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two versions of an engine in one run; one environment by its folder, the other by its Python."""
    folder = tmp_path_factory.mktemp("run")
    os.symlink(places, folder / "others")
    return folder, ran(folder, ours, "[others/two, others/three/bin/python]")


def by_engine(folder: Path) -> dict[str, Any]:
    return {one["environment"]["packages"].get("rented-engine"): one for one in lines(folder / "out")}


def test_two_versions_of_an_engine_side_by_side(
    side_by_side: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Each record tells its own version and Python, and the table tells the rows apart by it."""
    folder, done = side_by_side
    assert done.returncode == 0, done.stderr
    found = by_engine(folder)
    assert sorted(found) == ["2.1", "3.0"]
    for version, name in (("2.1", "two"), ("3.0", "three")):
        record = found[version]
        assert record["status"] == "ok", record.get("error")
        assert record["cell"]["runner"]["python"] == f"{folder}/others/{name}/bin/python"  # no link was followed
        assert json.loads(record["measurement"]["facts"]["notes"][0])["engine"] == version
        assert re.search(rf"rented python=\S*/{name}\b", done.stdout), done.stdout


def test_the_child_sees_the_engines_environment_and_nothing_of_ours(
    side_by_side: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Neither our packages, nor the folder of the script, nor our variables; and `bench` all the same."""
    folder, _ = side_by_side
    said = json.loads(by_engine(folder)["2.1"]["measurement"]["facts"]["notes"][0])
    home = f"{folder}/others/two"
    assert said["prefix"] == home
    assert said["ours"] == []
    assert not any(str(ROOT) in one for one in said["path"])
    assert said["variables"]["PYTHONPATH"] is None
    assert said["variables"]["PYTHONHOME"] is None
    assert said["variables"]["VIRTUAL_ENV"] == home
    first, *others = said["variables"]["PATH"].split(os.pathsep)
    assert first == f"{home}/bin"
    assert f"{sys.prefix}/bin" not in others or sys.prefix == sys.base_prefix


def test_a_process_that_the_engine_spawns_finds_bench_and_starts_no_worker(
    side_by_side: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = side_by_side
    prefix, path, name = json.loads(by_engine(folder)["3.0"]["measurement"]["facts"]["notes"][0])["spawned"]
    assert (prefix, name) == (f"{folder}/others/three", "rented_engine")
    assert not any(str(ROOT) in one for one in path)


@pytest.mark.slow
def test_a_resume_measures_anew_what_another_version_would_measure(ours: dict[str, Any], tmp_path: Path) -> None:
    """Records of the version before stay, and do not count."""
    python = other_python.environment(tmp_path / "env", engine="2.1")
    assert ran(tmp_path, ours, str(python)).returncode == 0
    assert len(lines(tmp_path / "out")) == 1
    other_python.with_engine(other_python.site_of(tmp_path / "env"), "2.2")
    again = ran(tmp_path, ours, str(python))
    assert again.returncode == 0, again.stderr
    assert "1 stored measurements of another machine or version are kept and not counted (other rented-engine)" in (
        again.stderr
    )
    versions = [one["environment"]["packages"]["rented-engine"] for one in lines(tmp_path / "out")]
    assert versions == ["2.1", "2.2"]


def test_what_goes_wrong_there_is_a_row(places: Path, ours: dict[str, Any], tmp_path: Path) -> None:
    """An engine that is broken says why; one that is not installed is told before; an orphan is found; others run."""
    python = other_python.environment(tmp_path / "broken", engine="2.1")
    code = "raise OSError('libengine.so.2: cannot open shared object file')\n"
    other_python.with_engine(other_python.site_of(tmp_path / "broken"), "2.1", code)
    mark = f"other-{os.getpid()}"
    pythons = f"[{python}, {places / 'none'}, {places / 'two'}]"
    config = fake_config(tmp_path, runners=f"{{name: rented, trouble: fork, python: {pythons}}}")
    done = bench("run", config, "--out", tmp_path / "out", **ours, BENCH_TEST_MARK=mark)
    assert done.returncode == 0, done.stderr
    rows = {one["cell"]["runner"]["python"].split("/")[-3]: one for one in lines(tmp_path / "out")}
    assert {name: one["status"] for name, one in rows.items()} == {
        "broken": "unsupported",
        "none": "unsupported",
        "two": "ok",
    }
    assert rows["broken"]["error"]["reason"] == (
        "the engine cannot be imported (OSError: libengine.so.2: cannot open shared object file)"
    )
    assert rows["none"]["error"]["reason"] == f"rented-engine is not installed in {places}/none/bin/python"
    assert done.stderr.count("rented-engine is not installed in") == 2  # the warning before, and the row
    assert _marked(mark) == []


def _marked(mark: str) -> list[int]:
    import psutil

    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("BENCH_TEST_MARK") == mark:
                found.append(one.pid)
        except psutil.Error:
            continue
    return found


# --- what is refused before anything starts ----------------------------------------------------------------------


def test_nothing_can_run_is_one_line(places: Path, ours: dict[str, Any], tmp_path: Path) -> None:
    """However many cells there are: what is not installed and what to type, exit code 2."""
    config = fake_config(
        tmp_path, runners="rented", workloads="{batch_size: [1, 2], input_tokens: 8, output_tokens: 4}"
    )
    done = bench("run", config, "--out", tmp_path / "out", **ours)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: runner rented: rented-engine is not installed here: pip install 'rented-engine>=2,!=2.5'; or name the "
        "Python where it is installed (python: beside the runner's name)"
    ]


def test_an_extra_that_brings_an_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """For who runs scripts/bench, whose environment is no other pip's."""
    monkeypatch.setattr(interpreters, "ask", lambda *_: interpreters.Found("3.12", {"numpy": "2.0"}))
    lacking = interpreters.problem(RunnerChoice(name="openvino"))
    assert lacking is not None
    named = "pip install 'openvino-genai>=2026.4' (with scripts/bench: BENCH_EXTRAS=openvino); or name the Python"
    assert (lacking.remedy or "").startswith(named)
    apart = interpreters.problem(RunnerChoice(name="vllm"))
    assert apart is not None
    assert (apart.remedy or "").startswith("pip install 'vllm>=0.19' in an environment of its own, and name that one's")
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {}
    for kind in map(runners.find, runners.shipped()):
        if issubclass(kind, runners.IsOptional) and issubclass(kind, runners.Needs) and kind.extra() is not None:
            brought[str(kind.extra())] = set(kind.needs(kind.Options()))
    assert set(brought) == {"llamacpp", "openvino", "ort"}
    assert all(any(one.startswith(tuple(needs)) for one in offered[own]) for own, needs in brought.items())


@pytest.fixture
def known(ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The runner, known in this process."""
    monkeypatch.syspath_prepend(ours["PYTHONPATH"].split(os.pathsep)[0])
    interpreters.ask.cache_clear()
    yield
    interpreters.ask.cache_clear()


def _cell(runner: str, python: Path | None) -> Cell:
    choice = RunnerChoice(name=runner, python=None if python is None else str(python))
    return samples.record().cell.model_copy(update={"runner": choice})


def _problem(runner: str, python: Path | None) -> str:
    found = fit.problem(_cell(runner, python))
    assert found is not None
    assert (found.status, found.of_runner) == ("unsupported", True)
    return f"{found.failure.reason}: {found.failure.remedy}"


def test_what_is_not_installed_there(known: None, places: Path) -> None:
    python = places / "none" / "bin" / "python"
    assert _problem("rented", python) == (
        f"rented-engine is not installed in {python}: uv pip install --python {python} 'rented-engine>=2,!=2.5'"
    )


def test_a_version_that_is_known_not_to_work(known: None, tmp_path: Path) -> None:
    python = other_python.environment(tmp_path / "env", engine="2.5")
    assert _problem("rented", python) == (
        f"rented-engine 2.5 in {python} is known not to work (needs >=2,!=2.5): "
        f"uv pip install --python {python} -U 'rented-engine>=2,!=2.5'"
    )
    other_python.with_engine(other_python.site_of(tmp_path / "env"), "3.0rc1+cpu")
    interpreters.ask.cache_clear()
    assert fit.problem(_cell("rented", python)) is None


def test_an_engine_under_another_name_is_known_by_its_module(known: None, tmp_path: Path) -> None:
    """Such as a build for CPUs that is a package of its own."""
    python = other_python.environment(tmp_path / "env", engine="2.1")
    site = other_python.site_of(tmp_path / "env")
    about = (site / "rented_engine.dist-info").rename(site / "rented_engine_cpu.dist-info")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rented-engine-cpu\nVersion: 0.1\n")
    assert fit.problem(_cell("rented", python)) is None


def test_what_the_worker_lacks_is_one_line(known: None, tmp_path: Path) -> None:
    python = other_python.environment(tmp_path / "env", without=("psutil", "pydantic"))
    site = other_python.site_of(tmp_path / "env")
    (site / "pip-26.0.dist-info").mkdir()
    (site / "pip-26.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pip\nVersion: 26.0\n")
    lacks = "pip install 'psutil>=7' 'pydantic>=2.12'"
    assert _problem("rented", python) == f"{python} lacks psutil, pydantic: {python} -m {lacks}"
    old = site / "pydantic.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: pydantic\nVersion: 1.10.2\n")
    interpreters.ask.cache_clear()
    assert _problem("rented", python).startswith(f"{python} lacks psutil, pydantic (has 1.10.2): ")


def test_a_runner_of_another_package_has_to_be_there_too(known: None, tmp_path: Path) -> None:
    python = other_python.environment(tmp_path / "env", runner=False)
    assert _problem("rented", python) == (
        f"{python} lacks rented-runner, which holds the runner rented: install rented-runner there too"
    )


PRETENDERS = {
    "old": ("""printf '%s\\n' 'bench answers: {"version": "3.9.2", "number": [3, 9]}'""", "make that environment anew"),
    "ancient": (
        "case $3 in -c) printf 2.7.18;; *) echo SyntaxError >&2; exit 1;; esac",
        "is Python 2.7.18, and a worker needs 3.11: make that environment anew",
    ),
    "mute": ("echo 'cannot find libpython' >&2; exit 127", "is no Python that works (cannot find libpython)"),
    "slow": ("exec sleep 60", "gave no answer within 0.3 s"),
}
VERSIONS = {"old": "3.9.2", "ancient": "2.7.18"}


@pytest.mark.parametrize("name", PRETENDERS)
def test_a_python_that_cannot_be_used(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, and a record that can be written all the same."""
    code, words = PRETENDERS[name]
    monkeypatch.setattr(interpreters, "ASK_S", 0.3 if name == "slow" else 60.0)
    python = _script(tmp_path / "python", code)
    said = _problem("fake", python)
    assert words in said
    if name == "old":
        assert said.startswith(f"{python} is Python 3.9.2, and a worker needs 3.11: ")
    assert interpreters.environment_of(_cell("fake", python).runner).python == VERSIONS.get(name, "unknown")
    python.unlink()


def test_a_quality_pass_needs_torch_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that scores no text is told so, whatever is installed; the others what to install."""
    job = Job(cell=_cell("fake", None), replicate=0, purpose="quality")
    kind = runners.find("fake")
    scores = kind(job.cell.model, job.cell.precision, kind.Options())
    monkeypatch.setattr(worker, "find_spec", lambda _: None)
    with pytest.raises(UnsupportedError, match=r"needs numpy and torch, and .* has none: python -m pip install numpy"):
        worker._check_scoring(job, scores)
    with pytest.raises(UnsupportedError, match=r"the runner fake scores no text: use the runner transformers"):
        worker._check_scoring(job, object())  # type: ignore[arg-type]


def _script(path: Path, code: str) -> Path:
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_gone_when_a_cell_starts(tmp_path: Path) -> None:
    """An environment that is removed while a run goes on: one line, and nothing is said of the cell."""
    python = tmp_path / "env" / "bin" / "python"
    with pytest.raises(InputError, match=r"bin/python: cannot be started any more \(No such file.*; put that environ"):
        child.run(Job(cell=_cell("fake", python), replicate=0), tmp_path / "log", 60, lambda *_: None)


# --- the config --------------------------------------------------------------------------------------------------

REMEDY = "name the Python of the engine's environment, or that environment's folder"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nowhere/bin/python", f"no such file: HERE/nowhere/bin/python; {REMEDY}"),
        ("'${HOME}/python'", f"no such file: HERE/${{HOME}}/python; {REMEDY} (variables are not replaced)"),
        ("dangling", f"a link to nothing: HERE/dangling; {REMEDY}"),
        ("empty", f"no bin/python in the folder HERE/empty; {REMEDY}"),
        ("plain.txt", f"not executable: HERE/plain.txt; {REMEDY}"),
        ("shell", f"not a Python: HERE/shell; {REMEDY}"),
        ("3.11", f"must be a path (got 3.11); {REMEDY}"),
        ("''", f"must be a path (got ''); {REMEDY}"),
        ("~nobody-of-this-name/python", "no such user: ~nobody-of-this-name/python"),
    ],
)
def test_a_path_that_leads_to_no_python(tmp_path: Path, written: str, said: str) -> None:
    """One line with file, line, key and remedy."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain.txt").touch()
    _script(tmp_path / "shell", "echo hello")
    config = fake_config(tmp_path, runners=f"{{name: fake, python: {written}}}")
    with pytest.raises(InputError) as caught:
        read.sweep(config)
    assert caught.value.lines == (f"{config}:3: runners.python: {said.replace('HERE', str(tmp_path))}",)


def test_endpoints_have_no_python(tmp_path: Path) -> None:
    config = tmp_path / "served.yaml"
    runner = "{name: openai, base_url: http://127.0.0.1:1/v1, python: /usr/bin/python3}"
    config.write_text(f"runners: {runner}\nworkloads: {{load: closed, input_tokens: 8, output_tokens: 4}}\n")
    with pytest.raises(InputError, match=r"served\.yaml:1: runners\.python: is for runners that load a model"):
        read.sweep(config)


def test_of_a_fleet_no_python_is_looked_for_here(tmp_path: Path) -> None:
    config = fake_config(tmp_path, runners="{name: fake, python: /opt/an-engine/bin/python}")
    (choice,) = read.sweep(config, is_here=False).runners
    assert choice.python == "/opt/an-engine/bin/python"


def test_cells_of_two_pythons_are_two_cells(tmp_path: Path) -> None:
    """And those without one keep the ids that they had."""
    config = fake_config(tmp_path, runners=f"{{name: fake, python: [null, {sys.executable}]}}")
    alone, other = expand.cells(read.sweep(config))
    assert alone.cell_id == next(expand.cells(read.sweep(fake_config(tmp_path)))).cell_id
    assert alone.cell_id != other.cell_id
    assert other.runner.told()["python"] == sys.executable


def test_the_schema_offers_a_python_where_a_model_is_loaded() -> None:
    kinds = {
        one["properties"]["name"]["const"]: one["properties"]
        for one in schema()["properties"]["runners"]["anyOf"][0]["items"]["anyOf"]
        if "properties" in one
    }
    served = {name for name in runners.shipped() if runners.serves(runners.find(name))}
    assert {name for name, properties in kinds.items() if "python" not in properties} == served


# --- what the worker needs ---------------------------------------------------------------------------------------


def test_every_runner_can_be_imported_with_the_workers_few_packages(places: Path) -> None:
    """The list in the code is all that they import, and agrees with this project's own."""
    modules = [
        f"bench.runners.{name.replace('.', '_')}"
        for name in runners.shipped()
        if not runners.serves(runners.find(name))
    ]
    code = (
        f"import sys, runpy; sys.argv = ['x']; runpy.run_path({str(interpreters.SCRIPT)!r}, run_name='__mp_main__')\n"
        f"for name in ['bench.execute.worker', 'bench.measure.profile', *{modules!r}]: __import__(name)\n"
    )
    python = places / "two" / "bin" / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {**interpreters.NEEDED, **interpreters.NEEDED_FOR_GPUS}
    assert {f"{name}{versions}" for name, versions in needed.items()} <= set(project)


def test_the_page_has_the_same_list() -> None:
    page = (ROOT / "docs" / "interpreters.md").read_text()
    for name, versions in {**interpreters.NEEDED, **interpreters.NEEDED_FOR_GPUS}.items():
        assert f"{name}{versions}" in page
    assert f"Python {'.'.join(map(str, elsewhere.LEAST_PYTHON))}" in page


def test_modules_of_ours_run_there(places: Path, tmp_path: Path) -> None:
    """What a worker starts, such as the maker of a GGUF file: `-m` alone would not find it."""
    words = [str(places / "two" / "bin" / "python"), str(interpreters.SCRIPT), "-m"]
    done = subprocess.run([*words, "bench.models.sample_text"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*words, "bench.gguf_files.make"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "ModuleNotFoundError: No module named 'gguf'" in done.stderr  # the engine's environment has none


def test_the_script_finds_bench_alone() -> None:
    assert elsewhere.OurPackage.find_spec("torch") is None
    assert elsewhere.OurPackage.find_spec("bench").origin == str(ROOT / "bench" / "__init__.py")


# --- what others see ---------------------------------------------------------------------------------------------


def test_a_published_record_names_no_home(tmp_path: Path) -> None:
    """The path of the Python is a person's; the version of it is not."""
    record = samples.record()
    choice = record.cell.runner.model_copy(update={"python": "/home/somebody/envs/vllm/bin/python"})
    own = record.model_copy(update={"cell": record.cell.model_copy(update={"runner": choice})})
    run = serving_samples.stored(tmp_path / "run", [own], cost=CostChoices(usd_per_hour=2.0))
    cleaned.run(run, tmp_path / "out", lambda one: one, date(2026, 11, 1), lambda _: None)
    (found,) = lines(tmp_path / "out")
    assert found["cell"]["runner"]["python"] == "~/envs/vllm/bin/python"
    assert found["cell"]["cell_id"] == record.cell.cell_id
    assert "somebody" not in (tmp_path / "out" / "records.jsonl").read_text()


def test_the_doctor_looks_into_another_python(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.doctor(places / "two")
    sections = capsys.readouterr().out.split("\nrunner ")
    found = {section.split("\n")[0]: section for section in sections[1:]}
    assert "openai" not in found
    assert f"torch and transformers and accelerate are not installed in {places}/two" in found["transformers"]
    assert "works here\n      fp32, fp16, bf16, int8" in found["fake"]
    with pytest.raises(InputError, match=r"^--python: no such file: .*/nowhere; name the Python"):
        doctor.doctor(places / "nowhere")


def test_a_comparison_names_a_python_by_its_environment() -> None:
    cell = _cell("fake", Path("/opt/vllm/bin/python"))
    assert sides.is_said(cell, "python", "/opt/vllm")
    assert sides.is_said(cell, "python", "/opt/vllm/bin/python")
    assert sides.is_said(_cell("fake", None), "python", "none")


def test_only_a_python_is_taken_for_one(tmp_path: Path) -> None:
    """Looked at without its packages: what an environment runs at its start is its own affair."""
    assert interpreter.checked(sys.executable, tmp_path) == sys.executable
    link = tmp_path / "python-of-mine"
    link.symlink_to(sys.executable)
    assert interpreter.checked("python-of-mine", tmp_path) == str(link)
