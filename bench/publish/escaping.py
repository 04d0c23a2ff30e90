"""Foreign text in a table: a model's name or an error is shown as text, whatever it holds.

Three steps: what cannot be seen is made visible (control characters, bidirectional marks, lone surrogates, by their
code), lines become one, and then each format's own marks are taken their meaning from.
"""

import html
import re
import unicodedata

LONGEST = 200
"""Characters of a cell in a format for people."""

LONGEST_NOTE = 600


def visible(text: str) -> str:
    """One line without characters that hide or reorder others.

    >>> visible("a\\nb\\u202ec")
    'a b⟨U+202E⟩c'
    """
    if text.isprintable():
        return text
    line = "".join(" " if one in "\n\r\t\v\f\x85\u2028\u2029" else one for one in text)
    return "".join(f"⟨U+{ord(one):04X}⟩" if _is_hidden(one) else one for one in line)


def _is_hidden(one: str) -> bool:
    """Controls, format marks, surrogates, and code points that nobody has given a meaning."""
    return unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn")


def shortened(text: str, longest: int = LONGEST) -> str:
    """At most so many characters, the last of which says that there were more."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def line(text: str, longest: int = LONGEST) -> str:
    """Visible, on one line, single spaces, not too long."""
    # Cut first: of ten thousand characters only so many are looked at.
    return shortened(" ".join(visible(shortened(text, 4 * longest)).split()), longest)


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&@!^])")
_LINK = re.compile(r"(?<=[A-Za-z])(://)|(?<=\b[wW]{3})(\.)|(?<=\bmailto)(:)|(?<=\bxmpp)(:)")
_BLOCK = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=:])")


def markdown(text: str) -> str:
    """For GitHub: no emphasis, code, link, image, HTML, entity, mathematics, mention or list can come of it.

    >>> markdown("a|b <b> $x$ https://x.y")
    'a\\\\|b \\\\<b\\\\> \\\\$x\\\\$ https\\\\://x.y'
    """
    marked = _MARKDOWN.sub(r"\\\1", text)
    marked = _LINK.sub(lambda found: "\\" + found.group(0), marked)
    return _BLOCK.sub(lambda found: f"{found.group(1) or ''}\\{found.group(2) or found.group(3)}", marked)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",
    "'": r"\char39{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
    "−": "$-$",
    "Δ": r"$\Delta$",
    "†": r"\dag{}",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "⟨": r"$\langle$",
    "⟩": r"$\rangle$",
    "\u00a0": "~",
}
_LIGATURES = re.compile(r"(?<=[-,?!])(?=[-,?!])")


def latex(text: str) -> str:
    """For text mode: every special character as itself. What pdflatex has no letter for is shown by its code.

    Brackets and asterisks stand in braces: after a line's end, TeX would take them for an option of it.

    >>> latex("50% of {a_b} & [c] --x")
    '50\\\\% of \\\\{a\\\\_b\\\\} \\\\& {[}c{]} -{}-x'
    """
    return "".join(_in_latex(one) for one in _LIGATURES.sub("\0", text))


def _in_latex(one: str) -> str:
    if one == "\0":
        return "{}"
    if one in _LATEX:
        return _LATEX[one]
    known = one.isascii() or (0xC0 <= ord(one) <= 0x17F and one.isalpha())
    return one if known else rf"\texttt{{U+{ord(one):04X}}}"


def markup(text: str) -> str:
    """For HTML, between tags and in quoted attributes.

    >>> markup("<b>"), markup('"'), markup("'")
    ('&lt;b&gt;', '&quot;', '&#x27;')
    """
    return html.escape(text, quote=True)
