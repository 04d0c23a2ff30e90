"""One row of a list of hourly prices, and how such lists are read: the package's own, and CSV files of the user.

The package's list is trusted and holds undated rows. A user's file is checked row by row, and the first mistake in it
is one line with file, line and column: a price that was read wrongly would be believed.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from bench.cost.printable import unprintable
from bench.errors import InputError, nearest

LIST = "hourly_prices.csv"
MAX_ROWS = 100_000
MAX_BYTES = 100_000_000
"""Of a user's file: no list of prices is longer, and a wrong file should be refused before it is read."""

COLUMNS = (
    *("provider", "instance", "accelerator", "accel_count", "vcpus", "mem_gib"),
    *("usd_per_hour_on_demand", "usd_per_hour_spot", "region", "as_of", "price_kind", "quality"),
    *("source", "source_ref", "source_license", "note"),
)
DERIVED = ("kind", "unit", "usd_per_unit_hour_on_demand", "usd_per_unit_hour_spot", "flags")
"""Columns that `bench prices hardware --format csv` adds, so that what it writes can be read as a file again."""
REQUIRED = ("provider", "instance", "accelerator", "as_of", "source")
EITHER = (("accel_count", "vcpus"), ("usd_per_hour_on_demand", "usd_per_hour_spot"))
USER_GRADE = "B (from a file of the user)"

