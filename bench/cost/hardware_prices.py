"""The dated list of hourly prices that comes with the package, and the row that fits a machine."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bench.errors import InputError, nearest
from bench.hardware import parts
from bench.schema import Accelerator

LIST = "hourly_prices.csv"
DEFAULT_CPU = ("aws", "c5.xlarge")
"""The default for a CPU machine: this instance's price for a vCPU-hour, times the CPUs that the run may use."""

_DATED = re.compile(r"^\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class HardwarePrice:
    """One row of the list: what an instance costs for an hour. `accelerators` is 0 for a CPU instance."""

    provider: str
    instance: str
    accelerator: str
    accelerators: int
    vcpus: int | None
    usd_per_hour: float | None
    region: str
    as_of: str
    kind: str
    grade: str
    source: str

    @property
    def units(self) -> int:
        """What the price is divided by: devices, or vCPUs of a CPU instance."""
        return self.accelerators or self.vcpus or 1

    def usd_per_unit_hour(self) -> float | None:
        return None if self.usd_per_hour is None else self.usd_per_hour / self.units

    def dated(self) -> bool:
        return bool(_DATED.match(self.as_of))

    def comparable(self) -> bool:
        """Fit for a default: an on-demand list price with a date, not an analyst's estimate and not of grade C."""
        return (
            self.kind == "list_on_demand"
            and self.usd_per_hour is not None
            and self.dated()
            and self.grade[:1] in ("A", "B")
        )

    def described(self) -> str:
        """One phrase for a footnote."""
        where = f", {self.region}" if self.region else ""
        return f"{self.provider} {self.instance}{where}, as of {self.as_of}, grade {self.grade.split(' ')[0]}"


@cache
def rows() -> tuple[HardwarePrice, ...]:
    """Every row of the list."""
    text = files("bench.data").joinpath(LIST).read_text(encoding="utf-8")
    return tuple(_row(raw) for raw in csv.DictReader(text.splitlines()))


def check_provider(name: str) -> None:
    """Raises InputError with the nearest names when the list does not know a provider."""
    known = {row.provider for row in rows()}
    if name not in known:
        raise InputError(f"unknown provider {name!r} in the price list; {nearest(name, known)}")


def for_accelerator(device: Accelerator, provider: str | None) -> tuple[HardwarePrice, ...]:
    """Rows for this part and size, cheapest first: on-demand list prices, or whatever a named provider has."""
    if parts.is_slice(device):
        return ()  # a slice of a device has no price of its own
    part = [
        row
        for row in rows()
        if row.accelerators and row.usd_per_hour is not None and parts.same_part(row.accelerator, device)
    ]
    # A row that leaves the memory out may be of another size of the part: it counts only where there is one size.
    one_size = all(_same_memory(row, device) for row in part)
    found = [row for row in part if _same_memory(row, device) and (one_size or parts.memory_gb(row.accelerator))]
    if provider is None:
        found = [row for row in found if row.comparable()]
    else:
        found = [row for row in found if row.provider == provider]
    return tuple(sorted(found, key=_unit_price))


def for_cpu(provider: str | None) -> tuple[HardwarePrice, ...]:
    """CPU instances, cheapest vCPU-hour first: the default instance alone, or all of a provider's."""
    found = [row for row in rows() if not row.accelerators and row.usd_per_hour is not None and row.vcpus]
    if provider is None:
        found = [row for row in found if (row.provider, row.instance) == DEFAULT_CPU]
    else:
        found = [row for row in found if row.provider == provider]
    return tuple(sorted(found, key=_unit_price))


def middle(found: tuple[HardwarePrice, ...]) -> HardwarePrice:
    """The lower median row: a real offer that is neither the cheapest nor the dearest."""
    return found[(len(found) - 1) // 2]


def _unit_price(row: HardwarePrice) -> float:
    return row.usd_per_unit_hour() or 0.0


def _same_memory(row: HardwarePrice, device: Accelerator) -> bool:
    return parts.same_memory(parts.memory_gb(row.accelerator), device)


def _row(raw: dict[str, str]) -> HardwarePrice:
    return HardwarePrice(
        provider=raw["provider"],
        instance=raw["instance"],
        accelerator=raw["accelerator"],
        accelerators=int(raw["accel_count"] or 0),
        vcpus=int(raw["vcpus"]) if raw["vcpus"] else None,
        usd_per_hour=_number(raw["usd_per_hour_on_demand"]),
        region=raw["region"],
        as_of=raw["as_of"],
        kind=raw["price_kind"],
        grade=raw["quality"],
        source=raw["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
