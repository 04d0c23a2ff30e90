"""How many input tokens stand beside one output token: the blend that one price per million tokens is quoted at.

A blend decides a comparison as much as the prices do, so it is always named beside the figure that it made.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from bench.errors import InputError

Usd = TypeVar("Usd", Decimal, float)

_FORM = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*[:/]\s*(\d{1,9}(?:\.\d{1,9})?)\s*", re.ASCII)


@dataclass(frozen=True)
class Blend:
    """Parts of input and of output tokens, and the words that they were given in."""

    input_parts: Decimal
    output_parts: Decimal
    name: str

    def of(self, input_usd: Usd, output_usd: Usd) -> Usd:
        """The price of the blend, in the unit of the two prices. Exact for `Decimal` up to its 28 digits.

        GPT-4 of March 2023, $30 in and $60 out:

        >>> parse("80/20").of(30.0, 60.0), parse("3:1").of(Decimal(30), Decimal(60))
        (36.0, Decimal('37.5'))
        """
        if isinstance(input_usd, Decimal) and isinstance(output_usd, Decimal):
            total = self.input_parts + self.output_parts
            return (self.input_parts * input_usd + self.output_parts * output_usd) / total
        one, other = float(self.input_parts), float(self.output_parts)
        return (one * float(input_usd) + other * float(output_usd)) / (one + other)

    def __str__(self) -> str:
        return self.name


def parse(text: str, option: str = "--blend") -> Blend:
    """A blend as people write it: input first, a colon or a slash between.

    >>> parse("80/20")
    Blend(input_parts=Decimal('80'), output_parts=Decimal('20'), name='80/20')
    >>> parse("3:0")
    Traceback (most recent call last):
    ...
    bench.errors.InputError: --blend: '3:0' is no blend; write input:output in positive numbers, such as 3:1 or 80/20
    """
    found = _FORM.fullmatch(text)
    parts = [Decimal(part) for part in found.groups()] if found else []
    if not parts or min(parts) <= 0:
        raise InputError(
            f"{option}: {text!r} is no blend; write input:output in positive numbers, such as 3:1 or 80/20"
        )
    return Blend(parts[0], parts[1], text.strip())
