"""A second opinion: `model-prices`, dated prices of the labs that make the models, with no hosts.

Its own look-up answers any date, any suffix and any lab that serves the name. Here a model is found by its exact id at
its own lab or not at all, and an interval begins when its price was first known, never before. The snapshot is read as
it stands in the package, so that its numbers are exact and no cached download changes them.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from bench.cost.apis import observed
from bench.cost.apis.genai import Spans
from bench.cost.apis.quote import Basis, Quote
from bench.cost.tariff import Tariff, Tier
from bench.errors import InputError

PACKAGE = "model-prices"
SCHEMA = 1

LABS = {"x-ai": "xai", "aws": "amazon-bedrock"}
"""Providers that the package calls otherwise. On Bedrock it follows Amazon's own models alone."""

BASES: dict[str, Basis] = {
    "documented": "documented",
    "models.dev commit": "recorded",
    "first observed": "observed",
}


@dataclass(frozen=True)
class Listed:
    """A model's place in the snapshot."""

    provider: str
    lab: str
    model_id: str


@cache
def source() -> str:
    """The package and its version."""
    return f"{PACKAGE} {version(PACKAGE)}"


@cache
def models() -> dict[str, tuple[str, ...]]:
    """The model ids that have ever had a price, by provider."""
    ours = {lab: provider for provider, lab in LABS.items()}
    found = {}
    for lab, listed in _data()["prices"].items():
        provider = ours.get(lab, lab)
        priced = tuple(model for model in listed if spans(Listed(provider, lab, model)))
        if priced:
            found[provider] = priced
    return found


def find(provider: str, model: str) -> Listed | None:
    """The model of exactly this id at this lab; upper and lower case are the same."""
    lab = LABS.get(provider, provider)
    model_id = _ids(lab).get(model.lower())
    return None if model_id is None else Listed(provider, lab, model_id)


@cache
def spans(listed: Listed, batch: bool = False) -> Spans:
    """What a model costs from which day on; empty where no price was ever known.

    An interval begins on the day that its price was first written down: the package stretches the first one back to the
    beginning of time, and batch prices back to the day on which the lab began to sell batches.
    """
    intervals = _data()["prices"][listed.lab][listed.model_id].get("batch" if batch else "standard", [])
    found: list[tuple[date, Quote | None]] = []
    for number, interval in enumerate(intervals):
        end = _day(intervals[number + 1]["start"]) if number + 1 < len(intervals) else None
        rates = interval["rates"]
        days = [_day(text) for text in (interval["start"], rates and rates["valid_from"]) if text]
        start = max(days, default=date.min)
        if end is not None and start >= end:
            continue
        tariff = None if rates is None else _tariff(rates)
        quote = None if tariff is None else _quote(listed, tariff, rates, start, end)
        last = found[-1][1] if found else None
        if quote is not None and last is not None and last.tariff == quote.tariff:
            known = Quote(**{**last.__dict__, "confirmed": quote.confirmed})
            found[-1] = (found[-1][0], known)
        else:
            found.append((start, quote))
    return tuple(found) if any(quote for _, quote in found) else ()


def times_of_day(listed: Listed, on: date) -> str | None:
    """Where the lab's price depends on the hour on that day: when, and how many times the price of noon is asked."""
    for rule in _data()["schedules"].get("schedule", []):
        ends = rule.get("valid_until")
        if rule["provider"] != listed.lab or on < _day(rule["valid_from"]) or (ends and on >= _day(ends)):
            continue
        kind = "peak" if "peak_hours_utc" in rule else "off_peak"
        factor = rule[f"{kind}_multiplier"]
        if isinstance(factor, dict):
            factor = factor.get(listed.model_id)
        if factor is not None:
            hours = ", ".join("-".join(window) for window in rule[f"{kind}_hours_utc"])
            days = " from Monday to Friday" if rule.get("weekdays_only") else ""
            days += " except on holidays" if rule.get("holidays") else ""
            return f"the hour decides: {hours} UTC{days} {float(factor):g} times the price used here ({source()})"
    return None


def status(listed: Listed) -> str | None:
    """`deprecated` or `removed`, where the lab has said so."""
    found = _data()["status"].get(listed.lab, {}).get(listed.model_id)
    return None if found is None else str(found)


def _tariff(rates: dict[str, Any]) -> Tariff | None:
    """None where tokens cost nothing. A tier that leaves a price out keeps that of the tier below."""
    now = dict(rates)
    tiers = [_tier(-1, now)]
    for step in rates.get("tiers") or ():
        now |= {key: price for key, price in step.items() if price is not None}
        tiers.append(_tier(int(step["above"]), now))
    return Tariff(tuple(tiers)) if any(tier.input or tier.output for tier in tiers) else None


def _tier(above: int, rates: dict[str, Any]) -> Tier:
    into, cached, out = Decimal(rates["input"]), rates.get("cache_read"), Decimal(rates["output"])
    return Tier(above, into, into if cached is None else Decimal(cached), out)


def _quote(listed: Listed, tariff: Tariff, rates: dict[str, Any], start: date, end: date | None) -> Quote:
    """Vouched for up to the release of the package, or to the day before the price changed."""
    known = observed.released(PACKAGE, version(PACKAGE)) or _day(_data()["updated_at"])
    return Quote(
        source=source(),
        provider=listed.provider,
        model_id=listed.model_id,
        tariff=tariff,
        basis=BASES.get(rates["valid_from_basis"], "recorded"),
        valid_from=start,
        confirmed=known if end is None else min(known, end - timedelta(days=1)),
    )


def _day(moment: str) -> date:
    return datetime.fromisoformat(moment).date()


@cache
def _ids(lab: str) -> dict[str, str]:
    return {model.lower(): model for model in _data()["prices"].get(lab, {})}


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("model_prices") / "snapshot.json").read_bytes(), parse_float=Decimal)
    if found.get("schema") != SCHEMA:
        raise InputError(
            f"{source()}: its snapshot has schema {found.get('schema')!r}, known is {SCHEMA}; install {PACKAGE} 0.0.5"
        )
    return found
