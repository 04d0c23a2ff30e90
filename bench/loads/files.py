"""Files of prompts and traces, opened and read line by line: large ones, and wrong ones, never fill the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bench.errors import InputError

LONGEST_LINE = 64 << 20
"""Bytes of a line or record: ten million tokens of text. A binary file without line ends must not be read whole."""


@contextmanager
def in_place(path: Path) -> Iterator[BinaryIO]:
    """The file, opened for reading. Raises InputError where it is missing, a folder, or may not be read."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the path is relative to the config") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); name a file") from None
    with file:
        yield file


def checked_start(path: Path, file: BinaryIO) -> bytes:
    """The first 8 KiB, and the file as if unread. Raises InputError for an empty file and a binary one."""
    start = file.read(8192)
    file.seek(0)
    if not start.strip(b"\xef\xbb\xbf \t\r\n") and len(start) < 8192:
        raise InputError(f"{path}: the file is empty; name one with requests in it")
    if b"\0" in start or start[:2] == b"\x1f\x8b":
        remedy = "unpack it first" if start[:2] in (b"\x1f\x8b", b"PK") else "name a text file"
        raise InputError(f"{path}: a binary file, not text in UTF-8; {remedy}")
    return start


def lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Each line that is not blank, from the start: its number, its byte offset, and itself, as checked UTF-8."""
    offset = 0
    number = 0
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            raise InputError(f"{path}:{number}: a line of over {LONGEST_LINE >> 20} MiB; write one record a line")
        start = offset
        offset += len(raw)
        if start == 0 and raw.startswith(b"\xef\xbb\xbf"):
            start, raw = 3, raw[3:]
        if not raw.strip():
            continue
        try:
            raw.decode()
        except UnicodeDecodeError:
            raise InputError(f"{path}:{number}: not text in UTF-8; convert the file, or name another one") from None
        yield number, start, raw
