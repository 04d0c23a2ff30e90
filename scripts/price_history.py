"""Rebuild the dated history of API prices from the releases of `genai-prices`. Online, and never needed to run `bench`.

    .venv/bin/python scripts/price_history.py                        # some 80 small downloads, a minute or two
    .venv/bin/python scripts/price_history.py --changes 40           # nothing is written; the largest changes are shown

Each release on PyPI is a snapshot of what APIs asked on the day of its upload. This script downloads every wheel
(checked against the SHA-256 of the index), has each one's own code load its data in a process of its own (the classes
changed over time, the names of the prices did not), and writes what changed from one to the next to
`bench/data/api_price_history.csv`, and the days of the releases to `bench/data/price_packages.csv`. It downloads with
urllib, which comes with Python.

What becomes of a release:

- Of several releases on one day (UTC) the last one counts; a yanked one does not.
- A model's price is the one that the release's conditions give for noon UTC of that day (as in
  `bench/cost/apis/genai.py`); the prices of other hours do not count.
- Left out: resellers and subscriptions, and prices that a release says it took from a reseller; models with no price
  per input or per output token, or with none above zero; models that also charge by the request, whose token prices
  alone are not what a request costs.
- Where no price is listed for cached input, the input price stands. Tiers of prompt length apply to the whole prompt.
- Prices are rounded to a billionth of a dollar per million tokens, which removes the float noise of some sources.

What becomes of the whole:

- A row is a period of equal prices. A release without the model ends a period only if the model returns with another
  price.
- That a release is the first to write hours down is no price change: a price before it that is now that of some hours
  is dropped.
- Corrections are no price changes. Since its release 0.1.0 of 2026-07-30 the package keeps the old price beside the
  new one when an API changes it, and overwrites the old one when that was wrong (its pull requests 535, 564 and 623
  say so). So prices that were replaced since then without a gap, and that the newest release does not know any more,
  are dropped. Before that release, changes are taken as they were seen.
"""

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

PACKAGE = "genai-prices"
DATED = (PACKAGE, "model-prices", "litellm==1.109.1")
"""Packages whose releases date a price; of litellm, whose releases are many and large, the one that was looked at."""

LEFT_OUT = frozenset({"openrouter", "github-copilot", "quicksilverpro", "cursor"})
"""Resellers and subscriptions: their prices follow others', or are none."""

WHEELS = Path(tempfile.gettempdir()) / "llm-cost-bench-wheels"
DATA = Path(__file__).resolve().parents[1] / "bench" / "data"
HISTORY, PACKAGES = "api_price_history.csv", "price_packages.csv"
KEEPS_OLD_PRICES = date(2026, 7, 30)
"""From here on a price that is gone from the newest release was a mistake."""

BORROWED = "mported from OpenRouter"
"""What a release's comment says of a price that it took from a reseller."""

ACCEPT = "application/vnd.pypi.simple.v1+json"
TIMEOUT_S = 60


Asked = tuple[str, str]
"""USD per million tokens in and out, in the lowest tier."""


@dataclass(frozen=True)
class Release:
    """One release of a package: when its first wheel was uploaded, and where that lies."""

    package: str
    version: str
    uploaded: datetime
    url: str
    sha256: str | None
    yanked: bool


class Prices(NamedTuple):
    """USD per million tokens, as normal decimal text; `tiers` as the CSV has them."""

    input: str
    cached: str
    output: str
    tiers: str


@dataclass(frozen=True)
class Period:
    """From the first to the last release in which a model had these prices."""

    provider: str
    model_id: str
    prices: Prices
    first: Release
    last: Release
    by_hour: frozenset[Asked]

    def asked(self) -> Asked:
        return self.prices.input, self.prices.output

    def cells(self) -> tuple[str, ...]:
        days = (str(self.first.uploaded.date()), str(self.last.uploaded.date()))
        return (self.provider, self.model_id, *days, *self.prices, self.first.version, self.last.version)


class Seen(NamedTuple):
    """What a release says of a model: the prices of its day, all that it knows to have been asked until then outside of
    special hours, and what is asked at those."""

    prices: Prices
    known: frozenset[Asked]
    by_hour: frozenset[Asked]


Snapshot = Mapping[tuple[str, str], Seen]


# The index


def releases(index: str, package: str) -> list[Release]:
    """Every release of a package that has a wheel, by upload time (PEP 691 and 700)."""
    page = f"{index.rstrip('/')}/{package}/"
    listing = json.loads(_get(page, ACCEPT))
    found: dict[str, Release] = {}
    for file in listing["files"]:
        if not file["filename"].endswith(".whl"):
            continue
        if "upload-time" not in file:
            raise SystemExit(f"{page} gives no upload-time (PEP 700); use another --index")
        release = Release(
            package=package,
            version=file["filename"].split("-")[1],
            uploaded=datetime.fromisoformat(file["upload-time"]).astimezone(UTC),
            url=urljoin(page, file["url"]),
            sha256=file.get("hashes", {}).get("sha256"),
            yanked=bool(file.get("yanked")),
        )
        if release.version not in found or release.uploaded < found[release.version].uploaded:
            found[release.version] = release
    return sorted(found.values(), key=lambda one: (one.uploaded, one.version))


