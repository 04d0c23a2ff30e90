"""Engines that are installed in another Python: what is there, what is lacking, and how a child is started in it.

The other Python is asked once a run, before anything is measured; what it says stands in the records, so that another
version of an engine is never taken for this one.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from bench import programs, runners
from bench.execute import elsewhere
from bench.schema import Environment, Failure, RunnerChoice
from bench.sensors import environment

NEEDED: Mapping[str, str] = {"psutil": ">=7", "pydantic": ">=2.12"}
"""All that the worker and `bench.measure.offline` import besides the engine: distribution → versions."""

NEEDED_FOR_GPUS: Mapping[str, str] = {"nvidia-ml-py": ">=13"}
"""Clocks, heat, memory and neighbours of NVIDIA devices, where there are some: without them no row could be trusted."""

ASK_S = 60.0
"""For a Python to start and look into its environment: on a busy machine with a disk in the network, many seconds."""

SCRIPT = Path(elsewhere.__file__)
OURS = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONEXECUTABLE"),
    *("VIRTUAL_ENV", "CONDA_PREFIX"),
)
"""Variables that say where our own Python finds its packages."""


@dataclass(frozen=True)
class Found:
    """What a Python has of what was asked for. `fault`: why it cannot be asked at all."""

    version: str = "unknown"
    packages: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    runners: frozenset[str] = frozenset()
    fault: Failure | None = None


def environment_of(choice: RunnerChoice) -> Environment:
    """This machine, with the Python and the versions of whatever a runner is made of, where its engine is installed."""
    packages = tuple(runners.find(choice.name).PACKAGES)
    if choice.python is None:
        return environment.detect(packages)
    found = _found(choice)
    there = {name: found.packages[name] for name in packages if name in found.packages}
    return environment.detect().model_copy(update={"python": found.version, "packages": there})


def problem(choice: RunnerChoice) -> Failure | None:
    """Why no cell of a runner can run where its engine is to be, and what to install; None where nothing is lacking."""
    found = _found(choice)
    if found.fault is not None:
        return found.fault
    if choice.python is not None:
        for lacking in (_lacking_worker(choice.python, found), _lacking_runner(choice, found)):
            if lacking is not None:
                return lacking
    return _lacking_engine(choice, found)


def command(python: str | None, fd: int) -> list[str]:
    """The words that start a worker which reports through descriptor `fd`."""
    if python is None:
        return [sys.executable, "-m", "bench.execute.worker", str(fd)]
    return [python, str(SCRIPT), str(fd)]


def variables(python: str | None) -> dict[str, str]:
    """The environment variables of such a worker: those of another Python as if its environment were activated."""
    found = dict(os.environ)
    if python is None:
        return found
    for name in OURS:
        found.pop(name, None)
    folder = Path(python).parent
    if (folder.parent / "pyvenv.cfg").is_file():
        found["VIRTUAL_ENV"] = str(folder.parent)
    ours = {str(Path(sys.prefix) / folder.name)} if sys.prefix != sys.base_prefix else set()
    places = [one for one in found.get("PATH", os.defpath).split(os.pathsep) if one not in ours]
    found["PATH"] = os.pathsep.join([str(folder), *places])
    return found


def _found(choice: RunnerChoice) -> Found:
    needs = _needs(choice)
    # pip as a distribution: to look for it as a module makes setuptools change what is imported.
    packages = dict.fromkeys([*runners.find(choice.name).PACKAGES, *needs, *NEEDED, *NEEDED_FOR_GPUS, "pip"])
    modules = dict.fromkeys(map(_module, needs))
    return ask(choice.python, tuple(packages), tuple(modules))


def _needs(choice: RunnerChoice) -> Mapping[str, str]:
    kind = runners.find(choice.name)
    return kind.needs(kind.Options.model_validate(choice.options)) if isinstance(kind, runners.Needs) else {}


@cache
def ask(python: str | None, packages: tuple[str, ...], modules: tuple[str, ...]) -> Found:
    """What a Python has of these distributions and top-level modules; None asks the one that runs this."""
    questions = {"packages": packages, "modules": modules, "group": runners.GROUP}
    if python is None:
        return _read(elsewhere.answer(questions))
    try:
        done = programs.asked([python, str(SCRIPT), elsewhere.ASK, json.dumps(questions)], ASK_S, variables(python))
    except subprocess.TimeoutExpired:
        return _faulty(f"{python} gave no answer within {ASK_S:g} s")
    except OSError as error:
        return _faulty(f"{python} cannot be started ({error.strerror})")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    answers = [line.removeprefix(elsewhere.MARK) for line in lines if line.startswith(elsewhere.MARK)]
    if not answers:
        if (version := _version(python)) is not None and version < elsewhere.LEAST_PYTHON:
            return _too_old(python, ".".join(map(str, version)))
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return _faulty(f"{python} is no Python that works" + "".join(f" ({line[:200]})" for line in said))
    answered = json.loads(answers[-1])
    if tuple(answered["number"]) < elsewhere.LEAST_PYTHON:
        return _too_old(python, answered["version"])
    return _read(answered)


def _version(python: str) -> tuple[int, ...] | None:
    """The version of a Python that could not read the question, such as 2.7; None where it says none."""
    words = [python, "-E", "-S", "-c", "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])"]
    try:
        done = programs.asked(words, ASK_S)
        return tuple(int(one) for one in done.stdout.split(b"."))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def _too_old(python: str, version: str) -> Found:
    least = ".".join(map(str, elsewhere.LEAST_PYTHON))
    remedy = f"make that environment anew with Python {least} or newer"
    return Found(
        version, fault=Failure(reason=f"{python} is Python {version}, and a worker needs {least}", remedy=remedy)
    )


def _read(answered: Mapping[str, Any]) -> Found:
    there = answered.get("packages", {})
    return Found(answered["version"], there, frozenset(answered["modules"]), frozenset(answered["runners"]))


def _faulty(reason: str) -> Found:
    return Found(fault=Failure(reason=reason, remedy="name the Python of the engine's environment, or make that anew"))


def _lacking_worker(python: str, found: Found) -> Failure | None:
    """What the worker itself needs there, whatever the engine."""
    needed = {**NEEDED, **(NEEDED_FOR_GPUS if environment.detect().accelerators else {})}
    absent = [name for name, versions in needed.items() if not _suits(found.packages.get(name), versions)]
    if not absent:
        return None
    said = [f"{name} (has {found.packages[name]})" if name in found.packages else name for name in absent]
    wanted = [f"{name}{needed[name]}" for name in absent]
    return Failure(reason=f"{python} lacks {', '.join(said)}", remedy=_install(python, found, wanted))


def _lacking_runner(choice: RunnerChoice, found: Found) -> Failure | None:
    """A runner of another package is imported there as well."""
    if choice.name in runners.shipped() or choice.name in found.runners:
        return None
    own = next((point.dist for point in entry_points(group=runners.GROUP, name=choice.name)), None)
    name = "its package" if own is None else own.name
    reason = f"{choice.python} lacks {name}, which holds the runner {choice.name}"
    return Failure(reason=reason, remedy=f"install {name} there too")


def _lacking_engine(choice: RunnerChoice, found: Found) -> Failure | None:
    """What of the engine is not installed there, or in a version that does not work."""
    needs = _needs(choice)
    absent = list(_absent(needs, found))
    where = "here" if choice.python is None else f"in {choice.python}"
    wanted = {name: f"{name}{versions}" for name, versions in needs.items()}
    if absent:
        remedy = _install(choice.python, found, [wanted[name] for name in absent])
        if choice.python is None:
            remedy += _ours(choice)
        return Failure(reason=f"{' and '.join(absent)} {_is(absent)} not installed {where}", remedy=remedy)
    for name, versions in needs.items():
        own = found.packages.get(name)
        if own is not None and not _suits(own, versions):
            reason = f"{name} {own} {where} is known not to work (needs {versions})"
            return Failure(reason=reason, remedy=_install(choice.python, found, ["-U", wanted[name]]))
    return None


def _ours(choice: RunnerChoice) -> str:
    """How else an engine is had that is not installed beside this package."""
    kind = runners.find(choice.name)
    extra = kind.extra() if issubclass(kind, runners.IsOptional) else ""
    if extra is None:  # it pins torch and much else
        return " in an environment of its own, and name that one's Python (python: beside the runner's name)"
    with_script = f" (with scripts/bench: BENCH_EXTRAS={extra})" if extra else ""
    return f"{with_script}; or name the Python where it is installed (python: beside the runner's name)"


def _absent(needs: Mapping[str, str], found: Found) -> Iterator[str]:
    """Distributions that are not there. One that is there under another name, such as a build for one kind of device,
    is known by its module; of its version nothing is known.
    """
    return (name for name in needs if name not in found.packages and _module(name) not in found.modules)


def _module(distribution: str) -> str:
    return distribution.replace("-", "_").lower()


def _suits(version: str | None, versions: str) -> bool:
    return version is not None and SpecifierSet(versions).contains(version, prereleases=True)


def _install(python: str | None, found: Found, wanted: list[str]) -> str:
    """What to type. An environment made by uv has no pip of its own."""
    words = " ".join(map(shlex.quote, wanted))
    if python is None:
        return f"pip install {words}"
    if "pip" not in found.packages:
        return f"uv pip install --python {shlex.quote(python)} {words}"
    return f"{shlex.quote(python)} -m pip install {words}"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
