"""A quality pass: how well a loaded model predicts a text, and how far its predictions are from a reference's.

Nothing is timed but the pass as a whole; sums over blocks of tokens are all that is kept, and of a reference what the
others need to be held against it. The text is cut into windows (`metrics/windows.py`) that all have the same length, so
that every level computes in the same shapes. A token without a finite probability is counted and left out of every
sum: a verdict is made of that count when it is read, never a crash here.
"""

import hashlib
import importlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.errors import BrokenContractError, InputError, UnsupportedError
from bench.measure import quality_kept, quality_tasks
from bench.measure.quality_kept import Kept, Reading
from bench.measure.quality_math import Seen, joined, look
from bench.metrics.windows import Window, windows
from bench.models import prose
from bench.runners import Encoded, Runner, ScoresText
from bench.schema import Against, Job, ModelFacts, QualityInput, QualityPass, Scored

BATCH_BYTES = 512 << 20
"""Of fp32 logits in one batch of windows; a batch is one window at least."""

BLOCKS = 256
LEAST_BLOCK_TOKENS = 64

WORTH_ANNOUNCING_S = 2.0

Announce = Callable[[str, float | None], None]
"""Called between passes with the name of the next one and an estimate of its seconds, never during one."""


@dataclass(frozen=True)
class _Plan:
    """A text, made ready to be read: the sequence (prefix, then text), its windows, and how many go into a batch."""

    sequence: Sequence[int]
    windows: Sequence[Window]
    tokens_sha256: str
    batch: int
    block_tokens: int
    text_bytes: int

    def batches(self) -> list[Sequence[Window]]:
        return [self.windows[start : start + self.batch] for start in range(0, len(self.windows), self.batch)]


def score(job: Job, runner: Runner, announce: Announce) -> Scored:
    """Load the model, score the job's text, and hold it against the reference where there is one.

    Raises UnsupportedError where there is no quality to measure (random weights, no tokenizer or another model's, a
    runner that scores no text), InputError for a text that cannot be scored, and whatever the runner raises.
    """
    asked = job.cell.quality
    assert asked is not None, "a quality pass is of a cell that says what is scored"
    given = job.quality or QualityInput()
    text, notes = _text(asked, given)
    tasks = quality_tasks.Ready(runner, given.task_paths) if given.task_paths else None
    announce("loading", None)
    for module in runner.ENGINE:
        importlib.import_module(module)
    start = time.perf_counter_ns()
    facts = runner.load()
    load_s = _since(start)
    if not isinstance(runner, ScoresText):
        raise UnsupportedError(f"the runner {job.cell.runner.name} scores no text", "use the runner transformers")
    if facts.random_weights:
        raise UnsupportedError("random weights: no quality", "name a model with trained weights")
    encoded = runner.encode(text)
    plan = _planned(asked, encoded, text, facts)
    announce("scoring", None)
    result = _read(runner, plan, asked, given, announce)
    seen = result.seen
    found = Scored(
        facts=facts,
        load_s=load_s,
        score_s=result.score_s,
        tokens=len(seen.nll),
        text_bytes=plan.text_bytes,
        windows=len(plan.windows),
        window_tokens=asked.window_tokens,
        prefix_token=encoded.prefix,
        tokens_sha256=plan.tokens_sha256,
        block_tokens=plan.block_tokens,
        nll_nats=_blocks(seen.nll, plan.block_tokens),
        nonfinite_tokens=int((~np.isfinite(seen.nll)).sum()),
        notes=(*notes, *encoded.notes),
    )
    if seen.kept is not None:
        found = _as_reference(found, job, runner, plan, result, announce)
    elif asked.reference is not None:
        found = _compared(found, given, result)
    if tasks is not None:
        announce("tasks", None)
        found = found.model_copy(update={"tasks": tasks.run(asked.tasks)})
    return found


