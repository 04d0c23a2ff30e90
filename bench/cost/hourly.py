"""What an hour of the machine that ran a cell costs, and on whose word."""

from dataclasses import dataclass

from bench.cost import hardware_prices
from bench.errors import InputError
from bench.schema import CostChoices, Environment, ModelFacts


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
    devices = [place for place in facts.placement if place.startswith("cuda")]
    if not devices:
        return _cpu(choices, environment)
    return _accelerators(choices, environment, len(devices))


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


def _accelerators(choices: CostChoices, environment: Environment, count: int) -> HourlyRate:
    if not environment.accelerators:
        raise InputError("the record names no accelerator; give --usd-per-hour")
    device = environment.accelerators[0]
    found = hardware_prices.for_accelerator(device, choices.provider)
    if not found:
        whose = f" of {choices.provider}" if choices.provider else ""
        raise InputError(f"the price list has no row{whose} for {device.name}; give --usd-per-hour")
    row = hardware_prices.middle(found)
    unit = row.usd_per_unit_hour() or 0.0
    low, high = found[0].usd_per_unit_hour() or 0.0, found[-1].usd_per_unit_hour() or 0.0
    return HourlyRate(
        unit * count,
        f"${unit * count:.2f} per hour = {count} × {device.name} at {row.described()}, the median of "
        f"{len(found)} offers from ${low:.2f} to ${high:.2f}; another: --provider or --usd-per-hour",
    )