def one_a_day(found: Iterable[Release]) -> list[Release]:
    """The last release of each day, without yanked ones."""
    return list({one.uploaded.date(): one for one in found if not one.yanked}.values())


def wheel(release: Release, folder: Path) -> Path:
    """The wheel of a release, downloaded unless the folder has it; its checksum is compared either way."""
    path = folder / urlsplit(release.url).path.rsplit("/", 1)[-1]
    content = path.read_bytes() if path.exists() else _get(release.url)
    if release.sha256 is not None and hashlib.sha256(content).hexdigest() != release.sha256:
        raise SystemExit(f"{path}: not the file that the index names (SHA-256 differs); delete it and start again")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def _get(url: str, accept: str = "*/*") -> bytes:
    if urlsplit(url).scheme not in ("http", "https"):
        raise SystemExit(f"{url}: only http and https are read")
    try:
        request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 (scheme checked above)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise SystemExit(f"{url}: {error}") from None


# A release's own data, in a process of its own


def snapshot(release: Release, path: Path) -> Snapshot:
    """Every price of a release on the day of its upload, as its own code loads it."""
    words = [sys.executable, "-W", "ignore", __file__, "--read", str(release.uploaded.date())]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(path.resolve())}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{path.name} cannot be read: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return {
        (provider, model): Seen(Prices(*prices), *(frozenset((one, other) for one, other in each) for each in asked))
        for provider, model, prices, *asked in json.loads(done.stdout)
    }


def read(on: date) -> list[tuple[str, str, Prices, list[Asked], list[Asked]]]:
    """In the child: what the `genai_prices` that is found first on the path says of each model."""
    from genai_prices import data

    found = []
    for provider in data.providers:
        for model in provider.models:
            if provider.id in LEFT_OUT or BORROWED in (getattr(model, "price_comments", None) or ""):
                continue
            started, by_hour = in_force(model.prices, on)
            current = token_prices(started[-1]) if started else None
            if current is not None:
                found.append((provider.id, model.id, current, _asked(started), _asked(by_hour)))
    return found


def in_force(prices: Any, on: date) -> tuple[list[Any], list[Any]]:
    """All prices that have begun, the one that counts last; and those of other hours than noon, which never count."""
    if not isinstance(prices, list):
        return [prices], []
    begun = [one for one in prices if _begun(one.constraint, on)] or prices[:1]
    by_hour = [one.prices for one in prices if _has_hours(one.constraint) and not _at_noon(one.constraint)]
    if _has_hours(begun[-1].constraint):  # noon is in a window: what stands before it is the price of the other hours
        by_hour += [one.prices for one in begun[:-1]][-1:]
    return [one.prices for one in begun], by_hour


def _has_hours(constraint: Any) -> bool:
    return hasattr(constraint, "start_time")


def _at_noon(constraint: Any) -> bool:
    noon, start, end = (one.replace(tzinfo=None) for one in (time(12), constraint.start_time, constraint.end_time))
    return bool(start <= noon < end if start <= end else noon >= start or noon < end)


def _begun(constraint: Any, on: date) -> bool:
    if constraint is None or _has_hours(constraint):
        return constraint is None or _at_noon(constraint)
    start = constraint.start_date if hasattr(constraint, "start_date") else constraint.start.date()
    return start <= on


def _asked(every: Iterable[Any]) -> list[Asked]:
    return sorted({(one.input, one.output) for prices in every if (one := token_prices(prices)) is not None})


def token_prices(prices: Any) -> Prices | None:
    """Prices as text; None for what is not paid by input and output token alone."""
    named = vars(prices)
    one, other = named.get("input_mtok"), named.get("output_mtok")
    if one is None or other is None or named.get("requests_kcount"):
        return None
    cached = named.get("cache_read_mtok")
    kinds = (one, one if cached is None else cached, other)
    if not (_at(one, 0) or _at(other, 0)):
        return None
    starts = sorted({tier.start for kind in kinds for tier in getattr(kind, "tiers", ())})
    tiers = [f"{start}:" + "/".join(_text(_at(kind, start + 1)) for kind in kinds) for start in starts]
    return Prices(*(_text(_at(kind, 0)) for kind in kinds), "|".join(tiers))


