"""Prices out of `genai-prices`, with the days on which they begin: quotes of our own, so that nothing is clamped.

The package answers any date with a price, that of its first entry where it knows none. Here an entry without a date has
no date: it is known from the day of the release on. Its tiers, dated entries and batch variants become a `Tariff`
once a model; pricing a request is then four products and no look-up. Where the hour decides, the price is that of noon
UTC, which is the price of most hours, and a remark names the others.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bench.cost.apis import observed
from bench.cost.apis.quote import Quote
from bench.cost.tariff import Tariff, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

PACKAGE = "genai-prices"

ALIASES = {
    **dict.fromkeys(("bedrock", "bedrock_converse", "bedrock-converse", "amazon", "amazon-bedrock"), "aws"),
    **dict.fromkeys(("azure_ai", "azure-ai", "azure_openai", "azure-openai", "azure_text"), "azure"),
    **dict.fromkeys(("gemini", "vertex", "vertexai", "vertex_ai", "vertex-ai", "google-vertex"), "google"),
    **dict.fromkeys(("together_ai", "together-ai", "togetherai"), "together"),
    **dict.fromkeys(("fireworks_ai", "fireworks-ai"), "fireworks"),
    **dict.fromkeys(("mistralai", "mistral-ai"), "mistral"),
    **dict.fromkeys(("z-ai", "z.ai"), "zai"),
    **dict.fromkeys(("sambanova-cloud", "sambanova_cloud", "sambanova.ai"), "sambanova"),
    **dict.fromkeys(("deep-infra", "deep_infra"), "deepinfra"),
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "cohere_chat": "cohere",
    "meta_llama": "meta",
    "voyage": "voyageai",
    "github_copilot": "github-copilot",
    "copilot": "github-copilot",
    "zhipu": "zhipuai",
}
"""Other names of providers. The package accepts every name that contains one it knows, which would be a guess."""

BATCH = {"processing": "batch"}
NOON = time(12)

_OTHER_OUTPUT = re.compile(r"output_(image|audio|video)_mtok|(output_)?audio_hours")

Spans = tuple[tuple[date, Quote | None], ...]
"""Ascending days, and what is asked from each on; None where nothing is known or nothing is charged."""


@dataclass(frozen=True)
class Found:
    """A model as the package knows it. `owner` is the provider whose price it is, if not the one that was asked for."""

    provider: str
    owner: str
    model: "ModelInfo"


def canonical(provider: str) -> str:
    """The id of a provider by any of its names.

    >>> canonical("Bedrock"), canonical("together_ai"), canonical("groq")
    ('aws', 'together', 'groq')
    """
    name = provider.strip().lower()
    return ALIASES.get(name, name)


@cache
def source() -> str:
    """The package and its version."""
    return f"{PACKAGE} {version(PACKAGE)}"


@cache
def release_day() -> date | None:
    """The day of the installed release; None where the list of releases does not have it."""
    return observed.released(PACKAGE, version(PACKAGE))


@cache
def models() -> dict[str, tuple[str, ...]]:
    """The model ids that are priced by tokens, by provider."""
    return {
        provider.id: tuple(model.id for model in provider.models if spans(Found(provider.id, provider.id, model)))
        for provider in _providers().values()
    }


@cache
def find(provider: str, model: str) -> Found | None:
    """A model by its id, or by any name that the package matches to one; with Azure and its like at the lab as well."""
    at = _providers().get(provider)
    if at is None:
        return None
    own = _ids(provider).get(model.lower()) or at.find_model(model)
    if own is not None:
        return Found(provider, provider, own)
    for owner in at.fallback_model_providers or ():
        lent = _providers()[owner].find_model(model) if owner in _providers() else None
        if lent is not None:
            return Found(provider, owner, lent)
    return None


def spans(found: Found, batch: bool = False) -> Spans:
    """What a model costs from which day on; empty where it is not priced by tokens.

    `date.min` stands for "no date". A batch price of another provider's model is not taken over, as in the package.
    """
    if batch and found.owner != found.provider:
        return ()
    starts = sorted({date.min, *_starts(found.model, batch)})
    tariffs = [_tariff_at(found.model, datetime.combine(start, NOON, UTC), batch) for start in starts]
    quotes: list[tuple[date, Quote | None]] = []
    for start, tariff, end in zip(starts, tariffs, [*starts[1:], None], strict=True):
        last = quotes[-1][1] if quotes else None
        if last is not None and last.valid_from is not None and tariff == last.tariff:
            quotes[-1] = (quotes[-1][0], replace(last, confirmed=_confirmed(end)))
        else:
            quotes.append((start, None if tariff is None else _quote(found, tariff, start, end)))
    return tuple(quotes) if any(quote for _, quote in quotes) else ()


def in_force(found: Spans, on: date) -> Quote | None:
    """The quote of the last span that has begun."""
    return next((quote for start, quote in reversed(found) if start <= on), None)


def tariff(prices: Mapping[str, Any]) -> Tariff | None:
    """The prices of text tokens, and of a request where there is such a fee; None where tokens cost nothing.

    `prices` is the dictionary of a `ModelPrice`: prices per million by key, each a Decimal or one with tiers. What is
    charged for pictures, sound or searches is left out: the requests that are compared have none.
    """
    into, cached, out = (prices.get(key) for key in ("input_mtok", "cache_read_mtok", "output_mtok"))
    starts = {tier.start for price in (into, cached, out) for tier in getattr(price, "tiers", ())}
    tiers = []
    for above in sorted({-1, *starts}):
        at = _at(into, above)
        tiers.append(Tier(above, at, at if cached is None else _at(cached, above), _at(out, above)))
    if not any(tier.input or tier.output for tier in tiers):
        return None
    fee = prices.get("requests_kcount")
    return Tariff(tuple(tiers), Decimal(0) if fee is None else _at(fee, -1) / 1000)


def remarks(found: Found, asked: str) -> tuple[str, ...]:
    """What to say where the price is that of another name, or of another provider."""
    texts = []
    if found.model.id.lower() != asked.lower():
        texts.append(f"priced as {found.model.id}, which {PACKAGE} takes it for")
    if found.owner != found.provider:
        texts.append(f"{found.provider} has no entry of its own for it; {PACKAGE} takes the price of {found.owner}")
    return tuple(texts)


def not_text(model: "ModelInfo") -> str | None:
    """Why a model is no text model: its prices know another output than text, or sound by the hour."""
    for entry in _entries(model):
        for key, price in entry.prices.__dict__.items():
            if price is not None and _OTHER_OUTPUT.fullmatch(key):
                return f"is also sold by {key}"
    return None


def only_past(quote: Quote) -> bool:
    """A price of this package that is known to have ended, but not when it began: no day can be priced with it."""
    ended, release = quote.confirmed, release_day()
    ours = quote.source == source() and quote.valid_from is None
    return ours and ended is not None and release is not None and ended < release


def times_of_day(found: Found, on: date) -> str | None:
    """Where the price depends on the hour: the hours (UTC) at which another one than that of noon is asked."""
    windows = [entry.constraint for entry in _entries(found.model) if hasattr(entry.constraint, "start_time")]
    edges = sorted({edge.replace(tzinfo=None) for window in windows for edge in (window.start_time, window.end_time)})
    usual = _tariff_at(found.model, datetime.combine(on, NOON, UTC), batch=False)
    texts = []
    for begin, end in zip(edges, [*edges[1:], *edges[:1]], strict=True):
        asked = _tariff_at(found.model, datetime.combine(on, begin, UTC), batch=False)
        if asked is not None and asked != usual:
            lowest = asked.tiers[0]
            texts.append(f"{begin:%H:%M}-{end:%H:%M} UTC ${lowest.input:f} in, ${lowest.output:f} out per Mtok")
    return f"the hour decides: {'; '.join(texts)}; at all other hours the price used here" if texts else None


def _at(price: Any, above: int) -> Decimal:
    """The price of a prompt of more than `above` tokens, and no more than the next tier asks for."""
    if price is None:
        return Decimal(0)
    if isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= above]
    return Decimal(reached[-1] if reached else price.base)


def _entries(model: "ModelInfo") -> list[Any]:
    from genai_prices.types import ConditionalPrice, ModelPrice

    return [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else list(model.prices)


def _batch_variants(model: "ModelInfo") -> list[Any]:
    """Of two that name the same price the earlier one wins."""
    return [variant for variant in model.price_variants or () if variant.when == BATCH]


def _starts(model: "ModelInfo", batch: bool) -> Iterator[date]:
    for entry in [*_entries(model), *(_batch_variants(model) if batch else ())]:
        if hasattr(entry.constraint, "start_date"):
            yield entry.constraint.start_date


def _begun(entry: Any, moment: datetime) -> bool:
    return entry.constraint is None or bool(entry.constraint.active(moment))


def _tariff_at(model: "ModelInfo", moment: datetime, batch: bool) -> Tariff | None:
    standard = next((entry for entry in reversed(_entries(model)) if _begun(entry, moment)), None)
    if standard is None:
        return None
    prices = dict(standard.prices.__dict__)
    if batch:
        changed: dict[str, Any] = {}
        for variant in _batch_variants(model):
            if _begun(variant, moment):
                changed = {**{key: one for key, one in variant.prices.__dict__.items() if one is not None}, **changed}
        if not changed.keys() & {"input_mtok", "output_mtok"}:
            return None
        prices |= changed
    return tariff(prices)


def _quote(found: Found, priced: Tariff, start: date, end: date | None) -> Quote:
    dated = start != date.min
    return Quote(
        source=source(),
        provider=found.provider,
        model_id=found.model.id,
        tariff=priced,
        basis="documented" if dated else "snapshot",
        valid_from=start if dated else None,
        confirmed=_confirmed(end),
    )


def _confirmed(end: date | None) -> date | None:
    """The release vouches for what it lists as current; for a price that ended before, up to the day before."""
    known = release_day()
    return known if end is None or known is None else min(known, end - timedelta(days=1))


@cache
def _ids(provider: str) -> "dict[str, ModelInfo]":
    return {model.id.lower(): model for model in _providers()[provider].models}


@cache
def _providers() -> "dict[str, Provider]":
    from genai_prices.data_snapshot import get_snapshot

    return {provider.id: provider for provider in get_snapshot().providers}
