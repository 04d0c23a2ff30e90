"""Whether a cell can fit into memory, said before anything is loaded."""

from bench import runners
from bench.metrics import footprint
from bench.models import catalogue
from bench.schema import Cell, Failure
from bench.sensors import environment

GB = 1e9


def problem(cell: Cell) -> Failure | None:
    """Why the cell cannot fit, from the model's shapes and this machine; None when it can, or nobody can tell yet."""
    config = catalogue.config(cell.model)
    shape = footprint.shape(config) if config is not None else None
    if shape is None:
        return None
    kind = runners.find(cell.runner.name)
    room = kind.room_bytes(kind.Options.model_validate(cell.runner.options), environment.detect())
    need = footprint.needed(shape, cell.precision, cell.workload)
    if room is None or need.total_bytes <= room:
        return None
    return Failure(
        reason=f"does not fit: needs about {need.total_bytes / GB:.1f} GB (weights {need.weights_bytes / GB:.1f}, "
        f"KV cache {need.kv_bytes / GB:.1f}, activations {need.activation_bytes / GB:.1f}) "
        f"and the device has {room / GB:.1f} GB; nothing was loaded",
        remedy="fewer bits a weight, a smaller batch, shorter lengths, or a device with more memory",
    )
