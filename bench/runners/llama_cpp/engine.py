"""A model in llama.cpp, and a context for B rows of so many tokens. No clock.

One `llama_decode` a step takes one token of each row, and one `llama_get_logits` gives the logits of all rows, in
place: the largest of each row is found there, without a copy. The arrays of a step are made once, with the context.
"""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_float, c_int8, c_int32
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import DoesNotFitError, UnsupportedError
from bench.runners.llama_cpp import structs
from bench.runners.llama_cpp.library import Library
from bench.runners.llama_cpp.options import GPU_OPTIONS, Options
from bench.runners.llama_cpp.structs import Batch

PADDING = 256
"""llama.cpp rounds the positions of a row up to a multiple of this."""
KV_TYPES = {"f16": structs.TYPE_F16, "q8_0": structs.TYPE_Q8_0, "q4_0": structs.TYPE_Q4_0}
NO_MEMORY = ("failed to allocate", "unable to allocate", "out of memory", "cannot allocate", "bad_alloc", "not enough")

Ints = np.ndarray[Any, np.dtype[np.int32]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class EngineError(RuntimeError):
    """llama.cpp refused a call; its own words."""


def lacks_memory(text: str) -> bool:
    """Whether llama.cpp's words say that memory ran out."""
    return any(words in text.lower() for words in NO_MEMORY)


class Model:
    """Loaded weights. Raises UnsupportedError or DoesNotFitError with llama.cpp's own reason."""

    def __init__(self, library: Library, path: Path, options: Options) -> None:
        self.library, self.options = library, options
        log = library.log
        _check_devices(library, options)
        parameters = library.call.llama_model_default_params()
        parameters.use_extra_bufts = options.repack
        parameters.load_mode = _load_mode(options)
        if options.gpu_layers is not None:
            parameters.n_gpu_layers = options.gpu_layers
        if options.split_mode is not None:
            parameters.split_mode = structs.SPLIT_MODES[options.split_mode]
        if options.main_gpu is not None:
            parameters.main_gpu = options.main_gpu
        shares = None
        if options.tensor_split is not None:
            shares = (c_float * library.call.llama_max_devices())(*options.tensor_split)
            parameters.tensor_split = shares
        log.clear()
        self.handle = library.call.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.handle:
            raise _refused(f"llama.cpp cannot load {path.name}", log.reason(), library.version)
        call = library.call
        if call.llama_model_has_encoder(self.handle) or not call.llama_model_has_decoder(self.handle):
            self.close()
            raise UnsupportedError(f"{path.name} is no model that continues a text by itself", "use a decoder's file")
        self.buffers_mib = log.model_buffers()

    @property
    def vocabulary(self) -> int:
        """llama.cpp's vocab, a pointer."""
        found: int = self.library.call.llama_model_get_vocab(self.handle)
        return found

    @property
    def vocab_size(self) -> int:
        return int(self.library.call.llama_vocab_n_tokens(self.vocabulary))

    def close(self) -> None:
        """Free the weights; contexts of this model first."""
        self.library.call.llama_model_free(self.handle)
        self.handle = None


@dataclass
class _Arrays:
    """What a batch of `llama_decode` points to; kept alive beside it."""

    tokens: Ints
    positions: Ints
    rows: Ints
    """Row of each token."""
    wanted: np.ndarray[Any, np.dtype[np.int8]]
    """1 where logits are wanted."""
    batch: Batch = field(init=False)
    _counts: Ints = field(init=False)
    _pointers: np.ndarray[Any, np.dtype[np.uintp]] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = np.ones(len(self.tokens), np.int32)
        self._pointers = (self.rows.ctypes.data + 4 * np.arange(len(self.rows))).astype(np.uintp)
        self.batch = Batch(
            n_tokens=len(self.tokens),
            token=self.tokens.ctypes.data_as(POINTER(c_int32)),
            pos=self.positions.ctypes.data_as(POINTER(c_int32)),
            n_seq_id=self._counts.ctypes.data_as(POINTER(c_int32)),
            seq_id=self._pointers.ctypes.data_as(POINTER(POINTER(c_int32))),
            logits=self.wanted.ctypes.data_as(POINTER(c_int8)),
        )


class Context:
    """Keys, values and scratch memory for `rows` rows of at most `length` tokens.

    Raises UnsupportedError or DoesNotFitError with llama.cpp's own reason where it cannot be made.
    """

    def __init__(self, model: Model, rows: int, length: int, kv_type: str, threads: int, on_tensor: Any = None) -> None:
        options = model.options
        call = model.library.call
        if rows > options.batch:
            # llama.cpp itself ends the process at the first step.
            raise UnsupportedError(
                f"a step of {rows} rows has more tokens than are submitted at once (batch: {options.batch})",
                f"batch: {rows} or more in the runner's options",
            )
        self.rows = rows
        self.length = -(-length // PADDING) * PADDING
        self.log_text = ""
        self._log, self._call = model.library.log, call
        self._vocab = model.vocab_size
        parameters = call.llama_context_default_params()
        parameters.n_ctx = rows * self.length
        parameters.n_seq_max = rows
        parameters.n_batch = options.batch
        parameters.n_ubatch = options.ubatch
        parameters.n_threads = threads
        parameters.n_threads_batch = options.threads_batch or threads
        parameters.flash_attn_type = structs.FLASH_ATTENTION[options.flash_attention]
        parameters.type_k = parameters.type_v = KV_TYPES[kv_type]
        parameters.swa_full = 0  # as llama.cpp's own tools: the whole of a sliding window's cache is for editing it
        if options.offload_kqv is not None:
            parameters.offload_kqv = options.offload_kqv
        if on_tensor is not None:
            parameters.cb_eval = ctypes.cast(on_tensor, ctypes.c_void_p)
        self._log.clear()
        self.handle = call.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise _refused(
                f"llama.cpp makes no context of {rows} × {self.length} tokens",
                self._log.reason(),
                model.library.version,
            )
        self.log_text = self._log.text()
        self.most_tokens = min(options.batch, parameters.n_ctx)
        self._attach_pools(model, threads, parameters.n_threads_batch)
        self._memory = call.llama_get_memory(self.handle)
        self._step = self._arrays(np.zeros(rows, np.int32), np.zeros(rows, np.int32), np.arange(rows), 1)
        self._view: tuple[int, int, Floats] | None = None

    def _attach_pools(self, model: Model, threads: int, threads_batch: int) -> None:
        pool = model.library.pool(threads)
        other = model.library.pool(threads_batch) if threads_batch != threads else pool
        if pool and other:
            self._call.llama_attach_threadpool(self.handle, pool, other)

    def fits(self, rows: int, length: int) -> bool:
        """Whether a batch of this shape can be computed in it as in one made for it."""
        return rows == self.rows and length <= self.length

    def read(self, tokens: Ints, begin: int, *, answer: bool = True) -> Ints:
        """Read columns of B rows, shape (B, s), the first at position `begin`; the likeliest next token of each row.

        At most `batch` tokens go in at once. Without `answer` nothing is said of what follows, and zeros come back.
        """
        count, length = tokens.shape
        flat = np.ascontiguousarray(tokens, np.int32).reshape(-1)
        positions = np.tile(np.arange(begin, begin + length, dtype=np.int32), count)
        rows = np.repeat(np.arange(count, dtype=np.int32), length)
        last = np.zeros(flat.size, np.int8)
        last[length - 1 :: length] = answer
        found = np.zeros(count, np.int32)
        for start in range(0, flat.size, self.most_tokens):
            part = slice(start, start + self.most_tokens)
            self._decode(_Arrays(flat[part], positions[part], rows[part], last[part]))
            done = rows[part][last[part] == 1]
            if len(done):
                found[done] = self.logits(len(done)).argmax(axis=1)
        if not answer:
            self._call.llama_synchronize(self.handle)
        return found

    def step(self, tokens: Ints, position: int) -> Ints:
        """One more token of each row, at `position`; the likeliest that follows each."""
        self._step.tokens[:] = tokens
        self._step.positions[:] = position
        self._decode(self._step)
        likeliest: Ints = self.logits(self.rows).argmax(axis=1)
        return likeliest

    def every_logit(self, tokens: Ints) -> Floats:
        """Logits of every position of one row, shape (s, V), a copy; the context is empty before and after."""
        found = np.empty((len(tokens), self._vocab), np.float32)
        most = min(self.most_tokens, 512)
        for start in range(0, len(tokens), most):
            part = np.ascontiguousarray(tokens[start : start + most], np.int32)
            positions = np.arange(start, start + len(part), dtype=np.int32)
            self._decode(self._arrays(part, positions, np.zeros(len(part)), 1))
            found[start : start + len(part)] = self.logits(len(part))
        self.clear()
        return found

    def logits(self, count: int) -> Floats:
        """Of the last call's wanted tokens, in their order, shape (count, V): llama.cpp's own memory until the next."""
        address = self._call.llama_get_logits(self.handle)  # waits until they are there
        if self._view is None or self._view[:2] != (address, count):
            if not address:
                raise EngineError("llama.cpp gave no logits")
            pointer = ctypes.cast(address, POINTER(c_float))
            self._view = (address, count, np.ctypeslib.as_array(pointer, (count, self._vocab)))
        return self._view[2]

    def clear(self) -> None:
        """Forget what was read; memory stays."""
        self._call.llama_memory_clear(self._memory, False)

    def taken(self) -> list[Bytes]:
        """What was read of each row, as another context of as many rows takes it back."""
        found = []
        for row in range(self.rows):
            size = self._call.llama_state_seq_get_size(self.handle, row)
            state = np.empty(size, np.uint8)
            if not size or self._call.llama_state_seq_get_data(self.handle, state.ctypes.data, size, row) != size:
                raise EngineError(f"llama.cpp did not give row {row} of its cache away")
            found.append(state)
        return found

    def take_back(self, states: Sequence[Bytes]) -> None:
        for row, state in enumerate(states):
            if not self._call.llama_state_seq_set_data(self.handle, state.ctypes.data, state.size, row):
                raise EngineError(f"llama.cpp did not take row {row} of its cache back")

    def close(self) -> None:
        self._call.llama_free(self.handle)
        self.handle = None

    def _arrays(self, tokens: Ints, positions: Ints, rows: Any, wanted: int) -> _Arrays:
        return _Arrays(tokens, positions, np.asarray(rows, np.int32), np.full(len(tokens), wanted, np.int8))

    def _decode(self, arrays: _Arrays) -> None:
        code = self._call.llama_decode(self.handle, arrays.batch)
        if code != 0:
            raise EngineError(f"llama_decode gave {code}: {self._log.reason()}")


def _load_mode(options: Options) -> int:
    if options.mmap is None and not options.mlock:
        return structs.LOAD_AUTO
    mapped = options.mmap is not False
    if options.mlock:
        return structs.LOAD_MAPPED_LOCKED if mapped else structs.LOAD_LOCKED
    return structs.LOAD_MAPPED if mapped else structs.LOAD_PLAIN


def _check_devices(library: Library, options: Options) -> None:
    """Raises UnsupportedError for more GPUs than there are, and for options of GPUs where there is none."""
    gpus = library.gpus()
    given = [name for name in GPU_OPTIONS if getattr(options, name) is not None]
    if options.gpu_layers == 0:
        return
    if given and not gpus:
        raise UnsupportedError(
            f"{given[0]} is given, and {library.version} has no GPU here",
            "leave it out, or name a build for your GPU with the option library",
        )
    wanted = max((options.main_gpu or 0) + 1, len(options.tensor_split or ()))
    if given and wanted > len(gpus):
        there = ", ".join(one.name for one in gpus)
        raise UnsupportedError(
            f"{wanted} GPUs are asked for, and there are {len(gpus)} ({there})",
            "shorten tensor_split or lower main_gpu",
        )


def _refused(what: str, reason: str, version: str) -> UnsupportedError | DoesNotFitError:
    if lacks_memory(reason):
        return DoesNotFitError(f"{what}: {reason}", "use fewer rows or tokens, or a smaller quantisation")
    remedy = "use another file or other options"
    if "unknown model architecture" in reason:
        remedy = f"{version} does not know it; use a newer llama.cpp, or another engine"
    elif "within the file bounds" in reason or "corrupt" in reason or "failed to read" in reason:
        remedy = "the file was cut short; fetch it again"
    return UnsupportedError(f"{what}: {reason}", remedy)
