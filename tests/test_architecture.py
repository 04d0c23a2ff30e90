"""Who may import whom, where the clock is, and where the heavy imports are. A broken rule fails here by name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT

PACKAGE = ROOT / "bench"

# Room → rooms whose names it may import. `schema` and `errors` are open to all and import nothing of ours.
MAY_IMPORT: dict[str, set[str]] = {
    "schema": set(),
    "errors": set(),
    "store": set(),
    "traces": set(),
    "loads": set(),
    "client": set(),
    "endpoint": {"client", "loads", "models"},
    "servers": {"models", "sensors"},
    "mock": set(),
    "models": set(),
    "sensors": {"__init__"},
    "metrics": set(),
    "runners": {"models", "metrics", "sensors"},
    "measure": {"runners", "sensors", "traces", "loads", "client", "endpoint", "servers", "metrics", "models"},
    "hardware": set(),
    "cost": {"hardware", "metrics", "models"},
    "plan": {"runners", "models", "cost", "store", "loads", "metrics", "servers"},
    "execute": {"traces", "cost", "runners", "measure", "sensors", "store", "metrics", "models", "hardware"},
    "report": {"metrics", "cost", "models", "hardware", "traces", "servers"},
    "whatif": {"report", "metrics", "cost", "models", "hardware"},
    "claims": {"report", "metrics", "cost"},
    "imports": {"models", "metrics", "store"},
    "entries": {"report", "metrics", "cost", "models", "hardware", "plan", "store"},
    "page": {"entries", "report", "metrics"},
    "publish": {"entries", "page", "report", "metrics", "models", "store"},
    "leaderboard": {"entries", "page", "publish", "report", "metrics"},
    "history": {"entries", "page", "report", "metrics"},
    "api": {"entries", "page", "publish", "report", "cost", "metrics", "plan", "store"},
    "pytest_plugin": {"api", "entries", "metrics"},
    "cli": {
        *("plan", "execute", "store", "report", "cost", "metrics", "models", "runners", "sensors", "hardware"),
        *("selftest", "whatif", "claims", "mock", "servers", "endpoint", "traces", "loads"),
        *("imports", "entries", "page", "publish", "leaderboard", "history"),
    },
    "selftest": {
        "mock",
        "client",
        "loads",
        "endpoint",
        "traces",
        "plan",
        "execute",
        "report",
        "cost",
        "metrics",
        "models",
        "runners",
        "measure",
        "sensors",
    },
    "__main__": {"cli"},
    "__init__": {"api"},
    "data": set(),
}
HEAVY = {
    *("torch", "transformers", "accelerate", "bitsandbytes", "safetensors", "gguf"),
    *("torchao", "hqq", "optimum", "gptqmodel", "compressed_tensors", "lm_eval", "datasets"),
}
HEAVY_ROOMS = {
    "bench/runners/transformers",
    "bench/models/convert.py",
    "bench/measure/ceilings.py",
    "bench/measure/quality",  # quality.py and the files beside it: logits are torch's
}
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns", "process_time"}
CLOCK_ROOMS = {
    "bench/measure/offline.py",  # the clock of every figure
    "bench/measure/quality.py",  # how long loading and scoring took, never a figure
    "bench/measure/ceilings.py",  # the clock of what figures are held against
    "bench/runners/fake/__init__.py",  # its delays are the truth that the clock is tested against
    "bench/runners/fake/clocks.py",  # its wrong clocks are what the instrument must notice
    "bench/selftest/observer_child.py",  # what the instrument itself costs, never a figure
    "bench/execute/child.py",  # limits and elapsed time of a child, never a figure
    "bench/cli/watch.py",  # time estimate
    "bench/cli/live_view.py",  # how often a line is printed
    "bench/client/transport.py",  # the clock of every figure under load
    "bench/client/connection.py",
    "bench/endpoint/asked.py",  # deadlines of the probe's requests, never a figure
    "bench/measure/serving/conductor.py",
    "bench/measure/serving/process.py",
    "bench/measure/serving/driver.py",
    "bench/servers/start.py",  # how long a server takes to start
    "bench/mock/server.py",  # the truth that the clock is tested against
    "bench/mock/schedule.py",
    "bench/mock/stream.py",
    "bench/selftest/load.py",
}
FORBIDDEN_NAMES = {"utils", "core", "common", "base", "helpers", "manager"}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, at whatever depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "bench":
                found |= {f"bench.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    own = room(path)
    for module in imports(path):
        if module.split(".")[0] != "bench":
            continue
        target = module.split(".")[1] if "." in module else "__init__"
        if target in (own, "schema", "errors") or (target.startswith("__") and own in ("sensors", "cli", "__init__")):
            continue
        if target == "__init__" and module == "bench":
            continue  # `from bench import X` is judged by X
        assert target in MAY_IMPORT[own], f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_engines_are_imported_in_their_rooms_alone(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if any(name.startswith(allowed) for allowed in HEAVY_ROOMS):
        return
    assert not {module.split(".")[0] for module in imports(path)} & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_measure_reads_a_clock(path: Path) -> None:
    used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    if used & CLOCKS:
        assert str(path.relative_to(ROOT)) in CLOCK_ROOMS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_runner_is_imported_by_name_outside_its_file(path: Path) -> None:
    own = PACKAGE / "runners"
    if path.is_relative_to(own):
        return
    assert not {module for module in imports(path) if module.startswith("bench.runners.")}


def test_files_hold_what_their_name_says() -> None:
    for path in SOURCES:
        assert path.stem not in FORBIDDEN_NAMES
        assert len(path.read_text().splitlines()) <= 400, path


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules), file=sys.__stderr__)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stderr.split()}


def _called(*arguments: str) -> str:
    return (
        "import sys\nfrom bench.cli import main\n"
        f"sys.argv = ['bench', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert not error.code, error.code"
    )


def test_help_imports_neither_engines_nor_pydantic() -> None:
    found = _modules_after(_called("--help"))
    assert "typer" in found
    assert not found & {"torch", "transformers", "pydantic", "numpy", "genai_prices", "psutil"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "tests/data/records-v1.jsonl"),
        ("models",),
        ("prices", "hardware"),
        ("schema",),
        ("run", "configs/quickstart.yaml", "--dry-run"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_only_read_import_no_engine(arguments: tuple[str, ...]) -> None:
    found = _modules_after(_called(*arguments))
    assert "pydantic" in found
    assert not found & (HEAVY - {"safetensors"})


def test_a_report_works_where_torch_is_not_installed() -> None:
    block = (
        "import sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Absent(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'accelerate', 'bitsandbytes', 'numpy'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    found = _modules_after(block + _called("report", "tests/data/records-v1.jsonl", "--usd-per-hour", "2"))
    assert "torch" not in found
