"""The same text here and at APIs: a token of one model is not a token of another, a character is a character."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from bench.cost import characters
from bench.cost.characters import Count
from bench.cost.dollars import MTOK
from bench.cost.tariff import Tariff
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.models import sample_text
from bench.report.costs import LEAST_USD, ApiComparison
from bench.report.rows import Row

MCHAR = 1_000_000


@dataclass(frozen=True)
class SameText:
    """A million characters of one kind of text in the row's mix of lengths: here at its utilisation, and at an API.

    `api_tokens_per_own` is how many tokens the API charges for one of this model's; None where its tokenizer is not
    to be had, and its tokens are taken as equal. `own_tokenizer` names what this model's tokens were counted with.
    """

    api: str
    utilisation: float
    text: str
    own_tokenizer: str
    api_tokenizer: str | None
    api_tokens_per_own: float | None
    self_usd_per_mchar: Estimate
    api_usd_per_mchar: float
    ratio: Estimate


def same_text(
    row: Row, self_usd_per_request: Estimate, utilisation: float, apis: tuple[ApiComparison, ...], text: str
) -> Iterator[SameText]:
    """One line an API; nothing where this model's own tokenizer is not to be had.

    `utilisation` is what the dollars are at. An API's tokens are not whole: they are the average over a text, and
    rounding would bend short requests. Raises InputError where an API asks nothing for them.
    """
    own = own_count(row, text)
    if own is None:
        return
    tokenizer, count = own
    work = row.cell.workload
    mchar = (work.input_tokens + work.output_tokens) / count.tokens_per_character / MCHAR
    for one in apis:
        found = characters.find(one.model.model_id) or characters.find(one.api)
        theirs = None if found is None else found.parts[text]
        factor = Fraction(1) if theirs is None else _ratio(theirs, count)
        fresh = work.input_tokens - one.cached_tokens
        price = request_usd(one.model.tariff, fresh * factor, one.cached_tokens * factor, work.output_tokens * factor)
        if price < LEAST_USD:
            raise InputError(f"{one.api}: these requests cost nothing there; leave it out")
        yield SameText(
            api=one.api,
            utilisation=utilisation,
            text=text,
            own_tokenizer=tokenizer,
            api_tokenizer=None if found is None else found.tokenizer,
            api_tokens_per_own=None if theirs is None else float(factor),
            self_usd_per_mchar=self_usd_per_request.times(1 / mchar),
            api_usd_per_mchar=price / mchar,
            ratio=self_usd_per_request.times(1 / price),
        )


def request_usd(tariff: Tariff, input_tokens: Fraction, cached_tokens: Fraction, output_tokens: Fraction) -> float:
    """`Tariff.request_usd` for parts of tokens, at the tier of the prompt; exact but for the last rounding.

    >>> from decimal import Decimal
    >>> from bench.cost.tariff import Tier
    >>> dear = Tier(1000, Decimal(2), Decimal(1), Decimal(4))
    >>> tariff = Tariff((Tier(-1, Decimal(1), Decimal("0.5"), Decimal(2)), dear))
    >>> request_usd(tariff, Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)) * 1e6
    1.0
    >>> round(request_usd(tariff, Fraction(2001, 2), Fraction(0), Fraction(1)) * 1e6, 6)  # half a token above 1000
    2005.0
    """
    tier = tariff.at(math.ceil(input_tokens + cached_tokens))
    parts = ((input_tokens, tier.input), (cached_tokens, tier.cached), (output_tokens, tier.output))
    return float(sum(tokens * Fraction(price) for tokens, price in parts) / MTOK + Fraction(tariff.usd_per_request))


def _ratio(api: Count, own: Count) -> Fraction:
    """`characters.same_text_ratio`, exact, so that no rounding lifts a prompt over the edge of a tier."""
    return Fraction(api.tokens, api.characters) / Fraction(own.tokens, own.characters)


def own_count(row: Row, text: str) -> tuple[str, Count] | None:
    """The measured model's tokens of a part of the sample: counted when it was measured, else listed by its name."""
    facts = None if row.figures is None else row.figures.facts
    if facts is not None and text in facts.text_tokens and facts.text_sha256 == sample_text.sha256():
        return "its own", Count(facts.text_tokens[text], len(sample_text.sample_parts()[text]))
    listed = characters.find(row.cell.model.source)
    return None if listed is None else (listed.tokenizer, listed.parts[text])
