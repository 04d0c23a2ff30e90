"""`python:` beside a runner's name: the Python of the environment where its engine is installed.

What is there is asked later, in `bench/execute/`; here a path that leads to no Python is told with its line.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

from bench import programs
from bench.errors import InputError

LOOK_S = 30.0
"""For a line of Python without packages: on a busy machine with a disk in the network, some seconds."""
SAYS = "bench looks for a Python"
REMEDY = "name the Python of the engine's environment, or that environment's folder"


def checked(text: object, base: Path, is_here: bool = True) -> str:
    """The absolute path of a Python. `text`: its path, or the folder of a virtual environment; `~` is the user's home,
    relative paths start at `base`, the config's folder. Links are kept: by its own place an environment's Python, which
    is one, knows its environment. `is_here`: whether cells run on this machine.

    Raises InputError where no Python is.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"must be a path (got {text!r}); {REMEDY}")
    try:
        path = Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100  (`resolve` would follow links)
    except RuntimeError:
        raise InputError(f"no such user: {text}") from None
    if not is_here:
        return str(path)
    if path.is_dir():
        path = next((path / one for one in ("bin/python", "bin/python3") if (path / one).exists()), path)
    if not path.exists():
        what = "a link to nothing" if path.is_symlink() else "no such file"
        raise InputError(f"{what}: {path}; {REMEDY}" + (" (variables are not replaced)" if "$" in text else ""))
    if path.is_dir():
        raise InputError(f"no bin/python in the folder {path}; {REMEDY}")
    if not os.access(path, os.X_OK):
        raise InputError(f"not executable: {path}; {REMEDY}")
    if not _is_python(str(path)):
        raise InputError(f"not a Python: {path}; {REMEDY}")
    return str(path)


@cache
def _is_python(path: str) -> bool:
    """Whether it runs a line of Python; nothing of its environment is read. Raises InputError where it says nothing."""
    words = [path, "-E", "-S", "-c", f"import sys; sys.stdout.write({SAYS!r}[::-1])"]
    try:
        done = programs.asked(words, LOOK_S)
    except OSError:
        return False
    except subprocess.TimeoutExpired:
        raise InputError(f"no answer within {LOOK_S:g} s: {path}; {REMEDY}") from None
    return done.stdout.decode("utf-8", "replace").strip() == SAYS[::-1]
