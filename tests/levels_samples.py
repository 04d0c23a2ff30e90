"""Records of levels with programmed speed and quality: a run's journal, as `bench run` would have written it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.schema import (
    Cell,
    Environment,
    FourBit,
    Int8,
    Model,
    ModelFacts,
    Plain,
    Precision,
    QualityPass,
    Record,
    RunnerChoice,
    Scored,
    Workload,
)
from bench.schema.precision import label
from bench.schema.quality import Against
from tests import samples

BF16, INT8, NF4, FP4 = Plain(name="bf16"), Int8(name="int8"), FourBit(name="nf4"), FourBit(name="fp4")
STEP_MS = {"bf16": {1: 46, 4: 62, 16: 102}, "int8": {1: 72, 4: 108, 16: 169}, "nf4": {1: 33, 4: 47, 16: 130}}
"""Milliseconds of a decode step by batch size: int8 never wins, nf4 does up to a batch between 4 and 16."""
WEIGHTS = {"bf16": 269_030_016, "int8": 163_300_608, "nf4": 116_400_000, "fp4": 116_400_000}
DRIFT = (1.0, 1.08, 0.95, 1.03)
"""A machine that is slower and faster by turns, for all levels alike: it cancels in pairs alone."""
OWN = {"bf16": (0, 1, -1, 0), "int8": (1, 0, -1, 0), "nf4": (0, -1, 1, 1), "fp4": (0, 1, 0, -1)}
"""Each level's own noise, in thousandths."""

TOKENS, BLOCK = 6400, 64
PROSE = QualityPass(text="prose", text_sha256="t", text_bytes=25_000, window_tokens=512, context_tokens=1, top_k=64)


def facts(precision: Precision, random: bool = False) -> ModelFacts:
    size = WEIGHTS.get(precision.name, 269_030_016)
    return samples.facts({"cpu": size}, random_weights=random)


def cell(precision: Precision, batch_size: int, output_tokens: int = 9, source: str = "builtin:smollm2-135m") -> Cell:
    work = Workload(batch_size=batch_size, input_tokens=64, output_tokens=output_tokens)
    return samples.cell(source, precision, work)


def timed(
    precision: Precision,
    batch_size: int,
    step_ms: float,
    noise: Sequence[float] = DRIFT,
    source: str = "builtin:smollm2-135m",
    where: Environment | None = None,
    own: Sequence[int] | None = None,
) -> list[Record]:
    """A replicate for each factor of the noise; the prefill takes five steps."""
    found = []
    of = cell(precision, batch_size, source=source)
    for index, factor in enumerate(noise):
        extras = OWN.get(precision.name, (1, 0, 0, -1)) if own is None else own
        extra = extras[index % len(extras)]
        step_s = step_ms / 1000 * factor * (1 + extra / 1000)
        steps = tuple(5 * step_s + step_s * at for at in range(9))
        one = samples.a_round(9).model_copy(update={"step_s": steps, "done_s": steps[-1], "cpu_s": steps[-1]})
        measured = samples.measurement(rounds=[one] * 3, of=facts(precision))
        name = f"{of.cell_id}.{index}.{source}.{(where or samples.environment()).cpu_model}"
        record = samples.record(index, of, measured, where, name)
        found.append(record.model_copy(update={"started_at": f"2026-11-21T12:{index:02}:00+00:00"}))
    return found


def scored(
    precision: Precision,
    loss: float,
    spread: float,
    kl: float = 0.0,
    top_1: float = 1.0,
    nonfinite: int = 0,
    reference: Precision = BF16,
    source: str = "builtin:smollm2-135m",
) -> Record:
    """A quality pass: `loss` nats a token more than the reference on the mean, alternating by `spread` over blocks."""
    is_reference = label(precision) == label(reference)
    blocks = TOKENS // BLOCK
    nll = tuple(BLOCK * (3.0 + loss + spread * (1 if at % 2 else -1)) for at in range(blocks))
    held = Against(
        reference_record_id=f"quality.{source}.{label(reference)}",
        tokens=TOKENS,
        kl_nats=tuple(BLOCK * kl for _ in range(blocks)),
        kl_p50=kl,
        kl_p99=9 * kl,
        kl_max=20 * kl,
        same_top_1=tuple(round(BLOCK * top_1) for _ in range(blocks)),
    )
    made = Scored(
        facts=facts(precision),
        load_s=1.0,
        score_s=9.0,
        tokens=TOKENS,
        text_bytes=25_000,
        windows=13,
        window_tokens=512,
        prefix_token=0,
        tokens_sha256="t",
        block_tokens=BLOCK,
        nll_nats=nll,
        nonfinite_tokens=nonfinite,
        kept_file="quality/kept.npz" if is_reference else None,
        against=None if is_reference else held,
    )
    asked = PROSE.model_copy(update={"reference": None if is_reference else reference})
    of = Cell(
        model=Model(source=source),
        precision=precision,
        runner=RunnerChoice(name="transformers", options={"device": "auto", "threads": None}),
        workload=Workload(batch_size=1, input_tokens=512, output_tokens=1),
        quality=asked,
    ).identified({})
    return Record(
        record_id=f"quality.{source}.{label(precision)}",
        replicate=0,
        status="ok",
        started_at="2026-11-21T13:00:00+00:00",
        cell=of,
        environment=samples.environment(),
        purpose="quality",
        scored=made,
    )


def run(folder: Path, records: Sequence[Record]) -> Path:
    """A run's folder with this journal, and no plan."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(one.model_dump_json(exclude_none=True) + "\n" for one in records)
    (folder / "records.jsonl").write_text(text)
    return folder


def speed(
    levels: Sequence[Precision] = (BF16, INT8, NF4),
    sizes: Sequence[int] = (1, 4, 16),
    table: Mapping[str, Mapping[int, float]] = STEP_MS,
) -> list[Record]:
    """All levels at all sizes."""
    return [one for level in levels for size in sizes for one in timed(level, size, table[level.name][size])]


def quality() -> list[Record]:
    """The reference; int8, which loses next to nothing; and nf4, which loses something for sure."""
    return [
        scored(BF16, 0.0, 0.0),
        scored(INT8, 0.014, 0.04, kl=0.018, top_1=0.92),
        scored(NF4, 0.22, 0.05, kl=0.27, top_1=0.73),
    ]
