"""Whether an API model can answer a chat request: one that draws, speaks, listens or embeds is no comparison."""

import re

from bench.cost.apis.quote import Quote

BATCH = "@batch"

_NO_TEXT = re.compile(r"(?<![a-z])(image|audio|transcribe|tts|embed(?:ding|dings)?|realtime)(?![a-z])")
"""Words in a model's id that say what else it does. Several such models are sold by tokens in and out."""


def why_not(name: str, quote: Quote, said: str | None) -> str | None:
    """Why a model cannot answer a chat request, None where it can. `said`: what the source of the quote says of it.

    What a user's file calls a text model is one, whatever its name.
    """
    lowest = quote.tariff.tiers[0]
    if lowest.input and not lowest.output:
        return "has no price of output text tokens"
    if said is not None or quote.basis == "file":
        return said
    asked = name.removesuffix(BATCH).partition("/")[2]
    word = _NO_TEXT.search(asked.lower()) or _NO_TEXT.search(quote.model_id.lower())
    return None if word is None else f"is no text model by its name ({word.group()})"
