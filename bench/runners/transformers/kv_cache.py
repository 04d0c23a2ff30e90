"""Keys and values: how many bytes a token takes, and the caches that pack them into fewer bits.

The caches are transformers' own. A decode step unpacks a layer's whole cache before it attends to it, so that packing
saves memory between the layers and costs time at each step. Integers are packed when the newest tokens have filled
`residual_tokens`: all of the cache is then unpacked and packed again. fp8 appends token by token.
"""

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from transformers import Cache, QuantizedCache

from bench.errors import UnsupportedError
from bench.metrics.kv import kv_bytes_per_value
from bench.runners.transformers.levels import quanto
from bench.runners.transformers.stored import installed
from bench.schema import KvCache

BITS = {"int8": 8, "int4": 4, "int3": 3, "int2": 2}
BACKENDS = {"int8": ("hqq",), "int4": ("quanto", "hqq"), "int3": ("hqq",), "int2": ("quanto", "hqq")}
"""Libraries that know a format, the one that `auto` takes first."""
MODULES = {"hqq": ("hqq", "hqq"), "quanto": ("optimum.quanto", "optimum-quanto")}
"""Of each library, the module and the name to install it by."""
GROUPS_A_BYTE = {"int8": 1, "int4": 2, "int2": 4}
LOUD = ("hqq", "optimum.quanto", "torchao")


def backend(kept: KvCache) -> str:
    """The library that packs: hqq, quanto, or transformers itself ("fp8").

    Raises UnsupportedError where it is missing or does not know the format.
    """
    if kept.format == "fp8":
        if kept.backend != "auto":
            raise UnsupportedError(f"{kept.backend} packs no fp8 keys and values", "leave kv_cache's backend out")
        return "fp8"
    known = BACKENDS[kept.format]
    if kept.backend != "auto" and kept.backend not in known:
        raise UnsupportedError(
            f"{kept.backend} packs no {kept.format} keys and values", f"use backend: {' or '.join(known)}"
        )
    wanted = known if kept.backend == "auto" else (kept.backend,)
    for name in wanted:
        if installed(MODULES[name][0]):
            return name
    lacking = " or ".join(MODULES[name][1] for name in wanted)
    raise UnsupportedError(
        f"{kept.format} keys and values need {lacking}, which is not installed", f"pip install {lacking.split()[0]}"
    )


def kind(kept: KvCache) -> str:
    """What a cache is called in the facts of a model: `quantized int4 (quanto)`."""
    used = backend(kept)
    return f"quantized {kept.format}" + ("" if used == kept.format else f" ({used})")


def needs_no_grad(kept: KvCache) -> bool:
    """Whether the library fails under `torch.inference_mode`, so that `torch.no_grad` has to do."""
    return backend(kept) == "quanto"


def cache_for(config: Any, kept: KvCache) -> Cache:
    """A new, empty cache that packs keys and values: for one batch of rows of equal length.

    How to feed it so that packed keys and values are attended to: a layer returns the first update as it came, packed
    only for later ones. A window that is read in one forward is therefore scored on plain keys and values, and shows
    no loss. Feed it in chunks, each with `past_key_values=cache, use_cache=True`: chunk n then attends to all earlier
    tokens unpacked from their packed form, and to its own as they came. Chunks of `kept.residual_tokens` (128) keep
    nothing else plain; with shorter ones up to `residual_tokens - 1` of the newest stay plain, as they do in a decode.
    Run it under `torch.no_grad` where `needs_no_grad` says so, else under `torch.inference_mode`.

    A group is of values of one token, so that tokens and rows of a batch share no scale; for int3 with hqq, and where
    the groups of a token do not fill whole bytes (hqq then unpacks wrongly), it goes across tokens, heads and rows, as
    it does by transformers' default. Raises UnsupportedError with the reason for models and libraries that cannot.
    """
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    used = backend(kept)
    settings: dict[str, Any] = {"backend": used, "config": config}
    if used != "fp8":
        _check_groups(config, kept)
        axis = _hqq_axis(config, kept) if used == "hqq" else 0
        settings |= {"nbits": BITS[kept.format], "axis_key": axis, "axis_value": axis}
        settings |= {"q_group_size": kept.group_size, "residual_length": kept.residual_tokens}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return QuantizedCache(**settings)
    except (ValueError, ImportError, AttributeError) as error:
        raise UnsupportedError(_one_line(error), "leave kv_cache out for this model") from error


