"""Nouns with plausible values, and figures that can be worked out by hand.

The batch of two rows, 100 prompt and 11 new tokens a row takes 0.5 s to its first tokens and ten steps of 0.05 s after
them: one second in all.
"""

from collections.abc import Sequence

from bench.schema import (
    Accelerator,
    Against,
    Cell,
    Environment,
    Failure,
    Measurement,
    Memory,
    Model,
    ModelFacts,
    Plain,
    Precision,
    QualityPass,
    Record,
    Round,
    RunnerChoice,
    Scored,
    Status,
    TaskResult,
    Workload,
)

TTFT_S = 0.5
STEP_S = 0.05
WORKLOAD = Workload(batch_size=2, input_tokens=100, output_tokens=11)
H100 = Accelerator(name="NVIDIA H100 80GB HBM3", memory_bytes=85_000_000_000, driver="580.65", power_limit_w=700.0)


def a_round(
    tokens: int = WORKLOAD.output_tokens, factor: float = 1.0, stalled_s: float | None = 0.0, ttft_s: float = TTFT_S
) -> Round:
    """A round of `tokens` steps; every time in it is multiplied by `factor`."""
    steps = tuple((ttft_s + STEP_S * index) * factor for index in range(tokens))
    return Round(step_s=steps, done_s=steps[-1], cpu_s=steps[-1], stalled_s=stalled_s, tokens_sha256="0123456789abcdef")


def facts(
    placement: dict[str, int] | None = None, notes: Sequence[str] = (), random_weights: bool = False
) -> ModelFacts:
    """What an engine says of a small model; on the CPU unless `placement` says otherwise."""
    where = placement or {"cpu": 269_030_016}
    return ModelFacts(
        parameters=134_515_008,
        weights_bytes=sum(where.values()),
        kv_bytes_per_token=46_080,
        vocab_size=49_152,
        max_positions=8192,
        random_weights=random_weights,
        weights_id="sha256:b179c952",
        dtype="bf16",
        device=next(iter(where)),
        placement=where,
        threads=4,
        attention="sdpa",
        cache="static",
        notes=tuple(notes),
    )


def measurement(
    factor: float = 1.0,
    rounds: Sequence[Round] | None = None,
    tokens: int = WORKLOAD.output_tokens,
    of: ModelFacts | None = None,
    memory: Memory | None = None,
) -> Measurement:
    """What one process measured: three equal rounds unless `rounds` are given."""
    timed = rounds if rounds is not None else [a_round(tokens, factor) for _ in range(3)]
    return Measurement(
        facts=of or facts(),
        import_s=2.0,
        load_s=1.5 * factor,
        first_generate_s=1.25 * factor,
        warmup_s=(1.0 * factor,),
        # Other prompts, other tokens.
        rounds=tuple(one.model_copy(update={"tokens_sha256": f"{index:016x}"}) for index, one in enumerate(timed)),
        memory=memory
        or Memory(
            weights_bytes=269_030_016,
            kv_cache_bytes=10_229_760,
            rss_load_peak_bytes=900_000_000,
            rss_peak_bytes=800_000_000,
            reasons={"cuda_peak_reserved_bytes": "no CUDA device"},
        ),
        prompt_seed=1_000_003,
    )


def cell(
    source: str = "builtin:smollm2-135m",
    precision: Precision | None = None,
    workload: Workload = WORKLOAD,
    runner: RunnerChoice | None = None,
) -> Cell:
    """A cell with its id, on the default options of its runner."""
    chosen = Cell(
        model=Model(source=source),
        precision=precision or Plain(name="bf16"),
        runner=runner or RunnerChoice(name="transformers", options={"device": "auto", "threads": None}),
        workload=workload,
    )
    return chosen.identified({})


def environment(accelerators: Sequence[Accelerator] = (), cpus: int = 4, cpu_model: str = "Sample CPU") -> Environment:
    """A machine with `cpus` usable CPUs and 16 GB."""
    return Environment(
        bench_version="0.1.0",
        bench_revision="0123456789ab",
        python="3.11.7",
        packages={"torch": "2.13.0", "transformers": "5.23.0"},
        system="Linux 6.8",
        cpu_model=cpu_model,
        cpu_logical=cpus,
        cpu_physical=cpus,
        cpu_usable=cpus,
        memory_total_bytes=16_000_000_000,
        accelerators=tuple(accelerators),
    )


