"""TensorRT-LLM's OpenAI-compatible server: `trtllm-serve serve`, on its PyTorch backend.

Described by its documentation (nvidia.github.io/TensorRT-LLM: commands/trtllm-serve, examples/prometheus_metrics;
versions 1.1 and 1.2), not run by our tests: it needs an NVIDIA GPU. Its command line has no dtype and no type of the
cache; both are keys of a YAML file (`--extra_llm_api_options`, of late also `--config`), and so are the switches of its
counters. A user's own file in `args` takes that one's place. `/metrics` is JSON for each iteration; the Prometheus page
has another path. Several GPUs: `args: [--tp_size, "2"]`, also `--pp_size`, `--ep_size`.

It takes `ignore_eos` and `min_tokens` and refuses fields that it does not know.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from bench.models import builtin
from bench.servers import precision as precisions
from bench.servers import weights as files
from bench.servers.engine import HOST, Command, Engine, Launch, Meanings

LEAST_ROWS = 256
LEAST_TOKENS = 8192
"""Rows and prompt tokens of a step: what it makes room for, its own value where a load needs no more."""


def command(launch: Launch) -> Command:
    """`trtllm-serve serve MODEL …`; /health answers 200 when the engine is up."""
    source = files.checkpoint(launch.weights, "tensorrt-llm")
    precisions.check_stored(launch.precision, launch.weights)
    text = json.dumps(_settings(launch), sort_keys=True) + "\n"  # JSON is YAML
    path = _place(text)
    words = [*(launch.program or ("trtllm-serve",)), "serve", source, "--host", HOST, "--port", str(launch.port)]
    words += ["--backend", "pytorch", "--max_batch_size", str(max(LEAST_ROWS, launch.streams))]
    words += ["--max_num_tokens", str(max(LEAST_TOKENS, launch.longest_tokens))]
    words += ["--max_seq_len", str(launch.longest_tokens)]
    if launch.weights.revision is not None:
        words += ["--revision", launch.weights.revision]
    if launch.weights.model.trust_remote_code:
        words.append("--trust_remote_code")
    # Requests may call the model by what /v1/models says: the folder's name, or the hub id.
    return Command((*words, "--extra_llm_api_options", str(path)), files={path: text})


def _settings(launch: Launch) -> dict[str, Any]:
    wanted = launch.precision
    precisions.check_quantised(wanted, "tensorrt-llm")
    kept = precisions.kv_type(wanted, "tensorrt-llm", {"fp8": "fp8"})
    if wanted.name in ("int8", "nf4", "fp4"):
        raise precisions.refuse(wanted, "tensorrt-llm")
    named = precisions.dtype(wanted, "tensorrt-llm", ("fp16", "bf16"))
    found: dict[str, Any] = {"enable_iter_perf_stats": True, "return_perf_metrics": True}
    if named is not None:
        found["dtype"] = named
    if kept is not None:
        found["kv_cache_config"] = {"dtype": kept}
    return found


def _place(text: str) -> Path:
    """Named after what is in it: servers that start at the same moment write the same file or another one."""
    name = hashlib.sha256(text.encode()).hexdigest()[:8]
    return builtin.cache_folder() / "servers" / f"tensorrt-llm-{name}.yaml"


ENGINE = Engine(
    name="tensorrt-llm",
    command=command,
    install="install tensorrt_llm in an environment of its own and name its program: "
    "command: [/path/to/bin/trtllm-serve], or name a container: command: [docker, run, …, {port}, …]",
    metrics_path="/prometheus/metrics",
    version_path="/version",
    meanings=Meanings(
        prefix="trtllm_",
        running=("trtllm_num_requests_running",),
        waiting=("trtllm_num_requests_waiting",),
        kv_usage=("trtllm_kv_cache_utilization",),
        prompt_tokens=("trtllm_prompt_tokens_total",),
        cached_tokens=("trtllm_prompt_cached_tokens_total",),
        generation_tokens=("trtllm_generation_tokens_total",),
    ),
)