def check(network: Any, kept: KvCache) -> None:
    """Pack one token of one layer, so that what a library cannot do here is said while the model loads.

    quanto compiles its unpacking on first use, which so belongs to loading too.
    """
    if backend(kept) == "quanto":
        quanto.build(network.device, "backend: hqq")
    config = network.config.get_text_config()
    heads, size = _heads(config)
    layer = cache_for(network.config, kept).layers[0]
    values = torch.ones((1, heads or 1, 1, size or kept.group_size), dtype=network.dtype, device=network.device)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):  # the second update unpacks what the first one packed
                layer.update(values, values)
    except (RuntimeError, ValueError, TypeError, AssertionError, ImportError, OSError) as error:
        raise UnsupportedError(
            f"{kind(kept)} keys and values failed here: {_one_line(error)}", "use another kv_cache backend or format"
        ) from error


def bytes_per_token(network: Any, config: Any, kept: KvCache | None) -> int | None:
    """Bytes that one token's keys and values take in all layers; None where the config does not say its sizes.

    Packed ones: the bytes of a packed token with its share of scales and zero points, in the limit of a long sequence
    (`bench.metrics.kv`). The newest `residual_tokens - 1` tokens at most stay plain and take more, and a step's
    unpacked copy of one layer is in the peak memory, not here.
    """
    heads, size = _heads(config)
    layers = getattr(config, "num_hidden_layers", None)
    if not (heads and size and layers):
        return None
    plain = float(torch.empty((), dtype=network.dtype).element_size())
    each = plain if kept is None else kv_bytes_per_value(kept, plain)
    return int(2 * layers * heads * size * each)


def held_bytes(cache: Cache) -> int:
    """Bytes that a cache really holds: packed values, their scales and zero points, and what is still plain."""
    return sum(part.numel() * part.element_size() for layer in cache.layers for part in _parts(layer))


def _parts(layer: Any) -> Iterator[torch.Tensor]:
    for whole in (layer.keys, layer.values):
        if whole is not None:
            yield whole
    for packed in (getattr(layer, "_quantized_keys", None), getattr(layer, "_quantized_values", None)):
        if packed is not None:
            yield from _inner(packed)


def _inner(packed: Any) -> Iterator[torch.Tensor]:
    """The plain tensors inside of what a library packs into: a subclass of tensor, or a tensor and a mapping."""
    if isinstance(packed, tuple | list):
        for part in packed:
            yield from _inner(part)
    elif isinstance(packed, dict):
        yield from (part for part in packed.values() if isinstance(part, torch.Tensor))
    elif hasattr(packed, "__tensor_flatten__"):
        for name in packed.__tensor_flatten__()[0]:
            yield from _inner(getattr(packed, name))
    elif isinstance(packed, torch.Tensor):
        yield packed


def _heads(config: Any) -> tuple[int | None, int | None]:
    """Heads of keys and values, and values a head."""
    queries = getattr(config, "num_attention_heads", None)
    hidden = getattr(config, "hidden_size", None)
    size = getattr(config, "head_dim", None) or (hidden // queries if hidden and queries else None)
    return getattr(config, "num_key_value_heads", None) or queries, size


def _check_groups(config: Any, kept: KvCache) -> None:
    heads, size = _heads(config.get_text_config())
    if heads and size and heads * size % kept.group_size:
        raise UnsupportedError(
            f"groups of {kept.group_size} do not divide the {heads * size} keys of a token (heads × their size)",
            f"choose a group_size that divides {heads * size}",
        )


def _hqq_axis(config: Any, kept: KvCache) -> int:
    """Along which hqq groups: 1 is within a token. It packs several groups to a byte and unpacks no odd one."""
    heads, size = _heads(config.get_text_config())
    groups = (heads or 0) * (size or 0) // kept.group_size
    return 1 if groups and kept.format in GROUPS_A_BYTE and groups % GROUPS_A_BYTE[kept.format] == 0 else 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
