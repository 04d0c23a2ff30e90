"""Whether a cell can run at all, said from what is installed and from the model's shapes before anything is loaded."""

from dataclasses import dataclass

from bench import runners
from bench.execute import interpreters
from bench.metrics import footprint
from bench.models import catalogue
from bench.schema import Cell, Failure, Status

GB = 1e9


@dataclass(frozen=True)
class Problem:
    """The status and reason of a cell that need not be tried."""

    status: Status
    failure: Failure
    of_runner: bool = False
    """Whether no other cell of its runner can run either."""


def problem(cell: Cell) -> Problem | None:
    """Why the cell cannot run, from the engine's environment, the model's config and this machine; None when it can, or
    nobody can tell yet.
    """
    lacking = interpreters.problem(cell.runner)
    if lacking is not None:
        return Problem("unsupported", lacking, of_runner=True)
    kind = runners.find(cell.runner.name)
    options = kind.Options.model_validate(cell.runner.options)
    if issubclass(kind, runners.KnowsDevices):
        lack = kind.lacking(options, interpreters.environment_of(cell.runner))
        if lack is not None:
            return Problem("unsupported", Failure(reason=f"{lack[0]}; nothing was loaded", remedy=lack[1]))
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
    room = kind.room_bytes(options, interpreters.environment_of(cell.runner))
    at_once = kind.tokens_at_once(options) if issubclass(kind, runners.DividesPrompts) else None
    need = footprint.needed(shape, cell.precision, cell.workload, at_once)
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
