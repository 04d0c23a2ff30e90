"""What the same requests cost at APIs, on any day: one name, several sources, each with its date, and no guess.

The order of trust: a user's file, `genai-prices` (its dated entries, then what its releases held, then launch prices
of OpenAI's flagships), the models that this package adds, and `model-prices`, which is otherwise the second opinion.
All of it is offline and exact (`Decimal`). A day for which nobody knows a price is an error.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from pathlib import Path

from bench.cost.apis import genai, litellm, observed, second, text_models, timeline
from bench.cost.apis.quote import STALE_DAYS, Quote, agree
from bench.cost.tariff import Tariff
from bench.errors import InputError, nearest

DEFAULT_APIS = ("groq/llama-3.1-8b-instant", "openai/gpt-5-nano", "google/gemini-2.5-flash-lite")
"""Small models: an open Llama on special hardware, and the smallest of two closed families."""

BATCH = "@batch"
CLASSES = ("batches", "flex", "priority", "fast", "standard", "ultrafast", "cached")
"""Ends of a name that a person may try, and that are not known."""

Files = Sequence[Path | str]


@dataclass(frozen=True)
class Opinion:
    """What one source says; what must be said when its price is used, and what in any case."""

    quote: Quote
    remarks: tuple[str, ...] = ()
    warning: str | None = None
    not_text: str | None = None
    """Why the source says that it is no text model."""


@dataclass(frozen=True)
class ApiModel:
    """One model at one provider at the prices of one day. `others`: what the other sources say for the same day."""

    name: str
    quote: Quote
    others: tuple[Quote, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def provider_id(self) -> str:
        return self.quote.provider

    @property
    def model_id(self) -> str:
        return self.quote.model_id

    @property
    def tariff(self) -> Tariff:
        return self.quote.tariff

    @property
    def input_usd_per_mtok(self) -> float:
        """USD per million input tokens in the lowest tier: that of ordinary requests."""
        return float(self.tariff.tiers[0].input)

    @property
    def output_usd_per_mtok(self) -> float:
        """USD per million output tokens in the lowest tier."""
        return float(self.tariff.tiers[0].output)

    def request_usd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """USD of one request; `input_tokens` are those that the API has not in its cache."""
        return float(self.request_usd_exact(input_tokens, output_tokens, cached_tokens))

    def request_usd_exact(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """The same, exact."""
        return self.quote.tariff.request_usd(input_tokens, cached_tokens, output_tokens)

    def disagreement(self) -> str | None:
        """One sentence with the prices of every source, where one of them asks another price than is used here."""
        differing = [one for one in self.others if not agree(self.quote, one)]
        if not differing:
            return None
        return f"sources disagree on {self.name}: " + ", but ".join(_says(one) for one in (self.quote, *differing))

    def notes(self, on: date) -> list[str]:
        """What a reader of a table on the day `on` should know about this price, one sentence each."""
        disagreement = self.disagreement()
        return [
            *(f"{self.name}: {remark}" for remark in self.remarks),
            f"{self.name}: {dated(self.quote, on)}",
            *([disagreement] if disagreement else []),
        ]


def source() -> str:
    """The first source and its version, for a footnote."""
    return genai.source()


def lookup(name: str, as_of: date | None = None, files: Files = ()) -> ApiModel:
    """A text model by `provider/model`, with `@batch` behind it for its batch prices, at the prices of a day (None:
    today), to compare with: one that can answer a chat request.

    Raises InputError with the nearest names for one that is unknown, for a day for which no price is known, and for a
    model that has no price of output text tokens, or that draws, speaks, listens or embeds.
    """
    found, refused = _lookup(name, *_day(name, as_of), _read(files))
    if refused is not None:
        raise InputError(f"{name} {refused}; choose a text model")
    return found


def listed(name: str, as_of: date | None = None, files: Files = ()) -> ApiModel:
    """The same for a list of prices: of any model that is sold by tokens, embeddings and pictures included."""
    return _lookup(name, *_day(name, as_of), _read(files))[0]


def is_text(name: str, as_of: date | None = None, files: Files = ()) -> bool:
    """Whether `lookup` would take a model that `listed` has."""
    return _lookup(name, *_day(name, as_of), _read(files))[1] is None


def opinions(name: str, as_of: date | None = None, files: Files = ()) -> tuple[Opinion, ...]:
    """What each source says for that day, the most trusted one first; empty where none does."""
    return _opinions(name, *_day(name, as_of), _read(files))


def history(name: str, files: Files = ()) -> tuple[Quote, ...]:
    """Every price that any source knows for a model, ascending in time.

    Quotes without a first day stand at the last day for which their source vouches. Raises InputError for an unknown
    name.
    """
    return _history(name, _read(files))


def models(provider_id: str, files: Files = ()) -> list[str]:
    """Model ids that have a token price, from all sources. Raises InputError for an unknown provider."""
    provider, read = genai.canonical(provider_id), _read(files)
    known = _known(read)
    if provider not in known:
        raise InputError(f"unknown API provider {provider_id!r}; {nearest(provider_id, [*known, *genai.ALIASES])}")
    return known[provider]


def providers(files: Files = ()) -> list[str]:
    """Every provider id."""
    return sorted(_known(_read(files)))


def first_day(quote: Quote) -> date:
    """The day from which a quote is known: its own first one, else that of the release which holds it."""
    return quote.valid_from or quote.confirmed or date.max


def usd(price: Decimal) -> str:
    """A price as people write it, to nine digits: some sources hold what is left of a sum of floats.

    >>> usd(Decimal("2.50")), usd(Decimal("30")), usd(Decimal("0.0000001")), usd(Decimal("1.0399999999999998"))
    ('$2.5', '$30', '$0.0000001', '$1.04')
    """
    text = f"{Decimal(f'{price:.9g}'):f}"
    return "$" + (text.rstrip("0").rstrip(".") if "." in text else text)


def dated(quote: Quote, on: date) -> str:
    """Source, first day and age of a price in words, for a reader on the day `on`."""
    since = {
        "documented": f"in force since {quote.valid_from}",
        "recorded": f"written down on {quote.valid_from}",
        "observed": f"first seen on {quote.valid_from}",
    }.get(quote.basis, "with no first day")
    age = quote.age_days(on)
    if age is None:
        return f"{quote.source}, {since}, of unknown age"
    days = f"{age} day{'' if age == 1 else 's'} before {on}"
    old = f": older than {STALE_DAYS} days" if quote.stale(on) else ""
    return f"{quote.source}, {since}, last confirmed on {quote.confirmed}" + (f", {days}{old}" if age else "")


def _day(name: str, as_of: date | None) -> tuple[date, bool]:
    """The day, and whether it is today."""
    today = datetime.now(UTC).date()
    if as_of is not None and as_of > today:
        raise InputError(f"{name}: {as_of} is in the future; prices are known up to today, {today}")
    return as_of or today, as_of in (None, today)


@cache
def _lookup(name: str, on: date, current: bool, files: tuple[litellm.PriceFile, ...]) -> tuple[ApiModel, str | None]:
    """The model, and why it cannot answer a chat request, where it cannot."""
    found = _opinions(name, on, current, files)
    if not found:
        raise InputError(_why_not(name, on, files))
    warnings = tuple(one.warning for one in found if one.warning)
    model = ApiModel(name, found[0].quote, tuple(one.quote for one in found[1:]), (*found[0].remarks, *warnings))
    return model, text_models.why_not(name, found[0].quote, found[0].not_text)


@cache
def _opinions(name: str, on: date, current: bool, files: tuple[litellm.PriceFile, ...]) -> tuple[Opinion, ...]:
    provider, model, batch = _parts(name)
    asked = name.removesuffix(BATCH)
    every = chain(
        (_from_file(one, provider, model, asked, batch, on, current) for one in files),
        [
            _from_genai(provider, model, batch, on, current),
            _from_file(litellm.extra(), provider, model, asked, batch, on, current),
            _from_second(provider, model, batch, on),
        ],
    )
    return tuple(one for one in every if one is not None)


def _from_file(
    file: litellm.PriceFile, provider: str, model: str, asked: str, batch: bool, on: date, current: bool
) -> Opinion | None:
    """A file with a date says nothing of earlier days; one without is believed for any, on the word of its owner."""
    entry = file.find(provider, model, asked, batch)
    quote = None if entry is None else file.quote(entry, batch)
    if quote is None or not (current or file.day is None or file.day <= on):
        return None
    remark = () if current or file.day is not None else (f"{file.source} has no date and is taken for {on}",)
    return Opinion(quote, remark, not_text=None if entry is None else entry.not_text)


def _from_genai(provider: str, model: str, batch: bool, on: date, current: bool) -> Opinion | None:
    """The entry in force; for a day before the release one without a date is none, and what releases held counts."""
    found = genai.find(provider, model)
    if found is not None:
        spans, release = genai.spans(found, batch), genai.release_day()
        begun = [span for span in spans if span[0] <= on]
        if begun and (begun[-1][0] != date.min or current or (release is not None and release <= on)):
            quote = begun[-1][1]
            hours = genai.times_of_day(found, on) if begun[-1] == spans[-1] else None
            remarks = (*genai.remarks(found, model), *([hours] if hours else []))
            return None if quote is None else Opinion(quote, remarks, not_text=genai.not_text(found.model))
    if batch or (found is not None and current):
        return None
    seen = [quote for quote in _observed(provider, model, found) if first_day(quote) <= on]
    if seen:
        return Opinion(seen[-1], genai.remarks(found, model) if found is not None else ())
    launched = [quote for quote in timeline.quotes(provider, model.lower()) if first_day(quote) <= on]
    return Opinion(launched[-1]) if launched else None


def _from_second(provider: str, model: str, batch: bool, on: date) -> Opinion | None:
    listed = _listed(provider, model)
    quote = None if listed is None else genai.in_force(second.spans(listed, batch), on)
    if listed is None or quote is None:
        return None
    hours, status = second.times_of_day(listed, on), second.status(listed)
    warning = f"{second.source()} says that the lab has {status} it" if status else None
    return Opinion(quote, (hours,) if hours else (), warning)


def _listed(provider: str, model: str) -> second.Listed | None:
    """By the name that was asked for, else by the id that it stands for."""
    listed = second.find(provider, model)
    if listed is None:
        found = genai.find(provider, model)
        if found is not None and found.owner == provider:
            listed = second.find(provider, found.model.id)
    return listed


def _observed(provider: str, model: str, found: genai.Found | None) -> tuple[Quote, ...]:
    """Of the name that was asked for, else of the id that it stands for today."""
    seen = observed.quotes(provider, model) or observed.quotes(provider, model.lower())
    return seen if seen or found is None else observed.quotes(found.owner, found.model.id)


@cache
def _history(name: str, files: tuple[litellm.PriceFile, ...]) -> tuple[Quote, ...]:
    if not _is_known(name, files):
        raise InputError(_unknown(name, files))
    return tuple(sorted(_every_quote(name, files), key=lambda quote: (first_day(quote), quote.source)))


def _every_quote(name: str, files: tuple[litellm.PriceFile, ...]) -> Iterator[Quote]:
    provider, model, batch = _parts(name)
    for file in (*files, litellm.extra()):
        entry = file.find(provider, model, name.removesuffix(BATCH), batch)
        quote = None if entry is None else file.quote(entry, batch)
        if quote is not None:
            yield quote
    found = genai.find(provider, model)
    seen = () if batch else _observed(provider, model, found)
    yield from seen
    known = {quote.tariff for quote in seen}
    for _, quote in genai.spans(found, batch) if found is not None else ():
        if quote is not None and (quote.valid_from is not None or quote.tariff not in known):
            yield quote
    if not batch:
        yield from timeline.quotes(provider, model.lower())
    listed = _listed(provider, model)
    for _, quote in second.spans(listed, batch) if listed is not None else ():
        if quote is not None:
            yield quote


def _parts(name: str) -> tuple[str, str, bool]:
    """Provider, model, and whether batch prices are meant."""
    plain = name.removesuffix(BATCH)
    provider, slash, model = plain.partition("/")
    if not slash or not model.strip():
        raise InputError(f"API model {name!r} must be provider/model, such as {DEFAULT_APIS[0]}")
    end = model.rpartition("@")[2] if "@" in model else ""
    if plain != name and plain.lower().endswith(BATCH):
        while plain.lower().endswith(BATCH):
            plain = plain[: -len(BATCH)]
        raise InputError(f"API model {name!r}: {BATCH} stands there more than once; write {plain}{BATCH}")
    if end.lower() in (*CLASSES, "batch"):
        raise InputError(f"API model {name!r}: @{end} is not known; the only such end is {BATCH}")
    return genai.canonical(provider), model.strip(), plain != name


def _is_known(name: str, files: tuple[litellm.PriceFile, ...]) -> bool:
    provider, model, batch = _parts(name)
    asked = name.removesuffix(BATCH)
    return (
        genai.find(provider, model) is not None
        or second.find(provider, model) is not None
        or bool(_observed(provider, model, None) or timeline.quotes(provider, model.lower()))
        or any(file.find(provider, model, asked, batch) is not None for file in (*files, litellm.extra()))
    )


def _why_not(name: str, on: date, files: tuple[litellm.PriceFile, ...]) -> str:
    if not _is_known(name, files):
        return _unknown(name, files)
    known = [quote for quote in _history(name, files) if not genai.only_past(quote)]
    plain = name.removesuffix(BATCH)
    if not known and plain != name:
        return f"{name}: no batch price is known; {plain} without {BATCH} is its ordinary price"
    if not known:
        return f"no token price is known for {name}; choose another --api"
    later = [quote for quote in known if first_day(quote) > on]
    word, other = ("first" if len(later) == len(known) else "next", later[0]) if later else ("last", known[-1])
    return f"{name}: no price is known for {on}; the {word} known is {first_day(other)} ({_says(other)})"


def _unknown(name: str, files: tuple[litellm.PriceFile, ...]) -> str:
    provider, model, _ = _parts(name)
    known = _known(files)
    if provider not in known:
        asked = name.partition("/")[0]
        return f"unknown API provider {asked!r}; {nearest(asked, [*known, *genai.ALIASES])}"
    plain, _, end = model.rpartition("@")
    if plain.lower() in {one.lower() for one in known[provider]}:
        meant = name.removesuffix(BATCH).rpartition("@")[0] + BATCH
        return f"API model {name!r}: @{end} is not known; did you mean {meant!r}?"
    own = "".join(f" --file {shlex.quote(file.source)}" for file in files)
    every = f"(all: bench prices api {provider}{own})"
    return f"unknown model {model!r} at {provider}; {nearest(model, known[provider])} {every}"


@cache
def _known(files: tuple[litellm.PriceFile, ...]) -> dict[str, list[str]]:
    """Model ids by provider, from all sources. A name that genai-prices takes for another one is not listed twice."""
    found: dict[str, dict[str, str]] = {}
    for provider, ids in genai.models().items():
        found[provider] = {model.lower(): model for model in ids}
    for file in (*files, litellm.extra()):
        for provider, model in file.models():
            found.setdefault(provider, {}).setdefault(model.lower(), model)
    for provider, ids in second.models().items():
        for model in ids:
            known = genai.find(provider, model)
            if known is None or not genai.spans(known):
                found.setdefault(provider, {}).setdefault(model.lower(), model)
    return {provider: list(ids.values()) for provider, ids in found.items() if ids}


def _read(files: Files) -> tuple[litellm.PriceFile, ...]:
    return tuple(litellm.read(path) for path in files)


def _says(quote: Quote) -> str:
    texts = []
    for tier in quote.tariff.tiers:
        cached = f", {usd(tier.cached)} cached" if tier.cached != tier.input else ""
        above = f"above {tier.above:,} tokens " if tier.above >= 0 else ""
        texts.append(f"{above}{usd(tier.input)} in{cached}, {usd(tier.output)} out")
    return f"{quote.source} says {'; '.join(texts)} per Mtok"
