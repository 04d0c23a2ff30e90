"""The bytes of a GGUF file's header, read once from front to back: counts are checked before they are believed."""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import InputError
from bench.gguf_files.types import TENSOR_TYPES

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
LONGEST = 65536
"""Values of an array, and bytes of a text, that are kept; of longer ones the length alone."""

MOST_DIMENSIONS = 4
CHUNK = 1 << 20

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Number of a value's type → its letter in `struct`."""
STRING, ARRAY = 8, 9
SHORT = 64
"""Texts of an array that are kept; vocabularies are longer."""


@dataclass(frozen=True)
class Array:
    """A long value that was passed over: how many there are, of which type (a number of the format)."""

    kind: int
    count: int

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Entry:
    """Where a key with its value stands in the file: bytes from `start` to before `end`."""

    key: str
    start: int
    end: int


@dataclass(frozen=True)
class Tensor:
    """One tensor. `shape` as the file has it, the fastest dimension (inputs of a matrix) first.

    `offset`: from the beginning of the file that it is in.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    bytes: int
    values: int

    @property
    def is_weight(self) -> bool:
        """Rope factors follow from the sizes: no parameters."""
        return not self.name.startswith("rope_freqs") and not self.name.startswith("rope_factors")

    @property
    def is_layer_matrix(self) -> bool:
        """Whether it is a matrix inside a layer: no table, no norm, no bias."""
        return self.name.startswith("blk.") and len(self.shape) > 1


@dataclass(frozen=True)
class Layout:
    """What one file's header says."""

    metadata: dict[str, Any]
    entries: tuple[Entry, ...]
    tensors: tuple[Tensor, ...]
    file_bytes: int


