"""llama.h's structures, as the builds lay them out that this runner knows, and the check that a library is one of them.

llama.h promises no stable layout: fields are added in the middle from time to time. A library fills these structures
with documented defaults before anything else is done with them; where those do not lie where they should, its layout is
another, and it is refused instead of being given wrong numbers. Each structure is longer than llama.cpp's own, so that
a library with fields added at the end still writes into memory that is ours.
"""

import ctypes
from ctypes import POINTER, c_bool, c_float, c_int8, c_int32, c_size_t, c_uint8, c_uint32, c_void_p
from typing import Any

from bench.errors import UnsupportedError

KNOWN = "11434 to 11549"
"""Build numbers of llama.cpp with which this layout was tried."""

TYPE_F16, TYPE_Q4_0, TYPE_Q8_0 = 1, 2, 8
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
LOAD_AUTO, LOAD_PLAIN, LOAD_MAPPED, LOAD_LOCKED, LOAD_MAPPED_LOCKED = -1, 0, 1, 2, 3
MOST_THREADS = 512

Fields = tuple[tuple[str, Any], ...]


class ModelParams(ctypes.Structure):
    """`llama_model_params`."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", POINTER(c_float)),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_uint8),
        ("check_tensors", c_uint8),
        ("use_extra_bufts", c_uint8),
        ("no_host", c_uint8),
        ("no_alloc", c_uint8),
        ("load_mtp", c_uint8),
        ("room", c_uint8 * 256),
    )


class ContextParams(ctypes.Structure):
    """`llama_context_params`, in one of the layouts that follow."""


_BEFORE: Fields = (
    ("n_ctx", c_uint32),
    ("n_batch", c_uint32),
    ("n_ubatch", c_uint32),
    ("n_seq_max", c_uint32),
    ("n_rs_seq", c_uint32),
    ("n_outputs_max", c_uint32),
    ("n_outputs_max_per_seq", c_uint32),
    ("n_threads", c_int32),
    ("n_threads_batch", c_int32),
    ("ctx_type", c_int32),
    ("rope_scaling_type", c_int32),
    ("pooling_type", c_int32),
    ("attention_type", c_int32),
    ("flash_attn_type", c_int32),
    ("rope_freq_base", c_float),
    ("rope_freq_scale", c_float),
    ("yarn_ext_factor", c_float),
    ("yarn_attn_factor", c_float),
    ("yarn_beta_fast", c_float),
    ("yarn_beta_slow", c_float),
    ("yarn_orig_ctx", c_uint32),
    ("defrag_thold", c_float),
    ("cb_eval", c_void_p),
    ("cb_eval_user_data", c_void_p),
    ("type_k", c_int32),
    ("type_v", c_int32),
    ("abort_callback", c_void_p),
    ("abort_callback_data", c_void_p),
)
_AFTER: Fields = (
    ("embeddings", c_uint8),
    ("offload_kqv", c_uint8),
    ("no_perf", c_uint8),
    ("op_offload", c_uint8),
    ("swa_full", c_uint8),
    ("kv_unified", c_uint8),
    ("samplers", c_void_p),
    ("n_samplers", c_size_t),
    ("ctx_other", c_void_p),
    ("room", c_uint8 * 256),
)


class ContextParams11434(ContextParams):
    _fields_ = (*_BEFORE, *_AFTER)


class ContextParams11549(ContextParams):
    """With one more pointer among the callbacks, which stays empty here."""

    _fields_ = (*_BEFORE, ("added", c_void_p), *_AFTER)


LAYOUTS: tuple[type[ContextParams], ...] = (ContextParams11434, ContextParams11549)


class Batch(ctypes.Structure):
    """`llama_batch`: unchanged for years, and passed by value as it is."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


class PoolParams(ctypes.Structure):
    """`ggml_threadpool_params`."""

    _fields_ = (
        ("cpumask", c_bool * MOST_THREADS),
        ("n_threads", c_int32),
        ("prio", c_int32),
        ("poll", c_uint32),
        ("strict_cpu", c_bool),
        ("paused", c_bool),
        ("room", c_uint8 * 64),
    )


MODEL_DEFAULTS: dict[str, Any] = {
    "n_gpu_layers": -1,
    "split_mode": SPLIT_MODES["layer"],
    "load_mode": LOAD_AUTO,
    "lazy_mode": 1,
    "main_gpu": 0,
    "vocab_only": 0,
    "check_tensors": 0,
    "use_extra_bufts": 1,
    "no_host": 0,
    "no_alloc": 0,
}
CONTEXT_DEFAULTS: dict[str, Any] = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_rs_seq": 0,
    "n_outputs_max": 0,
    "rope_scaling_type": -1,
    "pooling_type": -1,
    "attention_type": -1,
    "flash_attn_type": FLASH_ATTENTION["auto"],
    "rope_freq_base": 0.0,
    "rope_freq_scale": 0.0,
    "yarn_ext_factor": -1.0,
    "yarn_orig_ctx": 0,
    "type_k": TYPE_F16,
    "type_v": TYPE_F16,
    "embeddings": 0,
    "offload_kqv": 1,
    "op_offload": 1,
    "kv_unified": 0,
}


def context_layout(model: ModelParams, context: ContextParams, version: str) -> type[ContextParams]:
    """The layout that fits a library's own defaults, given in any. Raises UnsupportedError where none does."""
    wrong = _differing(model, MODEL_DEFAULTS)
    for layout in () if wrong else LAYOUTS:
        found = _differing(layout.from_buffer_copy(bytes(context)[: ctypes.sizeof(layout)]), CONTEXT_DEFAULTS)
        if not found:
            return layout
        wrong = wrong or found
    raise UnsupportedError(
        f"{version} lays out its parameters in another way than llama.cpp's builds {KNOWN} ({', '.join(wrong[:3])})",
        "use such a build, or the wheel that the extra llamacpp pins, or this llama.cpp through its server",
    )


def _differing(given: ctypes.Structure, known: dict[str, Any]) -> list[str]:
    return [name for name, value in known.items() if getattr(given, name) != value]