def _text(asked: QualityPass, given: QualityInput) -> tuple[str, list[str]]:
    """The text that the cell says, and what there is to say about it."""
    read = prose.read_text(given.text_path, asked.text_bytes)
    if hashlib.sha256(read.data).hexdigest() != asked.text_sha256:
        raise InputError(f"{asked.text}: the text has changed since this run was planned; start the run again")
    return read.text, [] if read.note is None else [read.note]


def _planned(asked: QualityPass, encoded: Encoded, text: str, facts: ModelFacts) -> _Plan:
    """Raises InputError for a text shorter than one window, UnsupportedError where the model cannot read one."""
    tokens, prefixed = list(encoded.tokens), encoded.prefix is not None
    try:
        found = windows(len(tokens), asked.window_tokens, asked.context_tokens, prefixed)
    except InputError as error:
        raise InputError(f"{asked.text}: {error.lines[0]}") from None
    if facts.max_positions is not None and asked.window_tokens > facts.max_positions:
        raise UnsupportedError(
            f"windows of {asked.window_tokens} tokens exceed the model's {facts.max_positions} positions",
            "choose a smaller window_tokens",
        )
    sequence = [encoded.prefix, *tokens] if encoded.prefix is not None else tokens
    _check_ids(sequence, facts.vocab_size)
    fits = BATCH_BYTES // (4 * asked.window_tokens * facts.vocab_size)
    return _Plan(
        sequence=sequence,
        windows=found,
        tokens_sha256=hashlib.sha256(np.asarray(sequence, dtype="<i8").tobytes()).hexdigest(),
        batch=max(1, fits),
        block_tokens=max(LEAST_BLOCK_TOKENS, math.ceil((len(sequence) - 1) / BLOCKS)),
        text_bytes=len(text.encode("utf-8")) - (0 if prefixed else encoded.first_bytes),
    )


def _check_ids(sequence: Sequence[int], vocabulary: int) -> None:
    """A token that the model does not know would read memory that is not its embedding's, or end a GPU's context."""
    if max(sequence) >= vocabulary:
        raise UnsupportedError(
            f"the tokenizer is not this model's: it gives the token {max(sequence)}, the model knows {vocabulary}",
            "put the model's own tokenizer files beside its weights",
        )


@dataclass(frozen=True)
class _Result:
    """All windows, read once: what was seen, in how many seconds, and why it is held against no reference."""

    reading: Reading
    seen: Seen
    score_s: float
    no_comparison_because: str | None


def _read(runner: ScoresText, plan: _Plan, asked: QualityPass, given: QualityInput, announce: Announce) -> _Result:
    """Every window once, in the order of the text."""
    batches = plan.batches()
    keep = asked.top_k if asked.reference is None and given.kept_path is not None else None
    start = time.perf_counter_ns()
    logits = _logits(runner, plan, batches[0])
    score_s = _since(start)
    _check_ids(plan.sequence, logits.shape[-1])
    reading = Reading(plan.tokens_sha256, asked.window_tokens, asked.context_tokens, logits.shape[-1])
    reference, because = (None, None) if asked.reference is None else _reference(given, reading, plan)
    parts: list[Seen] = []
    done = 0
    for index, batch in enumerate(batches):
        start = time.perf_counter_ns()
        if index:
            logits = _logits(runner, plan, batch)
        scored = sum(window.scored for window in batch)
        parts.append(
            _look(logits, plan, batch, keep, None if reference is None else reference.part(done, done + scored))
        )
        del logits  # the next ones would otherwise be made beside them
        done += scored
        score_s += _since(start)
        left_s = score_s * (len(batches) - 1)
        if index == 0 and left_s > WORTH_ANNOUNCING_S:
            announce("scoring", left_s)
    return _Result(reading, joined(parts), score_s, because)


