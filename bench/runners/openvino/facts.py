"""What OpenVINO really loaded, from its files and from what the device says of itself."""

from collections.abc import Mapping
from typing import Any

from bench.errors import UnsupportedError
from bench.metrics import footprint
from bench.models.checksum import checksum
from bench.runners.openvino.files import Source
from bench.runners.openvino.options import Options
from bench.schema import Accelerator, ModelFacts
from bench.sensors import environment

BLOCK_TOKENS = 32
"""Tokens of a block of the CPU's paged cache: keys kept as u8 share a scale and a zero point over one."""

KEPT_BYTES = {"f32": 4, "f16": 2, "bf16": 2}


def devices(core: Any, device: str) -> list[str]:
    """OpenVINO's names of the devices that may be used, the first in line first.

    Raises UnsupportedError for one that is not there, and for NPUs, which compute no batches of several rows.
    """
    there = list(core.available_devices)
    kind, _, listed = device.partition(":")
    group = kind in ("AUTO", "MULTI", "HETERO")
    wanted = listed.split(",") if listed else there if group else [device]
    if (not group and device.startswith("NPU")) or (listed and "NPU" in wanted):
        raise UnsupportedError(
            "OpenVINO's NPU pipeline computes one row at a time and streams no other", "use device: CPU or GPU"
        )
    missing = [one for one in wanted if not any(one == own or own.startswith(f"{one}.") for own in there)]
    if missing:
        raise UnsupportedError(
            f"there is no {missing[0]} that OpenVINO could use on this machine; it sees {', '.join(there) or 'none'}",
            "name one of those as device, or install the driver that OpenVINO asks for",
        )
    return wanted


def place_of(device: str) -> str:
    """A device as records name it.

    >>> place_of("CPU"), place_of("GPU"), place_of("GPU.1")
    ('cpu', 'gpu:0', 'gpu:1')
    """
    kind, _, number = device.partition(".")
    return "cpu" if kind == "CPU" else f"{kind.lower()}:{number or 0}"


def settings(core: Any, device: str, properties: Mapping[str, object]) -> dict[str, str]:
    """What the device makes of the properties: read from a model of one node that is compiled with them."""
    import numpy as np
    from openvino import Model, opset13  # type: ignore[import-untyped]

    one = opset13.parameter([1], np.float32)
    compiled = core.compile_model(Model([opset13.relu(one)], [one], "asked"), device, dict(properties))
    found = {}
    for name in ASKED:
        try:
            value = compiled.get_property(name)
        except RuntimeError:
            continue  # this device has no such setting
        found[name] = value.to_string() if hasattr(value, "to_string") else str(value)
    return found


ASKED = (
    "INFERENCE_NUM_THREADS",
    "INFERENCE_PRECISION_HINT",
    "KV_CACHE_PRECISION",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE",
    "EXECUTION_MODE_HINT",
)
NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "uint8_t": "u8", "dynamic": "dynamic"}


def short(kind: str) -> str:
    """A number format in OpenVINO's short words, whichever of its two spellings came.

    >>> short("<Type: 'bfloat16'>"), short("u8")
    ('bf16', 'u8')
    """
    plain = kind.removeprefix("<Type: '").removesuffix("'>")
    return NAMES.get(plain, plain)


def own_threads(found: Mapping[str, str], options: Options) -> int | None:
    """Threads to ask for where OpenVINO would take more than a container's quota allows; None to leave it alone."""
    said = found.get("INFERENCE_NUM_THREADS", "")
    if options.threads is not None or not said.isdigit():
        return None
    usable = environment.usable_cpus()
    return usable if int(said) > usable else None


