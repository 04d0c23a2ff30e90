"""Hardware that a row is carried to: a part of the datasheet, or a machine whose ceilings were measured."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from bench.cost import hourly
from bench.cost.hourly import HourlyRate
from bench.errors import InputError, nearest
from bench.hardware import datasheet, stored
from bench.hardware.datasheet import Spec
from bench.schema import Accelerator, Ceiling, Ceilings, CostChoices, ModelFacts

CPU = "CPU"
LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR = 1e-9, 1e9
"""What a device may cost in an hour: what lies beyond is a slip of the finger, and overflows."""


@dataclass(frozen=True)
class Target:
    """One kind of device. `ceiling` and `memory_bytes` are those of a single one; `most` is how many there can be.

    A `whole` target is the very machine that a row was measured on: nothing about it is chosen or checked, and its
    `rate` is that row's.
    `usd_per_hour` is the price of a single device, where it was stated with the target.
    """

    name: str
    vendor: str
    ceiling: Ceiling
    memory_bytes: float | None
    basis: str
    spec: Spec | None = None
    machine: Ceilings | None = None
    most: int | None = None
    usd_per_hour: float | None = None
    whole: bool = False
    rate: HourlyRate | None = None


def parse(text: str, warn: Callable[[str], None]) -> list[Target]:
    """`PART`, a ceilings file, or a folder that holds one; with `=USD` after it, the price of one device for an hour.

    A file may hold several machines, and so several targets. Raises InputError for a part that is not known, a name
    that several parts have, and a file that holds no ceilings.
    """
    name, equals, price = text.rpartition("=")
    usd_per_hour = None
    if equals and not Path(text).exists():
        usd_per_hour = _price(price, text)
    else:
        name = text
    if Path(name).exists():
        found = _measured(Path(name), warn)
    else:
        if name.endswith(".json"):
            raise InputError(f"--onto: no such file: {name}; a run folder or a ceilings.json, or the name of a part")
        found = [of_part(name)]
    return [replace(one, usd_per_hour=usd_per_hour) for one in found]


def of_part(name: str) -> Target:
    """A part of the datasheet by its name, or by words of it that no other part has.

    >>> of_part("L4").name, of_part("h100 sxm").name
    ('NVIDIA L4', 'NVIDIA H100 SXM 80GB')
    """
    spec = _spec(name)
    return Target(
        name=spec.part,
        vendor=spec.vendor,
        ceiling=spec.ceiling(Accelerator(name=spec.part)),
        memory_bytes=None if spec.memory_gb is None else spec.memory_gb * 1e9,
        basis=f"datasheet of {spec.part} ({spec.source})",
        spec=spec,
    )


def vendor(device: Accelerator) -> str:
    """Who makes a device: as the datasheet says, else the first word of its name."""
    spec = datasheet.find(device)
    return device.name.split(" ")[0] if spec is None else spec.vendor


def rate(target: Target, devices: int, choices: CostChoices, facts: ModelFacts) -> HourlyRate:
    """The hourly price of so many devices: stated (`choices` for all together, the target for one), else of the list.

    Raises InputError where the list has none, naming the remedy, and for a price that nobody asks.
    """
    if target.rate is not None:
        return target.rate
    if target.usd_per_hour is not None:
        total = target.usd_per_hour * devices
        return HourlyRate(total, f"${total:g} per hour = {devices} × ${target.usd_per_hour:g} as stated")
    if choices.usd_per_hour is not None:
        check_price("--usd-per-hour", choices.usd_per_hour)
        return HourlyRate(choices.usd_per_hour, f"${choices.usd_per_hour:g} per hour as stated")
    if target.machine is None:
        try:
            return hourly.for_part(target.name, devices, choices)
        except InputError as error:
            why = error.lines[0].partition(";")[0]
            raise InputError(f"{why}; state one: --onto '{target.name}=USD'") from None
    return hourly.rate(choices, target.machine.environment, _used(target, devices, facts))


def check_price(option: str, usd_per_hour: float) -> None:
    """Raises InputError naming the option for an hourly price that is too small or too large to be meant."""
    if not LEAST_USD_PER_HOUR < usd_per_hour < MOST_USD_PER_HOUR:
        least, most = LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR
        raise InputError(f"{option}: ${usd_per_hour:g} is no price of an hour (above ${least:g}, below ${most:g})")


def _used(target: Target, devices: int, facts: ModelFacts) -> ModelFacts:
    """What an engine would say of its devices on a measured machine: what the price list goes by."""
    if target.vendor == CPU:
        return facts.model_copy(update={"placement": {"cpu": 1}, "accelerators": (), "device": "cpu"})
    memory = None if target.memory_bytes is None else round(target.memory_bytes)
    one = Accelerator(name=target.name, memory_bytes=memory)
    return facts.model_copy(update={"placement": {"cuda:0": 1}, "accelerators": (one,) * devices, "device": "cuda:0"})


def _spec(text: str) -> Spec:
    specs = datasheet.specs()
    squeezed, words = _squeezed(text), _words(text)
    for spec in specs:
        if squeezed in (_squeezed(spec.part), _squeezed(_short(spec))):
            return spec
    found = [spec for spec in specs if words and words <= _words(spec.part)]
    if not found:
        named = datasheet.find(Accelerator(name=text))  # as a driver writes it
        found = [] if named is None else [named]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"--onto: {text!r} is several parts: {', '.join(one.part for one in found)}; name one")
    codes = {word for spec in specs for word in _short(spec).split(" ")[:1] if re.search(r"\d", word)}
    known = codes | {_short(spec) for spec in specs}
    raise InputError(f"--onto: unknown part {text!r}; {nearest(text, known)}; or a ceilings.json, or a run folder")


def _short(spec: Spec) -> str:
    """Without its vendor."""
    return spec.part.partition(" ")[2]


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", re.sub(r"(\d+)\s+gb\b", r"\1gb", text.lower())))


def _price(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not LEAST_USD_PER_HOUR < value < MOST_USD_PER_HOUR:
        raise InputError(f"--onto: {text!r} in {whole!r} is no price; write PART=USD, such as L4=0.80")
    return value


def _measured(path: Path, warn: Callable[[str], None]) -> list[Target]:
    """Every device of every machine in a file or a run folder; a CPU only where a machine has nothing else."""
    found = [one for ceilings in _ceilings(path, warn) for one in _of_machine(ceilings)]
    if not found:
        raise InputError(f"--onto: {path} holds no measured ceilings; `bench hardware` and `bench run` write them")
    return found


def _ceilings(path: Path, warn: Callable[[str], None]) -> tuple[Ceilings, ...]:
    if path.is_dir():
        return stored.of_run(path, warn)
    if path.suffix != ".json":
        return stored.of_run(path.parent, warn)  # a journal: the ceilings lie beside it
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Ceilings.model_validate(one) for one in (raw if isinstance(raw, list) else [raw]))
    except OSError as error:
        raise InputError(f"--onto: {path} cannot be read ({error.strerror})") from None
    except (ValidationError, ValueError, RecursionError):
        return ()  # the caller says what is expected there


def _of_machine(ceilings: Ceilings) -> list[Target]:
    environment = ceilings.environment
    devices = {one.device: one for one in reversed(ceilings.devices) if one.read_bytes_per_s}
    said = f"measured by `bench hardware` on {ceilings.measured_at[:10]}"
    found = []
    for device in environment.accelerators:
        ceiling = devices.pop(device.name, None)
        if ceiling is not None:
            memory = None if device.memory_bytes is None else float(device.memory_bytes)
            found.append(Target(device.name, vendor(device), ceiling, memory, said, machine=ceilings))
    if found or "cpu" not in devices:
        return found
    limits = [size for size in (environment.memory_total_bytes, environment.memory_limit_bytes) if size]
    name = f"{environment.cpu_model} ({environment.cpu_usable} CPUs)"
    return [Target(name, CPU, devices["cpu"], float(min(limits)), said, machine=ceilings, most=1)]
