"""Ollama: `ollama serve`, then `ollama create` from a GGUF file, then `ollama run` to have it loaded.

Described by its documentation (docs.ollama.com: FAQ, Modelfile, OpenAI compatibility; as of version 0.14) and not run
by our tests, which have a small program in its place. Its server is set up by variables: address, context of a request,
requests at once; it multiplies the last two by itself. It keeps a copy of every model under a name, here in a folder of
this package's cache, so that a user's own models stay alone, and unloads a model after five minutes unless told not to.
Several GPUs: `env: {OLLAMA_SCHED_SPREAD: "1"}` puts layers on all of them; it has no tensor parallelism.

Its OpenAI dialect knows neither `ignore_eos` nor `min_tokens`: answers end where the model ends them, and rows say so.
It has no page of metrics. Prompts of `completions` are put into the model's chat template too.
"""

import re
from pathlib import Path

from bench.models import builtin
from bench.servers import gguf
from bench.servers import precision as precisions
from bench.servers.engine import HOST, Command, Engine, Launch

KV_TYPES = {"int8": "q8_0", "int4": "q4_0"}
MOST_QUEUED = 4096
"""Requests that wait; its own 512 would refuse those that a load asks for beyond them."""


def command(launch: Launch) -> Command:
    """`ollama serve`, with the model that is created of the GGUF file at this precision."""
    precisions.gguf_only(launch.precision, "ollama")
    path = gguf.path(launch.weights, launch.precision, "ollama")
    kept = precisions.kv_type(launch.precision, "ollama", KV_TYPES)
    program, folder, name = launch.program or ("ollama",), _folder(), _name(path)
    recipe = folder / f"{name}.Modelfile"
    env = {
        "OLLAMA_HOST": f"{HOST}:{launch.port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_CONTEXT_LENGTH": str(launch.longest_tokens),
        "OLLAMA_NUM_PARALLEL": str(launch.streams),
        "OLLAMA_MAX_QUEUE": str(max(MOST_QUEUED, launch.streams)),
    }
    if kept is not None:
        env |= {"OLLAMA_KV_CACHE_TYPE": kept, "OLLAMA_FLASH_ATTENTION": "1"}
    return Command(
        (*program, "serve"),
        name,
        env=env,
        # Older versions penalise repetition of themselves: other tokens, and more work for each.
        files={recipe: f"FROM {path}\nPARAMETER repeat_penalty 1\n"},
        create=(*program, "create", name, "-f", str(recipe)),
        load=(*program, "run", name, ""),
    )


def _folder() -> Path:
    return builtin.cache_folder() / "ollama"


def _name(path: Path) -> str:
    """A name that Ollama takes, another for each file.

    >>> _name(Path("/models/SmolLM2 135M.Q4_1.gguf"))
    'smollm2-135m.q4_1'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-.") or "model"


ENGINE = Engine(
    name="ollama",
    command=command,
    prepare=gguf.prepared,
    install="install ollama (https://ollama.com/download), or name its program: command: [/path/to/ollama]",
    health_path="/api/version",
    metrics_path=None,
    version_path="/api/version",
    env={
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_NO_CLOUD": "1",
    },
)
