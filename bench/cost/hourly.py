"""What an hour of the machine that ran a cell costs, and on whose word."""

from dataclasses import dataclass
from itertools import groupby

from bench.cost import hardware_prices
from bench.errors import InputError
from bench.schema import Accelerator, CostChoices, Environment, ModelFacts


@dataclass(frozen=True)
class HourlyRate:
    """USD per hour of everything the cell used, with the sentence that says where it comes from."""

    usd_per_hour: float
    basis: str


def rate(choices: CostChoices, environment: Environment, facts: ModelFacts) -> HourlyRate:
    """The hourly price: stated, else from the list by provider, else the list's default for what was detected.

    Raises InputError when the list has no row for the machine, naming the remedy.
    """
    if choices.usd_per_hour is not None:
        return HourlyRate(choices.usd_per_hour, f"${choices.usd_per_hour:g} per hour as stated")
    places = [place for place in facts.placement if place.startswith("cuda")]
    if not places:
        others = sorted({place.partition(":")[0] for place in facts.placement} - {"cpu", "disk"})
        if others:
            raise InputError(f"the price list has no row for {', '.join(others)}; give --usd-per-hour")
        return _cpu(choices, environment)
    return _accelerators(choices, facts.accelerators or _by_index(places, environment))


def _cpu(choices: CostChoices, environment: Environment) -> HourlyRate:
    found = hardware_prices.for_cpu(choices.provider)
    if not found:
        raise InputError(f"the price list has no CPU instance of {choices.provider}; give --usd-per-hour")
    row = hardware_prices.middle(found)
    unit = row.usd_per_unit_hour() or 0.0
    count = environment.cpu_usable
    return HourlyRate(
        unit * count,
        f"${unit * count:.4f} per hour = {count} CPUs at the vCPU price of {row.described()} "
        f"(${row.usd_per_hour:g} for {row.vcpus} vCPUs); this machine's own price: --usd-per-hour",
    )


def _by_index(places: list[str], environment: Environment) -> tuple[Accelerator, ...]:
    """The machine's devices by number, for facts that do not name theirs."""
    indexes = [int(place.partition(":")[2] or 0) for place in places]
    if max(indexes) >= len(environment.accelerators):
        raise InputError("the record does not name the accelerator that was used; give --usd-per-hour")
    return tuple(environment.accelerators[index] for index in indexes)


def _accelerators(choices: CostChoices, devices: tuple[Accelerator, ...]) -> HourlyRate:
    """The sum over the devices used, each kind at the median of its offers."""
    total = 0.0
    said = []
    for (name, _), alike in groupby(sorted(devices, key=_part), key=_part):
        same = list(alike)
        found = hardware_prices.for_accelerator(same[0], choices.provider)
        if not found:
            whose = f" of {choices.provider}" if choices.provider else ""
            raise InputError(f"the price list has no row{whose} for {name}; give --usd-per-hour")
        row = hardware_prices.middle(found)
        unit = row.usd_per_unit_hour() or 0.0
        low, high = found[0].usd_per_unit_hour() or 0.0, found[-1].usd_per_unit_hour() or 0.0
        total += unit * len(same)
        said.append(
            f"{len(same)} × {name} at {row.described()}, "
            f"the median of {len(found)} offers from ${low:.2f} to ${high:.2f}"
        )
    return HourlyRate(total, f"${total:.2f} per hour = {' + '.join(said)}; another: --provider or --usd-per-hour")


def _part(device: Accelerator) -> tuple[str, int]:
    return device.name, device.memory_bytes or 0
