"""A measured row with what is needed to carry it elsewhere: its ceiling, its hardware, which cells equal its own."""

import json
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.metrics import footprint
from bench.metrics.footprint import Shape
from bench.models import catalogue
from bench.report import table
from bench.report.measured import Figures
from bench.report.rows import Row
from bench.schema import Accelerator, Ceiling, Cell, CostChoices
from bench.whatif import target as targets

HARDWARE_OPTIONS = ("device", "threads")
"""Options of runners that name hardware: equal cells may differ in them."""


@dataclass(frozen=True)
class Source:
    """A row, its number in `bench report` of the same runs, the ceiling it is held against, its choices of cost."""

    row: Row
    number: int
    ceiling: Ceiling | None
    cost: CostChoices

    @property
    def figures(self) -> Figures:
        """What was measured; only for rows that were."""
        assert self.row.figures is not None
        return self.row.figures

    def name(self, model: bool = True, lengths: bool = True) -> str:
        """Such as "#1 llama-3.1-8b bf16, batch 8, 1000 + 200"; less what goes without saying."""
        row = self.row
        what = named(row) if model else f"{table.precision(row)}, batch {row.cell.workload.batch_size}"
        return f"#{self.number} {what}" + (f", {lengths_of(row.cell)}" if lengths else "")


def named(row: Row) -> str:
    """Model, precision and batch."""
    return f"{table.model(row)} {table.precision(row)}, batch {row.cell.workload.batch_size}"


def lengths_of(cell: Cell) -> str:
    """Prompt and new tokens of a row of the batch, such as "1000 + 200" or "1000 (900 cached) + 200"."""
    work = cell.workload
    cached = f" ({work.cached_tokens} cached)" if work.cached_tokens else ""
    return f"{work.input_tokens}{cached} + {work.output_tokens}"


def uncached(cell: Cell) -> int:
    """Prompt tokens of a row of the batch that were not in the cache."""
    return cell.workload.input_tokens - cell.workload.cached_tokens


def used(row: Row) -> tuple[Accelerator, ...]:
    """The accelerators that a measured row ran on; none for a CPU."""
    if row.figures is None:
        return ()
    facts = row.figures.facts
    if facts.accelerators:
        return facts.accelerators
    kind, _, number = facts.device.partition(":")
    index = int(number) if number.isdigit() else 0
    return row.environment.accelerators[index : index + 1] if kind == "cuda" else ()


def where(row: Row) -> str:
    """The hardware of a row in a few words."""
    devices = used(row)
    if not devices:
        return f"{row.environment.cpu_model} ({row.environment.cpu_usable} CPUs)"
    names = dict.fromkeys(one.name for one in devices)
    return " + ".join(f"{sum(one.name == name for one in devices)} × {name}" for name in names)


def vendor(row: Row) -> str:
    """Who made what a row ran on: "CPU" for all CPUs, "NVIDIA + AMD" for a mix."""
    return " + ".join(dict.fromkeys(targets.vendor(one) for one in used(row))) or targets.CPU


def memory_bytes(row: Row) -> float | None:
    """Memory of everything that a row used; None where a driver does not say."""
    devices = used(row)
    if not devices:
        machine = row.environment
        return float(min(size for size in (machine.memory_total_bytes, machine.memory_limit_bytes) if size))
    sizes = [one.memory_bytes for one in devices]
    known = [size for size in sizes if size]
    return float(sum(known)) if len(known) == len(sizes) else None


def hardware(row: Row) -> tuple[str, ...]:
    """Equal for two rows that ran on the same kind of machine and device, whatever software ran."""
    return row.environment.hardware(), *(one.name for one in used(row))


def identity(cell: Cell) -> str:
    """Equal for cells that ask for the same work, on whatever hardware: how long it was measured does not count."""
    said: dict[str, Any] = cell.model_dump(mode="json", include={"model", "precision", "workload", "arm"})
    options = {
        key: value for key, value in cell.runner.options.items() if value is not None and key not in HARDWARE_OPTIONS
    }
    return json.dumps({**said, "runner": cell.runner.name, "options": options}, sort_keys=True)


def shape(row: Row) -> Shape | None:
    """The sizes of a row's model: as its record holds them, else where its name says enough."""
    config = row.figures.facts.config if row.figures is not None else {}
    if not config:
        try:
            config = catalogue.config(row.cell.model) or {}
        except InputError:
            return None  # the files are elsewhere
    return footprint.shape(config)


def refusal(source: Source) -> str | None:
    """Why nothing can be said of a row on other hardware; None where something can."""
    row = source.row
    if row.figures is None:
        return f"{row.status}: {row.failure.reason if row.failure is not None else 'not measured'}"
    fatal = [reason.code for reason in row.verdict if reason.fatal]
    if fatal:
        return f"the row means nothing ({', '.join(fatal)})"
    roofline = row.figures.roofline
    if roofline.work is None or source.ceiling is None or shape(row) is None:
        return roofline.reason or "the model's sizes are not known"
    if roofline.mbu is None and roofline.mfu is None:
        return f"neither MBU nor MFU is known: {roofline.reason}"
    return None
