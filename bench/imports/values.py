"""JSON of others, read with care: what is broken, doubled or no number is said by its key, in one line."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.errors import InputError, nearest

LARGEST = 1e15
"""No count, time or rate of a benchmark is larger: 10¹⁵ s are 32 million years."""

DEEPEST = 100
"""Brackets inside brackets. No tool here nests deeper than a dozen."""


class _DoubledError(ValueError):
    pass


def document(file: Path, text: str) -> Any:
    """The JSON value of a whole file. Raises InputError for what is torn, broken, too deep, or says a key twice."""
    try:
        return _parsed(text)
    except json.JSONDecodeError as error:
        raise InputError(_broken(file, text, error)) from None
    except _DoubledError as error:
        raise InputError(f"{file}: the key {error} stands twice in one object; export it again") from None
    except RecursionError:
        raise InputError(f"{file}: brackets nested deeper than {DEEPEST}; no result is") from None
    except ValueError:
        raise InputError(f"{file}: a number of thousands of digits; no result has one") from None


def lines(file: Path, text: str) -> list[Any]:
    """The JSON values of a file that has one a line. Raises InputError as `document` does, with the line."""
    found = []
    offset = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(_parsed(line))
            except json.JSONDecodeError as error:
                whole = len(text.encode())
                if offset + len(line.encode()) >= whole and _is_torn(line, error):
                    raise InputError(f"{file}: ends in the middle, at byte {whole}: copy it again") from None
                raise InputError(f"{file}:{number}: broken JSON ({error.msg}); export it again") from None
            except _DoubledError as error:
                raise InputError(f"{file}:{number}: the key {error} stands twice; export it again") from None
            except (ValueError, RecursionError):
                raise InputError(f"{file}:{number}: no JSON that can be read; export it again") from None
        offset += len(line.encode()) + 1
    return found


def peek(text: str) -> Any:
    """The JSON value of a text, or None where it is none: for `claims`. Every tool that asks gets the same object."""
    try:
        return _parsed(text)
    except (ValueError, RecursionError):
        return None


def peek_line(text: str) -> Any:
    """The JSON value of the first line that is not blank, or None: for `claims` of JSON Lines."""
    first = next((line for line in text.split("\n", 20)[:20] if line.strip()), "")
    return peek(first)


@lru_cache(maxsize=2)
def _parsed(text: str) -> Any:
    """NaN and Infinity are read, and refused where they are used: `Values.number` can say by which key."""
    value = json.loads(text, object_pairs_hook=_once)
    if isinstance(value, dict | list) and _depth(value) > DEEPEST:
        raise RecursionError
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _DoubledError(shown(twice))
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        depth += 1
        inner = (each for one in level for each in (one.values() if isinstance(one, dict) else one))
        level = [each for each in inner if isinstance(each, dict | list)]
    return depth


def _is_torn(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the text is the beginning of a JSON value, so that more of it would have been none the worse."""
    left = text[error.pos :].strip()
    in_a_string = error.msg.startswith(("Unterminated", "Invalid \\escape", "Invalid \\u"))
    in_a_word = any(word.startswith(left) for word in ("true", "false", "null", "NaN", "Infinity", "-Infinity"))
    return text.lstrip()[:1] in ("{", "[") and not error.msg.startswith("Extra") and (in_a_string or in_a_word)


def _broken(file: Path, text: str, error: json.JSONDecodeError) -> str:
    if _is_torn(text, error):
        return f"{file}: ends in the middle, at byte {len(text.encode())}: copy it again"
    where = f"line {error.lineno}, column {error.colno}"
    return f"{file}: broken JSON at {where} ({error.msg}); export it again, or write one result a file"


def shown(value: Any, limit: int = 60) -> str:
    """Any value of a foreign file in one short line of a message: quoted, escaped, cut."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    cut = text[:limit] + ("…" if len(text) > limit else "")
    return repr(cut) if isinstance(value, str) else cut


class Values:
    """An object of a foreign file, with the way to it for messages. Only `_or_none` lets a key be missing."""

    def __init__(self, file: Path, said: Any, at: str = "") -> None:
        self.file, self.at = file, at
        if not isinstance(said, dict):
            raise InputError(f"{file}: {at or 'the whole'} is no object of keys and values, got {shown(said)}")
        self.said: Mapping[str, Any] = said

    def __contains__(self, key: str) -> bool:
        return self.said.get(key) is not None

    def error(self, key: str, why: str) -> InputError:
        """An error of this key, to be raised."""
        return InputError(f"{self.file}: {self.way(key)}: {why}")

    def way(self, key: str) -> str:
        """The key with what it stands in: `benchmarks[0].metrics`."""
        return f"{self.at}.{key}" if self.at else key

    def inner(self, key: str) -> "Values":
        """The object under a key. Raises InputError where there is none."""
        self._must(key)
        return Values(self.file, self.said[key], self.way(key))

    def inner_or_none(self, key: str) -> "Values | None":
        """The object under a key, None where the key is missing or null."""
        return self.inner(key) if key in self else None

    def each(self, key: str) -> Iterator["Values"]:
        """The objects of the list under a key; none where the key is missing or null."""
        for index, one in enumerate(self.items(key)):
            yield Values(self.file, one, f"{self.way(key)}[{index}]")

    def items(self, key: str) -> Sequence[Any]:
        """The list under a key; empty where the key is missing or null."""
        found = self.said.get(key)
        if found is None:
            return ()
        if not isinstance(found, list):
            raise self.error(key, f"must be a list, got {shown(found)}")
        return found

    def number(self, key: str) -> float:
        """A finite number, not negative and not absurd. Raises InputError where it is missing or is none."""
        self._must(key)
        return self._number(key, self.said[key])

    def number_or_none(self, key: str) -> float | None:
        """As `number`, None where the key is missing or null."""
        return self._number(key, self.said[key]) if key in self else None

    def numbers(self, key: str) -> list[float]:
        """A list of numbers, each as `number` has it; empty where the key is missing or null."""
        return [self._number(f"{key}[{index}]", one) for index, one in enumerate(self.items(key))]

    def count(self, key: str) -> int:
        """A whole number that is not negative."""
        found = self.number(key)
        if found != int(found):
            raise self.error(key, f"must be a whole number, got {found:g}")
        return int(found)

    def count_or_none(self, key: str) -> int | None:
        """As `count`, None where the key is missing or null."""
        return self.count(key) if key in self else None

    def text(self, key: str) -> str:
        """A text, "" where the key is missing or null."""
        found = self.said.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self.error(key, f"must be text, got {shown(found)}")
        return found

    def _must(self, key: str) -> None:
        if key not in self:
            known = nearest(key, self.said) if self.said else "it is empty"
            raise self.error(key, f"missing ({known}); was it written by another version of the tool?")

    def _number(self, key: str, found: Any) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.error(key, f"must be a number, got {shown(found)}")
        if abs(found) > LARGEST or not math.isfinite(found):
            raise self.error(key, f"must be a finite number below {LARGEST:g}, got {shown(str(found))}")
        if found < 0:
            raise self.error(key, f"must not be negative, got {found:g}")
        return float(found)
