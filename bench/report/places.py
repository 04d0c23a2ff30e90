"""What was placed where, in one sentence, for a model that is on more than one device or in more than one process."""

from bench.schema import ModelFacts

GB, MB = 1e9, 1e6
OFF_LOADED = ("cpu", "disk")


def note(facts: ModelFacts) -> str | None:
    """Each device with the weights on it, and how they share the work; None where there is one device.

    >>> of = ModelFacts(parameters=1, weights_bytes=3, vocab_size=1, dtype="bfloat16", device="cuda:0")
    >>> note(of.model_copy(update={"placement": {"cuda:0": 8_100_000_000, "cuda:1": 7_900_000_000}}))
    'Weights: cuda:0 8.1 GB, cuda:1 7.9 GB; each holds whole layers, so that they take turns.'
    """
    if len(facts.placement) < 2 and not facts.parallel:
        return None
    held = sorted(facts.placement.items(), key=_order)
    said = f"Weights: {', '.join(f'{place} {_size(size)}' for place, size in held)}"
    ways = [f"{kind} parallel over {number}" for kind, number in facts.parallel.items()]
    if ways:
        unit = "processes on the CPU" if set(facts.placement) == {"cpu"} else "devices"
        return f"{said}; {' and '.join(ways)} {unit}."
    devices = [place for place in facts.placement if place not in OFF_LOADED]
    if len(devices) > 1:
        said += "; each holds whole layers, so that they take turns"
    if devices and len(devices) < len(facts.placement):
        said += "; what lies on cpu or disk is brought to a device for each use"
    elif not devices:
        said += "; what lies on disk is read for each use"
    return f"{said}."


def _order(item: tuple[str, int]) -> tuple[bool, int, str]:
    """Devices by number, then RAM and disk."""
    return item[0] in OFF_LOADED, len(item[0]), item[0]


def _size(size: int) -> str:
    return f"{size / GB:.1f} GB" if size >= GB else f"{size / MB:.3g} MB"
