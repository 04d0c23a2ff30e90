"""One request at an API: what it costs on the day of the prices, and what a reader should know about that price."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from bench.cost import api_prices
from bench.cost.api_prices import ApiModel, usd
from bench.cost.tariff import Tier
from bench.errors import InputError
from bench.report.costs import LEAST_USD
from bench.report.footnotes import merged
from bench.schema import CostChoices

PLAIN = (
    *("source", "provider", "model_id", "valid_from", "confirmed", "prices_of", "stale", "disagreement"),
    "cached_tokens",
)
"""The keys of `plain`."""


@dataclass(frozen=True)
class ApiRequest:
    """A request of `prompt_tokens` at an API, `cached_tokens` of them in its cache.

    `assumed`: more of the prompt is taken as cached than the load or the row says, by `api_cached_share`.
    """

    model: ApiModel
    day: date
    prompt_tokens: int
    cached_tokens: int
    assumed: bool
    usd_per_request: float

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def tier(self) -> Tier:
        """The prices that this prompt pays."""
        return self.model.tariff.at(self.prompt_tokens)


def names(choices: CostChoices) -> tuple[str, ...]:
    """The APIs to compare with: those that were named, else the default ones."""
    return choices.apis or api_prices.DEFAULT_APIS


def request(name: str, prompt: int, cached: int, new: int, choices: CostChoices) -> ApiRequest:
    """Of the prompt at least the cached tokens and the assumed share are in the API's cache.

    Raises InputError for an API that is not known, or not on the day of the prices, and for one that asks nothing.
    """
    model = api_prices.lookup(name, choices.as_of, choices.api_price_files)
    at_least = max(cached, round(choices.api_cached_share * prompt))
    price = model.request_usd(prompt - at_least, new, at_least)
    if price < LEAST_USD:
        raise InputError(f"{name}: these requests cost nothing there; leave it out")
    return ApiRequest(model, choices.as_of or datetime.now(UTC).date(), prompt, at_least, at_least > cached, price)


def notes(found: Iterable[ApiRequest]) -> list[str]:
    """The prices with their day, source and doubts, and how much of the prompt is taken as cached at which price."""
    asked = list(dict.fromkeys(found))
    said = []
    for day in dict.fromkeys(one.day for one in asked):
        models = list(dict.fromkeys(one.model for one in asked if one.day == day))
        when = f"on {day}" if day == datetime.now(UTC).date() else f"as of {day}"
        said.append(f"API prices {when}, $ per Mtok: {', '.join(map(_listed, models))}.")
        said += merged([note for model in models for note in model.notes(day)])
    for tokens in dict.fromkeys((one.cached_tokens, one.prompt_tokens, one.assumed) for one in asked):
        same = [one for one in asked if (one.cached_tokens, one.prompt_tokens, one.assumed) == tokens]
        if tokens[0]:
            said.append(_cached(same))
    return said


def plain(one: ApiRequest) -> dict[str, Any]:
    """What the price rests on, as plain values."""
    quote = one.model.quote
    values = (
        quote.source,
        quote.provider,
        quote.model_id,
        None if quote.valid_from is None else quote.valid_from.isoformat(),
        None if quote.confirmed is None else quote.confirmed.isoformat(),
        one.day.isoformat(),
        quote.stale(one.day),
        one.model.disagreement(),
        one.cached_tokens,
    )
    return dict(zip(PLAIN, values, strict=True))


def _cached(found: Sequence[ApiRequest]) -> str:
    """One sentence for requests with as many cached tokens of as many."""
    first = found[0]
    share = f" ({first.cached_tokens / first.prompt_tokens:.0%} assumed)" if first.assumed else ""
    said = f"{first.cached_tokens} of {first.prompt_tokens} prompt tokens{share} are taken as cached at the API"
    unlike = {one.model: one.tier for one in found}
    priced = [f"{model.name} at {usd(tier.cached)}" for model, tier in unlike.items() if tier.cached != tier.input]
    others = [model.name for model, tier in unlike.items() if tier.cached == tier.input]
    parts = [f"$ per Mtok: {', '.join(priced)}"] if priced else []
    parts += [f"no cached price listed: {', '.join(others)}, input price used"] if others else []
    return f"{said}; {'; '.join(parts)}. Writing the cache is not priced."


def _listed(model: ApiModel) -> str:
    tier = model.tariff.tiers[0]
    return f"{model.name} ({usd(tier.input)} in, {usd(tier.output)} out)"