def _at(price: Any, prompt_tokens: int) -> Decimal:
    """The price for a prompt of so many tokens, of a plain price or of one with tiers."""
    found = getattr(price, "base", price)
    for tier in sorted(getattr(price, "tiers", ()), key=lambda one: one.start):
        found = tier.price if prompt_tokens > tier.start else found
    return Decimal(found)


def _text(price: Decimal) -> str:
    """No exponent, no trailing zeros, no float noise."""
    return f"{round(price, 9).normalize():f}"


# From snapshots to periods


def periods(snapshots: Iterable[tuple[Release, Snapshot]]) -> list[Period]:
    """Periods of equal prices without those that were corrected, by provider, model and first day. Snapshots ascend."""
    found: dict[tuple[str, str], list[Period]] = {}
    before: dict[Release, Release | None] = {}
    newest: Snapshot = {}
    previous = None
    for release, newest in snapshots:
        before[release], previous = previous, release
        for (provider, model_id), seen in newest.items():
            period = Period(provider, model_id, seen.prices, release, release, seen.by_hour)
            found.setdefault((provider, model_id), []).append(period)
    rows = []
    for key in sorted(found):
        known = newest[key].known if key in newest else None
        rows += _merged(_real(_merged(found[key]), before, known))
    return rows


def _merged(rows: Iterable[Period]) -> list[Period]:
    """Neighbours of equal prices become one period."""
    merged: list[Period] = []
    for row in rows:
        if merged and merged[-1].prices == row.prices:
            merged[-1] = replace(merged[-1], last=row.last)
        else:
            merged.append(row)
    return merged


def _real(rows: list[Period], before: Mapping[Release, Release | None], known: frozenset[Asked] | None) -> list[Period]:
    """Without prices that nobody asked. One that differs from such only in its cached price or tiers goes with it."""
    kept, wrong = rows[-1:], False
    for old, new in reversed(list(pairwise(rows))):
        if old.asked() != new.asked():
            in_place = before[new.first] == old.last and new.first.uploaded.date() >= KEEPS_OLD_PRICES
            corrected = in_place and known is not None and old.asked() not in known
            wrong = corrected or old.asked() in new.by_hour
        if not wrong:
            kept.insert(0, old)
    return kept


def changes(rows: Sequence[Period]) -> Iterator[tuple[float, Period, Period]]:
    """Each change of a model's input or output price with its factor, the larger of the two, always above 1."""
    for old, new in pairwise(rows):
        if (old.provider, old.model_id) != (new.provider, new.model_id):
            continue
        pairs = [
            (float(old.prices.input), float(new.prices.input)),
            (float(old.prices.output), float(new.prices.output)),
        ]
        factor = max((max(a, b) / min(a, b) if min(a, b) else float("inf")) for a, b in pairs if a or b)
        if factor > 1:
            yield factor, old, new


def write(path: Path, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A CSV file, whole or not at all."""
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(heading)
        writer.writerows(rows)
    beside.replace(path)


HEADING = (
    *("provider", "model_id", "first_seen", "last_seen"),
    *("input_usd_per_mtok", "cached_usd_per_mtok", "output_usd_per_mtok", "tiers"),
    *("version_first", "version_last"),
)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", default="https://pypi.org/simple", metavar="URL", help="a simple index (PEP 691)")
    parser.add_argument("--keep", type=Path, default=WHEELS, help="the folder that wheels are kept in")
    parser.add_argument("--out", type=Path, default=DATA, help="the folder that the two files are written to")
    parser.add_argument(
        "--changes", type=int, metavar="N", help="write nothing; print the N largest changes of a price"
    )
    parser.add_argument("--read", type=date.fromisoformat, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        json.dump(read(options.read), sys.stdout)
        return
    listed = releases(options.index, PACKAGE)
    rows = periods((one, snapshot(one, wheel(one, options.keep))) for one in one_a_day(listed))
    if options.changes is not None:
        largest = sorted(changes(rows), key=lambda one: one[0], reverse=True)
        for factor, old, new in largest[: options.changes]:
            print(f"{factor:8.2f}x", *old.cells(), "->", *new.cells()[2:])
        return
    write(options.out / HISTORY, HEADING, (row.cells() for row in rows))
    write(options.out / PACKAGES, ("package", "version", "released", "source"), _dated(options.index, listed))
    print(
        f"{len(rows)} periods of {len({(row.provider, row.model_id) for row in rows})} models, {len(listed)} releases"
    )


def _dated(index: str, listed: Sequence[Release]) -> Iterator[tuple[str, str, str, str]]:
    source = f"upload-time at {urlsplit(index).hostname}"
    for wanted in DATED:
        package, _, version = wanted.partition("==")
        for one in listed if package == PACKAGE else releases(index, package):
            if version in ("", one.version):
                yield package, one.version, str(one.uploaded.date()), source


if __name__ == "__main__":
    main()
