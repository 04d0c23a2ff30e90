"""Looks through a folder before it is published: secrets, and whose machine it was.

Every text file is read, compressed traces too; a line of JSON Lines is named by its key. Images are made from the same
figures as the texts beside them and are not read. Nothing is asked over the network.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.publish import identity, secrets

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
LONGEST_LINE = 1 << 20
"""Characters of a line that are looked at in one go; longer ones in pieces that overlap."""

_OVERLAP = 4096
_PACKED = re.compile(r"[A-Za-z0-9+/]{2000,}={0,2}")
"""Data inside a page, compressed and in base64: made from the records, which are looked through themselves."""


@dataclass(frozen=True)
class Finding:
    """What must not be published. `shown` never holds the whole of a secret; `file` is relative to the folder."""

    file: str
    line: int
    kind: str
    shown: str
    key: str = ""
    """Inside a JSON line: where it stands, such as error.log_tail.3."""
    secret: bool = True

    def text(self) -> str:
        """One line, with the remedy."""
        where = f"{self.file}:{self.line}" + (f" ({self.key})" if self.key else "")
        return f"{where}: {self.kind}: {self.shown}; {REMEDY if self.secret else REMEDY_OF_NAMES}"


REMEDY = "revoke it, take it out of this file, and publish again"
REMEDY_OF_NAMES = "take it out of this file, and publish again"


def check(folder: Path, ignored: Sequence[str] = ()) -> list[Finding]:
    """Everything in the text files of a folder that must not be published, file by file.

    `ignored`: texts that are not looked at, such as a library that a page carries along.
    """
    known, rules = secrets.of_environment(), identity.rules()
    found: list[Finding] = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        if path.suffix.lower() not in IMAGES:
            name = path.relative_to(folder).as_posix()
            for number, line in enumerate(lines(path, ignored), 1):
                found += in_line(name, number, line, known, rules)
    return found


def lines(path: Path, ignored: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a text, or of what a gzip file holds."""
    if path.suffix == ".gz":
        yield from unpacked(path)[0].decode("utf-8", "replace").split("\n")
        return
    text = path.read_bytes().decode("utf-8", "replace")
    for one in ignored:
        text = text.replace(one, "")
    yield from text.split("\n")


def unpacked(path: Path) -> tuple[bytes, bool]:
    """The members of a gzip file up to where it is torn, and whether all of its bytes were read."""
    data, out = path.read_bytes(), []
    while data:
        member = zlib.decompressobj(31)
        try:
            out.append(member.decompress(data))
        except zlib.error:
            return b"".join(out), False
        if not member.eof:
            return b"".join(out), False
        data = member.unused_data
    return b"".join(out), True


def in_line(
    name: str, number: int, line: str, known: Mapping[str, str], rules: Sequence[identity.Rule]
) -> Iterator[Finding]:
    """Each kind once for each key of a line."""
    told = set()
    for key, text in _texts(name, line):
        for piece in _pieces(_PACKED.sub("", text)):
            marks = [(one.kind, one.shown, True) for one in secrets.find(piece, known)]
            marks += [(kind, shown, False) for kind, shown in identity.replaced(piece, rules)[1]]
            for kind, shown, secret in marks:
                if (key, kind, shown) not in told:
                    told.add((key, kind, shown))
                    yield Finding(name, number, kind, shown, key, secret)


def _texts(name: str, line: str) -> Iterator[tuple[str, str]]:
    """A line by its keys where it is a JSON object of a journal or a trace; else the line itself."""
    if ".jsonl" in name and line.startswith("{"):
        try:
            whole = json.loads(line)
        except (ValueError, RecursionError):
            whole = None
        if whole is not None:
            yield from texts_of(whole)
            return
    yield "", line


def texts_of(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value with the dotted name of where it stands; names of keys are texts too."""
    if isinstance(value, str):
        last = key.rpartition(".")[2]
        is_header = last.lower() == "authorization"
        yield key, f"Authorization: {value}" if is_header else f"secret={value}" if secrets.is_named(last) else value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            inside = f"{key}.{name}" if key else str(name)
            if not str(name).isidentifier():
                yield key, str(name)
            if inside.endswith("environment.packages"):
                continue  # versions: 10.3.9.90 is no address
            yield from texts_of(one, inside)
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            before = value[place - 1] if place else None
            if isinstance(before, str) and before.startswith("-") and secrets.is_named(before) and isinstance(one, str):
                one = f"secret={one}"  # --api-key, and then the key
            yield from texts_of(one, f"{key}.{place}")


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= LONGEST_LINE:
        yield text
        return
    for start in range(0, len(text), LONGEST_LINE - _OVERLAP):
        yield text[start : start + LONGEST_LINE]
