"""From a config's choice to the words that are run, and the same words as they may be shown to others."""

import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bench.errors import UnsupportedError
from bench.schema import ManagedServer
from bench.servers import weights
from bench.servers.engine import HOST, Command, Engine, Launch


def is_whole(words: tuple[str, ...] | None) -> bool:
    """Whether a command says its own port: it is then taken as it is, else as the program to run."""
    return words is not None and any("{port}" in word for word in words)


def program(choice: ManagedServer) -> tuple[str, ...] | None:
    """What the user wants run in place of the engine's own program; the engine's arguments follow it."""
    return choice.command if choice.command and not is_whole(choice.command) else None


def made(engine: Engine, choice: ManagedServer, launch: Launch) -> Command:
    """The command with the user's arguments at its end. Raises UnsupportedError for what cannot work or is missing."""
    command = _filled(choice, launch) if is_whole(choice.command) else engine.command(launch)
    if shutil.which(command.words[0]) is None:
        name = bare(command.words[0])
        if choice.command is not None:
            remedy = "write the whole path of one that can be run, or a name that is on the PATH of `bench run`"
            raise UnsupportedError(f"server.command: no program {name!r} here", remedy)
        what = f"{engine.name} is not installed"
        raise UnsupportedError(what if name == engine.name else f"{what}: no {name} here", engine.install)
    for module in command.needs:
        if find_spec(module) is None:
            raise UnsupportedError(f"{engine.name} needs the package {module}", engine.install)
    return replace(command, words=command.words + choice.args)


def _filled(choice: ManagedServer, launch: Launch) -> Command:
    assert choice.command is not None
    files = launch.weights
    path = files.gguf if choice.engine == "llama.cpp" and files.gguf else files.folder or files.gguf
    model = files.hub_id if path is None else str(path)
    if model is None and any("{model}" in word for word in choice.command):
        raise UnsupportedError(f"{files.name} has no files for {{model}}", "name a checkpoint or a file as the model")
    values = {"port": str(launch.port), "host": HOST, "model": model or ""}
    # In one pass, so that what is filled in is not filled in again.
    words = [re.sub(r"\{(port|host|model)\}", lambda blank: values[blank[1]], word) for word in choice.command]
    return Command(tuple(words))


def identity(launch: Launch, words: tuple[str, ...]) -> tuple[str | None, int | None]:
    """What names the weights that a command serves, and their bytes; None where it names none that we know."""
    files = launch.weights
    for path in (files.gguf, files.folder):
        if path is not None and any(str(path) in word or word == path.name for word in words):
            return weights.identity(files, path)
    if files.hub_id is not None and any(files.hub_id in word for word in words):
        return weights.identity(files, None)
    return None, None


_SECRET = re.compile(r"^--?[\w-]*(api-?key|token|password|secret)$", re.IGNORECASE)
_FOLDERS = re.compile(r"(?<![\w.:/~-])/(?:[^/\s=,:'\"]+/)+(?=[^/\s])")


def shown(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command without folders of this machine and without keys.

    >>> shown(("/opt/venv/bin/vllm", "serve", "--model=/data/m.gguf", "--api-key", "abc", "--url", "http://h/v1/x"))
    ('vllm', 'serve', '--model=m.gguf', '--api-key', '***', '--url', 'http://h/v1/x')
    """
    told: list[str] = []
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if equals and _SECRET.match(name):
            told.append(f"{name}=***")
        elif at and _SECRET.match(words[at - 1]):
            told.append("***")
        elif word.startswith("/"):
            told.append(Path(word).name)
        elif value.startswith("/"):
            told.append(f"{name}={Path(value).name}")
        else:
            told.append(bare(word))
    return tuple(told)


def bare(text: str) -> str:
    """A text without the folders of its absolute paths.

    >>> bare("failed to open '/home/me/models/x.gguf'")
    "failed to open 'x.gguf'"
    """
    return _FOLDERS.sub("", text)
