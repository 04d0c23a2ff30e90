"""A GGUF file, written front to back: keys copied as they stand or packed anew, then tensors one after another."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bench.gguf_files.layout import ALIGNMENT, ARRAY, MAGIC, STRING, Entry
from bench.gguf_files.mixture import Planned
from bench.gguf_files.types import BY_NAME

VERSION = 3
U32, I32, F32, BOOL = 4, 5, 6, 7
PART = ("split.no", "split.count", "split.tensors.count")
"""Keys of a file that is one of several; what is written here is whole."""


def packed(key: str, value: Any) -> bytes:
    """A key with its value: bool, int (u32), float (f32), text, or a sequence of one of these (ints as i32)."""
    return text(key) + _value(value)


def text(said: str) -> bytes:
    raw = said.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    first = value[0]
    if isinstance(first, str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(text(one) for one in value)
    letter, kind = ("f", F32) if isinstance(first, float) else ("i", I32)
    return struct.pack(f"<IIQ{len(value)}{letter}", ARRAY, kind, len(value), *value)


def copied(path: Path, entries: Iterable[Entry], changed: Mapping[str, Any]) -> list[bytes]:
    """The keys of a file as they stand there, but for those that are changed and those of a part of a split file."""
    found = []
    with path.open("rb") as handle:
        for one in entries:
            if one.key in changed or one.key in PART:
                continue
            handle.seek(one.start)
            found.append(handle.read(one.end - one.start))
    return [*found, *(packed(key, value) for key, value in changed.items())]


class Writer:
    """The file while it is written: its header first, then each tensor's bytes, in the order that was said."""

    def __init__(
        self, handle: BinaryIO, keys: Sequence[bytes], tensors: Sequence[Planned], alignment: int = ALIGNMENT
    ) -> None:
        self._handle = handle
        self._alignment = alignment
        handle.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(keys)))
        handle.write(b"".join(keys))
        offset = 0
        for one in tensors:
            shape = struct.pack(f"<I{len(one.shape)}Q", len(one.shape), *one.shape)
            kind = struct.pack("<IQ", BY_NAME[one.type].number, offset)
            handle.write(text(one.name) + shape + kind)
            offset += -(-size(one) // alignment) * alignment
        self._pad()

    def add(self, chunks: Iterable[bytes | memoryview]) -> None:
        """The next tensor's bytes, in as many pieces as they come."""
        for chunk in chunks:
            self._handle.write(chunk)
        self._pad()

    def _pad(self) -> None:
        self._handle.write(b"\0" * (-self._handle.tell() % self._alignment))


def size(tensor: Planned) -> int:
    """Bytes of a tensor."""
    return BY_NAME[tensor.type].bytes_of(tensor.values)
