"""The elements of a JSON list, one by one with their places, without holding the list: `json.load` takes five times the
size of the file."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import InputError
from bench.loads.files import LONGEST_LINE

_CHUNK = 1 << 20
_NEAR_THE_END = 16
"""Characters: a mistake so close to the end of what was read may be no mistake but a torn value."""


def elements(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, int, Any]]:
    """Line, byte offset, bytes, and value of each element. Raises InputError for what is no JSON list."""
    feed = _Feed(path, file)
    feed.next()
    feed.skip()  # the bracket, which the caller saw
    while (character := feed.next()) != "]":
        line, offset = feed.line, feed.offset
        value = feed.value()
        yield line, offset, feed.offset - offset, value
        character = feed.next()
        if character == ",":
            feed.skip()
            if feed.next() == "]":
                raise feed.error("a comma before the end of the list")
        elif character != "]":
            raise feed.error("no comma after a record" if character else "the list has no end")
    feed.skip()
    if feed.next():
        raise feed.error("something stands after the end of the list")


class _Feed:
    """A file's text, read on as far as it is needed."""

    def __init__(self, path: Path, file: BinaryIO):
        self._path, self._file = path, file
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._over = False
        self.line = 1
        self.offset = 3 if file.read(3) == b"\xef\xbb\xbf" else 0
        file.seek(self.offset)

    def error(self, why: str, lines_on: int = 0) -> InputError:
        return InputError(f"{self._path}:{self.line + lines_on}: broken JSON ({why}); repair it, or write JSON Lines")

    def next(self) -> str:
        """The next character that is not blank, or '' at the end; it stays where it is."""
        while True:
            rest = len(self._text)
            at = self._at
            while at < rest and self._text[at] in " \t\r\n":
                at += 1
            self._pass_to(at)
            if at < rest:
                return self._text[at]
            if not self._more():
                return ""

    def skip(self) -> None:
        self._pass_to(self._at + 1)

    def value(self) -> Any:
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                torn = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR_THE_END
                if torn and len(self._text) - self._at < LONGEST_LINE and self._more():
                    continue
                raise self.error(error.msg, self._text.count("\n", self._at, error.pos)) from None
            except (ValueError, RecursionError):
                raise self.error("no value that can be read") from None
            if end == len(self._text) and self._more():
                continue  # a number may go on
            self._pass_to(end)
            return value

    def _pass_to(self, at: int) -> None:
        passed = self._text[self._at : at]
        self.offset += len(passed.encode())
        self.line += passed.count("\n")
        self._at = at

    def _more(self) -> bool:
        """Reads on, as much again as is waiting, so that a long value is parsed a few times and not a thousand."""
        if self._over:
            return False
        raw = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._over = not raw
        try:
            self._text = self._text[self._at :] + self._utf8.decode(raw, final=self._over)
        except UnicodeDecodeError:
            raise InputError(f"{self._path}:{self.line}: not text in UTF-8 from here on; convert the file") from None
        self._at = 0
        return True
