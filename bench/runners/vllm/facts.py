"""What vLLM really loaded, as its workers counted it."""

from typing import Any

from bench.metrics import footprint
from bench.models import weight_files
from bench.runners.vllm.engine import Started
from bench.runners.vllm.options import Options
from bench.schema import Accelerator, Model, ModelFacts, Precision
from bench.schema.precision import kv_cache


def collect(started: Started, model: Model, precision: Precision, options: Options) -> ModelFacts:
    """Facts about a loaded model. Bytes are of all workers together, what each keeps a copy of counted for each."""
    workers: list[dict[str, Any]] = started.llm.collective_rpc("bench_counts")
    settings = started.llm.llm_engine.vllm_config
    placement: dict[str, int] = {}
    for one in workers:
        for place, size in one["placement"].items():
            placement[place] = placement.get(place, 0) + size
    text = settings.model_config.hf_text_config
    config = started.settings or settings.model_config.hf_config.to_dict()
    shape = footprint.shape(config)
    kv_bytes = [one["kv_bytes_per_token"] for one in workers]
    first = workers[0]
    parallel = {"tensor": options.tensor_parallel, "pipeline": options.pipeline_parallel}
    gpus = {one["device"]: one["accelerator"] for one in workers if one["accelerator"] is not None}
    return ModelFacts(
        parameters=shape.parameters if shape is not None else sum(one["values"] for one in workers),
        weights_bytes=sum(placement.values()),
        kv_bytes_per_token=None if None in kv_bytes else sum(kv_bytes),
        vocab_size=settings.model_config.get_vocab_size(),
        max_positions=settings.model_config.max_model_len,
        random_weights=started.random_weights,
        weights_id=None if started.random_weights else weight_files.identity(model),
        files={} if started.random_weights else weight_files.checksums(model),
        config=footprint.sizes(text.to_dict()) or footprint.sizes(config),
        dtype=first["dtype"],
        device=first["device"],
        placement=placement,
        parallel={name: count for name, count in parallel.items() if count > 1},
        accelerators=tuple(Accelerator(**gpus[place]) for place in sorted(gpus)),
        threads=sum(one["threads"] for one in workers) if started.on_cpu else None,
        attention=first["attention"],
        cache=_cache(settings, precision),
        compiled=settings.compilation_config.mode.name != "NONE",
        kernel=", ".join(first["quantised"]) or None,
        notes=tuple(_notes(settings, workers, options)),
    )


def _cache(settings: Any, precision: Precision) -> str:
    kept = kv_cache(precision)
    blocks = settings.cache_config.num_gpu_blocks
    size = settings.cache_config.block_size
    said = f"paged, blocks of {size} tokens" if not blocks else f"paged, {blocks} blocks of {size} tokens"
    return said if kept is None else f"{said}, {kept.format}"


def _notes(settings: Any, workers: list[dict[str, Any]], options: Options) -> list[str]:
    schedule, compiled = settings.scheduler_config, settings.compilation_config
    graphs = getattr(compiled.cudagraph_mode, "name", None) or "NONE"
    said = [
        f"steps of at most {schedule.max_num_batched_tokens} tokens and {schedule.max_num_seqs} rows, chunked prefill "
        f"{_on(schedule.enable_chunked_prefill)}, asynchronous scheduling {_on(schedule.async_scheduling)}",
        f"prefix caching {_on(settings.cache_config.enable_prefix_caching)}",
        f"compilation {compiled.mode.name.lower()}, CUDA graphs {graphs.lower()}",
        f"engine core in {'a process of its own' if options.engine_process else 'the process that holds the clock'}, "
        f"executor {settings.parallel_config.distributed_executor_backend}",
    ]
    packed = sum(one["packed_away"] for one in workers)
    if packed:
        said.append(f"{packed} linear layers packed for the CPU: their bytes are those of their shapes and type")
    if options.cpu_offload_gib:
        said.append(f"layers off-loaded to main memory: up to {options.cpu_offload_gib:g} GiB of each GPU's weights")
    return said


def _on(switch: bool | None) -> str:
    return "on" if switch else "off"
