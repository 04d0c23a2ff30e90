"""Whether a name out of a user's file can be shown: a control character in it could recolour the terminal."""

import unicodedata

_OTHER = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what has no shape: controls, directions and joiners, halves of pairs, breaks of lines."""


def unprintable(text: str) -> bool:
    """Whether there is a character in it that a terminal obeys instead of showing it. Spaces of any width are shown.

    >>> unprintable("\\x1b[31mred"), unprintable("a\\x00b"), unprintable("Zürich 東京\\xa01")
    (True, True, False)
    """
    return not text.isprintable() and any(unicodedata.category(one) in _OTHER for one in text)
