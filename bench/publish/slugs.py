"""Names of folders: of a machine by its hardware, of a run by its own folder."""

import re
from collections.abc import Sequence

from bench.errors import InputError
from bench.schema import Environment

LONGEST = 60
_NOISE = re.compile(
    r"\((?:r|tm|c)\)|@.*$|\b(?:nvidia|amd|intel|apple|arm|corporation|corp|inc|cpu|gpu|processor|with|graphics|radeon"
    r"|instinct|hbm\d?e?|pcie|sxm\d?|\d+-core)\b",
    re.IGNORECASE,
)
"""What a vendor puts around the name that people use."""

_GOOD = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?")


def slug(text: str) -> str:
    """Lower-case words with hyphens between them; empty where nothing is left.

    >>> slug("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz"), slug("NVIDIA H100 80GB HBM3")
    ('xeon-platinum-8488c', 'h100-80gb')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", text).lower()).strip("-")
    return (plain or re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-"))[:LONGEST].strip("-")


def of_machine(environment: Environment) -> str:
    """Its accelerators, else its CPU, with their number.

    >>> from tests.samples import H100, environment
    >>> of_machine(environment([H100])), of_machine(environment(cpu_model="AMD EPYC", cpus=2))
    ('h100-80gb-x1', 'epyc-2cpu')
    """
    names = [device.name for device in environment.accelerators]
    if names:
        return "-".join(f"{slug(name)}-x{names.count(name)}" for name in dict.fromkeys(names))[:LONGEST]
    return f"{slug(environment.cpu_model) or 'machine'}-{environment.cpu_usable}cpu"


def checked(name: str) -> str:
    """A name that a person gave. Raises InputError where it is no name of a folder everywhere."""
    if not _GOOD.fullmatch(name) or ".." in name:
        raise InputError(
            f"--name: {name!r} is no name for a folder; take small letters, digits, hyphens and points, such as"
            f" {slug(name) or 'my-machine'}"
        )
    return name


def of_run(name: str, taken: Sequence[str]) -> str:
    """A run's folder as it is called, without what other systems or Git mind; a number where it stands already.

    >>> of_run("quick start", []), of_run("q", ["q"])
    ('quick-start', 'q-2')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:LONGEST] or "run"
    number, found = 2, plain
    while found in taken:
        number, found = number + 1, f"{plain}-{number}"
    return found
