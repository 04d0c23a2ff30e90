"""Runs under load: how long they may take, how narrow they are, what they spend, and what a killed one left behind."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import traces
from bench.cost import billed
from bench.cost.api_prices import ApiModel
from bench.errors import InputError
from bench.measure.serving import marks, salvage, stopping
from bench.metrics.latency import Times
from bench.metrics.serving import RunFigures
from bench.schema import Allowance, Failure, Record, Slo, Traffic

AROUND_S = 300.0
"""For what comes before and after the load itself: probing, warming up, letting requests finish."""

BOUNDLESS_USD = 1e9

INTERRUPTED = 130
"""Exit code in the record of a run that Ctrl-C ended before it could bring a result: it says nothing of the cell."""

NOTE = ".begun.json"
"""Stands beside the traces while a run is under load."""


def timeout_s(traffic: Traffic, limit_s: float) -> float:
    """The limit for a child whose load may by itself last longer than `limit_s`, which then is for the rest."""
    duration = traffic.until.duration_s or stopping.USUAL_DURATION_S
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


class SpentError(InputError):
    """The money that a run may spend is spent. Everything measured is kept, and is worth a table."""


def is_cut_short(record: Record) -> bool:
    """Whether a run was ended by a person, or by the end of the money: kept and paid for, and not a replicate."""
    if record.serving is not None:
        return record.serving.ended in ("interrupted", "money")
    return record.cell.traffic is not None and record.error is not None and record.error.exit_code == INTERRUPTED


@dataclass
class Purse:
    """What a run may spend at a paid endpoint, and what its folder has cost already."""

    api: ApiModel
    limit_usd: float | None
    spent_usd: float = 0.0
    option: str = "--max-spend"
    """Where the person says how much it is."""

    def allowance(self) -> Allowance:
        """For the next run under load. Raises SpentError when what is left may not even be enough for its probe."""
        if self.limit_usd is None:
            return billed.allowance(self.api, BOUNDLESS_USD)
        found = billed.allowance(self.api, self.limit_usd - self.spent_usd)
        if found.usd <= found.probe_usd:
            raise self.spent()
        return found

    def spent(self) -> SpentError:
        """What to tell the person when a run cannot begin, or was ended, for want of money."""
        limit, least = self.limit_usd or 0.0, billed.allowance(self.api, 0.0).probe_usd
        return SpentError(
            f"{self.option}: ${self.spent_usd:.4g} of ${limit:.4g} are spent, and the next run may cost more than what "
            f"is left (its probe up to ${least:.2g}); raise it and run the same command to go on, or stop here: "
            "everything measured is kept"
        )

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
    """Take the note away: the run's record is in the journal, or there is nothing to record."""
    _note(folder, record_id).unlink(missing_ok=True)
    marks.remove(folder, record_id)


def left_behind(folder: Path, api: ApiModel | None, known: Collection[str] = ()) -> Iterator[Record]:
    """A record of every run that began and is not `known` to the journal: its requests are kept, its money counts.

    Its note stands until `over` is called. Of a run that was killed before its load, and cost nothing, no record.
    """
    salvage.salvage(folder)
    for note in sorted((folder / traces.FOLDER).glob(f"*{NOTE}")):
        try:
            draft = Record.model_validate_json(note.read_bytes())
        except ValueError:  # torn before the run began
            note.unlink(missing_ok=True)
            continue
        if draft.record_id in known:
            over(folder, draft.record_id)
            continue
        found, cost = salvage.counted(folder, draft.record_id), marks.usd(folder, draft.record_id)
        if found is None and not cost:
            over(folder, draft.record_id)
            continue
        if found is not None and cost is None and api is not None:
            cost = salvage.spent_usd(found, billed.allowance(api, BOUNDLESS_USD))
        reason = "killed under load" + ("" if found is None else f"; {kept(found)}")
        failure = Failure(reason=reason, remedy="run again with --retry-failed")
        yield draft.model_copy(update={"status": "crashed", "error": failure, "spent_usd": cost})


def ended_badly(folder: Path, failed: Record, api: ApiModel | None) -> Record:
    """The record of a run that failed while we watched, with what it had measured and may have cost.

    Raises OSError when its trace cannot be written.
    """
    salvage.salvage(folder)
    found, cost = salvage.counted(folder, failed.record_id), marks.usd(folder, failed.record_id)
    if found is not None and cost is None and api is not None:
        cost = salvage.spent_usd(found, billed.allowance(api, BOUNDLESS_USD))
    if found is not None and failed.error is not None:
        error = failed.error.model_copy(update={"reason": f"{failed.error.reason}; {kept(found)}"})
        failed = failed.model_copy(update={"error": error})
    return failed.model_copy(update={"spent_usd": cost})


def interrupted(folder: Path, draft: Record, api: ApiModel | None) -> Record | None:
    """Of a run that Ctrl-C ended without a result: its record if it has requests or cost money, else None."""
    failure = Failure(reason="interrupted", remedy="run the same command to go on", exit_code=INTERRUPTED)
    found = ended_badly(folder, draft.model_copy(update={"status": "crashed", "error": failure}), api)
    is_empty = found.error is not None and found.error.reason == failure.reason
    return None if is_empty and not found.spent_usd else found


def kept(found: salvage.Salvaged) -> str:
    """Where the requests of a run are that has no result."""
    return f"{found.requests} requests were over by then, and are in {found.trace}"


def _note(folder: Path, record_id: str) -> Path:
    return folder / traces.FOLDER / f"{record_id}{NOTE}"
