"""A Python of somebody else: an environment with the worker's few dependencies, an engine, and nothing more.

Made of links to what is installed here, so that it takes no network and a tenth of a second.
"""

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

WORKER = ("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection", "psutil")
"""What the worker needs there, and what that needs."""

ENGINE = """\
from multiprocessing import get_context
VERSION = {version!r}
def whoami(queue):
    "In a process that multiprocessing starts anew."
    import sys
    import bench.schema
    queue.put([sys.prefix, sys.path, __name__])
def spawned():
    context = get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=whoami, args=(queue,))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    return found
"""

RUNNER = '''\
"""The fake, rented from an engine that is installed elsewhere; its facts say where it runs."""
import importlib.util, json, os, sys
from bench.runners.fake import FakeRunner

class RentedRunner(FakeRunner):
    ENGINE = ("rented_engine",)
    PACKAGES = ("rented-engine",)
    @classmethod
    def needs(cls, options):
        return {"rented-engine": ">=2,!=2.5"}
    def load(self):
        import rented_engine
        names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PATH")
        ours = [name for name in ("strays", "rich", "torch", "yaml") if importlib.util.find_spec(name)]
        said = {
            "engine": rented_engine.VERSION, "prefix": sys.prefix, "path": sys.path, "ours": ours, "argv": sys.argv,
            "variables": {name: os.environ.get(name) for name in names}, "spawned": rented_engine.spawned(),
        }
        return super().load().model_copy(update={"notes": (json.dumps(said),)})
'''


def environment(folder: Path, engine: str | None = "2.1", without: tuple[str, ...] = (), runner: bool = True) -> Path:
    """The Python of a new environment in `folder`, which lacks the distributions `without`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, capture_output=True)
    site = site_of(folder)
    for name in WORKER:
        if name not in without:
            _link(name, site)
    if engine is not None:
        with_engine(site, engine)
    if runner:
        with_runner(site)
    return folder / "bin" / "python"


def site_of(folder: Path) -> Path:
    """Where an environment's packages are."""
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def with_engine(site: Path, version: str, code: str | None = None) -> None:
    """Install the engine, in place of another version."""
    (site / "rented_engine.py").write_text(ENGINE.format(version=version) if code is None else code)
    about = site / "rented_engine.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rented-engine\nVersion: {version}\n")


def with_runner(site: Path) -> None:
    """Install the runner, as a package of its own."""
    (site / "rented_runner.py").write_text(RUNNER)
    about = site / "rented_runner-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rented-runner\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[bench.runners]\nrented = rented_runner:RentedRunner\n")


def with_ours(folder: Path) -> dict[str, str]:
    """Variables with which `bench` finds the runner, and no engine."""
    folder.mkdir()
    with_runner(folder)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


def _link(name: str, site: Path) -> None:
    found = distribution(name)
    for top in sorted({one.parts[0] for one in found.files or ()} - {"__pycache__", ".."}):
        (site / top).symlink_to(Path(str(found.locate_file(top))))
