"""Whether a cell can run at all, said from the model's shapes before anything is loaded."""

from dataclasses import dataclass

from bench import runners
from bench.metrics import footprint
from bench.models import catalogue
from bench.schema import Cell, Failure, Status
from bench.sensors import environment

GB = 1e9


@dataclass(frozen=True)
class Problem:
    """The status and reason of a cell that need not be tried."""

    status: Status
    failure: Failure


def problem(cell: Cell) -> Problem | None:
    """Why the cell cannot run, from the model's config and this machine; None when it can, or nobody can tell yet."""
    config = catalogue.config(cell.model)
    if config is None:
        return None
    length = cell.workload.input_tokens + cell.workload.output_tokens
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and length > positions:
        return Problem(
            "unsupported",
            Failure(
                reason=f"{length} tokens a row exceed the model's {positions} positions; nothing was loaded",
                remedy="shorten input or output tokens",
            ),
        )
    shape = footprint.shape(config)
    if shape is None:
        return None
    kind = runners.find(cell.runner.name)
    options = kind.Options.model_validate(cell.runner.options)
    room = kind.room_bytes(options, environment.detect(tuple(kind.PACKAGES)))
    need = footprint.needed(shape, cell.precision, cell.workload)
    if room is None or need.total_bytes <= room:
        return None
    return Problem(
        "oom",
        Failure(
            reason=f"does not fit: needs about {need.total_bytes / GB:.1f} GB (weights {need.weights_bytes / GB:.1f}, "
            f"KV cache {need.kv_bytes / GB:.1f}, activations {need.activation_bytes / GB:.1f}) "
            f"and the device has {room / GB:.1f} GB; nothing was loaded",
            remedy="fewer bits a weight, a smaller batch, shorter lengths, or a device with more memory",
        ),
    )