def record(
    replicate: int = 0,
    of: Cell | None = None,
    measured: Measurement | None = None,
    where: Environment | None = None,
    name: str | None = None,
) -> Record:
    """A measured replicate."""
    chosen = of or cell()
    return Record(
        record_id=name or f"{chosen.cell_id}.{replicate}.sample",
        replicate=replicate,
        status="ok",
        started_at="2026-11-21T12:00:00+00:00",
        elapsed_s=9.5,
        cell=chosen,
        environment=where or environment(),
        measurement=measured or measurement(),
    )


def failed_record(
    status: Status = "unsupported",
    reason: str = "bitsandbytes has no kernel here",
    remedy: str | None = "pip install bitsandbytes",
    of: Cell | None = None,
    replicate: int = 0,
    log_tail: Sequence[str] = (),
) -> Record:
    """A replicate that was not measured, and why."""
    chosen = of or cell()
    return Record(
        record_id=f"{chosen.cell_id}.{replicate}.{status}",
        replicate=replicate,
        status=status,
        error=Failure(reason=reason, remedy=remedy, log_tail=tuple(log_tail)),
        started_at="2026-11-21T12:00:00+00:00",
        elapsed_s=0.5,
        cell=chosen,
        environment=environment(),
    )


# --- quality -----------------------------------------------------------------------------------------------------

FP32 = Plain(name="fp32")
BLOCKS, BLOCK_TOKENS = 40, 64
BYTES_PER_TOKEN = 4


def quality_cell(
    precision: Precision | None = None,
    reference: Precision | None = FP32,
    text: str = "builtin:sample",
    source: str = "builtin:smollm2-135m",
) -> Cell:
    """The quality pass of the sample cell at a precision; `reference` None is the reference itself."""
    asked = QualityPass(
        text=text,
        text_sha256=f"sha256 of {text}",
        text_bytes=BLOCKS * BLOCK_TOKENS * BYTES_PER_TOKEN,
        window_tokens=512,
        context_tokens=1,
        top_k=64,
        reference=reference,
    )
    timed = cell(source, precision)
    work = Workload(batch_size=1, input_tokens=512, output_tokens=1)
    return timed.model_copy(update={"quality": asked, "workload": work}).identified({})


def scored(
    nats: float = 3.0,
    wobble: float = 0.0,
    against: Against | None = None,
    tasks: Sequence[TaskResult] = (),
    keeps: bool = False,
    **changed: object,
) -> Scored:
    """2,560 tokens of 4 bytes in 40 blocks. The blocks' means are `nats`, by turns `wobble` above and below.

    `keeps`: a reference's, which keeps a file and agrees with itself.
    """
    sums = tuple(BLOCK_TOKENS * (nats + (wobble if index % 2 else -wobble)) for index in range(BLOCKS))
    found = Scored(
        facts=facts(),
        load_s=0.4,
        score_s=5.0,
        tokens=BLOCKS * BLOCK_TOKENS,
        text_bytes=BLOCKS * BLOCK_TOKENS * BYTES_PER_TOKEN,
        windows=5,
        window_tokens=512,
        tokens_sha256="the tokens",
        block_tokens=BLOCK_TOKENS,
        nll_nats=sums,
        kept_file="kept.npz" if keeps else None,
        self_check=held_against("itself", kl=0.0, same_top_1=1.0) if keeps else None,
        against=against,
        tasks=tuple(tasks),
    )
    return found.model_copy(update=changed)


def held_against(record_id: str, kl: float = 0.02, same_top_1: float = 0.75) -> Against:
    """Every block alike: `kl` nats a token, and that share of tokens for which both think the same one likeliest."""
    return Against(
        reference_record_id=record_id,
        tokens=BLOCKS * BLOCK_TOKENS,
        kl_nats=(BLOCK_TOKENS * kl,) * BLOCKS,
        kl_p50=kl / 2,
        kl_p99=kl * 10,
        kl_max=kl * 40,
        same_top_1=(round(BLOCK_TOKENS * same_top_1),) * BLOCKS,
    )


def quality_record(
    of: Cell | None = None, found: Scored | None = None, name: str | None = None, where: Environment | None = None
) -> Record:
    """The record of a quality pass that went well: of the reference unless said otherwise."""
    chosen = of or quality_cell(FP32, None)
    return record(0, of=chosen, where=where, name=name).model_copy(
        update={"measurement": None, "purpose": "quality", "scored": found or scored(keeps=True)}
    )
