"""Which devices a deployment asks for, and whether they are there. Imports no engine: the parent asks it too."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.schema import Accelerator, Environment

if TYPE_CHECKING:
    from bench.runners.transformers import Options

Lack = tuple[str, str]
"""Reason and remedy."""


def visible(environment: Environment) -> tuple[Accelerator, ...] | None:
    """The NVIDIA devices that torch will see, in its order; None where that cannot be said from outside torch."""
    version = environment.packages.get("torch", "")
    if "rocm" in version:
        return None
    if version.endswith("+cpu"):
        return ()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        # CUDA's own order is fastest first, the driver's is by bus: the same only where all are alike.
        alike = len({(gpu.name, gpu.memory_bytes) for gpu in environment.accelerators}) <= 1
        return environment.accelerators if alike else None
    indexes = [part.strip() for part in chosen.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) < len(environment.accelerators) for part in indexes):
        return None
    return tuple(environment.accelerators[int(part)] for part in indexes)


def count(environment: Environment) -> int | None:
    """How many GPUs torch will see; None where that cannot be said from outside torch.

    CUDA takes the names in CUDA_VISIBLE_DEVICES up to the first that it does not know, so that there are at most as
    many as the driver shows.
    """
    version = environment.packages.get("torch", "")
    if "rocm" in version:
        return None
    if version.endswith("+cpu"):
        return 0
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return len(environment.accelerators)
    found = visible(environment)
    return None if found is None else len(found)


def lacking(options: "Options", gpus: int, cpus: int) -> Lack | None:
    """Why so many visible GPUs and usable CPUs are too few for these options, and what would do; None if they do.

    >>> from bench.runners.transformers import Options
    >>> lacking(Options(device="cuda:3"), 2, 8)[0]
    'device cuda:3 is not there (2 CUDA devices are visible)'
    >>> lacking(Options(tensor_parallel=8), 0, 2)[0]
    'tensor_parallel: 8 needs 8 CPUs where there is no GPU, one a rank, and 2 are usable here'
    >>> lacking(Options(tensor_parallel=2), 0, 2) is None
    True
    """
    if options.tensor_parallel > 1:
        return _lacking_ranks(options, gpus, cpus)
    highest = max((index for index in _indexes(options)), default=-1)
    if highest < gpus:
        return None
    if options.device_map is None:
        return (
            f"device {options.device} is not there ({_seen(gpus)})",
            "use device: auto or cpu, or install the NVIDIA driver and a CUDA build of torch",
        )
    key = "max_memory" if highest in set(_limited(options)) else "device_map"
    return f"{key} names GPU {highest}, which is not there ({_seen(gpus)})", _fewer(gpus, "name cpu and disk")


def _lacking_ranks(options: "Options", gpus: int, cpus: int) -> Lack | None:
    ranks = options.tensor_parallel
    on_gpus = gpus > 0 if options.device == "auto" else options.device == "cuda"
    if on_gpus and ranks > gpus:
        return (
            f"tensor_parallel: {ranks} needs {ranks} GPUs ({_seen(gpus)})",
            f"use tensor_parallel: {gpus}, or fewer" if gpus > 1 else "leave tensor_parallel out",
        )
    if not on_gpus and gpus:
        return (
            "tensor parallel ranks on CPUs need a process that sees no GPU",
            "set CUDA_VISIBLE_DEVICES to nothing, or leave device at auto",
        )
    if not on_gpus and ranks * (options.threads or 1) > cpus:
        threads = options.threads or 1
        each = "one a rank" if threads == 1 else f"{threads} threads a rank"
        return (
            f"tensor_parallel: {ranks} needs {ranks * threads} CPUs where there is no GPU, {each}, and {cpus} "
            f"{'is' if cpus == 1 else 'are'} usable here",
            f"use tensor_parallel: {cpus // threads}, or fewer" if cpus // threads > 1 else "leave tensor_parallel out",
        )
    return None


def _indexes(options: "Options") -> Iterator[int]:
    """The GPUs that are named by their number."""
    if options.device.startswith("cuda"):
        yield int(options.device.partition(":")[2] or 0)
    if isinstance(options.device_map, dict):
        for place in options.device_map.values():
            if isinstance(place, int):
                yield place
            elif place.isdigit() or place.startswith("cuda"):
                yield int(place.removeprefix("cuda").removeprefix(":") or 0)
    yield from _limited(options)


def _limited(options: "Options") -> Iterator[int]:
    return (int(place) for place in options.max_memory or {} if place.isdigit())


def _seen(gpus: int) -> str:
    return f"{gpus or 'no'} CUDA device{' is' if gpus == 1 else 's are'} visible"


def _fewer(gpus: int, without: str) -> str:
    return f"name 0 to {gpus - 1}" if gpus > 1 else "name 0 alone" if gpus else without
