"""The same text here and at APIs: a token of one model is not a token of another, a character is a character."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.cost import characters
from bench.cost.characters import Count
from bench.metrics.statistics import Estimate
from bench.models import sample_text
from bench.report.costs import ApiComparison
from bench.report.rows import Row

MCHAR = 1_000_000


@dataclass(frozen=True)
class SameText:
    """A million characters of one kind of text in the row's mix of lengths: here at its utilisation, and at an API.

    `api_tokens_per_own` is how many tokens the API charges for one of this model's; None where its tokenizer is not
    to be had, and its tokens are taken as equal. `own_tokenizer` names what this model's tokens were counted with.
    """

    api: str
    text: str
    own_tokenizer: str
    api_tokenizer: str | None
    api_tokens_per_own: float | None
    self_usd_per_mchar: Estimate
    api_usd_per_mchar: float
    ratio: Estimate


def same_text(
    row: Row, self_usd_per_request: Estimate, apis: tuple[ApiComparison, ...], text: str
) -> Iterator[SameText]:
    """One line an API; nothing where this model's own tokenizer is not to be had."""
    own = own_count(row, text)
    if own is None:
        return
    tokenizer, count = own
    work = row.cell.workload
    mchar = (work.input_tokens + work.output_tokens) / count.tokens_per_character / MCHAR
    for one in apis:
        found = characters.find(one.model.model_id) or characters.find(one.api)
        theirs = None if found is None else found.parts[text]
        factor = 1.0 if theirs is None else characters.same_text_ratio(theirs, count)
        fresh = work.input_tokens - one.cached_tokens
        tokens = [round(tokens * factor) for tokens in (fresh, work.output_tokens, one.cached_tokens)]
        price = one.model.request_usd(tokens[0], tokens[1], tokens[2])
        yield SameText(
            api=one.api,
            text=text,
            own_tokenizer=tokenizer,
            api_tokenizer=None if found is None else found.tokenizer,
            api_tokens_per_own=None if theirs is None else factor,
            self_usd_per_mchar=self_usd_per_request.times(1 / mchar),
            api_usd_per_mchar=price / mchar,
            ratio=self_usd_per_request.times(1 / price),
        )


def own_count(row: Row, text: str) -> tuple[str, Count] | None:
    """The measured model's tokens of a part of the sample: counted when it was measured, else listed by its name."""
    facts = None if row.figures is None else row.figures.facts
    if facts is not None and text in facts.text_tokens and facts.text_sha256 == sample_text.sha256():
        return "its own", Count(facts.text_tokens[text], len(sample_text.sample_parts()[text]))
    listed = characters.find(row.cell.model.source)
    return None if listed is None else (listed.tokenizer, listed.parts[text])