KINDS = {
    "on_demand": ("list_on_demand", "on_demand"),
    "spot": ("spot",),
    "reserved": ("rent_3yr", "reserved"),
    "managed": ("managed_endpoint", "managed"),
    "serverless": ("serverless_flex", "serverless"),
    "analyst": ("tco_own_hyperscaler", "tco_own_neocloud", "analyst"),
    "blog": ("blog",),
}
"""Kinds as people see them → what stands in the column `price_kind`. `reserved_…` is reserved and `tco_…` analyst."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
"""A number as a price list writes it. `float` also takes 1_0 for ten, and the digits of every script."""


@dataclass(frozen=True)
class HardwarePrice:
    """One row: what an instance costs for an hour. `accelerators` is 0 for a CPU instance, None where nobody knows."""

    provider: str
    instance: str
    accelerator: str
    accelerators: int | None
    vcpus: int | None
    usd_per_hour: float | None
    spot_usd_per_hour: float | None
    region: str
    as_of: str
    price_kind: str
    grade: str
    source: str
    raw: dict[str, str] = field(default_factory=dict, compare=False, hash=False, repr=False)
    file: str = field(default="", compare=False)
    """The user's file that the row was read from; empty for one of the package's list."""

    @property
    def cpu(self) -> bool:
        return self.accelerator.upper().split(" ")[0] == "CPU"

    @property
    def units(self) -> int | None:
        """What the price is divided by: devices, or vCPUs of a CPU instance; None where their number is not known."""
        return (self.vcpus if self.cpu else self.accelerators) or None

    @property
    def unit(self) -> str:
        return "instance" if self.units is None else "vCPU" if self.cpu else "device"

    @property
    def kind(self) -> str:
        """As people see it; a row for rent by an analyst is `reserved` here and flagged."""
        for kind, names in KINDS.items():
            if self.price_kind in names:
                return kind
        return "reserved" if self.price_kind.startswith("reserved") else "analyst"

    @property
    def analyst(self) -> bool:
        """An estimate and no offer: every row of SemiAnalysis, and what ownership is reckoned to cost."""
        return self.kind == "analyst" or self.provider.startswith("SemiAnalysis")

    @property
    def letter(self) -> str:
        """The grade alone: A (the vendor's own), A-, B (transcribed), C (one weak source)."""
        return self.grade.split(" ")[0]

    def day(self, spot: bool = False) -> date | None:
        """The day on which this price was seen; None where nobody wrote it down.

        >>> row("x", "y", as_of="2025-08 survey (file at 2026-04-03)").day()
        datetime.date(2026, 4, 3)
        >>> row("x", "y", as_of="undated snapshot (>=2025-11: lists p6-b300)").day() is None
        True
        """
        if spot and "spot undated" in self.grade:
            return None
        found = _DATE.findall(self.as_of)
        return date.fromisoformat(found[-1]) if found else None


def row(provider: str, instance: str, **fields: str) -> HardwarePrice:
    """A row from the text of its columns, unchecked; those that are left out are empty, and the price is on demand."""
    raw = {
        **dict.fromkeys(COLUMNS, ""),
        "price_kind": "list_on_demand",
        "provider": provider,
        "instance": instance,
        **fields,
    }
    return HardwarePrice(
        provider=provider,
        instance=instance,
        accelerator=raw["accelerator"],
        accelerators=int(raw["accel_count"]) if raw["accel_count"] else None,
        vcpus=int(raw["vcpus"]) if raw["vcpus"] else None,
        usd_per_hour=float(raw["usd_per_hour_on_demand"]) if raw["usd_per_hour_on_demand"] else None,
        spot_usd_per_hour=float(raw["usd_per_hour_spot"]) if raw["usd_per_hour_spot"] else None,
        region=raw["region"],
        as_of=raw["as_of"],
        price_kind=raw["price_kind"],
        grade=raw["quality"],
        source=raw["source"],
        raw=raw,
    )


@cache
def packaged() -> tuple[HardwarePrice, ...]:
    """Every row of the list that comes with the package."""
    text = files("bench.data").joinpath(LIST).read_text(encoding="utf-8")
    return tuple(row(**raw) for raw in csv.DictReader(text.splitlines()))


Stamp = tuple[str, int, int]
"""A file as it was when it was read: path, time of change in ns, size in bytes."""


def stamp(path: str) -> Stamp:
    """What tells a file from its earlier self. Raises InputError where there is no such file."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a CSV file of hourly prices") from None
    except ValueError:
        raise InputError(f"{path!r}: not a path of a file") from None
    if Path(path).is_dir():
        raise InputError(f"{path}: a directory, not a CSV file of hourly prices")
    if not Path(path).is_file():
        raise InputError(f"{path}: not a regular file; name a CSV file of hourly prices")
    return path, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=16)
def read(of: Stamp) -> tuple[HardwarePrice, ...]:
    """The rows of a user's file. Raises InputError at the first mistake, with file, line and column."""
    path, _, size = of
    if size == 0:
        raise InputError(f"{path}: empty; its first line must name the columns: {_required()}")
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size / 1e6:.0f} MB; a list of prices has at most {MAX_ROWS:,} rows")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            return tuple(_rows(path, csv.reader(lines, strict=True)))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8 CSV") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _rows(path: str, lines: Iterator[list[str]]) -> Iterator[HardwarePrice]:
    today = datetime.now(UTC).date()
    number = 0
    columns: list[str] = []
    currencies: set[str] = set()
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise InputError(f"{path}:{_line(lines)}: broken CSV ({error})") from None
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = _columns(path, cells)
            continue
        number += 1
        if number > MAX_ROWS:
            raise InputError(f"{path}: more than {MAX_ROWS:,} rows; keep the rows that matter")
        where = f"{path}:{_line(lines)}"
        if len(cells) != len(columns):
            raise InputError(f"{where}: {_uneven(len(cells), len(columns))}")
        for name, cell in zip(columns, cells, strict=True):
            # A note may have several lines.
            if unprintable("".join(cell.split()) if name == "note" else cell.strip()):
                raise InputError(f"{where}: {name}: holds a character that cannot be printed (got {cell!r}); remove it")
        raw = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        _one_currency(where, raw.get("currency", ""), currencies)
        yield replace(_checked(where, raw, today), file=path)
    if not columns:
        raise InputError(f"{path}: nothing but blank lines; its first line must name the columns: {_required()}")
    if not number:
        raise InputError(f"{path}: no rows; its columns are named, and nothing stands under them")


def _uneven(fields: int, columns: int) -> str:
    if fields > columns:
        return f"more fields ({fields}) than columns ({columns}); put quotes around a field that holds a comma"
    return f"fewer fields ({fields}) than columns ({columns}); leave what is unknown empty, but write its comma"


def _required() -> str:
    return f"{', '.join(REQUIRED)}, …"


def _line(lines: object) -> int:
    return int(getattr(lines, "line_num", 0))


