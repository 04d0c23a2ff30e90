"""The `machines:` of a config, checked beyond their types: names that are their own, parts that somebody knows."""

from collections.abc import Callable, Iterator, Sequence

from bench.cost import hardware_prices
from bench.cost.printable import unprintable
from bench.errors import nearest
from bench.schema import Machine

Say = Callable[[tuple[str | int, ...], str], None]
"""Takes where it stands inside the section, and what is wrong there."""

LONGEST_NAME = 40


def contradictions(machine: Machine) -> Iterator[tuple[tuple[str, ...], str]]:
    """What one entry says that cannot be: where in it, and why."""
    own = machine.name
    if len(own) > LONGEST_NAME or unprintable(own) or own != " ".join(own.split()):
        yield ("name",), f"must be a line of at most {LONGEST_NAME} characters without spaces around it"
    for name, amount in machine.resources.items():
        if amount <= 0:
            yield ("resources", name), f"must be more than 0 (got {amount:g}); leave out what a node need not have"
    if machine.accelerator is None and machine.devices is not None:
        yield ("devices",), "does nothing without accelerator; name its kind, such as H100, or leave the key out"
    if machine.accelerator is not None and not is_known(machine.accelerator):
        known = nearest(machine.accelerator, sorted(hardware_prices.part_names() - {hardware_prices.CPU}))
        yield ("accelerator",), f"{machine.accelerator!r} is no accelerator that is known; {known}"


def check_names(machines: Sequence[Machine], say: Say) -> None:
    """Rows are told apart by them."""
    seen: set[str] = set()
    for machine in machines:
        if machine.name in seen:
            say((), f"two machines are called {machine.name!r}; give each a name of its own")
        seen.add(machine.name)


def is_known(accelerator: str) -> bool:
    """Whether the price list has a part of this name; a size or a form beside it is no matter.

    >>> is_known("H100"), is_known("NVIDIA H100 80GB"), is_known("H1000"), is_known("CPU")
    (True, True, False, False)
    """
    known = {name.upper() for name in hardware_prices.part_names() if name != hardware_prices.CPU}
    own = hardware_prices.part_name(accelerator).upper()
    return own in known or own.split()[:1] in [name.split()[:1] for name in known]
