"""Traces: when real requests came and how long they were. Read as a stream, so that the longest one costs nothing.

**Mooncake** (kvcache-ai/Mooncake): JSON Lines, each `{"timestamp": ms, "input_length": tokens, "output_length": tokens,
"hash_ids": [...]}`. Each hash id stands for a block of 512 prompt tokens and all blocks before it; two requests that
begin with the same ids share that prefix, and the synthetic prompts share it too. The last block may be part of one.
`hash_ids` may be missing: then nothing is shared. Other keys are ignored.

**BurstGPT** (HPMLL/BurstGPT): CSV with the columns Timestamp (s), Model, Request tokens, Response tokens, Total tokens,
Log Type, and in later releases Session ID and Elapsed time; found by name. It tells nothing of the prompts, so each is
another one.

Time starts with the first row. Rows without input or output tokens are requests that failed (BurstGPT keeps 2 % of
them): there is nothing to ask for, so they are left out and counted, as in BurstGPT's own files "without fails".
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from bench.errors import InputError, nearest
from bench.loads.files import checked_start, in_place, lines
from bench.loads.lengths import LONGEST

BLOCK_TOKENS = 512
"""That one hash id of a Mooncake trace stands for."""

Format = Literal["mooncake", "burstgpt"]
_BURSTGPT = ("Timestamp", "Request tokens", "Response tokens")
_MOONCAKE = ("timestamp", "input_length", "output_length")


class Row(NamedTuple):
    """One request of a trace; `at_s` since its first one, as recorded."""

    at_s: float
    input_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """What a whole trace holds: requests, seconds from first to last, tokens, and the rows that were left out."""

    requests: int
    span_s: float
    input_tokens: int
    output_tokens: int
    left_out: int


class _WrongError(Exception):
    """What is wrong with a row, and its remedy."""


def rows(path: Path, wanted: Literal["auto"] | Format = "auto") -> Iterator[Row | None]:
    """The requests of a trace in their order; None for a row that is left out.

    Raises InputError with file and line for what is no trace, for a row that cannot be read, and for one that is out of
    order.
    """
    with in_place(path) as file:
        form = _format(path, checked_start(path, file), wanted)
        first_s: float | None = None
        last_s = -math.inf
        for line, row in _mooncake(path, file) if form == "mooncake" else _burstgpt(path, file):
            if row.at_s < last_s:
                raise InputError(f"{path}:{line}: its time lies before that of the row above; sort the file by time")
            last_s = row.at_s
            if not row.input_tokens or not row.output_tokens:
                yield None
                continue
            first_s = row.at_s if first_s is None else first_s
            yield row._replace(at_s=row.at_s - first_s)


def summary(path: Path, wanted: Literal["auto"] | Format = "auto") -> Summary:
    """Reads a trace to its end: whether it is sound, and its means. Raises InputError as `rows`, and for no request."""
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); name a Mooncake or BurstGPT trace") from None
    return _summary(path, wanted, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _summary(path: Path, wanted: Literal["auto"] | Format, _changed_ns: int, _size: int) -> Summary:
    requests, left_out, input_tokens, output_tokens, last_s = 0, 0, 0, 0, 0.0
    for row in rows(path, wanted):
        if row is None:
            left_out += 1
            continue
        requests += 1
        input_tokens += row.input_tokens
        output_tokens += row.output_tokens
        last_s = row.at_s
    if not requests:
        raise InputError(f"{path}: no request with input and output tokens in it; name another trace")
    return Summary(requests, last_s, input_tokens, output_tokens, left_out)


def _format(path: Path, start: bytes, wanted: Literal["auto"] | Format) -> Format:
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    json_like = head.startswith((b"{", b"["))
    if wanted != "auto":
        if json_like != (wanted == "mooncake"):
            other = "burstgpt" if wanted == "mooncake" else "mooncake"
            raise InputError(f"{path}:1: this is no {wanted} trace; is trace_format: {other} meant?")
        return wanted
    if json_like:
        return "mooncake"
    if b"," in head.split(b"\n", 1)[0]:
        return "burstgpt"
    raise InputError(f"{path}:1: neither a Mooncake trace (JSON Lines) nor a BurstGPT one (CSV); name such a file")


def _mooncake(path: Path, file: BinaryIO) -> Iterator[tuple[int, Row]]:
    for line, _, raw in lines(path, file):
        try:
            said = json.loads(raw)
        except (ValueError, RecursionError) as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else "not a value"
            raise InputError(f"{path}:{line}: broken JSON ({why}); a Mooncake trace has one object a line") from None
        try:
            yield line, _mooncake_row(said)
        except _WrongError as error:
            raise InputError(f"{path}:{line}: {error}") from None


def _mooncake_row(said: Any) -> Row:
    if not isinstance(said, dict):
        raise _WrongError("not an object; a Mooncake trace has one object a line")
    for key in _MOONCAKE:
        if key not in said:
            raise _WrongError(f"{key} is missing ({nearest(key, said)}); a Mooncake trace needs {', '.join(_MOONCAKE)}")
    tokens = _tokens(said["input_length"], "input_length")
    ids = said.get("hash_ids") or []
    if not isinstance(ids, list) or not all(isinstance(one, int | str) for one in ids):
        raise _WrongError("hash_ids is no list of numbers; leave it out where prefixes are unknown")
    if len(ids) > math.ceil(tokens / BLOCK_TOKENS) + 1:
        blocks = f"{len(ids):,} hash_ids for {tokens:,} tokens"
        raise _WrongError(f"{blocks}: each must stand for {BLOCK_TOKENS}; leave out hash_ids of other blocks")
    hashes = tuple(one if isinstance(one, int) else _hashed(one) for one in ids)
    output_tokens = _tokens(said["output_length"], "output_length")
    return Row(_seconds(said["timestamp"], "timestamp") / 1000, tokens, output_tokens, hashes)


def _burstgpt(path: Path, file: BinaryIO) -> Iterator[tuple[int, Row]]:
    places: list[int] = []
    for line, _, raw in lines(path, file):
        try:
            cells = next(csv.reader([raw.decode()]))
        except csv.Error as error:
            raise InputError(f"{path}:{line}: broken CSV ({error}); repair the line") from None
        if not places:
            names = [cell.strip() for cell in cells]
            for name in _BURSTGPT:
                if name not in names:
                    needed = f"a BurstGPT trace has the columns {', '.join(_BURSTGPT)}"
                    raise InputError(f"{path}:{line}: no column {name!r} ({nearest(name, names)}); {needed}")
            places = [names.index(name) for name in _BURSTGPT]
            continue
        if len(cells) <= max(places):
            raise InputError(f"{path}:{line}: only {len(cells)} columns; repair or remove the line")
        time_s, asked, answered = (cells[place] for place in places)
        try:
            lengths = _tokens(asked, "Request tokens"), _tokens(answered, "Response tokens")
            yield line, Row(_seconds(time_s, "Timestamp"), *lengths, ())
        except _WrongError as error:
            raise InputError(f"{path}:{line}: {error}") from None


def _tokens(value: Any, name: str) -> int:
    number = _number(value, name)
    if number != int(number) or number < 0:
        raise _WrongError(f"{name} is {value!r}: write whole tokens, 0 or more")
    if number > LONGEST:
        raise _WrongError(f"{name} is {value}: over {LONGEST:,} tokens; no request is so long, repair the line")
    return int(number)


def _seconds(value: Any, name: str) -> float:
    number = _number(value, name)
    if number < 0:
        raise _WrongError(f"{name} is {value!r}: times start at 0; repair the line")
    return number


def _number(value: Any, name: str) -> float:
    try:
        number = math.nan if isinstance(value, bool | list | dict) or value is None else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _WrongError(f"{name} is {str(value)[:40]!r}, not a number; repair or remove the line")
    return number


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=4).digest(), "little")
