"""llama.cpp's server: a `llama-server` that is named or on the PATH, else the one inside the wheel `xllamacpp`.

It divides its context among its slots, so it is started with streams × longest tokens. Each slot keeps what it last
computed; the cache of prompts in main memory (8 GiB by default) is off, because it works while others are timed and
answers none of our prompts. /health answers 503 until the model is loaded.

It serves a GGUF file as it is stored, or one that is made of it at the precision that is asked for (docs/gguf.md); of a
shape one with random weights and a made-up vocabulary.

Quantised keys and values are ggml's blocks of 32 values with an fp16 scale: q8_0 (8.5 bits) and q4_0 (4.5 bits), for
which it wants flash attention.
"""

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bench.errors import UnsupportedError, extra
from bench.models import catalogue
from bench.servers import gguf
from bench.servers import precision as precisions
from bench.servers.engine import HOST, Command, Engine, Launch, Meanings

BINARY = "llama-server"
KV_TYPES = {"int8": "q8_0", "int4": "q4_0"}
INSTALL = f"{extra('llamacpp')}, or put llama-server on the PATH"
SPARE_THREADS = 8
PROBED_TOKENS = 1024
"""Of a made-up vocabulary a token is a byte, and the probe's text long: a slot must hold it."""

HELP_S = 20
"""For a binary to print its options."""


def command(launch: Launch) -> Command:
    """`llama-server --model FILE …`, or the same options for the wheel."""
    precisions.gguf_only(launch.precision, "llama.cpp")
    path = gguf.path(launch.weights, launch.precision, "llama.cpp")
    kept = precisions.kv_type(launch.precision, "llama.cpp", KV_TYPES)
    program, known = _program(launch)
    is_shape = catalogue.kind(launch.weights.model) == "shape"
    slots = _given(launch.args, ("--parallel", "-np")) or launch.streams
    words = [*program, "--model", str(path), "--alias", launch.weights.name]
    words += ["--host", HOST, "--port", str(launch.port), "--metrics", "--parallel", str(slots)]
    longest = max(launch.longest_tokens, PROBED_TOKENS) if is_shape else launch.longest_tokens
    words += ["--ctx-size", str(slots * longest)]
    # Each open connection holds one of these threads, idle ones too: with too few, requests wait for one to time out.
    words += ["--threads-http", str(2 * slots + SPARE_THREADS)]
    if kept is not None:
        words += ["--flash-attn", "on", "--cache-type-k", kept, "--cache-type-v", kept]
    if _has("--cache-ram", program):
        words += ["--cache-ram", "0"]
    return Command(tuple(words), launch.weights.name, version=known)


def _program(launch: Launch) -> tuple[tuple[str, ...], str | None]:
    """What to run, and its version where it is known beforehand."""
    if launch.program is not None:
        return launch.program, None
    found = shutil.which(BINARY)
    if found is not None:
        return (found,), None
    if find_spec("xllamacpp") is None:
        raise UnsupportedError("llama.cpp is not installed", INSTALL)
    try:
        known = f"xllamacpp {version('xllamacpp')}"
    except PackageNotFoundError:
        known = None
    return (sys.executable, "-m", "bench.servers.xllamacpp_main"), known


def _given(args: tuple[str, ...], names: tuple[str, ...]) -> int | None:
    """The number that the user's own arguments give to an option, the last one of them."""
    found = None
    for word, following in zip(args, [*args[1:], ""][: len(args)], strict=True):
        name, _, value = word.partition("=")
        text = value or following
        if name in names and text.isdigit() and int(text) > 0:
            found = int(text)
    return found


def _has(option: str, program: tuple[str, ...]) -> bool:
    """Whether a binary knows an option that came late: it would refuse to start."""
    if program[-1] == "bench.servers.xllamacpp_main":
        return True
    try:
        done = subprocess.run([*program, "--help"], capture_output=True, text=True, errors="replace", timeout=HELP_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option in done.stdout + done.stderr


ENGINE = Engine(
    name="llama.cpp",
    command=command,
    prepare=gguf.prepared,
    install=INSTALL,
    version_path="/props",
    version_keys=("build_info",),
    meanings=Meanings(
        prefix="llamacpp:",
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        kv_usage=("llamacpp:kv_cache_usage_ratio",),
        prompt_tokens=("llamacpp:prompt_tokens_total",),
        cached_tokens=("llamacpp:prompt_tokens_cached_total",),
        generation_tokens=("llamacpp:tokens_predicted_total",),
        prompt_includes_cached=False,
    ),
)
