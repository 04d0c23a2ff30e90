"""Run folders below a folder, and a part of one: some lines of its journal beside everything else that is in it.

Records that stand in two folders count once, and a folder that was measured on several days is several runs. Whatever
reads a run folder reads a part of one alike.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.errors import InputError
from bench.schema import SCHEMA_VERSION
from bench.store import JOURNAL

BESIDE = ("plan.json", "ceilings.json", "traces", "quality", "logs")
"""What a journal is read with, from the folder that it is in."""

_RECORD = re.compile(rb'"record_id"\s*:\s*"([^"\\]*)"')
_STARTED = re.compile(rb'"started_at"\s*:\s*"([^"\\]*)"')
_REVISION = re.compile(rb'"bench_revision"\s*:\s*"([^"\\]*)"')
_VERSION = re.compile(rb'\s*\{\s*"schema_version"\s*:\s*(\d{1,9})\b')
_HEAD_BYTES = 16 * 1024
"""A record begins with its names, its cell and its machine; what follows is measured and may be long."""

_SAID_OF_ONE = re.compile(r": record of schema \d+ skipped; ")


@dataclass(frozen=True)
class Line:
    """What a line of a journal says first. Texts are empty where the line is none of ours."""

    record_id: str
    started_at: str
    revision: str
    schema_version: int | None
    is_whole: bool = True
    """Whether the line ends as a record does: one that was cut does not say everything that it would have."""

    @property
    def is_newer(self) -> bool:
        return self.schema_version is not None and self.schema_version > SCHEMA_VERSION


def lines(run: Path) -> Iterator[tuple[Line, bytes]]:
    """Every line of a run's journal, whatever else is in it: `bench.store` checks that when it is read.

    Raises InputError where there is no such file.
    """
    try:
        handle = journal_of(run).open("rb")
    except OSError as error:
        raise InputError(f"{run}: no {JOURNAL} that can be read ({error.strerror}); name a run's folder") from None
    with handle:
        for text in handle:
            head = text[:_HEAD_BYTES]
            version = _VERSION.match(head)
            texts = [_found(what, head) for what in (_RECORD, _STARTED, _REVISION)]
            yield (
                Line(texts[0], texts[1], texts[2], int(version[1]) if version else None, text.rstrip().endswith(b"}")),
                text,
            )


def _found(what: re.Pattern[bytes], text: bytes) -> str:
    found = what.search(text)
    return found[1].decode(errors="replace") if found else ""


def journal_of(run: Path) -> Path:
    """The journal, whether it or its folder was named."""
    return run / JOURNAL if run.is_dir() else run


def runs_below(places: Sequence[Path]) -> list[Path]:
    """The run folders at and below these folders (hidden ones left out), and the journals that are named; each once.

    In the order of the places, below each by name. Raises InputError for a place where there is none.
    """
    found: dict[Path, Path] = {}
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such folder or journal; name run folders, or a folder that holds some")
        below = [place] if not place.is_dir() else list(_below(place))
        if not below:
            raise InputError(f"{place}: no {JOURNAL} in it or below it; name a folder that `bench run` wrote")
        for run in below:
            found.setdefault(journal_of(run).resolve(), run)
    return list(found.values())


def _below(place: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(place):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if JOURNAL in files:
            yield Path(folder)


class Versions:
    """`warn` of a reader, with one line for all records of newer schemas in the place of one for each."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.counts: dict[int, int] = {}
        self.journals: set[Path] = set()

    def __call__(self, message: str) -> None:
        if not _SAID_OF_ONE.search(message) and not message.endswith("of a newer schema"):
            self._warn(message)

    def note(self, run: Path, line: Line) -> None:
        """Counts a line if it is of a newer schema."""
        if line.is_newer and line.schema_version is not None:
            self.counts[line.schema_version] = self.counts.get(line.schema_version, 0) + 1
            self.journals.add(run)

    def tell(self) -> str | None:
        """The line, once everything was noted; None where every record can be read."""
        if not self.counts:
            return None
        which = ", ".join(f"{count} of schema {version}" for version, count in sorted(self.counts.items()))
        where = str(next(iter(self.journals))) if len(self.journals) == 1 else f"{len(self.journals)} journals"
        return f"{where}: newer records left out ({which}); this version reads up to {SCHEMA_VERSION}: upgrade"


@contextmanager
def part_of(run: Path, keeps: Callable[[Line], bool]) -> Iterator[Path]:
    """A folder of the same name with the lines that `keeps` lets pass, and links to what a journal is read with.

    It is gone at the end.
    """
    home = journal_of(run).resolve().parent
    with TemporaryDirectory(prefix="bench-part-") as place:
        folder = Path(place) / home.name
        folder.mkdir()
        for name in BESIDE:
            if (home / name).exists():
                (folder / name).symlink_to(home / name)
        with (folder / JOURNAL).open("wb") as handle:
            handle.writelines(text for line, text in lines(run) if keeps(line))
        yield folder
