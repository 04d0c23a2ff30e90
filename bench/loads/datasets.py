"""Prompts from files: JSON Lines, or a JSON list as ShareGPT has it; each prompt once, in an order drawn by the seed.

A file is read once from end to end: every record is checked, and where it stands is kept (16 bytes), not what it says;
records are then read again as they are needed. So a file of a gigabyte costs megabytes. A second record that begins
with the same question is left out and counted: it would be answered from a prefix cache. So is one without a question.
"""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from bench.errors import InputError
from bench.loads.files import checked_start, in_place, lines
from bench.loads.json_list import elements
from bench.loads.records import RecordError, Said, said, size_tokens

Format = Literal["auto", "jsonl", "sharegpt"]


@dataclass(frozen=True)
class Dataset:
    """Where the records of a file stand, and what they hold on average."""

    path: Path
    turns: int
    offsets: "array[int]" = field(repr=False)
    sizes: "array[int]" = field(repr=False)
    duplicates: int
    unusable: int
    requests: int
    """Turns of all records, of each at most `turns`."""
    input_tokens: float
    """Of a mean request, with what was said before in it; about: four bytes a token."""
    output_tokens: float

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def mean_turns(self) -> float:
        return self.requests / len(self)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], Said]]:
        """Gives the record with a number. Raises InputError where the file is no longer what it was."""
        with in_place(self.path) as file:
            yield lambda number: self._record(file, number)

    def _record(self, file: BinaryIO, number: int) -> Said:
        file.seek(self.offsets[number])
        try:
            found = said(json.loads(file.read(self.sizes[number])), self.turns)
        except (ValueError, RecordError):
            found = None
        if found is None:
            raise InputError(f"{self.path}: the file was changed while it was read; run again")
        return found


def dataset(path: Path, wanted: Format, turns: int, output_tokens: float | None) -> Dataset:
    """Reads and checks a file of prompts. `output_tokens`: of each answer, where the config says; else the file must.

    Raises InputError with file, line and remedy: no such file, an empty or binary one, a record that is broken or no
    prompt, an answer of unknown length, no usable record at all.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); name a file of prompts") from None
    return _dataset(path, wanted, turns, output_tokens, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _dataset(
    path: Path, wanted: Format, turns: int, output_tokens: float | None, _changed_ns: int, _size: int
) -> Dataset:
    counted = _Count(output_tokens)
    offsets, sizes, digests = array("q"), array("q"), array("Q")
    unusable = 0
    for line, offset, size, record in _records(path, wanted):
        try:
            found = said(record, turns)
            digest = _digest(found) if found else 0
            sums = counted.of(found) if found else None
        except RecordError as error:
            raise InputError(f"{path}:{line}: {error}") from None
        if sums is None:
            unusable += 1
            continue
        counted.add(sums)
        offsets.append(offset)
        sizes.append(size)
        digests.append(digest)
    if not offsets:
        raise InputError(f"{path}: no record with a question in it; name another file")
    first = np.sort(np.unique(np.frombuffer(digests, dtype=np.uint64), return_index=True)[1])
    requests, input_tokens, output_total = counted.over(first)
    return Dataset(
        path=path,
        turns=turns,
        offsets=array("q", np.frombuffer(offsets, dtype=np.int64)[first].tobytes()),
        sizes=array("q", np.frombuffer(sizes, dtype=np.int64)[first].tobytes()),
        duplicates=len(offsets) - len(first),
        unusable=unusable,
        requests=requests,
        input_tokens=input_tokens / requests,
        output_tokens=output_total / requests,
    )


class _Count:
    """Sums of each record, so that duplicates can be left out of them afterwards."""

    def __init__(self, output_tokens: float | None):
        self._asked = output_tokens
        self._requests, self._input, self._output = array("i"), array("d"), array("d")

    def of(self, record: Said) -> tuple[int, float, float]:
        before, input_tokens, output_total = 0.0, 0.0, 0.0
        for content, answer in zip(record.asked, record.answers, strict=True):
            output = self._asked or record.answer_tokens(answer)
            if output is None:
                raise RecordError("how long its answer may be stands nowhere; set output_tokens in the config")
            before += size_tokens(content)
            input_tokens += before
            before += output
            output_total += output
        return len(record.asked), input_tokens, output_total

    def add(self, sums: tuple[int, float, float]) -> None:
        self._requests.append(sums[0])
        self._input.append(sums[1])
        self._output.append(sums[2])

    def over(self, chosen: "np.ndarray[Any, np.dtype[np.int64]]") -> tuple[int, float, float]:
        return (
            int(np.frombuffer(self._requests, dtype=np.int32)[chosen].sum()),
            float(np.frombuffer(self._input)[chosen].sum()),
            float(np.frombuffer(self._output)[chosen].sum()),
        )


def _records(path: Path, wanted: Format) -> Iterator[tuple[int, int, int, Any]]:
    """Line, byte offset, bytes, and value of each record."""
    with in_place(path) as file:
        start = checked_start(path, file).lstrip(b"\xef\xbb\xbf \t\r\n")
        listed = start.startswith(b"[")
        if wanted == "jsonl" and listed:
            raise InputError(f"{path}:1: a JSON list, not JSON Lines; leave format out")
        if wanted == "sharegpt" and not listed:
            raise InputError(f"{path}:1: ShareGPT's file is a JSON list and begins with [; leave format out")
        yield from elements(path, file) if listed else _of_lines(path, file)


def _of_lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, int, Any]]:
    for line, offset, raw in lines(path, file):
        try:
            yield line, offset, len(raw), json.loads(raw)
        except json.JSONDecodeError as error:
            why = f"broken JSON ({error.msg}, column {error.colno}); write one object a line"
            raise InputError(f"{path}:{line}: {why}") from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}:{line}: no value that can be read; write one object a line") from None


def _digest(record: Said) -> int:
    """Of the first question: who begins alike is answered from a prefix cache."""
    first = record.asked[0]
    try:
        text = first.encode() if isinstance(first, str) else json.dumps(first, sort_keys=True).encode()
    except UnicodeEncodeError:
        raise RecordError("half a character (a lone surrogate) in the text; repair the line") from None
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
