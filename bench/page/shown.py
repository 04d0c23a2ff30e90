"""Names and errors out of records, as text that can be shown: nothing in them steers the page or its reading order."""

import unicodedata

LONGEST = 120
"""Characters of a name in a table; the whole of it stands in the details."""

_STEERS = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode's categories of what has no shape of its own: controls, directions, joiners, halves of pairs, breaks."""


def visible(text: str) -> str:
    """Text in which every control character is a sign that can be seen.

    >>> visible("a\\nb\\x1b[31m"), visible("x\\u202ey\\ud800")
    ('a␊b␛[31m', 'x⟨U+202E⟩y⟨U+D800⟩')
    """
    return text if text.isprintable() else "".join(_sign(one) for one in text)


def _sign(one: str) -> str:
    if unicodedata.category(one) not in _STEERS:
        return one
    code = ord(one)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def cut(text: str, longest: int = LONGEST) -> str:
    """At most so many characters, the end marked where something is missing.

    >>> cut("abcdef", 4), cut("abcd", 4)
    ('abc…', 'abcd')
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"
