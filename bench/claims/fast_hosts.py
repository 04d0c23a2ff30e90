"""Claim: "10–100x" for the hardware of Groq and SambaNova. It says of what: of speed, and not of price."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files as resources
from itertools import groupby

from bench.claims import hosts
from bench.claims.claim import QUALITY, Claim, Verdict, money, other_day, row_name, times
from bench.claims.gpt4_fall import BLEND
from bench.claims.hosts import Listing
from bench.cost.blend import parse
from bench.report.rows import Row
from bench.report.table import number

SUBJECTS = ("groq", "sambanova")
BESIDE = ("cerebras",)
"""Also special hardware, though the claim does not name it."""
LEAST, MOST = 10.0, 100.0
UNDATED = "undated"


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

    def known_on(self, day: date) -> bool:
        """Whether it was known then; a figure without a day has no place in a replay."""
        return self.as_of != UNDATED and date.fromisoformat(self.as_of) <= day


def claim(rows: Sequence[Row], as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """Speed of those hosts over other hosts of the same model, their price over the cheapest, and measured rows."""
    known = speeds(as_of)
    ratios = tuple(_ratios(known))
    of_subjects = [one for one in ratios if one.fast.provider in SUBJECTS]
    priced = [one for model in hosts.MODELS if (one := _asked(model, as_of, files)).special]
    lines = [*_divided(ratios), *(_alone(one, known) for one in known if not one.comparable)]
    if left_out := len(speeds()) - len(known):
        lines.append(f"{left_out} speeds without a day or of a later one than {as_of} are left out")
    lines += [*(one.described() for one in priced), *_measured(rows, known, as_of)]
    figures = {f"speed {one.name}": one.value for one in ratios}
    for one in priced:
        figures |= {f"price {of.provider}/{one.cheapest.provider} {one.model}": one.ratio(of) for of in one.compared}
    used = [each for one in priced for each in (*one.special, one.cheapest)]
    return Claim(
        title="10–100x",
        statement="The hardware of Groq and SambaNova gives 10–100x.",
        arithmetic=tuple(lines),
        sources=(*_sources(known), *hosts.sources(used, as_of)),
        verdict=_verdict(of_subjects),
        because=_because(of_subjects, priced),
        figures=figures,
    )


def speeds(as_of: date | None = None) -> tuple[Speed, ...]:
    """Every fact of `host_speeds.csv`, in its order; in a replay those of a day that is not later."""
    return tuple(one for one in _every_speed() if as_of is None or one.known_on(as_of))


@cache
def _every_speed() -> tuple[Speed, ...]:
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
        """What it is of."""
        unnamed = " (its hardware is not named)" if self.other.kind == "unknown" else ""
        return f"{times(self.value)} of {self.other.provider}{unnamed}"


def _ratios(known: Sequence[Speed]) -> Iterator[Ratio]:
    """Each special host over each other kind of host in its set."""
    together = [one for one in known if one.comparable]
    for _, group in groupby(together, key=lambda one: (one.comparable, one.model)):
        alike = list(group)
        for fast in alike:
            if fast.provider in (*SUBJECTS, *BESIDE):
                yield from (Ratio(fast, other) for other in alike if other.kind != "special")


def _divided(ratios: Sequence[Ratio]) -> Iterator[str]:
    """Hosts that are divided by, and below them each special host over all of them."""
    for (_, model, day), group in groupby(
        ratios, key=lambda one: (one.fast.comparable, one.fast.model, one.fast.as_of)
    ):
        alike = list(group)
        others = dict.fromkeys(f"{one.other.provider} {one.other.tokens_per_s:,g}" for one in alike)
        yield f"{model}, {day}: {', '.join(others)} tok/s"
        for fast, of_it in groupby(alike, key=lambda one: one.fast):
            yield f"  {fast.provider} {fast.tokens_per_s:,g}: {', '.join(one.described() for one in of_it)}"


@dataclass(frozen=True)
class Asked:
    """What special hosts ask for a model, beside the cheapest of all its hosts."""

    model: str
    listed: tuple[Listing, ...]
    special: tuple[Listing, ...]

    @property
    def cheapest(self) -> Listing:
        return self.listed[0]

    @property
    def compared(self) -> tuple[Listing, ...]:
        """Those of them that have another host beside them."""
        return tuple(one for one in self.special if any(one.provider != other.provider for other in self.listed))

    def ratio(self, of: Listing) -> float:
        return float(of.usd / self.cheapest.usd)

    def described(self) -> str:
        """The divisions of one model."""
        if not self.compared:
            return f"{self.model}, price at {BLEND}: {_priced(self.cheapest)}, and no other host is listed"
        said = ", ".join(
            f"{_priced(one)} = {times(self.ratio(one))}" if one is not self.cheapest else f"{_priced(one)} itself"
            for one in self.compared
        )
        return (
            f"{self.model}, price at {BLEND} over the cheapest of {len(self.listed)} listings, "
            f"{_priced(self.cheapest)}: {said}"
        )


def _asked(model: str, as_of: date | None, files: Sequence[str]) -> Asked:
    own, _ = hosts.listings(model, parse(BLEND), as_of, files)
    special = (one for one in own if one.provider in (*SUBJECTS, *BESIDE) and not one.name.endswith("specdec"))
    return Asked(model, own, tuple(special))


def _priced(of: Listing) -> str:
    return f"{of.provider} {money(of.usd)}"


def _measured(rows: Sequence[Row], known: Sequence[Speed], as_of: date | None) -> Iterator[str]:
    """Measured rows beside hosts of the same model; a speed of another model is no comparison."""
    alone = []
    for index, row in enumerate(rows, 1):
        if row.figures is None or row.figures.tpot_s is None:
            yield f"{row_name(index, row)}: no speed was measured"
            continue
        own = 1 / row.figures.tpot_s.value
        said = f"{row_name(index, row)}: {number(own)} tok/s a request here"
        if row.dollars is not None and (blended := row.dollars.blends.get(BLEND)) is not None:
            said += f", ${number(blended.value)} per Mtok at {BLEND}{other_day(row, as_of)}"
        alike = [one for one in known if _same_model(row, one.model)]
        if alike:
            beside = ", ".join(f"{one.provider} {times(one.tokens_per_s / own)} ({one.as_of})" for one in alike)
            said += f"; over it: {beside}"
        else:
            alone.append(f"#{index}")
        yield said
    if alone:
        yield f"{', '.join(alone)}: no host of this model is listed, and speeds of other models do not compare"


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


def _sources(known: Sequence[Speed]) -> Iterator[str]:
    """Each page once, with days, measurers and grades of what stands on it."""
    for page, group in groupby(sorted(known, key=lambda one: one.source), key=lambda one: one.source):
        said = dict.fromkeys(f"{one.as_of}, measured by {one.measured_by}, grade {one.grade}" for one in group)
        yield f"{page} ({'; '.join(said)})"


def _verdict(ratios: Sequence[Ratio]) -> Verdict:
    within = [one for one in ratios if LEAST <= one.value <= MOST]
    if not ratios:
        return "cannot be told here"
    return "holds" if len(within) == len(ratios) else "partly" if within else "does not hold"


def _because(ratios: Sequence[Ratio], priced: Sequence[Asked]) -> str:
    if not ratios:
        return "no speed of these hosts beside another host of the same model is known."
    gpu = [one.value for one in ratios if one.other.kind == "gpu"]
    within = [one for one in ratios if one.value >= LEAST]
    reached = "; ".join(f"{one.fast.provider} over {one.other.provider} ({times(one.value)})" for one in within)
    return (
        f"it is about the speed of one request; {_in_price(priced)}. "
        f"Over GPU hosts of the same model in the same source: {times(min(gpu))} to {times(max(gpu))}; "
        f"{LEAST:g} times or more: {reached or 'nowhere'}. Hosts change hardware, batching and quantisation: the days "
        f"of the figures count; {QUALITY}."
    )


def _in_price(priced: Sequence[Asked]) -> str:
    """What the ratios of price say of the hosts that the claim names."""
    found = [one.ratio(of) for one in priced for of in one.compared if of.provider in SUBJECTS]
    if not found:
        return "their prices have no other host's beside them"
    ends = " to ".join(dict.fromkeys(times(one) for one in (min(found), max(found))))
    if min(found) > 1:
        return f"in price these hosts are above the cheapest ({ends})"
    return f"in price these hosts are at {ends} of the cheapest" if max(found) > 1 else "in price they are the cheapest"
