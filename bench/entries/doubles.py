"""Records that stand in two of the given folders count once, however the folders came to share them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.entries.parts import Line, Versions, lines, part_of, runs_below


@dataclass(frozen=True)
class Scanned:
    """A run, and what the lines of its journal say first. `doubled`: ids that count in another run."""

    run: Path
    lines: tuple[Line, ...]
    doubled: frozenset[str] = frozenset()

    @property
    def own(self) -> tuple[Line, ...]:
        """Lines that count here."""
        return tuple(line for line in self.lines if line.record_id not in self.doubled)

    @property
    def newest(self) -> str:
        """When its newest record began; empty where no line says."""
        return max((line.started_at for line in self.lines), default="")


def scanned(runs: Sequence[Path], warn: Callable[[str], None]) -> list[Scanned]:
    """The runs in their order. A record counts in the run that holds more, of equal ones in the first; one line of
    warning for each pair. Runs of which nothing is left are not among them."""
    found = [Scanned(run, tuple(line for line, _ in lines(run))) for run in runs]
    holder: dict[str, int] = {}
    doubled: dict[int, set[str]] = {}
    for at in sorted(range(len(found)), key=lambda at: -len(found[at].lines)):
        shared: dict[int, int] = {}
        for line in found[at].lines:
            other = holder.setdefault(line.record_id, at) if line.record_id else at
            if other != at:
                shared[other] = shared.get(other, 0) + 1
                doubled.setdefault(at, set()).add(line.record_id)
        for other, count in shared.items():
            records = "1 record stands" if count == 1 else f"{count} records stand"
            warn(f"{runs[at]}: {records} in {runs[other]} too and count{'s' if count == 1 else ''} once, there")
    left = [Scanned(one.run, one.lines, frozenset(doubled.get(at, ()))) for at, one in enumerate(found)]
    return [one for one in left if one.own or not one.lines]


def scanned_below(places: Sequence[Path], warn: Callable[[str], None]) -> tuple[list[Scanned], Versions]:
    """`scanned` of all runs at and below these places, with one line of warning for all records of newer schemas; and
    the `warn` that reading them then wants, which does not say that again. Raises InputError as `runs_below`."""
    versions = Versions(warn)
    found = scanned(runs_below(places), warn)
    for one in found:
        for line in one.own:
            versions.note(one.run, line)
    newer = versions.tell()
    if newer is not None:
        warn(newer)
    return found, versions


@contextmanager
def without_doubles(found: Sequence[Scanned]) -> Iterator[list[Path]]:
    """Paths to read: the run itself, or where some of its records count elsewhere, a part of it."""
    with ExitStack() as stack:
        paths = []
        for one in found:
            if one.doubled:
                paths.append(stack.enter_context(part_of(one.run, _but(one.doubled))))
            else:
                paths.append(one.run)
        yield paths


def _but(doubled: frozenset[str]) -> Callable[[Line], bool]:
    return lambda line: line.record_id not in doubled
