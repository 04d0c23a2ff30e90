"""`transformers serve` with continuous batching. transformers is not imported here, only started.

Without a bound on its blocks it would give more than half of the free memory to its KV cache. /v1/models fails where
there is no hub cache, so /health is asked; it answers only after the model is loaded. A request may name the model
by the very word that the server was started with, and by no other: that word must be no path of this machine, so the
server is started in the folder above the checkpoint.
"""

import math
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.errors import UnsupportedError, extra
from bench.schema import FourBit, Int8
from bench.servers import precision as precisions
from bench.servers import weights as files
from bench.servers.engine import HOST, Command, Engine, Launch

PAGE_TOKENS = 256
"""Tokens of one block of its KV cache."""

NEEDS = ("transformers", "torch", "uvicorn", "fastapi", "openai")


def command(launch: Launch) -> Command:
    """`transformers serve MODEL --continuous-batching …`."""
    source = files.checkpoint(launch.weights, "transformers serve")
    precisions.check_stored(launch.precision, launch.weights)
    folder, name = (None, source) if launch.weights.folder is None else _named(launch.weights.folder)
    if launch.weights.folder is None and launch.weights.revision is not None:
        name = f"{source}@{launch.weights.revision}"
    own = (sys.executable, "-m", "transformers.cli.transformers")
    words = [*(launch.program or own), "serve", name, "--host", HOST, "--port", str(launch.port)]
    words += ["--continuous-batching", "--cb-num-blocks", str(_blocks(launch))]
    if launch.weights.model.trust_remote_code:
        words.append("--trust-remote-code")
    return Command(
        (*words, *_precision(launch)),
        name,
        folder,
        _version() if launch.program is None else None,
        NEEDS if launch.program is None else (),
    )


def _named(folder: Path) -> tuple[Path, str]:
    """The folder above, and the checkpoint's name in it."""
    if "@" in folder.name or ":" in folder.name:
        raise UnsupportedError(
            f"transformers serve takes the @ or : in {folder.name} for a revision or a file", "rename the folder"
        )
    return folder.parent, folder.name


def _blocks(launch: Launch) -> int:
    return launch.streams * math.ceil(launch.longest_tokens / PAGE_TOKENS)


def _precision(launch: Launch) -> list[str]:
    wanted = launch.precision
    precisions.check_quantised(wanted, "transformers serve")
    precisions.kv_type(wanted, "transformers serve", {})
    if isinstance(wanted, FourBit):
        precisions.check_four_bit(wanted, "transformers serve", "nf4", "fp32")
        return ["--quantization", "bnb-4bit", "--dtype", "bfloat16"]
    if isinstance(wanted, Int8):
        precisions.check_int8(wanted, "transformers serve")
        return ["--quantization", "bnb-8bit", "--dtype", "bfloat16"]
    named = precisions.dtype(wanted, "transformers serve")
    return [] if named is None else ["--dtype", named]


def _version() -> str | None:
    try:
        return version("transformers")
    except PackageNotFoundError:
        return None


ENGINE = Engine(
    name="transformers",
    command=command,
    install=extra("serve"),
    metrics_path=None,
)
