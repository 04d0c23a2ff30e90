"""What another Python runs: `PYTHON elsewhere.py FD` measures a job as `bench.execute.worker` does, and
`PYTHON elsewhere.py ask QUESTIONS` says what is installed there. `PYTHON elsewhere.py -m bench.… ARGUMENTS` runs
another module of ours, for whatever a worker starts.

That environment is the engine's. Of ours it sees the package `bench` alone, found by the place of this file: neither
our site-packages nor the folder of this file, whose names an engine may use too, are on `sys.path`. Processes that an
engine starts by multiprocessing's "spawn" run this file again under another name: they find `bench` too, and start no
worker.

A Python that is too old for all else can read this file and say its version. Nothing of ours is imported before there
is something to measure.
"""

import importlib.util
import json
import platform
import runpy
import sys
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).absolute().parents[1]

LEAST_PYTHON = (3, 11)
ASK = "ask"
MARK = "bench answers: "
"""Before the answer: what starts with a Python of somebody else's may print anything."""


class OurPackage:
    """Finds `bench` and nothing else, whatever else may be called so in the engine's environment."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG003
        if name != "bench":
            return None
        places = [str(PACKAGE)]
        return importlib.util.spec_from_file_location(name, PACKAGE / "__init__.py", submodule_search_locations=places)


def answer(questions: "dict[str, Any]") -> "dict[str, Any]":
    """The version of this Python; versions of the distributions that are asked for, and which of the top-level modules
    and of the runners of other packages are there. A Python that is too old says its version alone.
    """
    found: dict[str, Any] = {"version": platform.python_version(), "number": list(sys.version_info[:2])}
    if sys.version_info < LEAST_PYTHON:
        return found
    from importlib import metadata

    for name in questions["packages"]:
        try:
            found.setdefault("packages", {})[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["modules"] = [name for name in questions["modules"] if _is_there(name)]
    found["runners"] = [point.name for point in metadata.entry_points(group=questions["group"])]
    return found


def _is_there(module: str) -> bool:
    """Whether a top-level module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def main(words: "list[str]") -> None:
    if words[0] == ASK:
        print("\n" + MARK + json.dumps(answer(json.loads(words[1]))))
        return
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    from bench.execute import worker

    worker.main(int(words[0]))


if __name__ in ("__main__", "__mp_main__"):
    own = Path(__file__).absolute().parent
    sys.path[:] = [one for one in sys.path if not one or Path(one).absolute() != own]
    sys.meta_path.insert(0, OurPackage)

if __name__ == "__main__":
    main(sys.argv[1:])
