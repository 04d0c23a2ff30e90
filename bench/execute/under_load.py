"""Runs under load: how long they may take, how narrow they are, what they spend, and what a killed one left behind."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import traces
from bench.cost import billed
from bench.cost.api_prices import ApiModel
from bench.errors import InputError
from bench.measure.serving import salvage
from bench.metrics.latency import Times
from bench.metrics.serving import RunFigures
from bench.schema import Allowance, Failure, Record, Slo, Traffic

DURATION_S = 60.0
"""Of a load that nothing else ends."""

AROUND_S = 300.0
"""For what comes before and after the load itself: probing, warming up, letting requests finish."""

BOUNDLESS_USD = 1e9

NOTE = ".begun.json"
"""Stands beside the traces while a run is under load."""


def timeout_s(traffic: Traffic, limit_s: float) -> float:
    """The limit for a child whose load may by itself last longer than `limit_s`, which then is for the rest."""
    duration = traffic.until.duration_s or DURATION_S
    ramp = 0.0 if traffic.ramp is None else traffic.ramp.over_s
    return max(limit_s, duration + ramp + (traffic.warmup_s or 0.0) + AROUND_S)


def run_of(record: Record, folder: Path, slo: tuple[Slo, ...] = ()) -> RunFigures | None:
    """The figures of one run under load; None of a record without one.

    Raises InputError when its trace is gone.
    """
    from bench.metrics.serving import columns, figures  # numpy, which an offline run has no use for

    if record.serving is None or record.cell.traffic is None:
        return None
    requests = traces.read(folder / record.serving.trace)
    return figures.run_figures(columns.fold(requests), record.serving, record.cell.traffic, slo)


def times_of(record: Record, folder: Path) -> Times | None:
    """A run's headline rates in the form that the rule for stopping takes: seconds a token, and TPOT.

    TTFT is left out: under load it is the queue's, and no number of replicates makes it narrow.
    """
    try:
        run = run_of(record, folder)
    except InputError:
        return None
    if run is None or run.flow.output_tokens_per_s <= 0:
        return None
    each_s = 1 / run.flow.output_tokens_per_s
    return Times(ttft_s=each_s, decode_s=each_s, e2el_s=each_s, tpot_s=run.medians.get("tpot_s"))


@dataclass
class Purse:
    """What a run may spend at a paid endpoint, and what its folder has cost already."""

    api: ApiModel
    limit_usd: float | None
    spent_usd: float = 0.0

    def allowance(self) -> Allowance:
        """For the next run under load. Raises InputError when nothing is left."""
        left = BOUNDLESS_USD if self.limit_usd is None else self.limit_usd - self.spent_usd
        if left <= 0:
            raise InputError(
                f"--max-spend: ${self.spent_usd:.4f} of ${self.limit_usd:.4f} are spent; raise it to go on, "
                "or stop here: everything measured is kept"
            )
        return billed.allowance(self.api, left)

    def add(self, record: Record) -> None:
        """Count what a record cost."""
        self.spent_usd += spent_usd(record)


def spent_usd(record: Record) -> float:
    """What a run cost, whether it came to its end or not."""
    own = record.spent_usd if record.serving is None else record.serving.spent_usd
    return own or 0.0


def begun(folder: Path, draft: Record) -> None:
    """Note beside the traces that a run begins, as the record that it will be if it is killed. Raises OSError."""
    path = _note(folder, draft.record_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draft.model_dump_json(exclude_defaults=True) + "\n", encoding="utf-8")


def over(folder: Path, record_id: str) -> None:
    """Take the note away: the run's record is in the journal."""
    _note(folder, record_id).unlink(missing_ok=True)


def left_behind(folder: Path, api: ApiModel | None, known: Collection[str] = ()) -> Iterator[Record]:
    """A record of every run that began and is not `known` to the journal: its requests are kept, its money counts.

    Its note stands until `over` is called.
    """
    salvage.salvage(folder)
    for note in sorted((folder / traces.FOLDER).glob(f"*{NOTE}")):
        try:
            draft = Record.model_validate_json(note.read_bytes())
        except ValueError:  # torn before the run began
            note.unlink(missing_ok=True)
            continue
        if draft.record_id in known:
            note.unlink(missing_ok=True)
        else:
            yield _crashed(draft, salvage.counted(folder, draft.record_id), api)


def _crashed(draft: Record, found: salvage.Salvaged | None, api: ApiModel | None) -> Record:
    kept = "no request was over by then"
    cost = None
    if found is not None:
        kept = f"{found.requests} requests were over by then, and are in {found.trace}"
        cost = None if api is None else salvage.spent_usd(found, billed.allowance(api, BOUNDLESS_USD))
    failure = Failure(reason=f"killed under load; {kept}", remedy="run again with --retry-failed")
    return draft.model_copy(update={"status": "crashed", "error": failure, "spent_usd": cost})


def _note(folder: Path, record_id: str) -> Path:
    return folder / traces.FOLDER / f"{record_id}{NOTE}"
