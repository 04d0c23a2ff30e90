"""Who may import whom, where the clock is, and where the heavy imports are. A broken rule fails here by name."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.commands import ROOT

PACKAGE = ROOT / "bench"

# Room → rooms whose names it may import. `schema` and `errors` are open to all and import nothing of ours.
MAY_IMPORT: dict[str, set[str]] = {
    "schema": set(),
    "errors": set(),
    "store": set(),
    "traces": set(),
    "programs": set(),
    "loads": set(),
    "client": set(),
    "endpoint": {"client", "loads", "models"},
    "servers": {"models", "gguf_files"},
    "mock": set(),
    "models": {"gguf_files"},
    "gguf_files": set(),
    "sensors": {"__version__"},
    "metrics": set(),
    "runners": {"models", "gguf_files", "metrics", "sensors"},
    "measure": {"runners", "sensors", "traces", "loads", "client", "endpoint", "servers", "metrics", "models"},
    "hardware": set(),
    "cost": {"hardware", "metrics", "models"},
    "plan": {"programs", "runners", "models", "cost", "store", "loads", "metrics", "servers"},
    "execute": {
        *("traces", "programs", "cost", "runners", "measure", "sensors", "store", "metrics", "models", "hardware"),
    },
    "report": {"metrics", "cost", "models", "traces", "servers"},
    "whatif": {"report", "metrics", "cost", "models", "hardware"},
    "claims": {"report", "cost"},
    "imports": set(),
    "entries": {"report", "metrics", "cost", "models", "hardware", "plan", "store"},
    "page": {"entries", "report", "metrics"},
    "publish": {"entries", "page", "report", "metrics", "store"},
    "leaderboard": {"entries", "page", "publish", "report", "metrics"},
    "history": {"entries", "page", "report", "metrics"},
    "api": {"entries", "page", "publish", "report", "cost", "metrics", "plan", "store"},
    "pytest_plugin": {"api", "entries"},
    "cli": {
        *("plan", "execute", "store", "report", "cost", "metrics", "models", "runners", "sensors", "hardware"),
        *("selftest", "whatif", "claims", "mock", "servers", "endpoint", "traces"),
        *("imports", "entries", "page", "publish", "leaderboard", "history", "__version__"),
    },
    "selftest": {
        *("mock", "client", "plan", "execute", "report", "cost", "metrics", "models"),
        *("runners", "measure", "sensors"),
    },
    "__main__": {"cli"},
    "__init__": {"api"},
    "data": set(),
}
HEAVY = {
    *("torch", "transformers", "accelerate", "bitsandbytes", "safetensors", "gguf"),
    *("torchao", "hqq", "optimum", "gptqmodel", "compressed_tensors", "lm_eval", "datasets"),
    *("vllm", "openvino", "openvino_genai", "onnxruntime_genai", "xllamacpp", "ray", "submitit"),
}
HEAVY_ROOMS = {
    "bench/runners/transformers",
    "bench/runners/vllm",
    "bench/runners/openvino",
    "bench/runners/ort.py",
    "bench/runners/llama_cpp",  # a quality pass takes its logits as torch's
    "bench/servers/xllamacpp_main.py",  # a server's own process
    "bench/gguf_files/blocks.py",  # packs and unpacks in a process of its own
    "bench/execute/cluster/",
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
    "bench/execute/cluster/fleet.py",  # how long a node may take to say what it is, never a figure
    "bench/cli/suite.py",  # how long a session of a suite takes, never a figure
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

MOST_LINES = 400

SOURCES = sorted(PACKAGE.rglob("*.py"))
STATIC = sorted(one for one in (PACKAGE / "page").rglob("*") if one.suffix in (".js", ".css", ".j2"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """At whatever depth; expressions, most of a tree, are passed over."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, field, ()):
            yield node
            yield from statements(node)


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file names in an import, at whatever depth."""
    found: set[str] = set()
    for node in statements(ast.parse(source(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "bench":
                found |= {f"bench.{alias.name}" for alias in node.names}
    return frozenset(found)


def rooms_imported(path: Path) -> dict[str, str]:
    """Room → the module that a file imports of it. `from bench import X` is judged by X; `schema`, `errors` and a
    file's own room are open to all."""
    found = {module.split(".")[1]: module for module in imports(path) if module.startswith("bench.")}
    return {target: module for target, module in found.items() if target not in (room(path), "schema", "errors")}


def test_imports_follow_the_table() -> None:
    broken = [
        f"{name_of(path)} imports {module}"
        for path in SOURCES
        for target, module in rooms_imported(path).items()
        if target not in MAY_IMPORT[room(path)]
    ]
    assert broken == []


