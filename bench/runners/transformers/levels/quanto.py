"""optimum-quanto: int8 and fp8 with a scale a row; int4 and int2 with a scale and a shift a group.

The library chooses the group: 128 weights, or the next smaller of 96, 64 and 32 that divides a layer's inputs. Its
4- and 2-bit tensors are unpacked by a C++ extension that it compiles when it is first needed: here while loading.
"""

import fcntl
import os
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.utils import CustomDtype

from bench.errors import UnsupportedError
from bench.runners.transformers.levels import DTYPES, Kernel, device_words

MODULE = "optimum.quanto"

TYPES = {"quanto-int8": "qint8", "quanto-int4": "qint4", "quanto-int2": "qint2", "quanto-fp8": "qfloat8_e4m3fn"}
PACKED = ("quanto-int4", "quanto-int2")


def check(precision: Any, place: torch.device, compiled: bool) -> None:
    if compiled and precision.name in PACKED:
        raise UnsupportedError(
            f"torch.compile cannot trace optimum-quanto's packed weights ({precision.name}): it mixes up their types",
            "compile: false, or quanto-int8 or torchao-int4wo",
        )
    if precision.name in PACKED or (place.type == "cuda" and precision.name == "quanto-fp8"):
        build(place)


def check_linear(precision: Any, name: str, outputs: int, inputs: int, place: torch.device) -> None:
    return None  # the library finds a group that fits, else scales by rows


def room_type(precision: Any) -> Any:
    return CustomDtype.INT4 if precision.name in PACKED else torch.int8


def in_inference_mode(precision: Any) -> bool:
    """Packed tensors are unpacked in a way that inference tensors refuse: "Cannot set version_counter"."""
    return precision.name not in PACKED


def quantised(linear: torch.nn.Linear, precision: Any, place: torch.device) -> torch.nn.Module:
    from optimum import quanto

    layer: Any = quanto.nn.QLinear.from_module(
        linear.to(device=place, dtype=DTYPES[precision.compute_dtype]), weights=quanto.qtypes[TYPES[precision.name]]
    )
    layer.freeze()
    made: torch.nn.Module = layer.eval()
    return made


def build(place: torch.device, instead: str = "quanto-int8") -> None:
    """Compile or load the extension that unpacks, before anything is timed. Raises UnsupportedError if it cannot;
    `instead`: what to use where it is not to be had.
    """
    from optimum.quanto.library.extensions import get_extension, is_extension_available

    name = "quanto_cuda" if place.type == "cuda" else "quanto_cpp"
    if place.type not in ("cpu", "cuda") or not is_extension_available(name):
        return
    extension = get_extension(name)
    try:
        with _alone(Path(extension.build_directory)), _ninja_on_path():
            assert extension.lib is not None
    except (OSError, RuntimeError, ImportError) as error:
        text = " ".join(str(error).split())[:200]
        raise UnsupportedError(
            f"optimum-quanto cannot compile what unpacks 4- and 2-bit values: {text}",
            f"install g++ and ninja (a GPU: nvcc too), or use {instead}",
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time, and none that waits for the dead.

    torch marks a build with a file `lock`, which stays when its process is killed, and then waits for it without end.
    A lock of the system's, which ends with its process, says that no other process of ours is building; what is then
    left of `lock` goes away, unless somebody's compiler works in that folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as ours:
        fcntl.flock(ours, fcntl.LOCK_EX)
        left = folder / "lock"
        if left.exists() and not _somebody_in(folder):
            left.unlink(missing_ok=True)
        yield


def _somebody_in(folder: Path) -> bool:
    return any(process.info["cwd"] == str(folder) for process in psutil.process_iter(["cwd"]))


@contextmanager
def _ninja_on_path() -> Iterator[None]:
    """torch calls `ninja` by name; pip puts it beside this Python, which need not be on the path."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([before, sysconfig.get_path("scripts")])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def kernel(precision: Any, place: torch.device, network: Any) -> Kernel:
    """As read in optimum-quanto 0.2.7 (`library/qbytes_mm.py`, `tensor/weights`); those on CPUs were profiled."""
    here, kind = f"{precision.name}, {device_words(place)}", precision.compute_dtype
    weights = [type(one).__name__ for one in network.parameters()] if network is not None else []
    with_kernel = sum(name.startswith(("TinyGemm", "Marlin", "AWQ")) for name in weights)
    packed = with_kernel + sum(name.startswith("WeightQ") for name in weights)
    if precision.name == "quanto-int8" and place.type == "cpu" and kind == "bf16":
        return Kernel(f"{here}: torch's kernel of int8 with bf16, _weight_int8pack_mm")
    unpacked = "unpacked and dequantised" if precision.name in PACKED else "dequantised"
    if not with_kernel:
        return Kernel(f"{here}: no kernel, {unpacked} to {kind} by several operators before each product", True)
    own = "torch's int4 kernel"
    if any(name.startswith(("Marlin", "AWQ")) for name in weights):
        own = f"the library's {'fp8 kernel (Marlin)' if precision.name == 'quanto-fp8' else 'int4 kernel (AWQ)'}"
    if with_kernel == packed:
        return Kernel(f"{here}: {own}, which unpacks as it multiplies")
    return Kernel(
        f"{here}: {own} for {with_kernel} of {packed} layers (groups of 128 weights), the others {unpacked} to {kind} "
        "before each product",
        True,
    )
