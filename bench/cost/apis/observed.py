"""API prices as the releases of `genai-prices` saw them: each release is a dated snapshot, kept here as changes.

A price is known from the day of the first release that holds it to the day of the last one that does. `valid_from` is
late and never early: by the days between two releases, and by as long as nobody told the package of a change, which was
months for some hosts of open models. The first release, of July 2025, says nothing of when its prices began.
`scripts/price_history.py` rebuilds the file, and says what it takes for a correction instead of a change.
"""

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

from bench.cost.apis.quote import Quote
from bench.cost.tariff import Tariff, Tier

PACKAGE = "genai-prices"


def quotes(provider_id: str, model_id: str) -> tuple[Quote, ...]:
    """Every price that was seen for this model id, ascending by the first day; empty for a model never seen.

    Ids are those of the releases, lower case as they stand there; an id that a later release renamed has a history
    under each of its names.
    """
    return _quotes().get((provider_id, model_id), ())


@cache
def models() -> frozenset[tuple[str, str]]:
    """Every (provider, model id) that any release priced by tokens."""
    return frozenset(_quotes())


def released(package: str, version: str) -> date | None:
    """The day on which a release of a price package was uploaded (UTC); None for one that is not listed.

    >>> released("genai-prices", "0.2.3")
    datetime.date(2026, 11, 10)
    """
    return _released().get((package, version))


@cache
def _released() -> dict[tuple[str, str], date]:
    return {
        (row["package"], row["version"]): date.fromisoformat(row["released"]) for row in _rows("price_packages.csv")
    }


@cache
def _quotes() -> dict[tuple[str, str], tuple[Quote, ...]]:
    found: dict[tuple[str, str], list[Quote]] = {}
    for row in _rows("api_price_history.csv"):
        found.setdefault((row["provider"], row["model_id"]), []).append(_quote(row))
    return {key: tuple(sorted(rows, key=lambda one: one.valid_from or date.min)) for key, rows in found.items()}


def _quote(row: dict[str, str]) -> Quote:
    first, last = row["version_first"], row["version_last"]
    return Quote(
        source=f"{PACKAGE} {first}" + (f" to {last}" if last != first else ""),
        provider=row["provider"],
        model_id=row["model_id"],
        tariff=Tariff(tuple(_tiers(row))),
        basis="observed",
        valid_from=date.fromisoformat(row["first_seen"]),
        confirmed=date.fromisoformat(row["last_seen"]),
    )


def _tiers(row: dict[str, str]) -> Iterator[Tier]:
    """The lowest tier stands in columns of its own, the others as `above:input/cached/output`, with | between."""
    prices = (row["input_usd_per_mtok"], row["cached_usd_per_mtok"], row["output_usd_per_mtok"])
    yield Tier(-1, *(Decimal(price) for price in prices))
    for text in filter(None, row["tiers"].split("|")):
        above, _, higher = text.partition(":")
        yield Tier(int(above), *(Decimal(price) for price in higher.split("/")))


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (files("bench.data") / name).open(encoding="utf-8") as text:
        yield from csv.DictReader(text)
