"""Values into blocks and back: the only file here that imports numpy and gguf, for `make.py`, a process of its own.

Blocks are packed by ggml's own C function where the wheel `xllamacpp` is installed (the same bytes as llama-quantize's,
K-quants included), else by the numpy code of llama.cpp's `gguf` package, which packs no K-quants.
"""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from bench.gguf_files.layout import Tensor
from bench.gguf_files.types import BY_NAME

Floats = npt.NDArray[np.float32]

SLAB_VALUES = 16 * 1024 * 1024
"""At most so many values are unpacked at once: 64 MiB."""

POOL_VALUES = 4 * 1024 * 1024
ROW_VALUES = 4096
SEED = 20260101
SPREAD = 0.02


def converted(path: Path, tensor: Tensor, target: str) -> Iterator[bytes]:
    """A tensor's bytes at another type, slab by slab; as they are where the type is the same."""
    kind = BY_NAME[tensor.type]
    rows = tensor.values // tensor.shape[0]
    step = max(1, SLAB_VALUES // tensor.shape[0])
    stored: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, "r", tensor.offset, (tensor.bytes,))
    row_bytes = kind.bytes_of(tensor.shape[0])
    for first in range(0, rows, step):
        slab = stored[first * row_bytes : (first + step) * row_bytes]
        if tensor.type == target:
            yield slab.tobytes()
        else:
            yield quantised(unpacked(slab, tensor.type).reshape(-1, tensor.shape[0]), target)


def unpacked(stored: npt.NDArray[np.uint8], kind: str) -> Floats:
    """Blocks as values, a flat array."""
    found = gguf.quants.dequantize(np.ascontiguousarray(stored), gguf.GGMLQuantizationType[kind])
    return np.ascontiguousarray(found, dtype=np.float32).reshape(-1)


def quantised(values: Floats, target: str) -> bytes:
    """Rows of values as blocks of a type. Raises NotImplementedError for one that needs the wheel."""
    packs = None if target in ("F32", "F16", "BF16") else library()
    if packs is None:
        return bytes(gguf.quants.quantize(values, gguf.GGMLQuantizationType[target]).tobytes())
    kind = BY_NAME[target]
    rows, inputs = values.shape
    threads = max(1, min(rows, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1))
    share = -(-rows // threads)
    out = np.empty(rows * kind.bytes_of(inputs), np.uint8)

    def pack(first: int) -> None:
        part = values[first : first + share]
        to = out[first * kind.bytes_of(inputs) :]
        packs(kind.number, part.ctypes.data, to.ctypes.data, 0, len(part), inputs, None)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(pack, range(0, rows, share)))
    return out.tobytes()


@cache
def library() -> Any:
    """`ggml_quantize_chunk` of the wheel; None where it is not installed, or does not show the function."""
    found = find_spec("xllamacpp")
    folders = [] if found is None else [Path(one) for one in found.submodule_search_locations or ()]
    for file in (one for folder in folders for one in sorted(folder.glob("xllamacpp*.so"))):
        try:
            function = ctypes.CDLL(str(file)).ggml_quantize_chunk
        except (OSError, AttributeError):
            continue
        pointer, whole = ctypes.c_void_p, ctypes.c_int64
        function.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
        function.restype = ctypes.c_size_t
        return function
    return None


class Pool:
    """Random blocks of each type, drawn once and tiled: the work does not depend on the values.

    `most`: values of the largest tensor; no more are drawn.
    """

    def __init__(self, most: int) -> None:
        rows = min(POOL_VALUES, -(-most // ROW_VALUES) * ROW_VALUES) // ROW_VALUES
        draw = np.random.default_rng(SEED)
        self._values = draw.standard_normal((rows, ROW_VALUES), dtype=np.float32) * np.float32(SPREAD)
        self._packed: dict[str, bytes] = {}

    def tiled(self, values: int, kind: str) -> Iterator[memoryview]:
        """So many random values as blocks of a type."""
        if kind not in self._packed:
            self._packed[kind] = quantised(self._values, kind)
        tile = memoryview(self._packed[kind])
        left = BY_NAME[kind].bytes_of(values)
        while left:
            part = tile[: min(left, len(tile))]
            yield part
            left -= len(part)


def constant(values: int, of: float) -> bytes:
    """So many equal values, F32."""
    return np.full(values, of, np.float32).tobytes()


def rope_factors(settings: dict[str, Any], head: int) -> bytes:
    """Llama 3's division of each rotary frequency (`rope_type: llama3`), F32, one for each pair of a head's values."""
    base, factor = float(settings["rope_theta"]), float(settings["factor"])
    low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    length = float(settings["original_max_position_embeddings"])
    waves = 2 * np.pi * base ** (np.arange(0, head, 2, dtype=np.float64) / head)
    smooth = (length / waves - low) / (high - low)
    between = 1.0 / ((1 - smooth) / factor + smooth)
    found = np.where(waves < length / high, 1.0, np.where(waves > length / low, factor, between))
    return found.astype(np.float32).tobytes()
