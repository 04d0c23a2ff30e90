"""Who sells the tokens of an open model, and for how much: every listing of it that a price source holds.

A host runs the model itself. A router (OpenRouter, Hugging Face's providers) passes requests on to hosts and is listed
apart. Left out: free and batch listings, which are another product, and a lab that gives its weights away and serves no
API of them, for which a price package carries a router's price on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bench.claims.claim import dated_sources
from bench.cost import api_prices
from bench.cost.apis.quote import Quote
from bench.cost.blend import Blend
from bench.errors import InputError

_START = r"(?:^|[/.]|meta-)"

MODELS = {
    "gpt-oss-120b": re.compile(r"gpt-oss-120b", re.IGNORECASE),
    "Llama-3.3-70B": re.compile(_START + r"llama-?v?3[._p-]3-70b", re.IGNORECASE),
    "Llama-3.1-8B": re.compile(_START + r"llama-?v?3[._p-]1-8b", re.IGNORECASE),
}
"""The open models of the claims, and the ids of their listings."""

ROUTERS = re.compile(r"openrouter|huggingface_.*")
NOT_THE_PRODUCT = re.compile(r":(?:free|batch)$")
SERVES_NONE = {"openai": "gpt-oss-120b"}


@dataclass(frozen=True)
class Listing:
    """A model at a host, with its blended price in USD per million tokens."""

    name: str
    provider: str
    usd: Decimal
    is_router: bool
    quote: Quote

    def described(self) -> str:
        """`provider/model` and its prices."""
        tier = self.quote.tariff.tiers[0]
        return f"{self.name} ({api_prices.usd(tier.input)} in, {api_prices.usd(tier.output)} out)"


def listings(
    model: str, blend: Blend, as_of: date | None = None, files: Sequence[str] = ()
) -> tuple[tuple[Listing, ...], tuple[Listing, ...]]:
    """Hosts and routers of one of `MODELS`, the cheapest first; those without a price on that day are left out."""
    found: dict[object, Listing] = {}
    for provider in api_prices.providers(files):
        if SERVES_NONE.get(provider) == model:
            continue
        for model_id in api_prices.models(provider, files):
            if MODELS[model].search(model_id) and not NOT_THE_PRODUCT.search(model_id):
                for one in _listed(f"{provider}/{model_id}", blend, as_of, files):
                    found.setdefault((one.provider, one.quote.tariff), one)  # two ids of one product
    listed = sorted(found.values(), key=lambda one: (one.usd, one.name))
    hosts, routers = (tuple(one for one in listed if one.is_router is kind) for kind in (False, True))
    return hosts, routers


def _listed(name: str, blend: Blend, as_of: date | None, files: Sequence[str]) -> list[Listing]:
    try:
        priced = api_prices.lookup(name, as_of, files)
    except InputError:
        return []  # no price on that day
    tier = priced.tariff.tiers[0]
    router = ROUTERS.fullmatch(priced.provider_id) is not None
    return [Listing(name, priced.provider_id, blend.of(tier.input, tier.output), router, priced.quote)]


def sources(of: Sequence[Listing], as_of: date | None = None) -> tuple[str, ...]:
    """Each source once, with the last day for which it vouches for any of them."""
    return dated_sources((one.quote for one in of), as_of)