def collect(source: Source, used: list[str], found: Mapping[str, str], options: Options, core: Any) -> ModelFacts:
    """Facts about a loaded pipeline; `found` is what `settings` found."""
    kept = kv_type(source, found, options)
    place = place_of(used[0])
    threads = found.get("INFERENCE_NUM_THREADS", "")
    notes = list(source.notes)
    if len(used) > 1:
        notes.append(f"OpenVINO chose among {', '.join(used)} and does not say what it placed where")
    if options.kv_cache is None and kept == "u8":
        notes.append("keys and values are kept as u8, OpenVINO's own choice; option kv_cache")
    return ModelFacts(
        parameters=source.parameters,
        weights_bytes=source.weights_bytes,
        kv_bytes_per_token=kv_bytes_per_token(source.config, kept, place),
        vocab_size=int(source.config["vocab_size"]),
        max_positions=source.config.get("max_position_embeddings"),
        random_weights=source.is_random,
        weights_id=source.weights_id,
        files={} if source.is_random else {path.name: checksum([path]) or "" for path in source.weights},
        config=footprint.sizes(dict(source.config)),
        dtype=source.dtype,
        device=place,
        placement={place: source.weights_bytes},
        accelerators=tuple(_accelerator(core, one) for one in used[:1] if one.startswith("GPU")),
        threads=int(threads) if threads.isdigit() and place == "cpu" else None,
        attention="paged",
        cache=kept,
        compiled=True,
        products=products(source, found),
        kernel=kernel(source, found),
        notes=tuple(notes),
    )


def kv_type(source: Source, found: Mapping[str, str], options: Options) -> str:
    """How keys and values are kept: as asked for, else as the model's file says, else the device's own way."""
    device = short(found.get("KV_CACHE_PRECISION", "dynamic"))
    if options.kv_cache is not None or options.execution_mode == "accuracy":
        return device
    return source.kv_type or device


def kv_bytes_per_token(config: Mapping[str, Any], kept: str, place: str) -> int | None:
    """Bytes of keys and values of one token in all layers, scales included; None where it is not known.

    Plain: layers · heads · 2 · size · bytes. As u8 on a CPU a head's value of a token has a scale and a zero point of
    four bytes each, and so has each channel of a head's keys for a block of 32 tokens: layers · heads ·
    (2 · size + 8 + 8 · size / 32). Tested against the cache that the pipeline says it holds.
    """
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    if not layers or not heads:
        return None
    shared = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or config.get("hidden_size", 0) // heads
    if kept in KEPT_BYTES:
        return int(layers * shared * 2 * size * KEPT_BYTES[kept])
    if kept == "u8" and place == "cpu":
        return int(layers * shared * (2 * size + 8 + 8 * size // BLOCK_TOKENS))
    return None


def products(source: Source, found: Mapping[str, str]) -> str | None:
    """The type whose peak counts: OpenVINO multiplies plain weights in the type that the device is best at."""
    said = kernel(source, found)
    kind = said.removeprefix("products in ").partition(",")[0]
    return "int8" if "activations quantised" in said else {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}.get(kind)


def kernel(source: Source, found: Mapping[str, str]) -> str:
    """How products are computed, as far as OpenVINO says."""
    products = short(found.get("INFERENCE_PRECISION_HINT", "dynamic"))
    if found.get("EXECUTION_MODE_HINT", "").endswith("ACCURACY"):
        products = "f32"
    group = found.get("DYNAMIC_QUANTIZATION_GROUP_SIZE", "0")
    packed = any(kind not in ("f32", "f16", "bf16", "F32", "F16", "BF16", "i64", "i32") for kind in source.types)
    quantised = f", activations quantised in groups of {group}" if packed and group not in ("", "0") else ""
    return f"products in {products}{quantised}"


def _accelerator(core: Any, device: str) -> Accelerator:
    try:
        size = int(core.get_property(device, "GPU_DEVICE_TOTAL_MEM_SIZE"))
    except (RuntimeError, TypeError, ValueError):
        size = 0
    return Accelerator(name=str(core.get_property(device, "FULL_DEVICE_NAME")), memory_bytes=size or None)
