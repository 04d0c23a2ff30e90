"""The nouns of this room. Whatever shows results to others (page, tables, leaderboard, history, data frames) reads
these, and nothing of how a figure was made.

SI units and dollars, the unit in the name. What is not known is None, and the reason stands beside it. The page in the
browser has objects of the same names: `bench/entries/plain.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from bench.entries.priced import Priced
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.schema import Environment, Status

Kind = Literal["batch", "load", "imported"]
"""A static batch, a cell under load, or a result of another tool."""

FIGURES = (
    *("prefill_tokens_per_s", "decode_tokens_per_s", "output_tokens_per_s", "total_tokens_per_s", "requests_per_s"),
    *("goodput_requests_per_s", "tokens_per_s_per_user", "ttft_s", "tpot_s", "itl_s", "e2el_s", "mbu", "mfu"),
    *("energy_j_per_output_token", "load_s", "first_generate_s"),
)
"""Names of `Entry.figures`: definitions in docs/metrics.md. Rates are of the whole system."""


@dataclass(frozen=True)
class Distribution:
    """A time over requests or batches: at most 101 ascending values, each of which stands for an equal share.

    `percentiles`: by the percentile's name ("50", "90", "99"); a text where there are too few samples for it.
    """

    values_s: tuple[float, ...]
    n: int
    percentiles: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bytes:
    """Memory by part. `peak` is what the tables call peak GB; `other` is what weights and cache leave of it."""

    weights_bytes: int | None = None
    kv_cache_bytes: int | None = None
    other_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Limits:
    """The physical limit of this device for these lengths: seconds of a prefill and of a decode step, and whose word
    it is (`basis`); None and a reason where nobody knows the ceiling."""

    basis: str
    decode_limit: str | None = None
    floor_ttft_s: float | None = None
    floor_tpot_s: float | None = None
    floor_tokens_per_s: float | None = None
    """Decode rate of the whole batch at that limit."""
    reason: str | None = None


@dataclass(frozen=True)
class Quality:
    """Against the reference level, on the text: see docs/quality.md. Every figure None where `reason` says why."""

    reference: str | None = None
    bits_per_byte: float | None = None
    perplexity: float | None = None
    delta_nll: float | None = None
    delta_nll_se: float | None = None
    kl_mean: float | None = None
    kl_mean_se: float | None = None
    same_top_1: float | None = None
    same_top_1_se: float | None = None
    reason: str | None = None
    is_reference: bool = False
    text: str = ""
    """What the scored text is called. Two texts may have one name: figures are compared within `scored` alone."""
    text_sha256: str = ""
    """Of the bytes that were scored."""
    window_tokens: int | None = None
    context_tokens: int | None = None
    """How much of the text before a token the model saw: more of it makes every figure better."""

    @property
    def scored(self) -> tuple[str, str, int | None, int | None]:
        """What figures of quality have to have in common to be compared."""
        return self.text, self.text_sha256, self.window_tokens, self.context_tokens


@dataclass(frozen=True)
class Origin:
    """Whose measurement it is: this program's (`tool` "llm-cost-bench"), or another's, with the file it is from."""

    tool: str
    version: str | None = None
    file: str | None = None
    instrument: int | None = None
    schema_version: int | None = None
    remarks: tuple[str, ...] = ()
    """Of an import: metrics that were left out, and why; assumptions that the file does not state."""


@dataclass(frozen=True)
class Entry:
    """One row. `key` tells it from every other entry of one report; `cell_id` from other cells.

    `machine` is `Environment.fingerprint()` (of an import: what the file says, hashed), `hardware` its name for people.
    `workload` is for people too: "batch 4, 128 in, 64 out" or "poisson 4/s, 256 in, 64 out".
    Tokens are those of one request: of a load the mean over its requests.
    `family` is equal for entries that differ in the level of their load alone.
    `verdict` empty is VALID; a fatal reason in it means that `priced` is None.
    """

    key: str
    cell_id: str
    kind: Kind
    origin: Origin
    run: str
    model: str
    precision: str
    runner: str
    machine: str
    hardware: str
    workload: str
    input_tokens: float | None
    cached_tokens: float | None
    output_tokens: float | None
    status: Status
    replicates: int
    options: str = ""
    """Options of the runner that differ from another entry's in the same report."""
    random_weights: bool = False
    arm: int = 1
    batch_size: int | None = None
    level: float | None = None
    level_unit: str | None = None
    family: str | None = None
    slo: str | None = None
    slo_met: bool | None = None
    measured_at: str | None = None
    """When the first replicate began, ISO 8601 with its zone."""
    revision: str | None = None
    """Of this program's source, where it was known."""
    verdict: tuple[Reason, ...] = ()
    failure: str | None = None
    remedy: str | None = None
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    """By names of `FIGURES`; those that are not known are not in it."""
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    """`ttft_s` and `tpot_s`, where samples were kept."""
    memory: Bytes | None = None
    limits: Limits | None = None
    quality: Quality = Quality(reason="not measured")
    priced: Priced | None = None
    good: Priced | None = None
    """Of a load with objectives: the same counting only what met them, the whole bill on it."""
    no_dollars_because: str | None = None
    command: str | None = None

    @property
    def label(self) -> str:
        """Model, precision and runner, for a legend."""
        return " ".join(one for one in (self.model, self.precision, self.runner, self.options) if one)

    @property
    def verdict_text(self) -> str:
        """VALID, the codes against it, or the status of a failure."""
        if self.status != "ok":
            return self.status
        return ", ".join(one.code for one in self.verdict) or "VALID"

    @property
    def is_believable(self) -> bool:
        """Whether nothing in the verdict says that the figures mean nothing."""
        return self.status == "ok" and not any(one.fatal for one in self.verdict)

    def figure(self, name: str) -> float | None:
        """The value of a figure, None where it is not known."""
        found = self.figures.get(name)
        return None if found is None else found.value


@dataclass(frozen=True)
class Note:
    """A sentence of the small print (method, assumption, source), and the keys of what it is about; none: all."""

    text: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Entries that are shown together. `runs` are the paths as the person gave them; `headline` is the answer first."""

    title: str
    entries: tuple[Entry, ...]
    headline: str
    runs: tuple[str, ...]
    day: date
    """Of the prices."""
    environments: Mapping[str, Environment] = field(default_factory=dict)
    """By `Entry.machine`; an import has none."""
    notes: tuple[Note, ...] = ()
    warnings: tuple[str, ...] = ()
    """What reading the journals complained about: damaged lines, records of a newer schema, cells left out."""
    options: tuple[tuple[str, str], ...] = ()
    """Of `bench report`, with their values ("" where one takes none): with them `runs` give these entries again."""
