"""What a server said went wrong, as one line that can stand in a table: short, printable, without a key in it."""

import html
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson

LONGEST = 300
"""Characters."""
TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


def one_line(text: str, hide: Sequence[str]) -> str:
    """Without line breaks, control characters and secrets, and no longer than 300 characters."""
    for secret in hide:
        text = text.replace(secret, "***")
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 8 * LONGEST]).split())
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def of_body(status: int, body: bytes, hide: Sequence[str]) -> str:
    """Of an answer that is not 200: the message in its JSON, the title of its page, or its first words."""
    try:
        said = message(orjson.loads(body))
    except ValueError:
        text = body.decode("utf-8", "replace")
        title = TITLE.search(text)
        said = html.unescape(title.group(1) if title else TAG.sub(" ", text)).strip()
    return one_line(said or _phrase(status), hide)


def message(said: Any) -> str:
    """The words in an error of any of the usual forms: OpenAI's, FastAPI's, or a bare text."""
    for _ in range(8):
        if isinstance(said, list) and said:
            said = said[0]
        elif isinstance(said, dict):
            named = (said.get(name) for name in ("error", "message", "detail", "msg", "code", "type"))
            said = next((one for one in named if one), "")
        else:
            break
    return said if isinstance(said, str) else str(said or "")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"
