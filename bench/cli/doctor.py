"""`bench doctor`: what this machine has, what will work on it, and what to install for the rest."""

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.schema import Environment


def add_to(app: typer.Typer) -> None:
    app.command(name="doctor", epilog="Example: bench doctor --python /opt/vllm")(doctor)


def doctor(
    python: Annotated[
        Path | None, typer.Option(help="Look into the environment of this Python, as `python:` in a config names it.")
    ] = None,
) -> None:
    """Show CPU, GPUs, memory and versions, and which runners and precisions will work here."""
    from bench import runners
    from bench.cost import hourly
    from bench.errors import InputError
    from bench.models import builtin, catalogue
    from bench.schema import CostChoices, ModelFacts
    from bench.sensors import busy, nvidia

    other = None if python is None else _checked(python)
    found = _environment(other)
    load = busy.load_average()
    print(
        f"system      {found.system}, Python {found.python}, bench {found.bench_version} {found.bench_revision or ''}"
    )
    print(f"CPU         {found.cpu_model}: {found.cpu_usable} usable of {found.cpu_logical}, load {load or 0:.1f}")
    limit = f", limited to {found.memory_limit_bytes / 1e9:.1f} GB" if found.memory_limit_bytes else ""
    print(f"memory      {found.memory_total_bytes / 1e9:.1f} GB{limit}")
    for device in found.accelerators:
        print(f"GPU         {device.name}, {(device.memory_bytes or 0) / 1e9:.1f} GB, driver {device.driver}")
    if not found.accelerators:
        print(f"GPU         none: {nvidia.reason() or 'the driver shows no device'}")
    named = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    packages = _wrapped(named or "none of an engine", " " * 12)
    print("\n".join([f"packages    {''.join(packages[:1]).strip()}", *packages[1:]]))
    for name in catalogue.BUILTINS:
        state = "ready" if builtin.is_ready(name) else f"not fetched yet (bench models --fetch builtin:{name})"
        print(f"model       builtin:{name} {state}")
    places = {f"cuda:{index}": 0 for index in range(len(found.accelerators))} or {"cpu": 0}
    facts = ModelFacts(parameters=0, weights_bytes=0, vocab_size=0, dtype="", device="", placement=places)
    try:
        print(f"price       {hourly.rate(CostChoices(), found, facts).basis}")
    except InputError as error:
        print(f"price       {error.lines[0]}")
    for name in runners.names():
        try:
            kind = runners.find(name)
        except InputError as error:
            print(f"\nrunner {name}\n  {error.lines[0]}")
            continue
        if not runners.serves(kind):
            print(f"\nrunner {name}")
            for line in _able(name, other):
                print(f"  {line}")
        elif other is None:  # an endpoint runs what it runs
            print(f"\nrunner {name}")
            print("  base_url              any OpenAI-compatible endpoint that runs already")
            for engine, problem in _engines():
                print(f"  server {engine:<14} {'can be started here' if problem is None else problem}")


def _checked(python: Path) -> str:
    """The absolute path of another Python. Raises InputError where there is none."""
    from bench.errors import InputError
    from bench.plan import interpreter

    try:
        return interpreter.checked(str(python), Path.cwd())
    except InputError as error:
        raise InputError(f"--python: {error.lines[0]}") from None


def _environment(python: str | None) -> "Environment":
    """This machine, with the packages of all runners that the Python has."""
    from bench import runners
    from bench.execute import interpreters
    from bench.schema import RunnerChoice

    names = [name for name in runners.shipped() if python is None or not runners.serves(runners.find(name))]
    each = [interpreters.environment_of(RunnerChoice(name=name, python=python)) for name in names]
    packages = {name: version for one in each for name, version in one.packages.items()}
    return each[0].model_copy(update={"packages": packages})


def _able(name: str, python: str | None) -> "Iterator[str]":
    """What a runner can do in the environment of a Python: what works, then each reason and what it holds for; else
    what is lacking there.
    """
    from bench import runners
    from bench.execute import interpreters
    from bench.schema import RunnerChoice
    from bench.schema.precision import GGUF_NAMES

    kind = runners.find(name)
    choice = RunnerChoice(name=name, options=kind.Options().model_dump(mode="json"), python=python)
    lacking = interpreters.problem(choice)
    if lacking is not None:
        yield f"{lacking.reason}: {lacking.remedy}"
        return
    said: dict[str | None, list[str]] = {None: []}
    for precision, problem in kind.precisions(interpreters.environment_of(choice)).items():
        if precision != "served":  # what an endpoint runs is no precision to choose
            said.setdefault(problem, []).append(precision)
    for problem, precisions in said.items():
        if precisions:
            yield "works here" if problem is None else problem
            plain = [one for one in precisions if one not in GGUF_NAMES]
            # One line of all 29 types of GGUF files says no more than their number.
            types = [one for one in precisions if one in GGUF_NAMES]
            if len(types) == len(GGUF_NAMES):
                types = [f"all GGUF types ({types[0]} … {types[-1]})"]
            yield from _wrapped(", ".join([*plain, *types]), "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines no wider than the terminal, and than 120 columns."""
    width = max(40, min(shutil.get_terminal_size((120, 24)).columns, 120)) - 2
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _engines() -> "Iterator[tuple[str, str | None]]":
    """Each engine that a run can start, with what is missing here; None where nothing is."""
    from importlib.util import find_spec

    from bench.errors import UnsupportedError
    from bench.schema import ManagedServer, Model, Served
    from bench.servers import command, commands
    from bench.servers.engine import Launch
    from bench.servers.engines import ENGINES
    from bench.servers.weights import Weights

    anything = Weights(Model(source="owner/name"), "name", gguf=Path("name.gguf"), hub_id="owner/name")
    for name, engine in ENGINES.items():
        if engine is command.ENGINE:
            continue
        try:
            launch = Launch(anything, Served(name="served"), port=1)
            words = commands.made(engine, ManagedServer(engine=name), launch).words
        except UnsupportedError as error:
            yield name, f"{error.reason}: {error.remedy}"
            continue
        module = words[2].partition(".")[0] if words[1] == "-m" else None
        missing = module is not None and find_spec(module) is None
        yield name, f"no package {module} in this environment: {engine.install}" if missing else None
