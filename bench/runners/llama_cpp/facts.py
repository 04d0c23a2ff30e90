"""What llama.cpp really loaded, from its file, its log and its own functions."""

import re

from bench.gguf_files import header as headers
from bench.gguf_files.header import Header
from bench.models.checksum import checksum
from bench.runners.llama_cpp.engine import Context, Model
from bench.runners.llama_cpp.library import Device
from bench.schema import Accelerator, ModelFacts

KV_VALUE_BITS = {"f16": 16.0, "q8_0": 8.5, "q4_0": 4.5}
"""q8_0 and q4_0 are blocks of 32 values and a 16-bit scale."""
_FLASH = re.compile(r"Flash Attention[^\n]*(enabled|disabled)")
_GPU = re.compile(r"^(?:CUDA|ROCm|MUSA)(\d+)$")


def collect(
    model: Model,
    context: Context,
    header: Header,
    *,
    kv_type: str,
    threads: int,
    weights_id: str | None,
    is_random: bool,
    notes: tuple[str, ...] = (),
) -> ModelFacts:
    """Facts about loaded weights; `context` is any that was made of them."""
    call, library, options = model.library.call, model.library, model.options
    weights_bytes = int(call.llama_model_size(model.handle))
    placement = placed(model.buffers_mib, weights_bytes)
    said = [library.version]
    if library.build_id is not None:
        said.append(f"library {library.build_id}")
    if options.threads_batch not in (None, threads):
        said.append(f"{options.threads_batch} threads for prompts")
    used = [one for one in library.gpus() if place_of(one.name) in placement]
    return ModelFacts(
        parameters=int(call.llama_model_n_params(model.handle)),
        weights_bytes=weights_bytes,
        kv_bytes_per_token=kv_bytes_per_token(header, kv_type),
        vocab_size=model.vocab_size,
        max_positions=int(call.llama_model_n_ctx_train(model.handle)) or None,
        random_weights=is_random,
        weights_id=weights_id,
        files={} if is_random else {path.name: checksum([path]) or "" for path in header.files},
        config=headers.config(header),
        dtype=dtype(header),
        device=next(iter(placement)),
        placement=placement,
        parallel={"tensor": len(used)} if len(used) > 1 and options.split_mode == "row" else {},
        accelerators=tuple(_accelerator(one) for one in used),
        threads=threads,
        attention=attention(context, options.flash_attention),
        cache=kv_type,
        kernel=library.features(),
        notes=(*said, *notes),
    )


def attention(context: Context, asked: str) -> str:
    """`flash` or `plain`, as llama.cpp said when it resolved `auto`."""
    said = _FLASH.findall(context.log_text)
    is_flash = said[-1] == "enabled" if said else asked != "off"
    return "flash" if is_flash else "plain"


def dtype(header: Header) -> str:
    """The name of a plain type where all matrices have it, else the mixture's own name."""
    plain = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    kinds = {one.type for one in header.tensors if one.is_layer_matrix}
    if len(kinds) == 1 and (only := next(iter(kinds))) in plain:
        return plain[only]
    return (header.precision or "gguf").upper()


def kv_bytes_per_token(header: Header, kv_type: str) -> int | None:
    """Bytes of keys and values of one token in all layers; None where layers differ or keep something else.

    layers · key-value heads · (key length + value length) · bits / 8
    """
    layers, heads = header.layers, header.number("attention.head_count")
    kept, width = header.number("attention.head_count_kv"), header.number("embedding_length")
    if header.own("attention.head_count_kv") is None:
        kept = heads
    if layers is None or not heads or kept is None or width is None:
        return None
    if any(header.own(key) is not None for key in ("attention.key_length_mla", "ssm.state_size", "wkv.head_size")):
        return None
    key = header.number("attention.key_length") or width // heads
    value = header.number("attention.value_length") or width // heads
    return round(layers * kept * (key + value) * KV_VALUE_BITS[kv_type] / 8)


def place_of(buffer: str) -> str:
    """A device's name as torch has it, of a buffer's or device's in llama.cpp.

    >>> place_of("CUDA1"), place_of("CPU_Mapped"), place_of("CUDA_Host"), place_of("Vulkan0"), place_of("MTL0")
    ('cuda:1', 'cpu', 'cpu', 'vulkan:0', 'mps')
    """
    if buffer.startswith("CPU") or buffer.endswith("_Host") or buffer in ("AMX", "BLAS"):
        return "cpu"
    if buffer.startswith(("Metal", "MTL")):
        return "mps"
    found = _GPU.match(buffer.removesuffix("_Split"))
    if found:
        return f"cuda:{found[1]}"
    name, number = re.fullmatch(r"(.*?)(\d*)", buffer, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{name.lower()}:{number or 0}"


def placed(buffers_mib: dict[str, float], weights_bytes: int) -> dict[str, int]:
    """Device → bytes of the weights, which sum up to `weights_bytes`.

    llama.cpp tells the size of each buffer to a hundredth of a MiB, with padding, and of a table that two devices hold
    twice: the weights are shared out in proportion to its buffers.

    >>> placed({"CPU_Mapped": 10.0, "CUDA0": 30.0}, 40), placed({}, 7)
    ({'cuda:0': 30, 'cpu': 10}, {'cpu': 7})
    """
    sizes: dict[str, float] = {}
    for name, size in buffers_mib.items():
        sizes[place_of(name)] = sizes.get(place_of(name), 0.0) + size
    total = sum(sizes.values())
    if not total:
        return {"cpu": weights_bytes}
    order = sorted(sizes, key=lambda place: (-sizes[place], place))
    found = {place: int(weights_bytes * sizes[place] / total) for place in order}
    found[order[0]] += weights_bytes - sum(found.values())
    return {place: size for place, size in found.items() if size}


def _accelerator(device: Device) -> Accelerator:
    return Accelerator(name=device.description, memory_bytes=device.memory_bytes or None)
