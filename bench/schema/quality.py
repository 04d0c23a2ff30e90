"""What a quality pass is asked for, and what it brings back: sums over tokens, never full logits."""

from typing import Literal

from pydantic import Field

from bench.schema.measured import ModelFacts
from bench.schema.noun import Noun
from bench.schema.precision import Precision

PROSE = "builtin:moby-dick"
"""The public-domain text in the package."""


class QualityChoices(Noun):
    """The `quality:` of a config: how well each precision of each model still predicts a text."""

    text: str = Field(PROSE, description="the text in the package, or a UTF-8 file, from the config's folder")
    reference: str | None = Field(
        None,
        description="precision that the others are held against, one of the list or another one; default the widest "
        "plain one of the list; 'none' for no comparison",
    )
    window_tokens: int = Field(512, ge=8, description="tokens that the model reads at once")
    context_tokens: int = Field(
        1, ge=1, description="of them, those that the window before has scored already: read and not scored again"
    )
    max_bytes: int = Field(1 << 20, ge=1, description="score no more than the beginning of a longer text")
    top_k: int = Field(
        64, ge=1, le=4096, description="log-probabilities that are kept of the reference for each token, and the rest's"
    )
    tasks: tuple[str, ...] = Field(
        (), description="lm-eval task files (YAML) with local data, from the config's folder; needs the extra lm-eval"
    )
    task_limit: int | None = Field(None, ge=1, description="examples of each task, at most")


class TaskChoice(Noun):
    """One lm-eval task of a quality pass: its name and what its files hold."""

    name: str
    sha256: str = Field(description="of the task's file and its local data")
    limit: int | None = None


class QualityPass(Noun):
    """What the quality pass of a cell scores. Part of the cell, so that another text is another cell."""

    text: str = Field(description="what the text is called: its name in the package, or the file's name")
    text_sha256: str = Field(description="of the bytes that are scored")
    text_bytes: int
    window_tokens: int
    context_tokens: int
    top_k: int
    reference: Precision | None = Field(
        None, description="the level to be compared with; null for the reference itself, and where there is none"
    )
    tasks: tuple[TaskChoice, ...] = ()


class QualityInput(Noun):
    """Where a child finds what its quality pass needs. Paths never enter a record."""

    text_path: str | None = Field(None, description="null for the text in the package")
    reference_path: str | None = Field(None, description="what the reference's pass has kept")
    reference_record_id: str | None = None
    kept_path: str | None = Field(None, description="where a reference's pass writes what it keeps")
    task_paths: tuple[str, ...] = ()


class Against(Noun):
    """A level held against its reference, token by token, over the same tokens."""

    reference_record_id: str
    tokens: int
    kl_nats: tuple[float, ...] = Field(description="sum of the KL divergences over each block of tokens")
    kl_p50: float
    kl_p99: float
    kl_max: float
    same_top_1: tuple[int, ...] = Field(description="tokens of each block for which both think the same one likeliest")


class TaskResult(Noun):
    """One metric of one lm-eval task."""

    task: str
    metric: str
    value: float
    stderr: float | None = None
    examples: int


class Scored(Noun):
    """What one quality pass measured: sums over blocks of consecutive tokens, in the order of the text.

    Two levels scored the same tokens where `tokens_sha256`, `window_tokens` and `block_tokens` are equal; their blocks
    are then pairs.
    """

    facts: ModelFacts
    load_s: float
    score_s: float = Field(description="the pass over the text, tokenizing not included")
    tokens: int = Field(description="scored, each once")
    text_bytes: int = Field(description="UTF-8 bytes that the scored tokens stand for")
    windows: int
    window_tokens: int
    prefix_token: int | None = Field(None, description="read before the text's first token; null: that one is unscored")
    tokens_sha256: str = Field(description="over the token ids")
    block_tokens: int
    nll_nats: tuple[float, ...] = Field(description="sum of −ln p over each block; finite tokens alone")
    nonfinite_tokens: int = Field(0, description="tokens without a finite probability (NaN or infinite logits)")
    kept_file: str | None = Field(None, description="beside the journal: what a reference keeps for the others")
    self_check: Against | None = Field(None, description="a reference's first windows, scored a second time")
    against: Against | None = None
    no_comparison_because: str | None = None
    tasks: tuple[TaskResult, ...] = ()
    notes: tuple[str, ...] = ()


OpKind = Literal["product", "dequantise", "attention", "cast-copy", "elementwise", "other"]


class Operator(Noun):
    """One operator of a profile. `self_s`: its own time, callees left out, on the device that computed."""

    name: str
    kind: OpKind
    calls: int
    self_s: float


class PhaseProfile(Noun):
    """A profile of the prefill, or of some decode steps, under torch.profiler: slower than what is timed."""

    steps: int
    wall_s: float
    busy_s: float = Field(description="sum of all operators' own time on the device that computes")
    calls: int = Field(description="operators called (CPU), or kernels launched (GPU)")
    by_kind_s: dict[str, float] = Field(default_factory=dict)
    operators: tuple[Operator, ...] = Field((), description="those with most time first")


class Profile(Noun):
    """Where the time of one cell goes, from a process of its own; never part of a figure."""

    facts: ModelFacts
    device: str = Field(description="cpu or cuda: whose time `self_s` is")
    prefill: PhaseProfile
    decode: PhaseProfile | None = None
    notes: tuple[str, ...] = ()
