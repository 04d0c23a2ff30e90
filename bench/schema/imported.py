"""Another tool's result, as far as its figures mean what ours do."""

from pydantic import Field

from bench.schema.noun import Noun


class ImportedFigure(Noun):
    """One figure in SI units, under this program's name for what it means (docs/metrics.md)."""

    value: float
    low: float | None = Field(None, description="ends of a 95 % interval, where the file's own repetitions give one")
    high: float | None = None
    n: int = Field(1, description="repetitions that the figure is over")
    said: str = Field(description="the file's own name of it, and the arithmetic, such as 'mean_ttft_ms / 1000'")


class ImportedDoubt(Noun):
    """Why a figure of the file is not simply believed, as the tool's reader knows from the tool's definitions."""

    code: str = Field(description="such as 'short-context'; stands in the verdict")
    what: str
    remedy: str


class Imported(Noun):
    """What a file of another tool says of one cell. Stands in a record in the place of a measurement.

    `figures` are by the names of `Entry.figures`; `left_out` tells which of the file's metrics are not ours, and why.
    Tokens and requests are of all that succeeded; `window_s` is the time that the rates are over.
    """

    tool: str = Field(description="such as 'vLLM bench serve'")
    tool_version: str | None = None
    file: str = Field(description="name of the file, without its folder")
    sha256: str
    measured_at: str | None = None
    engine: str | None = Field(None, description="what served or generated, where the file says so")
    hardware: str | None = Field(None, description="what it ran on, in the file's or the person's words")
    figures: dict[str, ImportedFigure]
    percentiles_s: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="ttft_s, tpot_s, itl_s, e2el_s → percentile → seconds, as the file has them"
    )
    samples_s: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="ttft_s and tpot_s of single requests, where the file keeps them"
    )
    requests: int | None = None
    failed_requests: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    window_s: float | None = None
    weights_bytes: int | None = None
    peak_memory_bytes: int | None = None
    left_out: dict[str, str] = Field(default_factory=dict, description="the file's metric → why it is not taken over")
    remarks: tuple[str, ...] = Field((), description="what the file does not say and was assumed, or makes it doubtful")
    doubts: tuple[ImportedDoubt, ...] = Field((), description="what goes into the verdict, beside what figures show")
