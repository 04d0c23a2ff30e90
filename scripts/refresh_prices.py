"""Rebuilds the AWS and Azure rows of the hourly price list from their public price APIs. Online; needs no account.

    .venv/bin/python scripts/refresh_prices.py --dry-run           what would change
    .venv/bin/python scripts/refresh_prices.py                     write bench/data/hourly_prices.csv
    .venv/bin/python scripts/refresh_prices.py --only azure --azure-region westeurope --out my_prices.csv

Which AWS families and Azure sizes are asked for follows from the rows that the list has, and from `MORE_FAMILIES`. Rows
of other providers and older rows of these stay: they are what a replay of an earlier day reads. New rows carry today's
date. AWS: Linux, shared tenancy, no software installed beforehand; on demand, and standard reservations without upfront
payment for one and three years (the price list holds no spot prices). Azure: Linux; on demand, spot and reservations,
whose price is for the whole term and is divided by its hours.

An answer that is not in USD, cut off, not as documented, or an error leaves the list as it is: one line, exit code 2.
AWS's answer is a CSV of several gigabytes a region: it is read as a stream and never kept.
"""

import argparse
import csv
import http.client
import io
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

try:
    from bench.cost.price_file import COLUMNS, row
except ModuleNotFoundError as error:
    print(f"error: {error.name} is missing; run ./scripts/bench once, then this with .venv/bin/python", file=sys.stderr)
    sys.exit(2)

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "bench" / "data" / "hourly_prices.csv"
AWS_URL = "https://pricing.us-east-1.amazonaws.com"
AWS_PATH = "/offers/v1.0/aws/AmazonEC2/current/{region}/index.csv"
AZURE_URL = "https://prices.azure.com/api/retail/prices"
HOURS_PER_YEAR = 8760
MAX_PAGES = 500
USER_AGENT = "llm-cost-bench price refresh"
QUALITY = "A (vendor public price API)"
LICENSE = "vendor price API (facts only)"

MORE_FAMILIES = {
    "p5e": "NVIDIA H200 141GB",
    "p5en": "NVIDIA H200 141GB",
    "gr6": "NVIDIA L4 24GB",
    "inf2": "AWS Inferentia2 32GB",
    **dict.fromkeys(("m6i", "c6i", "r6i", "m7i", "c7i", "r7i", "m7a", "c7a"), "CPU"),
}
"""AWS instance families that the list has no on-demand row of."""
CPU_SIZES = ("xlarge", "2xlarge", "4xlarge", "8xlarge")
"""Of CPU families these alone: the price of a vCPU hardly depends on the size."""
CHIPS = {"inf2.xlarge": 1, "inf2.8xlarge": 1, "inf2.24xlarge": 6, "inf2.48xlarge": 12}
"""Accelerators of instances for which the price list has no number under "GPU" (AWS, Inf2 product page)."""

AWS_NEEDED = (
    *("TermType", "Unit", "PricePerUnit", "Currency", "LeaseContractLength", "PurchaseOption", "OfferingClass"),
    *("Product Family", "Instance Type", "vCPU", "Memory", "Tenancy", "Operating System", "Pre Installed S/W"),
    *("License Model", "GPU"),
)
AWS_WANTED = {
    "Product Family": ("Compute Instance", "Compute Instance (bare metal)"),
    "Operating System": ("Linux",),
    "Tenancy": ("Shared",),
    "Pre Installed S/W": ("NA",),
    "License Model": ("No License required",),
    "Unit": ("Hrs",),
    "CapacityStatus": ("Used",),
    "operation": ("RunInstances",),
    "MarketOption": ("OnDemand", ""),
    "Location Type": ("AWS Region",),
}
"""Columns by which a row is chosen. The last four came later or may go: an answer without them is read all the same."""

Raw = dict[str, str]


class RefusedError(Exception):
    """The answer cannot be used; said in one line, and the list stays as it is."""


