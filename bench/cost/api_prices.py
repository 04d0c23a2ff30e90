"""What the same requests cost at APIs: a small adapter over `genai-prices`, which is offline and exact (`Decimal`).

Prices are never updated over the network here; the package's version dates them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from bench.errors import InputError, nearest

DEFAULT_APIS = ("groq/llama-3.1-8b-instant", "openai/gpt-5-nano", "google/gemini-2.5-flash-lite")
"""Small models: an open Llama on special hardware, and the smallest of two closed families."""


@dataclass(frozen=True)
class ApiModel:
    """One model at one provider. Prices of a request are asked for with `request_usd`, because some have tiers."""

    name: str
    provider_id: str
    model_id: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def request_usd(self, input_tokens: int, output_tokens: int) -> float:
        """USD of one request with no cached tokens."""
        return _request_usd(self.provider_id, self.model_id, input_tokens, output_tokens)


def source() -> str:
    """The price data and its version, for a footnote."""
    return f"genai-prices {version('genai-prices')}"


@cache
def lookup(name: str) -> ApiModel:
    """A model by `provider/model`. Raises InputError with the nearest names."""
    provider_id, slash, model = name.partition("/")
    known = _providers()
    if not slash or not model:
        raise InputError(f"API model {name!r} must be provider/model, such as {DEFAULT_APIS[0]}")
    if provider_id not in known:
        raise InputError(f"unknown API provider {provider_id!r}; {nearest(provider_id, known)}")
    try:
        price = _calculated(provider_id, model, 1_000_000, 1_000_000)
    except LookupError:
        raise InputError(
            f"unknown model {model!r} at {provider_id}; {nearest(model, known[provider_id])} "
            f"(all: bench prices --api {provider_id})"
        ) from None
    small = _calculated(provider_id, model, 1000, 1000)  # the tier that ordinary requests fall into
    if price.total_price <= 0:
        raise InputError(f"no token price is known for {name}; choose another --api")
    return ApiModel(
        name=name,
        provider_id=provider_id,
        model_id=price.model.id,
        input_usd_per_mtok=float(small.input_price) * 1000,
        output_usd_per_mtok=float(small.output_price) * 1000,
    )


def models(provider_id: str) -> list[str]:
    """Model ids of a provider. Raises InputError for an unknown one."""
    known = _providers()
    if provider_id not in known:
        raise InputError(f"unknown API provider {provider_id!r}; {nearest(provider_id, known)}")
    return known[provider_id]


def providers() -> list[str]:
    """Every provider id."""
    return sorted(_providers())


@cache
def _providers() -> dict[str, list[str]]:
    from genai_prices.data_snapshot import get_snapshot

    return {provider.id: [model.id for model in provider.models] for provider in get_snapshot().providers}


@cache
def _request_usd(provider_id: str, model: str, input_tokens: int, output_tokens: int) -> float:
    """Many rows ask for the price of the same request."""
    return float(_calculated(provider_id, model, input_tokens, output_tokens).total_price)


def _calculated(provider_id: str, model: str, input_tokens: int, output_tokens: int) -> Any:
    from genai_prices import Usage, calc_price

    return calc_price(
        Usage(input_tokens=input_tokens, output_tokens=output_tokens),
        model,
        provider_id=provider_id,
        genai_request_timestamp=datetime.now(UTC),
    )