def read(path: Path) -> Layout:
    """The header of one file. Raises InputError, one line with the file, what is wrong and the remedy."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            return _Reader(path, handle, size).layout()
    except OSError as error:
        raise InputError(f"{path}: cannot read this GGUF file ({error.strerror}); check the path") from None


class _Reader:
    """A file, read forwards in chunks; nothing that was passed over is kept."""

    def __init__(self, path: Path, handle: BinaryIO, size: int) -> None:
        self._path = path
        self._handle = handle
        self._size = size
        self._buffer = b""
        self._start = 0
        """Where in the file the buffer begins."""
        self._at = 0
        """In the buffer."""

    def layout(self) -> Layout:
        if self._take(min(4, self._size)) != MAGIC:
            raise InputError(f"{self._path}: not a GGUF file (its first four bytes are not 'GGUF'); check the path")
        (version,) = self._unpack("I")
        if int.from_bytes(struct.pack("<I", version), "big") in VERSIONS:
            raise InputError(f"{self._path}: a big-endian GGUF file; convert it for this machine")
        if version not in VERSIONS:
            raise InputError(f"{self._path}: GGUF version {version}, and 2 and 3 are known; convert the model anew")
        tensor_count, key_count = self._unpack("QQ")
        self._check_count(key_count, 8 + 4 + 1, "keys")
        self._check_count(tensor_count, 8 + 4 + 8 + 4 + 8, "tensors")
        metadata, entries = self._keys(key_count)
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self._broken(f"general.alignment is {alignment!r}, no power of two")
        told = list(self._told(tensor_count))
        data = -(-self._position() // alignment) * alignment
        return Layout(metadata, entries, self._placed(told, data, alignment), self._size)

    def _keys(self, count: int) -> tuple[dict[str, Any], tuple[Entry, ...]]:
        metadata: dict[str, Any] = {}
        entries = []
        for _ in range(count):
            start = self._position()
            key = self._name("a key")
            (kind,) = self._unpack("I")
            if key in metadata:
                raise self._broken(f"the key {key!r} stands there twice")
            metadata[key] = self._value(kind, key)
            entries.append(Entry(key, start, self._position()))
        return metadata, tuple(entries)

    def _value(self, kind: int, key: str) -> Any:
        if kind in SCALARS:
            return self._unpack(SCALARS[kind])[0]
        if kind == STRING:
            return self._text()
        if kind != ARRAY:
            raise self._broken(f"{key!r} has a value of type {kind}, which is none")
        element, count = self._unpack("IQ")
        if element in SCALARS:
            return self._numbers(element, count, key)
        if element != STRING:
            raise self._broken(f"{key!r} is an array of type {element}, which is none")
        self._check_count(count, 8, f"texts in {key!r}")
        if count <= SHORT:
            return tuple(self._text() for _ in range(count))
        self._pass_texts(count)
        return Array(STRING, count)

    def _numbers(self, element: int, count: int, key: str) -> Any:
        letter = SCALARS[element]
        width = struct.calcsize(f"<{letter}")
        self._check_count(count, width, f"values in {key!r}")
        if count <= SHORT * 16:
            return struct.unpack(f"<{count}{letter}", self._take(count * width))
        self._pass(count * width)
        return Array(element, count)

    def _text(self) -> Any:
        (length,) = self._unpack("Q")
        self._check_left(length, f"a text of {length} bytes")
        if length > LONGEST:
            self._pass(length)
            return Array(STRING, length)
        return self._take(length).decode("utf-8", errors="replace")

    def _name(self, what: str) -> str:
        (length,) = self._unpack("Q")
        self._check_left(length, f"{what} of {length} bytes")
        if length > LONGEST:
            raise self._broken(f"{what} of {length} bytes")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self._broken(f"{what} that is no UTF-8") from None

    def _pass_texts(self, count: int) -> None:
        """Go over texts without keeping them: hundreds of thousands of them make a vocabulary."""
        length_of = struct.Struct("<Q").unpack_from
        for _ in range(count):
            at = self._at
            if at + 8 > len(self._buffer):
                self._fill(8)
                at = self._at
            (length,) = length_of(self._buffer, at)
            if at + 8 + length <= len(self._buffer):
                self._at = at + 8 + length
            else:
                self._at = at + 8
                self._check_left(length, f"a text of {length} bytes")
                self._pass(length)

    def _told(self, count: int) -> Iterator[tuple[str, int, tuple[int, ...], int]]:
        """Name, type, shape and offset of each tensor, as they are said."""
        names = set()
        for _ in range(count):
            name = self._name("a tensor's name")
            if name in names:
                raise self._broken(f"the tensor {name!r} stands there twice")
            names.add(name)
            (dimensions,) = self._unpack("I")
            if not 1 <= dimensions <= MOST_DIMENSIONS:
                raise self._broken(f"the tensor {name!r} has {dimensions} dimensions")
            shape = self._unpack(f"{dimensions}Q")
            kind, offset = self._unpack("IQ")
            yield name, kind, shape, offset

    def _placed(
        self, told: list[tuple[str, int, tuple[int, ...], int]], data: int, alignment: int
    ) -> tuple[Tensor, ...]:
        """The tensors with their bytes, all of them inside the file."""
        found = []
        for name, kind, shape, offset in told:
            known = TENSOR_TYPES.get(kind)
            if known is None:
                raise InputError(
                    f"{self._path}: the tensor {name!r} has type {kind}, which llama.cpp removed or which is "
                    "newer than this program; convert the model anew"
                )
            values = math.prod(shape)
            if not values or shape[0] % known.values:
                raise self._broken(f"the tensor {name!r} of shape {shape} is not made of whole blocks of {known.name}")
            if offset % alignment:
                raise self._broken(f"the tensor {name!r} begins between two multiples of {alignment} bytes")
            found.append(Tensor(name, known.name, shape, data + offset, known.bytes_of(values), values))
        end = max((one.offset + one.bytes for one in found), default=0)
        if end > self._size:
            raise InputError(
                f"{self._path}: this GGUF file is cut short: {self._size} of the {end} bytes that its header tells of; "
                "fetch or convert it again"
            )
        return tuple(found)

    def _position(self) -> int:
        return self._start + self._at

    def _unpack(self, letters: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{letters}", self._take(struct.calcsize(f"<{letters}")))

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._buffer):
            self._fill(count)
        at = self._at
        self._at = at + count
        return self._buffer[at : self._at]

    def _fill(self, count: int) -> None:
        """Have `count` bytes in the buffer. Raises InputError at the file's end."""
        self._check_left(count, "its header")
        rest = self._buffer[self._at :]
        self._start += self._at
        self._at = 0
        self._buffer = rest + self._handle.read(max(CHUNK, count - len(rest)))
        if len(self._buffer) < count:
            raise self._cut("its header")

    def _pass(self, count: int) -> None:
        if self._at + count <= len(self._buffer):
            self._at += count
            return
        target = self._position() + count
        self._handle.seek(target, os.SEEK_SET)
        self._start, self._at, self._buffer = target, 0, b""

    def _check_left(self, count: int, what: str) -> None:
        if self._position() + count > self._size:
            raise self._cut(what)

    def _check_count(self, count: int, least_bytes: int, what: str) -> None:
        """That so many things can be in what is left of the file, each of so many bytes at least."""
        if self._position() + count * least_bytes > self._size:
            raise self._cut(f"{count} {what}")

    def _cut(self, what: str) -> InputError:
        return InputError(
            f"{self._path}: this GGUF file is cut short or broken: {what} would reach beyond its "
            f"end (byte {self._size}); fetch or convert it again"
        )

    def _broken(self, what: str) -> InputError:
        return InputError(f"{self._path}: a broken GGUF header: {what}; fetch or convert it again")