def _columns(path: str, cells: Sequence[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    if len(columns) == 1 and ";" in columns[0]:
        raise InputError(f"{path}:1: columns are separated by ';'; write commas")
    for name in REQUIRED:
        if name not in columns:
            raise InputError(f"{path}:1: missing column {name}; required: {', '.join(REQUIRED)}")
    for one, other in EITHER:
        if one not in columns and other not in columns:
            raise InputError(f"{path}:1: missing column {one} or {other}; one of them is required")
    known = (*COLUMNS, *DERIVED, "currency")
    for index, name in enumerate(columns):
        if name not in known:
            raise InputError(f"{path}:1: unknown column {name!r}; {nearest(name, known)}")
        if name in columns[:index]:
            raise InputError(f"{path}:1: column {name} stands there twice")
    return columns


def _one_currency(where: str, text: str, seen: set[str]) -> None:
    seen.add(text.upper() or "USD")
    if len(seen) > 1:
        raise InputError(f"{where}: currency: mixed currencies ({', '.join(sorted(seen))}); all prices must be in USD")
    if seen != {"USD"}:
        raise InputError(f"{where}: currency: must be USD (got {text!r}); convert the prices")


def _checked(where: str, raw: dict[str, str], today: date) -> HardwarePrice:
    """A row of a user's file, with what it may leave out filled in."""
    for name in REQUIRED:
        if not raw[name]:
            raise InputError(f"{where}: {name}: missing")
    prices = [_price(where, name, raw.get(name, "")) for name in EITHER[1]]
    if prices == [None, None]:
        raise InputError(f"{where}: usd_per_hour_on_demand: missing, and usd_per_hour_spot as well; give one of them")
    count, vcpus = (_count(where, name, raw.get(name, "")) for name in EITHER[0])
    _price(where, "mem_gib", raw.get("mem_gib", ""))
    fields = {name: raw.get(name, "") for name in COLUMNS}
    found = row(
        **{
            **fields,
            "as_of": _day(where, raw["as_of"], today),
            "price_kind": _kind(where, fields["price_kind"]),
            "quality": _grade(where, fields["quality"]),
        }
    )
    needed = {"spot": found.spot_usd_per_hour, "on_demand": True}.get(found.kind, found.usd_per_hour)
    if needed is None:
        column = EITHER[1][found.kind == "spot"]
        raise InputError(f"{where}: {column}: missing; it is what a row of price_kind {found.price_kind} holds")
    if found.cpu and (count or not vcpus):
        key, what = ("accel_count", "must be 0") if count else ("vcpus", "missing")
        raise InputError(f"{where}: {key}: {what} for a CPU instance, whose price is divided by its vCPUs")
    if not found.cpu and not count:
        raise InputError(f"{where}: accel_count: missing; how many {found.accelerator} does {found.instance} have?")
    return found


def _price(where: str, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{where}: {name}: not a number (got {text!r})") from None
    if not math.isfinite(value):
        raise InputError(f"{where}: {name}: must be a finite number (got {text!r})")
    if value <= 0:
        raise InputError(f"{where}: {name}: must be greater than 0 (got {text!r}); leave unknown ones empty")
    if not _PLAIN.fullmatch(text):
        raise InputError(f"{where}: {name}: must be a plain decimal number, such as 1.25 (got {text!r})")
    return value


def _count(where: str, name: str, text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit()):
        raise InputError(f"{where}: {name}: must be a whole number (got {text!r})")
    if len(text) > 6:
        raise InputError(f"{where}: {name}: must be at most 999999, as no machine has more (got {text!r})")
    return int(text) if text else None


def _day(where: str, text: str, today: date) -> str:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: as_of: must be a day, YYYY-MM-DD (got {text!r})") from None
    if found > today:
        raise InputError(f"{where}: as_of: {text} is in the future; today is {today}")
    return text


def _kind(where: str, text: str) -> str:
    known = [name for names in KINDS.values() for name in names]
    if text and text not in known and not text.startswith(("reserved_", "tco_")):
        raise InputError(f"{where}: price_kind: unknown kind {text!r}; {nearest(text, known)}")
    return text or "list_on_demand"


def _grade(where: str, text: str) -> str:
    if text and text.split(" ")[0] not in ("A", "A-", "B", "B-", "C"):
        raise InputError(f"{where}: quality: must begin with a grade, A, A-, B or C (got {text!r})")
    return text or USER_GRADE
