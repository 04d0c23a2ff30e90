"""How many accelerators a deployment takes, by what its runner and its options say: before anything is started."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from bench import runners
from bench.errors import InputError
from bench.schema import RunnerChoice

ALL = -1
"""Every one that the machine has."""


def asked(choice: RunnerChoice) -> int | None:
    """Accelerators that a deployment takes: 0 is the CPU, `ALL` every one, None what there is (one of them).

    A runner may say it itself (`runners.TakesDevices`); else it follows from usual names of options.
    """
    # A stored choice may be of another version, or of a package that is not installed here.
    with suppress(InputError, ValidationError):
        kind = runners.find(choice.name)
        if issubclass(kind, runners.TakesDevices):
            return kind.devices(kind.Options.model_validate(choice.options))
    options = choice.options
    if str(options.get("device", "")).upper() == "CPU" or options.get("gpu_layers") == 0:
        return 0
    if options.get("device_map") is not None:
        return ALL
    product = _count(options, "tensor_parallel") * _count(options, "pipeline_parallel")
    return product if product > 1 else None


def must_be_there(choice: RunnerChoice) -> bool:
    """Whether the options name an accelerator, so that a machine without any cannot do."""
    return str(choice.options.get("device", "")).startswith(("cuda", "GPU"))


def _count(options: Mapping[str, Any], name: str) -> int:
    value = options.get(name)
    return value if isinstance(value, int) and value > 0 else 1
