"""Claim: "10–100x" for the hardware of Groq and SambaNova. It says of what: of speed, and not of price."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files as resources
from itertools import groupby

from bench.claims import hosts
from bench.claims.claim import QUALITY, Claim, Verdict, money, row_name, times
from bench.claims.gpt4_fall import BLEND
from bench.claims.hosts import Listing
from bench.cost.blend import parse
from bench.report.rows import Row
from bench.report.table import number

SUBJECTS = ("groq", "sambanova")
BESIDE = ("cerebras",)
"""Also special hardware, though the claim does not name it."""
LEAST, MOST = 10.0, 100.0


@dataclass(frozen=True)
class Speed:
    """Output tokens per second of one request at a host, as a source says. Rows of one `comparable` set go together."""

    provider: str
    kind: str
    model: str
    tokens_per_s: float
    as_of: str
    comparable: str
    measured_by: str
    source: str
    grade: str


def claim(rows: Sequence[Row], as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """Speed of those hosts over other hosts of the same model, their price over the cheapest, and measured rows."""
    known = speeds()
    ratios = tuple(_ratios(known))
    of_subjects = [one for one in ratios if one.fast.provider in SUBJECTS]
    priced, figures, used = _prices(as_of, files)
    lines = [one.described() for one in ratios]
    lines += [_alone(one, known) for one in known if not one.comparable]
    lines += [*priced, *_measured(rows, known)]
    figures |= {f"speed {one.name}": one.value for one in ratios}
    return Claim(
        title="10–100x",
        statement="The hardware of Groq and SambaNova gives 10–100x.",
        arithmetic=tuple(lines),
        sources=(*_sources(known), *hosts.sources(used)),
        verdict=_verdict(of_subjects),
        because=_because(of_subjects),
        figures=figures,
    )


@cache
def speeds() -> tuple[Speed, ...]:
    """Every fact of `host_speeds.csv`, in its order."""
    with (resources("bench.data") / "host_speeds.csv").open(encoding="utf-8") as text:
        return tuple(
            Speed(
                row["provider"],
                row["kind"],
                row["model"],
                float(row["output_tokens_per_s"]),
                row["as_of"],
                row["comparable"],
                row["measured_by"],
                row["source"],
                row["grade"],
            )
            for row in csv.DictReader(text)
        )


@dataclass(frozen=True)
class Ratio:
    """One host's speed over another's, of the same model in the same source."""

    fast: Speed
    other: Speed

    @property
    def value(self) -> float:
        return self.fast.tokens_per_s / self.other.tokens_per_s

    @property
    def name(self) -> str:
        return f"{self.fast.provider}/{self.other.provider} {self.fast.model}"

    def described(self) -> str:
        """The division, with the day."""
        return (
            f"{self.fast.model}, {self.fast.as_of}: {self.fast.provider} {self.fast.tokens_per_s:,g} / "
            f"{self.other.provider} {self.other.tokens_per_s:,g} tok/s = {times(self.value)}"
            + (" (its hardware is not named)" if self.other.kind == "unknown" else "")
        )


def _ratios(known: Sequence[Speed]) -> Iterator[Ratio]:
    """Each special host over each other kind of host in its set."""
    together = [one for one in known if one.comparable]
    for _, group in groupby(together, key=lambda one: (one.comparable, one.model)):
        alike = list(group)
        for fast in alike:
            if fast.provider in (*SUBJECTS, *BESIDE):
                yield from (Ratio(fast, other) for other in alike if other.kind != "special")


def _prices(as_of: date | None, files: Sequence[str]) -> tuple[list[str], dict[str, float], list[Listing]]:
    """What those hosts ask over what the cheapest host of the same model asks."""
    lines, figures, used = [], {}, []
    for model in hosts.MODELS:
        own, _ = hosts.listings(model, parse(BLEND), as_of, files)
        names = {*SUBJECTS, *BESIDE}
        for one in (each for each in own if each.provider in names and not _variant(each)):
            ratio = float(one.usd / own[0].usd)
            lines.append(
                f"{model}, price at {BLEND}: {one.provider} {money(one.usd)} / {own[0].provider} {money(own[0].usd)} "
                f"(the cheapest of {len(own)} listings) = {times(ratio)}"
            )
            figures[f"price {one.provider}/{own[0].provider} {model}"] = ratio
            used += [one, own[0]]
    return lines, figures, used


def _variant(of: Listing) -> bool:
    return of.name.endswith("specdec")


def _measured(rows: Sequence[Row], known: Sequence[Speed]) -> Iterator[str]:
    """Measured rows beside hosts of the same model; a speed of another model is no comparison."""
    for index, row in enumerate(rows, 1):
        if row.figures is None or row.figures.tpot_s is None:
            yield f"{row_name(index, row)}: no speed was measured"
            continue
        own = 1 / row.figures.tpot_s.value
        said = f"{row_name(index, row)}: {number(own)} tok/s a request here"
        if row.dollars is not None and (blended := row.dollars.blends.get(BLEND)) is not None:
            said += f", ${number(blended.value)} per Mtok at {BLEND}"
        alike = [one for one in known if _same_model(row, one.model)]
        if not alike:
            yield f"{said}; no host of this model is listed, and speeds of other models do not compare"
            continue
        beside = ", ".join(f"{one.provider} {times(one.tokens_per_s / own)} ({one.as_of})" for one in alike)
        yield f"{said}; over it: {beside}"


def _same_model(row: Row, model: str) -> bool:
    """By name: `shape:llama-3.1-8b` and `meta-llama/Llama-3.1-8B-Instruct` are the model of the list."""
    return model.partition(" ")[0].lower() in row.cell.model.source.lower()


def _alone(one: Speed, known: Sequence[Speed]) -> str:
    """A figure without another host beside it; over the fastest GPU host of other sources, which is no clean ratio."""
    said = f"{one.model}, {one.as_of}: {one.provider} {one.tokens_per_s:,g} tok/s by {one.measured_by}, alone"
    gpu = [each for each in known if each.kind == "gpu" and each.model == one.model]
    if not gpu:
        return said
    best = max(gpu, key=lambda each: each.tokens_per_s)
    ratio = times(one.tokens_per_s / best.tokens_per_s)
    return f"{said}; across sources {ratio} of {best.provider} {best.tokens_per_s:,g} ({best.as_of}, not counted)"


def _sources(known: Sequence[Speed]) -> tuple[str, ...]:
    found = (f"{one.source} ({one.as_of}, measured by {one.measured_by}, grade {one.grade})" for one in known)
    return tuple(dict.fromkeys(found))


def _verdict(ratios: Sequence[Ratio]) -> Verdict:
    within = [one for one in ratios if LEAST <= one.value <= MOST]
    if not ratios:
        return "cannot be told here"
    return "holds" if len(within) == len(ratios) else "partly" if within else "does not hold"


def _because(ratios: Sequence[Ratio]) -> str:
    if not ratios:
        return "no speed of these hosts beside another host of the same model is known."
    gpu = [one.value for one in ratios if one.other.kind == "gpu"]
    within = [one for one in ratios if one.value >= LEAST]
    reached = "; ".join(f"{one.fast.provider} over {one.other.provider} ({times(one.value)})" for one in within)
    return (
        "it is about the speed of one request; in price these hosts are above the cheapest. "
        f"Over GPU hosts of the same model in the same source: {times(min(gpu))} to {times(max(gpu))}; "
        f"{LEAST:g} times or more: {reached or 'nowhere'}. Hosts change hardware, batching and quantisation: the days "
        f"of the figures count; {QUALITY}."
    )
