"""The ceiling that a cell is held against, and the sentence that says where it comes from."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.hardware import datasheet, division, stored
from bench.hardware.division import Division
from bench.schema import Accelerator, Ceiling, Ceilings, Environment, ModelFacts


def of(
    run_folder: Path | None, environment: Environment, facts: ModelFacts, warn: Callable[[str], None] = lambda _: None
) -> tuple[Ceiling | None, str]:
    """The ceiling of the devices that a model ran on, as they share it, or None with the reason."""
    return find(run_folder, environment, facts.accelerators, facts.device, warn, division.of(facts))


def find(
    run_folder: Path | None,
    environment: Environment,
    accelerators_used: Sequence[Accelerator],
    device: str,
    warn: Callable[[str], None] = lambda _: None,
    shared: Division | None = None,
) -> tuple[Ceiling | None, str]:
    """The ceilings of everything that was used, taken together as the devices share the work (added up, where that is
    not said), or None with the reason.

    First that applies: the newer of those in the run folder and those that the user keeps of this kind of machine, the
    datasheet. No source is mixed with another. `device` is where the engine ran ("cpu", "cuda:0"), `accelerators_used`
    are as it names them; where it names none, the machine's own by the device's number.
    """
    used = tuple(accelerators_used) or _by_number(environment, device)
    if not used and device.partition(":")[0] != "cpu":
        return None, f"no ceiling is known for {device}: run `bench hardware`"
    said_of = "" if shared is None else shared.said()
    hardware = environment.hardware()
    in_run = () if run_folder is None else stored.of_run(run_folder, warn)
    known = [*(one for one in in_run if one.hardware == hardware), stored.load(hardware, warn)]
    for ceilings in sorted((one for one in known if one is not None), key=stored.age_days):
        chosen = _measured(ceilings, used)
        if chosen is not None:
            return division.together(chosen, shared), _said(ceilings) + said_of
    if not used:
        return None, "the ceilings of this CPU are not known: run `bench hardware`"
    sheets = [datasheet.find(one) for one in used]
    listed = [(one, sheet) for one, sheet in zip(used, sheets, strict=True) if sheet and sheet.read_bytes_per_s]
    if len(listed) < len(used):
        unknown = ", ".join(dict.fromkeys(one.name for one, sheet in zip(used, sheets, strict=True) if sheet is None))
        return None, f"no datasheet is known for {unknown or used[0].name}: run `bench hardware`"
    said = "; ".join(dict.fromkeys(f"{sheet.part} ({sheet.source})" for _, sheet in listed))
    ceiling = division.together([sheet.ceiling(one) for one, sheet in listed], shared)
    return ceiling, f"datasheet of {said}; measured: run `bench hardware`{said_of}"


def _by_number(environment: Environment, device: str) -> tuple[Accelerator, ...]:
    kind, _, number = device.partition(":")
    index = int(number) if number.isdigit() else 0
    return environment.accelerators[index : index + 1] if kind == "cuda" else ()


def _measured(ceilings: Ceilings, used: Sequence[Accelerator]) -> list[Ceiling] | None:
    """A measured ceiling for each device used (the CPU if there is none), None when one is missing."""
    found = []
    for index, name in enumerate([one.name for one in used] or ["cpu"]):
        alike = [one for one in ceilings.devices if one.device == name and one.read_bytes_per_s]
        if not alike:
            return None
        # The second of a name is held against the second that was measured, if two were.
        before = sum(one.name == name for one in used[:index])
        found.append(alike[min(before, len(alike) - 1)])
    return found


def _said(ceilings: Ceilings) -> str:
    doubt = ceilings.reasons.get("busy")
    busy = f", and perhaps too low: {doubt}" if doubt else ""
    return f"measured by `bench hardware` on {ceilings.measured_at[:10]}{busy}"
