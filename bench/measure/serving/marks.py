"""How much a run may have cost at most, kept where a `kill -9` cannot take it: a few bytes in memory that is a file's.

The trace knows requests that are over. Those on their way when a process is killed may be billed all the same, so each
process of a paid run keeps the sum of what it spent and what it set aside in a file of its own. Writing it is a copy of
eight bytes: nothing that a stream waits for. A power cut may take the last half minute of it.
"""

import mmap
import struct
from collections.abc import Iterable
from pathlib import Path

from bench import traces

END = ".usd"
NUMBER = struct.Struct("<d")


class Mark:
    """One process's part of a run's bill, US dollars. Raises OSError when the file cannot be written."""

    def __init__(self, folder: Path, record_id: str, process: str) -> None:
        path = folder / traces.FOLDER / f"{record_id}.{process}{END}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(NUMBER.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), NUMBER.size)

    def __call__(self, usd: float) -> None:
        """At most so much, from now on."""
        NUMBER.pack_into(self._memory, 0, usd)


def usd(folder: Path, record_id: str) -> float | None:
    """What all processes of a run may have cost together; None where none of them kept a mark."""
    found = [one.read_bytes() for one in _of(folder, record_id)]
    whole = [NUMBER.unpack(one)[0] for one in found if len(one) == NUMBER.size]
    return sum(whole) if whole else None


def remove(folder: Path, record_id: str) -> None:
    """The record says what the run cost."""
    for one in _of(folder, record_id):
        one.unlink(missing_ok=True)


def _of(folder: Path, record_id: str) -> Iterable[Path]:
    return sorted((folder / traces.FOLDER).glob(f"{record_id}.*{END}"))