def test_the_table_allows_no_more_than_is_used() -> None:
    used = {(room(path), target) for path in SOURCES for target in rooms_imported(path)}
    allowed = {(own, target) for own, targets in MAY_IMPORT.items() for target in targets}
    assert sorted(allowed - used) == []


def test_the_architecture_page_has_the_same_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \|[^|\n]*\| ([^|\n]*) \|$", page, re.MULTILINE)
    written = {own: set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", cell))) - {"nothing"} for own, cell in rows}
    held = {own: {one for one in MAY_IMPORT[own] if not one.startswith("__")} for own in MAY_IMPORT}
    assert written == {own: targets for own, targets in held.items() if not own.startswith("__")}


def test_engines_are_imported_in_their_rooms_alone() -> None:
    broken = [
        f"{name_of(path)} imports {module}"
        for path in SOURCES
        if not name_of(path).startswith(tuple(HEAVY_ROOMS))
        for module in sorted(imports(path))
        if module.split(".")[0] in HEAVY
    ]
    assert broken == []


def test_only_measure_reads_a_clock() -> None:
    used = {
        f"{name_of(path)} reads {node.attr}"
        for path in SOURCES
        if name_of(path) not in CLOCK_ROOMS and any(f".{clock}" in source(path) for clock in CLOCKS)
        for node in ast.walk(ast.parse(source(path)))
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS
    }
    assert sorted(used) == []


def test_no_runner_is_imported_by_name_outside_its_file() -> None:
    broken = [
        f"{name_of(path)} imports {module}"
        for path in SOURCES
        if not path.is_relative_to(PACKAGE / "runners")
        for module in sorted(imports(path))
        if module.startswith("bench.runners.")
    ]
    assert broken == []


def test_files_hold_what_their_name_says() -> None:
    assert [name_of(path) for path in (*SOURCES, *STATIC) if path.stem in FORBIDDEN_NAMES] == []
    lines = {name_of(path): len(source(path).splitlines()) for path in (*SOURCES, *STATIC)}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


ENGINES = HEAVY - {"safetensors"}
FOR_TABLES = {"pandas", "jinja2", "vl_convert", "huggingface_hub", "matplotlib"}
"""What pages, drawings, data frames and pushes need, and nothing else does."""


def _process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr


def _modules_after(*commands: tuple[str, ...], before: str = "") -> list[set[str]]:
    """Of commands called one after another in one process: the packages that are loaded after each."""
    code = (
        f"{before}import sys\nfrom bench.cli import main\n"
        f"for words in {list(commands)!r}:\n"
        "    sys.argv = ['bench', *words]\n"
        "    try:\n        main()\n"
        "    except SystemExit as error:\n        assert not error.code, (words, error.code)\n"
        "    print('loaded', *{name.split('.')[0] for name in sys.modules}, file=sys.__stderr__)\n"
    )
    lines = [line.split() for line in _process(code).splitlines()]
    return [set(words[1:]) for words in lines if words[:1] == ["loaded"]]


def test_help_imports_neither_engines_nor_pydantic() -> None:
    (found,) = _modules_after(("--help",))
    assert "typer" in found
    assert not found & {"torch", "transformers", "pydantic", "numpy", "genai_prices", "psutil", *FOR_TABLES}


def test_commands_that_only_read_import_no_engine_and_nothing_for_pages(tmp_path: Path) -> None:
    journal = "tests/data/records-v1.jsonl"
    commands = (
        ("report", journal),
        ("models",),
        ("prices", "hardware"),
        ("schema",),
        ("import", "tests/data/imports/llama-bench/pg.json", "-o", str(tmp_path / "run")),
        ("history", journal),
        ("leaderboard", journal),
        ("export", journal, "-o", str(tmp_path / "exported.json")),
        ("run", "configs/quickstart.yaml", "--dry-run"),
    )
    found = dict(zip((" ".join(words) for words in commands), _modules_after(*commands), strict=True))
    assert all("pydantic" in packages for packages in found.values())
    heavy = {command: packages & (ENGINES | FOR_TABLES) for command, packages in found.items()}
    assert {command: packages for command, packages in heavy.items() if packages} == {}


def test_a_report_works_where_torch_is_not_installed() -> None:
    block = (
        "import sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Absent(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'accelerate', 'bitsandbytes', 'numpy'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    (found,) = _modules_after(("report", "tests/data/records-v1.jsonl", "--usd-per-hour", "2"), before=block)
    assert "torch" not in found