def _logits(runner: ScoresText, plan: _Plan, batch: Sequence[Window]) -> torch.Tensor:
    """Logits (B, S, V) of some windows. Raises BrokenContractError for any other shape."""
    rows = [list(plan.sequence[window.start : window.stop]) for window in batch]
    logits = torch.as_tensor(runner.logits(rows))
    if logits.ndim != 3 or logits.shape[:2] != (len(rows), len(rows[0])):
        raise BrokenContractError(
            f"the runner gave logits of shape {tuple(logits.shape)} for {len(rows)} rows of {len(rows[0])} tokens"
        )
    return logits


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _look(logits: torch.Tensor, plan: _Plan, batch: Sequence[Window], keep: int | None, reference: Kept | None) -> Seen:
    """What the scored places of some windows say about the tokens that came."""
    parts, done = [], 0
    for row, window in zip(logits, batch, strict=True):
        came = plan.sequence[window.stop - window.scored + 1 : window.stop + 1]
        targets = torch.tensor(came, device=row.device)
        part = None if reference is None else reference.part(done, done + window.scored)
        parts.append(look(row[-window.scored :], targets, keep, part))
        done += window.scored
    return joined(parts)


def _reference(given: QualityInput, reading: Reading, plan: _Plan) -> tuple[Kept | None, str | None]:
    """What the reference kept of this very reading, or why there is nothing to compare with."""
    if given.reference_path is None:
        return None, "the reference's own pass failed: there is nothing to compare with"
    try:
        others, kept = quality_kept.read(Path(given.reference_path))
    except quality_kept.BrokenKeptError as error:
        return None, f"what the reference kept is lost: {error}"
    because = reading.differs_from(others)
    if because is None and len(kept.ids) != len(plan.sequence) - 1:
        because = "what the reference kept is lost: the file holds other tokens than it says"
    return (kept, None) if because is None else (None, because)


def _as_reference(
    found: Scored, job: Job, runner: ScoresText, plan: _Plan, result: _Result, announce: Announce
) -> Scored:
    """Keeps what the other levels need, and holds the first windows, scored once more, against it."""
    kept = result.seen.kept
    assert kept is not None
    assert job.quality is not None
    assert job.quality.kept_path is not None
    path = Path(job.quality.kept_path)
    quality_kept.write(path, result.reading, kept)
    announce("scoring itself", None)
    batch = plan.batches()[0]
    count = sum(window.scored for window in batch)
    again = _look(_logits(runner, plan, batch), plan, batch, None, kept.part(0, count))
    check = _against(again, np.isfinite(result.seen.nll[:count]), plan.block_tokens, job.record_id)
    return found.model_copy(update={"kept_file": path.name, "self_check": check})


def _compared(found: Scored, given: QualityInput, result: _Result) -> Scored:
    because, against = result.no_comparison_because, None
    if result.seen.kl is not None:
        against = _against(result.seen, np.True_, found.block_tokens, given.reference_record_id or "")
        because = None if against is not None else "no token has a finite probability in both"
    return found.model_copy(update={"against": against, "no_comparison_because": because})


def _against(seen: Seen, finite: Any, block_tokens: int, record_id: str) -> Against | None:
    """Sums over the tokens that are finite in both; None where there are none."""
    told = np.isfinite(seen.kl) & np.isfinite(seen.nll) & finite
    if not told.any():
        return None
    # Hyndman and Fan's type 8, as every percentile here.
    p50, p99 = np.percentile(seen.kl[told], [50, 99], method="median_unbiased")
    return Against(
        reference_record_id=record_id,
        tokens=int(told.sum()),
        kl_nats=_blocks(np.where(told, seen.kl, np.nan), block_tokens),
        kl_p50=float(p50),
        kl_p99=float(p99),
        kl_max=float(seen.kl[told].max()),
        same_top_1=tuple(round(block) for block in _blocks(np.where(told, seen.same_top_1, np.nan), block_tokens)),
    )


def _blocks(values: Any, block_tokens: int) -> tuple[float, ...]:
    """Sums over blocks of consecutive tokens, of what is finite; the last block may be shorter."""
    finite = np.where(np.isfinite(values), values, 0.0)
    return tuple(np.add.reduceat(finite, np.arange(0, len(finite), block_tokens)).tolist())


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e9