@dataclass
class Found:
    """Rows made of the answers, and what was left out."""

    rows: list[Raw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- the web


class Whole(io.RawIOBase):
    """An answer as a stream that ends in an error when it is shorter than announced."""

    def __init__(self, answer: Any, url: str) -> None:
        self.answer, self.url, self.count = answer, url, 0
        length = answer.headers.get("Content-Length")
        self.expected = int(length) if length and length.isdigit() else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = int(self.answer.readinto(buffer) or 0)
        self.count += size
        if not size and self.expected is not None and self.count < self.expected:
            raise RefusedError(f"{self.url}: cut off after {self.count:,} of {self.expected:,} bytes")
        return size


def lines_of(url: str, timeout_s: float) -> Iterator[str]:
    """The lines of an answer, as they come. Raises RefusedError for whatever goes wrong on the way."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise RefusedError(f"{url}: not an http or https address")
    try:
        request = Request(url, headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})  # noqa: S310
        with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            yield from io.TextIOWrapper(
                io.BufferedReader(Whole(answer, url), 1 << 20), encoding="utf-8-sig", newline=""
            )
    except HTTPError as error:
        raise RefusedError(f"{url}: HTTP {error.code} {error.reason}") from None
    except URLError as error:
        raise RefusedError(f"{url}: {_reason(error.reason)}") from None
    except UnicodeDecodeError:
        raise RefusedError(f"{url}: not UTF-8 text") from None
    except (OSError, http.client.HTTPException) as error:
        raise RefusedError(f"{url}: {_reason(error)}") from None


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "cut off"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# --- AWS


def aws(url: str, region: str, known: list[Raw], timeout_s: float, today: str) -> Found:
    """Rows of one region from AWS's price list."""
    address = url.rstrip("/") + AWS_PATH.format(region=region)
    families = {**MORE_FAMILIES, **_families(known)}
    counts = {one["instance"]: one["accel_count"] for one in known if one["provider"] == "aws" and one["accel_count"]}
    found = Found()
    prices: dict[tuple[str, str], float] = {}
    attributes: dict[str, Raw] = {}
    doubled: set[tuple[str, str]] = set()
    for fields in _aws_lines(address, timeout_s):
        kind = _aws_kind(fields, families)
        if kind is None:
            continue
        if fields["Currency"] != "USD":
            raise RefusedError(f"{address}: prices in {fields['Currency'] or 'no currency'}, not in USD")
        key = (fields["Instance Type"], kind)
        usd = _usd(fields["PricePerUnit"], f"{address}: {key[0]}")
        if usd is None:
            continue
        if prices.setdefault(key, usd) != usd:
            doubled.add(key)
        attributes[key[0]] = fields
    if not prices:
        raise RefusedError(f"{address}: none of the instances that were asked for is in the answer")
    for (instance, kind), usd in sorted(prices.items()):
        if (instance, kind) in doubled:
            found.notes.append(f"aws {instance} {kind}: two prices in the answer; left out")
            continue
        fields, part = attributes[instance], families[instance.partition(".")[0]]
        gpus = str(CHIPS.get(instance, fields["GPU"]))
        gpus = "0" if part == "CPU" else gpus if re.fullmatch(r"[1-9]\d*", gpus) else counts.get(instance, "")
        sizes = {"accel_count": gpus, "vcpus": fields["vCPU"], "mem_gib": _gib(fields["Memory"])}
        note = f"vendor effective date {fields['EffectiveDate']}" if fields.get("EffectiveDate") else ""
        found.rows.append(
            _row("aws", instance, part, region, kind, today, sizes, {"usd_per_hour_on_demand": usd}, address, note)
        )
    return found


def _aws_lines(address: str, timeout_s: float) -> Iterator[Raw]:
    """The rows under the line of columns, which follows a few lines about the file."""
    reader = csv.reader(lines_of(address, timeout_s), strict=True)
    columns: list[str] = []
    try:
        for cells in reader:
            if columns and len(cells) == len(columns):
                yield dict(zip(columns, cells, strict=True))
            elif columns:
                raise RefusedError(f"{address}: line {reader.line_num} is cut off or broken")
            elif cells and cells[0] == "SKU":
                columns = cells
                missing = [name for name in AWS_NEEDED if name not in columns]
                if missing:
                    raise RefusedError(f"{address}: no column {missing[0]!r}; the format may have changed")
            elif reader.line_num > 20:
                break
    except csv.Error as error:
        raise RefusedError(f"{address}: line {reader.line_num} is cut off or broken ({error})") from None
    if not columns:
        raise RefusedError(f"{address}: no line of columns; the format may have changed")


def _aws_kind(fields: Raw, families: dict[str, str]) -> str | None:
    """The kind of price that a line holds, None for one that is not wanted."""
    family, _, size = fields["Instance Type"].partition(".")
    if family not in families or (families[family] == "CPU" and size not in CPU_SIZES):
        return None
    if any(fields.get(name, wanted[0]) not in wanted for name, wanted in AWS_WANTED.items()):
        return None
    if fields["TermType"] == "OnDemand":
        return "list_on_demand"
    term = fields["LeaseContractLength"].replace(" ", "")
    plain = (fields["PurchaseOption"], fields["OfferingClass"]) == ("No Upfront", "standard")
    return f"reserved_{term}" if fields["TermType"] == "Reserved" and plain and term in ("1yr", "3yr") else None


def _families(known: list[Raw]) -> dict[str, str]:
    """AWS family → its part, in the list's most telling name for it."""
    found: dict[str, str] = {}
    for one in known:
        if one["provider"] == "aws" and "." in one["instance"]:
            family = one["instance"].partition(".")[0]
            found[family] = max(found.get(family, ""), one["accelerator"], key=len)
    return found


def _gib(text: str) -> str:
    number = text.replace(",", "").removesuffix(" GiB").strip()
    return number if re.fullmatch(r"\d+(\.\d+)?", number) else ""


# --- Azure


def azure(url: str, region: str, known: list[Raw], timeout_s: float, today: str) -> Found:
    """Rows of one region from Azure's retail prices, for the sizes that the list has."""
    found = Found()
    for name, like in sorted(_sizes(known).items()):
        wanted = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and armSkuName eq '{name}'"
        address = f"{url}?{urlencode({'currencyCode': chr(39) + 'USD' + chr(39), '$filter': wanted}, quote_via=quote)}"
        prices: dict[str, set[float]] = {}
        since = ""
        for item in _azure_items(address, url, timeout_s):
            kind, hours = _azure_kind(item, name, region)
            if kind is None:
                continue
            usd = _usd(item.get("retailPrice"), f"{url}: {name}")
            if usd is None:
                continue
            prices.setdefault(kind, set()).add(usd / hours)
            since = str(item.get("effectiveStartDate", ""))[:10] if kind == "list_on_demand" else since
        for kind in [kind for kind, several in prices.items() if len(several) > 1]:
            found.notes.append(f"azure {name} {kind}: two prices in the answer; left out")
            del prices[kind]
        note = f"vendor effective date {since}" if since else ""
        of = {kind: several.pop() for kind, several in prices.items()}
        spot = of.pop("spot", None)
        if spot is not None:
            of.setdefault("list_on_demand", 0.0)  # a row with its spot price alone
        for kind, usd in of.items():
            columns = {"usd_per_hour_on_demand": usd or None}
            if kind == "list_on_demand":
                columns["usd_per_hour_spot"] = spot
            ref = f"{url} (armSkuName {name})"
            found.rows.append(_row("azure", name, like["accelerator"], region, kind, today, like, columns, ref, note))
    if not found.rows:
        raise RefusedError(f"{url}: no price of the sizes that were asked for in {region}")
    return found


def _azure_items(address: str, url: str, timeout_s: float) -> Iterator[dict[str, Any]]:
    """The items of all pages."""
    seen: set[str] = set()
    following: str | None = address
    while following:
        if following in seen or len(seen) > MAX_PAGES:
            raise RefusedError(f"{url}: pages without end")
        seen.add(following)
        if urlsplit(following).hostname != urlsplit(url).hostname:
            raise RefusedError(f"{url}: the next page is elsewhere, at {urlsplit(following).hostname}")
        try:
            page = json.loads("".join(lines_of(following, timeout_s)))
            items = page["Items"]
            if not all(isinstance(item, dict) for item in items):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise RefusedError(f"{url}: page {len(seen)} is cut off or not as documented") from None
        currencies = {str(page.get("BillingCurrency", "USD")), *(str(one.get("currencyCode")) for one in items)}
        if currencies != {"USD"}:
            raise RefusedError(f"{url}: prices in {', '.join(sorted(currencies - {'USD'}))}, not in USD")
        if page.get("Count", len(items)) != len(items):
            raise RefusedError(f"{url}: page {len(seen)} has {len(items)} of {page['Count']} items")
        yield from items
        following = page.get("NextPageLink")


def _azure_kind(item: dict[str, Any], name: str, region: str) -> tuple[str | None, float]:
    """The kind of price that an item holds, and the hours that it is for; None for one that is not wanted."""
    said = " ".join(str(item.get(key, "")) for key in ("productName", "skuName", "meterName"))
    if (
        (item.get("armSkuName"), item.get("armRegionName"), item.get("unitOfMeasure")) != (name, region, "1 Hour")
        or any(word in said for word in ("Windows", "Low Priority", "Cloud Services", "CloudServices", "Expired"))
        or item.get("isPrimaryMeterRegion") is False
    ):
        return None, 1.0
    if item.get("type") == "Consumption":
        return ("spot" if "Spot" in said else "list_on_demand"), 1.0
    years = {"1 Year": 1, "3 Years": 3}.get(str(item.get("reservationTerm")))
    if item.get("type") == "Reservation" and years:
        return f"reserved_{years}yr", float(HOURS_PER_YEAR * years)
    return None, 1.0


def _sizes(known: list[Raw]) -> dict[str, Raw]:
    """Azure's own name of each size in the list → what the list knows of it."""
    found: dict[str, Raw] = {}
    for one in known:
        if one["provider"] != "azure" or " " in one["instance"]:
            continue
        name = "Standard_" + one["instance"].removeprefix("Standard_")
        like = found.setdefault(name, {"accelerator": "", "accel_count": "", "vcpus": "", "mem_gib": ""})
        like["accelerator"] = max(like["accelerator"], one["accelerator"], key=len)
        for key in ("accel_count", "vcpus", "mem_gib"):
            like[key] = like[key] or one[key]
    return found


# --- the list


def _usd(value: object, where: str) -> float | None:
    """A price; None for zero, by which reservations paid upfront and capacity that is not used are written."""
    try:
        usd = float(str(value))
    except ValueError:
        raise RefusedError(f"{where}: {value!r} is not a price") from None
    if not math.isfinite(usd) or usd < 0:
        raise RefusedError(f"{where}: {value!r} is not a price")
    return usd or None


def _row(
    provider: str,
    instance: str,
    accelerator: str,
    region: str,
    kind: str,
    today: str,
    sizes: Raw,
    prices: Mapping[str, float | None],
    ref: str,
    note: str,
) -> Raw:
    api = {"aws": "AWS public price list API", "azure": "Azure Retail Prices API"}[provider]
    return {
        **dict.fromkeys(COLUMNS, ""),
        "provider": provider,
        "instance": instance,
        "accelerator": accelerator,
        **{key: sizes[key] for key in ("accel_count", "vcpus", "mem_gib")},
        **{key: f"{usd:.6f}".rstrip("0").rstrip(".") for key, usd in prices.items() if usd is not None},
        "region": region,
        "as_of": today,
        "price_kind": kind,
        "quality": QUALITY,
        "source": api,
        "source_ref": ref,
        "source_license": LICENSE,
        "note": note,
    }


def _key(one: Raw) -> tuple[str, str, str, str]:
    """What makes two rows prices of one offer, whatever their day; a zone has its region's price."""
    instance = one["instance"].lower().removeprefix("standard_")
    return one["provider"], instance, one["region"].partition(" (")[0], one["price_kind"]


def merged(known: list[Raw], new: list[Raw], today: str) -> list[Raw]:
    """The list with the new rows at its end; those of an earlier refresh on the same day give way to them."""
    keys = {_key(one) for one in new}
    apis = {one["source"] for one in new}
    kept = [one for one in known if not (one["as_of"] == today and one["source"] in apis and _key(one) in keys)]
    return [*kept, *new]


def changes(known: list[Raw], new: list[Raw], regions: dict[str, list[str]]) -> Iterator[str]:
    """One line for each price that moved, appeared or is no longer answered, and how many stayed."""
    last: dict[tuple[str, str, str, str], Raw] = {}
    for one in known:
        before = last.get(_key(one))
        if before is None or _day(one) >= _day(before):
            last[_key(one)] = one
    same = 0
    for one in new:
        before = last.pop(_key(one), None)
        name = f"{one['provider']} {one['instance']} {one['region']} {one['price_kind']}"
        for column, what in (("usd_per_hour_on_demand", ""), ("usd_per_hour_spot", " spot")):
            old, now = (before or {}).get(column, ""), one[column]
            if now and not old:
                yield f"{name}{what}: new, {now}"
            elif now and float(now) != float(old):
                yield f"{name}{what}: {old} -> {now} ({float(now) / float(old) - 1:+.1%})"
            elif now:
                same += 1
    for (provider, _, region, _), one in last.items():
        if region in regions.get(provider, ()) and one["price_kind"].startswith(("list_", "reserved_")):
            yield f"{provider} {one['instance']} {region} {one['price_kind']}: not in the answer; the row stays"
    yield f"{same} prices as before"


def _day(one: Raw) -> str:
    return one["as_of"] if re.fullmatch(r"\d{4}-\d\d-\d\d", one["as_of"]) else ""


def read_list(path: Path) -> list[Raw]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            found = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(f"{path}: cannot be read ({_reason(error)})") from None
    if not found or set(found[0]) != set(COLUMNS):
        raise RefusedError(f"{path}: not a price list; its columns must be those of bench/data/hourly_prices.csv")
    return found


def write_list(path: Path, rows: list[Raw]) -> None:
    """The whole new list or the old one, whatever happens in between."""
    for one in rows:
        row(**one)  # what cannot be read again must not be written
    beside: str | None = None
    try:
        fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
        raise RefusedError(f"{path}: cannot be written ({_reason(error)})") from None


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--aws-url", default=AWS_URL, help="where AWS's price list is")
    options.add_argument("--azure-url", default=AZURE_URL, help="where Azure's retail prices are")
    options.add_argument("--aws-region", action="append", help="us-east-1 unless given; repeat for more")
    options.add_argument("--azure-region", action="append", help="eastus unless given; repeat for more")
    options.add_argument("--only", choices=("aws", "azure"), help="ask one of them alone")
    options.add_argument("--out", type=Path, default=LIST, help="the list to renew; the package's where it is new")
    options.add_argument("--timeout-s", type=float, default=60.0, help="for each answer to go on")
    options.add_argument("--dry-run", action="store_true", help="say what would change and write nothing")
    chosen = options.parse_args()
    today = str(datetime.now(UTC).date())
    regions = {"aws": chosen.aws_region or ["us-east-1"], "azure": chosen.azure_region or ["eastus"]}
    if chosen.only:
        regions = {chosen.only: regions[chosen.only]}
    ask = {"aws": (aws, chosen.aws_url), "azure": (azure, chosen.azure_url)}
    try:
        known = read_list(chosen.out if chosen.out.exists() else LIST)
        found = Found()
        for provider, names in regions.items():
            for region in names:
                part = ask[provider][0](ask[provider][1], region, known, chosen.timeout_s, today)
                found.rows += part.rows
                found.notes += part.notes
        for line in (*found.notes, *changes(known, found.rows, regions)):
            print(line)
        if not chosen.dry_run:
            write_list(chosen.out, merged(known, found.rows, today))
            print(f"{len(found.rows)} rows of {today} are in {chosen.out}")
    except RefusedError as error:
        print(f"error: {error}; the list is as it was", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
