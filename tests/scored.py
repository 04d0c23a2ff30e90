"""Quality passes in this process: jobs of the fake and of the built-in model, and what is told of their sums."""

import hashlib
from pathlib import Path
from typing import Any

from bench.measure import quality
from bench.models import prose
from bench.runners.fake import FakeRunner
from bench.runners.transformers import TransformersRunner
from bench.schema import (
    Cell,
    Job,
    Model,
    Plain,
    Precision,
    QualityInput,
    QualityPass,
    RunnerChoice,
    Scored,
    TaskChoice,
    Workload,
)

FP32, BF16 = Plain(name="fp32"), Plain(name="bf16")
MODEL = Model(source="builtin:smollm2-135m")


def quality_job(
    precision: Precision,
    reference: Precision | None = None,
    path: Path | None = None,
    max_bytes: int = 4096,
    window_tokens: int = 64,
    context_tokens: int = 1,
    top_k: int = 64,
    tasks: tuple[TaskChoice, ...] = (),
    **given: Any,
) -> Job:
    """The job of a pass over the beginning of a file, or of the package's text."""
    data = prose.read_text(path, max_bytes).data
    asked = QualityPass(
        text="text" if path is None else path.name,
        text_sha256=hashlib.sha256(data).hexdigest(),
        text_bytes=len(data),
        window_tokens=window_tokens,
        context_tokens=context_tokens,
        top_k=top_k,
        reference=reference,
        tasks=tasks,
    )
    cell = Cell(
        model=MODEL,
        precision=precision,
        runner=RunnerChoice(name="fake"),
        workload=Workload(batch_size=1, input_tokens=window_tokens, output_tokens=1),
        quality=asked,
    )
    given = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    inputs = QualityInput(text_path=None if path is None else str(path), **given)
    return Job(cell=cell, replicate=0, record_id="record", purpose="quality", quality=inputs)


def faked(job: Job, **text: Any) -> Scored:
    """What the fake's pass brings back; `text` are its programmed predictions."""
    runner = FakeRunner(MODEL, job.cell.precision, FakeRunner.Options.model_validate({"text": text}))
    return quality.score(job, runner, lambda *_: None)


def real(job: Job) -> Scored:
    """What the built-in model's pass brings back."""
    runner = TransformersRunner(MODEL, job.cell.precision, TransformersRunner.Options())
    return quality.score(job, runner, lambda *_: None)


def nll(scored: Scored) -> float:
    """Nats a token."""
    return sum(scored.nll_nats) / (scored.tokens - scored.nonfinite_tokens)
