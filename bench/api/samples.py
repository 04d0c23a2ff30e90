"""Raw replicates, for statistics of one's own: every timed round of a batch, every request of a load."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench import store
from bench.api.flat import Line
from bench.entries.entry import Entry
from bench.errors import InputError, nearest
from bench.metrics import latency, verdict
from bench.schema import Measurement, Record

TIMES = ("ttft_s", "tpot_s", "e2el_s")
"""Of a round or a request."""

ONCE = ("import_s", "load_s", "first_generate_s")
"""Of a process: its rounds have none."""

COLUMNS = {
    "key": "text",
    **dict.fromkeys(("run", "model", "precision"), "name"),
    "workload": "text",
    **dict.fromkeys(("replicate", "round"), "count"),
    "started_at": "time",
    "set_aside": "flag",
}


def checked(metric: str) -> str:
    """The metric itself. Raises InputError for one that is not kept for each replicate."""
    if metric not in TIMES + ONCE:
        raise InputError(f"samples: unknown metric {metric!r}; {nearest(metric, TIMES + ONCE)}")
    return metric


def lines(path: Path, metric: str, entries: Iterable[Entry]) -> Iterator[Line]:
    """In the order of the journal. Records of which no entry was made are passed over."""
    folder = path if path.is_dir() else path.parent
    run = folder.resolve().name
    of: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.run == run:
            of.setdefault((entry.cell_id, entry.machine), []).append(entry)
    for record in store.read(path, lambda _: None):
        found = of.get((record.cell.cell_id, record.environment.fingerprint()))
        if not found:
            continue
        said: Line = {
            "key": found[0].key if len(found) == 1 else None,  # other weights under one name
            "run": run,
            **{name: getattr(found[0], name) for name in ("model", "precision", "workload")},
            "replicate": record.replicate,
            "started_at": record.started_at,
            "set_aside": False,
        }
        for number, value, aside in _values(record, metric, folder):
            yield said | {"round": number, "set_aside": aside, metric: value}


def _values(record: Record, metric: str, folder: Path) -> Iterator[tuple[int | None, float, bool]]:
    """Number of the round, seconds, and whether the replicate counts for no figure."""
    if record.measurement is not None and record.purpose == "time":
        yield from _of_batch(record.measurement, metric)
    elif record.serving is not None and metric in TIMES and record.status == "ok":
        from bench.report.serving.reading import read_run

        kept = read_run(record, folder, (), (), None).figures.samples.get(metric)
        yield from ((None, float(value), False) for value in (() if kept is None else kept.values))
    elif record.imported is not None:
        yield from ((None, value, False) for value in record.imported.samples_s.get(metric, ()))


def _of_batch(one: Measurement, metric: str) -> Iterator[tuple[int | None, float, bool]]:
    aside = bool(verdict.tainted(one))
    if metric in ONCE:
        value = getattr(one, metric)
        if value is not None:
            yield None, value, aside
        return
    for number, each in enumerate(one.rounds):
        value = getattr(latency.of_round(each), metric)
        if value is not None:
            yield number, value, aside
