"""`python -m bench.servers.xllamacpp_main`: llama.cpp's own server out of the wheel `xllamacpp`, with its own options.

The options are those of `llama-server` that matter to a benchmark, under the same names, so that a config's `args` hold
for either. Started by `bench.servers.llama_cpp`; ends with SIGTERM.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


def parser() -> argparse.ArgumentParser:
    """The options; the last of a repeated one holds."""
    found = argparse.ArgumentParser(prog="xllamacpp_main", allow_abbrev=False)
    found.add_argument("-m", "--model", required=True)
    found.add_argument("-a", "--alias")
    found.add_argument("--host", default="127.0.0.1")
    found.add_argument("--port", type=int, required=True)
    found.add_argument("--metrics", action="store_true")
    found.add_argument("-np", "--parallel", type=int, default=1, help="slots: requests at once")
    found.add_argument("-c", "--ctx-size", type=int, default=0, help="tokens of all slots together")
    found.add_argument("-b", "--batch-size", type=int)
    found.add_argument("-ub", "--ubatch-size", type=int)
    found.add_argument("-t", "--threads", type=int)
    found.add_argument("-tb", "--threads-batch", type=int)
    found.add_argument("--threads-http", type=int)
    found.add_argument("-ngl", "--gpu-layers", "--n-gpu-layers", type=int)
    found.add_argument("-fa", "--flash-attn", choices=("on", "off", "auto"))
    found.add_argument("-ctk", "--cache-type-k", choices=TYPES)
    found.add_argument("-ctv", "--cache-type-v", choices=TYPES)
    found.add_argument("-cram", "--cache-ram", type=int, help="MiB of main memory for prompts that left their slots")
    found.add_argument("-kvu", "--kv-unified", action="store_true", help="slots share one context")
    found.add_argument("--no-cache-prompt", action="store_true")
    found.add_argument("-nocb", "--no-cont-batching", action="store_true")
    found.add_argument("--no-warmup", action="store_true")
    found.add_argument("-lv", "--verbosity", type=int)
    return found


PLAIN = {
    "n_parallel": "parallel",
    "n_ctx": "ctx_size",
    "n_batch": "batch_size",
    "n_ubatch": "ubatch_size",
    "n_threads_http": "threads_http",
    "n_gpu_layers": "gpu_layers",
    "cache_ram_mib": "cache_ram",
    "verbosity": "verbosity",
    "port": "port",
}
"""Field of `CommonParams` → option."""


def parameters(asked: argparse.Namespace, engine: Any) -> Any:
    """llama.cpp's own structure, filled in. `engine`: the module `xllamacpp`."""
    found = engine.CommonParams()
    found.model.path = asked.model
    found.hostnames = [asked.host]
    for name, option in PLAIN.items():
        value = getattr(asked, option)
        if value is not None:
            setattr(found, name, value)
    if asked.threads is not None:
        found.cpuparams.n_threads = asked.threads
    for_batches = asked.threads_batch or asked.threads
    if for_batches is not None:
        found.cpuparams_batch.n_threads = for_batches
    if asked.alias:
        found.model_alias = {asked.alias}
    if asked.flash_attn is not None:
        kinds = engine.llama_flash_attn_type
        named = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[asked.flash_attn]
        found.flash_attn_type = getattr(kinds, f"LLAMA_FLASH_ATTN_TYPE_{named}")
    for name in ("cache_type_k", "cache_type_v"):
        if getattr(asked, name) is not None:
            setattr(found, name, getattr(engine.ggml_type, f"GGML_TYPE_{getattr(asked, name).upper()}"))
    found.endpoint_metrics = asked.metrics
    found.cont_batching = not asked.no_cont_batching
    found.cache_prompt = not asked.no_cache_prompt
    found.cache_idle_slots = found.cache_ram_mib != 0
    found.kv_unified = asked.kv_unified
    found.warmup = not asked.no_warmup
    found.ui = False
    return found


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM. Returns 1 when the model cannot be loaded, else not at all."""
    asked = parser().parse_args(words)
    # Blocked before any thread is made, so that all inherit it: `sigwait` below is the only one to hear it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(asked, xllamacpp))
    except RuntimeError as error:
        print(f"llama.cpp: {error}", file=sys.stderr)
        return 1
    print(f"serving at {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # Its own end waits for requests on their way, whose clients are gone; there is nothing to keep.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
