"""The engines by the name that a config calls them."""

from bench.errors import InputError, nearest
from bench.servers import command, llama_cpp, ollama, sglang, tensorrt_llm, tgi, transformers_serve, vllm
from bench.servers.engine import Engine

ENGINES: dict[str, Engine] = {
    one.ENGINE.name: one.ENGINE
    for one in (llama_cpp, ollama, transformers_serve, vllm, sglang, tensorrt_llm, tgi, command)
}


def find(name: str) -> Engine:
    """The description of an engine. Raises InputError for an unknown name."""
    if name not in ENGINES:
        raise InputError(f"unknown engine {name!r} in server.engine; {nearest(name, ENGINES)}")
    return ENGINES[name]
