"""Which cluster an address means."""

from bench.errors import InputError, nearest
from bench.execute.cluster import Cluster, on_ray, on_slurm


def check(on: str) -> str:
    """The address, whole. Raises InputError for one that is none."""
    kind = on.partition(":")[0]
    if kind == "ray":
        return on_ray.check(on)
    if kind == "slurm":
        return on_slurm.check(on)
    known = nearest(kind, ("ray", "slurm"))
    raise InputError(f"--on {on}: not a cluster; {known}, as in ray://HEAD:10001 or slurm:PARTITION")


def warning(on: str) -> str | None:
    """What to say of an address before anything is sent there."""
    return on_ray.warning(on_ray.check(on)) if on.startswith("ray") else None


def connect(on: str) -> Cluster:
    """Raises InputError, in one line and soon, for a cluster that cannot be reached or used."""
    return on_ray.connect(on_ray.check(on)) if on.startswith("ray") else on_slurm.connect(on_slurm.check(on))
