"""llama.h's functions, called with ctypes: those of the wheel `xllamacpp`, or of a library that the user built.

The wheel's one extension module exports llama.cpp's whole C API, so that no module of its own needs to be imported:
what is measured is llama.cpp and two foreign calls a step. A call lets go of Python's lock while it runs.
"""

import ctypes
import sys
from collections.abc import Sequence
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int, c_int32, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import UnsupportedError, extra
from bench.models.checksum import checksum
from bench.runners.llama_cpp.log import Log, OnLog
from bench.runners.llama_cpp.structs import KNOWN, LAYOUTS, Batch, ModelParams, PoolParams, context_layout

WHEEL = "xllamacpp"
INSTALL = f"{extra('llamacpp')}, or name your own build with the option library"
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
WHERE = (".", "lib", "bin", "build/bin", "build/lib", "lib64")
"""Folders of a build, or of an installation, that hold its libraries."""

OnTensor = CFUNCTYPE(c_bool, c_void_p, c_bool, c_void_p)
"""`ggml_backend_sched_eval_callback`: the tensor, whether it only asks, the user's pointer."""

_P = c_void_p
FUNCTIONS: dict[str, tuple[Any, Sequence[Any]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (OnLog, _P)),
    "llama_print_system_info": (c_char_p, ()),
    "llama_max_devices": (c_size_t, ()),
    "llama_model_default_params": (ModelParams, ()),
    "llama_model_load_from_file": (_P, (c_char_p, ModelParams)),
    "llama_model_free": (None, (_P,)),
    "llama_model_size": (c_uint64, (_P,)),
    "llama_model_n_params": (c_uint64, (_P,)),
    "llama_model_n_ctx_train": (c_int32, (_P,)),
    "llama_model_has_encoder": (c_bool, (_P,)),
    "llama_model_has_decoder": (c_bool, (_P,)),
    "llama_model_get_vocab": (_P, (_P,)),
    "llama_vocab_n_tokens": (c_int32, (_P,)),
    "llama_vocab_type": (c_int32, (_P,)),
    "llama_vocab_bos": (c_int32, (_P,)),
    "llama_vocab_eos": (c_int32, (_P,)),
    "llama_tokenize": (c_int32, (_P, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_token_to_piece": (c_int32, (_P, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_context_default_params": (max(LAYOUTS, key=ctypes.sizeof), ()),
    "llama_init_from_model": (_P, (_P, max(LAYOUTS, key=ctypes.sizeof))),
    "llama_free": (None, (_P,)),
    "llama_get_memory": (_P, (_P,)),
    "llama_memory_clear": (None, (_P, c_bool)),
    "llama_state_seq_get_size": (c_size_t, (_P, c_int32)),
    "llama_state_seq_get_data": (c_size_t, (_P, _P, c_size_t, c_int32)),
    "llama_state_seq_set_data": (c_size_t, (_P, _P, c_size_t, c_int32)),
    "llama_decode": (c_int32, (_P, Batch)),
    "llama_synchronize": (None, (_P,)),
    "llama_get_logits": (_P, (_P,)),
    "llama_attach_threadpool": (None, (_P, _P, _P)),
    "ggml_backend_load_all_from_path": (None, (c_char_p,)),
    "ggml_backend_dev_count": (c_size_t, ()),
    "ggml_backend_dev_get": (_P, (c_size_t,)),
    "ggml_backend_dev_name": (c_char_p, (_P,)),
    "ggml_backend_dev_description": (c_char_p, (_P,)),
    "ggml_backend_dev_type": (c_int, (_P,)),
    "ggml_backend_dev_memory": (None, (_P, POINTER(c_size_t), POINTER(c_size_t))),
    "ggml_backend_dev_backend_reg": (_P, (_P,)),
    "ggml_backend_reg_get_proc_address": (_P, (_P, c_char_p)),
    "ggml_threadpool_params_default": (PoolParams, (c_int,)),
}
DEVICE_CPU, DEVICE_GPU, DEVICE_IGPU = 0, 1, 2


@dataclass(frozen=True)
class Device:
    """One of a library's devices: `CPU`, `CUDA0`, `Metal`, …"""

    handle: int
    name: str
    description: str
    kind: int
    memory_bytes: int


class Library:
    """llama.h's functions by their names, of one library. Raises UnsupportedError where it is none that is known."""

    def __init__(self, path: Path, version: str, backends: Path | None = None, build_id: str | None = None) -> None:
        self.path = path
        self.version = version
        self._pools: dict[int, int | None] = {}
        self.build_id = build_id
        """A checksum that tells builds apart; None where a package's version does."""
        try:
            handle = _opened(path)
        except OSError as error:
            reason = " ".join(str(error).split())
            raise UnsupportedError(
                f"{path.name} cannot be loaded ({reason})", "name a library that this system can load"
            ) from None
        for name, (result, arguments) in FUNCTIONS.items():
            try:
                function = getattr(handle, name)
            except AttributeError:
                raise UnsupportedError(
                    f"{version} lacks {name}", f"use a build of llama.cpp that has it: {KNOWN}"
                ) from None
            function.restype, function.argtypes = result, arguments
        self.call: Any = handle
        """The library itself: `call.llama_decode(…)`."""
        self.version = _with_build(handle, version)
        given = handle.llama_model_default_params(), handle.llama_context_default_params()
        layout = context_layout(*given, self.version)
        handle.llama_context_default_params.restype = layout
        handle.llama_init_from_model.argtypes = (c_void_p, layout)
        if backends is not None:
            handle.ggml_backend_load_all_from_path(str(backends).encode())
        self.log = Log()
        handle.llama_log_set(self.log.callback, None)
        handle.llama_backend_init()

    def devices(self) -> list[Device]:
        """Every device that this library can compute on, in its order."""
        call, found = self.call, []
        for index in range(call.ggml_backend_dev_count()):
            one = call.ggml_backend_dev_get(index)
            free, total = c_size_t(), c_size_t()
            call.ggml_backend_dev_memory(one, ctypes.byref(free), ctypes.byref(total))
            name, about = (call.ggml_backend_dev_name(one), call.ggml_backend_dev_description(one))
            found.append(Device(one, name.decode(), about.decode(), call.ggml_backend_dev_type(one), total.value))
        return found

    def gpus(self) -> list[Device]:
        """Those that layers can be off-loaded to."""
        return [one for one in self.devices() if one.kind in (DEVICE_GPU, DEVICE_IGPU)]

    def features(self) -> str:
        """What its kernels were built for: `CPU: AVX2, AVX512, REPACK`; of several backends each."""
        text = (self.call.llama_print_system_info() or b"").decode(errors="replace")
        parts: list[str] = []
        for word in (one.strip() for one in text.split("|")):
            backend, _, rest = word.rpartition(" : ")
            name, _, value = rest.partition(" = ")
            if backend:
                parts.append(f"{backend}:")
            if name and value not in ("", "0"):
                parts.append(name if value == "1" else f"{name}={value}")
        return " ".join(parts)

    def pool(self, threads: int) -> int | None:
        """A pool of threads that waits between the steps, as llama.cpp's own tools make one; None where it cannot be.

        Without one a build without OpenMP starts its threads anew for each step. Contexts share it.
        """
        if threads not in self._pools:
            self._pools[threads] = self._new_pool(threads)
        return self._pools[threads]

    def _new_pool(self, threads: int) -> int | None:
        for device in self.devices():
            if device.kind != DEVICE_CPU:
                continue
            register = self.call.ggml_backend_dev_backend_reg(device.handle)
            found = self.call.ggml_backend_reg_get_proc_address(register, b"ggml_threadpool_new")
            if found:
                parameters = self.call.ggml_threadpool_params_default(threads)
                new = CFUNCTYPE(c_void_p, POINTER(PoolParams))(found)
                made: int | None = new(ctypes.byref(parameters))
                return made
        return None


def find(named: str | None) -> Library:
    """The library to use: the one that is named, a file or a folder, else the wheel's. Raises UnsupportedError."""
    if named is not None:
        return _own(file_of(named).resolve())
    found = find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise UnsupportedError("llama.cpp is not installed", INSTALL)
    folder = Path(next(iter(found.submodule_search_locations)))
    modules = sorted(folder.glob("xllamacpp*.so")) + sorted(folder.glob("xllamacpp*.pyd"))
    known = wheel_version() or "of an unknown version"
    if not modules:
        raise UnsupportedError(f"{WHEEL} {known} holds no extension module", INSTALL)
    return _wheel(modules[0], f"{WHEEL} {known}")


@cache
def _wheel(path: Path, version: str) -> Library:
    """Once a process: a library has one log, and it must not go away under it."""
    return Library(path, version)


@cache
def _own(path: Path) -> Library:
    """The same of a user's build, with the backends that lie beside it."""
    kinds = (f"*{kind}*{SUFFIX}*" for kind in ("llama", "ggml"))
    siblings = sorted({one.resolve() for kind in kinds for one in path.parent.glob(kind)})
    return Library(path, path.name, backends=path.parent, build_id=checksum(siblings or [path]))


def wheel_version() -> str | None:
    """The version of the wheel, None where it is not installed."""
    try:
        return version(WHEEL)
    except PackageNotFoundError:
        return None


def file_of(named: str) -> Path:
    """The file of a build of one's own, by its path or its folder's. Raises UnsupportedError where there is none."""
    path = Path(named).expanduser()
    if path.is_file():
        return path
    names = [f"libllama{SUFFIX}", f"llama{SUFFIX}"]
    found = [path / where / name for where in WHERE for name in names if (path / where / name).is_file()]
    if not found:
        raise UnsupportedError(
            f"library: {path} is no file and no folder with {names[0]}",
            "name the folder of a build of llama.cpp with shared libraries (BUILD_SHARED_LIBS=ON)",
        )
    return found[0]


def _opened(path: Path) -> ctypes.CDLL:
    """The library; where it does not find those it stands on, they are looked for beside it."""
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        beside = [path.parent / f"libggml{part}{SUFFIX}" for part in ("-base", "-cpu", "")]
        if not all(one.is_file() for one in beside[::2]):
            raise
        for one in beside:
            if one.is_file():
                ctypes.CDLL(str(one), mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(str(path))


def _with_build(handle: ctypes.CDLL, version: str) -> str:
    """The version with what the library says of itself."""
    said = []
    with_number = getattr(handle, "_Z18llama_build_numberv", None)
    if with_number is not None and with_number() > 0:
        said.append(f"build {with_number()}")
    for name in ("ggml_version", "ggml_commit"):
        function = getattr(handle, name, None)
        if function is not None:
            function.restype = c_char_p
            text = (function() or b"").decode(errors="replace")
            if text and text != "unknown":
                said.append(f"{name.replace('_', ' ')} {text}")
    return f"{version} ({', '.join(said)})" if said else version
