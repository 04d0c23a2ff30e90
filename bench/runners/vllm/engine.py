"""An `LLM` started with the options of a cell; what cannot work is said before vLLM takes its time."""

import os
from dataclasses import dataclass
from typing import Any

from bench.errors import UnsupportedError
from bench.models import catalogue
from bench.runners.vllm import levels, trouble, weights
from bench.runners.vllm.options import Options, too_many
from bench.schema import Model, Precision
from bench.sensors import environment

GIB = 2**30
CPU_KV_CACHE_GIB = 4.0
"""vLLM for CPUs would take nearly all memory; this was its default before."""

COUNTS = "bench.runners.vllm.worker.Counts"
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
HEADS = ("num_attention_heads", "n_head")


@dataclass(frozen=True)
class Started:
    """A loaded model, and what was decided on the way."""

    llm: Any
    on_cpu: bool
    random_weights: bool
    settings: dict[str, Any]
    """The model's config.json, empty where it cannot be read."""


def start(model: Model, precision: Precision, options: Options) -> Started:
    """Load a model. Raises UnsupportedError and DoesNotFitError with a line each; other errors are vLLM's own."""
    from vllm.platforms import current_platform

    source, revision = weights.source(model)
    on_cpu = bool(current_platform.is_cpu())
    settings = catalogue.config(model) or {}
    check_devices(options, on_cpu, environment.usable_cpus() if on_cpu else current_platform.device_count())
    check_divides(options, settings)
    _set_environment(options, on_cpu)
    is_random = catalogue.kind(model) == "shape" or options.load_format == "dummy"
    asked = {
        **levels.arguments(precision, settings, on_cpu),
        **arguments(model, options, on_cpu),
        "load_format": "dummy" if is_random else load_format(model, options),
    }
    try:
        from vllm import LLM

        llm = LLM(model=source, revision=revision, **asked)
        if on_cpu and options.pipeline_parallel > 1:
            llm.collective_rpc("bench_ready")
    except (ValueError, RuntimeError, NotImplementedError, ImportError) as error:
        raise trouble.typed(error) from error
    return Started(llm, on_cpu, is_random, settings)


def arguments(model: Model, options: Options, on_cpu: bool) -> dict[str, Any]:
    """What `LLM` is given, less the model, its type and how it is loaded. What nobody chose is left to vLLM."""
    eager = on_cpu and not options.compilation_mode if options.enforce_eager is None else options.enforce_eager
    cache_gib = options.kv_cache_gib
    if cache_gib is None and on_cpu and options.gpu_memory_utilization is None:
        cache_gib = CPU_KV_CACHE_GIB
    compilation = {"mode": options.compilation_mode, "cudagraph_mode": options.cudagraph_mode}
    named = {
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "enable_chunked_prefill": options.chunked_prefill,
        "async_scheduling": options.async_scheduling,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "kv_cache_memory_bytes": None if cache_gib is None else int(cache_gib * GIB),
        "block_size": options.block_size,
        "attention_config": None if options.attention_backend is None else {"backend": options.attention_backend},
        "compilation_config": {key: value.upper() for key, value in compilation.items() if value} or None,
    }
    return {
        "tensor_parallel_size": options.tensor_parallel,
        "pipeline_parallel_size": options.pipeline_parallel,
        "distributed_executor_backend": _executor(options),
        "enable_prefix_caching": options.prefix_caching,
        "enforce_eager": eager,
        "cpu_offload_gb": options.cpu_offload_gib,
        "trust_remote_code": model.trust_remote_code,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "disable_log_stats": True,
        "worker_extension_cls": COUNTS,
        **{key: value for key, value in named.items() if value is not None},
    }


def _executor(options: Options) -> str:
    if options.executor != "auto":
        return options.executor
    return "mp" if options.devices > 1 else "uni"


def load_format(model: Model, options: Options) -> str:
    """vLLM's `auto` would also load pickled weights, which can run any code."""
    return options.load_format if options.load_format != "auto" or model.allow_pickle else "safetensors"


def check_devices(options: Options, on_cpu: bool, there: int) -> None:
    """Raises UnsupportedError for more devices than there are, and for options of the other kind of device."""
    lack = too_many(options, on_cpu, there)
    if lack is not None:
        raise UnsupportedError(*lack)
    others = ("cudagraph_mode", "async_scheduling", "cpu_offload_gib") if on_cpu else ("threads", "cpu_bind")
    named = [name for name in others if getattr(options, name) not in (None, False, 0.0, "none")]
    if named:
        where = "a CPU" if on_cpu else "GPUs"
        raise UnsupportedError(f"{' and '.join(named)} does nothing on {where}", "leave it out")


def check_divides(options: Options, settings: dict[str, Any]) -> None:
    """Raises UnsupportedError where heads or layers cannot be divided among so many devices."""
    heads = next((settings[key] for key in HEADS if isinstance(settings.get(key), int)), None)
    if heads is not None and heads % options.tensor_parallel:
        raise UnsupportedError(
            f"{heads} attention heads cannot be divided among {options.tensor_parallel} devices (tensor_parallel)",
            f"choose one of {', '.join(str(one) for one in range(1, heads + 1) if heads % one == 0)}",
        )
    layers = next((settings[key] for key in LAYERS if isinstance(settings.get(key), int)), None)
    if layers is not None and layers < options.pipeline_parallel:
        raise UnsupportedError(
            f"{layers} layers cannot be divided among {options.pipeline_parallel} groups (pipeline_parallel)",
            "choose a smaller pipeline_parallel",
        )


def _set_environment(options: Options, on_cpu: bool) -> None:
    """What vLLM takes from the environment alone. A variable of the user's would move the figures without a word."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1" if options.engine_process else "0"
    if not on_cpu:
        return
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)  # it would win over kv_cache_gib
    if options.in_process:
        import torch

        # torch follows the affinity of the process and not a container's quota: more threads would be throttled.
        torch.set_num_threads(options.threads or min(torch.get_num_threads(), environment.usable_cpus()))
    else:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = options.cpu_bind or bound(
            sorted(os.sched_getaffinity(0)), options.devices, options.threads
        )


def bound(cpus: list[int], workers: int, threads: int | None) -> str:
    """Cores for each worker, in vLLM's notation: as many for each as there are, or as `threads` says.

    Raises UnsupportedError where there are too few.

    >>> bound([0, 1, 2, 3], 2, None), bound([0, 1, 2, 3], 2, 1)
    ('0,1|2,3', '0|2')
    """
    share = len(cpus) // workers
    if threads is not None and threads > share:
        raise UnsupportedError(
            f"{threads} threads for each of {workers} workers are more than the {len(cpus)} cores that there are",
            f"threads: {share} at most, or leave it out",
        )
    lists = [cpus[one * share : one * share + (threads or share)] for one in range(workers)]
    return "|".join(",".join(map(str, one)) for one in lists)
