"""`bench doctor`: what this machine has, what will work on it, and what to install for the rest."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator


def add_to(app: typer.Typer) -> None:
    app.command(name="doctor", epilog="Example: bench doctor")(doctor)


def doctor() -> None:
    """Show CPU, GPUs, memory and versions, and which runners and precisions will work here."""
    from bench import runners
    from bench.cost import hourly
    from bench.errors import InputError
    from bench.models import builtin, catalogue
    from bench.schema import CostChoices, ModelFacts
    from bench.sensors import busy, environment, nvidia

    known = [runners.find(name) for name in runners.shipped()]
    found = environment.detect(tuple(dict.fromkeys(package for kind in known for package in kind.PACKAGES)))
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
    print(f"packages    {', '.join(f'{name} {version}' for name, version in found.packages.items())}")
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
        print(f"\nrunner {name}")
        try:
            kind = runners.find(name)
            able = kind.precisions(found)
        except InputError as error:
            print(f"  {error.lines[0]}")
            continue
        if runners.serves(kind):  # an endpoint runs what it runs
            print("  base_url              any OpenAI-compatible endpoint that runs already")
            for engine, problem in _engines():
                print(f"  server {engine:<14} {'can be started here' if problem is None else problem}")
            continue
        for precision, problem in able.items():
            print(f"  {precision:<18} {'works here' if problem is None else problem}")


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
