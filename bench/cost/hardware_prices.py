"""Which offers of the price list fit a machine: by part, kind of price, provider, region, grade and day.

A row may be offered at two prices, on demand and on spot. Of one offer that was seen on several days the newest counts,
and in a replay the newest that is not after its day. Rows without a date have no place in a replay.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from bench.cost import price_file
from bench.cost.price_file import KINDS, LIST, HardwarePrice
from bench.errors import InputError, nearest
from bench.hardware import parts
from bench.schema import Accelerator

__all__ = ["KINDS", "LIST", "HardwarePrice", "Offer", "flags", "offers", "rows"]

DEFAULT_CPU = ("aws", "c5.xlarge")
"""The default for a CPU machine: this instance's price for a vCPU-hour, times the CPUs that the run may use."""
STALE_DAYS = 90
GRADES = ("A", "B", "C")
CPU = "CPU"

_VENDORS = {"nvidia", "amd", "intel", "habana", "google", "aws", "qualcomm", "tesla", "geforce", "cloud", "cpu"}
_OTHER_NAMES = {"gaudi 1": "gaudi hl-205"}
_SIZE = re.compile(r"\b\d+\s*gb\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Offer:
    """A row of the list at one of its prices."""

    row: HardwarePrice
    kind: str
    usd_per_hour: float

    @property
    def day(self) -> date | None:
        return self.row.day(spot=self.kind == "spot")

    @property
    def usd_per_unit_hour(self) -> float:
        """Of one device, or of one vCPU of a CPU instance; of the instance where nobody knows how many it has."""
        return self.usd_per_hour / (self.row.units or 1)

    def trusted(self) -> bool:
        """Fit for a default: dated, of grade A or B, and nobody's estimate unless estimates were asked for."""
        sound = self.day is not None and self.row.letter[0] in "AB"
        return sound and (self.kind == "analyst" or not self.row.analyst)

    def flags(self, on: date) -> list[str]:
        return flags(self.row, on, self.kind == "spot")

    def described(self) -> str:
        """One phrase for a footnote."""
        row = self.row
        where = f", {row.region}" if row.region else ""
        kind = f" ({row.price_kind})" if row.analyst or row.kind == "reserved" else ""
        file = f", from {row.file}" if row.file else ""
        return f"{row.provider} {row.instance}{kind}{where}, as of {row.as_of}, grade {row.letter}{file}"


def flags(row: HardwarePrice, on: date, spot: bool = False) -> list[str]:
    """What to say wherever a row is shown on the day `on`: age, missing date, weak source, estimate.

    >>> flags(price_file.row("x", "y", as_of="2026-01-01", quality="C (a blog)"), date(2026, 4, 2))
    ['older than 90 days', 'one weak source']
    """
    said = ["analyst estimate"] if row.analyst else []
    day = row.day(spot)
    if day is None:
        said.append("spot price undated" if spot and row.day() else "undated")
    elif (on - day).days > STALE_DAYS:
        said.append(f"older than {STALE_DAYS} days")
    if row.letter.startswith("C"):
        said.append("one weak source")
    if "billed extra" in row.raw.get("note", ""):
        said.append("without its CPUs")
    return said


def all_flags(row: HardwarePrice, on: date) -> list[str]:
    """Of every price that the row holds."""
    spot = flags(row, on, spot=True) if row.spot_usd_per_hour is not None else []
    return list(dict.fromkeys([*flags(row, on), *spot]))


def rows(files: Sequence[str] = ()) -> tuple[HardwarePrice, ...]:
    """Every row of the list, and after them those of the user's files. Raises InputError for a bad file."""
    return _rows(tuple(price_file.stamp(path) for path in files))


def check_provider(name: str, files: Sequence[str] = ()) -> None:
    """Raises InputError with the nearest names when the list does not know a provider."""
    known = {row.provider for row in rows(files)}
    if name not in known:
        raise InputError(f"unknown provider {name!r} in the price list; {nearest(name, known)}")


def offers(
    kind: str = "on_demand",
    device: Accelerator | str | None = None,
    provider: str | None = None,
    region: str | None = None,
    grade: str = "C",
    as_of: date | None = None,
    files: Sequence[str] = (),
) -> tuple[Offer, ...]:
    """Offers of one kind, cheapest device-hour (vCPU-hour) first.

    `device` is a detected one, or a part by name ("H100", "A100 40GB", "CPU"); None is any. `region` is a part of the
    region's name, `grade` the least one. Raises InputError for a kind or grade that is not known, a name that two
    parts fit, a bad file, and when the only offers were first seen after `as_of`.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of price {kind!r}; {nearest(kind, KINDS)}")
    if grade not in GRADES:
        raise InputError(f"unknown grade {grade!r}; {nearest(grade, GRADES)}")
    stamps = tuple(price_file.stamp(path) for path in files)
    key = device if device is None or isinstance(device, str) else (device.name, device.memory_bytes)

    def wanted(offer: Offer) -> bool:
        row = offer.row
        return (
            (provider is None or row.provider == provider)
            and (region is None or region.lower() in row.region.lower())
            and row.letter[0] <= grade
        )

    found = tuple(offer for offer in _fitting(kind, key, as_of, stamps) if wanted(offer))
    if not found and as_of is not None:
        later = [offer for offer in _fitting(kind, key, None, stamps, True) if wanted(offer) and offer.day is not None]
        if later:
            first = min(later, key=lambda offer: offer.day or date.max)
            what = _said(device)
            raise InputError(
                f"the price list has no {_adjective(kind)}price for {what} on or before {as_of}; "
                f"the first is of {first.day} ({first.row.provider} {first.row.instance}); give --usd-per-hour"
            )
    return found


def middle(found: Sequence[Offer]) -> Offer:
    """The lower median of offers that stand by price: a real offer, neither the cheapest nor the dearest."""
    return found[(len(found) - 1) // 2]


def current(kind: str, as_of: date | None = None, files: Sequence[str] = ()) -> tuple[Offer, ...]:
    """Every offer of a kind that counts on that day, in the order of the list."""
    return _current(kind, as_of, tuple(price_file.stamp(path) for path in files))


def listed(as_of: date | None = None, files: Sequence[str] = ()) -> tuple[HardwarePrice, ...]:
    """Rows that have at least one price which counts on that day, in the order of the list."""
    stamps = tuple(price_file.stamp(path) for path in files)
    current = {id(offer.row) for kind in KINDS for offer in _current(kind, as_of, stamps)}
    return tuple(row for row in _rows(stamps) if id(row) in current)


def part_names(files: Sequence[str] = ()) -> set[str]:
    """Names of the parts in the list, without vendor and size: what people call them."""
    return {CPU, *(part_name(row.accelerator) for row in rows(files) if not row.cpu)}


def part_name(accelerator: str) -> str:
    """What people call a part.

    >>> part_name("NVIDIA A100 80GB PCIe")
    'A100 PCIe'
    """
    return " ".join(word for word in _SIZE.sub("", accelerator).split() if word.lower() not in _VENDORS)


# --- which rows


@lru_cache(maxsize=16)
def _rows(stamps: tuple[price_file.Stamp, ...]) -> tuple[HardwarePrice, ...]:
    return (*price_file.packaged(), *(row for stamp in stamps for row in price_file.read(stamp)))


@lru_cache(maxsize=64)
def _all(kind: str, stamps: tuple[price_file.Stamp, ...]) -> tuple[Offer, ...]:
    """Every offer of a kind, of whatever day."""
    return tuple(
        Offer(row, kind, usd) for row in _rows(stamps) for own, usd in _prices(row) if own == kind and usd is not None
    )


def _prices(row: HardwarePrice) -> Iterable[tuple[str, float | None]]:
    """The kinds of price that a row holds."""
    if row.kind in ("on_demand", "spot"):
        yield "spot", row.spot_usd_per_hour
    if row.kind != "spot":
        yield row.kind, row.usd_per_hour or (row.spot_usd_per_hour if row.kind == "blog" else None)
    if row.analyst and row.kind != "analyst":
        yield "analyst", row.usd_per_hour


@lru_cache(maxsize=256)
def _current(kind: str, as_of: date | None, stamps: tuple[price_file.Stamp, ...]) -> tuple[Offer, ...]:
    """Of each offer what a file of the user says, else the list; the newest, not after `as_of`, and the last read."""
    dated = [offer for offer in _all(kind, stamps) if as_of is None or (offer.day or date.max) <= as_of]
    newest = sorted(
        enumerate(dated), key=lambda pair: (bool(pair[1].row.file), pair[1].day or date.min, pair[0]), reverse=True
    )
    kept: dict[tuple[str, str, str], list[Offer]] = {}
    for _, offer in newest:
        row = offer.row
        # Azure writes some sizes with a prefix; a zone within a region has its region's list price.
        name = row.instance.lower().removeprefix("standard_")
        same = kept.setdefault((row.provider, name, row.region.partition(" (")[0]), [])
        if not any(_alike(row, other.row) for other in same):
            same.append(offer)
    chosen = {id(offer) for same in kept.values() for offer in same}
    return tuple(offer for offer in dated if id(offer) in chosen)


def _alike(one: HardwarePrice, other: HardwarePrice) -> bool:
    """Rows of one part, of which one may leave size or form out. Some providers call every part by one name."""
    if one.price_kind != other.price_kind or one.accelerators != other.accelerators:
        return False
    if one.accelerator == other.accelerator:
        return True
    sizes = {parts.memory_gb(one.accelerator), parts.memory_gb(other.accelerator)} - {None}
    return len(sizes) < 2 and parts.same_part(one.accelerator, Accelerator(name=other.accelerator))


@lru_cache(maxsize=1024)
def _fitting(
    kind: str,
    key: str | tuple[str, int | None] | None,
    as_of: date | None,
    stamps: tuple[price_file.Stamp, ...],
    history: bool = False,
) -> tuple[Offer, ...]:
    found = _all(kind, stamps) if history else _current(kind, as_of, stamps)
    if isinstance(key, str):
        found = _named(found, key)
    elif key is not None:
        found = _of_device(found, Accelerator(name=key[0], memory_bytes=key[1]))
    return tuple(sorted(found, key=lambda offer: offer.usd_per_unit_hour))


# --- which part


def _of_device(found: Sequence[Offer], device: Accelerator) -> tuple[Offer, ...]:
    """Offers of this part and size."""
    if parts.is_slice(device):
        return ()  # a slice of a device has no price of its own
    part = [offer for offer in found if offer.row.units and not offer.row.cpu and _same_part(offer.row, device)]
    # A row that leaves the memory out may be of another size of the part: it counts only where there is one size.
    one_size = all(_same_memory(offer.row, device) for offer in part)
    return tuple(
        offer
        for offer in part
        if _same_memory(offer.row, device) and (one_size or parts.memory_gb(offer.row.accelerator))
    )


def _named(found: Sequence[Offer], name: str) -> tuple[Offer, ...]:
    """Offers of a part by the name that people call it. Raises InputError for a name that fits parts of two sizes."""
    if not name.strip():
        raise InputError("a part needs a name, such as H100, 'A100 80GB' or CPU")
    if name.split()[0].upper() == CPU:
        return tuple(
            offer for offer in found if offer.row.cpu and offer.row.vcpus and _words(name) <= _words(_of(offer))
        )
    gb = parts.memory_gb(name)
    device = Accelerator(name=name, memory_bytes=None if gb is None else round(gb * 1e9))
    fitting = _of_device(found, device)
    names = {" ".join(_SIZE.sub("", _of(offer)).split()) for offer in fitting}
    sizes = {size for offer in fitting if (size := parts.memory_gb(_of(offer)))}
    if not parts.same_part(name, device) and len(names) > 1:
        raise InputError(f"{name!r} is the name of several parts: {', '.join(sorted(names))}; say which")
    if gb is None and len(sizes) > 1:
        which = " or ".join(f"'{name} {size:g}GB'" for size in sorted(sizes))
        raise InputError(f"{name!r} comes with different memory: say {which}")
    return fitting


def _of(offer: Offer) -> str:
    return offer.row.accelerator


def _same_part(row: HardwarePrice, device: Accelerator) -> bool:
    """By part number and form where the name has one; else every word of it stands in the row's name."""
    if parts.same_part(device.name, device):
        # A pool is offered as any of its parts: "L40/L40S/6000 Ada 48GB pool".
        return any(parts.same_part(one, device) for one in row.accelerator.split("/"))
    words = _words(device.name)
    return bool(words) and words <= _words(row.accelerator)


def _words(name: str) -> set[str]:
    bare = _SIZE.sub("", name.lower())
    for other, listed_as in _OTHER_NAMES.items():
        bare = bare.replace(other, listed_as)
    return set(_WORD.findall(bare)) - _VENDORS


def _same_memory(row: HardwarePrice, device: Accelerator) -> bool:
    return parts.same_memory(parts.memory_gb(row.accelerator), device)


# --- words


def _adjective(kind: str) -> str:
    return "" if kind == "on_demand" else f"{kind} "


def _said(device: Accelerator | str | None) -> str:
    return "any machine" if device is None else device if isinstance(device, str) else device.name
